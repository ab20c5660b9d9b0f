//! The one way in.

use crate::graph::{ElementGraph, Project, SourceDeclaration};
use crate::kinds::Kinds;
use bourn_yaml::{Diagnostics, Files, Node};
use indexmap::IndexMap;
use std::path::PathBuf;

/// What to load and how.
pub struct LoadOptions<'a> {
    /// Directory of the toplevel project.conf.
    pub directory: PathBuf,
    /// Elements, as named on the command line; empty means the project's defaults.
    pub targets: Vec<String>,
    /// `--option NAME VALUE`.
    pub options: Vec<(String, String)>,
    /// `projects:` of the user configuration: per project name, a mapping (`options`, `strict`, `default-mirror` …).
    pub project_overrides: IndexMap<String, Node>,
    /// `max-jobs`, resolved.
    pub max_jobs: u32,
    /// Architecture of this machine as bst names it (`x86_64`).
    pub host_arch: String,
    /// Operating system of this machine as bst names it (`linux`).
    pub host_os: String,
    /// The kinds known.
    pub kinds: &'a dyn Kinds,
    /// Directories in which junctions were already staged, by the key the loader asked for.
    pub junctions: IndexMap<String, PathBuf>,
    /// Open workspaces: element full name to directory.
    pub workspaces: IndexMap<String, PathBuf>,
    /// Whether sources without a ref are fine (`track`).
    pub allow_missing_refs: bool,
}

/// A junction whose project is not on disk yet.
#[derive(Debug)]
pub struct JunctionNeed {
    /// Names the need; the answer goes into [`LoadOptions::junctions`] under this.
    pub key: String,
    /// Full name of the junction element.
    pub name: String,
    /// Its sources, ready to be fetched and staged.
    pub sources: Vec<SourceDeclaration>,
    /// The project that declares it (for aliases and mirrors).
    pub project: Project,
}

/// What came of loading.
#[derive(Debug)]
pub enum Loaded {
    /// All of it.
    Graph(ElementGraph),
    /// Junctions have to be staged first.
    NeedsJunctions(Vec<JunctionNeed>),
}

/// Loads a project and the elements reached from the targets.
///
/// # Errors
/// Everything that is wrong with the files, as far as it is independent.
pub fn load(files: &Files, options: &LoadOptions<'_>) -> Result<Loaded, Diagnostics> {
    let _ = (files, options);
    todo!()
}
