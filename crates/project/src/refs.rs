//! `project.refs` and `junction.refs`: refs of sources apart from the elements.

use crate::condition;
use crate::option::Options;
use crate::read::read as read_file;
use bourn_yaml::{Diagnostic, Diagnostics, Files, Node, assert_fully_composited};
use std::path::Path;

/// Reads a file of refs: what it holds below `projects`. A missing file holds nothing.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(
    files: &Files,
    path: &Path,
    display: &str,
    options: &Options,
) -> Result<Option<Node>, Diagnostics> {
    let mut node = match read_file(files, path, display, None) {
        Ok(parsed) => parsed.node,
        Err(wrong) if wrong.0.first().is_some_and(|first| first.code == "missing-file") => return Ok(None),
        Err(wrong) => return Err(wrong),
    };
    condition::process(&mut node, options, &[])?;
    assert_fully_composited(&node)?;
    node.validate_keys(&["projects"])?;
    Ok(node.opt_mapping("projects")?.cloned())
}

/// The ref of a source, as its kind reads it.
///
/// # Errors
/// `invalid-data` when something else than a mapping stands where it should be.
pub(crate) fn lookup<'r>(
    projects: Option<&'r Node>,
    project: &str,
    element: &str,
    index: usize,
) -> Result<Option<&'r Node>, Diagnostic> {
    let Some(list) = projects.and_then(|projects| projects.get(project)?.get(element)) else {
        return Ok(None);
    };
    let Some(found) = list.items().and_then(|items| items.get(index)) else { return Ok(None) };
    if found.entries().is_some() {
        Ok(Some(found))
    } else {
        Err(list.wrong_type(&format!("[{index}]"), "dict"))
    }
}
