//! The chores of the project: `demo`, `test`, `bench`, `tidy`, `peers`.

fn main() {}
