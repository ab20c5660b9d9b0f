//! The kinds together: keys as the reference made them, what is done for each element, and computations on a workbench in
//! memory.

mod assemblies;
mod bench;
mod computations;
mod keys;
mod record;
