//! Cleaning up in the background, so that the next command does not wait for the disk.

use crate::namespace::Sandboxed;
use crate::scratch::{self, Scratch};
use crate::slot::Slot;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What is to be cleaned up.
pub(crate) enum Litter {
    /// A directory that was used once.
    Scratch(Scratch),
    /// A directory to be used again.
    Slot(Box<Slot>),
}

/// Slots that are ready to be used.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Slot>>>);

impl Pool {
    /// The slot that the function likes best, if there is any.
    pub(crate) fn take(&self, liking: impl Fn(&Slot) -> usize) -> Option<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..slots.len()).max_by_key(|index| liking(&slots[*index]))?;
        Some(slots.swap_remove(best))
    }

    fn give(&self, slot: Slot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// The thread that cleans up.
pub(crate) struct Sweeper {
    work: Option<Sender<(Option<Sandboxed>, Litter)>>,
    thread: Option<JoinHandle<()>>,
    pool: Pool,
}

impl Sweeper {
    /// Starts the thread, which fills the pool.
    pub(crate) fn new(pool: Pool) -> Sweeper {
        let (work, incoming) = channel();
        let filled = pool.clone();
        let thread = std::thread::Builder::new()
            .name("sweeper".to_owned())
            .spawn(move || sweep_all(&incoming, &filled));
        Sweeper { work: Some(work), thread: thread.ok(), pool }
    }

    /// Has a sandbox ended and its directory cleaned.
    pub(crate) fn sweep(&self, sandbox: Option<Sandboxed>, litter: Litter) {
        match (&self.work, &self.thread) {
            (Some(work), Some(_)) => {
                if let Err(unsent) = work.send((sandbox, litter)) {
                    sweep(unsent.0, &self.pool);
                }
            }
            _ => sweep((sandbox, litter), &self.pool),
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sweep_all(incoming: &Receiver<(Option<Sandboxed>, Litter)>, pool: &Pool) {
    incoming.iter().for_each(|litter| sweep(litter, pool));
}

fn sweep((sandbox, litter): (Option<Sandboxed>, Litter), pool: &Pool) {
    drop(sandbox); // waits until nothing is mounted any more
    match litter {
        // What cannot be removed now is removed by the next start.
        Litter::Scratch(scratch) => drop(scratch::remove(&scratch.path)),
        Litter::Slot(mut slot) => match slot.tidy() {
            true => pool.give(*slot),
            false => slot.remove(),
        },
    }
}
