//! Whether many objects are there at once.

use crate::object::{ObjectName, Objects};
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rustix::fs::{Access, AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Listing a directory takes per entry about so many times less than asking for one.
const CHEAPER: u64 = 4;

/// Bytes that an object takes in its directory: its name, and what file systems add.
const PER_ENTRY: u64 = 72;

/// Objects whose hashes have the first byte in common: they are in the same directory.
pub(crate) struct Group<'a> {
    /// Sorted.
    hashes: &'a [[u8; 32]],
    /// How many objects the directory has, about.
    among: u64,
}

impl<'a> Group<'a> {
    /// Objects in the directory of which the kernel says `stat`. There is at least one.
    pub(crate) fn new(hashes: &'a [[u8; 32]], stat: &Stat) -> Group<'a> {
        Group { hashes, among: u64::try_from(stat.st_size).unwrap_or(0) / PER_ENTRY }
    }
}

impl Objects {
    /// Whether all of these objects are there. Only their names are looked at, and nothing is marked as used.
    pub(crate) fn group_there(&self, group: &Group<'_>) -> ServiceResult<bool> {
        match group.among <= CHEAPER * group.hashes.len() as u64 {
            true => self.listed_there(group.hashes),
            false => self.each_there(group.hashes),
        }
    }

    /// The same, each asked for alone.
    pub(crate) fn each_there(&self, hashes: &[[u8; 32]]) -> ServiceResult<bool> {
        for hash in hashes {
            let digest = Digest { hash: *hash, size: 0 };
            let name = ObjectName::new(&digest);
            match rustix::fs::accessat(self.root(), name.as_c_str(), Access::EXISTS, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::NOENT) => return Ok(false),
                Err(error) => return Err(io_error(error, "cannot look at", &self.path(&digest))),
            }
        }
        Ok(true)
    }

    fn listed_there(&self, hashes: &[[u8; 32]]) -> ServiceResult<bool> {
        let Some(first) = hashes.first() else { return Ok(true) };
        let name = ObjectName::new(&Digest { hash: *first, size: 0 });
        let path = self.root_path().join(&name.as_str()[..2]);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(self.root(), &name.as_str()[..2], flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(io_error(error, "cannot look for", &path)),
        };
        let mut found = vec![false; hashes.len()];
        for entry in Dir::new(directory).doing("cannot look for", &path)? {
            let entry = entry.doing("cannot look for", &path)?;
            let Some(hash) = hash(first[0], entry.file_name().to_bytes()) else { continue };
            if let Ok(at) = hashes.binary_search(&hash) {
                found[at] = true;
            }
        }
        Ok(found.into_iter().all(|found| found))
    }
}

/// The hash of an object from the name of its file.
fn hash(first: u8, name: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [first; 32];
    if name.len() != 62 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, two) in hash[1..].iter_mut().zip(name.chunks_exact(2)) {
        *byte = digit(two[0])? << 4 | digit(two[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_hashes() {
        let digest = Digest::of(b"x");
        let name = ObjectName::new(&digest);
        assert_eq!(hash(digest.hash[0], &name.as_str().as_bytes()[3..]), Some(digest.hash));
        assert_eq!(hash(0, b"12"), None);
        assert_eq!(hash(0, &[b'g'; 62]), None);
    }
}
