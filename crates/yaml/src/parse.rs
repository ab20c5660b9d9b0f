//! From text to [`Node`].

use crate::diagnostic::Diagnostics;
use crate::file::Files;
use crate::node::Node;
use crate::span::FileId;

/// Parses the text of a registered file.
///
/// # Errors
/// Everything that YAML or BuildStream's dialect forbids, with its place.
pub fn parse(files: &Files, file: FileId) -> Result<Node, Diagnostics> {
    let _ = files.get(file);
    todo!()
}
