//! Laying one mapping over another, list directives included (`(>)`, `(<)`, `(=)`).

use crate::diagnostic::Diagnostic;
use crate::mapping::{Mapping, Text};
use crate::node::{Node, Value};
use crate::span::Provenance;

const APPEND: &str = "(>)";
const PREPEND: &str = "(<)";
const OVERWRITE: &str = "(=)";

/// The key of conditionals: lists of them are joined, not replaced.
const CONDITIONS: &str = "(?)";

/// Composes `over` onto `base` in place, as bst's `_composite` does: what `over` says wins.
///
/// Every value of the result keeps the place where it was written; a mapping that both have takes the place of
/// the one in `over`, unless that one is made up.
///
/// # Errors
/// `illegal-composite` where a mapping meets a scalar or a sequence, or the like; `invalid-data` for a mapping that
/// mixes list directives with other keys. `base` is then composed in part and should be dropped.
pub fn compose(base: &mut Node, over: &Node) -> Result<(), Diagnostic> {
    lay(base, over, &mut Vec::new())
}

/// Composes `target` onto a copy of `under` and keeps the result in `target`: what `target` says wins. Keys of
/// `target` come first in the result, in their order, and `target` keeps its place.
///
/// # Errors
/// As [`compose`].
pub fn compose_under(target: &mut Node, under: &Node) -> Result<(), Diagnostic> {
    let mut result = under.clone();
    compose(&mut result, target)?;
    let at = target.at;
    let composed = result.entries().ok_or_else(|| result.expected("a dictionary"))?;
    let kept = target.entries().into_iter().flat_map(Mapping::keys);
    let mut ordered = Mapping::with_capacity(composed.len());
    ordered.extend(kept.filter_map(|key| Some((key.clone(), composed.get(key)?.clone()))));
    for (key, value) in composed {
        if !ordered.contains_key(key) {
            ordered.insert(key.clone(), value.clone());
        }
    }
    *target = Node::mapping(ordered).with_place(at);
    Ok(())
}

/// Checks that no list directive is left over (a directive with nothing to apply to).
///
/// # Errors
/// `trailing-list-directive` with the place of the directive's list.
pub fn assert_fully_composited(node: &Node) -> Result<(), Diagnostic> {
    match &node.value {
        Value::Null | Value::Scalar(_) => Ok(()),
        Value::Sequence(items) => items.iter().try_for_each(assert_fully_composited),
        Value::Mapping(entries) => entries.iter().try_for_each(|(key, value)| {
            if is_directive(key) {
                let message = "Attempt to override non-existing list";
                return Err(Diagnostic::load("trailing-list-directive", message).at(value.at).hint(format!(
                    "`{key}` changes a list that is defined elsewhere; here is none to change"
                )));
            }
            assert_fully_composited(value)
        }),
    }
}

/// Whether a key of a dictionary changes a list that is defined elsewhere.
pub fn is_directive(key: &str) -> bool {
    matches!(key, APPEND | PREPEND | OVERWRITE)
}

/// `path` holds the keys that led here, for messages.
fn lay(base: &mut Node, over: &Node, path: &mut Vec<Text>) -> Result<(), Diagnostic> {
    let entries = over.as_mapping()?;
    if base.entries().is_none() {
        return Err(illegal(path, over, base, "a dictionary cannot be composed onto"));
    }
    for (key, value) in entries {
        path.push(key.clone());
        lay_value(base, key, value, path)?;
        path.pop();
    }
    if over.at.file.is_some() {
        base.at = over.at;
    }
    Ok(())
}

fn lay_value(base: &mut Node, key: &Text, over: &Node, path: &mut Vec<Text>) -> Result<(), Diagnostic> {
    let Some(target) = base.entries_mut() else { return Ok(()) };
    match (&over.value, target.get_mut(key)) {
        (Value::Mapping(entries), found) if is_directives(over, entries)? => match found {
            Some(found) => lay_directives(found, over, path)?,
            None => drop(target.insert(key.clone(), over.clone())),
        },
        (Value::Mapping(_), Some(found)) => lay(found, over, path)?,
        (Value::Mapping(entries), None) => {
            // Composed onto nothing it is what it is.
            check_directives(entries)?;
            target.insert(key.clone(), over.clone());
        }
        (Value::Sequence(items), Some(found)) => lay_sequence(found, key, over, items, path)?,
        (Value::Null | Value::Scalar(_), Some(found)) => {
            if matches!(found.value, Value::Sequence(_) | Value::Mapping(_)) {
                return Err(illegal(path, over, found, "a string cannot be composed onto"));
            }
            *found = over.clone();
        }
        (_, None) => drop(target.insert(key.clone(), over.clone())),
    }
    Ok(())
}

/// Checks that no mapping below mixes list directives with other keys.
fn check_directives(entries: &Mapping) -> Result<(), Diagnostic> {
    entries.values().try_for_each(|node| match &node.value {
        Value::Mapping(entries) if is_directives(node, entries)? => Ok(()),
        Value::Mapping(entries) => check_directives(entries),
        _ => Ok(()),
    })
}

fn lay_sequence(
    found: &mut Node,
    key: &str,
    over: &Node,
    items: &[Node],
    path: &[Text],
) -> Result<(), Diagnostic> {
    let fits = match &found.value {
        Value::Sequence(_) => true,
        Value::Mapping(entries) => is_directives(found, entries)?,
        Value::Null | Value::Scalar(_) => false,
    };
    if !fits {
        return Err(illegal(path, over, found, "a list cannot overwrite"));
    }
    match found.items_mut() {
        Some(present) if key == CONDITIONS => present.extend_from_slice(items),
        _ => *found = over.clone(),
    }
    Ok(())
}

/// Whether a mapping consists of list directives.
fn is_directives(node: &Node, entries: &Mapping) -> Result<bool, Diagnostic> {
    let directives = entries.keys().filter(|key| is_directive(key)).count();
    if directives > 0 && directives < entries.len() {
        let message = "Dictionary contains list composition directives and arbitrary keys";
        return Err(Diagnostic::load("invalid-data", message).at(node.at));
    }
    Ok(directives > 0)
}

/// The lists of a mapping of directives.
struct Directives<'a> {
    overwrite: Option<&'a Node>,
    prepend: Option<&'a Node>,
    append: Option<&'a Node>,
}

impl<'a> Directives<'a> {
    fn of(node: &'a Node) -> Result<Directives<'a>, Diagnostic> {
        let list = |key| match node.get(key) {
            Some(value) => value.items().map(|_| Some(value)).ok_or_else(|| value.wrong_type(key, "list")),
            None => Ok(None),
        };
        Ok(Directives { overwrite: list(OVERWRITE)?, prepend: list(PREPEND)?, append: list(APPEND)? })
    }
}

fn lay_directives(found: &mut Node, over: &Node, path: &[Text]) -> Result<(), Diagnostic> {
    let merges = match &found.value {
        Value::Sequence(_) => false,
        Value::Mapping(entries) if is_directives(found, entries)? => true,
        _ => return Err(illegal(path, over, found, "list directives cannot be composed onto")),
    };
    let directives = Directives::of(over)?;
    if merges {
        merge_directives(found, &directives)?;
    } else if let Some(items) = found.items_mut() {
        apply_directives(items, &directives);
    }
    Ok(())
}

fn apply_directives(items: &mut Vec<Node>, directives: &Directives<'_>) {
    if let Some(list) = directives.overwrite.and_then(Node::items) {
        items.clear();
        items.extend_from_slice(list);
    }
    if let Some(list) = directives.prepend.and_then(Node::items) {
        items.splice(0..0, list.iter().cloned());
    }
    if let Some(list) = directives.append.and_then(Node::items) {
        items.extend_from_slice(list);
    }
}

/// Two sets of directives become one that does what one after the other would.
fn merge_directives(found: &mut Node, directives: &Directives<'_>) -> Result<(), Diagnostic> {
    let Some(target) = found.entries_mut() else { return Ok(()) };
    let around = [(PREPEND, directives.prepend), (APPEND, directives.append)];
    if let Some(list) = directives.overwrite {
        target.insert(OVERWRITE, list.clone());
        for (key, list) in around {
            match (list, target.get_mut(key)) {
                (Some(list), _) => drop(target.insert(key, list.clone())),
                (None, Some(present)) => items_of(present, key)?.clear(),
                (None, None) => {}
            }
        }
        return Ok(());
    }
    for (key, list) in around {
        let Some(list) = list else { continue };
        match (target.get_mut(key), list.items()) {
            (Some(present), Some(items)) => {
                let present = items_of(present, key)?;
                let at = if key == PREPEND { 0 } else { present.len() };
                present.splice(at..at, items.iter().cloned());
            }
            _ => drop(target.insert(key, list.clone())),
        }
    }
    Ok(())
}

fn items_of<'a>(node: &'a mut Node, key: &str) -> Result<&'a mut Vec<Node>, Diagnostic> {
    let at = node.at;
    node.items_mut().ok_or_else(|| Node::null().with_place(at).wrong_type(key, "list"))
}

fn illegal(path: &[Text], over: &Node, under: &Node, what: &str) -> Diagnostic {
    let message = format!("Failure composing `{}`: {what} {}", path.join("."), under.describe());
    let place = (under.at != Provenance::SYNTHETIC).then_some(under.at);
    Diagnostic::load("illegal-composite", message).at(over.at).note(place, "the other one is here")
}
