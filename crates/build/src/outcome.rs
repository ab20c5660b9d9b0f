//! What a run came to.

use crate::event::{Action, Failure};
use bourn_project::ElementId;
use std::time::Duration;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The jobs that failed and were not repaired by trying again.
    pub failed: Vec<(Action, ElementId)>,
    /// How many jobs failed that were for artifacts and not for elements.
    pub failed_names: usize,
    /// Why the last of them did.
    pub last_failure: Option<Failure>,
    /// Whether it was ended before its time.
    pub terminated: bool,
    /// How long builds took that succeeded, for [`Durations`](crate::duration::Durations).
    pub durations: Vec<(String, Duration)>,
}

impl Outcome {
    /// Whether everything that was asked for was done.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.failed_names == 0 && !self.terminated
    }
}
