//! Computations of kinds that no fixed step can say, and what they are given to work with.
//!
//! A few kinds make files out of what they know and find: a manifest of sources, a script of integration commands,
//! an image out of layers. Each of them is a [`Compute`]: a function of the element, the tree of the sandbox and the
//! artifacts of its dependencies, seen through a [`Workbench`]. It touches nothing else, so it is as repeatable as
//! the other steps, and its tests use a workbench in memory.

use crate::assembly::{Run, Split, Stage};
use crate::closure::Edges;
use crate::source::{PlannedSource, SourceProvenance};
use bourn_project::{ElementGraph, ElementId};
use bourn_reapi::Digest;
use bourn_yaml::Node;
use std::fmt;
use std::io::{self, Read, Write};

/// A computation. Its `Debug` text names it and its parameters for people.
pub trait Compute: fmt::Debug + Send + Sync {
    /// Does it.
    ///
    /// # Errors
    /// What the kind finds wrong, and whatever the workbench reports.
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError>;
}

/// A failure while assembling.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AssemblyError {
    /// bst's reason, or empty.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Longer text.
    pub detail: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// Whether it is the element that failed, so that a failed artifact is kept; otherwise the world did.
    pub of_element: bool,
    /// Directory with files that are collected although it failed.
    pub collect: Option<Box<str>>,
    /// What is known of where it comes from; otherwise elements or the store, whichever failed.
    pub origin: Option<Box<Origin>>,
}

/// Where an error comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// bst's domain.
    pub domain: &'static str,
    /// Whether trying again may help.
    pub temporary: bool,
}

impl AssemblyError {
    /// The element failed.
    pub fn element(message: impl Into<String>) -> AssemblyError {
        AssemblyError { message: message.into(), of_element: true, ..AssemblyError::default() }
    }

    /// The world failed.
    pub fn world(message: impl Into<String>) -> AssemblyError {
        AssemblyError { message: message.into(), ..AssemblyError::default() }
    }

    /// The same with longer text.
    pub fn detail(mut self, detail: impl Into<String>) -> AssemblyError {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> AssemblyError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for AssemblyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AssemblyError {}

/// What stands at a path of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A file.
    File {
        /// Its content.
        digest: Digest,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it leads, verbatim.
        target: String,
    },
}

/// What a [`Compute`] can see and do. Paths are those of the sandbox's tree: a leading slash means nothing, symbolic
/// links in the middle of a path are followed within the tree, the last component is not.
pub trait Workbench {
    /// The graph.
    fn graph(&self) -> &ElementGraph;

    /// Its dependencies, for walks.
    fn edges(&self) -> &Edges;

    /// The element that is built.
    fn element(&self) -> ElementId;

    /// A domain of the public data kept in a dependency's artifact; `None` when it has no such domain.
    ///
    /// # Errors
    /// The artifact cannot be read.
    fn public(&self, dependency: ElementId, domain: &str) -> Result<Option<Node>, AssemblyError>;

    /// A domain of the element's own public data, as changed so far.
    fn own_public(&self, domain: &str) -> Option<Node>;

    /// Sets a domain of the element's own public data.
    fn set_public(&mut self, domain: &str, value: Node);

    /// The relative paths of what an artifact holds that the split takes, directories included, in bst's order: the
    /// files and links of a directory sorted, then each of its directories, sorted, followed by what it holds (bst:
    /// `compute_manifest`).
    ///
    /// # Errors
    /// The artifact cannot be read.
    fn manifest(&self, dependency: ElementId, split: &Split) -> Result<Vec<String>, AssemblyError>;

    /// The relative paths of what a directory of the tree holds, in the order of [`Workbench::manifest`]; `None` when
    /// there is no such directory.
    ///
    /// # Errors
    /// The store cannot be read.
    fn paths(&self, path: &str) -> Result<Option<Vec<String>>, AssemblyError>;

    /// `PROJECT/ELEMENT/KEY` of a dependency's artifact.
    fn artifact_name(&self, dependency: ElementId) -> String;

    /// The configured sources of an element, in order.
    fn sources(&self, element: ElementId) -> &[PlannedSource];

    /// What each source of an element, in order, says of where it comes from; `None` for kinds that do not say.
    ///
    /// # Errors
    /// Local files that cannot be read, sources without a ref.
    fn provenance(&self, element: ElementId) -> Result<Vec<Option<Vec<SourceProvenance>>>, AssemblyError>;

    /// What stands at a path; `None` when nothing does.
    ///
    /// # Errors
    /// The store cannot be read.
    fn entry(&self, path: &str) -> Result<Option<Entry>, AssemblyError>;

    /// The names in a directory with what they are, sorted by name; `None` when there is no such directory.
    ///
    /// # Errors
    /// The store cannot be read.
    fn list(&self, path: &str) -> Result<Option<Vec<(String, Entry)>>, AssemblyError>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// There is no file at this path, or the store cannot be read.
    fn open(&self, path: &str) -> Result<Box<dyn Read>, AssemblyError>;

    /// Writes a file, replacing what was there; its directory is created when missing.
    ///
    /// # Errors
    /// Something in the way, a full disk, or what `content` reports.
    fn write(
        &mut self,
        path: &str,
        executable: bool,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Digest, AssemblyError>;

    /// Creates a directory with its parents unless it exists.
    ///
    /// # Errors
    /// Something in the way.
    fn create_directory(&mut self, path: &str) -> Result<(), AssemblyError>;

    /// Removes what is at a path, a directory with all it holds. Nothing there is fine.
    ///
    /// # Errors
    /// The store cannot be read.
    fn remove(&mut self, path: &str) -> Result<(), AssemblyError>;

    /// Moves a file to another path; its directory is created when missing.
    ///
    /// # Errors
    /// Nothing there, or something in the way.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), AssemblyError>;

    /// Imports the content of one directory into another, as staging does: files replace files, directories merge.
    /// `keep`, when given, is asked for every path below `from` that is no directory.
    ///
    /// # Errors
    /// No such directory, or the store cannot be read.
    fn import(
        &mut self,
        from: &str,
        into: &str,
        keep: Option<&dyn Fn(&str) -> bool>,
    ) -> Result<(), AssemblyError>;

    /// Stages artifacts, as [`Step::Stage`](crate::Step::Stage) does.
    ///
    /// # Errors
    /// As staging.
    fn stage(&mut self, stage: &Stage) -> Result<(), AssemblyError>;

    /// Runs commands, as [`Step::Run`](crate::Step::Run) does.
    ///
    /// # Errors
    /// As running.
    fn run(&mut self, run: &Run) -> Result<(), AssemblyError>;

    /// Room on disk for data that comes before it is known where it belongs; gone when it is dropped.
    ///
    /// # Errors
    /// No room.
    fn scratch(&mut self) -> Result<Box<dyn Scratch>, AssemblyError>;

    /// Says something worth knowing.
    fn info(&self, message: &str);

    /// Warns.
    ///
    /// # Errors
    /// The warning is fatal in this project.
    fn warn(&self, token: Option<&str>, message: &str, detail: Option<&str>) -> Result<(), AssemblyError>;

    /// Does something under a heading in the log. With `silent`, messages within are not shown.
    ///
    /// # Errors
    /// What `work` reports.
    fn activity(
        &mut self,
        name: &str,
        silent: bool,
        work: &mut dyn FnMut(&mut dyn Workbench) -> Result<(), AssemblyError>,
    ) -> Result<(), AssemblyError>;
}

/// A nameless file.
pub trait Scratch: Read + Write + io::Seek {}

impl<T: Read + Write + io::Seek> Scratch for T {}
