//! `bourn cache …`

use clap::{Args, Subcommand};

/// Commands on the local cache.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum CacheCommand {
    /// Remove what was not used for longest, or all
    #[command(after_help = "Example: bourn cache clean --to 20G")]
    Clean(Clean),
    /// Check every object against its name and remove what is damaged
    #[command(after_help = "Example: bourn cache fsck")]
    Fsck(Fsck),
    /// Say what the cache holds and how much room it takes
    #[command(after_help = "Example: bourn cache show")]
    Show(Show),
}

/// `cache show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cache clean`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Clean {
    /// Size to come down to, such as `20G` or `50%` (default: the configured quota)
    #[arg(long, value_name = "SIZE")]
    pub(crate) to: Option<String>,
    /// Remove everything
    #[arg(long, conflicts_with = "to")]
    pub(crate) all: bool,
}

/// `cache fsck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fsck {
    /// Only report, remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
