//! The value of a document: scalars, sequences and mappings, each with its place.

use crate::diagnostic::Diagnostic;
use crate::span::Provenance;
use indexmap::IndexMap;
use std::sync::Arc;

/// A value and where it was written. Cloning is cheap: content is shared and copied on write.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub at: Provenance,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written (`key:` with no value, or `~`).
    Null,
    /// A scalar: always text, whatever it looks like.
    Scalar(Arc<str>),
    /// A sequence.
    Sequence(Arc<Vec<Node>>),
    /// A mapping.
    Mapping(Arc<Mapping>),
}

/// The content of a mapping: keys in the order they were written.
pub type Mapping = IndexMap<Arc<str>, Node>;

impl Node {
    /// A made-up scalar.
    pub fn scalar(text: impl Into<Arc<str>>) -> Node {
        Node { value: Value::Scalar(text.into()), at: Provenance::SYNTHETIC }
    }

    /// A made-up sequence.
    pub fn sequence(items: Vec<Node>) -> Node {
        Node { value: Value::Sequence(Arc::new(items)), at: Provenance::SYNTHETIC }
    }

    /// A made-up mapping.
    pub fn mapping(entries: Mapping) -> Node {
        Node { value: Value::Mapping(Arc::new(entries)), at: Provenance::SYNTHETIC }
    }

    /// The entry of a mapping; `None` when this is no mapping or has no such key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The text of a scalar, or a diagnostic saying what stands here instead.
    pub fn as_str(&self) -> Result<&str, Diagnostic> {
        match &self.value {
            Value::Scalar(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    /// The items of a sequence, or a diagnostic.
    pub fn as_sequence(&self) -> Result<&[Node], Diagnostic> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
            _ => Err(self.expected("a list")),
        }
    }

    /// The entries of a mapping, or a diagnostic.
    pub fn as_mapping(&self) -> Result<&Mapping, Diagnostic> {
        match &self.value {
            Value::Mapping(entries) => Ok(entries),
            _ => Err(self.expected("a dictionary")),
        }
    }

    /// A diagnostic that something else was expected here.
    pub fn expected(&self, what: &str) -> Diagnostic {
        let found = match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a dictionary",
        };
        Diagnostic::load("invalid-data", format!("Expected {what}, found {found}")).at(self.at)
    }
}
