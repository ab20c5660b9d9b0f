//! Where the project is: here, above, or where the workspace that we are in says.

use crate::exit::Failure;
use crate::settings::environment::normalize;
use bourn_yaml::{Diagnostic, Files};
use std::path::{Path, PathBuf};

/// The file that makes a directory a project.
pub(crate) const PROJECT_FILE: &str = "project.conf";
/// The file that makes a directory a workspace.
pub(crate) const WORKSPACE_FILE: &str = ".bstproject.yaml";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// Directory of the project; `None` if there is none.
    pub(crate) project: Option<PathBuf>,
    /// The element of the workspace through which the project was found.
    pub(crate) workspace_element: Option<String>,
}

/// Looks for a project from `directory` upwards.
///
/// # Errors
/// A workspace file that cannot be read.
pub(crate) fn find(directory: &Path, files: &Files) -> Result<Location, Failure> {
    let absolute = std::path::absolute(directory)
        .map_err(|error| Failure::io(&error, "finding the directory", directory))?;
    let absolute = normalize(&absolute);
    for above in absolute.ancestors() {
        if above.join(PROJECT_FILE).is_file() {
            return Ok(Location { project: Some(above.to_path_buf()), workspace_element: None });
        }
        let workspace = above.join(WORKSPACE_FILE);
        if workspace.is_file() {
            return read_workspace(&workspace, files);
        }
    }
    Ok(Location::default())
}

fn read_workspace(path: &Path, files: &Files) -> Result<Location, Failure> {
    let file = files.read(path, &path.to_string_lossy(), None)?;
    let node = bourn_yaml::parse(files, file)?;
    let version = node.get_int("format-version")?;
    if version != 1 {
        let text = format!("Format version {version} of this workspace is not known; it should be 1");
        return Err(Diagnostic::load("invalid-data", text).at(node.at).into());
    }
    let Some(first) = node.get_sequence("projects")?.first() else {
        let text = "This workspace does not say which project it belongs to";
        return Err(Diagnostic::load("invalid-data", text).at(node.at).into());
    };
    Ok(Location {
        project: Some(PathBuf::from(first.get_str("project-path")?)),
        workspace_element: Some(first.get_str("element-name")?.to_owned()),
    })
}
