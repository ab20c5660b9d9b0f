//! Edits of scalars in place: comments, order and layout stay.
