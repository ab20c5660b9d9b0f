//! Conditionals (`(?)`) and assertions (`(!)`) in nodes.

use crate::option::Options;
use bourn_yaml::{Diagnostic, Mapping, Node, Text, Value, compose};

const CONDITIONS: &str = "(?)";
const ASSERTION: &str = "(!)";

/// Applies the conditionals of a node and of all below it. Keys in `restricted` may not be set by those of the node
/// itself.
///
/// # Errors
/// `user-assertion`, `expression-failed`, `illegal-composite`, `invalid-data`.
pub(crate) fn process(node: &mut Node, options: &Options, restricted: &[&str]) -> Result<(), Diagnostic> {
    if let Some(new) = processed(node, options, restricted)? {
        *node = new;
    }
    Ok(())
}

/// The node with its conditionals applied; `None` if it has none, so that content stays shared.
fn processed(node: &Node, options: &Options, restricted: &[&str]) -> Result<Option<Node>, Diagnostic> {
    match &node.value {
        Value::Null | Value::Scalar(_) => Ok(None),
        Value::Sequence(items) => {
            let mut changed: Option<Vec<Node>> = None;
            for (at, item) in items.iter().enumerate() {
                if let Some(new) = processed(item, options, &[])? {
                    changed.get_or_insert_with(|| items.to_vec())[at] = new;
                }
            }
            Ok(changed.map(|items| Node::sequence(items).with_place(node.at)))
        }
        Value::Mapping(_) => {
            let mut own: Option<Node> = None;
            // What is composed may bring further conditionals.
            while let Some(new) = applied(own.as_ref().unwrap_or(node), options, restricted)? {
                own = Some(new);
            }
            let current = own.as_ref().unwrap_or(node);
            let mut changed: Option<Mapping> = None;
            for (key, value) in current.as_mapping()? {
                if let Some(new) = processed(value, options, &[])? {
                    let entries = current.as_mapping()?;
                    changed.get_or_insert_with(|| entries.clone()).insert(key.clone(), new);
                }
            }
            let below = changed.map(|entries| Node::mapping(entries).with_place(current.at));
            Ok(below.or(own))
        }
    }
}

/// The node with the conditionals of its own applied once; `None` if it has none.
fn applied(node: &Node, options: &Options, restricted: &[&str]) -> Result<Option<Node>, Diagnostic> {
    let conditions = node.opt_sequence(CONDITIONS)?;
    if let Some(assertion) = node.opt_scalar(ASSERTION)? {
        let text = assertion.text().unwrap_or_default().trim();
        return Err(Diagnostic::load("user-assertion", text).at(assertion.at));
    }
    let Some(conditions) = conditions else { return Ok(None) };
    let mut result = node.clone();
    if let Some(entries) = result.entries_mut() {
        entries.remove(CONDITIONS);
    }
    for condition in conditions {
        let (expression, fragment) = one_entry(condition)?;
        let holds = options.holds(expression).map_err(|why| failed(condition, expression, &why, options))?;
        if fragment.entries().is_none() {
            let message = "Only values of type 'dict' can be composed.";
            return Err(Diagnostic::load("illegal-composite", message).at(condition.at));
        }
        if let Some((key, value)) = restricted.iter().find_map(|key| Some((key, fragment.get(key)?))) {
            let message = format!("The '{key}' key cannot be specified conditionally.");
            return Err(Diagnostic::load("illegal-composite", message).at(value.at));
        }
        if holds {
            compose(&mut result, fragment)?;
        }
    }
    Ok(Some(result))
}

/// The expression and the fragment of a condition.
fn one_entry(condition: &Node) -> Result<(&Text, &Node), Diagnostic> {
    let entries = condition.as_mapping()?;
    let mut iter = entries.iter();
    match (iter.next(), iter.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => {
            Err(Diagnostic::load("invalid-data", "Conditional statement has no expression").at(condition.at))
        }
        _ => Err(Diagnostic::load("invalid-data", "Conditional statement has more than one key")
            .at(condition.at)
            .hint("give each expression a `-` of its own")),
    }
}

fn failed(condition: &Node, expression: &str, why: &str, options: &Options) -> Diagnostic {
    let message = format!("Failed to evaluate expression ({expression}): {why}");
    let undefined = why.strip_suffix("' is undefined").and_then(|rest| rest.strip_prefix('\''));
    Diagnostic::load("expression-failed", message)
        .at(condition.at)
        .did_you_mean(undefined.and_then(|name| options.nearest(name)))
}
