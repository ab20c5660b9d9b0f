//! From `project.conf` and `*.bst` to an [`ElementGraph`]: includes, options, variables and junctions resolved.
//!
//! One public function, [`load`]. It reads and never fetches: when a junction's sources are not on disk it
//! answers [`Loaded::NeedsJunctions`]; the caller brings them and loads again. Everything in the graph is
//! project-qualified and immutable.

mod compose;
mod condition;
mod conf;
mod conflict;
mod dependency;
mod element;
mod expression;
pub mod graph;
mod include;
mod junction;
pub mod kinds;
pub mod load;
pub mod machine;
mod name;
mod option;
mod order;
mod plugin;
mod read;
mod refs;
mod requirement;
pub mod selection;
mod session;
mod sort;
pub mod variable;

pub use graph::{
    Dependency, DependencyKind, Element, ElementGraph, ElementId, Project, ProjectId, RefStorage,
    SandboxConfig, SourceDeclaration,
};
pub use kinds::{Installed, KindOrigin, KindTraits, Kinds};
pub use load::{Extent, JunctionNeed, LoadOptions, Loaded, Locate, Workspace, load};
pub use variable::Variables;
