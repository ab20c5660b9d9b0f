//! What every element will do and the keys that name its result.
//!
//! [`plan()`] turns an [`ElementGraph`](bourn_project::ElementGraph) into a [`Plan`]: an [`Assembly`] per element,
//! its sources ready to be fetched, its weak and strict keys. Nothing is run and nothing is asked of a cache.

pub mod assembly;
pub mod closure;
pub mod explain;
pub mod foreign;
pub mod json;
pub mod key;
mod keyring;
pub mod kind;
pub mod mirror;
mod object;
pub mod plan;
mod several;
mod shared;
pub mod source;
pub mod workbench;

pub use assembly::{
    Assembly, Command, CommandGroup, Compose, Integrate, Overlaps, Reach, Run, Split, Stage, Step,
};
pub use closure::{Edges, Walk};
pub use explain::{Difference, KeyInputs};
pub use key::{CacheKey, KeyValue, StrictKey, WeakKey};
pub use kind::{Description, ElementContext, ElementKind, KindTable, SourceKind};
pub use plan::{Plan, PlannedElement, plan};
pub use several::several;
pub use source::{
    AliasedPath, Auth, Candidate, Credentials, FetchContext, FileTimes, LocalDigests, Patience,
    PlannedSource, Previous, Progress, ProvenanceContext, Source, SourceContext, SourceError,
    SourceProvenance, SourceRef, StageContext, Tone, TrackContext, Upstream, UpstreamContent, UrlError,
    UrlTable, Warning, Warnings, Weight,
};
pub use workbench::{AssemblyError, Compute, Entry, Workbench};
