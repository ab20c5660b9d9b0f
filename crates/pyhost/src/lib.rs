//! Runs a project's own Python plugins, out of process.
//!
//! A plugin is a Python class that derives from BuildStream's `Element` or `Source`. bourn carries a `buildstream`
//! module of its own (`python/`), which offers the public plugin API and turns what plugins ask for into questions on
//! a pipe; nothing needs to be installed into the user's Python. A [`Host`] is one Python process; it is started when
//! a plugin is first needed, and plugins of different versions of one package get processes of their own.
//!
//! The pipe carries one JSON value a line. bourn sends a call, the host answers with `done` or `failed`; until then it
//! may send notes, which are log messages, and questions, which bourn answers. The format is described in
//! `README.md` beside this crate's Cargo.toml and has a version, which is compared when a process is greeted.

mod build;
pub mod element;
pub mod host;
pub mod mirror;
pub mod module;
pub mod source;
pub mod table;
mod tree;
pub mod wire;

pub use element::PythonElement;
pub use host::{Host, HostError, Python};
pub use table::PythonKinds;
