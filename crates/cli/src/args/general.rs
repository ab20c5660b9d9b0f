//! The options that stand before the command.

use crate::args::value::{CacheBuildtrees, MessageFormat, OnError};
use clap::Args;
use clap::builder::ValueHint;

/// Options of the program itself. Each overrides what the user's configuration says.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct General {
    /// Print the version and exit
    #[arg(long)]
    pub(crate) version: bool,
    /// Configuration file to use instead of the user's own
    #[arg(long, short = 'c', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<String>,
    /// Directory of the project (default: the current directory, or one above it)
    #[arg(long, short = 'C', value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<String>,
    /// How to go on after a job failed
    #[arg(long, value_name = "HOW")]
    pub(crate) on_error: Option<OnError>,
    /// How many downloads run at the same time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) fetchers: Option<i32>,
    /// How many elements are built at the same time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) builders: Option<i32>,
    /// How many uploads run at the same time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pushers: Option<i32>,
    /// How many jobs a single build may run in parallel
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_jobs: Option<i32>,
    /// How often a download or upload is tried again
    #[arg(long, value_name = "NUMBER")]
    pub(crate) network_retries: Option<i32>,
    /// Never ask anything
    #[arg(long)]
    pub(crate) no_interactive: bool,
    /// Say what every job does
    #[arg(long, overrides_with = "no_verbose")]
    pub(crate) verbose: bool,
    /// Say what matters only
    #[arg(long, overrides_with = "verbose")]
    pub(crate) no_verbose: bool,
    /// Say what helps to find faults in the program
    #[arg(long, overrides_with = "no_debug")]
    pub(crate) debug: bool,
    /// Do not say what helps to find faults in the program
    #[arg(long, overrides_with = "debug")]
    pub(crate) no_debug: bool,
    /// How many lines of a failed job's log are shown
    #[arg(long, value_name = "NUMBER")]
    pub(crate) error_lines: Option<i32>,
    /// How many lines of a long message are shown
    #[arg(long, value_name = "NUMBER")]
    pub(crate) message_lines: Option<i32>,
    /// Write the messages to this file as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) log_file: Option<String>,
    /// Colour the output even where it is no terminal
    #[arg(long, overrides_with = "no_colors")]
    pub(crate) colors: bool,
    /// Do not colour the output
    #[arg(long, overrides_with = "colors")]
    pub(crate) no_colors: bool,
    /// Build elements again whenever something below them changed
    #[arg(long, overrides_with = "no_strict")]
    pub(crate) strict: bool,
    /// Build elements again only when they themselves changed
    #[arg(long, overrides_with = "strict")]
    pub(crate) no_strict: bool,
    /// Set an option of the project
    #[arg(long, short = 'o', num_args = 2, value_names = ["OPTION", "VALUE"])]
    pub(crate) option: Vec<String>,
    /// The mirror to download from before all others
    #[arg(long, value_name = "NAME")]
    pub(crate) default_mirror: Option<String>,
    /// Download build directories together with artifacts
    #[arg(long)]
    pub(crate) pull_buildtrees: bool,
    /// When to keep the build directory with an artifact
    #[arg(long, value_name = "WHEN")]
    pub(crate) cache_buildtrees: Option<CacheBuildtrees>,
    /// What messages look like
    #[arg(long, value_name = "FORMAT")]
    pub(crate) message_format: Option<MessageFormat>,
}

impl General {
    /// `--verbose`, `--no-verbose`, or neither.
    pub(crate) fn verbose(&self) -> Option<bool> {
        pair(self.verbose, self.no_verbose)
    }

    /// `--debug`, `--no-debug`, or neither.
    pub(crate) fn debug(&self) -> Option<bool> {
        pair(self.debug, self.no_debug)
    }

    /// `--colors`, `--no-colors`, or neither.
    pub(crate) fn colors(&self) -> Option<bool> {
        pair(self.colors, self.no_colors)
    }

    /// `--strict`, `--no-strict`, or neither.
    pub(crate) fn strict(&self) -> Option<bool> {
        pair(self.strict, self.no_strict)
    }

    /// `--option` as names and values.
    pub(crate) fn options(&self) -> Vec<(String, String)> {
        self.option.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

fn pair(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
