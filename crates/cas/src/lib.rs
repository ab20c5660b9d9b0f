//! Blobs and trees on the local disk: import, export, staging layers, expiry, repair.
//!
//! A [`Store`] is the cache directory of `bst` itself, so both tools see what either has built:
//!
//! ```text
//! CACHEDIR/cas/objects/ab/cdef…                 one read-only file per blob; modification time = last use
//! CACHEDIR/artifacts/refs/PROJECT/ELEMENT/KEY   a serialized buildstream.v2.Artifact; modification time = last use
//! CACHEDIR/elementsources/KEY                   a serialized buildstream.v2.Source: all sources of an element
//! CACHEDIR/source_protos/KIND/KEY               the same for one source
//! CACHEDIR/bourn/                               what only bourn keeps: temporary files, layers, leases
//! ```
//!
//! Everything appears whole or not at all, whatever is killed when: see the module `object` in the source.

mod expire;
mod export;
mod fsck;
mod gate;
mod import;
mod kept;
mod layer;
mod mode;
mod object;
mod prefixes;
mod presence;
mod reach;
mod recent;
mod refs;
mod remove;
mod room;
mod scan;
mod session;
mod spread;
mod store;
mod trouble;
mod usage;
mod whole;

pub use expire::{Expired, Quota};
pub use fsck::{Checked, Damage};
pub use layer::{Faults, Layer, LayerKind, LayerStack, LayerSupport, ServedTree};
pub use store::Store;
pub use usage::{Usage, Used};
