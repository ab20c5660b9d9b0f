//! Text to [`Node`]: every node knows where it was written.
//!
//! The dialect is BuildStream's: one document, a mapping at the top, string keys, scalars are strings, no
//! anchors, no tags beyond the core ones, duplicate keys are errors.

pub mod compose;
pub mod diagnostic;
pub mod edit;
pub mod file;
pub mod node;
pub mod parse;
pub mod span;

pub use diagnostic::{Diagnostic, Diagnostics, Domain};
pub use file::Files;
pub use node::{Mapping, Node, Value};
pub use parse::parse;
pub use span::{FileId, Provenance};
