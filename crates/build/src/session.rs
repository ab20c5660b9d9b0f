//! A plan with the services to carry it out: what the jobs of a run share.

use crate::cache::{Cached, Public};
use crate::control::Control;
use crate::error::{BuildError, BuildResult, domain};
use crate::event::{Action, Event, Issuer, Message, MessageKind, Sink, Subject};
use crate::job::{Job, Surroundings, locked};
use crate::options::{Options, Workspace};
use crate::sandbox::Integrations;
use crate::stage::Staging;
use crate::state::{ArtifactState, SourceState, States};
use bourn_plan::closure::Walk;
use bourn_plan::source::PlannedSource;
use bourn_plan::{CacheKey, LocalDigests, Plan, PlannedElement, several};
use bourn_project::{Element, ElementId, Project};
use bourn_reapi::services::{ServiceResult, SourceName};
use bourn_reapi::{ArtifactName, Assets, Cas, Digest, Remotes, Services};
use bourn_yaml::{Files, Mapping, Node, Provenance};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// How many questions to the cache are worth a thread, at least.
const PER_THREAD: usize = 16;

/// A plan with the services to carry it out. Shared by all threads of a run; kept from one step of a command to the
/// next, so that nothing is asked twice.
pub struct Session<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// The files that the plan was made of, to name places in them.
    pub files: &'a Files,
    /// With what.
    pub services: &'a Services,
    /// How.
    pub options: &'a Options,
    /// Takes events.
    pub sink: &'a dyn Sink,
    /// Whether to stop.
    pub control: &'a Control,
    /// Digests of local files, for what sources say of where they come from.
    pub(crate) local: Option<&'a dyn LocalDigests>,
    pub(crate) staging: Staging,
    pub(crate) integrations: Integrations,
    states: RwLock<States>,
    publics: Mutex<HashMap<Digest, Arc<Public>>>,
}

impl<'a> Session<'a> {
    /// A session in which nothing is known yet.
    pub fn new(
        plan: &'a Plan,
        files: &'a Files,
        services: &'a Services,
        options: &'a Options,
        sink: &'a dyn Sink,
        control: &'a Control,
    ) -> Session<'a> {
        Session {
            plan,
            files,
            services,
            options,
            sink,
            control,
            local: None,
            staging: Staging::default(),
            integrations: Integrations::default(),
            states: RwLock::new(States::new(plan, options.strict)),
            publics: Mutex::default(),
        }
    }

    /// The same session, told of the digests of local files.
    pub fn with_local(mut self, local: &'a dyn LocalDigests) -> Session<'a> {
        self.local = Some(local);
        self
    }

    /// The store.
    pub fn cas(&self) -> &Arc<dyn Cas> {
        &self.services.cas
    }

    /// Names of artifacts and sources.
    pub fn assets(&self) -> &dyn Assets {
        &*self.services.assets
    }

    /// An element.
    pub fn element(&self, id: ElementId) -> &'a Element {
        self.plan.graph.element(id)
    }

    /// An element's part of the plan.
    pub fn planned(&self, id: ElementId) -> &'a PlannedElement {
        self.plan.element(id)
    }

    /// The project of an element.
    pub fn project(&self, id: ElementId) -> &'a Project {
        self.plan.graph.project(self.element(id).project)
    }

    /// The name under which it is remembered how long an element took.
    pub(crate) fn duration_name(&self, id: ElementId) -> String {
        format!("{}/{}", self.project(id).name, self.element(id).name)
    }

    /// How long an element took when it was built last, if that is remembered.
    pub(crate) fn took(&self, id: ElementId) -> Option<Duration> {
        self.options.durations.get(&self.duration_name(id))
    }

    /// The workspace of an element, if one is open.
    pub fn workspace(&self, id: ElementId) -> Option<&'a Workspace> {
        if self.options.workspaces.is_empty() {
            return None;
        }
        self.options.workspaces.get(&self.plan.graph.full_name(id))
    }

    /// The remote caches, if any project of the plan can be served by one as `can` says.
    pub(crate) fn remotes(&self, can: impl Fn(&dyn Remotes, &str) -> bool) -> Option<&'a dyn Remotes> {
        let remotes = self.services.remotes.as_deref()?;
        self.plan.graph.projects.iter().any(|project| can(remotes, &project.name)).then_some(remotes)
    }

    /// The states of all elements, to read.
    pub fn states(&self) -> RwLockReadGuard<'_, States> {
        self.states.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of all elements, to change.
    pub(crate) fn states_mut(&self) -> RwLockWriteGuard<'_, States> {
        self.states.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The artifact of an element, if it is known to be cached.
    pub fn artifact(&self, id: ElementId) -> Option<Arc<Cached>> {
        self.states().get(id).artifact.cached().cloned()
    }

    /// The strong key of an element, if it is known.
    pub fn strong_key(&self, id: ElementId) -> Option<CacheKey> {
        self.states().get(id).strong_key.clone()
    }

    /// `PROJECT/ELEMENT/KEY`.
    pub fn artifact_name(&self, id: ElementId, key: &str) -> ArtifactName {
        ArtifactName::new(&self.project(id).name, &self.element(id).name, key)
    }

    /// Public data of an artifact, read once.
    ///
    /// # Errors
    /// The store cannot be read, or the data cannot be understood.
    pub fn public(&self, cached: &Cached) -> BuildResult<Arc<Public>> {
        let Some(digest) = cached.public_data() else {
            return Ok(Arc::new(Public::new(Node::mapping(Mapping::new()))));
        };
        if let Some(public) = locked(&self.publics).get(&digest) {
            return Ok(public.clone());
        }
        let public = Arc::new(Public::read(&self.cas().read(&digest)?)?);
        Ok(locked(&self.publics).entry(digest).or_insert(public).clone())
    }

    /// A place in the user's files, as people read it.
    pub fn place(&self, at: Provenance) -> String {
        self.files.position(at).map_or_else(|| "the program's defaults".to_owned(), |place| place.to_string())
    }

    /// How a source is called in messages: its kind and where it is declared.
    pub fn source_name(&self, source: &PlannedSource) -> String {
        format!("{} source at {}", source.declaration.kind, self.place(source.declaration.at))
    }

    /// How an element is called in messages, with its key as known now.
    pub fn issuer(&self, id: ElementId) -> Issuer {
        let key = Some(self.states().display_key(self.plan, id));
        Issuer { element: self.plan.graph.full_name(id).into(), key }
    }

    /// What jobs are given to be heard, timed and stopped.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            sink: self.sink,
            clock: self.control.clock(),
            cancel: self.control.cancel(),
            debug: self.options.log.debug,
        }
    }

    /// Work for an element outside of any queue.
    pub fn main_job(&self, id: ElementId) -> Job<'_> {
        let subject = Subject { element: Some(self.issuer(id)), ..Subject::MAIN };
        Job::new(self.surroundings(), subject, &self.project(id).fatal_warnings, None)
    }

    /// Work for no element.
    pub fn program_job(&self) -> Job<'_> {
        Job::new(self.surroundings(), Subject::MAIN, &[], None)
    }

    /// Everything an element is built upon, in staging order.
    pub fn build_closure(&self, id: ElementId) -> Vec<ElementId> {
        self.plan.edges.build(id, &mut Walk::default()).to_vec()
    }

    /// Elements with everything they need to run, in staging order.
    pub fn runtime_closure(&self, from: impl IntoIterator<Item = ElementId>) -> Vec<ElementId> {
        self.plan.edges.runtime(from, &mut Walk::default()).to_vec()
    }

    /// Asks the cache for the artifacts of elements, and for the sources of those that are not cached. Where only
    /// artifacts are asked for, sources that cannot be looked up are missing, with a warning.
    ///
    /// # Errors
    /// The cache cannot be read; sources cannot be looked up.
    pub fn query(&self, ids: &[ElementId], wanted: Query) -> BuildResult<()> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = ids.chunks(ids.len().div_ceil(threads).max(PER_THREAD));
        let ask = |ids: &[ElementId]| ids.iter().map(|&id| self.ask(id, wanted)).collect();
        let answers: Vec<Vec<Answer>> = several(threads, shares, ask)?;
        let mut states = self.states_mut();
        for (&id, answer) in ids.iter().zip(answers.into_iter().flatten()) {
            if let Some(sources) = answer.sources {
                states.set_sources(id, sources);
            }
            if let Some((artifact, pull_pending)) = answer.artifact {
                states.set_artifact(self.plan, id, artifact, pull_pending);
            }
        }
        Ok(())
    }

    fn ask(&self, id: ElementId, wanted: Query) -> BuildResult<Answer> {
        let known = self.states().get(id).clone();
        let mut answer = Answer::default();
        let mut success = known.artifact.success().is_some();
        let unknown = matches!(known.artifact, ArtifactState::Unknown) && !known.pull_pending;
        if wanted != Query::Sources && unknown && self.planned(id).weak_key.is_some() {
            let (artifact, pull_pending) = self.load(id, wanted)?;
            success = artifact.success().is_some();
            answer.artifact = Some((artifact, pull_pending));
        }
        let sources_wanted = wanted == Query::Sources || wanted == Query::All || !success;
        if sources_wanted && known.sources == SourceState::Unknown {
            answer.sources = Some(match self.source_state(id) {
                // Whoever only looks is told of all other elements. An error that a plugin gave a reason ends the
                // command, as it does with bst.
                Err(error) if wanted == Query::Artifacts && is_passed_over(&error) => {
                    self.warn(id, &error);
                    SourceState::Missing
                }
                // Whoever needs the sources meets the error again when they are fetched, and then it is one job's.
                Err(error) if matches!(wanted, Query::Build | Query::Sources) && is_of_source(&error) => {
                    SourceState::Missing
                }
                state => state?,
            });
        }
        Ok(answer)
    }

    /// Says that it is not known whether the sources of an element are there.
    fn warn(&self, id: ElementId, error: &BuildError) {
        let element = self.plan.graph.full_name(id).into();
        let issuer = Issuer { element, key: Some(self.states().display_key(self.plan, id)) };
        self.sink.event(Event::Message(Message {
            subject: Subject { job: None, action: Action::Main, element: Some(issuer), speaker: None },
            kind: MessageKind::Warn,
            text: format!("Sources taken as not fetched: {}", error.failure.message),
            detail: error.failure.detail.clone(),
            elapsed: None,
        }));
    }

    /// Marks elements as required, with what they need to run when `runtime` says so, and asks the cache for all of
    /// `all`, required or not, which has what others need before them: the keys of what is cached are known then when
    /// the key of something above is made of them.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn require_knowing(
        &self,
        ids: &[ElementId],
        runtime: bool,
        all: &[ElementId],
        wanted: Query,
    ) -> BuildResult<()> {
        self.states_mut().require(self.plan, ids.iter().copied(), runtime);
        self.query(all, wanted)
    }

    /// Marks elements as required, with what they need to run when `runtime` says so, and finds out what else becomes
    /// required: wave by wave, the cache is asked for those only.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn require(&self, ids: &[ElementId], runtime: bool, wanted: Query) -> BuildResult<()> {
        self.states_mut().require(self.plan, ids.iter().copied(), runtime);
        loop {
            let unknown: Vec<ElementId> = {
                let states = self.states();
                let ids = (0..self.plan.elements.len()).map(|at| ElementId(at as u32));
                ids.filter(|&id| {
                    let state = states.get(id);
                    state.required
                        && matches!(state.artifact, ArtifactState::Unknown)
                        && !state.pull_pending
                        && self.planned(id).weak_key.is_some()
                })
                .collect()
            };
            if unknown.is_empty() {
                return Ok(());
            }
            self.query(&unknown, wanted)?;
        }
    }

    /// Whether the sources of an element are staged, or could be.
    ///
    /// # Errors
    /// The cache cannot be read; a tool of the host is missing.
    pub fn source_state(&self, id: ElementId) -> BuildResult<SourceState> {
        let planned = self.planned(id);
        let Some(key) = &planned.sources_key else { return Ok(SourceState::Missing) };
        if let Some(digest) = self.staged_source(&SourceName::Element(key.clone()))? {
            return Ok(SourceState::Staged(digest));
        }
        for source in &planned.sources {
            if !source.source.is_fetched(&self.options.source_directory)? {
                return Ok(SourceState::Missing);
            }
        }
        Ok(SourceState::Fetched)
    }

    /// The tree of a source name, if it is whole.
    pub(crate) fn staged_source(&self, name: &SourceName) -> ServiceResult<Option<Digest>> {
        let Some(source) = self.assets().source(name)? else { return Ok(None) };
        let Some(digest) = source.files.as_ref().and_then(|files| Digest::try_from(files).ok()) else {
            return Ok(None);
        };
        Ok(self.cas().contains_tree(&digest)?.then_some(digest))
    }

    /// The artifact of a key, if all that is needed of it is here.
    pub(crate) fn cached(&self, id: ElementId, key: &str) -> ServiceResult<Option<Arc<Cached>>> {
        let Some(message) = self.assets().artifact(&self.artifact_name(id, key))? else { return Ok(None) };
        Ok(Cached::check(message, &**self.cas())?.map(Arc::new))
    }
}

/// Whether it is a source that is at fault, and neither the cache nor the machine.
fn is_of_source(error: &BuildError) -> bool {
    matches!(error.failure.domain, domain::SOURCE | domain::PLUGIN)
}

/// Whether an error only says that it cannot be told whether sources are there.
fn is_passed_over(error: &BuildError) -> bool {
    error.failure.domain == domain::SOURCE && error.failure.reason.is_none()
}

/// What the cache is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// Artifacts, and sources of those that are not cached (`show`, `artifact …`).
    Artifacts,
    /// The same for a build: failures may have to be tried again.
    Build,
    /// Artifacts and sources.
    All,
    /// Sources alone.
    Sources,
}

#[derive(Default)]
struct Answer {
    artifact: Option<(ArtifactState, bool)>,
    sources: Option<SourceState>,
}
