//! The scheduler: elements pass through queues, and one thread decides what comes next.

use crate::error::{BuildError, BuildResult};
use crate::event::{Action, Decision, Event, JobId, Message, MessageKind, Subject};
use crate::fetch::{Tracked, Visit};
use crate::outcome::Outcome;
use crate::queue::{Queue, Resource, Work};
use crate::session::Session;
use crate::state::{Note, SourceState};
use crate::task::{Ended, Product, Task};
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the one that decides looks whether it was asked to stop.
const TICK: Duration = Duration::from_millis(50);

/// What becomes of the elements of a run, and with how many places for jobs.
pub(crate) struct Scheduler<'s> {
    session: &'s Session<'s>,
    /// Who is shown the sources that are fetched for a mirror.
    pub(crate) visit: Option<&'s Visit<'s>>,
    queues: Vec<Queue>,
    /// By element: lower ranks go first. All alike when there is no plan.
    ranks: Vec<u32>,
    /// Whether elements enter the first queue only once they are required.
    on_demand: bool,
    /// Artifacts that are about to be pulled.
    expected: Vec<ArtifactName>,
    /// Artifacts that are about to be pushed.
    outgoing: Vec<ArtifactName>,
    /// Elements that wait to become required.
    held: HashSet<ElementId>,
    /// Free places for jobs.
    downloads: usize,
    processes: usize,
    uploads: usize,
    running: usize,
    next_job: u64,
    outcome: Outcome,
    failed: Vec<(usize, ElementId)>,
}

impl<'s> Scheduler<'s> {
    /// One that takes elements through these queues, in the order of a plan.
    pub(crate) fn new(
        session: &'s Session<'s>,
        work: &[Work],
        plan: &[ElementId],
        on_demand: bool,
    ) -> Scheduler<'s> {
        let mut ranks = vec![0; session.plan.elements.len()];
        for (rank, id) in plan.iter().enumerate() {
            ranks[id.0 as usize] = rank as u32;
        }
        Scheduler {
            session,
            visit: None,
            queues: work.iter().map(|&work| Queue::new(work)).collect(),
            ranks,
            on_demand,
            expected: Vec::new(),
            outgoing: Vec::new(),
            held: HashSet::new(),
            downloads: session.options.fetchers.max(1),
            processes: session.options.builders.max(1),
            uploads: session.options.pushers.max(1),
            running: 0,
            next_job: 0,
            outcome: Outcome::default(),
            failed: Vec::new(),
        }
    }

    /// Takes elements through the queues. `save` is given the refs that were found.
    pub(crate) fn run(
        mut self,
        elements: Vec<ElementId>,
        save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>,
    ) -> Outcome {
        let totals = self.queues.iter().map(|queue| (queue.work.action(), elements.len())).collect();
        self.session.sink.event(Event::Planned { queues: totals });
        drop(self.session.states_mut().take_notes());
        let (tasks, begun) = channel();
        let begun = Mutex::new(begun);
        std::thread::scope(|scope| {
            let (ended, ends) = channel();
            let mut threads = 0;
            for id in elements {
                self.enter(id);
            }
            loop {
                for task in self.advance() {
                    // Whoever takes tasks waits below.
                    let _ = tasks.send(task);
                }
                for _ in threads..self.running {
                    let (ended, begun) = (ended.clone(), &begun);
                    scope.spawn(move || work(begun, &ended));
                }
                threads = threads.max(self.running);
                if self.running == 0 {
                    drop(tasks);
                    break;
                }
                if let Ok(end) = ends.recv_timeout(TICK) {
                    self.settle(end, save);
                }
            }
        });
        self.outcome.terminated = self.session.control.is_terminated();
        self.outcome.failed =
            self.failed.iter().map(|&(queue, id)| (self.queues[queue].work.action(), id)).collect();
        self.outcome
    }

    /// Takes an element into the first queue, now or once it is required.
    fn enter(&mut self, id: ElementId) {
        if self.on_demand && !self.session.states().get(id).required {
            self.held.insert(id);
        } else {
            self.enqueue(0, id);
        }
    }

    fn enqueue(&mut self, queue: usize, id: ElementId) {
        let rank = self.ranks[id.0 as usize];
        let passed = self.queues[queue].enqueue(self.session, id, rank);
        match self.queues[queue].work {
            Work::Pull { .. } if !passed => self.expected.extend(self.session.first_name(id)),
            Work::Push { .. } if !passed => self.outgoing.extend(self.session.kept_name(id)),
            _ => {}
        }
        if passed {
            let element = self.session.plan.graph.full_name(id).into();
            self.session.sink.event(Event::Passed { queue: self.queues[queue].work.action(), element });
        }
    }

    /// Moves elements on from queue to queue and begins as many jobs as there are places for; later queues first, so
    /// that what was begun is finished.
    fn advance(&mut self) -> Vec<Task<'s>> {
        let control = &self.session.control;
        let mut tasks = Vec::new();
        loop {
            self.take_notes();
            for queue in 1..self.queues.len() {
                while let Some(id) = self.queues[queue - 1].take_done() {
                    self.enqueue(queue, id);
                }
            }
            if let Some(last) = self.queues.last_mut() {
                while last.take_done().is_some() {}
            }
            if let Some(remotes) = &self.session.services.remotes {
                if !self.expected.is_empty() {
                    remotes.expect(&std::mem::take(&mut self.expected));
                }
                let outgoing = std::mem::take(&mut self.outgoing);
                if !outgoing.is_empty() && !control.is_terminated() && !control.is_quitting() {
                    remotes.expect_pushes(&outgoing);
                }
            }
            if !control.is_terminated() {
                let first = if control.is_quitting() { self.after_imperative() } else { 0 };
                for queue in (first..self.queues.len()).rev() {
                    while let Some(task) = self.begin(queue) {
                        tasks.push(task);
                    }
                }
            }
            if !self.queues.iter().any(Queue::has_done) {
                return tasks;
            }
        }
    }

    /// The first queue that is still served when no more work is to be begun: what was made is pushed.
    fn after_imperative(&self) -> usize {
        let imperative =
            |work| matches!(work, Work::Build | Work::Push { skip_uncached: false } | Work::PushSources);
        self.queues.iter().position(|queue| imperative(queue.work)).map_or(self.queues.len(), |at| at + 1)
    }

    /// Lets elements go on that something waited for happened to.
    fn take_notes(&mut self) {
        if !self.on_demand {
            return;
        }
        loop {
            let notes = self.session.states_mut().take_notes();
            if notes.is_empty() {
                return;
            }
            for note in notes {
                self.take_note(note);
            }
        }
    }

    fn take_note(&mut self, note: Note) {
        let (id, concerned): (_, fn(Work) -> bool) = match note {
            Note::Required(id) => {
                if self.held.remove(&id) {
                    self.enqueue(0, id);
                }
                return;
            }
            Note::Loaded(id) => (id, |work| matches!(work, Work::Fetch { .. })),
            Note::Buildable(id) => (id, |work| matches!(work, Work::Build)),
        };
        for queue in 0..self.queues.len() {
            if concerned(self.queues[queue].work) && self.queues[queue].take_waiting(id) {
                self.enqueue(queue, id);
            }
        }
    }

    fn places(&mut self, resource: Resource) -> &mut usize {
        match resource {
            Resource::Download => &mut self.downloads,
            Resource::Process => &mut self.processes,
            Resource::Upload => &mut self.uploads,
        }
    }

    /// The next job of a queue, if there is one and a place for it.
    fn begin(&mut self, queue: usize) -> Option<Task<'s>> {
        let work = self.queues[queue].work;
        if *self.places(work.resource()) == 0 {
            return None;
        }
        let id = self.queues[queue].next()?;
        *self.places(work.resource()) -= 1;
        self.running += 1;
        self.next_job += 1;
        Some(Task { session: self.session, visit: self.visit, job: JobId(self.next_job), queue, work, id })
    }

    /// Draws the consequences of a job that ended.
    fn settle(&mut self, end: Ended, save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>) {
        let Ended { job, queue, id, subject, result, elapsed } = end;
        let work = self.queues[queue].work;
        *self.places(work.resource()) += 1;
        self.running -= 1;
        if matches!(&result, Ok(Product::Built(assembled)) if assembled.error.is_none()) {
            self.outcome.durations.push((self.session.duration_name(id), elapsed));
        }
        let failure = match result {
            Ok(product) => self.take_product(id, product, save),
            Err(error) => {
                if work == Work::Build && !error.cancelled {
                    self.session.states_mut().set_built(self.session.plan, id, None);
                }
                Some(error)
            }
        };
        self.queues[queue].finish(id);
        if let Some(error) = failure.filter(|error| !error.cancelled) {
            self.take_failure(job, queue, id, &subject, error);
        }
    }

    fn take_product(
        &mut self,
        id: ElementId,
        product: Product,
        save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>,
    ) -> Option<BuildError> {
        let mut states = self.session.states_mut();
        match product {
            Product::Fetched(digest) => states.set_sources(id, SourceState::Staged(digest)),
            Product::Tracked(Some(found)) => {
                drop(states);
                let failed = save(id, found).err();
                if let Some(error) = &failed {
                    self.tell_unsaved(id, error);
                }
                return failed;
            }
            Product::Tracked(None) | Product::Pushed(_) | Product::Mirrored => {}
            Product::Pulled(artifact, _) => states.set_artifact(self.session.plan, id, artifact, false),
            Product::Built(assembled) => {
                let kept = assembled.artifact.clone();
                states.set_built(self.session.plan, id, assembled.artifact);
                drop(states);
                if let (Some(kept), Some(_)) = (kept, self.session.workspace(id)) {
                    let element = self.session.plan.graph.full_name(id).into();
                    let key = kept.message.strong_key.as_str().into();
                    self.session.sink.event(Event::WorkspaceBuilt { element, key });
                }
                return assembled.error;
            }
        }
        None
    }

    /// Says why a ref that was found is not in the project's files: the job itself ended well.
    fn tell_unsaved(&self, id: ElementId, error: &BuildError) {
        let element = Some(self.session.issuer(id));
        let detail = match &error.failure.detail {
            Some(detail) => format!("{}\n{detail}", error.failure.message),
            None => error.failure.message.clone(),
        };
        self.session.sink.event(Event::Message(Message {
            subject: Subject { job: None, action: Action::Track, element, speaker: None },
            kind: MessageKind::Error,
            text: "The new ref cannot be saved".to_owned(),
            detail: Some(detail),
            elapsed: None,
        }));
    }

    fn take_failure(
        &mut self,
        job: JobId,
        queue: usize,
        id: ElementId,
        subject: &Subject,
        error: BuildError,
    ) {
        self.failed.push((queue, id));
        let decision = self.session.sink.failed(job, subject, &error.failure);
        self.outcome.last_failure = Some(*error.failure);
        match decision {
            Decision::Continue => {}
            Decision::Quit => self.session.control.quit(),
            Decision::Terminate => self.session.control.terminate(),
            Decision::Retry => {
                self.failed.pop();
                if self.queues[queue].work == Work::Build {
                    self.session.states_mut().retry(id);
                }
                self.enqueue(queue, id);
            }
        }
    }
}

/// Does one job after the other, until there are no more.
fn work(begun: &Mutex<Receiver<Task<'_>>>, ended: &Sender<Ended>) {
    loop {
        // Whoever is next waits for this lock.
        let next = begun.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(task) => task.work(ended),
            Err(_) => return,
        }
    }
}
