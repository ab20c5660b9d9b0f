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
    /// Heading in the log (`Running build-commands`).
    pub label: String,
    /// The commands, each run by `sh -e -c`.
    pub commands: Vec<String>,
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
    /// Creates empty directories that commands may write to.
    MarkDirectories {
        /// Absolute paths.
        paths: Vec<String>,
    },
    /// Runs commands in the sandbox.
    Run {
        /// The commands.
        groups: Vec<CommandGroup>,
        /// Working directory.
        directory: String,
        /// Whether all but the marked directories is read-only.
        root_read_only: bool,
        /// Whether failure keeps the build directory for inspection and incremental builds skip it (configure).
        once_in_workspace: bool,
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
