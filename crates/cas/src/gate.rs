//! Between those who rely on something and expiry, which decides that nobody does.
//!
//! Relying on a name or a tree takes two steps: seeing that it is there, and saying so. Expiry must not decide in
//! between. So both steps are taken under a shared lock, and expiry holds the exclusive one while it decides and
//! removes. Names are published under it as well, so that whoever checks a cache sees names and blobs of one moment.
//! Blobs have a cheaper way, because there are so many: see [`Objects::exists`](crate::object::Objects).

use crate::session::lock;
use crate::store::Store;
use bourn_reapi::services::ServiceResult;
use rustix::fs::FlockOperation;
use std::os::fd::OwnedFd;

impl Store {
    /// Keeps expiry away for a moment. `None` when the cache may only be read: then nobody can expire it for us.
    pub(crate) fn rely(&self) -> ServiceResult<Option<OwnedFd>> {
        match self.session() {
            Ok(_) => self.expiry_lock(FlockOperation::LockShared).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Takes part in (shared) or rules out (exclusive) that somebody begins to rely on something.
    pub(crate) fn expiry_lock(&self, how: FlockOperation) -> ServiceResult<OwnedFd> {
        lock(&self.cachedir().join("bourn/expire.lock"), how)
    }
}
