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
//! The build closure is [`Edges::build`](crate::Edges::build). A key is missing while a source has no ref, or while a key that it is made
//! of is missing.
//!
//! Sources have keys of their own: the hash of a source's key alone names its staged content
//! (`source_protos/KIND/KEY`), the hash of the list `sources` that of all together
//! (`elementsources/…/KEY`).
//!
//! How they are computed: [`keyring`](crate::keyring).

use crate::json;
use bourn_yaml::{Node, Text};
use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};
use std::fmt;

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

/// Up to so many keys are compared each with each, which needs no table.
const FEW: usize = 12;

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
    Text(Text),
    /// What was written in a file: text, lists and objects of text.
    Node(Node),
    /// A list.
    List(Vec<KeyValue>),
    /// An object. Keys are unique.
    Object(Vec<(Text, KeyValue)>),
}

impl KeyValue {
    /// An object of these entries. Of those with the same key the last counts, in the place of the first.
    pub fn object<K: Into<Text>, V: Into<KeyValue>>(entries: impl IntoIterator<Item = (K, V)>) -> KeyValue {
        let entries: Vec<(Text, KeyValue)> =
            entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let few = entries.len() <= FEW;
        if few && (1..entries.len()).all(|at| entries[..at].iter().all(|(key, _)| *key != entries[at].0)) {
            return KeyValue::Object(entries);
        }
        KeyValue::Object(entries.into_iter().collect::<IndexMap<_, _>>().into_iter().collect())
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
        KeyValue::Text(text.into())
    }
}

impl From<String> for KeyValue {
    fn from(text: String) -> KeyValue {
        KeyValue::Text(text.into())
    }
}

impl From<&Text> for KeyValue {
    /// Long texts are shared.
    fn from(text: &Text) -> KeyValue {
        KeyValue::Text(text.clone())
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
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// The key that names text which is JSON already.
pub(crate) fn key_of(json: &[u8]) -> String {
    hex(&Sha256::digest(json))
}
