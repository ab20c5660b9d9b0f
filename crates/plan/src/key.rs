//! Cache keys, and the values they are made of.

use indexmap::IndexMap;
use std::fmt;

/// The strong key of an artifact: what it was really built from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CacheKey(pub String);

/// The key that names an element's own configuration and the names of its build dependencies only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WeakKey(pub String);

/// The key that names an element's configuration and the strict keys of all it is built from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StrictKey(pub String);

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
    /// A list.
    List(Vec<KeyValue>),
    /// An object.
    Object(IndexMap<String, KeyValue>),
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for KeyValue {
    fn from(text: &str) -> KeyValue {
        KeyValue::Text(text.to_owned())
    }
}
