//! Indexes of packs (`gitformat-pack(5)`): which objects a pack has, and where.

use super::Oid;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Indexes up to this many bytes are read at once: that is sooner done than looking into them again and again.
const SMALL: u64 = 32 << 10;

/// The index of a pack.
pub(super) struct PackIndex {
    content: Content,
    /// Of version 2, which begins with a word that says so. Version 1 has no such head, and offsets before the names.
    is_new: bool,
}

enum Content {
    Whole(Vec<u8>),
    File(File),
}

impl Content {
    fn at<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        match self {
            Content::File(file) => file.read_exact_at(&mut bytes, at)?,
            Content::Whole(whole) => {
                let from = usize::try_from(at).ok().and_then(|at| whole.get(at..)?.get(..N));
                bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(bytes)
    }

    fn word(&self, at: u64) -> io::Result<u64> {
        Ok(u32::from_be_bytes(self.at(at)?).into())
    }
}

impl PackIndex {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be read, or is no index.
    pub(super) fn open(path: &Path) -> io::Result<PackIndex> {
        let mut file = File::open(path)?;
        let mut whole = Vec::new();
        (&mut file).take(SMALL + 1).read_to_end(&mut whole)?;
        let content = if whole.len() as u64 > SMALL { Content::File(file) } else { Content::Whole(whole) };
        let is_new = content.at::<8>(0)? == *b"\xfftOc\0\0\0\x02";
        Ok(PackIndex { content, is_new })
    }

    /// Whether the pack has an object.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn has(&self, oid: &Oid) -> io::Result<bool> {
        Ok(self.find(oid)?.is_some())
    }

    /// Where an object is in the pack. `None` when it is not, or the index is of version 1, which no `git` of today
    /// writes.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn offset(&self, oid: &Oid) -> io::Result<Option<u64>> {
        let Some(at) = self.find(oid)?.filter(|_| self.is_new) else { return Ok(None) };
        // Names, sums, near offsets, far offsets.
        let count = self.content.word(8 + 4 * 255)?;
        let near = self.content.word(NAMES + count * 24 + at * 4)?;
        if near >> 31 == 0 {
            return Ok(Some(near));
        }
        let far = NAMES + count * 28 + (near & 0x7fff_ffff) * 8;
        Ok(Some(u64::from_be_bytes(self.content.at(far)?)))
    }

    /// The position of an object among all, which are sorted by name.
    fn find(&self, oid: &Oid) -> io::Result<Option<u64>> {
        let (fanout, names, step) = if self.is_new { (8, NAMES, 20) } else { (0, 1024 + 4, 24) };
        let first = u64::from(oid.0[0]);
        let mut low = if first == 0 { 0 } else { self.content.word(fanout + 4 * (first - 1))? };
        let mut high = self.content.word(fanout + 4 * first)?;
        while low < high {
            let middle = (low + high) / 2;
            match self.content.at::<20>(names + middle * step)?.cmp(&oid.0) {
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

/// Where names begin in version 2.
const NAMES: u64 = 8 + 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_reapi::Digest;

    /// An index of so many objects, each at a hundred times its number; those above a thousand are far.
    fn index(count: u64, is_new: bool) -> (Vec<u8>, Vec<Oid>) {
        let name = |number: u64| -> [u8; 20] {
            let hash = Digest::of(&number.to_le_bytes()).hash;
            *hash.first_chunk().expect("long enough")
        };
        let mut names: Vec<[u8; 20]> = (0..count).map(name).collect();
        names.sort_unstable();
        let mut bytes = if is_new { b"\xfftOc\0\0\0\x02".to_vec() } else { Vec::new() };
        for first in 0..=255 {
            let until = names.iter().filter(|name| name[0] <= first).count() as u32;
            bytes.extend(until.to_be_bytes());
        }
        if is_new {
            bytes.extend(names.concat());
            bytes.extend(vec![0; names.len() * 4]);
            let far = |at: u32| if at < 1000 { at * 100 } else { (at - 1000) | 1 << 31 };
            bytes.extend((0..count as u32).flat_map(|at| far(at).to_be_bytes()));
            bytes.extend((1000..count.max(1000)).flat_map(|at| (at * 100).to_be_bytes()));
        } else {
            bytes.extend(names.iter().flat_map(|name| [&[0; 4], name.as_slice()].concat()));
        }
        (bytes, names.into_iter().map(Oid).collect())
    }

    #[track_caller]
    fn check(count: u64, is_new: bool) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pack.idx");
        let (bytes, names) = index(count, is_new);
        std::fs::write(&path, &bytes).expect("a file");
        let index = PackIndex::open(&path).expect("an index");
        assert_eq!(matches!(index.content, Content::Whole(_)), bytes.len() as u64 <= SMALL);
        for (at, name) in names.iter().enumerate() {
            assert!(index.has(name).expect("read"), "{at}");
            let offset = is_new.then_some(at as u64 * 100);
            assert_eq!(index.offset(name).expect("read"), offset);
        }
        assert!(!index.has(&Oid([7; 20])).expect("read"));
        // One that ends early is no reason to panic.
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("a file");
        let cut = PackIndex::open(&path).expect("an index");
        assert!(names.iter().any(|name| cut.has(name).is_err()));
    }

    #[test]
    fn objects_are_found() {
        for (count, is_new) in [(1, true), (300, true), (3000, true), (300, false), (3000, false)] {
            check(count, is_new);
        }
    }
}
