//! From text to [`Node`].

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::event::{Event, Events, Properties, What};
use crate::file::Files;
use crate::mapping::{Index, Mapping, Text};
use crate::node::{Node, trim};
use crate::span::{FileId, Provenance};

/// How deep lists and dictionaries may lie in each other. Whatever walks a [`Node`] calls itself for each level,
/// so the limit keeps every walk within the stack of a thread. (bst's own walks give up between 300 and 20,000.)
pub const MAX_DEPTH: usize = 500;

/// Parses the text of a registered file.
///
/// # Errors
/// Everything that YAML or BuildStream's dialect forbids, with its place; all with the code `invalid-yaml`.
pub fn parse(files: &Files, file: FileId) -> Result<Node, Diagnostics> {
    parse_text(&files.get(file).text, Some(file))
}

/// Parses a text; `file` is where its nodes say they were written.
///
/// # Errors
/// As [`parse`].
pub fn parse_text(text: &str, file: Option<FileId>) -> Result<Node, Diagnostics> {
    let mut events = Events::new(text, file)?;
    let mut builder =
        Builder { file, open: Vec::new(), entries: Vec::new(), items: Vec::new(), last_end: 0, root: None };
    loop {
        let event = events.next()?;
        if matches!(event.what, What::StreamEnd) {
            break;
        }
        builder.handle(event)?;
    }
    let start = builder.place(0, 0);
    Ok(builder.root.unwrap_or_else(|| Node::mapping(Mapping::new()).with_place(start)))
}

/// A collection that has begun. What it holds so far is the end of the builder's lists.
enum Open {
    Sequence {
        at: Provenance,
        from: usize,
    },
    Mapping {
        at: Provenance,
        from: usize,
        /// The key whose value comes next.
        key: Option<Text>,
        /// Once there are many entries.
        index: Option<Box<Index>>,
    },
}

struct Builder {
    file: Option<FileId>,
    open: Vec<Open>,
    /// The entries of all open mappings, the outer ones first.
    entries: Vec<(Text, Node)>,
    /// The items of all open sequences.
    items: Vec<Node>,
    /// Where the last thing ended; block collections end there too.
    last_end: u32,
    root: Option<Node>,
}

impl Builder {
    fn place(&self, start: u32, end: u32) -> Provenance {
        Provenance { file: self.file, start, end }
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), Diagnostic> {
        let at = self.place(event.start, event.end);
        match event.what {
            What::StreamEnd | What::DocumentEnd => Ok(()),
            What::DocumentStart if self.root.is_some() => {
                Err(fault(at, "A second document begins here").hint("a file holds a single document"))
            }
            What::DocumentStart => Ok(()),
            What::Alias => Err(anchored(at)),
            What::Scalar { text, properties, .. } => {
                check_properties(properties, at)?;
                if properties.own_tag == Some(false) {
                    return Err(fault(at, "Tags are disallowed, except those of YAML itself"));
                }
                self.last_end = event.end;
                self.scalar(&text, at)
            }
            What::SequenceStart { properties, .. } => {
                check_properties(properties, at)?;
                self.begin(Open::Sequence { at, from: self.items.len() }, at)
            }
            What::MappingStart { properties, .. } => {
                check_properties(properties, at)?;
                self.begin(Open::Mapping { at, from: self.entries.len(), key: None, index: None }, at)
            }
            What::SequenceEnd | What::MappingEnd => {
                self.last_end = if event.end > event.start { event.end } else { self.last_end };
                self.end()
            }
        }
    }

    fn begin(&mut self, open: Open, at: Provenance) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("Lists and dictionaries lie more than {MAX_DEPTH} deep in each other");
            return Err(fault(at, message));
        }
        match self.open.last() {
            Some(Open::Mapping { key: None, .. }) => return Err(fault(at, "A key must be a string")),
            None if matches!(open, Open::Sequence { .. }) => return Err(not_a_mapping(at, "a list")),
            _ => {}
        }
        self.last_end = at.end;
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, at: Provenance) -> Result<(), Diagnostic> {
        if let Some(Open::Mapping { key: key @ None, from, index, .. }) = self.open.last_mut() {
            let entries = &self.entries[*from..];
            let first = match index {
                Some(index) => index.find(entries, text),
                None => entries.iter().position(|(known, _)| known == text),
            };
            if let Some(first) = first {
                let note = "the value it has already is here";
                return Err(fault(at, format!("Duplicate key {text}")).note(Some(entries[first].1.at), note));
            }
            *key = Some(text.into());
            return Ok(());
        }
        self.value(Node::scalar_of(trim(text), at))
    }

    fn value(&mut self, node: Node) -> Result<(), Diagnostic> {
        match self.open.last_mut() {
            Some(Open::Sequence { .. }) => self.items.push(node),
            Some(Open::Mapping { key, from, index, .. }) => {
                if let Some(key) = key.take() {
                    self.entries.push((key, node));
                    Index::follow(index, &self.entries[*from..]);
                }
            }
            None if node.entries().is_some() => self.root = Some(node),
            None => return Err(not_a_mapping(node.at, "a string")),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Diagnostic> {
        let end = self.last_end;
        match self.open.pop() {
            Some(Open::Sequence { at, from }) => {
                let items = self.items.drain(from..).collect();
                self.value(Node::sequence(items).with_place(Provenance { end, ..at }))
            }
            Some(Open::Mapping { at, from, index, .. }) => {
                let entries = Mapping::of(self.entries.drain(from..).collect(), index);
                self.value(Node::mapping(entries).with_place(Provenance { end, ..at }))
            }
            None => Ok(()),
        }
    }
}

fn check_properties(properties: Properties, at: Provenance) -> Result<(), Diagnostic> {
    if properties.anchor { Err(anchored(at)) } else { Ok(()) }
}

fn fault(at: Provenance, message: impl Into<String>) -> Diagnostic {
    Diagnostic::load("invalid-yaml", message).at(at)
}

fn anchored(at: Provenance) -> Diagnostic {
    fault(at, "Anchors are disallowed in BuildStream")
        .hint("quote the value if it is to begin with `&` or `*`")
}

fn not_a_mapping(at: Provenance, what: &str) -> Diagnostic {
    fault(at, format!("The file must hold a dictionary, but holds {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn reads_nodes_with_places() {
        let files = Files::default();
        let text = "kind: manual\nname: ä\nlist:\n- \"é\"\n- b: {c: d}\n";
        let file = files.add(Path::new("a.bst"), "a.bst", None, Arc::from(text));
        let node = parse(&files, file).unwrap();
        assert_eq!(node.get_str("kind").unwrap(), "manual");
        let item = &node.get_sequence("list").unwrap()[1];
        let d = item.get_mapping("b").unwrap().get_scalar("c").unwrap();
        assert_eq!(&text[d.at.start as usize..d.at.end as usize], "d");
        assert_eq!(files.position(d.at).unwrap().to_string(), "a.bst [line 5 column 9]");
    }
}
