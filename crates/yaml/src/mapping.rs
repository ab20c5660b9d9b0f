//! The entries of a mapping, in the order they were written.

use crate::node::Node;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smol_str::SmolStr;
use std::hash::BuildHasher;

/// The text of scalars and keys: up to 23 bytes are held inline, longer text is shared between clones.
pub type Text = SmolStr;

/// Most mappings are small: up to this many entries a walk over the keys beats a hash table.
const LINEAR: usize = 16;

/// The content of a mapping. Keys are unique and keep the order in which they came, as in a Python `dict`:
/// replacing a value keeps its place, removing and inserting again moves it to the end.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    entries: Vec<(Text, Node)>,
    /// Positions by key; only built above [`LINEAR`] entries.
    index: Option<Box<Index>>,
}

/// Positions of entries by their key.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    hasher: FixedState,
    table: HashTable<u32>,
}

impl Index {
    fn of(entries: &[(Text, Node)]) -> Index {
        let mut index = Index {
            hasher: FixedState::with_seed(seed(entries)),
            table: HashTable::with_capacity(entries.len() * 2),
        };
        for position in 0..entries.len() {
            index.insert(entries, position);
        }
        index
    }

    fn insert(&mut self, entries: &[(Text, Node)], position: usize) {
        let Index { hasher, table } = self;
        let hash = hasher.hash_one(entries[position].0.as_str());
        table.insert_unique(hash, position as u32, |&at| hasher.hash_one(entries[at as usize].0.as_str()));
    }

    /// Position of `key` among the entries that the index was made of.
    pub(crate) fn find(&self, entries: &[(Text, Node)], key: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |&at| entries[at as usize].0 == key).map(|&at| at as usize)
    }

    /// Takes in the last of `entries`; makes the index as soon as there are enough of them.
    pub(crate) fn follow(index: &mut Option<Box<Index>>, entries: &[(Text, Node)]) {
        match index {
            Some(index) => index.insert(entries, entries.len() - 1),
            None if entries.len() > LINEAR => *index = Some(Box::new(Index::of(entries))),
            None => {}
        }
    }
}

/// A seed that whoever writes the keys cannot foresee: where the entries lie in memory.
fn seed(entries: &[(Text, Node)]) -> u64 {
    entries.as_ptr().addr() as u64
}

impl Mapping {
    /// No entries.
    pub fn new() -> Mapping {
        Mapping::default()
    }

    /// No entries, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Mapping {
        Mapping { entries: Vec::with_capacity(capacity), index: None }
    }

    /// Entries whose keys are known to be unique, with their index if there are enough for one.
    pub(crate) fn of(entries: Vec<(Text, Node)>, index: Option<Box<Index>>) -> Mapping {
        Mapping { entries, index }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Position of `key` in the order of the entries.
    pub fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.find(&self.entries, key),
            None => self.entries.iter().position(|(k, _)| k == key),
        }
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.position(key).map(|at| &self.entries[at].1)
    }

    /// The value of `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.position(key).map(|at| &mut self.entries[at].1)
    }

    /// Sets the value of `key` and gives the old one back. A key that was there keeps its place in the order.
    pub fn insert(&mut self, key: impl Into<Text>, value: Node) -> Option<Node> {
        let key = key.into();
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.push_new(key, value);
        None
    }

    /// Sets the value of `key` as a program would: where a value was there already, its place is kept for the
    /// new one, so that later messages point to what the user wrote.
    pub fn assign(&mut self, key: impl Into<Text>, mut value: Node) {
        let key = key.into();
        if let Some(old) = self.get_mut(&key) {
            value.at = old.at;
            *old = value;
        } else {
            self.push_new(key, value);
        }
    }

    /// Appends a key that is known to be new.
    fn push_new(&mut self, key: Text, value: Node) {
        self.entries.push((key, value));
        Index::follow(&mut self.index, &self.entries);
    }

    /// Removes `key`; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.position(key)?;
        let (_, value) = self.entries.remove(at);
        self.reindex();
        Some(value)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Node) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index = (self.entries.len() > LINEAR).then(|| Box::new(Index::of(&self.entries)));
    }

    /// Keys and values in order.
    pub fn iter(&self) -> Iter<'_> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Keys and values in order, the values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Text, &mut Node)> + DoubleEndedIterator {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> + DoubleEndedIterator {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Node> + DoubleEndedIterator {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values in order of their keys, to change them.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Node> + DoubleEndedIterator {
        self.entries.iter_mut().map(|(_, value)| value)
    }
}

/// Keys and values of a [`Mapping`] in order.
pub type Iter<'a> =
    std::iter::Map<std::slice::Iter<'a, (Text, Node)>, fn(&'a (Text, Node)) -> (&'a Text, &'a Node)>;

impl<'a> IntoIterator for &'a Mapping {
    type Item = (&'a Text, &'a Node);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Mapping {
    type Item = (Text, Node);
    type IntoIter = std::vec::IntoIter<(Text, Node)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: Into<Text>> Extend<(K, Node)> for Mapping {
    fn extend<I: IntoIterator<Item = (K, Node)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Into<Text>> FromIterator<(K, Node)> for Mapping {
    fn from_iter<I: IntoIterator<Item = (K, Node)>>(entries: I) -> Mapping {
        let mut mapping = Mapping::new();
        mapping.extend(entries);
        mapping
    }
}

/// Equal when the same keys have equal values; neither order nor places count.
impl PartialEq for Mapping {
    fn eq(&self, other: &Mapping) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Mapping {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Provenance;

    fn numbered(count: usize) -> Mapping {
        (0..count).map(|i| (format!("k{i}"), Node::scalar(i.to_string()))).collect()
    }

    fn keys(mapping: &Mapping) -> Vec<&str> {
        mapping.keys().map(Text::as_str).collect()
    }

    /// With few entries and with enough for an index.
    #[test]
    fn keeps_order() {
        for count in [3, LINEAR, LINEAR + 1, 100] {
            let mut mapping = numbered(count);
            assert_eq!(mapping.len(), count);
            let all = keys(&mapping).len();
            assert!(
                (0..count).all(|i| mapping.get(&format!("k{i}")) == Some(&Node::scalar(i.to_string()))),
                "{count}"
            );
            assert_eq!(mapping.insert("k1", Node::scalar("new")), Some(Node::scalar("1")));
            assert_eq!((mapping.position("k1"), keys(&mapping).len()), (Some(1), all));
            assert_eq!(mapping.remove("k0"), Some(Node::scalar("0")));
            assert_eq!(mapping.remove("k0"), None);
            mapping.insert("k0", Node::null());
            assert_eq!(mapping.position("k0"), Some(count - 1));
            assert_eq!(mapping.position("k2"), Some(1));
            mapping.retain(|key, _| key != "k2");
            assert_eq!((mapping.get("k2"), mapping.position("k0")), (None, Some(count - 2)));
        }
    }

    #[test]
    fn assigning_keeps_the_place() {
        let at = Provenance { file: None, start: 3, end: 4 };
        let mut mapping: Mapping = [("k", Node::scalar("v").with_place(at))].into_iter().collect();
        mapping.assign("k", Node::scalar("w"));
        mapping.assign("l", Node::scalar("x"));
        assert_eq!((mapping.get("k").unwrap().at, mapping.get("k").unwrap().text()), (at, Some("w")));
        assert_eq!(mapping.get("l").unwrap().at, Provenance::SYNTHETIC);
    }

    #[test]
    fn order_does_not_matter_for_equality() {
        let reversed: Mapping = numbered(40).into_iter().rev().collect();
        assert_eq!(reversed, numbered(40));
        assert_ne!(reversed, numbered(41));
    }
}
