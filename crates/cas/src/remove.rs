//! Removing whole trees.

use crate::session::open_directory;
use crate::trouble::io_error;
use bourn_reapi::services::ServiceResult;
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Removes a file, or a directory with everything in it, whatever permissions stand in the way, on all cores.
/// It is fine if nothing is there.
pub(crate) fn remove_tree(path: &Path) -> ServiceResult<()> {
    match remove(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(io_error(error, "cannot remove", path)),
    }
}

fn remove(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        // What a directory answers; by POSIX it may be either.
        Err(Errno::ISDIR | Errno::PERM) => {}
        result => return result,
    }
    let children = match empty(path) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmod(path, Mode::RWXU)?;
            empty(path)?
        }
        result => result?,
    };
    children.par_iter().try_for_each(|child| match remove(child) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    })?;
    rustix::fs::rmdir(path)
}

/// Removes everything but directories from a directory. The directories that are left.
fn empty(path: &Path) -> Result<Vec<PathBuf>, Errno> {
    let directory = open_directory(path)?;
    let mut children = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                // Some file systems do not tell what an entry is.
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        children.push(path.join(OsStr::from_bytes(name.to_bytes())));
    }
    Ok(children)
}
