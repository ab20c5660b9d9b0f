//! `TestEnv`, project fixtures from one string, in-process doubles.

pub mod env;
pub mod fixture;
pub mod loopback;
pub mod memory;
pub mod proxy;
pub mod random;
pub mod running;
pub mod terminal;

pub use env::{Ran, TestEnv};
pub use random::Random;
pub use terminal::Terminal;
