//! Edits of mappings in place: comments, order and layout of everything else stay as they are.
//!
//! `source track` sets refs this way, in elements, includes and `project.refs`. What is written has the content
//! that bst's would have. Texts go in and come out; who calls writes them to disk.

use crate::cursor::{bom_len, break_len, line_end, line_start};
use crate::diagnostic::Diagnostic;
use crate::dump::{dump, dump_scalar};
use crate::file::Files;
use crate::layout::{Entry, Shape, Spot, layout};
use crate::mapping::{Mapping, Text};
use crate::node::{Node, Value};
use crate::parse::parse_text;
use crate::span::{FileId, Provenance};
use std::ops::Range;

/// One step from a node to a node within it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// To the value of this key.
    Key(Text),
    /// To this item, from 0.
    Item(usize),
}

/// Sets or removes a key of one mapping.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The way to the mapping from the top of the file. What is missing on it is made: mappings, and empty
    /// mappings for the items before the last in a list.
    pub path: Vec<Step>,
    /// The key.
    pub key: Text,
    /// Its new value, `None` to remove it.
    pub value: Option<Node>,
}

/// The way to the node that was written at this place.
pub fn path_to(root: &Node, at: Provenance) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    find(root, at, &mut path).then_some(path)
}

fn find(node: &Node, at: Provenance, path: &mut Vec<Step>) -> bool {
    if (node.at.file, node.at.start) == (at.file, at.start) {
        return true;
    }
    let mut within = |step: Step, child: &Node| {
        path.push(step);
        let found = find(child, at, path);
        if !found {
            path.pop();
        }
        found
    };
    match &node.value {
        Value::Null | Value::Scalar(_) => false,
        Value::Sequence(items) => items.iter().enumerate().any(|(i, item)| within(Step::Item(i), item)),
        Value::Mapping(entries) => entries.iter().any(|(key, value)| within(Step::Key(key.clone()), value)),
    }
}

/// The edits, each with its file, that make a mapping that was loaded into `after`. A value that is changed is
/// changed where it was written, be it in another file than the mapping; a new key is added to the mapping.
///
/// # Errors
/// `invalid-data` when something to change was not written in a file; what [`parse_text`] says of a file.
pub fn changes(files: &Files, before: &Node, after: &Mapping) -> Result<Vec<(FileId, Edit)>, Diagnostic> {
    let old = before.as_mapping()?;
    let mut edits = Vec::new();
    for (key, value) in old {
        let new = after.get(key);
        if new != Some(value) {
            let (file, mut path) = locate(files, value.at)?;
            path.pop();
            edits.push((file, Edit { path, key: key.clone(), value: new.cloned() }));
        }
    }
    for (key, value) in after {
        if !old.contains_key(key) {
            let (file, path) = locate(files, before.at)?;
            edits.push((file, Edit { path, key: key.clone(), value: Some(value.clone()) }));
        }
    }
    Ok(edits)
}

/// The file that something was written in, and the way to it there.
///
/// # Errors
/// `invalid-data` when it was not written in a file; what [`parse_text`] says of the file.
pub fn locate(files: &Files, at: Provenance) -> Result<(FileId, Vec<Step>), Diagnostic> {
    let lost =
        || Diagnostic::load("invalid-data", "This was not written in a file, so it cannot be changed there");
    let file = at.file.ok_or_else(lost)?;
    let root = parse_text(&files.get(file).text, Some(file)).map_err(first)?;
    path_to(&root, at).map(|path| (file, path)).ok_or_else(|| lost().at(at))
}

fn first(mut diagnostics: crate::Diagnostics) -> Diagnostic {
    if diagnostics.0.is_empty() {
        return Diagnostic::load("invalid-yaml", "The file is not YAML");
    }
    diagnostics.0.swap_remove(0)
}

/// The text after the edits, one after the other.
///
/// # Errors
/// `invalid-yaml` when the text is not good to begin with, `invalid-data` when a path leads through something
/// that is neither mapping nor list.
pub fn apply(text: &str, edits: &[Edit]) -> Result<String, Diagnostic> {
    let mut text = text.to_owned();
    for edit in edits {
        let mut wanted = parse_text(&text, None).map_err(first)?;
        alter(&mut wanted, &edit.path, edit)?;
        let edited = in_place(&text, edit)?;
        let exact = edited.filter(|edited| parse_text(edited, None).is_ok_and(|root| root == wanted));
        // However strange the layout, the content comes out right.
        text = exact.unwrap_or_else(|| rewritten(&text, &wanted));
    }
    Ok(text)
}

/// All of the content written anew, after the comments of a text that holds nothing else.
fn rewritten(text: &str, wanted: &Node) -> String {
    let fresh = dump(wanted);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let whole = format!("{text}{gap}{fresh}");
    let appends =
        matches!(layout(text), Ok(None)) && parse_text(&whole, None).is_ok_and(|root| root == *wanted);
    if appends { whole } else { fresh }
}

// The edit on nodes: what the text must mean afterwards

fn alter(node: &mut Node, path: &[Step], edit: &Edit) -> Result<(), Diagnostic> {
    let Some((step, rest)) = path.split_first() else {
        let found = node.expected("a dictionary");
        let entries = node.entries_mut().ok_or(found)?;
        match &edit.value {
            Some(value) => drop(entries.insert(edit.key.clone(), value.clone())),
            None => drop(entries.remove(&edit.key)),
        }
        return Ok(());
    };
    match step {
        Step::Key(key) => {
            let found = node.expected("a dictionary");
            let entries = node.entries_mut().ok_or(found)?;
            if !entries.contains_key(key) {
                entries.insert(key.clone(), container(rest));
            }
            entries.get_mut(key).map_or(Ok(()), |child| alter(child, rest, edit))
        }
        Step::Item(index) => {
            let found = node.expected("a list");
            let items = node.items_mut().ok_or(found)?;
            while items.len() <= *index {
                items.push(container(if items.len() == *index { rest } else { &[] }));
            }
            alter(&mut items[*index], rest, edit)
        }
    }
}

/// What to make for a missing step: a list if the next step is an item, else a mapping.
fn container(rest: &[Step]) -> Node {
    match rest.first() {
        Some(Step::Item(_)) => Node::sequence(Vec::new()),
        _ => Node::mapping(Mapping::new()),
    }
}

/// A value that holds what `edit` sets at the end of `path`.
fn nested(path: &[Step], edit: &Edit) -> Result<Node, Diagnostic> {
    let mut node = container(path);
    alter(&mut node, path, edit)?;
    Ok(node)
}

// The edit on the text

/// The text with the edit, or `None` where there is nothing to edit in place.
fn in_place(text: &str, edit: &Edit) -> Result<Option<String>, Diagnostic> {
    let Some(root) = layout(text)? else { return Ok(None) };
    let mut place = Place { text, spot: &root, held: None, in_flow: false, dash: 0 };
    for (i, step) in edit.path.iter().enumerate() {
        let rest = &edit.path[i + 1..];
        match (step, &place.spot.shape) {
            (Step::Key(key), Shape::Mapping { entries, .. }) => {
                let Some(at) = entries.iter().position(|entry| entry.key == *key) else {
                    return Ok(Some(place.add_key(key, &nested(rest, edit)?)));
                };
                place = place.enter(&entries[at].value, Some(&entries[at]));
            }
            (Step::Item(index), Shape::Sequence { items, .. }) => {
                let Some(item) = items.get(*index) else {
                    let mut added: Vec<Node> = Vec::new();
                    added.resize_with(index - items.len(), || Node::mapping(Mapping::new()));
                    added.push(nested(rest, edit)?);
                    return Ok(Some(place.add_items(&added)));
                };
                place = place.enter(item, None);
            }
            _ => return Ok(None),
        }
    }
    let Shape::Mapping { entries, .. } = &place.spot.shape else { return Ok(None) };
    let found = entries.iter().position(|entry| entry.key == edit.key);
    Ok(match (found, &edit.value) {
        (Some(at), Some(value)) => Some(place.enter(&entries[at].value, Some(&entries[at])).replace(value)),
        (Some(at), None) => Some(place.remove_key(at)),
        (None, Some(value)) => Some(place.add_key(&edit.key, value)),
        (None, None) => Some(text.to_owned()),
    })
}

/// A value in the text, and what is around it.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    spot: &'a Spot,
    /// The entry whose value this is.
    held: Option<&'a Entry>,
    /// Whether brackets or braces are around it, other than its own.
    in_flow: bool,
    /// How much deeper than their key the lists around here are indented.
    dash: usize,
}

impl<'a> Place<'a> {
    fn enter(self, spot: &'a Spot, held: Option<&'a Entry>) -> Place<'a> {
        let mut inner = Place { spot, held, in_flow: self.in_flow || self.spot.is_flow(), ..self };
        if let (Some(entry), Shape::Sequence { flow: false, .. }) = (held, &spot.shape) {
            inner.dash = self.column(spot.head).saturating_sub(self.column(entry.start));
        }
        inner
    }

    /// Column in characters.
    fn column(&self, at: usize) -> usize {
        let start = line_start(self.text, at);
        let start = if start == 0 { bom_len(self.text.as_bytes()) } else { start };
        self.text.get(start..at).map_or(0, |before| before.chars().count())
    }

    /// The line break that the text uses.
    fn newline(&self) -> &'static str {
        let end = line_end(self.text, 0);
        if self.text[end..].starts_with("\r\n") { "\r\n" } else { "\n" }
    }

    fn splice(&self, range: Range<usize>, with: &str) -> String {
        format!("{}{with}{}", &self.text[..range.start], &self.text[range.end..])
    }

    /// Lines at column `indent`, each with a line break before it.
    fn lines(&self, lines: &str, indent: usize) -> String {
        let mut out = String::new();
        for line in lines.lines() {
            out.push_str(self.newline());
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
        out
    }

    /// Whether this is an empty flow collection in block context: it gives way to a block collection.
    fn is_hollow(&self) -> bool {
        let empty = match &self.spot.shape {
            Shape::Scalar => false,
            Shape::Sequence { flow, items } => *flow && items.is_empty(),
            Shape::Mapping { flow, entries } => *flow && entries.is_empty(),
        };
        empty && !self.in_flow
    }

    /// Puts a block collection where a hollow one is.
    fn fill(&self, value: &Node) -> String {
        if self.held.is_some() {
            return self.replace(value);
        }
        let lines = self.lines(&dump(value), self.column(self.spot.head));
        self.splice(self.spot.start..self.spot.end, lines.trim_start_matches(['\r', '\n', ' ']))
    }

    fn add_key(&self, key: &str, value: &Node) -> String {
        let Shape::Mapping { flow, entries } = &self.spot.shape else { return self.text.to_owned() };
        let fresh = Node::mapping([(key, value.clone())].into_iter().collect());
        if self.is_hollow() {
            return self.fill(&fresh);
        }
        let Some(last) = entries.last() else {
            let entry = format!("{}: {}", flow_scalar(key), flow_value(value));
            return self.splice(self.spot.end - 1..self.spot.end - 1, &entry);
        };
        if *flow {
            let gap = if last.value.start == last.value.end && last.colon_end.is_some() { " " } else { "" };
            let entry = format!("{gap}, {}: {}", flow_scalar(key), flow_value(value));
            let pair = &self.text[self.spot.head..last.end()];
            if !pair.starts_with('{') {
                // A pair within `[]` has no braces of its own.
                return self.splice(self.spot.head..last.end(), &format!("{{{pair}{entry}}}"));
            }
            return self.splice(last.end()..last.end(), &entry);
        }
        let indent = self.column(self.spot.head);
        let at = line_end(self.text, last.end());
        self.splice(at..at, &self.lines(&dump(&fresh), indent))
    }

    fn add_items(&self, added: &[Node]) -> String {
        let Shape::Sequence { flow, items } = &self.spot.shape else { return self.text.to_owned() };
        let fresh = Node::sequence(added.to_vec());
        if self.is_hollow() {
            return self.fill(&fresh);
        }
        let texts: Vec<String> = added.iter().map(flow_value).collect();
        let Some(last) = items.last() else {
            return self.splice(self.spot.end - 1..self.spot.end - 1, &texts.join(", "));
        };
        if *flow {
            return self.splice(last.end..last.end, &format!(", {}", texts.join(", ")));
        }
        let indent = self.column(self.spot.head);
        let at = line_end(self.text, last.end);
        self.splice(at..at, &self.lines(&dump(&fresh), indent))
    }

    /// Puts `value` where this value is.
    fn replace(&self, value: &Node) -> String {
        let Some(entry) = self.held else { return self.text.to_owned() };
        if entry.colon_end.is_none() && !self.in_flow {
            return self.add_value(entry, value);
        }
        let Range { start, end } = self.spot.start..self.spot.end;
        let written = end > start;
        let block = is_block(value) && !self.in_flow;
        let colon = entry.colon_end.unwrap_or(entry.key_end);
        if block {
            return self.replace_by_block(entry, value);
        }
        let new = if self.in_flow { flow_value(value) } else { inline_value(value) };
        let spaced = if new.is_empty() { String::new() } else { format!(" {new}") };
        match entry.colon_end {
            None => self.splice(colon..colon, &format!(":{spaced}")),
            Some(_) if !written => self.splice(colon..colon, &spaced),
            Some(_) if self.is_on_line_of(colon) => self.splice(start..end, &new),
            // The old value stands on lines of its own: these go, the rest of the key's line stays.
            Some(_) => {
                let from = line_start(self.text, start);
                let kept = &self.text[colon..from];
                let kept =
                    kept.strip_suffix(['\n']).map_or(kept, |kept| kept.strip_suffix('\r').unwrap_or(kept));
                self.splice(colon..end, &format!("{spaced}{kept}"))
            }
        }
    }

    /// Gives a value to a `? key` that has none.
    fn add_value(&self, entry: &Entry, value: &Node) -> String {
        let mut value = dump(value).replace('\n', "\n  ");
        value.insert_str(0, ": ");
        let at = line_end(self.text, entry.key_end);
        self.splice(at..at, &self.lines(value.trim_end(), self.column(entry.start)))
    }

    /// Whether no line break lies between `at` and the value.
    fn is_on_line_of(&self, at: usize) -> bool {
        line_end(self.text, at) >= self.spot.start
    }

    fn replace_by_block(&self, entry: &Entry, value: &Node) -> String {
        let colon = entry.colon_end.unwrap_or(entry.key_end);
        let key_column = self.column(entry.start);
        let indent = match (&self.spot.shape, &value.value) {
            (Shape::Sequence { flow: false, .. }, Value::Sequence(_))
            | (Shape::Mapping { flow: false, .. }, Value::Mapping(_)) => self.column(self.spot.head),
            (_, Value::Sequence(_)) => key_column + self.dash,
            _ => key_column + 2,
        };
        let lines = self.lines(&dump(value), indent);
        if self.spot.end == self.spot.start {
            let at = line_end(self.text, colon);
            return self.splice(at..at, &lines);
        }
        if self.is_on_line_of(colon) {
            // What follows the old value on its last line, a comment, stays on the line of the key.
            let rest = self.spot.end..line_end(self.text, self.spot.end);
            let comment = self.text[rest.clone()].trim_end();
            return self.splice(colon..rest.end, &format!("{comment}{lines}"));
        }
        let from = line_start(self.text, self.spot.start);
        self.splice(from..self.spot.end, lines.strip_prefix(self.newline()).unwrap_or(&lines))
    }

    fn remove_key(&self, index: usize) -> String {
        let Shape::Mapping { flow, entries } = &self.spot.shape else { return self.text.to_owned() };
        let entry = &entries[index];
        if entries.len() == 1 {
            return self.empty_out();
        }
        if *flow {
            let range = match entries.get(index + 1) {
                Some(next) => entry.start..next.start,
                None => self.comma(entries[index - 1].end(), entry.start)..entry.end(),
            };
            return self.splice(range, "");
        }
        let from = line_start(self.text, entry.start);
        let own_line = self.text[from..entry.start].trim_start_matches(' ').is_empty();
        match entries.get(index + 1) {
            Some(next) if !own_line => self.splice(entry.start..next.start, ""),
            _ => {
                let end = line_end(self.text, entry.end());
                self.splice(from..end + break_len(self.text.as_bytes(), end), "")
            }
        }
    }

    /// The `,` between two bytes that have but blanks, breaks and comments between them beside it.
    fn comma(&self, from: usize, to: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = from;
        while at < to && bytes[at] != b',' {
            at = if bytes[at] == b'#' { line_end(self.text, at) } else { at + 1 };
        }
        at
    }

    /// Takes the only entry away.
    fn empty_out(&self) -> String {
        match self.held {
            Some(_) if !self.spot.is_flow() => self.replace(&Node::mapping(Mapping::new())),
            _ => self.splice(self.spot.start..self.spot.end, "{}"),
        }
    }
}

/// Whether this is written on lines of its own.
fn is_block(value: &Node) -> bool {
    match &value.value {
        Value::Null | Value::Scalar(_) => false,
        Value::Sequence(items) => !items.is_empty(),
        Value::Mapping(entries) => !entries.is_empty(),
    }
}

/// A scalar or an empty collection behind the `:` of a block mapping.
fn inline_value(value: &Node) -> String {
    match &value.value {
        Value::Null => String::new(),
        Value::Scalar(text) => dump_scalar(text),
        Value::Sequence(_) => "[]".into(),
        Value::Mapping(_) => "{}".into(),
    }
}

/// A value within brackets or braces.
fn flow_value(value: &Node) -> String {
    match &value.value {
        Value::Null => "''".into(),
        Value::Scalar(text) => flow_scalar(text),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(flow_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", flow_scalar(key), flow_value(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A scalar within brackets or braces. There libyaml ends plain text at many signs, so only words are plain.
fn flow_scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '+' | '-' | '~' | '=');
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(word);
    if plain {
        return text.to_owned();
    }
    let quoted = dump_scalar(text);
    if quoted.starts_with(['\'', '"']) && quoted.len() > 1 {
        quoted
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(text: &str) -> Node {
        parse_text(text, None).unwrap()
    }

    /// `sources.0.ref` as a path and a key.
    fn edit(path: &str, value: Option<Node>) -> Edit {
        let mut steps: Vec<Step> = path
            .split('.')
            .map(|step| step.parse().map_or_else(|_| Step::Key(step.into()), Step::Item))
            .collect();
        let Some(Step::Key(key)) = steps.pop() else { panic!("{path} ends in no key") };
        Edit { path: steps, key, value }
    }

    /// Sets `path` in `text` to the value of the key `v` of `value`, or removes it when there is no such key.
    #[track_caller]
    fn check(text: &str, path: &str, value: &str, expected: &str) {
        let edit = edit(path, parsed(value).get("v").cloned());
        let edited = apply(text, std::slice::from_ref(&edit)).unwrap();
        assert_eq!(edited, expected, "\n{edited}");
    }

    const SOURCES: &str = "\
# Top
kind: manual

sources:
- kind: git    # one
  url: host:a
  track: main  # tail
# between
- {kind: tar, url: 'x'}
";

    #[test]
    fn adds_keys() {
        let tail = |with: &str| SOURCES.replace("main  # tail\n", &format!("main  # tail\n{with}"));
        check(SOURCES, "sources.0.ref", "v: abc", &tail("  ref: abc\n"));
        check(SOURCES, "sources.0.ref", "v: {a: b, c: [d]}", &tail("  ref:\n    a: b\n    c:\n    - d\n"));
        check(
            SOURCES,
            "sources.0.ref",
            "v: [{a: b, c: d}, {a: e}]",
            &tail("  ref:\n  - a: b\n    c: d\n  - a: e\n"),
        );
        let flow = |with: &str| SOURCES.replace("url: 'x'}", &format!("url: 'x'{with}}}"));
        check(SOURCES, "sources.1.ref", "v: abc", &flow(", ref: abc"));
        check(SOURCES, "sources.1.ref", "v: 'a:b'", &flow(", ref: 'a:b'"));
        check(SOURCES, "sources.1.ref", "v: [{a: b}, '']", &flow(", ref: [{a: b}, '']"));
        check("a: {}\n", "a.ref", "v: x", "a:\n  ref: x\n");
        check("a: {} # c\n", "a.ref", "v: x", "a: # c\n  ref: x\n");
        check("{}\n", "ref", "v: x", "ref: x\n");
        check("a: b", "ref", "v: x", "a: b\nref: x");
        check("a: b\r\nc: |\r\n  d\r\n", "ref", "v: [x]", "a: b\r\nc: |\r\n  d\r\nref:\r\n- x\r\n");
        check("{a, b: }\n", "ref", "v: x", "{a, b: , ref: x }\n");
    }

    #[test]
    fn replaces_values() {
        check("ref: abc   # c\nb: d\n", "ref", "v: x", "ref: x   # c\nb: d\n");
        check("ref:   'abc' # c\n", "ref", "v: 'a: b'", "ref:   'a: b' # c\n");
        check("ref: # c\nb: d\n", "ref", "v: x", "ref: x # c\nb: d\n");
        check("ref: abc # c\nb: d\n", "ref", "v: {x: y}", "ref: # c\n  x: y\nb: d\n");
        check(
            "ref: # c\n    x: y # gone\n    # kept\nb: d\n",
            "ref",
            "v: {x: z, q: r}",
            "ref: # c\n    x: z\n    q: r # gone\n    # kept\nb: d\n",
        );
        check("ref: # c\n- x\n- y\nb: d\n", "ref", "v: abc", "ref: abc # c\nb: d\n");
        check("ref: # c\n  # in\n  - x\n  - y\nb: d\n", "ref", "v: [z]", "ref: # c\n  # in\n  - z\nb: d\n");
        check("ref: |\n  text\n\nb: d\n", "ref", "v: x", "ref: x\n\nb: d\n");
        check("s:\n  - ref: [a,\n    b] # c\n", "s.0.ref", "v: [d]", "s:\n  - ref: # c\n      - d\n");
        check("{ref: a, b: {ref: }}\n", "b.ref", "v: [x, 'y z']", "{ref: a, b: {ref: [x, 'y z'] }}\n");
        check("{ref}\n", "ref", "v: x", "{ref: x}\n");
        check("? ref\nb: c\n", "ref", "v: [x]", "? ref\n: - x\nb: c\n");
        check("ref: x\n", "ref", "v: ''", "ref: \n");
    }

    #[test]
    fn removes_keys() {
        check("a: b\nref: c # d\n# e\nf: g\n", "ref", "{}", "a: b\n# e\nf: g\n");
        check("s:\n- ref: a\n  # c\n  b: d\n", "s.0.ref", "{}", "s:\n- b: d\n");
        check("s:\n- b: d\n  ref:\n  - a\n  - b\nt: u\n", "s.0.ref", "{}", "s:\n- b: d\nt: u\n");
        check("s:\n- ref: a\n", "s.0.ref", "{}", "s:\n- {}\n");
        check("s:\n  ref: a\nb: c\n", "s.ref", "{}", "s: {}\nb: c\n");
        check("{a: b, ref: c , d: e}\n", "ref", "{}", "{a: b, d: e}\n");
        check("{a: , ref: c}\n", "ref", "{}", "{a: }\n");
        check("a: b\n", "ref", "{}", "a: b\n");
    }

    #[test]
    fn makes_what_is_missing() {
        check("", "projects.p.e.1.ref", "v: x", "projects:\n  p:\n    e:\n    - {}\n    - ref: x\n");
        check("# c\n", "projects.p.e.0.ref", "v: x", "# c\nprojects:\n  p:\n    e:\n    - ref: x\n");
        check("projects: {}\n", "projects.p.e.0.ref", "v: x", "projects:\n  p:\n    e:\n    - ref: x\n");
        let refs = "projects:\n  p:\n    e:\n    - ref: x # c\n    # d\n    f: []\n";
        check(
            refs,
            "projects.p.e.2.ref",
            "v: y",
            &refs.replace("x # c\n", "x # c\n    - {}\n    - ref: y\n"),
        );
        check(refs, "projects.p.f.0.ref", "v: y", &refs.replace("f: []", "f:\n    - ref: y"));
        check(refs, "projects.q.e.0.ref", "v: y", &format!("{refs}  q:\n    e:\n    - ref: y\n"));
        let gap = "projects:\n  p:\n    e:\n    - {}\n    - ref: x\n";
        check(gap, "projects.p.e.0.ref", "v: y", &gap.replace("{}", "ref: y"));
    }

    #[test]
    fn refuses_paths_through_scalars() {
        let through = |text, path| apply(text, &[edit(path, Some(Node::scalar("x")))]).unwrap_err().code;
        assert_eq!(through("a: b\n", "a.ref"), "invalid-data");
        assert_eq!(through("a: b\n", "a.0.ref"), "invalid-data");
        assert_eq!(through("a: [\n", "ref"), "invalid-yaml");
    }

    /// Every key of these texts, set and removed, comes out right without writing the text anew.
    #[test]
    fn edits_whatever_layout() {
        let texts = [
            SOURCES,
            "a:\n  ref:\n  b:\n  - \n  - ref:\n  - {ref: , x: y}\n  - {ref, x}\n  - {x: }\n  - {}\n",
            "? ref\n: v\n? b\n: - ref: c\nd: # cc\n  ref: e\n? q:w\n",
            "{ref: a,\n b: {c: d # x\n }}\n",
            "---\nref: a\nb: c\n...\n",
            "\u{feff}ref: ä\nb: 'ö'\n",
            "a:\n-   ref: x\n    y: z\n-\n  ref: q\n- - ref: w\n",
            "a: {ref: [1, 2], b: 'it''s'}\nc:\n    deep:\n        ref: x\n    # tail\n",
            "ref: plain\n  multi\n  line\nq: \"dq\n   more\" # t\n",
            "a: [b: c, {d: e}]\n!!str f: !!str g\nh: !!map\n  i: j\n",
            "a: |+\n  b\n\n\nc: >2\n    d\n  e",
        ];
        let values = [
            "v: x",
            "v: ''",
            "v: 'a: b'",
            "v: \"l\\nm\"",
            "v: [x, {y: z}]",
            "v: {p: {q: r}, s: []}",
            "v: {}",
            "{}",
        ];
        for text in texts {
            let root = parsed(text);
            let mut maps = Vec::new();
            mappings(&root, &mut Vec::new(), &mut maps);
            for (path, keys) in maps {
                for key in keys {
                    for value in values {
                        let edit = Edit {
                            path: path.clone(),
                            key: key.clone(),
                            value: parsed(value).get("v").cloned(),
                        };
                        let mut wanted = root.clone();
                        alter(&mut wanted, &path, &edit).unwrap();
                        let edited = in_place(text, &edit).unwrap().unwrap();
                        assert_eq!(parse_text(&edited, None).ok(), Some(wanted), "{edit:?}\n{edited}");
                    }
                }
            }
        }
    }

    /// Ways to all mappings, with their keys and one that they do not have.
    fn mappings(node: &Node, path: &mut Vec<Step>, into: &mut Vec<(Vec<Step>, Vec<Text>)>) {
        let mut enter = |step: Step, child: &Node| {
            path.push(step);
            mappings(child, path, into);
            path.pop();
        };
        match &node.value {
            Value::Null | Value::Scalar(_) => {}
            Value::Sequence(items) => {
                items.iter().enumerate().for_each(|(i, item)| enter(Step::Item(i), item))
            }
            Value::Mapping(entries) => {
                entries.iter().for_each(|(key, value)| enter(Step::Key(key.clone()), value));
                into.push((path.clone(), entries.keys().cloned().chain(["new".into()]).collect()));
            }
        }
    }

    #[test]
    fn finds_changes_in_their_files() {
        let files = Files::default();
        let add = |name: &str, text: &str| {
            let file = files.add(Path::new(name), name, None, text.into());
            (file, crate::parse(&files, file).unwrap())
        };
        let (element, base) = add("e.bst", "sources:\n- kind: git\n  url: x\n");
        let (include, over) = add("i.yml", "a:\n  ref: old\n");
        let mut source = base.get_sequence("sources").unwrap()[0].clone();
        let place = source.at;
        crate::compose(&mut source, over.get("a").unwrap()).unwrap();
        source.at = place;
        let mut after = source.entries().unwrap().clone();
        after.insert("ref", Node::scalar("new"));
        after.insert("tags", Node::sequence(vec![Node::scalar("t")]));
        let edits = changes(&files, &source, &after).unwrap();
        let found: Vec<_> =
            edits.iter().map(|(file, edit)| (*file, edit.path.clone(), edit.key.as_str())).collect();
        let sources = vec![Step::Key("sources".into()), Step::Item(0)];
        assert_eq!(found, [(include, vec![Step::Key("a".into())], "ref"), (element, sources, "tags")]);
        let made_up = Node::mapping(Mapping::new());
        assert_eq!(changes(&files, &made_up, &after).unwrap_err().code, "invalid-data");
    }
}
