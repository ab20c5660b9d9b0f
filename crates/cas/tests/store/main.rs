//! The store on a real file system.

mod scene;
mod torture;

mod expire;
mod export;
mod fsck;
mod import;
mod layers;
mod overlay;
mod refs;
mod served;
mod whole;
