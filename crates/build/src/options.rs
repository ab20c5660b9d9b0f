//! How a run is to be done: values that come from the command line and the user's configuration.

use crate::duration::Durations;
use crate::log::LogOptions;
use std::collections::HashMap;
use std::path::PathBuf;

/// When the build directory of an element is kept with its artifact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CacheBuildTrees {
    /// Always.
    Always,
    /// After failures, and in workspaces.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// How a run is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether an element is rebuilt whenever anything below it changes (`--strict`, `projects.NAME.strict`).
    pub strict: bool,
    /// Whether a failed build in the cache is tried again (`--retry-failed`).
    pub retry_failed: bool,
    /// `cache.cache-buildtrees`.
    pub cache_build_trees: CacheBuildTrees,
    /// `cache.pull-buildtrees`.
    pub pull_build_trees: bool,
    /// Elements built at the same time (`scheduler.builders`).
    pub builders: usize,
    /// Elements fetched or pulled at the same time (`scheduler.fetchers`).
    pub fetchers: usize,
    /// Elements pushed at the same time (`scheduler.pushers`).
    pub pushers: usize,
    /// How often a transfer that failed for a passing reason is tried again (`scheduler.network-retries`).
    pub network_retries: u32,
    /// Where downloads are kept (`sourcedir`).
    pub source_directory: PathBuf,
    /// An existing directory for temporary files, on the file system of the cache.
    pub temporary_directory: PathBuf,
    /// Log files.
    pub log: LogOptions,
    /// Open workspaces by full element name.
    pub workspaces: HashMap<String, Workspace>,
    /// How long builds took before.
    pub durations: Durations,
    /// What elements may ask of the machine, as bst names it.
    pub machine: Machine,
}

/// An open workspace.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// Strong key of the last build in it.
    pub last_build: Option<String>,
}

/// The machine that commands are run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Operating system (`linux`).
    pub os: String,
    /// Architectures that can be run (`x86-64`).
    pub architectures: Vec<String>,
}
