//! Keeping within a quota while writing.
//!
//! Whoever stores something new claims room for it first. Room is handed out in portions, so that nearly all claims
//! are one subtraction. When a portion is used up, it is looked how much the cache holds and the disk has left; when
//! that is not enough, what was used longest ago goes; and when even that is not enough, because all that is left is
//! in use, the claim fails, and nothing is written.

use crate::expire::Quota;
use crate::store::Store;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The largest portion: after so many bytes the disk is looked at again, which others fill too.
const PORTION: u64 = 256 << 20;

/// The room that a store has left.
pub(crate) struct Room {
    store: Weak<Store>,
    quota: Quota,
    /// Bytes of the present portion that were not claimed yet.
    portion: AtomicU64,
    /// Bytes in the cache as far as that is known: counted once, and what was handed out since.
    held: Mutex<Option<u64>>,
}

impl Store {
    /// From now on, removes what was used longest ago whenever the cache would hold more than it may, and fails when
    /// everything is in use. To be called once, before anything is written.
    pub fn keep_within(self: &Arc<Store>, quota: Quota) {
        let room =
            Room { store: Arc::downgrade(self), quota, portion: AtomicU64::new(0), held: Mutex::new(None) };
        self.objects.set_room(room);
    }
}

impl Room {
    /// Takes room for so many bytes.
    pub(crate) fn claim(&self, bytes: u64) -> ServiceResult<()> {
        if self.take(bytes) {
            return Ok(());
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have got a portion meanwhile.
        if self.take(bytes) {
            return Ok(());
        }
        let Some(store) = self.store.upgrade() else { return Ok(()) };
        let left = self.portion.swap(0, Ordering::SeqCst);
        let portion = self.next_portion(&store, &mut held, left, bytes)?;
        self.portion.fetch_add(portion - bytes, Ordering::SeqCst);
        Ok(())
    }

    fn take(&self, bytes: u64) -> bool {
        self.portion.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes)).is_ok()
    }

    /// At least so many bytes as one wants to claim.
    fn next_portion(
        &self,
        store: &Store,
        held: &mut Option<u64>,
        left: u64,
        wanted: u64,
    ) -> ServiceResult<u64> {
        let mut used = match (*held, self.quota.bytes) {
            (Some(held), _) => held.saturating_sub(left),
            (None, Some(_)) => on_threads_of_its_own(|| store.bytes_held())?,
            // Only the disk counts, so nobody needs to know.
            (None, None) => 0,
        };
        let mut room = store.limit(&self.quota, used)?.saturating_sub(used);
        if room < wanted {
            let expired = on_threads_of_its_own(|| store.expire_for(&self.quota, wanted))?;
            used = expired.after;
            room = store.limit(&self.quota, used)?.saturating_sub(used);
        }
        if room < wanted {
            return Err(too_full(store, wanted));
        }
        let portion = room.min(PORTION.max(wanted));
        *held = Some(used + portion);
        Ok(portion)
    }
}

/// Does something that works on all cores. Whoever asks may be a thread of rayon's pool, which waits for parts of its
/// work by taking on something else, and that could be more writing, which waits for the very room that is being made.
/// So it is done by threads that have nothing else to do, while this one only waits.
fn on_threads_of_its_own<T: Send>(work: impl FnOnce() -> ServiceResult<T> + Send) -> ServiceResult<T> {
    let failed = |error: &dyn std::fmt::Display| {
        ServiceError::new(ErrorKind::Io, format!("cannot start a thread to make room in the cache: {error}"))
            .hint("raise the limit of processes (`ulimit -u`), or end some")
    };
    let threads = rayon::ThreadPoolBuilder::new().build().map_err(|error| failed(&error))?;
    std::thread::scope(|scope| {
        let waits = std::thread::Builder::new().spawn_scoped(scope, || threads.install(work));
        let waits = waits.map_err(|error| failed(&error))?;
        waits.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn too_full(store: &Store, wanted: u64) -> ServiceError {
    let message = format!(
        "the cache at {} is too full to hold {wanted} bytes more, and everything in it is in use",
        store.cachedir().display()
    );
    ServiceError::new(ErrorKind::NoSpace, message)
        .hint("raise `quota`, lower `reserved-disk-space` (both in section `cache`), or free some space on the disk")
}
