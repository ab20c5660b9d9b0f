//! `bourn cache …`

use clap::{Args, Subcommand};

/// Commands on the local cache.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum CacheCommand {
    /// Remove what was not used for longest, or all
    #[command(after_help = "Example: bourn cache clean --to 20G")]
    Clean(Clean),
    /// Check every object against its name, put aside what is damaged, forget what has become worthless
    #[command(after_help = "Example: bourn cache fsck")]
    Fsck(Fsck),
    /// Say what the cache holds and how much room it takes
    #[command(after_help = "Example: bourn cache show")]
    Show(Show),
}

/// `cache show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// Print JSON, with every artifact and source
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cache clean`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Clean {
    /// Size to come down to, such as `20G`, or a share of the disk such as `50%` (default: the configured quota)
    #[arg(long, value_name = "SIZE")]
    pub(crate) to: Option<String>,
    /// Remove everything but what other runs use at this moment
    #[arg(long, conflicts_with = "to")]
    pub(crate) all: bool,
}

/// `cache fsck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fsck {
    /// Do not read the content of objects: look at names and sizes only
    #[arg(long)]
    pub(crate) quick: bool,
}
