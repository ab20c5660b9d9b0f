//! The room from outside: what is configured, keyed, fetched and staged.

mod archives;
mod attacks;
mod beside;
mod docker;
mod downloads;
mod fixture;
mod git;
mod keys;
mod mirrored;
mod pack;
mod packages;
mod registry;
mod server;
mod tools;
mod ways;
