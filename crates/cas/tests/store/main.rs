//! The store on a real file system.

mod scene;

mod export;
mod import;
mod layers;
mod overlay;
mod refs;
