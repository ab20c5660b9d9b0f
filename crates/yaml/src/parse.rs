//! From text to [`Node`].

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::file::Files;
use crate::mapping::{Mapping, Text};
use crate::node::{Node, trim};
use crate::span::{FileId, Provenance};
use saphyr_parser::{Event, Parser, Span};

/// How deep sequences and mappings may lie in each other.
pub const MAX_DEPTH: usize = 256;

/// Parses the text of a registered file.
///
/// # Errors
/// Everything that YAML or BuildStream's dialect forbids, with its place.
pub fn parse(files: &Files, file: FileId) -> Result<Node, Diagnostics> {
    let entry = files.get(file);
    let mut builder = Builder { text: &entry.text, file, seen: (0, 0), stack: Vec::new(), root: None };
    for step in Parser::new_from_str(&entry.text) {
        let (event, span) = step.map_err(|e| {
            let at = builder.place(Span::empty(*e.marker()));
            Diagnostic::load("invalid-yaml", format!("Malformed YAML: {}", e.info())).at(at)
        })?;
        builder.handle(event, span)?;
    }
    Ok(builder.root.unwrap_or_else(|| {
        Node::mapping(Mapping::new()).with_place(Provenance { file: Some(file), start: 0, end: 0 })
    }))
}

enum Open {
    Sequence(Provenance, Vec<Node>),
    Mapping(Provenance, Mapping, Option<Text>),
}

struct Builder<'a> {
    text: &'a str,
    file: FileId,
    /// A character index and the byte where it lies; marks mostly come in order.
    seen: (usize, usize),
    stack: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn handle(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let at = self.place(span);
        let refuse = |message: &str| Err(Diagnostic::load("invalid-yaml", message).at(at));
        match event {
            Event::Alias(_) => return refuse("Anchors are disallowed in BuildStream"),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return refuse("Anchors are disallowed in BuildStream");
            }
            Event::Scalar(_, _, _, Some(tag)) if !tag.is_yaml_core_schema() => {
                return refuse("Only the tags of YAML itself are allowed");
            }
            Event::DocumentStart(_) if self.root.is_some() => return refuse("More than one document found"),
            Event::Scalar(text, ..) => self.scalar(&text, at)?,
            Event::SequenceStart(..) => self.open(Open::Sequence(at, Vec::new()), at)?,
            Event::MappingStart(..) => self.open(Open::Mapping(at, Mapping::new(), None), at)?,
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::Sequence(start, items)) => {
                    self.value(Node::sequence(items).with_place(Provenance { end: at.end, ..start }))?;
                }
                Some(Open::Mapping(start, entries, _)) => {
                    self.value(Node::mapping(entries).with_place(Provenance { end: at.end, ..start }))?;
                }
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open, at: Provenance) -> Result<(), Diagnostic> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Diagnostic::load("invalid-yaml", format!("More than {MAX_DEPTH} levels deep")).at(at));
        }
        match self.stack.last() {
            Some(Open::Mapping(_, _, None)) => {
                return Err(Diagnostic::load("invalid-yaml", "Keys must be strings").at(at));
            }
            None if matches!(open, Open::Sequence(..)) => return Err(not_a_mapping(at)),
            _ => {}
        }
        self.stack.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, at: Provenance) -> Result<(), Diagnostic> {
        if let Some(Open::Mapping(_, entries, key @ None)) = self.stack.last_mut() {
            if entries.contains_key(text) {
                return Err(Diagnostic::load("invalid-yaml", format!("Duplicate key {text}")).at(at));
            }
            *key = Some(text.into());
            return Ok(());
        }
        self.value(Node::scalar(trim(text)).with_place(at))
    }

    fn value(&mut self, node: Node) -> Result<(), Diagnostic> {
        match self.stack.last_mut() {
            Some(Open::Sequence(_, items)) => items.push(node),
            Some(Open::Mapping(_, entries, key)) => {
                if let Some(key) = key.take() {
                    entries.insert(key, node);
                }
            }
            None if node.entries().is_some() => self.root = Some(node),
            None => return Err(not_a_mapping(node.at)),
        }
        Ok(())
    }

    fn place(&mut self, span: Span) -> Provenance {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index());
        Provenance { file: Some(self.file), start, end: end.max(start) }
    }

    fn byte(&mut self, index: usize) -> u32 {
        let (mut seen, mut byte) = if self.seen.0 <= index { self.seen } else { (0, 0) };
        let mut chars = self.text[byte..].chars();
        while seen < index
            && let Some(c) = chars.next()
        {
            seen += 1;
            byte += c.len_utf8();
        }
        self.seen = (seen, byte);
        byte as u32
    }
}

fn not_a_mapping(at: Provenance) -> Diagnostic {
    Diagnostic::load("invalid-yaml", "The top level of the file must be a dictionary").at(at)
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
