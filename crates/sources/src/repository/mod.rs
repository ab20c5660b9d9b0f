//! Git repositories: bare mirrors kept below the downloads, what is fetched into them, and trees staged from them.
//!
//! The host's `git` talks to servers; objects are read through one `git cat-file` per core, a few small ones without,
//! and go straight into the store: nothing is checked out. Each kind keeps its mirrors where the reference's kind does, so that either
//! finds what the other fetched.

mod described;
mod directory;
mod fetch;
mod index;
mod mirror;
mod objects;
mod pack;
mod reader;
mod refusal;
mod remote;
mod stage;
mod whole;
mod workspace;

pub(crate) use described::Described;
pub(crate) use directory::{GitDirectory, Head, tag_object};
pub(crate) use fetch::{Depth, Wanted, complete, describe, is_about_depth};
pub(crate) use mirror::{Mirror, git, held};
use objects::Objects;
pub(crate) use objects::{Kind, Oid, has_no_submodules};
pub(crate) use refusal::explained;
pub(crate) use remote::{latest, remote_refs};
pub(crate) use stage::{Conversion, stage};
pub(crate) use whole::{bring_whole, upstream};
pub(crate) use workspace::open as open_workspace;
