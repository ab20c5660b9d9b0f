//! The one way in.

use crate::graph::{ElementGraph, Project, ProjectId, SourceDeclaration};
use crate::kinds::Kinds;
use bourn_yaml::{Diagnostics, Files, Node};
use indexmap::IndexMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What to load and how.
pub struct LoadOptions<'a> {
    /// Directory of the toplevel project.conf.
    pub directory: PathBuf,
    /// Elements, as named on the command line; empty means the project's defaults.
    pub targets: Vec<String>,
    /// Elements named with `--except`.
    pub except: Vec<String>,
    /// `--option NAME VALUE`.
    pub options: Vec<(String, String)>,
    /// `--default-mirror`.
    pub default_mirror: Option<String>,
    /// `projects:` of the user configuration: per project name, a mapping (`options`, `strict`, `default-mirror` …).
    pub project_overrides: IndexMap<String, Node>,
    /// `max-jobs`, resolved.
    pub max_jobs: u32,
    /// Architecture of this machine, as the machine names it (`uname -m`: `x86_64`).
    pub host_arch: String,
    /// Operating system of this machine, as the machine names it (`uname -s`: `Linux`).
    pub host_os: String,
    /// The kinds known.
    pub kinds: &'a dyn Kinds,
    /// Directories in which junctions were already staged, by [`JunctionNeed::key`].
    pub junctions: IndexMap<String, PathBuf>,
    /// Looks up where a junction was staged before, for those not in `junctions`: given the chance, a load whose
    /// junctions are all on disk succeeds at once. It must not fetch.
    pub locate: Option<&'a (dyn Fn(&JunctionNeed) -> Option<PathBuf> + Sync)>,
    /// Open workspaces: element full name to what is kept of it.
    pub workspaces: IndexMap<String, Workspace>,
}

/// An open workspace, as far as it enters the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Absolute path of its directory.
    pub directory: PathBuf,
    /// Key of the last build in it, empty if there was none.
    pub last_build: String,
}

/// A junction whose project is not on disk yet.
#[derive(Debug)]
pub struct JunctionNeed {
    /// Names the need; the answer goes into [`LoadOptions::junctions`] under this.
    pub key: String,
    /// Full name of the junction element.
    pub name: String,
    /// Name of the junction element below its project's element path.
    pub element: String,
    /// Its sources, ready to be fetched and staged.
    pub sources: Vec<SourceDeclaration>,
    /// The project that declares it, in `projects`.
    pub project: ProjectId,
    /// The projects loaded so far, as junction elements see them (aliases and mirrors of the first pass).
    pub projects: Arc<[Project]>,
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
