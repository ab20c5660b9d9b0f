//! The queues that elements pass through: pull, fetch, build, push. All run at the same time.

use crate::event::Action;
use crate::fetch::Fetch;
use crate::push;
use crate::session::Session;
use crate::state::{ArtifactState, SourceState, States};
use bourn_plan::Plan;
use bourn_project::ElementId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

/// What a queue does to elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Looks for new refs.
    Track,
    /// Fetches sources.
    Fetch {
        /// Whether elements whose artifact is cached are passed over.
        skip_cached: bool,
        /// What of the sources.
        what: Fetch,
    },
    /// Pulls artifacts.
    Pull {
        /// Whether what cannot be pulled will be built.
        building: bool,
    },
    /// Builds.
    Build,
    /// Pushes artifacts.
    Push {
        /// Whether elements that are not cached are passed over.
        skip_uncached: bool,
    },
    /// Pushes sources.
    PushSources,
    /// Fetches sources and shows them to somebody.
    Mirror,
}

/// What jobs of a kind are limited by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// `scheduler.fetchers`.
    Download,
    /// `scheduler.builders`.
    Process,
    /// `scheduler.pushers`.
    Upload,
}

impl Work {
    /// The name of the queue.
    pub fn action(self) -> Action {
        match self {
            Work::Track => Action::Track,
            Work::Fetch { .. } => Action::Fetch,
            Work::Pull { .. } => Action::Pull,
            Work::Build => Action::Build,
            Work::Push { .. } => Action::Push,
            Work::PushSources => Action::SourcePush,
            Work::Mirror => Action::Mirror,
        }
    }

    /// What limits its jobs.
    pub fn resource(self) -> Resource {
        match self {
            Work::Track | Work::Fetch { .. } | Work::Pull { .. } | Work::Mirror => Resource::Download,
            Work::Build => Resource::Process,
            Work::Push { .. } | Work::PushSources => Resource::Upload,
        }
    }

    /// What can be done about an element now.
    fn status(self, session: &Session<'_>, id: ElementId) -> Status {
        match self {
            // Whatever cannot be found out here, the job will report.
            Work::Push { skip_uncached }
                if push::skips_artifact(session, id, skip_uncached).unwrap_or(false) =>
            {
                Status::Skip
            }
            Work::PushSources if push::skips_sources(session, id) => Status::Skip,
            Work::Push { .. } | Work::PushSources => Status::Ready,
            _ => self.status_by(session.plan, &session.states(), id),
        }
    }

    fn status_by(self, plan: &Plan, states: &States, id: ElementId) -> Status {
        let state = states.get(id);
        match self {
            Work::Track | Work::Mirror if plan.element(id).sources.is_empty() => Status::Skip,
            Work::Track | Work::Mirror => Status::Ready,
            Work::Fetch { skip_cached: true, .. } if matches!(state.artifact, ArtifactState::Unknown) => {
                Status::Wait
            }
            Work::Fetch { skip_cached: true, .. } if state.pull_pending => Status::Wait,
            Work::Fetch { skip_cached: true, .. } if state.artifact.success().is_some() => Status::Skip,
            Work::Fetch { what: Fetch::Staged, .. } if matches!(state.sources, SourceState::Staged(_)) => {
                Status::Skip
            }
            Work::Fetch { .. } => Status::Ready,
            Work::Pull { .. } if !state.pull_pending => Status::Skip,
            Work::Pull { .. } | Work::Push { .. } | Work::PushSources => Status::Ready,
            Work::Build if state.artifact.success().is_some() => Status::Skip,
            Work::Build if states.is_buildable(id) => Status::Ready,
            Work::Build => Status::Wait,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    /// Something else has to happen first.
    Wait,
    /// There is nothing to do.
    Skip,
    /// A job can be started.
    Ready,
}

/// One queue.
pub(crate) struct Queue {
    pub(crate) work: Work,
    /// By rank, then by time of arrival.
    ready: BinaryHeap<Reverse<(u32, u64, ElementId)>>,
    arrivals: u64,
    waiting: HashSet<ElementId>,
    done: VecDeque<ElementId>,
}

impl Queue {
    pub(crate) fn new(work: Work) -> Queue {
        Queue { work, ready: BinaryHeap::new(), arrivals: 0, waiting: HashSet::new(), done: VecDeque::new() }
    }

    /// Takes an element in. Whether it passed at once, because there is nothing to do.
    pub(crate) fn enqueue(&mut self, session: &Session<'_>, id: ElementId, rank: u32) -> bool {
        match self.work.status(session, id) {
            Status::Skip => {
                self.done.push_back(id);
                return true;
            }
            Status::Wait => drop(self.waiting.insert(id)),
            Status::Ready => {
                self.ready.push(Reverse((rank, self.arrivals, id)));
                self.arrivals += 1;
            }
        }
        false
    }

    /// Whether an element waits here for something to happen; it no longer does afterwards.
    pub(crate) fn take_waiting(&mut self, id: ElementId) -> bool {
        self.waiting.remove(&id)
    }

    /// The next element to start a job for.
    pub(crate) fn next(&mut self) -> Option<ElementId> {
        self.ready.pop().map(|Reverse((_, _, id))| id)
    }

    /// A job for an element ended, in whatever way: it goes on to the next queue.
    pub(crate) fn finish(&mut self, id: ElementId) {
        self.done.push_back(id);
    }

    /// An element that goes on to the next queue.
    pub(crate) fn take_done(&mut self) -> Option<ElementId> {
        self.done.pop_front()
    }

    /// Whether any element can go on.
    pub(crate) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }
}
