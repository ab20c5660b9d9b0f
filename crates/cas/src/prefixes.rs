//! The directories of objects, made before anybody needs them.
//!
//! There are 256 at most, and each is made when its first object comes. In a new cache that is 256 times in a row, all
//! in one directory, whose lock everybody who stores something waits for: ext4 takes 0.15 to 0.5 ms for each, because it
//! looks through all parts of the disk for the emptiest (see [`spread`](crate::spread)). While a first pull waits for
//! its server they can be made beside it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::Mode;
use rustix::io::Errno;

/// How many there are.
const PREFIXES: u64 = 256;

/// Makes directories until all are there, or this value ends.
pub(crate) struct Prefixes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prefixes {
    /// Begins to make those that are missing. `None` when none is, as far as the file system counts links to directories,
    /// or there is no thread to be had: then they are made one by one when they are needed.
    pub(crate) fn begin(objects: &OwnedFd) -> Option<Prefixes> {
        let links = rustix::fs::fstat(objects).ok()?.st_nlink;
        // A directory has two names of its own, and one from each directory in it; just one where that is not counted.
        if !(2..2 + PREFIXES).contains(&links) {
            return None;
        }
        let (objects, stop) = (objects.try_clone().ok()?, Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let make = move || {
            for prefix in 0..PREFIXES {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                match rustix::fs::mkdirat(&objects, format!("{prefix:02x}"), Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    // Whoever stores something will say what is wrong.
                    Err(_) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("prefixes".to_owned()).spawn(make).ok()?;
        Some(Prefixes { stop, thread: Some(thread) })
    }
}

/// Nothing is made any more when this has ended, so that whoever had the cache can remove it.
impl Drop for Prefixes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::OFlags;

    #[test]
    fn all_directories_are_made_or_no_more() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(place.path(), flags, Mode::empty()).expect("a directory");
        std::fs::create_dir(place.path().join("a7")).expect("a directory in it");
        let count = || std::fs::read_dir(place.path()).expect("a list").count() as u64;
        let Some(mut prefixes) = Prefixes::begin(&root) else {
            // Links are not counted here.
            assert!(rustix::fs::fstat(&root).expect("a stat").st_nlink < 2);
            return;
        };
        let thread = prefixes.thread.take().expect("a thread");
        thread.join().expect("an end");
        assert_eq!(count(), PREFIXES);
        assert!(Prefixes::begin(&root).is_none());
        // With an end in the middle, the place can be removed at once.
        let half = tempfile::tempdir().expect("a temporary directory");
        let root = rustix::fs::open(half.path(), flags, Mode::empty()).expect("a directory");
        drop(Prefixes::begin(&root));
        half.close().expect("nothing is made in it any more");
    }
}
