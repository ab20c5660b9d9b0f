//! `bourn artifact …`

use crate::args::command::{Remotes, deps};
use crate::args::remote;
use crate::args::value::{Compression, Selection};
use crate::settings::remote::RemoteSpec;
use clap::builder::ValueHint;
use clap::{Args, Subcommand};

/// Commands on what was built.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ArtifactCommand {
    /// Write the files of an artifact into a directory or a tarball
    #[command(after_help = "Example: bourn artifact checkout hello.bst --directory ./hello")]
    Checkout(Checkout),
    /// Forget artifacts of the local cache
    #[command(after_help = "Example: bourn artifact delete hello.bst 'demo/old-*/*'")]
    Delete(Delete),
    /// List the files of artifacts
    #[command(after_help = "Example: bourn artifact list-contents --long hello.bst")]
    ListContents(ListContents),
    /// Show the build logs kept with artifacts
    #[command(after_help = "Example: bourn artifact log hello.bst")]
    Log(Log),
    /// Download artifacts
    #[command(after_help = "Example: bourn artifact pull --deps all hello.bst")]
    Pull(Pull),
    /// Upload artifacts
    #[command(after_help = "Example: bourn artifact push --deps all hello.bst")]
    Push(Push),
    /// Say which artifacts are here and which could be downloaded
    #[command(after_help = "Example: bourn artifact show --deps all hello.bst")]
    Show(Show),
}

/// `artifact checkout`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Checkout {
    /// Write into a directory that is not empty, over files that exist
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Which elements' files to write
    #[arg(long, short, value_name = "WHICH", default_value = "run", value_parser = deps(&["run", "build", "none", "all"]))]
    pub(crate) deps: Selection,
    /// Run integration commands before (default)
    #[arg(long, overrides_with = "no_integrate")]
    pub(crate) integrate: bool,
    /// Do not run integration commands
    #[arg(long, overrides_with = "integrate")]
    pub(crate) no_integrate: bool,
    /// Link files to the cache instead of copying them; they must not be changed then
    #[arg(long)]
    pub(crate) hardlinks: bool,
    /// Write a tarball instead of a directory; `-` is the standard output
    #[arg(long, value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub(crate) tar: Option<String>,
    /// How the tarball is compressed (default: by its name)
    #[arg(long, value_name = "HOW")]
    pub(crate) compression: Option<Compression>,
    /// The directory to write to (default: named after the element)
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<String>,
    /// A remote to download artifacts from
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Element or artifact (default: the element of the workspace this is run in)
    pub(crate) target: Option<String>,
}

/// `artifact delete`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Delete {
    /// Which elements' artifacts to forget
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["none", "run", "build", "all"]))]
    pub(crate) deps: Selection,
    /// Elements, artifacts, or patterns of either
    pub(crate) artifacts: Vec<String>,
}

/// `artifact list-contents`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListContents {
    /// Show type, permissions and size as well
    #[arg(long, short)]
    pub(crate) long: bool,
    /// Elements, artifacts, or patterns of either
    pub(crate) artifacts: Vec<String>,
}

/// `artifact log`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Log {
    /// Write each log into a file in this new directory instead of the standard output
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) out: Option<String>,
    /// Elements, artifacts, or patterns of either
    pub(crate) artifacts: Vec<String>,
}

/// `artifact pull`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Pull {
    /// Which elements' artifacts to download
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["build", "none", "run", "all"]))]
    pub(crate) deps: Selection,
    /// A remote to download artifacts from
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Elements, artifacts, or patterns of either (default: the project's targets)
    pub(crate) artifacts: Vec<String>,
}

/// `artifact push`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Push {
    /// Which elements' artifacts to upload
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["build", "none", "run", "all"]))]
    pub(crate) deps: Selection,
    /// A remote to upload artifacts to
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::push)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Elements, artifacts, or patterns of either (default: the project's targets)
    pub(crate) artifacts: Vec<String>,
}

/// `artifact show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// Which elements' artifacts to show
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["build", "run", "all", "none"]))]
    pub(crate) deps: Selection,
    /// A remote to download artifacts from
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Elements, artifacts, or patterns of either
    pub(crate) artifacts: Vec<String>,
}

impl Checkout {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_artifacts(&self.artifact_remotes, self.ignore_project_artifact_remotes)
    }
}

impl Pull {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_artifacts(&self.artifact_remotes, self.ignore_project_artifact_remotes)
    }
}

impl Push {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_artifacts(&self.artifact_remotes, self.ignore_project_artifact_remotes)
    }
}

impl Show {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_artifacts(&self.artifact_remotes, self.ignore_project_artifact_remotes)
    }
}
