//! Building by plugins outside of this program.
//!
//! No fixed list of steps says what such a plugin does: it asks for one thing after the other, through a
//! [`ForeignBench`]. What it may ask for is what the steps of an [`Assembly`](crate::Assembly) do, and looking at and
//! changing the tree of a sandbox.

use crate::workbench::{AssemblyError, Workbench};
use bourn_project::ElementId;
use bourn_reapi::Digest;
use bourn_reapi::services::Cancel;
use bourn_reapi::tree::ImportReport;
use std::fmt;
use std::path::Path;

/// A plugin that builds one element.
pub trait Foreign: fmt::Debug + Send + Sync {
    /// Begins to build it.
    ///
    /// # Errors
    /// What runs plugins cannot be started.
    fn begin(&self) -> Result<Box<dyn ForeignBuild>, AssemblyError>;
}

/// A build under way. The phases are called once each, in this order; a shell needs no third.
pub trait ForeignBuild {
    /// Sets up the sandbox.
    ///
    /// # Errors
    /// What the plugin raises.
    fn configure(&mut self, bench: &mut dyn ForeignBench) -> Result<(), AssemblyError>;

    /// Stages.
    ///
    /// # Errors
    /// What the plugin raises.
    fn stage(&mut self, bench: &mut dyn ForeignBench) -> Result<(), AssemblyError>;

    /// Builds: the directory that is collected, if any.
    ///
    /// # Errors
    /// What the plugin raises.
    fn assemble(&mut self, bench: &mut dyn ForeignBench) -> Result<Option<String>, AssemblyError>;
}

/// One line of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForeignItem {
    /// A command.
    Command(ForeignCommand),
    /// The integration commands of a dependency, as [`Integrate`](crate::assembly::Integrate) runs them.
    Integrate(ElementId),
    /// An empty file of that name in the working directory.
    EmptyFile(String),
    /// Empties a directory when all went well, unless what is in it is to be kept.
    Clean(String),
}

/// A command with everything it is run with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignCommand {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// What messages call it; its command line when there is none.
    pub label: Option<String>,
    /// The environment, in order.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
}

/// What a plugin can see and do beyond a [`Workbench`]. All of both is about the sandbox that was selected last, at
/// first the element's own.
pub trait ForeignBench: Workbench {
    /// Stop asked for?
    fn cancel(&self) -> &Cancel;

    /// Whether the element is built in a workspace.
    fn is_workspace(&self) -> bool;

    /// Writes a message to the log of the job: a `debug`, `status`, `info`, `log` or `warn`.
    fn say(&self, kind: &str, text: &str, detail: Option<&str>);

    /// Appends output of the plugin or its tools to the log of the job.
    fn output(&self, text: &str);

    /// Does something under a heading in the log.
    ///
    /// # Errors
    /// What `work` reports.
    fn under(
        &mut self,
        name: &str,
        detail: Option<&str>,
        silent: bool,
        work: &mut dyn FnMut(&mut dyn ForeignBench) -> Result<(), AssemblyError>,
    ) -> Result<(), AssemblyError>;

    /// Selects a sandbox by its number; 0 is the element's own.
    ///
    /// # Errors
    /// There is none of that number.
    fn select(&mut self, sandbox: usize) -> Result<(), AssemblyError>;

    /// Makes another, empty sandbox, and returns its number.
    fn create_sandbox(&mut self) -> usize;

    /// Sets the environment of the sandbox.
    fn set_environment(&mut self, environment: Vec<(String, String)>);

    /// Sets the directory that commands start in.
    fn set_directory(&mut self, directory: String);

    /// Marks a directory.
    fn mark(&mut self, directory: String);

    /// Stages the sources of the element.
    ///
    /// # Errors
    /// The directory is not empty; the sources are not staged.
    fn stage_sources(&mut self, into: &str) -> Result<(), AssemblyError>;

    /// Runs lines as one script; integration alone is shared with all that integrate the same.
    ///
    /// # Errors
    /// A command fails; the sandbox cannot be set up.
    fn run_script(
        &mut self,
        items: &[ForeignItem],
        root_read_only: bool,
        collect_on_failure: Option<&str>,
    ) -> Result<(), AssemblyError>;

    /// Runs one program: its exit status.
    ///
    /// # Errors
    /// The program was not staged; the sandbox cannot be set up.
    fn run_program(&mut self, command: &ForeignCommand, root_read_only: bool) -> Result<i32, AssemblyError>;

    /// The path with all symbolic links followed; `None` when it leads nowhere.
    ///
    /// # Errors
    /// The store cannot be read.
    fn resolve(&self, path: &str) -> Result<Option<String>, AssemblyError>;

    /// The digest of the directory at a path.
    ///
    /// # Errors
    /// No such directory, or the store cannot be read.
    fn tree_digest(&self, path: &str) -> Result<Digest, AssemblyError>;

    /// Imports a directory, of a sandbox or of the host, into one of the sandbox. `keep` is asked for every path
    /// below it; a directory that it refuses is made if something in it is kept. What that did, and the paths of the files and links imported.
    ///
    /// # Errors
    /// No such directory, or the store cannot be read or written.
    fn import_tree(
        &mut self,
        from: ImportFrom<'_>,
        into: &str,
        keep: Option<&dyn Fn(&str) -> bool>,
    ) -> Result<(ImportReport, Vec<String>), AssemblyError>;
}

/// Where a directory is imported from.
#[derive(Clone, Copy, Debug)]
pub enum ImportFrom<'a> {
    /// A directory of the sandbox of that number.
    Sandbox(usize, &'a str),
    /// A directory of the host.
    Host(&'a Path),
}
