//! Trees laid out as directories that an overlay can stack, made once and kept.
//!
//! A *layer* is a directory that shows how a tree differs from another, its *base*: what is new or different, and
//! overlay whiteouts for what is gone. Stacked upon the layers of its base it shows exactly its tree; a layer
//! without a base shows its tree alone. Layers live at `bourn/layers/KIND/NAME` and are named after their tree.
//!
//! When a tree is wanted that has no layer yet, the tree among the known ones is looked for from which it differs
//! least, and only the difference is laid out. Equal directories have equal digests, so finding the difference costs
//! what differs. Everything inside looks as a sandbox of `bst` shows it: directories 0755, files 0644 or 0755, and
//! one fixed modification time for all that have none of their own.
//!
//! # Kinds
//!
//! The content of the files comes into a layer in one of three ways ([`LayerKind`]):
//!
//! - **Stub**: each file is an empty shell with mode, size and time, which tells the overlay where the content is
//!   (`user.overlay.metacopy`, `user.overlay.redirect`). Nothing is copied. Needs Linux 6.16 and extended attributes.
//! - **Reflink**: each file shares its blocks with the object. Needs btrfs, xfs or the like.
//! - **Copy**: each file is a copy.
//!
//! An overlay only finds the content of stubs in the lowest of its layers. So a layer without a base consists of
//! stubs, and one with a base of copies (or reflinks); but when these would take many bytes, the large files become
//! stubs in a directory of their own, `stubs`, which whoever stacks the layers first mounts as an overlay of itself
//! with the content ([`Layer::refers`]).
//!
//! Hard links to the objects are no kind: name and content would be right, but mode and modification time belong to
//! the inode, and of those the object needs its own (read-only, last use). Nor can all files of equal content share
//! one inode that is right in both: tools such as `tar` and `cp -a` take two names of one inode for hard links.
//!
//! # Where stubs find their content
//!
//! Not in `cas/objects`: `bst` may expire an object at any time, and a build that loses a header in the middle of a
//! configure check does not fail, it builds something else. So every object that a stub needs has a second name,
//! `bourn/content/ab/…`, which only the expiry of layers removes. The name is short, because the stub has to keep it
//! in the 96 bytes that an ext4 inode has left for attributes; a longer one would cost a block of 4 KiB per stub.
//!
//! # Trees that are not laid out
//!
//! A [`ServedTree`] shows the same stubs without a layer, to one sandbox; see there.
//!
//! # Nothing half
//!
//! A layer is made in the directory of the session and renamed into place together with its description, which
//! says tree, base and the boot of the machine. After another boot a layer is compared with its tree once before it is
//! used, because a crash may have lost what was written last; and so it is after an object was found to be damaged. While a layer is in use its directory is locked, and
//! expiry leaves it and its base alone.

mod build;
mod choose;
mod content;
mod describe;
mod difference;
mod kind;
mod served;
mod stack;
mod verify;
mod wire;
mod write;

pub(crate) use content::{Content, ContentName};
pub(crate) use describe::{Described, Descriptions, boot_id};
pub(crate) use difference::Counts;
pub use kind::{LayerKind, LayerSupport};
pub use served::{Faults, ServedTree};
pub use stack::{Layer, LayerStack};
