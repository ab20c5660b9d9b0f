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
/// Everything that YAML or BuildStream's dialect forbids, with its place; all with the code `invalid-yaml`. The
/// first is the one that bst stops at.
pub fn parse(files: &Files, file: FileId) -> Result<Node, Diagnostics> {
    parse_text(&files.get(file).text, Some(file))
}

/// Parses a text; `file` is where its nodes say they were written.
///
/// # Errors
/// As [`parse`].
pub fn parse_text(text: &str, file: Option<FileId>) -> Result<Node, Diagnostics> {
    let mut events = Events::new(text, file)?;
    let mut builder = Builder::new(file);
    let last = builder.build(&mut events).err();
    builder.faults.extend(last);
    if !builder.faults.is_empty() {
        return Err(Diagnostics(builder.faults));
    }
    let start = builder.place(0, 0);
    Ok(builder.root.unwrap_or_else(|| Node::mapping(Mapping::new()).with_place(start)))
}

/// Whoever has made so many mistakes wants to mend some first.
const MANY: usize = 20;

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
        /// The mapping has this key already.
        repeated: bool,
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
    /// What is wrong and does not keep the rest from being read.
    faults: Vec<Diagnostic>,
}

impl Builder {
    fn new(file: Option<FileId>) -> Builder {
        Builder {
            file,
            open: Vec::new(),
            entries: Vec::new(),
            items: Vec::new(),
            last_end: 0,
            root: None,
            faults: Vec::new(),
        }
    }

    /// Takes in all events, up to the first that leaves no way to go on.
    fn build(&mut self, events: &mut Events<'_>) -> Result<(), Diagnostic> {
        while self.faults.len() < MANY {
            let event = events.next()?;
            if matches!(event.what, What::StreamEnd) {
                break;
            }
            self.handle(event)?;
        }
        Ok(())
    }

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
            What::Alias => {
                self.faults.push(anchored(at));
                self.scalar("", at)
            }
            What::Scalar { text, properties, .. } => {
                self.check_properties(properties, at);
                if properties.own_tag == Some(false) {
                    self.faults.push(fault(at, "Tags are disallowed, except those of YAML itself"));
                }
                self.last_end = event.end;
                self.scalar(&text, at)
            }
            What::SequenceStart { properties, .. } => {
                self.check_properties(properties, at);
                self.begin(Open::Sequence { at, from: self.items.len() }, at)
            }
            What::MappingStart { properties, .. } => {
                self.check_properties(properties, at);
                self.begin(
                    Open::Mapping { at, from: self.entries.len(), key: None, repeated: false, index: None },
                    at,
                )
            }
            What::SequenceEnd | What::MappingEnd => {
                self.last_end = if event.end > event.start { event.end } else { self.last_end };
                self.end()
            }
        }
    }

    fn check_properties(&mut self, properties: Properties, at: Provenance) {
        if properties.anchor {
            self.faults.push(anchored(at));
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
        if let Some(Open::Mapping { key: key @ None, repeated, from, index, .. }) = self.open.last_mut() {
            let entries = &self.entries[*from..];
            let first = match index {
                Some(index) => index.find(entries, text),
                None => entries.iter().position(|(known, _)| known == text),
            };
            if let Some(first) = first {
                let note = "the value it has already is here";
                let fault = fault(at, format!("Duplicate key {text}"));
                self.faults.push(fault.note(Some(entries[first].1.at), note));
            }
            *repeated = first.is_some();
            *key = Some(text.into());
            return Ok(());
        }
        self.value(Node::scalar_of(trim(text), at))
    }

    fn value(&mut self, node: Node) -> Result<(), Diagnostic> {
        match self.open.last_mut() {
            Some(Open::Sequence { .. }) => self.items.push(node),
            Some(Open::Mapping { key, repeated, from, index, .. }) => {
                if let Some(key) = key.take().filter(|_| !*repeated) {
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

    /// Where and why a text is refused: `LINE:COLUMN message`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let files = Files::default();
        let file = files.add(Path::new("x"), "x", None, text.into());
        let diagnostics = parse(&files, file).unwrap_err();
        let diagnostic = &diagnostics.0[0];
        let place = files.position(diagnostic.at.unwrap()).unwrap();
        assert_eq!(diagnostic.code, "invalid-yaml");
        assert_eq!(format!("{}:{} {}", place.line, place.column, diagnostic.message), expected, "{text:?}");
    }

    #[test]
    fn says_what_is_wrong() {
        check("a: b\na: c\n", "2:0 Duplicate key a");
        check("a: &x b\n", "1:3 Anchors are disallowed in BuildStream");
        check("a: *x\n", "1:3 Anchors are disallowed in BuildStream");
        check("a: !foo b\n", "1:3 Tags are disallowed, except those of YAML itself");
        check("? [a]\n: b\n", "1:2 A key must be a string");
        check("- a\n", "1:0 The file must hold a dictionary, but holds a list");
        check("a\n", "1:0 The file must hold a dictionary, but holds a string");
        check("a: b\n---\nc: d\n", "2:0 A second document begins here");
        check("a: b: c\n", "1:4 A second `:` cannot stand in this line");
        check("a:\n\tb: c\n", "2:0 A tab cannot indent");
        check("a: |\n\tb\n", "2:0 A tab cannot indent");
        check("a: @b\n", "1:3 A value cannot begin with `@`");
        check("a: %b\n", "1:3 A value cannot begin with `%`");
        check("a: * b\n", "1:3 A value cannot begin with `*`");
        check("a: [b\n", "2:0 Expected `,` or `]` here");
        check("a: {b: c d: e}\n", "1:10 Expected `,` or `}` here");
        check("a: [http://x]\n", "1:8 `:` needs a space after it within `[]` and `{}`");
        check("a: \"b\n", "2:0 The file ends within quotes");
        check("a: \"\\q\"\n", "1:4 Unknown escape within double quotes");
        check("a: \"\\xzz\"\n", "1:4 Expected 2 hexadecimal digits");
        check("a: b\nc\n", "2:0 Expected `:` after this key");
        check("a:\n  - b\n c: d\n", "3:1 Expected a key here");
        check("a:\n  - b\n  c: d\n", "3:2 Expected `-` here");
        check("%YAML 2.0\n---\na: b\n", "1:0 Only the versions 1.1 and 1.2 of YAML are understood");
        check("a: b\x07\n", "1:4 Control character \\u{7} is not allowed");
    }

    #[test]
    fn says_all_that_is_wrong() {
        let faults = |text: &str| parse_text(text, None).unwrap_err().0;
        let found = faults("a: b\na: {c: d, c: [e]}\nf: &x g\nh: *x\ni: !j k\na: [\n");
        let messages: Vec<&str> = found.iter().map(|fault| fault.message.as_str()).collect();
        let anchors = "Anchors are disallowed in BuildStream";
        assert_eq!(
            messages,
            [
                "Duplicate key a",
                "Duplicate key c",
                anchors,
                anchors,
                "Tags are disallowed, except those of YAML itself",
                "Duplicate key a",
                "Expected a value here"
            ]
        );
        assert_eq!(faults(&"a: b\n".repeat(1000)).len(), MANY);
    }

    fn nested(open: &str, close: &str, depth: usize) -> String {
        format!("a: {}{}", open.repeat(depth), close.repeat(depth))
    }

    /// The deepest that is read can be cloned, composed, compared, written and dropped on a small stack.
    #[test]
    fn survives_depth() {
        let blocks: String = (0..MAX_DEPTH).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        let deepest = [nested("[", "]", MAX_DEPTH - 1), nested("{a: ", "}", MAX_DEPTH - 1), blocks];
        let walk = move || {
            for text in &deepest {
                let node = parse_text(text, None).unwrap();
                let mut copy = node.clone();
                crate::compose(&mut copy, &node).unwrap();
                crate::compose_under(&mut copy, &node).unwrap();
                crate::assert_fully_composited(&copy).unwrap();
                assert_eq!(copy, node);
                assert_eq!(parse_text(&crate::dump(&node), None).unwrap(), node);
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(walk).unwrap().join().unwrap();
    }

    #[test]
    fn refuses_what_is_deeper() {
        let message = format!("Lists and dictionaries lie more than {MAX_DEPTH} deep in each other");
        let column = MAX_DEPTH + 2;
        check(&nested("[", "]", MAX_DEPTH), &format!("1:{column} {message}"));
        for text in [
            nested("[", "", 100_000),
            nested("{a: ", "", 100_000),
            nested("- ", "", 100_000),
            "- ".repeat(100_000),
            "? ".repeat(100_000),
        ] {
            assert!(parse_text(&text, None).is_err());
        }
        let blocks: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(parse_text(&blocks, None).unwrap_err().0[0].message.contains("deep"));
    }

    /// Costs grow with the length of the text, not with its square: these would take minutes otherwise.
    #[test]
    fn survives_size() {
        let long = "x".repeat(2_000_000);
        assert_eq!(parse_text(&format!("a: {long}"), None).unwrap().get_str("a").unwrap().len(), long.len());
        assert_eq!(
            parse_text(&format!("a: \"{long}\""), None).unwrap().get_str("a").unwrap().len(),
            long.len()
        );
        let folded = "x\n  ".repeat(200_000);
        assert_eq!(parse_text(&format!("a: {folded}"), None).unwrap().get_str("a").unwrap().len(), 399_999);
        assert_eq!(
            parse_text(&format!("a: >\n  {folded}"), None).unwrap().get_str("a").unwrap().len(),
            399_999
        );
        let keys: String = (0..100_000).map(|i| format!("k{i}: v\n")).collect();
        assert_eq!(parse_text(&keys, None).unwrap().entries().unwrap().len(), 100_000);
        let items = parse_text(&format!("a: [{}]", "b, ".repeat(200_000)), None).unwrap();
        assert_eq!(items.get_sequence("a").unwrap().len(), 200_000);
        let braces = format!("a: {}{}{}", "[".repeat(400), "[], ".repeat(50_000), "]".repeat(400));
        assert!(parse_text(&braces, None).is_ok());
        for text in [
            "\n".repeat(1_000_000),
            "#".repeat(1_000_000),
            " ".repeat(1_000_000),
            "? ".repeat(200) + &"\n".repeat(100_000),
        ] {
            let _ = parse_text(&text, None);
        }
        for open in [
            "[", "{", "\"", "'", "a: [", "[a, ", "? ", "!", "&", "*", "%", "|", "a: |\n ", "\\", "\r",
            "\u{feff}", "a\n", "a: ", ": ",
        ] {
            let _ = parse_text(&open.repeat(30_000), None);
        }
    }
}
