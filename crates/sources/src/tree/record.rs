//! How a hashed tree is written down.
//!
//! All numbers are little-endian. A directory is
//!
//! ```text
//! stamp flag digest(hash size) count { kind name-length name … }
//! ```
//!
//! where a file continues with `stamp hash`, a symbolic link with `stamp`, and a directory with `length` and itself.
//! The flag, and the top bit of a kind, say that the stamp is too young to be trusted.

use bourn_reapi::Digest;
use rustix::fs::Stat;
use std::time::{SystemTime, UNIX_EPOCH};

/// What `stat` says of a file, as far as it tells that the content is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) size: u64,
    pub(super) modified: i128,
    pub(super) changed: i128,
    pub(super) inode: u64,
}

const NANOS: i128 = 1_000_000_000;

/// Length of a stamp in a record.
const STAMP: usize = 8 + 12 + 12 + 8;

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Stamp {
        let time = |seconds: i64, nanos: u64| i128::from(seconds) * NANOS + i128::from(nanos);
        Stamp {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
        }
    }

    /// Whether a change after `taken` must show in the stamp. File systems that keep whole seconds only need
    /// more room than those that keep the kernel's ticks.
    fn is_settled(&self, taken: i128) -> bool {
        let latest = self.changed.max(self.modified);
        let room = if latest % NANOS == 0 { 2 * NANOS } else { NANOS / 50 };
        latest < taken - room
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_le_bytes());
        for time in [self.modified, self.changed] {
            out.extend_from_slice(&(time.div_euclid(NANOS) as i64).to_le_bytes());
            out.extend_from_slice(&(time.rem_euclid(NANOS) as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.inode.to_le_bytes());
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Stamp> {
        let size = bytes.u64()?;
        let mut time = || Some(i128::from(bytes.u64()? as i64) * NANOS + i128::from(bytes.u32()?));
        let (modified, changed) = (time()?, time()?);
        Some(Stamp { size, modified, changed, inode: bytes.u64()? })
    }
}

/// The clock that stamps are compared with, in nanoseconds.
pub(super) fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// Bytes being read; every read answers `None` at the end.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }
}

/// The record of a single file.
pub(super) fn file_record(digest: &Digest, stamp: &Stamp, taken: i128) -> Vec<u8> {
    let mut out = Vec::with_capacity(STAMP + 33);
    stamp.write(&mut out);
    out.push(u8::from(!stamp.is_settled(taken)));
    out.extend_from_slice(&digest.hash);
    out
}

/// The digest in the record of a single file, if the stamp is the recorded one and can be trusted.
pub(super) fn file_digest(record: &[u8], stamp: &Stamp) -> Option<Digest> {
    let mut bytes = Bytes(record);
    let recorded = Stamp::read(&mut bytes)?;
    let settled = bytes.array::<1>()? == [0];
    let hash = bytes.array()?;
    (recorded == *stamp && settled).then_some(Digest { hash, size: stamp.size })
}

/// What an entry of a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    File,
    Executable,
    Symlink,
    Directory,
}

const UNSETTLED: u8 = 0x80;

/// A directory being read from a record.
pub(super) struct DirectoryRecord<'a> {
    /// What `stat` said; `None` when too young.
    pub(super) stamp: Option<Stamp>,
    /// Digest of the directory.
    pub(super) digest: Digest,
    /// The entries, sorted by name.
    pub(super) entries: Entries<'a>,
}

/// The entries of a [`DirectoryRecord`].
#[derive(Clone)]
pub(super) struct Entries<'a> {
    left: u32,
    bytes: Bytes<'a>,
}

/// An entry of a [`DirectoryRecord`].
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a [u8],
    /// What `stat` said; `None` when too young, or of a directory.
    pub(super) stamp: Option<Stamp>,
    /// Of a file.
    pub(super) digest: Digest,
    /// Of a directory: its record.
    pub(super) record: &'a [u8],
}

impl<'a> DirectoryRecord<'a> {
    pub(super) fn read(record: &'a [u8]) -> Option<DirectoryRecord<'a>> {
        let mut bytes = Bytes(record);
        let stamp = Stamp::read(&mut bytes)?;
        let settled = bytes.array::<1>()? == [0];
        let digest = Digest { hash: bytes.array()?, size: bytes.u64()? };
        let left = bytes.u32()?;
        Some(DirectoryRecord { stamp: settled.then_some(stamp), digest, entries: Entries { left, bytes } })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    /// A malformed rest ends the entries; what is missed then shows as changed.
    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let bytes = &mut self.bytes;
        let [kind] = bytes.array()?;
        let length = u16::from_le_bytes(bytes.array()?);
        let name = bytes.take(usize::from(length))?;
        let mut entry = Entry { kind: Kind::File, name, stamp: None, digest: Digest::default(), record: &[] };
        entry.kind = match kind & !UNSETTLED {
            0 => Kind::File,
            1 => Kind::Executable,
            2 => Kind::Symlink,
            3 => Kind::Directory,
            _ => return None,
        };
        if entry.kind == Kind::Directory {
            let length = bytes.u32()?;
            entry.record = bytes.take(length as usize)?;
            return Some(entry);
        }
        let stamp = Stamp::read(bytes)?;
        if entry.kind != Kind::Symlink {
            entry.digest = Digest { hash: bytes.array()?, size: stamp.size };
        }
        entry.stamp = (kind & UNSETTLED == 0).then_some(stamp);
        Some(entry)
    }
}

/// A directory being written to a record.
pub(super) struct DirectoryWriter {
    out: Vec<u8>,
    taken: i128,
    count: u32,
}

/// Where the digest of a directory stands in its record.
const DIGEST_AT: usize = STAMP + 1;
/// Where the number of entries stands.
const COUNT_AT: usize = DIGEST_AT + 40;

impl DirectoryWriter {
    pub(super) fn new(stamp: &Stamp, taken: i128) -> DirectoryWriter {
        let mut out = Vec::with_capacity(1024);
        stamp.write(&mut out);
        out.push(u8::from(!stamp.is_settled(taken)));
        out.resize(COUNT_AT + 4, 0);
        DirectoryWriter { out, taken, count: 0 }
    }

    fn head(&mut self, kind: u8, name: &[u8]) {
        self.count += 1;
        self.out.push(kind);
        self.out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.out.extend_from_slice(name);
    }

    pub(super) fn file(&mut self, name: &[u8], executable: bool, stamp: &Stamp, digest: &Digest) {
        let unsettled = if stamp.is_settled(self.taken) { 0 } else { UNSETTLED };
        self.head(u8::from(executable) | unsettled, name);
        stamp.write(&mut self.out);
        self.out.extend_from_slice(&digest.hash);
    }

    pub(super) fn symlink(&mut self, name: &[u8], stamp: &Stamp) {
        let unsettled = if stamp.is_settled(self.taken) { 0 } else { UNSETTLED };
        self.head(2 | unsettled, name);
        stamp.write(&mut self.out);
    }

    pub(super) fn directory(&mut self, name: &[u8], record: &[u8]) {
        self.head(3, name);
        self.out.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.out.extend_from_slice(record);
    }

    pub(super) fn finish(mut self, digest: &Digest) -> Vec<u8> {
        self.out[DIGEST_AT..DIGEST_AT + 32].copy_from_slice(&digest.hash);
        self.out[DIGEST_AT + 32..COUNT_AT].copy_from_slice(&digest.size.to_le_bytes());
        self.out[COUNT_AT..COUNT_AT + 4].copy_from_slice(&self.count.to_le_bytes());
        self.out
    }
}
