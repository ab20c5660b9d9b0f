//! The services over gRPC: artifact and source caches on other machines.
//!
//! [`Caches`] is what a build sees, as [`Remotes`](bourn_reapi::Remotes): names are asked of *indexes*, blobs are moved
//! between the local store and *storages*, and a [`Server`] is one of these or both. The services and their messages
//! are those of the Remote Execution API (capabilities, content-addressable storage), of `google.bytestream` and of the
//! Remote Asset API; what is kept under which name is what BuildStream keeps there, so that both share caches.
//!
//! [`Nested`] is the other side: a server for what runs in a sandbox.
//!
//! Inside, everything is asynchronous; at the door, calls block, and end when they are asked to.

mod actions;
mod ahead;
mod artifact;
mod backed;
mod caches;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod exchanges;
mod fault;
mod index;
mod link;
mod meeting;
mod message;
#[cfg(test)]
mod mishaps;
mod nested;
mod opener;
mod outgoing;
mod pair;
mod proxy;
mod server;
mod source;
mod storage;
#[cfg(test)]
mod strain;
mod stream;
mod survey;
mod tls;
mod token;
mod traffic;
mod transfer;
mod tries;
mod tunnel;
#[cfg(test)]
mod way;

pub use actions::Actions;
pub use backed::{Backed, STORAGE_GONE};
pub use caches::{ANY_PROJECT, Caches, Group};
pub use meeting::Refused;
pub use nested::{Nested, Offer};
pub use proxy::{Proxies, Proxy, Route};
pub use server::{Auth, Connection, Server, ServerKind};
pub use survey::{Limits, Service, Survey, survey};
