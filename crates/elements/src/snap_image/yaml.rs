//! The file `snap.yaml`, laid out as the reference's YAML library does for all that fits on a line: keys sorted,
//! collections that hold nothing but scalars on one line, text plain where nobody could take it for something else.

use bourn_yaml::{Node, Value};
use regex::Regex;
use std::sync::LazyLock;

/// Lines are not made longer than this by collections.
const WIDTH: usize = 80;

/// Writes a document.
pub(super) fn document(node: &Node) -> String {
    let mut out = String::new();
    match one_line(node, 0) {
        Some(line) => {
            out.push_str(&line);
            out.push('\n');
        }
        None => block(&mut out, node, 0),
    }
    if let Value::Scalar(_) | Value::Null = node.value {
        out.push_str("...\n");
    }
    out
}

/// The entries of a mapping, sorted.
fn sorted(node: &Node) -> Vec<(&str, &Node)> {
    let mut entries: Vec<(&str, &Node)> =
        node.entries().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    entries.sort_by_key(|(name, _)| *name);
    entries
}

/// A scalar, or a collection of scalars that fits on the line after `used` columns.
fn one_line(node: &Node, used: usize) -> Option<String> {
    let is_scalar = |node: &Node| matches!(node.value, Value::Null | Value::Scalar(_));
    let line = match &node.value {
        Value::Null => return Some("null".into()),
        Value::Scalar(text) => return Some(scalar(text, false)),
        Value::Sequence(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().map(flow_scalar).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(entries) if entries.values().all(is_scalar) => {
            let entry =
                |(name, value): (&str, &Node)| format!("{}: {}", scalar(name, true), flow_scalar(value));
            let entries: Vec<String> = sorted(node).into_iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => return None,
    };
    (used + line.chars().count() <= WIDTH || line.len() == 2).then_some(line)
}

fn flow_scalar(node: &Node) -> String {
    node.text().map_or_else(|| "null".into(), |text| scalar(text, true))
}

/// A collection over several lines.
fn block(out: &mut String, node: &Node, depth: usize) {
    let indent = "  ".repeat(depth);
    if let Some(items) = node.items() {
        for item in items {
            out.push_str(&indent);
            out.push('-');
            nested(out, item, depth, depth * 2 + 2, true);
        }
        return;
    }
    for (name, value) in sorted(node) {
        let name = scalar(name, false);
        out.push_str(&indent);
        out.push_str(&name);
        out.push(':');
        nested(out, value, depth, indent.len() + name.chars().count() + 2, false);
    }
}

/// What follows a dash or a colon. Lists in mappings are not indented.
fn nested(out: &mut String, value: &Node, depth: usize, used: usize, in_list: bool) {
    match one_line(value, used) {
        Some(line) => {
            out.push(' ');
            out.push_str(&line);
            out.push('\n');
        }
        None => {
            out.push('\n');
            let deeper = if value.items().is_some() && !in_list { depth } else { depth + 1 };
            block(out, value, deeper);
        }
    }
}

/// What YAML 1.2 takes for something else than text.
static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns = [
        r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE|<<|=",
        r"[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+",
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+",
        r"[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        r"\d{4}-\d\d?-\d\d?([Tt \t].*)?",
    ];
    Regex::new(&format!("^(?:{})$", patterns.join("|"))).ok()
});

/// A text: plain where it stays text, else between single quotes, else escaped.
fn scalar(text: &str, in_flow: bool) -> String {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        return escaped(text);
    }
    if is_plain(text, in_flow) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn is_plain(text: &str, in_flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let starts = !"#,[]{}&*!|>'\"%@`".contains(first);
    let dashed = matches!(first, '-' | '?' | ':') && text[1..].chars().next().is_none_or(|next| next == ' ');
    let marks = text.starts_with("---") || text.starts_with("...");
    let inside = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let spaced = text.starts_with(' ') || text.ends_with(' ');
    let flow = in_flow && text.contains([',', '[', ']', '{', '}', '?']);
    let other = OTHER.as_ref().is_none_or(|other| other.is_match(text));
    starts && !(dashed || marks || inside || spaced || flow || other)
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            c if (c as u32) < 0x20 || ('\u{7f}'..'\u{a0}').contains(&c) => {
                out.push_str(&format!("\\x{:02X}", c as u32));
            }
            '\u{2028}' | '\u{2029}' | '\u{feff}' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_yaml::Mapping;

    fn list(items: &[&str]) -> Node {
        Node::sequence(items.iter().map(|item| Node::scalar(*item)).collect())
    }

    fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
        Node::mapping(entries.into_iter().collect::<Mapping>())
    }

    fn check(node: Node, expect: &str) {
        assert_eq!(document(&node), expect);
    }

    /// What ruamel.yaml 0.18 wrote.
    #[test]
    fn as_the_reference_writes() {
        check(map([("a", "b".into()), ("c", "d".into())]), "{a: b, c: d}\n");
        check(map([("a", map([("b", "c".into())]))]), "a: {b: c}\n");
        check(map([]), "{}\n");
        check("x".into(), "x\n...\n");
        let plugs = list(&["x", "1", "null", "- dash", "é", "True", "2001-01-01", "~", "a'b", "end:"]);
        check(
            map([
                ("name", "snap".into()),
                ("version", "1.0".into()),
                ("description", "Long text\nof lines".into()),
                ("summary", "a: b # c".into()),
                ("empty", "".into()),
                ("yes", "yes".into()),
                ("apps", map([("a", map([("plugs", plugs), ("command", "bin/a".into())]))])),
                ("none", list(&[])),
                ("nomap", map([])),
                ("nul", Node::null()),
                ("list", Node::sequence(vec![list(&["a", "b"]), map([("k", "v".into())])])),
            ]),
            concat!(
                "apps:\n",
                "  a:\n",
                "    command: bin/a\n",
                "    plugs: [x, '1', 'null', '- dash', é, 'True', '2001-01-01', '~', a'b, 'end:']\n",
                "description: \"Long text\\nof lines\"\n",
                "empty: ''\n",
                "list:\n",
                "- [a, b]\n",
                "- {k: v}\n",
                "name: snap\n",
                "nomap: {}\n",
                "none: []\n",
                "nul: null\n",
                "summary: 'a: b # c'\n",
                "version: '1.0'\n",
                "yes: yes\n",
            ),
        );
    }

    #[test]
    fn what_is_not_text_is_quoted() {
        let check = |text: &str, expect: &str| assert_eq!(scalar(text, true), expect);
        for plain in ["1:30", "inf", "y", "on", "1.2.3", "a-b", "-x", "http://x"] {
            check(plain, plain);
        }
        for quoted in ["1_000", "0o7", "017", ".5", "+1", "1e3", ".inf", "=", "<<", "a,b", "[x", "--- ", "*a"]
        {
            check(quoted, &format!("'{quoted}'"));
        }
        check("nul\u{0}\u{7}", "\"nul\\x00\\a\"");
    }
}
