//! The open workspaces of a project (`.bst2/workspaces.yml`), and the file that marks a directory as a workspace.

use crate::exit::Failure;
use crate::location::WORKSPACE_FILE;
use bourn_yaml::{Diagnostic, Files, Mapping, Node};
use indexmap::IndexMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const VERSION: i32 = 4;
const MARKER_VERSION: i32 = 1;

/// One open workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workspace {
    /// Its directory, relative to the project where it is below it.
    pub(crate) path: String,
    /// Key of the last build in it.
    pub(crate) last_build: Option<String>,
}

/// The open workspaces of a project, by full element name, in the order they were opened.
#[derive(Clone, Debug)]
pub(crate) struct Workspaces {
    project: PathBuf,
    open: IndexMap<String, Workspace>,
}

impl Workspaces {
    /// Reads those of the project in that directory.
    ///
    /// # Errors
    /// A file that cannot be read, or is of another version.
    pub(crate) fn load(project: &Path, files: &Files) -> Result<Workspaces, Failure> {
        let mut open = IndexMap::new();
        let path = file(project);
        if path.exists() {
            let file = files.read(&path, "workspaces.yml", None)?;
            let node = bourn_yaml::parse(files, file)?;
            check_version(&node)?;
            if let Some(workspaces) = node.opt_mapping("workspaces")? {
                for (element, workspace) in workspaces.as_mapping()?.iter() {
                    open.insert(element.to_string(), read(workspace)?);
                }
            }
        }
        Ok(Workspaces { project: project.to_path_buf(), open })
    }

    /// None at all.
    pub(crate) fn none() -> Workspaces {
        Workspaces { project: PathBuf::new(), open: IndexMap::new() }
    }

    /// Leaves away those that `keep` says no to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.open.retain(|element, _| keep(element));
    }

    /// Every open workspace.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Workspace)> {
        self.open.iter().map(|(element, workspace)| (element.as_str(), workspace))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The workspace of an element.
    pub(crate) fn get(&self, element: &str) -> Option<&Workspace> {
        self.open.get(element)
    }

    /// The directory of an element's workspace.
    pub(crate) fn directory(&self, element: &str) -> Option<PathBuf> {
        self.get(element).map(|workspace| self.project.join(&workspace.path))
    }

    /// Notes a new workspace. `directory` is absolute.
    pub(crate) fn open(&mut self, element: &str, directory: &Path) {
        let path = match directory.strip_prefix(&self.project) {
            Ok(below) if !below.as_os_str().is_empty() => below,
            Ok(_) => Path::new("."),
            Err(_) => directory,
        };
        let path = path.to_string_lossy().into_owned();
        self.open.insert(element.to_owned(), Workspace { path, last_build: None });
    }

    /// Forgets a workspace, and the mark in its directory.
    ///
    /// # Errors
    /// The mark cannot be removed.
    pub(crate) fn close(&mut self, element: &str) -> Result<(), Failure> {
        let directory = self.directory(element);
        self.open.shift_remove(element);
        if let Some(directory) = directory {
            let marker = directory.join(WORKSPACE_FILE);
            match std::fs::remove_file(&marker) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::io(&error, "removing", &marker));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the key of the last build, `None` for none. Whether that changed anything.
    pub(crate) fn set_last_build(&mut self, element: &str, key: Option<&str>) -> bool {
        match self.open.get_mut(element) {
            Some(workspace) if workspace.last_build.as_deref() != key => {
                workspace.last_build = key.map(str::to_owned);
                true
            }
            _ => false,
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let mut workspaces = Mapping::new();
        for (element, workspace) in &self.open {
            let mut entry = Mapping::new();
            entry.insert("path", Node::scalar(workspace.path.as_str()));
            if let Some(key) = &workspace.last_build {
                entry.insert("last_build", Node::scalar(key.as_str()));
            }
            workspaces.insert(element.as_str(), Node::mapping(entry));
        }
        let mut top = Mapping::new();
        top.insert("format-version", Node::scalar(VERSION.to_string()));
        top.insert("workspaces", Node::mapping(workspaces));
        write_whole(&file(&self.project), &bourn_yaml::dump(&Node::mapping(top)))
    }

    /// Marks a directory as the workspace of an element, in addition to what it is already.
    ///
    /// # Errors
    /// The mark cannot be read or written.
    pub(crate) fn mark(&self, element: &str, directory: &Path, files: &Files) -> Result<(), Failure> {
        let path = directory.join(WORKSPACE_FILE);
        let mut projects = Vec::new();
        if path.exists() {
            let file = files.read(&path, &path.to_string_lossy(), None)?;
            projects = bourn_yaml::parse(files, file)?.get_sequence("projects")?.to_vec();
        }
        let mut entry = Mapping::new();
        entry.insert("project-path", Node::scalar(self.project.to_string_lossy().into_owned()));
        entry.insert("element-name", Node::scalar(element));
        projects.push(Node::mapping(entry));
        let mut top = Mapping::new();
        top.insert("projects", Node::sequence(projects));
        top.insert("format-version", Node::scalar(MARKER_VERSION.to_string()));
        write_whole(&path, &bourn_yaml::dump(&Node::mapping(top)))
    }
}

fn file(project: &Path) -> PathBuf {
    project.join(".bst2").join("workspaces.yml")
}

fn check_version(node: &Node) -> Result<(), Failure> {
    let version = node.opt_int("format-version")?.unwrap_or(0);
    if version == VERSION {
        return Ok(());
    }
    let advice = if version < VERSION { "close and open this workspace anew" } else { "use a newer program" };
    let text = format!("Workspace configuration format version {version} not supported");
    Err(Diagnostic::load("invalid-data", text).at(node.at).hint(advice).into())
}

fn read(node: &Node) -> Result<Workspace, Failure> {
    Ok(Workspace {
        path: node.get_str("path")?.to_owned(),
        last_build: node.opt_str("last_build")?.map(str::to_owned),
    })
}

/// Writes a file beside its place and moves it there.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    write_whole_bytes(path, text.as_bytes())
}

/// The same for what is no text.
pub(crate) fn write_whole_bytes(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::io(&error, "writing", path);
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fail)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| {
            // What replaces a file has the permissions that it had.
            if let Ok(old) = path.metadata() {
                file.set_permissions(old.permissions())?;
            }
            file.write_all(content)
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        fail(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_survive() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = directory.path();
        let files = Files::default();
        let mut workspaces = Workspaces::load(project, &files).expect("no file is no error");
        workspaces.open("a.bst", &project.join("work/a"));
        workspaces.open("j.bst:b.bst", Path::new("/elsewhere"));
        assert!(workspaces.set_last_build("a.bst", Some("k")));
        workspaces.save().expect("saved");
        let text = std::fs::read_to_string(project.join(".bst2/workspaces.yml")).expect("a file");
        let expect = "format-version: 4\nworkspaces:\n  a.bst:\n    path: work/a\n    last_build: k\n  \
                      j.bst:b.bst:\n    path: /elsewhere\n";
        assert_eq!(text, expect);
        let again = Workspaces::load(project, &files).expect("loaded");
        assert_eq!(again.directory("a.bst"), Some(project.join("work/a")));
        assert_eq!(again.get("a.bst").and_then(|open| open.last_build.as_deref()), Some("k"));
    }

    #[test]
    fn other_versions_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join(".bst2")).expect("created");
        for version in ["3", "5", "pony"] {
            let text = format!("format-version: {version}\n");
            std::fs::write(file(directory.path()), text).expect("written");
            let failure = Workspaces::load(directory.path(), &Files::default()).expect_err(version);
            assert_eq!(failure.reason.as_deref(), Some("invalid-data"), "{version}");
        }
    }
}
