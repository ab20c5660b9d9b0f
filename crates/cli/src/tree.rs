//! Directories of the user's file system.

use crate::exit::Failure;
use rustix::fs::{Access, access};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a directory with everything below it, also where directories may not be written to.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            std::fs::remove_dir_all(directory)
        }
        removed => removed,
    }
}

/// Lets the owner change every directory below.
fn open_up(directory: &Path) -> io::Result<()> {
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes everything in a directory.
pub(crate) fn clear(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove(&entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Whether nothing is in a directory.
pub(crate) fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Creates a directory to write to, and checks that it can be written and is empty unless `force` is given.
///
/// # Errors
/// It cannot be created or written, or it holds something.
pub(crate) fn assert_writable(directory: &Path, force: bool) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::stream(format!("Failed to create destination directory: '{error}'")))?;
    let at = directory.display();
    if access(directory, Access::WRITE_OK).is_err() {
        return Err(Failure::stream(format!("Destination directory '{at}' not writable")));
    }
    if !force && !is_empty(directory) {
        return Err(Failure::stream(format!("Destination directory '{at}' not empty")).hint("use --force"));
    }
    Ok(())
}

/// Checks that a file may be written: it is not there, or `force` is given.
///
/// # Errors
/// It is there, or may not be written.
pub(crate) fn assert_file(path: &Path, force: bool) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let at = path.display();
    if access(path, Access::WRITE_OK).is_err() {
        return Err(Failure::stream(format!("Output file '{at}' not writable")));
    }
    if !force {
        return Err(Failure::stream(format!("Output file '{at}' already exists")).hint("use --force"));
    }
    Ok(())
}
