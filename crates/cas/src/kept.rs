//! Directories that whoever executes commands keeps between two of them, to spare work.
//!
//! Each is named `WHAT.BYTES`, so that what they take is known without looking into them. They can be removed at any
//! time, and are the first to go when space is short: everything in them is in the objects too, or can be made again.

use crate::remove::remove_tree;
use crate::session::Session;
use crate::store::Store;
use crate::trouble::Doing;
use bourn_reapi::services::ServiceResult;
use rustix::io::Errno;
use std::path::PathBuf;

impl Store {
    /// Where they are, on the file system of the store. Nobody but its owner gets in.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn kept(&self) -> ServiceResult<PathBuf> {
        let path = self.cachedir().join("bourn/kept");
        match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(path),
            Err(error) => Err(error).doing("cannot create", &path),
        }
    }

    /// Bytes that they take, about.
    pub(crate) fn kept_bytes(&self) -> ServiceResult<u64> {
        let bytes = |path: &PathBuf| path.extension()?.to_str()?.parse::<u64>().ok();
        Ok(self.all_kept()?.iter().filter_map(bytes).sum())
    }

    /// Removes all of them; one that is in use is elsewhere.
    pub(crate) fn drop_kept(&self, session: &Session) -> ServiceResult<()> {
        for path in self.all_kept()? {
            let aside = session.temporary("kept");
            match rustix::fs::rename(&path, &aside) {
                Err(Errno::NOENT) => continue, // taken, or removed, just now
                moved => moved.doing("cannot move", &path)?,
            }
            remove_tree(&aside)?;
        }
        Ok(())
    }

    fn all_kept(&self) -> ServiceResult<Vec<PathBuf>> {
        let root = self.kept()?;
        std::fs::read_dir(&root)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .doing("cannot list", &root)
    }
}
