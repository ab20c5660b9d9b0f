//! Every built-in element kind: pure descriptions.
//!
//! A kind is a folder: `defaults.yaml` (what its elements start from), `README.md` (the manual entry that
//! `bourn help kind NAME` prints) and, where defaults alone do not say it, `mod.rs`. The table
//! [`ELEMENTS`](table::ELEMENTS) lists them all, one line each.
//!
//! Most kinds run lists of commands and differ only in their defaults; [`commands`] describes those. Kinds that run
//! commands over dependencies laid out at places of the sandbox share [`layout`].

pub mod bazel_build;
pub mod bazelize;
pub mod check_forbidden;
pub mod collect_integration;
pub mod collect_manifest;
pub mod commands;
pub mod compose;
pub mod dpkg_build;
pub mod dpkg_deploy;
pub mod fastboot_bootimg;
pub mod fastboot_ext4;
pub mod filter;
pub mod flatpak_image;
pub mod flatpak_repo;
pub mod import;
pub mod junction;
pub mod layout;
pub mod link;
pub mod oci;
pub mod ostree;
pub mod package;
pub mod pyjson;
pub mod recognised;
pub mod script;
pub mod snap_image;
pub mod stack;
pub mod table;
pub mod tar_element;
pub mod tarball;
pub mod x86image;

pub use table::{ELEMENTS, Entry};
