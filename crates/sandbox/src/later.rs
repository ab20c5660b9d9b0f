//! Laying out in the background what was served at first.
//!
//! Serving a tree spares its first command the time to lay it out, but the kernel has to ask for every file that a
//! command looks at. So where commands go on for a while, the tree is laid out beside them for those that come later.
//! A run that ends before that leaves it at serving.
//!
//! Until then the objects of a served tree are all that it is made of. bourn expires none that a session relies on, but
//! the engine of a `bst` that works on the same cache does not ask. So while there is one, served trees are held.

use bourn_cas::Store;
use bourn_reapi::Digest;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether another engine has come.
const LOOK: Duration = Duration::from_secs(1);

/// A tree that is served.
pub(crate) struct Served {
    pub(crate) tree: Digest,
    pub(crate) prefixes: Vec<Digest>,
}

/// The thread that lays trees out.
pub(crate) struct Later {
    work: Option<Sender<Served>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Later {
    /// Starts the thread, which lays out each tree when it has been served for a while.
    pub(crate) fn new(store: Arc<Store>, patience: Duration) -> Later {
        let (work, incoming) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let clerk = Clerk { store, patience, stop: stop.clone() };
        let thread =
            std::thread::Builder::new().name("later".to_owned()).spawn(move || clerk.work(&incoming));
        Later { work: Some(work), thread: thread.ok(), stop }
    }

    /// Has a tree laid out in a while. Nothing depends on it.
    pub(crate) fn lay_out(&self, served: Served) {
        if let Some(work) = &self.work {
            let _ = work.send(served);
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Clerk {
    store: Arc<Store>,
    patience: Duration,
    stop: Arc<AtomicBool>,
}

impl Clerk {
    /// Lays out what comes in when its time has come, and holds it when that is needed, until nobody is left to send
    /// more.
    fn work(&self, incoming: &Receiver<Served>) {
        let mut waiting: Vec<(Instant, Served)> = Vec::new();
        let mut loose: Vec<Digest> = Vec::new();
        let mut seen: HashSet<Digest> = HashSet::new();
        loop {
            let now = Instant::now();
            let next = waiting.first().map_or(self.patience, |(due, _)| due.saturating_duration_since(now));
            let look = if loose.is_empty() { Duration::MAX } else { LOOK };
            match incoming.recv_timeout(next.min(look)) {
                Ok(served) => {
                    if seen.insert(served.tree) {
                        loose.push(served.tree);
                        self.hold(&mut loose);
                    }
                    if waiting.iter().all(|(_, other)| other.tree != served.tree) {
                        // Never, if the clock does not reach that far.
                        waiting.extend(Instant::now().checked_add(self.patience).map(|due| (due, served)));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.hold(&mut loose);
                    let now = Instant::now();
                    if waiting.first().is_some_and(|(due, _)| *due <= now) {
                        let (_, served) = waiting.remove(0);
                        // What fails here fails again, and is reported, where somebody waits for it.
                        let _ = self.store.layer_quietly(&served.tree, &served.prefixes, &self.stop);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Holds what is not held yet, if there is another engine. What is missing already is reported by whoever serves
    /// it, should it be looked at.
    fn hold(&self, loose: &mut Vec<Digest>) {
        if loose.is_empty() || !self.store.has_other_engine().unwrap_or(false) {
            return;
        }
        for tree in loose.drain(..) {
            let _ = self.store.hold(&tree, &self.stop);
        }
    }
}
