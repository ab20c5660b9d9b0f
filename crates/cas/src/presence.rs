//! Whether many objects are there at once.

use crate::object::{ObjectName, Objects};
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::services::ServiceResult;
use rayon::prelude::*;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;

/// From so many objects with the same beginning on, their directory is listed instead of asking for each.
const LISTED: usize = 6;

impl Objects {
    /// Whether all of these objects are there. Only their names are looked at, and nothing is marked as used: for a
    /// tree of a hundred thousand files this takes some milliseconds.
    pub(crate) fn all_there(&self, digests: &HashSet<Digest>) -> ServiceResult<bool> {
        let mut by_prefix: Vec<Vec<&Digest>> = vec![Vec::new(); 256];
        for digest in digests {
            by_prefix[usize::from(digest.hash[0])].push(digest);
        }
        let there = by_prefix.par_iter().map(|group| match group.len() {
            0 => Ok(true),
            1..LISTED => self.each_there(group),
            _ => self.listed_there(group),
        });
        there.try_reduce(|| true, |a, b| Ok(a && b))
    }

    fn each_there(&self, digests: &[&Digest]) -> ServiceResult<bool> {
        for digest in digests {
            let name = ObjectName::new(digest);
            match rustix::fs::accessat(
                self.root(),
                name.as_c_str(),
                rustix::fs::Access::EXISTS,
                rustix::fs::AtFlags::empty(),
            ) {
                Ok(()) => {}
                Err(Errno::NOENT) => return Ok(false),
                Err(error) => return Err(io_error(error, "cannot look at", &self.path(digest))),
            }
        }
        Ok(true)
    }

    fn listed_there(&self, digests: &[&Digest]) -> ServiceResult<bool> {
        let mut wanted: HashSet<&[u8]> = HashSet::with_capacity(digests.len());
        let names: Vec<ObjectName> = digests.iter().map(|digest| ObjectName::new(digest)).collect();
        wanted.extend(names.iter().map(|name| &name.as_str().as_bytes()[3..]));
        let prefix = &names[0].as_str()[..2];
        let path = self.path(digests[0]);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(self.root(), prefix, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(io_error(error, "cannot look for", &path)),
        };
        for entry in Dir::new(directory).doing("cannot look for", &path)? {
            wanted.remove(entry.doing("cannot look for", &path)?.file_name().to_bytes());
        }
        Ok(wanted.is_empty())
    }
}
