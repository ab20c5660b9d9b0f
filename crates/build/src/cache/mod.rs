//! What is kept of builds: artifacts, as both this program and bst read and write them.

pub mod artifact;
pub mod metadata;
pub mod public;

pub use artifact::Cached;
pub use public::Public;
