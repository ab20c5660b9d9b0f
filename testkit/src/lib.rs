//! `TestEnv`, project fixtures from one string, in-process doubles.

pub mod memory;
