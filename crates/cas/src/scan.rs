//! Going through all objects of a cache.

use crate::object::Objects;
use crate::session::{Timestamp, modified};
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rayon::prelude::*;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The beginning of a hash: enough to tell blobs apart where taking one for another does no harm.
pub(crate) type Key = u64;

/// The beginning of the hash of a digest.
pub(crate) fn key(digest: &Digest) -> Key {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.hash[..8]);
    u64::from_be_bytes(first)
}

/// An object file as it was found.
pub(crate) struct Found<'a> {
    /// What its name says, with the size that it has.
    pub(crate) digest: Digest,
    /// Last use.
    pub(crate) modified: Timestamp,
    /// Its inode.
    pub(crate) stat: &'a Stat,
    /// The directory that it is in.
    pub(crate) directory: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: CString,
}

impl Objects {
    /// Visits every object, the directories of the store in parallel, and adds up what the visits say.
    pub(crate) fn visit<T: Send>(
        &self,
        zero: impl Fn() -> T + Sync + Send,
        each: impl Fn(&mut T, &Found<'_>) -> ServiceResult<()> + Sync,
        add: impl Fn(T, T) -> T + Sync + Send,
    ) -> ServiceResult<T> {
        let prefixes = (0..=255_u8).into_par_iter().map(|prefix| {
            let mut sum = zero();
            self.visit_prefix(prefix, |found| each(&mut sum, found)).map(|()| sum)
        });
        prefixes.try_reduce(&zero, |a, b| Ok(add(a, b)))
    }

    fn visit_prefix(
        &self,
        prefix: u8,
        mut each: impl FnMut(&Found<'_>) -> ServiceResult<()>,
    ) -> ServiceResult<()> {
        let path = self.root_path().join(format!("{prefix:02x}"));
        let Some(directory) = self.open_prefix(prefix)? else { return Ok(()) };
        for name in names(&directory).doing("cannot list", &path)? {
            let rest = name.to_str().unwrap_or_default();
            let Some(digest) = Digest::from_hex(&format!("{prefix:02x}{rest}"), 0) else { continue };
            match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let digest = Digest { size: u64::try_from(stat.st_size).unwrap_or(0), ..digest };
                    let directory = directory.as_fd();
                    each(&Found { digest, modified: modified(&stat), stat: &stat, directory, name })?;
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(io_error(error, "cannot look into", &path)),
            }
        }
        Ok(())
    }

    fn open_prefix(&self, prefix: u8) -> ServiceResult<Option<OwnedFd>> {
        let name = format!("{prefix:02x}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(self.root(), name.as_str(), flags, Mode::empty()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io_error(error, "cannot open", &self.root_path().join(name))),
        }
    }
}

/// The names in a directory.
pub(crate) fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
