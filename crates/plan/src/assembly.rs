//! What is done to build an element, as a closed list of steps.
//!
//! Kinds answer with these and nothing else, so that `show`, keys, explanations, dry runs and remote execution
//! need nothing more of a kind, and a kind's tests need neither disk nor sandbox.

use bourn_project::ElementId;

/// The steps that turn sources and dependencies into files.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Assembly {
    /// In order.
    pub steps: Vec<Step>,
    /// Environment added to or overriding the element's own.
    pub environment: Vec<(String, String)>,
    /// Variables whose value is the digest (`HASH/SIZE`) of the named dependencies, each with its runtime closure,
    /// staged alone (`digest-environment`); sorted by name.
    pub digest_environment: Vec<(String, Vec<ElementId>)>,
    /// Directory that commands are run in, absolute; `/` when the kind sets none.
    pub directory: Option<String>,
    /// Directories, absolute, that exist in the sandbox and that commands may write to even when the rest is
    /// read-only, in the order the kind marks them.
    pub marked: Vec<String>,
}

/// Which files of an artifact, by split-rule domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// Domains included; empty means all.
    pub include: Vec<String>,
    /// Domains excluded.
    pub exclude: Vec<String>,
    /// Whether files that no domain claims are included.
    pub orphans: bool,
}

/// A labelled list of shell commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandGroup {
    /// The commands, each run as `sh -c -e COMMAND`, and labelled with their own text.
    pub commands: Vec<String>,
    /// Whether a workspace that ran these once with success skips them from then on (configure).
    pub once_in_workspace: bool,
}

/// What overlaps of staged files lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlaps {
    /// Warn unless whitelisted.
    Warn,
    /// Never mind.
    Ignore,
    /// An error.
    Error,
}

/// One step.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Stages artifacts and all they need to run at a place of the sandbox.
    StageDependencies {
        /// Direct dependencies to start from, in order; their runtime closure is staged with them.
        from: Vec<ElementId>,
        /// Absolute path.
        into: String,
        /// Which files.
        split: Split,
        /// What overlaps lead to.
        overlaps: Overlaps,
    },
    /// Runs the integration commands of what was staged, in staging order.
    Integrate {
        /// Direct dependencies to start from, as in `StageDependencies`.
        from: Vec<ElementId>,
    },
    /// Stages the element's own sources (or its workspace) at a place of the sandbox.
    StageSources {
        /// Absolute path.
        into: String,
    },
    /// Runs all commands as one script: the first that fails ends it. Cleans the build directory afterwards where
    /// nobody needs it.
    Run {
        /// The commands.
        groups: Vec<CommandGroup>,
        /// Whether all but the marked directories is read-only.
        root_read_only: bool,
        /// Directory that is collected even when a command fails, absolute (`script`).
        collect_on_failure: Option<String>,
    },
    /// Creates a directory, as a kind does that wants it to exist at collection.
    CreateDirectory {
        /// Absolute path.
        path: String,
    },
    /// Takes a directory of the sandbox as the files of the artifact.
    Collect {
        /// Absolute path.
        path: String,
    },
    /// Takes a part of the staged sources as the files (kind `import`).
    CollectSources {
        /// Directory of the sources taken.
        source: String,
        /// Directory of the artifact it becomes.
        target: String,
    },
    /// Takes what the dependencies staged, and integration changed, in the named domains (kind `compose`).
    Compose {
        /// Whether integration commands are run first.
        integrate: bool,
        /// Which files.
        split: Split,
    },
    /// Takes a part of the one build dependency's artifact (kind `filter`).
    Filter {
        /// The dependency.
        from: ElementId,
        /// Which files.
        split: Split,
        /// Whether its integration commands are passed on as the element's own.
        pass_integration: bool,
    },
    /// Leaves no files (kind `stack`).
    CollectNothing,
    /// A step that a plugin outside of this program carries out.
    Foreign {
        /// Kind of the plugin.
        kind: String,
    },
}
