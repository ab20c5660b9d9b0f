//! Cache keys, and what enters which.
//!
//! Three keys name an element. The **weak key** names what the element itself says and the *names* of all it is
//! built upon. The **strict key** names the weak key and the strict keys of all it is built upon: it changes when
//! anything below changes. The **strong key** names the weak key and the strong keys of what the element was *really*
//! built upon; it equals the strict key in a strict build, and is known during a non-strict build only, when an
//! older artifact of a dependency may have been good enough.
//!
//! All are the SHA-256, in lower-case hexadecimal, of one JSON object written as [`json`] says. They are bst's keys
//! bit for bit: its artifact version 11, in use since 2.0.
//!
//! | Input | Member of the object | weak | strict | strong |
//! |---|---|---|---|---|
//! | Version of this scheme (11) | `core-artifact-version` | ✓ | ✓ | ✓ |
//! | Variable `build-root` (null when unset) | `element-base-key` | ✓ | ✓ | ✓ |
//! | What the kind makes of `config:`, of variables and of `config:` of dependencies | `element-plugin-key` | ✓ | ✓ | ✓ |
//! | Kind | `element-plugin-name` | ✓ | ✓ | ✓ |
//! | Version of the kind's artifacts | `element-plugin-version` | ✓ | ✓ | ✓ |
//! | `public:` with split rules, expanded | `public` | ✓ | ✓ | ✓ |
//! | Per source: kind, `directory:` if given, its own key (URL as written, ref, options; content of local files) | `sources` | ✓ | ✓ | ✓ |
//! | Fatal warnings of the project, sorted | `fatal-warnings` | ✓ | ✓ | ✓ |
//! | `sandbox:` (system, architecture, uid and gid if given, socket if given) | `sandbox`, only if the kind runs commands | ✓ | ✓ | ✓ |
//! | Environment without `environment-nocache` | `environment`, only if the kind runs commands | ✓ | ✓ | ✓ |
//! | Project and name of each element of the build closure, in staging order | `dependencies` | ✓ | ✓ | ✓ |
//! | … and its weak key, if the kind rebuilds strictly or the dependency is direct and `strict: true` | `dependencies` | ✓ | in the weak key | in the weak key |
//! | … and its strict key | `dependencies` |  | ✓ |  |
//! | … and its strong key | `dependencies` |  |  | ✓ |
//! | The weak key | `weak-cache-key` |  | ✓ | ✓ |
//!
//! In no key: name, description and project of the element itself; variables, other than by what they are used in;
//! `max-jobs` (unless a command spells it); values of options; `aliases` and mirrors; provenance attributes, unless
//! the source's kind puts them into its own key; runtime dependencies of the element itself; the junction a project
//! came through; the machine, time and place of a build.
//!
//! The build closure is [`Edges::build`]. A key is missing while a source has no ref, or while a key that it is made
//! of is missing.
//!
//! Sources have keys of their own: the hash of a source's key alone names its staged content
//! (`source_protos/KIND/KEY`), the hash of the list `sources` that of all together
//! (`elementsources/…/KEY`).
//!
//! An element's keys are computed as soon as those of its closure are, on whichever core is free. The JSON of an
//! element is never held as a whole; its long part, the list of dependencies, is fed to the hash as it is walked.

use crate::closure::{Edges, Walk, in_order};
use crate::json::{self, Out};
use crate::kind::Description;
use crate::source::PlannedSource;
use bourn_project::{Element, ElementGraph, ElementId, Project, SandboxConfig};
use bourn_yaml::Node;
use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;

/// The version of the scheme, bst's `BST_CORE_ARTIFACT_VERSION`.
pub const ARTIFACT_VERSION: i64 = 11;

/// The strong key of an artifact: what it was really built from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CacheKey(pub String);

/// The key that names an element's own configuration and the names of its build dependencies only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WeakKey(pub String);

/// The key that names an element's configuration and the strict keys of all it is built from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StrictKey(pub String);

impl From<&StrictKey> for CacheKey {
    /// In a strict build the strong key is the strict one.
    fn from(key: &StrictKey) -> CacheKey {
        CacheKey(key.0.clone())
    }
}

/// A value that enters a key; serialized as bst's JSON writer does, object keys sorted.
#[derive(Clone, PartialEq, Debug)]
pub enum KeyValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// What was written in a file: text, lists and objects of text.
    Node(Node),
    /// A list.
    List(Vec<KeyValue>),
    /// An object.
    Object(IndexMap<String, KeyValue>),
}

impl KeyValue {
    /// An object of these entries.
    pub fn object<K: Into<String>, V: Into<KeyValue>>(entries: impl IntoIterator<Item = (K, V)>) -> KeyValue {
        KeyValue::Object(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// A list of these items.
    pub fn list<V: Into<KeyValue>>(items: impl IntoIterator<Item = V>) -> KeyValue {
        KeyValue::List(items.into_iter().map(Into::into).collect())
    }

    /// The text that is hashed.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        json::value(&mut out, self);
        // Everything but ASCII is escaped.
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The key: SHA-256 of the text, in lower-case hexadecimal.
    pub fn key(&self) -> String {
        let mut out = Vec::new();
        json::value(&mut out, self);
        hex(&Sha256::digest(&out))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StrictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for KeyValue {
    fn from(text: &str) -> KeyValue {
        KeyValue::Text(text.to_owned())
    }
}

impl From<String> for KeyValue {
    fn from(text: String) -> KeyValue {
        KeyValue::Text(text)
    }
}

impl From<bool> for KeyValue {
    fn from(truth: bool) -> KeyValue {
        KeyValue::Bool(truth)
    }
}

impl From<i64> for KeyValue {
    fn from(number: i64) -> KeyValue {
        KeyValue::Integer(number)
    }
}

impl From<&Node> for KeyValue {
    fn from(node: &Node) -> KeyValue {
        KeyValue::Node(node.clone())
    }
}

impl From<Vec<KeyValue>> for KeyValue {
    fn from(items: Vec<KeyValue>) -> KeyValue {
        KeyValue::List(items)
    }
}

impl<T: Into<KeyValue>> From<Option<T>> for KeyValue {
    /// Nothing is `null`.
    fn from(value: Option<T>) -> KeyValue {
        value.map_or(KeyValue::Null, Into::into)
    }
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// A hash that is fed in small pieces.
#[derive(Clone)]
struct Hasher {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Hasher {
    const FULL: usize = 16 * 1024;

    fn new() -> Hasher {
        Hasher { hash: Sha256::new(), buffer: Vec::with_capacity(Hasher::FULL + 1024) }
    }

    /// The key, and the hasher is as new.
    fn key(&mut self) -> String {
        self.hash.update(&self.buffer);
        self.buffer.clear();
        hex(&self.hash.finalize_reset())
    }
}

/// The key that names text which is JSON already.
pub(crate) fn key_of(json: &[u8]) -> String {
    hex(&Sha256::digest(json))
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

/// What is known of one element before its keys.
pub(crate) struct Inputs<'a> {
    /// What its kind says.
    pub(crate) description: &'a Description,
    /// Its sources.
    pub(crate) sources: &'a [PlannedSource],
}

impl Inputs<'_> {
    /// Writes the list `sources`: for each source its kind, its `directory:` and its unique key. `false`, and nothing
    /// of use is written, when one of them has no ref.
    fn write_sources(&self, out: &mut Vec<u8>) -> bool {
        if self.sources.iter().any(|source| source.unique_key.is_none()) {
            return false;
        }
        json::list(out, self.sources, |out, source| {
            out.put(b"{");
            if let Some(directory) = source.declaration.directory.as_deref().filter(|path| !path.is_empty()) {
                out.put(b"\"directory\":");
                json::text(out, directory);
                out.put(b",");
            }
            out.put(b"\"key\":");
            json::value(out, source.unique_key.as_ref().unwrap_or(&KeyValue::Null));
            out.put(b",\"name\":");
            json::text(out, &source.declaration.kind);
            out.put(b"}");
        });
        true
    }
}

/// The keys of an element, as far as they can be known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) weak: Option<String>,
    pub(crate) strict: Option<String>,
    /// Of its sources together.
    pub(crate) sources: Option<String>,
}

/// The members of the object after `dependencies`, up to `weak-cache-key`.
fn write_own(
    out: &mut Vec<u8>,
    element: &Element,
    project: &Project,
    description: &Description,
    sources: &[u8],
) {
    out.put(b",\"element-base-key\":{\"build-root\":");
    match element.variables.get("build-root") {
        Some(path) => json::text(out, path),
        None => out.put(b"null"),
    }
    out.put(b"},\"element-plugin-key\":");
    json::value(out, &description.unique_key);
    out.put(b",\"element-plugin-name\":");
    json::text(out, &element.kind);
    out.put(b",\"element-plugin-version\":");
    json::integer(out, description.artifact_version);
    if description.runs_commands {
        out.put(b",\"environment\":");
        let cached = |name: &str| !element.environment_nocache.iter().any(|skipped| skipped == name);
        let environment = element.environment.iter().filter(|(name, _)| cached(name));
        json::object(out, environment.map(|(name, value)| (&**name, value)), |out, value| {
            json::text(out, value)
        });
    }
    out.put(b",\"fatal-warnings\":");
    json::list(out, &project.fatal_warnings, |out, warning| json::text(out, warning));
    out.put(b",\"public\":");
    json::node(out, &element.public);
    if description.runs_commands {
        out.put(b",\"sandbox\":");
        write_sandbox(out, &element.sandbox);
    }
    out.put(b",\"sources\":");
    out.put(sources);
}

/// The member `sandbox`: what is mandatory, and of the rest only what was set.
fn write_sandbox(out: &mut Vec<u8>, sandbox: &SandboxConfig) {
    out.put(b"{\"build-arch\":");
    json::text(out, &sandbox.build_arch);
    if let Some(gid) = sandbox.build_gid {
        out.put(b",\"build-gid\":");
        json::integer(out, i64::from(gid));
    }
    out.put(b",\"build-os\":");
    json::text(out, &sandbox.build_os);
    if let Some(uid) = sandbox.build_uid {
        out.put(b",\"build-uid\":");
        json::integer(out, i64::from(uid));
    }
    if let Some(path) = &sandbox.remote_apis_socket {
        out.put(b",\"remote-apis-socket\":{");
        if sandbox.remote_apis_socket_update {
            out.put(b"\"action-cache-enable-update\":true,");
        }
        out.put(b"\"path\":");
        json::text(out, path);
        out.put(b"}");
    }
    out.put(b"}");
}

const HEAD: &[u8] = b"{\"core-artifact-version\":11,\"dependencies\":[";

/// Room for one element's computation, reused by a thread.
struct Desk {
    walk: Walk,
    hasher: Hasher,
    sources: Vec<u8>,
    own: Vec<u8>,
}

impl Desk {
    fn new() -> Desk {
        Desk { walk: Walk::default(), hasher: Hasher::new(), sources: Vec::new(), own: Vec::new() }
    }
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk::new());
}

/// Computes keys of elements of one graph.
pub(crate) struct Keyring<'a> {
    graph: &'a ElementGraph,
    edges: &'a Edges,
    /// `["PROJECT","ELEMENT"` of each element, when the keys of all are wanted; written anew for each otherwise.
    names: Vec<Vec<u8>>,
}

impl<'a> Keyring<'a> {
    /// For the keys of all elements.
    pub(crate) fn new(graph: &'a ElementGraph, edges: &'a Edges) -> Keyring<'a> {
        let mut keyring = Keyring::of_one(graph, edges);
        keyring.names = (0..edges.len())
            .map(|at| {
                let mut name = Vec::new();
                keyring.write_name(&mut name, ElementId(at as u32));
                name
            })
            .collect();
        keyring
    }

    /// For the key of one element.
    pub(crate) fn of_one(graph: &'a ElementGraph, edges: &'a Edges) -> Keyring<'a> {
        Keyring { graph, edges, names: Vec::new() }
    }

    fn write_name(&self, out: &mut impl Out, id: ElementId) {
        match self.names.get(id.0 as usize) {
            Some(name) => out.put(name),
            None => {
                let element = self.graph.element(id);
                out.put(b"[");
                json::text(out, &self.graph.project(element.project).name);
                out.put(b",");
                json::text(out, &element.name);
            }
        }
    }

    /// The keys of all elements.
    pub(crate) fn keys(&self, inputs: &[Inputs<'_>]) -> Vec<Keys> {
        let keys: Vec<OnceLock<Keys>> = inputs.iter().map(|_| OnceLock::new()).collect();
        in_order(self.edges, &|id| {
            let found = DESK.with_borrow_mut(|desk| self.element(id, inputs, &keys, desk));
            // Nobody else computes this one.
            let _ = keys[id.0 as usize].set(found);
        });
        keys.into_iter().map(|keys| keys.into_inner().unwrap_or_default()).collect()
    }

    /// The keys of one element whose closure has its keys.
    fn element(
        &self,
        id: ElementId,
        inputs: &[Inputs<'_>],
        keys: &[OnceLock<Keys>],
        desk: &mut Desk,
    ) -> Keys {
        let inputs = &inputs[id.0 as usize];
        let description = inputs.description;
        desk.sources.clear();
        if !inputs.write_sources(&mut desk.sources) {
            return Keys::default();
        }
        desk.hasher.put(&desk.sources);
        let sources = Some(desk.hasher.key());
        let element = self.graph.element(id);
        desk.own.clear();
        write_own(&mut desk.own, element, self.graph.project(element.project), description, &desk.sources);
        let closure = self.edges.build(id, &mut desk.walk);
        let direct: Vec<ElementId> =
            element.dependencies.iter().filter(|dep| dep.strict).map(|dep| dep.element).collect();
        let weak_of = |dep: &ElementId| match description.strict_rebuild || direct.contains(dep) {
            true => Part::of(keys[dep.0 as usize].get().and_then(|keys| keys.weak.as_deref())),
            false => Part::Name,
        };
        let Some(weak) = self.key(&mut desk.hasher, closure, weak_of, &desk.own, None) else {
            return Keys { sources, ..Keys::default() };
        };
        let strict_of =
            |dep: &ElementId| Part::of(keys[dep.0 as usize].get().and_then(|keys| keys.strict.as_deref()));
        let strict = self.key(&mut desk.hasher, closure, strict_of, &desk.own, Some(&weak));
        Keys { weak: Some(weak), strict, sources }
    }

    /// The key of an element built upon `closure`, of each of which `part` says what enters.
    fn key<'k>(
        &self,
        hasher: &mut Hasher,
        closure: &[ElementId],
        part: impl Fn(&ElementId) -> Part<'k>,
        own: &[u8],
        weak: Option<&str>,
    ) -> Option<String> {
        self.write(hasher, closure, part, own, weak).then(|| hasher.key())
    }

    /// Writes the object that a key is the hash of. `false`, and nothing is written, when a part is missing.
    fn write<'k>(
        &self,
        out: &mut impl Out,
        closure: &[ElementId],
        part: impl Fn(&ElementId) -> Part<'k>,
        own: &[u8],
        weak: Option<&str>,
    ) -> bool {
        if closure.iter().any(|dep| matches!(part(dep), Part::Missing)) {
            return false;
        }
        out.put(HEAD);
        for (at, dep) in closure.iter().enumerate() {
            if at > 0 {
                out.put(b",");
            }
            self.write_name(out, *dep);
            match part(dep) {
                Part::Key(key) => {
                    out.put(b",\"");
                    out.put(key.as_bytes());
                    out.put(b"\"]");
                }
                Part::Name | Part::Missing => out.put(b"]"),
            }
        }
        out.put(b"]");
        out.put(own);
        if let Some(weak) = weak {
            out.put(b",\"weak-cache-key\":\"");
            out.put(weak.as_bytes());
            out.put(b"\"");
        }
        out.put(b"}");
        true
    }

    /// The object that an element's strong key is the hash of: its weak key and the strong keys of what it is built
    /// upon. `None` when one of these is not known.
    pub(crate) fn strong_json<'k>(
        &self,
        id: ElementId,
        inputs: &Inputs<'_>,
        weak: &WeakKey,
        strong: impl Fn(ElementId) -> Option<&'k str>,
    ) -> Option<Vec<u8>> {
        let element = self.graph.element(id);
        let mut desk = Desk::new();
        if !inputs.write_sources(&mut desk.sources) {
            return None;
        }
        let project = self.graph.project(element.project);
        write_own(&mut desk.own, element, project, inputs.description, &desk.sources);
        let closure = self.edges.build(id, &mut desk.walk);
        let part = |dep: &ElementId| Part::of(strong(*dep));
        let mut json = Vec::new();
        self.write(&mut json, closure, part, &desk.own, Some(&weak.0)).then_some(json)
    }
}

/// What of a dependency enters a key beside its name.
enum Part<'k> {
    Name,
    Key(&'k str),
    Missing,
}

impl<'k> Part<'k> {
    fn of(key: Option<&'k str>) -> Part<'k> {
        key.map_or(Part::Missing, Part::Key)
    }
}
