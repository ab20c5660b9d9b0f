//! What holds for every input, however strange. The fuzz driver looks for inputs for which it does not; the tests
//! replay those that it found.

use bourn_yaml::edit::{Edit, Step, apply};
use bourn_yaml::{
    Files, Mapping, Node, RenderOptions, Text, Value, assert_fully_composited, compose, compose_under, dump,
    parse, parse_text, render_all,
};
use std::path::Path;

/// Parses; a good text has all its places within the text and reads the same when it is written anew, a bad one
/// has a diagnostic that can be shown.
pub(crate) fn parses(text: &str) {
    let files = Files::default();
    let file = files.add(Path::new("x.bst"), "x.bst", None, text.into());
    match parse(&files, file) {
        Ok(node) => {
            places_are_good(&files, text, &node);
            if is_plain_unicode(&node) {
                let written = dump(&node);
                assert_eq!(parse_text(&written, None).ok(), Some(node), "{written}");
            }
        }
        Err(diagnostics) => {
            assert!(!diagnostics.0.is_empty());
            for diagnostic in &diagnostics.0 {
                assert!(diagnostic.at.is_some() && !diagnostic.message.is_empty());
            }
            let rendered =
                render_all(&diagnostics, &files, RenderOptions { width: 40, ..Default::default() });
            assert!(rendered.contains("x.bst [line "), "{rendered}");
        }
    }
}

fn places_are_good(files: &Files, text: &str, node: &Node) {
    let (start, end) = (node.at.start as usize, node.at.end as usize);
    // What is missing at the end of a text without a last line break stands one past it.
    assert!(start <= end && end <= text.len() + 1, "{start}..{end}");
    assert!(start > text.len() || text.is_char_boundary(start) && text.is_char_boundary(end.min(text.len())));
    let position = files.position(node.at).unwrap();
    assert!(position.line > 0 && position.column <= text.len());
    children(node).for_each(|child| places_are_good(files, text, child));
}

fn children(node: &Node) -> impl Iterator<Item = &Node> {
    let items = node.items().unwrap_or_default().iter();
    items.chain(node.entries().into_iter().flat_map(Mapping::values))
}

/// Whether bst, too, reads what it writes of this: it does not with the line breaks that only YAML 1.1 knows, nor
/// with all that is long enough to be folded.
fn is_plain_unicode(node: &Node) -> bool {
    let plain = |text: &str| text.len() < 5000 && !text.contains(['\u{85}', '\u{2028}', '\u{2029}']);
    node.text().is_none_or(plain)
        && node.entries().is_none_or(|entries| entries.keys().all(|key| plain(key)))
        && children(node).all(is_plain_unicode)
}

/// Composes documents, which are parted by lines of `=====`, each onto those before and under them.
pub(crate) fn composes(text: &str) {
    let files = Files::default();
    let mut documents = Vec::new();
    for (text, name) in text.split("=====\n").zip(["a", "b", "c", "d"]) {
        match parse(&files, files.add(Path::new(name), name, None, text.into())) {
            Ok(node) => documents.push(node),
            Err(_) => return,
        }
    }
    let Some((base, others)) = documents.split_first() else { return };
    let (mut over, mut under) = (base.clone(), base.clone());
    let before = documents.clone();
    let composed = others.iter().try_for_each(|other| compose(&mut over, other));
    let composed_under = others.iter().try_for_each(|other| compose_under(&mut under, other));
    // Sharing does not show: what was composed is what it was.
    assert_eq!(before, documents);
    if composed.is_ok() {
        keys_are_there(&over, others);
        nothing_changes_nothing(&over);
    }
    if composed_under.is_ok() {
        keys_are_there(&under, others);
        assert_eq!(under.at, base.at);
    }
    for result in [composed, composed_under, assert_fully_composited(&over)] {
        if let Err(diagnostic) = result {
            assert!(diagnostic.at.is_some());
            render_all(&diagnostic.into(), &files, RenderOptions::default());
        }
    }
}

fn keys_are_there(composed: &Node, others: &[Node]) {
    for key in others.iter().flat_map(|other| other.entries().unwrap().keys()) {
        assert!(composed.get(key).is_some(), "{key}");
    }
}

fn nothing_changes_nothing(node: &Node) {
    let mut copy = node.clone();
    compose(&mut copy, &Node::mapping(Mapping::new())).unwrap();
    assert_eq!(copy, *node);
}

/// Sets and removes keys all over a text; what it means afterwards is what was asked for.
pub(crate) fn edits(text: &str) {
    let Ok(root) = parse_text(text, None) else { return };
    let mut ways = Vec::new();
    mappings(&root, &mut Vec::new(), &mut ways);
    let values = [
        Some(Node::scalar("a: b")),
        Some(Node::sequence(vec![
            Node::scalar("x"),
            Node::mapping([("y", Node::scalar("z"))].into_iter().collect()),
        ])),
        None,
    ];
    for (number, (path, key)) in ways.into_iter().take(12).enumerate() {
        let edit = Edit { path, key, value: values[number % values.len()].clone() };
        let edited = apply(text, std::slice::from_ref(&edit)).unwrap();
        let mut wanted = root.clone();
        let place = edit.path.iter().try_fold(&mut wanted, |node, step| match step {
            Step::Key(key) => node.entries_mut()?.get_mut(key),
            Step::Item(index) => node.items_mut()?.get_mut(*index),
        });
        let entries = place.and_then(Node::entries_mut).unwrap();
        match edit.value.clone() {
            Some(value) => drop(entries.insert(edit.key.clone(), value)),
            None => drop(entries.remove(&edit.key)),
        }
        if is_plain_unicode(&wanted) {
            assert_eq!(parse_text(&edited, None).ok(), Some(wanted), "{edit:?}\n{edited}");
        }
    }
}

/// Ways to all mappings, with each of their keys and with one that they do not have.
fn mappings(node: &Node, path: &mut Vec<Step>, into: &mut Vec<(Vec<Step>, Text)>) {
    let mut enter = |step: Step, child: &Node| {
        path.push(step);
        mappings(child, path, into);
        path.pop();
    };
    match &node.value {
        Value::Null | Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().enumerate().for_each(|(i, item)| enter(Step::Item(i), item)),
        Value::Mapping(entries) => {
            entries.iter().for_each(|(key, value)| enter(Step::Key(key.clone()), value));
            let keys = entries.keys().cloned().chain(["new".into()]);
            into.extend(keys.map(|key| (path.clone(), key)));
        }
    }
}
