//! `bourn workspace …`

use crate::args::command::Remotes;
use crate::args::remote;
use crate::settings::remote::RemoteSpec;
use clap::builder::ValueHint;
use clap::{Args, Subcommand};

/// Commands on workspaces: sources of elements, edited in place.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum WorkspaceCommand {
    /// Give up workspaces
    #[command(after_help = "Example: bourn workspace close --remove-dir hello.bst")]
    Close(Close),
    /// List the open workspaces
    #[command(after_help = "Example: bourn workspace list")]
    List,
    /// Open a workspace: write an element's sources into a directory and build from there
    #[command(after_help = "Example: bourn workspace open hello.bst --directory ./hello")]
    Open(Open),
    /// Put workspaces back to the sources of their elements
    #[command(after_help = "Example: bourn workspace reset hello.bst")]
    Reset(Reset),
}

/// `workspace open`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Open {
    /// Write nothing, only use the directory as it is
    #[arg(long)]
    pub(crate) no_checkout: bool,
    /// Go ahead even if the directory is not empty or the element has a workspace already
    #[arg(long, short)]
    pub(crate) force: bool,
    /// The directory (for a single element; default: named after the element)
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<String>,
    /// A remote to download sources from
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Elements
    #[arg(required = true)]
    pub(crate) elements: Vec<String>,
}

/// `workspace close`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Close {
    /// Remove the directory too
    #[arg(long)]
    pub(crate) remove_dir: bool,
    /// Close every open workspace
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Elements (default: the one of the workspace this is run in)
    pub(crate) elements: Vec<String>,
}

/// `workspace reset`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reset {
    /// Leave the files alone, only configure anew with the next build
    #[arg(long)]
    pub(crate) soft: bool,
    /// Reset every open workspace
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Elements (default: the one of the workspace this is run in)
    pub(crate) elements: Vec<String>,
}

impl Open {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_sources(&self.source_remotes, self.ignore_project_source_remotes)
    }
}
