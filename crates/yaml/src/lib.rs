//! Text to [`Node`]: every node knows where it was written.
//!
//! The dialect is BuildStream's: one document, a mapping at the top, string keys, scalars are strings, no
//! anchors, no tags beyond the core ones, duplicate keys are errors. Texts are read as libyaml reads them, down to
//! its rough edges, because that is what decides whether a project of bst loads: YAML 1.1, `:` within brackets
//! only before a space, keys of at most 1,024 characters. `tests/reference` holds what bst makes of a thousand texts
//! and compositions; `examples/fuzz.rs` looks for texts that break what holds for all.
//!
//! Text becomes bytes with line and column in `cursor`, scalars and tags in `scalar` and `tag`, tokens in `scan`,
//! events in `event`, nodes in `parse`. For edits in place `layout` makes spans of the same events instead.
//!
//! | Wanted | Found in |
//! |---|---|
//! | a file's text, `FILE [line L column C]` of a place | [`Files::read`], [`Files::position`] |
//! | text to nodes | [`parse()`] |
//! | typed values: `get_str`, `opt_bool`, `as_enum`, `validate_keys`, … | [`access`] |
//! | a diagnostic as text | [`render()`] |
//! | one mapping over or under another | [`compose::compose`], [`compose::compose_under`] |
//! | a node as bst writes it into files | [`dump()`] |
//! | edits of a file's text in place | [`edit::changes`], [`edit::apply`] |
//! | what a node holds as text, keys in order | [`Node::text`], [`Node::items`], [`Node::entries`], [`Mapping`] |

pub mod access;
pub mod code;
pub mod compose;
mod cursor;
pub mod diagnostic;
pub mod dump;
pub mod edit;
mod event;
pub mod file;
mod layout;
pub mod look;
pub mod mapping;
pub mod nearest;
pub mod node;
pub mod parse;
pub mod render;
mod scalar;
mod scan;
pub mod span;
mod tag;

pub use compose::{assert_fully_composited, compose, compose_under, is_directive};
pub use diagnostic::{Diagnostic, Diagnostics, Domain};
pub use dump::dump;
pub use file::Files;
pub use look::Look;
pub use mapping::{Mapping, Text};
pub use node::{Node, Value, trim};
pub use parse::{parse, parse_text};
pub use render::{RenderOptions, Severity, render, render_all};
pub use span::{FileId, Provenance};
