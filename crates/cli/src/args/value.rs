//! Values that options take out of a closed list.

use clap::ValueEnum;
use std::fmt;

/// `--deps`: which elements besides the targets a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Selection {
    /// Nothing but the targets
    None,
    /// What the targets need to be built, without the targets
    Build,
    /// The targets and what they need at run time
    Run,
    /// The targets and everything below them
    All,
}

impl From<Selection> for bourn_project::selection::Selection {
    fn from(selection: Selection) -> bourn_project::selection::Selection {
        use bourn_project::selection::Selection as Selected;
        match selection {
            Selection::None => Selected::None,
            Selection::Build => Selected::Build,
            Selection::Run => Selected::Run,
            Selection::All => Selected::All,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Selection::None => "none",
            Selection::Build => "build",
            Selection::Run => "run",
            Selection::All => "all",
        })
    }
}

/// `--on-error`: how to go on after a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Build all that does not need the failed element
    Continue,
    /// Finish what runs, then stop
    Quit,
    /// Stop what runs
    Terminate,
}

/// `--cache-buildtrees`: when the build directory is kept with an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheBuildtrees {
    /// With every artifact
    Always,
    /// With failed builds and with builds of workspaces
    Auto,
    /// With none
    Never,
}

/// `--order` of `show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// As they are staged: dependencies first
    Stage,
    /// By name
    Alpha,
}

/// `--compression` of tarballs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// gzip
    Gz,
    /// xz
    Xz,
    /// bzip2
    Bz2,
}

/// `--message-format`: what is written while a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// Lines, or a live display on a terminal
    Text,
    /// One JSON object per line on standard error
    Json,
}

/// Shells that completion scripts exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}
