//! Runs one command over one tree in Linux namespaces.
//!
//! The way of an execution:
//!
//! ```text
//! Execution ──lay out──▶ Root ──dictate──▶ Orders ──split off──▶ Sandboxed ──attend──▶ Report ──capture──▶ Executed
//!             root.rs         dictate.rs          namespace.rs          attend.rs          capture.rs
//! ```
//!
//! Nothing of the host can be reached from a sandbox but what an execution names: users, mounts, processes, network,
//! message queues, host name and control groups are its own, no capability is left in it, no new privilege can be
//! gained, and everything in it ends with its first process. All `unsafe` stands in `kernel.rs`.

mod attend;
mod capture;
mod child;
mod dictate;
mod execute;
mod facts;
mod guard;
mod jobserver;
mod kept;
mod kernel;
mod later;
mod layers;
mod loader;
mod mount;
mod namespace;
mod orders;
mod probe;
mod remount;
mod root;
mod scratch;
mod server;
mod slot;
mod spawner;
mod sweeper;

pub use execute::LocalExecutor;
pub use facts::Facts;
pub use layers::Overlays;
