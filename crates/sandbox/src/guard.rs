//! The parts of `/proc` that a sandbox of the superuser must not write to.
//!
//! A sandbox that was started by the superuser has no capability, but is still that user where the kernel looks at ids
//! instead, as it does for the files of `/proc/sys`: `core_pattern`, say, names a program that the kernel itself starts
//! outside. For every other user these files belong to somebody else already, and are left as they are, so that a
//! command may mount a `/proc` of its own in a namespace of its own.

use crate::root::c_path;
use bourn_reapi::ServiceError;
use bourn_reapi::services::ServiceResult;
use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How deep directories of `/proc` are looked into before they count as writable.
const DEPTH: u32 = 3;

/// The paths; none when this process is not the superuser's.
pub(crate) fn guarded() -> ServiceResult<Vec<CString>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    let proc = Path::new("/proc");
    let entries = std::fs::read_dir(proc).map_err(|error| ServiceError::io(&error, "cannot read", proc))?;
    let mut paths = Vec::new();
    for entry in entries.flatten() {
        let of_process = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !of_process && is_writable(&entry.path(), DEPTH) {
            paths.push(c_path(&entry.path())?);
        }
    }
    Ok(paths)
}

/// Whether the owner may write to a file, or to any file below a directory. What cannot be read counts as writable.
fn is_writable(path: &Path, depth: u32) -> bool {
    let Ok(metadata) = path.symlink_metadata() else { return false };
    if metadata.is_symlink() {
        return false;
    }
    if !metadata.is_dir() {
        return metadata.permissions().mode() & 0o222 != 0;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return true };
    depth == 0 || entries.flatten().any(|entry| is_writable(&entry.path(), depth - 1))
}
