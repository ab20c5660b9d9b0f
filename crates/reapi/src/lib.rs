//! The nouns of the Remote Execution API and of BuildStream's artifacts, and the four services as traits.
//!
//! Everything below the plan speaks in these types: a [`Digest`] names bytes, a [`Directory`] names a tree, an
//! [`Artifact`] names what a build left behind. The services ([`Cas`], [`ActionCache`], [`Assets`],
//! [`Executor`]) are traits, so that the room that drives a build names neither the disk, nor the sandbox, nor
//! the network.
//!
//! The messages are written by hand as `prost` structs after the public definitions of
//! `build.bazel.remote.execution.v2` and `buildstream.v2`: field numbers and types are the wire format.

pub mod action;
pub mod artifact;
pub mod canonical;
pub mod command;
pub mod digest;
pub mod directory;
pub mod services;
pub mod tree;

pub use action::{Action, ActionResult, ExecutedActionMetadata, OutputDirectory, OutputFile, OutputSymlink};
pub use artifact::{Artifact, ArtifactName, LogFile, SandboxState, Source};
pub use command::{Command, EnvironmentVariable, Platform, Property};
pub use digest::Digest;
pub use directory::{
    Directory, DirectoryNode, FileNode, NodeProperties, NodeProperty, SymlinkNode, TreeMessage,
};
pub use services::{ActionCache, Assets, Cas, Executor, Remotes, ServiceError, Services};
