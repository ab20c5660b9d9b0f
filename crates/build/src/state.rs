//! What is known of every element during a run, and what follows from it.
//!
//! An element is *required* when the run cannot do without its artifact: the targets, what required elements need to
//! run, and the build dependencies of those that will be built. A required element whose artifact is not in the cache
//! is *scheduled*. It is *buildable* when its sources are there and all its build dependencies are *ready*: cached with
//! success together with everything they need to run. Nothing else is ever built, fetched or pulled.
//!
//! In a non-strict run the strong key of an element is known only once its artifact was found, or once it is
//! buildable: then the keys of all it is built upon are known.

use crate::cache::Cached;
use crate::event::DisplayKey;
use bourn_plan::{CacheKey, Plan};
use bourn_project::ElementId;
use bourn_reapi::Digest;
use std::sync::Arc;

/// The artifact of an element, as far as is known.
#[derive(Clone, Debug, Default)]
pub enum ArtifactState {
    /// The cache was not asked.
    #[default]
    Unknown,
    /// It is not in the local cache.
    Absent,
    /// It is there, of a build that succeeded or failed.
    Cached(Arc<Cached>),
}

impl ArtifactState {
    /// The artifact, if it is there.
    pub fn cached(&self) -> Option<&Arc<Cached>> {
        match self {
            ArtifactState::Cached(cached) => Some(cached),
            _ => None,
        }
    }

    /// The artifact, if it is there and of a build that succeeded.
    pub fn success(&self) -> Option<&Arc<Cached>> {
        self.cached().filter(|cached| cached.is_success())
    }
}

/// The sources of an element, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SourceState {
    /// The cache was not asked.
    #[default]
    Unknown,
    /// They were not staged yet, and something has to be fetched first.
    Missing,
    /// They were not staged yet, but all that is needed is on this machine.
    Fetched,
    /// They are in the store.
    Staged(Digest),
}

impl SourceState {
    /// The staged tree, if there is one.
    pub fn staged(self) -> Option<Digest> {
        match self {
            SourceState::Staged(digest) => Some(digest),
            _ => None,
        }
    }
}

/// What is known of one element.
#[derive(Clone, Debug, Default)]
pub struct ElementState {
    /// Its artifact.
    pub artifact: ArtifactState,
    /// Its sources.
    pub sources: SourceState,
    /// Its strong key.
    pub strong_key: Option<CacheKey>,
    /// Whether the artifact is to be pulled before anything is decided.
    pub pull_pending: bool,
    /// Whether the run needs its artifact.
    pub required: bool,
    /// Whether it is to be built.
    pub scheduled: bool,
    /// Whether it was built, with success or not.
    pub done: bool,
    /// How many direct build dependencies are not ready.
    build_waits: u32,
    /// How many direct runtime dependencies are not ready.
    runtime_waits: u32,
    /// Cached with success, with all it needs to run.
    pub ready: bool,
}

/// Something that queues wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// The element became required.
    Required(ElementId),
    /// It was decided what is done about the element's artifact.
    Loaded(ElementId),
    /// The element became buildable.
    Buildable(ElementId),
}

/// The states of all elements.
pub struct States {
    all: Vec<ElementState>,
    build_dependents: Vec<Vec<ElementId>>,
    runtime_dependents: Vec<Vec<ElementId>>,
    notes: Vec<Note>,
    strict: bool,
}

impl States {
    /// Nothing is known yet but keys. In a strict run (or when an element cannot be rebuilt otherwise) the strong key
    /// is the strict one.
    pub fn new(plan: &Plan, strict: bool) -> States {
        let count = plan.elements.len();
        let mut states = States {
            all: vec![ElementState::default(); count],
            build_dependents: vec![Vec::new(); count],
            runtime_dependents: vec![Vec::new(); count],
            notes: Vec::new(),
            strict,
        };
        for at in 0..count {
            let id = ElementId(at as u32);
            let state = &mut states.all[at];
            if strict {
                state.strong_key = plan.elements[at].strict_key.as_ref().map(CacheKey::from);
            }
            for dependency in plan.edges.direct_build(id) {
                state.build_waits += 1;
                states.build_dependents[dependency.0 as usize].push(id);
            }
            for dependency in plan.edges.direct_runtime(id) {
                state.runtime_waits += 1;
                states.runtime_dependents[dependency.0 as usize].push(id);
            }
        }
        states
    }

    /// The state of an element.
    pub fn get(&self, id: ElementId) -> &ElementState {
        &self.all[id.0 as usize]
    }

    fn at(&mut self, id: ElementId) -> &mut ElementState {
        &mut self.all[id.0 as usize]
    }

    /// The strong key of an element as it is shown: question marks while it is not known.
    pub fn display_key(&self, plan: &Plan, id: ElementId) -> DisplayKey {
        match &self.get(id).strong_key {
            Some(key) => {
                let strict = plan.element(id).strict_key.as_ref().is_some_and(|strict| strict.0 == key.0);
                DisplayKey { full: key.0.as_str().into(), strict }
            }
            None => DisplayKey { full: "?".repeat(64).into(), strict: false },
        }
    }

    /// What happened since this was asked last, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether an element can be built now.
    pub fn is_buildable(&self, id: ElementId) -> bool {
        let state = self.get(id);
        let sources = matches!(state.sources, SourceState::Fetched | SourceState::Staged(_));
        state.scheduled && sources && state.build_waits == 0
    }

    /// Marks elements as required, with what they need to run when `runtime` says so.
    pub fn require(&mut self, plan: &Plan, ids: impl IntoIterator<Item = ElementId>, runtime: bool) {
        for id in ids {
            self.require_one(plan, id, runtime);
        }
    }

    /// Depth first: what an element needs becomes required before the element itself.
    fn require_one(&mut self, plan: &Plan, id: ElementId, runtime: bool) {
        if self.get(id).required {
            return;
        }
        self.at(id).required = true;
        let mut stack = vec![(id, self.needs(plan, id, runtime))];
        while let Some((id, needs)) = stack.last_mut() {
            match needs.pop() {
                Some(next) if !self.get(next).required => {
                    self.at(next).required = true;
                    let needs = self.needs(plan, next, true);
                    stack.push((next, needs));
                }
                Some(_) => {}
                None => {
                    let id = *id;
                    stack.pop();
                    self.notes.push(Note::Required(id));
                    if !self.get(id).scheduled {
                        continue;
                    }
                    self.update_key(plan, id);
                }
            }
        }
    }

    /// What becomes required with an element, last first. Schedules the element if it has to be built.
    fn needs(&mut self, plan: &Plan, id: ElementId, runtime: bool) -> Vec<ElementId> {
        let mut needs: Vec<ElementId> = Vec::new();
        if runtime {
            needs.extend(plan.edges.direct_runtime(id));
        }
        if self.should_schedule(id) {
            self.at(id).scheduled = true;
            needs.extend(plan.edges.direct_build(id));
        }
        needs.reverse();
        needs
    }

    fn should_schedule(&self, id: ElementId) -> bool {
        let state = self.get(id);
        let processing = state.scheduled || state.done || state.pull_pending;
        let known = !matches!(state.artifact, ArtifactState::Unknown);
        !processing && state.required && known && state.artifact.success().is_none()
    }

    /// What the cache (or a remote one) said of an element's artifact. With `pull_pending` nothing is decided before
    /// the artifact was pulled.
    pub fn set_artifact(&mut self, plan: &Plan, id: ElementId, artifact: ArtifactState, pull_pending: bool) {
        let state = self.at(id);
        state.artifact = artifact;
        state.pull_pending = pull_pending;
        if pull_pending {
            return;
        }
        // In a strict run, what is cached above something without a reference keeps a key that is not known.
        if !self.strict {
            self.update_key(plan, id);
        }
        self.update_ready(plan, id);
        if self.should_schedule(id) {
            self.at(id).scheduled = true;
            let needs: Vec<ElementId> = plan.edges.direct_build(id).collect();
            self.require(plan, needs, true);
            self.update_key(plan, id);
        }
        self.notes.push(Note::Loaded(id));
    }

    /// What is known of an element's sources.
    pub fn set_sources(&mut self, id: ElementId, sources: SourceState) {
        self.at(id).sources = sources;
    }

    /// An element was built: its artifact, of a success or of a failure; absent when nothing was kept.
    pub fn set_built(&mut self, plan: &Plan, id: ElementId, artifact: Option<Arc<Cached>>) {
        let state = self.at(id);
        state.done = true;
        state.artifact = artifact.map_or(ArtifactState::Absent, ArtifactState::Cached);
        self.update_key(plan, id);
        self.update_ready(plan, id);
    }

    /// Forgets a failure, so that the element is built again.
    pub fn retry(&mut self, id: ElementId) {
        let state = self.at(id);
        state.artifact = ArtifactState::Absent;
        state.done = false;
    }

    /// Sets the strong key if it can be known by now.
    fn update_key(&mut self, plan: &Plan, id: ElementId) {
        let state = self.get(id);
        if state.strong_key.is_some() || state.pull_pending {
            return;
        }
        let key = match &state.artifact {
            ArtifactState::Cached(cached) => Some(cached.strong_key()),
            _ if state.scheduled || state.done => {
                plan.strong_key(id, |dependency| self.get(dependency).strong_key.as_ref())
            }
            _ => None,
        };
        if key.is_some() {
            self.at(id).strong_key = key;
            self.update_ready(plan, id);
        }
    }

    /// Finds out whether an element became ready, and tells those that wait for it.
    fn update_ready(&mut self, plan: &Plan, id: ElementId) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let state = self.get(id);
            let ready =
                state.runtime_waits == 0 && state.strong_key.is_some() && state.artifact.success().is_some();
            if state.ready || !ready {
                continue;
            }
            self.at(id).ready = true;
            for dependent in self.runtime_dependents[id.0 as usize].clone() {
                let state = self.at(dependent);
                state.runtime_waits -= 1;
                if state.runtime_waits == 0 {
                    todo.push(dependent);
                }
            }
            for dependent in self.build_dependents[id.0 as usize].clone() {
                self.at(dependent).build_waits -= 1;
                if self.is_buildable(dependent) {
                    self.update_key(plan, dependent);
                    self.notes.push(Note::Buildable(dependent));
                }
            }
        }
    }
}
