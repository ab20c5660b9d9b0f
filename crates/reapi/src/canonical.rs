//! One byte form per message, so that equal trees have equal digests.
//!
//! The Remote Execution API asks for fields in order of their tag, no unknown fields, and lists sorted by name;
//! `prost` encodes by tag, so sorting the lists is all that is left to do.

use crate::{Digest, Directory};
use prost::Message;

impl Directory {
    /// Sorts every list by name, as the digest of a directory demands.
    pub fn sort(&mut self) {
        self.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.directories.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.symlinks.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }

    /// The serialized form and its digest. The lists must be sorted already.
    pub fn encode_canonical(&self) -> (Vec<u8>, Digest) {
        let bytes = self.encode_to_vec();
        let digest = Digest::of(&bytes);
        (bytes, digest)
    }
}
