//! Trees that were seen to be whole, so that seeing it again costs next to nothing.
//!
//! Whether all blobs of a tree of a hundred thousand files are there takes reading all its directories and listing
//! most of the store. But the answer changes only when objects go, and an object cannot go without changing the
//! directory that it is in. So what was seen is written down: the blobs of the tree, which its digest determines, and
//! how the 256 directories of the store were when the blobs in each were seen. Only what is in directories that have
//! changed since is looked for again.
//!
//! ```text
//! CACHEDIR/bourn/whole/HASH-SIZE.blobs   the hashes of all blobs, sorted, 32 bytes each
//! CACHEDIR/bourn/whole/HASH-SIZE.seen    how many of them begin with each byte, and when they were seen
//! ```
//!
//! How a directory was is told by its inode and the time of its last change, which nobody can set back. A time that
//! is not over yet tells nothing: something else may happen at it. After the machine was started anew nothing of this
//! holds, because a crash may have taken objects with it.

use crate::object::{ObjectName, Objects};
use crate::presence::Group;
use crate::session::Timestamp;
use crate::store::{Store, spread};
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rayon::slice::ParallelSliceMut;
use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// For fewer blobs nothing is written down: looking for them takes no longer.
const WORTH_KEEPING: usize = 512;

/// Fewer blobs than this are nearly all in directories of their own, so each is asked for.
const FEW_BLOBS: usize = 64;

/// So many directories of the store are looked into by one thread.
const FEW_GROUPS: usize = 24;

/// Directories of the store: one for each first byte of a hash.
const PREFIXES: usize = 256;

/// The first bytes of a file that says what was seen; another format is another name.
const MAGIC: &[u8; 8] = b"bournWT1";

/// Bytes of a hash.
const HASH: usize = 32;

/// How a directory was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    /// Of the last change; nought when that was too near to tell.
    changed: Timestamp,
}

impl Stamp {
    const UNKNOWN: Stamp = Stamp { inode: 0, changed: (0, 0) };
    const SIZE: usize = 24;

    /// The stamp of a directory that was looked at not before `now`.
    fn of(stat: &Stat, now: Timestamp) -> Stamp {
        let changed = (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0));
        // Kernels stamp with a clock that ticks at least every 10 ms; file systems without fractions keep seconds.
        let margin = if changed.1 == 0 { 2_000_000_000 } else { 50_000_000 };
        let since = |time: Timestamp| i128::from(time.0) * 1_000_000_000 + i128::from(time.1);
        match since(changed) + margin < since(now) {
            true => Stamp { inode: stat.st_ino, changed },
            false => Stamp::UNKNOWN,
        }
    }

    fn encode(&self) -> [u8; Stamp::SIZE] {
        let mut bytes = [0; Stamp::SIZE];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.changed.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.changed.1.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Stamp> {
        let number = |at: usize| Some(i64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Stamp { inode: number(0)?.cast_unsigned(), changed: (number(8)?, number(16)?) })
    }
}

/// What is known about the blobs of a tree, by the first byte of their hash.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    /// How many there are.
    counts: Vec<u32>,
    /// How their directory was when they were seen.
    stamps: Vec<Stamp>,
}

impl Seen {
    fn encode(&self, boot: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(Digest::of(boot.as_bytes()).hash);
        bytes.extend(self.counts.iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend(self.stamps.iter().flat_map(Stamp::encode));
        bytes.extend(Digest::of(&bytes).hash);
        bytes
    }

    fn decode(bytes: &[u8], boot: &str) -> Option<Seen> {
        let (body, sum) = bytes.split_last_chunk::<HASH>()?;
        let rest = body.strip_prefix(MAGIC)?.strip_prefix(&Digest::of(boot.as_bytes()).hash)?;
        let (counts, stamps) = rest.split_at_checked(4 * PREFIXES)?;
        if stamps.len() != PREFIXES * Stamp::SIZE || Digest::of(body).hash != *sum {
            return None;
        }
        let count = |four: &[u8]| four.first_chunk().map(|four| u32::from_le_bytes(*four));
        Some(Seen {
            counts: counts.chunks_exact(4).map(count).collect::<Option<_>>()?,
            stamps: stamps.chunks_exact(Stamp::SIZE).map(Stamp::decode).collect::<Option<_>>()?,
        })
    }

    /// Where the blobs with a first byte begin among all.
    fn start(&self, prefix: usize) -> u64 {
        self.counts[..prefix].iter().map(|count| u64::from(*count)).sum()
    }

    fn blobs(&self) -> u64 {
        self.start(PREFIXES)
    }
}

impl Store {
    /// Whether every blob of a tree is there, directories included. Fails when a directory cannot be read.
    pub(crate) fn is_tree_whole(&self, tree: &Digest) -> ServiceResult<bool> {
        if let Some(whole) = self.is_still_whole(tree)? {
            return Ok(whole);
        }
        let mut hashes: Vec<[u8; HASH]> = self.tree_blobs(tree)?.iter().map(|blob| blob.hash).collect();
        if hashes.len() <= FEW_BLOBS {
            return self.objects.each_there(&hashes);
        }
        hashes.par_sort_unstable();
        let mut seen = Seen { counts: vec![0; PREFIXES], stamps: vec![Stamp::UNKNOWN; PREFIXES] };
        for hash in &hashes {
            seen.counts[usize::from(hash[0])] += 1;
        }
        let group = |prefix: usize| {
            let start = usize::try_from(seen.start(prefix)).unwrap_or(usize::MAX);
            Ok(hashes[start..start + seen.counts[prefix] as usize].to_vec())
        };
        let all: Vec<usize> = (0..PREFIXES).filter(|prefix| seen.counts[*prefix] > 0).collect();
        let Some(stamps) = self.look_for(&all, group)? else { return Ok(false) };
        for (prefix, stamp) in all.into_iter().zip(stamps) {
            seen.stamps[prefix] = stamp;
        }
        if hashes.len() >= WORTH_KEEPING {
            // What cannot be written down costs time, not correctness.
            let _ = self.write_down(tree, "blobs", hashes.as_flattened());
            let _ = self.write_down(tree, "seen", &seen.encode(self.boot()));
        }
        Ok(true)
    }

    /// The same of a tree that was seen to be whole before; `None` when nothing is known of it.
    fn is_still_whole(&self, tree: &Digest) -> ServiceResult<Option<bool>> {
        if self.boot().is_empty() {
            return Ok(None);
        }
        let Ok(bytes) = std::fs::read(self.record(tree, "seen")) else { return Ok(None) };
        let Some(mut seen) = Seen::decode(&bytes, self.boot()) else { return Ok(None) };
        let now = now();
        let mut changed = Vec::new();
        for prefix in (0..PREFIXES).filter(|prefix| seen.counts[*prefix] > 0) {
            let Some(stat) = self.objects.prefix_status(prefix)? else { return Ok(Some(false)) };
            let stamp = Stamp::of(&stat, now);
            if stamp == Stamp::UNKNOWN || stamp != seen.stamps[prefix] {
                changed.push(prefix);
            }
        }
        if changed.is_empty() {
            return Ok(Some(true));
        }
        let path = self.record(tree, "blobs");
        let Ok(blobs) = File::open(&path) else { return Ok(None) };
        if blobs.metadata().map_or(0, |status| status.len()) != seen.blobs() * HASH as u64 {
            return Ok(None);
        }
        let group = |prefix: usize| {
            let mut hashes = vec![[0; HASH]; seen.counts[prefix] as usize];
            let at = seen.start(prefix) * HASH as u64;
            blobs.read_exact_at(hashes.as_flattened_mut(), at).doing("cannot read", &path)?;
            Ok(hashes)
        };
        let Some(stamps) = self.look_for(&changed, group)? else { return Ok(Some(false)) };
        let before = seen.clone();
        for (prefix, stamp) in changed.into_iter().zip(stamps) {
            seen.stamps[prefix] = stamp;
        }
        if seen != before {
            let _ = self.write_down(tree, "seen", &seen.encode(self.boot()));
        }
        Ok(Some(true))
    }

    /// Looks for groups of blobs by the first byte of their hash. How their directories were before that; `None` when
    /// a blob is missing.
    fn look_for(
        &self,
        prefixes: &[usize],
        group: impl Fn(usize) -> ServiceResult<Vec<[u8; HASH]>> + Sync,
    ) -> ServiceResult<Option<Vec<Stamp>>> {
        let look = |prefix: &usize| {
            let now = now();
            let Some(stat) = self.objects.prefix_status(*prefix)? else { return Ok(None) };
            let there = self.objects.group_there(&Group::new(&group(*prefix)?, &stat))?;
            Ok(there.then(|| Stamp::of(&stat, now)))
        };
        Ok(spread(prefixes, FEW_GROUPS, look)?.into_iter().collect())
    }

    /// Forgets the trees that are not in the store any more.
    pub(crate) fn forget_trees(&self) -> ServiceResult<()> {
        let root = self.cachedir().join("bourn/whole");
        let entries = match std::fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).doing("cannot list", &root),
        };
        for entry in entries {
            let path = entry.doing("cannot list", &root)?.path();
            let tree = path.file_stem().and_then(|name| name.to_str()).and_then(parse);
            if tree.map_or(Ok(false), |tree| self.objects.is_there(&tree))? {
                continue;
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).doing("cannot remove", &path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn record(&self, tree: &Digest, what: &str) -> PathBuf {
        self.cachedir().join(format!("bourn/whole/{}-{}.{what}", tree.hex(), tree.size))
    }

    fn write_down(&self, tree: &Digest, what: &str, bytes: &[u8]) -> ServiceResult<()> {
        let draft = self.session()?.temporary("whole");
        let path = self.record(tree, what);
        std::fs::write(&draft, bytes).doing("cannot write", &draft)?;
        let moved = std::fs::rename(&draft, &path).or_else(|_| {
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::rename(&draft, &path)
        });
        if moved.is_err() {
            let _ = std::fs::remove_file(&draft);
        }
        moved.doing("cannot create", &path)
    }
}

impl Objects {
    /// What the kernel says about the directory of the objects with this first byte; `None` when there is none.
    fn prefix_status(&self, prefix: usize) -> ServiceResult<Option<Stat>> {
        let first = Digest { hash: [u8::try_from(prefix).unwrap_or(0); HASH], size: 0 };
        let name = ObjectName::new(&first);
        match rustix::fs::statat(self.root(), &name.as_str()[..2], AtFlags::empty()) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io_error(error, "cannot look at", self.root_path())),
        }
    }
}

/// The tree of a file name.
fn parse(name: &str) -> Option<Digest> {
    let (hash, size) = name.split_once('-')?;
    Digest::from_hex(hash, size.parse().ok()?)
}

/// The time on the clock that stamps files.
fn now() -> Timestamp {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_survives_being_written_down() {
        let mut seen = Seen { counts: vec![3; PREFIXES], stamps: vec![Stamp::UNKNOWN; PREFIXES] };
        seen.stamps[7] = Stamp { inode: 12, changed: (34, 56) };
        let bytes = seen.encode("boot");
        assert_eq!(Seen::decode(&bytes, "boot"), Some(seen.clone()));
        assert_eq!(Seen::decode(&bytes, "another boot"), None);
        assert_eq!(Seen::decode(&bytes[..bytes.len() - 1], "boot"), None);
        for at in [0, 20, 50, 1100, 3000, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Seen::decode(&flipped, "boot"), None, "flipped at {at}");
        }
        assert_eq!((seen.start(2), seen.blobs()), (6, 768));
    }

    #[test]
    fn what_changed_a_moment_ago_may_change_once_more() {
        let mut stat = rustix::fs::stat("/").expect("a status");
        // When it changed and when it was looked at, in seconds and nanoseconds.
        let mut is_told = |changed: (u32, u32), now: Timestamp| {
            (stat.st_ctime, stat.st_ctime_nsec) = (changed.0.into(), changed.1.into());
            Stamp::of(&stat, now) != Stamp::UNKNOWN
        };
        for nanos in [8, 4_000_008, 10_000_008, 50_000_008] {
            assert!(!is_told((100, 8), (100, nanos)), "{nanos}");
        }
        assert!(is_told((100, 8), (100, 50_000_009)) && is_told((100, 8), (101, 0)));
        assert!(!is_told((100, 999_999_999), (101, 40_000_000)), "across a second");
        assert!(!is_told((100, 8), (99, 999_999_999)), "the clock was set back");
        // The next tick of a file system of whole seconds.
        assert!(!is_told((100, 0), (101, 999_999_999)) && is_told((100, 0), (102, 1)));
        let [one, other] = [11, 12].map(|nanos| {
            (stat.st_ctime, stat.st_ctime_nsec) = (100, nanos);
            Stamp::of(&stat, (200, 0))
        });
        assert_ne!(one, other);
    }

    #[test]
    fn names_of_records_tell_the_tree() {
        let tree = Digest::of(b"x");
        assert_eq!(parse(&format!("{}-{}", tree.hex(), tree.size)), Some(tree));
        assert_eq!(parse("12-x"), None);
    }
}
