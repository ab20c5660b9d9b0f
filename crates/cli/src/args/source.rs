//! `bourn source …`

use crate::args::command::{Remotes, deps};
use crate::args::remote;
use crate::args::value::{Compression, Selection};
use crate::settings::remote::RemoteSpec;
use clap::builder::ValueHint;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Commands on sources.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum SourceCommand {
    /// Write the sources of an element into a directory or a tarball
    #[command(after_help = "Example: bourn source checkout hello.bst --directory ./hello-src")]
    Checkout(Checkout),
    /// Download sources
    #[command(after_help = "Example: bourn source fetch --deps all hello.bst")]
    Fetch(Fetch),
    /// Bring everything that sources are fetched from into a directory that works as a mirror
    #[command(after_help = "Example: bourn source mirror --deps all /srv/mirror hello.bst")]
    Mirror(Mirror),
    /// Upload sources to source caches
    #[command(after_help = "Example: bourn source push --deps all hello.bst")]
    Push(Push),
    /// Find the newest refs of sources and write them into the project
    #[command(after_help = "Example: bourn source track hello.bst")]
    Track(Track),
}

/// `source checkout`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Checkout {
    /// Write into a directory that is not empty, over files that exist
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements' sources to write
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["build", "none", "run", "all"]))]
    pub(crate) deps: Selection,
    /// Write a tarball instead of a directory
    #[arg(long, value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub(crate) tar: Option<String>,
    /// How the tarball is compressed
    #[arg(long, value_name = "HOW")]
    pub(crate) compression: Option<Compression>,
    /// Write scripts that build the elements without this program
    #[arg(long)]
    pub(crate) include_build_scripts: bool,
    /// The directory to write to
    #[arg(long, value_name = "DIRECTORY", default_value = "source-checkout", value_hint = ValueHint::DirPath)]
    pub(crate) directory: String,
    /// A remote to download sources from
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Element (default: the one of the workspace this is run in)
    pub(crate) element: Option<String>,
}

/// `source fetch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fetch {
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements' sources to download
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["none", "build", "run", "all"]))]
    pub(crate) deps: Selection,
    /// A remote to download sources from
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::pull)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

/// `source mirror`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Mirror {
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements' sources to bring
    #[arg(long, short, value_name = "WHICH", default_value = "all", value_parser = deps(&["none", "build", "run", "all"]))]
    pub(crate) deps: Selection,
    /// The URL that the directory is served at, for the configuration that is written (default: the directory itself)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) url: Option<String>,
    /// The directory of the mirror; what it has already is not brought again
    #[arg(value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

/// `source push`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Push {
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements' sources to upload
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["none", "build", "run", "all"]))]
    pub(crate) deps: Selection,
    /// A remote to upload sources to
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::push)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

/// `source track`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Track {
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements' sources to track
    #[arg(long, short, value_name = "WHICH", default_value = "none", value_parser = deps(&["build", "run", "all", "none"]))]
    pub(crate) deps: Selection,
    /// Track elements of other projects as well
    #[arg(long, short = 'J')]
    pub(crate) cross_junctions: bool,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

impl Checkout {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_sources(&self.source_remotes, self.ignore_project_source_remotes)
    }
}

impl Fetch {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_sources(&self.source_remotes, self.ignore_project_source_remotes)
    }
}

impl Push {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes::of_sources(&self.source_remotes, self.ignore_project_source_remotes)
    }
}
