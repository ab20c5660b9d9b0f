//! Comparing a layer with what it should hold.

use crate::layer::describe::Described;
use crate::layer::difference::{Below, Level};
use crate::object::is_whole;
use crate::session::open_directory;
use crate::store::Store;
use crate::trouble::io_error;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{Cas, Digest, FileNode};
use rayon::prelude::*;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::path::Path;

/// Looks for files that are missing or have another size, as a crash of the machine leaves them.
pub(crate) struct Check<'a> {
    pub(crate) store: &'a Store,
    pub(crate) described: &'a Described,
    /// The directory of the layer.
    pub(crate) path: &'a Path,
}

impl Check<'_> {
    /// Whether what a directory should hold is there. `path` is relative to the tree.
    pub(crate) fn level(&self, level: &Level, path: &str) -> ServiceResult<bool> {
        let here = self.files(&level.files, path)?;
        let below = level.directories.par_iter().map(|(name, below)| match below {
            Below::Whole(digest) | Below::Instead(digest) => self.whole(digest, &format!("{path}/{name}")),
            Below::Part(level) => self.level(level, &format!("{path}/{name}")),
        });
        Ok(here && below.try_reduce(|| true, |a, b| Ok(a && b))?)
    }

    fn whole(&self, digest: &Digest, path: &str) -> ServiceResult<bool> {
        let tree = self.store.directory(digest)?;
        let here = self.files(&tree.files, path)?;
        let below = tree
            .directories
            .par_iter()
            .map(|child| self.whole(&child.content()?, &format!("{path}/{}", child.name)));
        Ok(here && below.try_reduce(|| true, |a, b| Ok(a && b))?)
    }

    fn files(&self, files: &[FileNode], path: &str) -> ServiceResult<bool> {
        let mut stubs = Vec::new();
        let mut others = Vec::new();
        for file in files {
            let digest = file.content()?;
            let stub = self.described.stubs_from.is_some_and(|from| digest.size >= from);
            if stub {
                self.store.content()?.provide(&self.store.objects, &digest)?;
            }
            if stub && self.described.has_stubs_apart() { &mut stubs } else { &mut others }
                .push((file, digest));
        }
        let stubs_whole = stubs.is_empty()
            || self.holds(&stubs, &self.path.join("stubs").join(path.trim_start_matches('/')))?;
        Ok(stubs_whole && self.holds(&others, &self.path.join("tree").join(path.trim_start_matches('/')))?)
    }

    fn holds(&self, files: &[(&FileNode, Digest)], path: &Path) -> ServiceResult<bool> {
        let directory = match open_directory(path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(io_error(error, "cannot open", path)),
        };
        for (file, digest) in files {
            match rustix::fs::statat(&directory, file.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_whole(&stat, digest) => {}
                Ok(_) | Err(Errno::NOENT) => return Ok(false),
                Err(error) => return Err(io_error(error, "cannot look into", path)),
            }
        }
        Ok(true)
    }
}
