//! How keys are computed.
//!
//! The keys of an element are computed as soon as those of its closure are, on whichever core is free. Its object is
//! never held as a whole: the long part, the list of dependencies, is fed to the hash as it is walked, and the hash of a
//! beginning that many lists share is computed once ([`shared`](crate::shared)). What an element says itself depends on no
//! other, so it is written before that, on all cores: where everything depends on what was added last, keys come one
//! after the other.

use crate::closure::{Edges, Walk, in_order};
use crate::json::Out;
use crate::key::hex;
use crate::kind::Description;
use crate::object::{self, Inputs};
use crate::shared::Shared;
use bourn_project::{Element, ElementGraph, ElementId};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The keys of an element, as far as they can be known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) weak: Option<String>,
    pub(crate) strict: Option<String>,
    /// Of its sources together.
    pub(crate) sources: Option<String>,
}

/// A hash that is fed in small pieces.
struct Hasher {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Hasher {
    const FULL: usize = 16 * 1024;

    fn new() -> Hasher {
        Hasher { hash: Sha256::new(), buffer: Vec::with_capacity(Hasher::FULL + 1024) }
    }

    /// Goes on from a state.
    fn resume(&mut self, state: &Sha256) {
        self.buffer.clear();
        self.hash.clone_from(state);
    }

    /// The state after all that was fed, and the hasher is as new.
    fn take(&mut self) -> Sha256 {
        self.hash.update(&self.buffer);
        self.buffer.clear();
        std::mem::take(&mut self.hash)
    }

    /// The key, and the hasher is as new.
    fn key(&mut self) -> String {
        self.hash.update(&self.buffer);
        self.buffer.clear();
        hex(&self.hash.finalize_reset())
    }
}

impl Out for Hasher {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= Hasher::FULL {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
    }
}

/// The states of the hashes after a list of dependencies: that of names, and that with strict keys, unless one is
/// missing.
struct States {
    names: Sha256,
    strict: Option<Sha256>,
}

/// Room for one element's computation, reused by a thread.
struct Desk {
    walk: Walk,
    names: Hasher,
    strict: Hasher,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk {
        walk: Walk::default(),
        names: Hasher::new(),
        strict: Hasher::new(),
    });
}

/// How many elements the shared beginnings may name in all: four bytes each.
const ROOM: usize = 8 << 20;

/// How many bytes of what elements say themselves may be written before they are needed.
const AHEAD: usize = 1 << 20;

/// How many elements are written ahead at once.
const BATCH: usize = 16;

/// What an element says itself.
struct Own {
    /// The members that [`object::write_own`] writes.
    members: Vec<u8>,
    /// The key of its sources together.
    sources: String,
}

/// What was written of an element before it was needed.
#[derive(Default)]
enum Ahead {
    #[default]
    Nothing,
    Written(Own),
    /// It was needed; what is written now is too late.
    Over,
}

/// Computes the keys of all elements of a graph.
pub(crate) struct Keyring<'a> {
    graph: &'a ElementGraph,
    edges: &'a Edges,
    inputs: &'a [Inputs<'a>],
    /// `["PROJECT","ELEMENT"` of each element.
    names: Vec<Vec<u8>>,
    /// What was written ahead.
    own: Vec<Mutex<Ahead>>,
    /// The first element that nobody wrote ahead yet.
    next: AtomicUsize,
    /// Bytes that were written ahead and not needed yet.
    ahead: AtomicUsize,
    keys: Vec<OnceLock<Keys>>,
    shared: Shared<'a, States>,
}

impl<'a> Keyring<'a> {
    pub(crate) fn new(graph: &'a ElementGraph, edges: &'a Edges, inputs: &'a [Inputs<'a>]) -> Keyring<'a> {
        let name = |at: usize| {
            let mut name = Vec::new();
            object::write_name(&mut name, graph, ElementId(at as u32));
            name
        };
        Keyring {
            graph,
            edges,
            inputs,
            names: (0..edges.len()).into_par_iter().with_min_len(64).map(name).collect(),
            own: inputs.iter().map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            keys: inputs.iter().map(|_| OnceLock::new()).collect(),
            shared: Shared::new(edges, ROOM),
        }
    }

    /// The keys of all elements, same index.
    pub(crate) fn keys(self) -> Vec<Keys> {
        let settled = |id: ElementId| DESK.with_borrow_mut(|desk| self.settle(id, desk));
        rayon::scope(|scope| {
            for _ in 0..rayon::current_num_threads() {
                scope.spawn(|_| self.write_ahead());
            }
            let work = |id: ElementId| {
                let found = DESK.with_borrow_mut(|desk| self.element(id, desk));
                // Nobody else computes this one.
                let _ = self.keys[id.0 as usize].set(found);
                if (id.0 as usize).is_multiple_of(BATCH) {
                    scope.spawn(|_| self.write_ahead());
                }
            };
            in_order(self.edges, &work, &settled);
        });
        self.keys.into_iter().map(|keys| keys.into_inner().unwrap_or_default()).collect()
    }

    /// Writes what the next elements say themselves, as long as there is room.
    fn write_ahead(&self) {
        while self.ahead.load(Ordering::Relaxed) < AHEAD {
            let start = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if start >= self.keys.len() {
                return;
            }
            (start..(start + BATCH).min(self.keys.len())).for_each(|at| self.write_one_ahead(at));
        }
    }

    fn write_one_ahead(&self, at: usize) {
        if matches!(*self.slot(at), Ahead::Over) {
            return;
        }
        let Some(own) = self.own(ElementId(at as u32)) else { return };
        let mut slot = self.slot(at);
        if !matches!(*slot, Ahead::Over) {
            self.ahead.fetch_add(own.members.len(), Ordering::Relaxed);
            *slot = Ahead::Written(own);
        }
    }

    /// What was written of an element ahead.
    fn take(&self, at: usize) -> Option<Own> {
        match std::mem::replace(&mut *self.slot(at), Ahead::Over) {
            Ahead::Written(own) => {
                self.ahead.fetch_sub(own.members.len(), Ordering::Relaxed);
                Some(own)
            }
            Ahead::Nothing | Ahead::Over => None,
        }
    }

    fn slot(&self, at: usize) -> MutexGuard<'_, Ahead> {
        self.own[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an element says itself; `None` when a source has no ref.
    fn own(&self, id: ElementId) -> Option<Own> {
        let inputs = &self.inputs[id.0 as usize];
        let mut sources = Vec::new();
        if !inputs.write_sources(&mut sources) {
            return None;
        }
        let element = self.graph.element(id);
        let project = self.graph.project(element.project);
        let mut members = Vec::with_capacity(2048);
        object::write_own(&mut members, element, project, inputs.description, &sources);
        members.shrink_to_fit();
        Some(Own { members, sources: hex(&Sha256::digest(&sources)) })
    }

    /// The keys of one element whose closure has its keys.
    fn element(&self, id: ElementId, desk: &mut Desk) -> Keys {
        let own = self.take(id.0 as usize).or_else(|| self.own(id));
        let Some(Own { members, sources }) = own else { return Keys::default() };
        let element = self.graph.element(id);

        let rebuild = Rebuild::of(element, self.inputs[id.0 as usize].description);
        let loosely = matches!(rebuild, Rebuild::Loosely);
        let weakly = loosely || self.weakly(id, desk, &rebuild);
        let Begun { strictly, .. } = self.feed(self.edges.direct_build(id), desk, loosely);
        object::write_rest(&mut desk.names, &members, None);
        let weak = Some(desk.names.key()).filter(|_| weakly);
        object::write_rest(&mut desk.strict, &members, weak.as_deref());
        let strict = Some(desk.strict.key()).filter(|_| weakly && strictly);
        Keys { weak, strict, sources: Some(sources) }
    }

    /// Feeds the list of what an element is built upon, with the weak keys that its own weak key is to name, to the hash
    /// of names. `false` when one of them is missing.
    fn weakly(&self, id: ElementId, desk: &mut Desk, rebuild: &Rebuild) -> bool {
        let Desk { walk, names, .. } = desk;
        names.put(object::HEAD);
        let mut known = true;
        for (at, &dep) in self.edges.build(id, walk).iter().enumerate() {
            if at > 0 {
                names.put(b",");
            }
            let weak = self.keys[dep.0 as usize].get().and_then(|keys| keys.weak.as_deref());
            let key = weak.filter(|_| rebuild.follows(dep));
            known &= key.is_some() || !rebuild.follows(dep);
            object::write_dependency(names, &self.names[dep.0 as usize], key);
        }
        known
    }

    /// Feeds the list that `from` make up to the hash with strict keys and, if asked for, to that of names.
    fn feed(&self, from: impl Iterator<Item = ElementId> + Clone, desk: &mut Desk, to_names: bool) -> Begun {
        let Desk { walk, names, strict, .. } = desk;
        let list = self.shared.list(from, walk);
        let mut strictly = true;
        match list.start {
            None => {
                strict.put(object::HEAD);
                if to_names {
                    names.put(object::HEAD);
                }
            }
            Some((_, states)) => {
                match &states.strict {
                    Some(state) => strict.resume(state),
                    None => strictly = false,
                }
                if to_names {
                    names.resume(&states.names);
                }
            }
        }
        let mut first = list.start.is_none();
        for &dep in list.rest {
            let name = &self.names[dep.0 as usize];
            let key = self.keys[dep.0 as usize].get().and_then(|keys| keys.strict.as_deref());
            strictly &= key.is_some();
            if !first {
                strict.put(b",");
            }
            object::write_dependency(strict, name, key);
            if to_names {
                if !first {
                    names.put(b",");
                }
                object::write_dependency(names, name, None);
            }
            first = false;
        }
        Begun { start: list.start.map(|(start, _)| start), strictly, empty: first }
    }

    /// Keeps the states after an element and all it needs to run, which have their keys.
    fn settle(&self, id: ElementId, desk: &mut Desk) {
        let begun = self.feed(self.edges.direct_runtime(id), desk, true);
        let Desk { walk, names, strict, .. } = desk;
        if !begun.empty {
            names.put(b",");
            strict.put(b",");
        }
        let name = &self.names[id.0 as usize];
        let key = self.keys[id.0 as usize].get().and_then(|keys| keys.strict.as_deref());
        object::write_dependency(names, name, None);
        object::write_dependency(strict, name, key);
        let (names, strict) = (names.take(), strict.take());
        let strict = Some(strict).filter(|_| begun.strictly && key.is_some());
        self.shared.keep(id, begun.start, walk.order(), States { names, strict });
    }
}

/// What feeding a list of dependencies came to.
struct Begun {
    /// The element whose chain the list begins with.
    start: Option<ElementId>,
    /// Whether all strict keys are known.
    strictly: bool,
    /// Whether there are none.
    empty: bool,
}

/// When a change of what an element is built upon changes its weak key.
enum Rebuild {
    /// Never: the weak key has the names alone.
    Loosely,
    /// Always.
    Always,
    /// When one of these, direct dependencies with `strict: true`, changes.
    With(Vec<ElementId>),
}

impl Rebuild {
    fn of(element: &Element, description: &Description) -> Rebuild {
        let strict = element.dependencies.iter().filter(|dependency| dependency.strict);
        let strict: Vec<ElementId> = strict.map(|dependency| dependency.element).collect();
        match (description.strict_rebuild, strict.is_empty()) {
            (true, _) => Rebuild::Always,
            (false, false) => Rebuild::With(strict),
            (false, true) => Rebuild::Loosely,
        }
    }

    /// Whether the weak key has the weak key of this one.
    fn follows(&self, dependency: ElementId) -> bool {
        match self {
            Rebuild::Loosely => false,
            Rebuild::Always => true,
            Rebuild::With(elements) => elements.contains(&dependency),
        }
    }
}

/// The object that the key of one element is the hash of, with the key that `key` knows of each dependency; `None` when
/// it lacks one, or the element a ref.
pub(crate) fn object_of<'k>(
    graph: &ElementGraph,
    edges: &Edges,
    id: ElementId,
    inputs: &Inputs<'_>,
    weak: &str,
    key: impl Fn(ElementId) -> Option<&'k str>,
) -> Option<Vec<u8>> {
    let mut sources = Vec::new();
    if !inputs.write_sources(&mut sources) {
        return None;
    }
    let element = graph.element(id);
    let mut own = Vec::new();
    object::write_own(&mut own, element, graph.project(element.project), inputs.description, &sources);
    let mut out = object::HEAD.to_vec();
    let mut name = Vec::new();
    for (at, &dep) in edges.build(id, &mut Walk::default()).iter().enumerate() {
        if at > 0 {
            out.put(b",");
        }
        name.clear();
        object::write_name(&mut name, graph, dep);
        object::write_dependency(&mut out, &name, Some(key(dep)?));
    }
    object::write_rest(&mut out, &own, Some(weak));
    Some(out)
}
