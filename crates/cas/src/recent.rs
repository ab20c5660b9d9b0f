//! Directories decoded lately, so that walking a tree again reads nothing.

use bourn_reapi::{Digest, Directory};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Encoded bytes kept per shard and generation. Decoded, a directory takes about twice its encoded size, so all
/// shards and both generations together stay below 64 MB.
const GENERATION: usize = 1 << 20;

/// Keeps what was used lately in two generations: a full young one becomes the old one, which is then forgotten.
#[derive(Default)]
pub(crate) struct Recent {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    young: HashMap<Digest, Arc<Directory>>,
    old: HashMap<Digest, Arc<Directory>>,
    young_bytes: usize,
}

impl Recent {
    /// The directory, if it was used lately.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<Directory>> {
        let mut shard = self.shard(digest).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = shard.young.get(digest) {
            return Some(directory.clone());
        }
        let directory = shard.old.get(digest)?.clone();
        shard.insert(*digest, directory.clone());
        Some(directory)
    }

    /// Remembers a directory.
    pub(crate) fn insert(&self, digest: Digest, directory: Arc<Directory>) {
        self.shard(&digest).lock().unwrap_or_else(PoisonError::into_inner).insert(digest, directory);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn shard(&self, digest: &Digest) -> &Mutex<Shard> {
        &self.shards[usize::from(digest.hash[0]) % SHARDS]
    }
}

impl Shard {
    fn insert(&mut self, digest: Digest, directory: Arc<Directory>) {
        if self.young_bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += usize::try_from(digest.size).unwrap_or(GENERATION);
        self.young.insert(digest, directory);
    }
}
