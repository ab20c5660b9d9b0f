//! Directories for work beside what is kept of a kind: gone when the work is done, and swept up later where whoever worked
//! there was killed.

use bourn_plan::{FetchContext, SourceError};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tempfile::TempDir;

/// What their names begin with. Nothing else that is kept of a kind has a name that begins with a dot.
const PREFIX: &str = ".scratch-";

/// A directory for work below the downloads of a kind, gone when dropped.
pub(crate) struct Scratch {
    directory: TempDir,
    /// The directory itself, locked: whoever sweeps leaves it alone.
    _held: File,
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Makes a directory for work below the downloads of a kind, and removes those of runs that were killed.
///
/// # Errors
/// It cannot be made.
pub(crate) fn workspace(context: &FetchContext<'_>, kind: &str) -> Result<Scratch, SourceError> {
    let parent = context.source_directory.join(kind);
    let made = std::fs::create_dir_all(&parent).and_then(|()| {
        sweep(&parent);
        make(&parent)
    });
    made.map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating a directory in", &parent).into())
}

fn make(parent: &Path) -> io::Result<Scratch> {
    loop {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // Somebody may sweep it away before it is locked.
        if let Some(held) = hold(directory.path()) {
            return Ok(Scratch { directory, _held: held });
        }
    }
}

/// Locks a directory that is there; `None` where it is gone or somebody works in it.
fn hold(path: &Path) -> Option<File> {
    let held = File::open(path).ok()?;
    held.try_lock().ok()?;
    let (found, own) = (path.metadata().ok()?, held.metadata().ok()?);
    (found.ino() == own.ino()).then_some(held)
}

/// Removes what nobody works in any more. What cannot be removed stays.
fn sweep(parent: &Path) {
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let is_scratch = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_scratch && let Some(_held) = hold(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_swept_up() {
        let parent = tempfile::tempdir().expect("a directory");
        let left = parent.path().join(".scratch-left");
        std::fs::create_dir_all(left.join("deeper")).expect("directories");
        std::fs::write(left.join("deeper/file"), "1").expect("a file");
        let kept = parent.path().join("tmpkept");
        std::fs::create_dir(&kept).expect("a directory");
        let busy = make(parent.path()).expect("made");
        sweep(parent.path());
        assert!(!left.exists() && kept.exists() && busy.path().exists());
        let path = busy.path().to_owned();
        drop(busy);
        assert!(!path.exists());
    }
}
