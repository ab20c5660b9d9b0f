//! Every source kind and every kind of mirror that BuildStream and its two plugin packages have.
//!
//! A kind is a folder: `mod.rs` reads the configuration, says what enters the key, and tracks, fetches and stages;
//! `README.md` is the manual entry. [`SOURCES`] lists them, one line each; [`find`] answers for a kind and where a
//! project takes it from. [`url_tables`] says what the aliases of each project mean. [`LocalTrees`] hashes files of
//! the project and remembers them.

mod archive;
mod base64;
mod copies;
mod crates;
mod declared;
mod document;
mod download;
mod downloaded;
mod follow;
mod glob;
mod host;
mod http;
mod key;
mod manifest;
pub mod mirrors;
mod own;
mod reading;
mod release;
mod repository;
mod scratch;
mod table;
mod template;
mod tree;
mod trees;
mod url;
mod version;
mod watch;

mod anitya;
mod bazel_file;
mod bazel_source;
mod bzr;
mod cargo;
mod cargo2;
mod cpan;
mod deb;
mod docker;
mod gen_cargo_lock;
mod git;
mod git_module;
mod git_repo;
mod git_tag;
mod gnu;
mod go_module;
mod local;
mod ostree;
mod patch;
mod patch_queue;
mod pip;
mod pypi;
mod quilt;
mod remote;
mod tar;
mod workspace;
mod zip;

pub use copies::{Copies, Tally};
pub use mirrors::{Netrc, NetrcError, Proxies, UrlPolicy, UrlSettings, url_tables};
pub use table::{Entry, Package, SOURCES, find, manual};
pub use tree::{Local, LocalTrees};
