//! Synthetic projects and timed runs beside the peers. `cargo xtask bench` sets up what they need and prints the rows.
//!
//! A figure runs both programs in turn on the same input, each with a cache of its own, and compares the medians:
//! on a shared machine a ratio of runs side by side holds where single times do not.

mod builds;
mod project;
mod remote;
mod show;
mod sources;
mod store;
mod timing;

pub use timing::{Row, Timed};

use std::path::PathBuf;

/// What the figures are measured with.
pub struct Bench {
    /// The binary of bourn, release profile.
    pub bourn: PathBuf,
    /// The reference's `bst`.
    pub bst: PathBuf,
    /// A directory for projects and caches; emptied by each figure that uses it.
    pub scratch: PathBuf,
    /// A tarball of a Debian tree with a C compiler.
    pub sysroot: PathBuf,
    /// A directory with the upstream tarballs of hello, grep and xz.
    pub tarballs: PathBuf,
    /// How often each side runs.
    pub runs: usize,
}

/// What a figure answers: its rows, or why it could not be measured.
pub type Measured = Result<Vec<Row>, String>;

/// A figure: its name, what it measures, and how.
pub type Figure = (&'static str, &'static str, fn(&Bench) -> Measured);

/// Every figure.
pub const FIGURES: &[Figure] = &[
    ("trivial", "50 trivial elements on a Debian sysroot", builds::trivial),
    ("thousand", "1,000 trivial elements on a Debian sysroot", builds::thousand),
    ("native", "configure, make and install beside the same commands in a chroot", builds::native),
    ("null", "building again when all is cached", builds::null),
    ("large-base", "one trivial element on a base of 119,000 files", builds::large_base),
    ("large-source", "fetch, import and check out a tarball of 2.3 GB in 105,320 files", store::large_source),
    ("remote", "remote state and small artifacts at a distance of 20 ms", remote::far),
    ("remote-large", "push and pull of an artifact of 2.3 GB in 105,320 files", remote::large),
    ("workspace", "editing one of 500 C files in a workspace and building again", store::workspace),
    ("show", "show of 1,000 and 10,000 synthetic elements with their keys", show::synthetic),
    ("plugin", "show of 100 elements of one Python plugin beside the same without it", show::plugin),
    ("sources", "track and fetch 500 elements that share 50 git repositories", sources::git),
    ("local-source", "show of an element with a local source of 105,320 files", show::local_source),
];
