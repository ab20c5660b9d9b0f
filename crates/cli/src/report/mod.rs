//! Consumers of events: lines, a live display, JSON; and what frames a session: its heading and its summary.

pub(crate) mod element;
pub(crate) mod estimate;
pub(crate) mod heading;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod pipeline;
pub(crate) mod rate;
pub(crate) mod reporter;
pub(crate) mod screen;
pub(crate) mod style;
pub(crate) mod summary;
pub(crate) mod tail;
pub(crate) mod tally;
