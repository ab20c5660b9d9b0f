//! The `bourn` program.

fn main() {}
