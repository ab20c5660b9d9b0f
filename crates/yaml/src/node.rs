//! The value of a document: scalars, sequences and mappings, each with its place.

use crate::mapping::{Mapping, Text};
use crate::span::Provenance;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// No value. Never written in a file (`key:` and `key: ~` are the texts "" and "~", as in bst); programs set
    /// it, a ref that is not known yet for one.
    Null,
    /// A scalar: always text, whatever it looks like, without white space around it.
    Scalar(Text),
    /// A sequence.
    Sequence(Arc<Vec<Node>>),
    /// A mapping.
    Mapping(Arc<Mapping>),
}

/// Equal when the values are; places do not count.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}

impl From<Value> for Node {
    fn from(value: Value) -> Node {
        Node { value, at: Provenance::SYNTHETIC }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Node {
        Node::scalar(text)
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Node::scalar(text)
    }
}

/// As bst writes truth values of its own: `True` and `False`.
impl From<bool> for Node {
    fn from(truth: bool) -> Node {
        Node::scalar(if truth { "True" } else { "False" })
    }
}

impl From<i64> for Node {
    fn from(number: i64) -> Node {
        Node::scalar(number.to_string())
    }
}

impl From<Vec<Node>> for Node {
    fn from(items: Vec<Node>) -> Node {
        Node::sequence(items)
    }
}

impl From<Mapping> for Node {
    fn from(entries: Mapping) -> Node {
        Node::mapping(entries)
    }
}

impl Node {
    /// A made-up scalar. White space around the text is not kept, as in bst.
    pub fn scalar(text: impl Into<Text>) -> Node {
        let text = text.into();
        let bare = trim(&text);
        let text = if bare.len() == text.len() { text } else { Text::new(bare) };
        Value::Scalar(text).into()
    }

    /// A scalar that was trimmed already.
    pub(crate) fn scalar_of(text: &str, at: Provenance) -> Node {
        Node { value: Value::Scalar(Text::new(text)), at }
    }

    /// A made-up node that holds nothing.
    pub fn null() -> Node {
        Value::Null.into()
    }

    /// A made-up sequence.
    pub fn sequence(items: Vec<Node>) -> Node {
        Value::Sequence(Arc::new(items)).into()
    }

    /// A made-up mapping.
    pub fn mapping(entries: Mapping) -> Node {
        Value::Mapping(Arc::new(entries)).into()
    }

    /// The same node at another place.
    pub fn with_place(mut self, at: Provenance) -> Node {
        self.at = at;
        self
    }

    /// The entry of a mapping; `None` when this is no mapping or has no such key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a sequence, to change them; copies them when they are shared.
    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Sequence(items) => Some(Arc::make_mut(items)),
            _ => None,
        }
    }

    /// The entries of a mapping, to change them; copies them when they are shared.
    pub fn entries_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(entries) => Some(Arc::make_mut(entries)),
            _ => None,
        }
    }

    /// Whether this holds nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

/// Python's idea of white space, which bst strips from every scalar: beside Unicode's it has the four
/// separators U+001C to U+001F.
pub fn trim(text: &str) -> &str {
    if let [first, .., last] = text.as_bytes()
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return text;
    }
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}
