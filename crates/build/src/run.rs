//! Runs: elements pass through queues, jobs run in threads, one thread decides what comes next.

use crate::assemble::{Assembled, assemble};
use crate::error::{BuildError, BuildResult};
use crate::event::{Action, Decision, Event, Failure, JobId, JobResult, Message, MessageKind, Subject};
use crate::fetch::{self, Fetch, Tracked};
use crate::job::Job;
use crate::log::LogFile;
use crate::order;
use crate::push;
use crate::queue::{Queue, Resource, Work};
use crate::session::{Query, Session};
use crate::state::{ArtifactState, Note, SourceState};
use bourn_project::ElementId;
use bourn_reapi::{ArtifactName, Digest};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How often the one that decides looks whether it was asked to stop.
const TICK: Duration = Duration::from_millis(50);

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

/// What `build` is asked to build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildScope {
    /// The targets alone, with whatever they are built upon (`--deps none`).
    None,
    /// The targets and what they need to run (`--deps run`).
    Run,
    /// What the targets are built upon (`--deps build`).
    Build,
    /// Everything (`--deps all`).
    All,
}

impl BuildScope {
    /// The elements that may be processed, in the order of their rank.
    pub fn plan(self, session: &Session<'_>, targets: &[ElementId]) -> Vec<ElementId> {
        match self {
            BuildScope::Build => order::dependencies_first(session.plan, targets),
            _ => order::deepest_first(session.plan, targets),
        }
    }

    /// The elements that the run cannot do without from the start; what they lead to becomes required on the way.
    pub fn required(self, session: &Session<'_>, targets: &[ElementId]) -> Vec<ElementId> {
        match self {
            BuildScope::None | BuildScope::Run => targets.to_vec(),
            BuildScope::Build => order::direct_build(session.plan, targets),
            BuildScope::All => self.plan(session, targets),
        }
    }
}

/// Builds elements: whatever is required is pulled, or fetched and built.
///
/// # Errors
/// The cache cannot be asked. Failures of jobs are no errors but part of the outcome.
pub fn build(session: &Session<'_>, targets: &[ElementId], scope: BuildScope) -> BuildResult<Outcome> {
    let elements = scope.plan(session, targets);
    let pushes_sources = session.remotes(|remotes, project| remotes.pushes_sources(project)).is_some();
    let pulls = session.remotes(|remotes, project| remotes.pulls_artifacts(project)).is_some();
    if pulls || pushes_sources {
        // What is not here may be pulled, so that it is not known yet which elements will be required.
        session.query(&elements, Query::Build)?;
    }
    if pushes_sources {
        session.query(&elements, Query::Sources)?;
    }
    session.require(&scope.required(session, targets), scope != BuildScope::None, Query::Build)?;
    let mut queues = vec![Work::Fetch { skip_cached: true, what: Fetch::Staged }, Work::Build];
    if pulls {
        queues.insert(0, Work::Pull { building: true });
    }
    if session.remotes(|remotes, project| remotes.pushes_artifacts(project)).is_some() {
        queues.push(Work::Push { skip_uncached: true });
    }
    if pushes_sources {
        queues.push(Work::PushSources);
    }
    let took = |id| session.options.durations.get(&duration_name(session, id));
    let ranked = order::longest_first(session.plan, elements.clone(), &took);
    Ok(Scheduler::new(session, &queues, &ranked, true).run(elements, &mut |_, _| Ok(())))
}

/// How long each of the elements that are to be built will take, and each with the longest chain of builds that waits
/// for it, as far as earlier runs tell. Empty when they tell nothing. The cache has been asked for what is required.
pub fn expected(session: &Session<'_>) -> Vec<(ElementId, Duration, Duration)> {
    let states = session.states();
    let is_pending = |id: &ElementId| {
        let state = states.get(*id);
        state.required && state.artifact.cached().is_none() && !state.done
    };
    let pending: Vec<ElementId> =
        (0..session.plan.elements.len()).map(|at| ElementId(at as u32)).filter(is_pending).collect();
    let took = |id| session.options.durations.get(&duration_name(session, id));
    let known: Vec<Duration> = pending.iter().filter_map(|&id| took(id)).collect();
    let Some(average) = known.iter().sum::<Duration>().checked_div(known.len() as u32) else {
        return Vec::new();
    };
    let takes = |id| if is_pending(&id) { took(id).unwrap_or(average) } else { Duration::ZERO };
    let chains = order::chains(session.plan, &takes);
    pending.into_iter().map(|id| (id, takes(id), chains[id.0 as usize])).collect()
}

/// The name under which it is remembered how long an element took.
fn duration_name(session: &Session<'_>, id: ElementId) -> String {
    format!("{}/{}", session.project(id).name, session.element(id).name)
}

/// Pulls the artifacts of elements that are not here.
///
/// # Errors
/// The cache cannot be asked.
pub fn pull(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Artifacts)?;
    let queues = [Work::Pull { building: false }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Pushes the artifacts of elements; those that are not here are pulled first.
///
/// # Errors
/// The cache cannot be asked.
pub fn push(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Artifacts)?;
    let queues = [Work::Pull { building: false }, Work::Push { skip_uncached: false }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Pushes the sources of elements; those that are not here are fetched first.
///
/// # Errors
/// The cache cannot be asked.
pub fn push_sources(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let queues = [Work::Fetch { skip_cached: false, what: Fetch::Staged }, Work::PushSources];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Fetches the sources of elements.
///
/// # Errors
/// The cache cannot be asked.
pub fn fetch(session: &Session<'_>, elements: &[ElementId], what: Fetch) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let queues = [Work::Fetch { skip_cached: false, what }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Fetches the sources of elements and shows each to `visit`, with what fetching is given.
///
/// # Errors
/// The cache cannot be asked. Failures of jobs, and of `visit`, are part of the outcome.
pub fn mirror(
    session: &Session<'_>,
    elements: &[ElementId],
    visit: &fetch::Visit<'_>,
) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let mut scheduler = Scheduler::new(session, &[Work::Mirror], &[], false);
    scheduler.visit = Some(visit);
    Ok(scheduler.run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Looks for newer refs of the sources of elements. `save` is given what was found for each element as soon as it is
/// known.
///
/// # Errors
/// None of its own; failures of jobs, and of `save`, are part of the outcome.
pub fn track(
    session: &Session<'_>,
    elements: &[ElementId],
    save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>,
) -> BuildResult<Outcome> {
    Ok(Scheduler::new(session, &[Work::Track], &[], false).run(elements.to_vec(), save))
}

/// A job that ended.
struct Ended {
    job: JobId,
    queue: usize,
    id: ElementId,
    subject: Subject,
    result: Result<Product, BuildError>,
    elapsed: Duration,
}

/// What a job made.
enum Product {
    Tracked(Option<Vec<Tracked>>),
    Fetched(Digest),
    Pulled(ArtifactState, bool),
    Built(Box<Assembled>),
    Pushed(bool),
    Mirrored,
}

struct Scheduler<'s> {
    session: &'s Session<'s>,
    /// Who is shown the sources that are fetched for a mirror.
    visit: Option<&'s fetch::Visit<'s>>,
    queues: Vec<Queue>,
    /// By element: lower ranks go first. All alike when there is no plan.
    ranks: Vec<u32>,
    /// Whether elements enter the first queue only once they are required.
    on_demand: bool,
    /// Artifacts that are about to be pulled.
    expected: Vec<ArtifactName>,
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
    fn new(session: &'s Session<'s>, work: &[Work], plan: &[ElementId], on_demand: bool) -> Scheduler<'s> {
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

    fn run(
        mut self,
        elements: Vec<ElementId>,
        save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>,
    ) -> Outcome {
        let totals = self.queues.iter().map(|queue| (queue.work.action(), elements.len())).collect();
        self.session.sink.event(Event::Planned { queues: totals });
        drop(self.session.states_mut().take_notes());
        std::thread::scope(|scope| {
            let (ended, ends) = channel();
            for id in elements {
                self.enter(id);
            }
            loop {
                self.advance(|start| {
                    let ended = ended.clone();
                    scope.spawn(move || start.work(&ended));
                });
                if self.running == 0 {
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
        if !passed && matches!(self.queues[queue].work, Work::Pull { .. }) {
            self.expected.extend(self.session.strict_name(id));
        }
        if passed {
            let element = self.session.plan.graph.full_name(id).into();
            self.session.sink.event(Event::Passed { queue: self.queues[queue].work.action(), element });
        }
    }

    /// Moves elements on from queue to queue and starts as many jobs as there are places for; later queues first, so
    /// that what was begun is finished.
    fn advance(&mut self, mut spawn: impl FnMut(Start<'s>)) {
        let control = &self.session.control;
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
            if let Some(remotes) =
                self.session.services.remotes.as_ref().filter(|_| !self.expected.is_empty())
            {
                remotes.expect(&std::mem::take(&mut self.expected));
            }
            if !control.is_terminated() {
                let first = if control.is_quitting() { self.after_imperative() } else { 0 };
                for queue in (first..self.queues.len()).rev() {
                    while let Some(start) = self.start(queue) {
                        spawn(start);
                    }
                }
            }
            if !self.queues.iter().any(Queue::has_done) {
                return;
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
    fn start(&mut self, queue: usize) -> Option<Start<'s>> {
        let work = self.queues[queue].work;
        if *self.places(work.resource()) == 0 {
            return None;
        }
        let id = self.queues[queue].next()?;
        *self.places(work.resource()) -= 1;
        self.running += 1;
        self.next_job += 1;
        Some(Start { session: self.session, visit: self.visit, job: JobId(self.next_job), queue, work, id })
    }

    /// Draws the consequences of a job that ended.
    fn settle(&mut self, end: Ended, save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>) {
        let Ended { job, queue, id, subject, result, elapsed } = end;
        let work = self.queues[queue].work;
        *self.places(work.resource()) += 1;
        self.running -= 1;
        if matches!(&result, Ok(Product::Built(assembled)) if assembled.error.is_none()) {
            self.outcome.durations.push((duration_name(self.session, id), elapsed));
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

/// A job about to be started.
struct Start<'s> {
    session: &'s Session<'s>,
    visit: Option<&'s fetch::Visit<'s>>,
    job: JobId,
    queue: usize,
    work: Work,
    id: ElementId,
}

/// How one try of a job ended.
enum Try {
    Ended(Subject, Result<Product, BuildError>, Duration),
    Again,
}

/// What is said when a job is tried again.
pub fn retried(attempt: u32) -> String {
    format!("Try #{attempt} failed, retrying")
}

impl Start<'_> {
    /// Runs the job to its end, in a thread of its own.
    fn work(self, ended: &Sender<Ended>) {
        let mut attempt = 1;
        let (subject, result, elapsed) = loop {
            match self.attempt(attempt) {
                Try::Ended(subject, result, elapsed) => break (subject, result, elapsed),
                Try::Again => attempt += 1,
            }
        };
        // Whoever waits for this ends only after all jobs did.
        let Start { job, queue, id, .. } = self;
        let _ = ended.send(Ended { job, queue, id, subject, result, elapsed });
    }

    fn subject(&self) -> Subject {
        let element = Some(self.session.issuer(self.id));
        Subject { job: Some(self.job), action: self.work.action(), element, speaker: None }
    }

    fn attempt(&self, attempt: u32) -> Try {
        let session = self.session;
        let subject = self.subject();
        let start = session.control.clock().now();
        let (log, trouble) = match self.open_log(&subject) {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error)),
        };
        let fatal = &session.project(self.id).fatal_warnings;
        let job = Job::new(session.surroundings(), subject.clone(), fatal, log);
        let path = job.log_path().map(ToOwned::to_owned);
        session.sink.event(Event::JobStarted { job: self.job, subject: subject.clone(), log: path.clone() });
        let name = self.work.action().name();
        job.note(MessageKind::Start, name, None, None);
        let result = match trouble {
            Some(error) => Err(error),
            None => self.act(&job),
        };
        let elapsed = session.control.clock().now().saturating_sub(start);
        if let Some(failure) = self.retry(attempt, &result) {
            let text = retried(attempt);
            job.note(MessageKind::Failure, &text, Some(&failure.message), Some(elapsed));
            session.sink.event(Event::JobRetried {
                job: self.job,
                subject,
                attempt,
                elapsed,
                failure,
                log: path,
            });
            return Try::Again;
        }
        let told = self.tell(&job, &result, elapsed);
        let subject = self.subject();
        session.sink.event(Event::JobFinished {
            job: self.job,
            subject: subject.clone(),
            result: told,
            elapsed,
            log: path,
        });
        Try::Ended(subject, result, elapsed)
    }

    fn open_log(&self, subject: &Subject) -> BuildResult<LogFile> {
        let session = self.session;
        let element = session.element(self.id);
        let key = subject.element.as_ref().and_then(|issuer| issuer.key.as_ref());
        let brief = key.map_or("", |key| session.options.log.brief(&key.full));
        let name = format!(
            "{}/{}/{brief}-{}",
            session.project(self.id).name,
            log_name(&element.name),
            self.work.action().name().to_lowercase()
        );
        Ok(LogFile::create(&session.options.log, &name)?)
    }

    /// Does the work. A panic is a failure of this job, not of the run.
    fn act(&self, job: &Job<'_>) -> Result<Product, BuildError> {
        let session = self.session;
        let work = || -> BuildResult<Product> {
            job.check_cancelled()?;
            Ok(match self.work {
                Work::Track => Product::Tracked(fetch::track(session, job, self.id)?),
                Work::Fetch { what, .. } => Product::Fetched(fetch::fetch(session, job, self.id, what)?),
                Work::Pull { building } => {
                    let (artifact, pulled) = session.pull(job, self.id, building)?;
                    Product::Pulled(artifact, pulled)
                }
                Work::Push { .. } => Product::Pushed(push::artifact(session, job, self.id)?),
                Work::PushSources => Product::Pushed(push::sources(session, job, self.id)?),
                Work::Mirror => {
                    if let Some(visit) = self.visit {
                        fetch::visit(session, job, self.id, visit)?;
                    }
                    Product::Mirrored
                }
                Work::Build => Product::Built(Box::new(assemble(session, job, self.id))),
            })
        };
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(fault(&*panic)));
        match (result, job.log_trouble()) {
            (Ok(_), Some(trouble)) => Err(trouble.into()),
            (result, _) => result,
        }
    }

    /// The failure, if it is one that is worth another try.
    fn retry(&self, attempt: u32, result: &Result<Product, BuildError>) -> Option<Failure> {
        let network = self.work.resource() != Resource::Process;
        match result {
            Err(error)
                if error.temporary
                    && network
                    && attempt <= self.session.options.network_retries
                    && !self.session.control.is_terminated() =>
            {
                Some(Failure::clone(&error.failure))
            }
            _ => None,
        }
    }

    /// How the job ended, as others are told; noted in its log too.
    fn tell(&self, job: &Job<'_>, result: &Result<Product, BuildError>, elapsed: Duration) -> JobResult {
        let name = self.work.action().name();
        let error = match result {
            Ok(Product::Tracked(None)) => return skipped(job, "Element sources are not trackable"),
            Ok(Product::Pulled(_, false) | Product::Pushed(false)) => return skipped(job, name),
            Ok(Product::Built(assembled)) => assembled.error.as_ref(),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        match error {
            None => {
                job.note(MessageKind::Success, name, None, Some(elapsed));
                JobResult::Done
            }
            Some(error) if error.cancelled => {
                job.append_to_log("\n\nForcefully terminated\n");
                JobResult::Cancelled
            }
            Some(error) => {
                let failure = &error.failure;
                let explanation = failure.explanation();
                job.note(MessageKind::Failure, &failure.message, explanation.as_deref(), Some(elapsed));
                JobResult::Failed(Failure::clone(failure))
            }
        }
    }
}

fn skipped(job: &Job<'_>, why: &str) -> JobResult {
    job.note(MessageKind::Skipped, why, None, None);
    JobResult::Skipped(why.to_owned())
}

/// The name of an element in paths of log files: no suffix, slashes as dashes.
fn log_name(name: &str) -> String {
    let flat = name.replace('/', "-");
    flat.rsplit_once('.')
        .map_or(flat.clone(), |(stem, _)| if stem.is_empty() { flat.clone() } else { stem.to_owned() })
}

fn fault(panic: &(dyn std::any::Any + Send)) -> BuildError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    BuildError::new("", "A fault of the program ended this job").detail(text)
}
