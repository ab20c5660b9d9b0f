//! What happened so far, counted for the summary and the live display.

use bourn_build::event::{Action, Event, JobResult};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// Counts of one queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// Jobs that did something.
    pub(crate) processed: usize,
    /// Elements there was nothing to do for.
    pub(crate) skipped: usize,
    /// Full names of elements whose job failed.
    pub(crate) failed: BTreeSet<String>,
    /// How many elements will pass, as far as is known.
    pub(crate) total: usize,
}

/// Counts of all queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By action, in the order elements pass them.
    pub(crate) queues: IndexMap<Action, Queue>,
    /// Elements that passed a queue in this run.
    pub(crate) session: BTreeSet<String>,
}

impl Tally {
    /// Takes an event into account.
    pub(crate) fn count(&mut self, event: &Event) {
        match event {
            Event::Planned { queues } => {
                self.queues = queues
                    .iter()
                    .map(|(action, total)| (*action, Queue { total: *total, ..Queue::default() }))
                    .collect();
                self.session.clear();
            }
            Event::Passed { queue, element } => {
                self.session.insert(element.to_string());
                self.queues.entry(*queue).or_default().skipped += 1;
            }
            Event::JobStarted { subject, .. } => {
                if let Some(issuer) = &subject.element {
                    self.session.insert(issuer.element.to_string());
                    // Tried again: no longer failed.
                    self.queues.entry(subject.action).or_default().failed.remove(&*issuer.element);
                }
            }
            Event::JobFinished { subject, result, .. } => {
                let name =
                    subject.element.as_ref().map(|issuer| issuer.element.to_string()).unwrap_or_default();
                let queue = self.queues.entry(subject.action).or_default();
                match result {
                    JobResult::Done => queue.processed += 1,
                    JobResult::Skipped(_) | JobResult::Cancelled => queue.skipped += 1,
                    JobResult::Failed(_) => {
                        queue.failed.insert(name);
                    }
                }
            }
            Event::JobRetried { .. }
            | Event::Message(_)
            | Event::Progress { .. }
            | Event::WorkspaceBuilt { .. } => {}
        }
    }

    /// Whether a job of that element failed for good.
    pub(crate) fn has_failed(&self, element: &str) -> bool {
        self.queues.values().any(|queue| queue.failed.contains(element))
    }
}
