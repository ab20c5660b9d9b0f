//! Stopping and suspending a run from outside, by a signal or a prompt.

use crate::job::Clock;
use bourn_reapi::Executor;
use bourn_reapi::services::Cancel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops and suspends a run; clones control the same one.
#[derive(Clone)]
pub struct Control {
    cancel: Cancel,
    quit: Arc<AtomicBool>,
    clock: Arc<Clock>,
    executor: Arc<dyn Executor>,
}

impl Control {
    /// A control over whatever `executor` runs.
    pub fn new(executor: Arc<dyn Executor>) -> Control {
        Control::sharing(executor, Cancel::default())
    }

    /// The same, for services that look at `cancel` already.
    pub fn sharing(executor: Arc<dyn Executor>, cancel: Cancel) -> Control {
        Control { cancel, quit: Arc::default(), clock: Arc::default(), executor }
    }

    /// Ends everything that runs, as soon as possible.
    pub fn terminate(&self) {
        self.cancel.cancel();
    }

    /// Starts no further jobs; those that run are finished, and what they made is pushed.
    pub fn quit(&self) {
        self.quit.store(true, Ordering::SeqCst);
    }

    /// Stops every sandboxed process and the clock (`true`), or lets them go on.
    pub fn suspend(&self, stop: bool) {
        if stop {
            self.executor.suspend(true);
            self.clock.pause(true);
        } else {
            self.clock.pause(false);
            self.executor.suspend(false);
        }
    }

    /// The flag that jobs look at.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether everything is to end.
    pub fn is_terminated(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether no further jobs are to be started.
    pub fn is_quitting(&self) -> bool {
        self.quit.load(Ordering::SeqCst)
    }

    /// The clock that activities are timed by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
