//! Nodes to text, byte for byte as bst writes its YAML: artifact metadata, `show %{public}`, `workspaces.yml`.
//!
//! Block style, two spaces deeper per mapping, lists as deep as the key that holds them, lines never folded.
//! Every scalar is text, so nothing is quoted because of what it looks like (`true`, `12`), only where the plain
//! form would read differently. Text with line breaks or with an apostrophe is double-quoted when it needs quotes,
//! other text single-quoted. Keys that are long or have line breaks are written as `? key`.

use crate::mapping::Mapping;
use crate::node::{Node, Value};

/// Keys from this many characters on are written as `? key`.
const LONG_KEY: usize = 123;

/// The text of a document. A mapping or a list at the top; a scalar at the top is written on a line of its own.
pub fn dump(node: &Node) -> String {
    let mut out = String::new();
    if !inline(&mut out, node) {
        block(&mut out, node, 0, true);
    }
    out.push('\n');
    out
}

/// Writes what fits on the line of its key: scalars and empty collections. Whether it was such a thing.
fn inline(out: &mut String, node: &Node) -> bool {
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) => out.push_str(&scalar(text)),
        Value::Sequence(items) if items.is_empty() => out.push_str("[]"),
        Value::Mapping(entries) if entries.is_empty() => out.push_str("{}"),
        _ => return false,
    }
    true
}

/// Writes a collection that is not empty. `started`: the first line already stands at its indentation.
fn block(out: &mut String, node: &Node, indent: usize, started: bool) {
    match &node.value {
        Value::Mapping(entries) => mapping(out, entries, indent, started),
        Value::Sequence(items) => sequence(out, items, indent, started),
        Value::Null | Value::Scalar(_) => {}
    }
}

fn line(out: &mut String, indent: usize, started: bool) {
    if !started {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn sequence(out: &mut String, items: &[Node], indent: usize, started: bool) {
    for (i, item) in items.iter().enumerate() {
        line(out, indent, started && i == 0);
        out.push_str("- ");
        if !inline(out, item) {
            block(out, item, indent + 2, true);
        }
    }
}

fn mapping(out: &mut String, entries: &Mapping, indent: usize, started: bool) {
    for (i, (key, value)) in entries.iter().enumerate() {
        line(out, indent, started && i == 0);
        if is_simple_key(key) {
            out.push_str(&key_text(key));
            out.push(':');
            simple_value(out, value, indent);
        } else {
            out.push_str("? ");
            out.push_str(&scalar(key));
            line(out, indent, false);
            out.push_str(": ");
            if !inline(out, value) {
                block(out, value, indent + 2, true);
            }
        }
    }
}

fn simple_value(out: &mut String, value: &Node, indent: usize) {
    let empty = matches!(&value.value, Value::Null) || value.text() == Some("");
    if empty {
        return;
    }
    let start = out.len();
    out.push(' ');
    if !inline(out, value) {
        out.truncate(start);
        let deeper = if matches!(value.value, Value::Mapping(_)) { indent + 2 } else { indent };
        block(out, value, deeper, false);
    }
}

fn is_simple_key(key: &str) -> bool {
    !key.contains(is_break) && key.chars().count() < LONG_KEY
}

fn key_text(key: &str) -> String {
    if key.is_empty() { "''".to_owned() } else { scalar(key) }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A scalar with the quotes that it needs.
fn scalar(text: &str) -> String {
    let form = Form::of(text);
    if text.is_empty() || form.plain {
        text.to_owned()
    } else if text.contains(['\'', '\n']) || !form.single_quoted {
        double_quoted(text)
    } else {
        single_quoted(text)
    }
}

/// Which forms a scalar may take.
struct Form {
    plain: bool,
    single_quoted: bool,
}

impl Form {
    fn of(text: &str) -> Form {
        let special = text.chars().any(is_special);
        let breaks = text.contains(is_break);
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = text.starts_with(edge) || text.ends_with(edge);
        let pairs = || text.chars().zip(text.chars().skip(1));
        let mixed = pairs().any(|(a, b)| (is_break(a) && b == ' ') || (a == ' ' && is_break(b)));
        Form {
            plain: !(special || breaks || edges || has_indicator(text)),
            single_quoted: !(special || mixed),
        }
    }
}

/// Characters that only an escape can write.
fn is_special(c: char) -> bool {
    let printable = matches!(c, '\n' | '\x20'..='\x7e' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        || c >= '\u{10000}';
    !printable || c == '\u{feff}'
}

/// Whether the plain form would read as something else.
fn has_indicator(text: &str) -> bool {
    let blank = |c: Option<char>| c.is_none_or(|c| matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c));
    let mut chars = text.chars();
    let (first, second) = (chars.next(), chars.next());
    let leading = match first {
        Some(c) if "#,[]{}&*!|>'\"%@`".contains(c) => true,
        Some('?' | ':' | '-') => blank(second),
        _ => false,
    };
    let document = text.starts_with("---") || text.starts_with("...");
    let later = || {
        let all: Vec<char> = text.chars().collect();
        (1..all.len()).any(|i| match all[i] {
            ':' => blank(all.get(i + 1).copied()),
            '#' => blank(Some(all[i - 1])),
            _ => false,
        })
    };
    leading || document || later()
}

fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    for c in text.chars() {
        match escape(c) {
            Some(letter) => out.extend(['\\', letter]),
            None if !is_special(c) => out.push(c),
            None => match c as u32 {
                code @ ..=0xff => out.push_str(&format!("\\x{code:02X}")),
                code @ ..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    out.push('"');
    out
}

/// The letter of the short escape of a character.
fn escape(c: char) -> Option<char> {
    Some(match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Node)]) -> Node {
        let mut mapping = Mapping::new();
        for (key, value) in entries {
            mapping.insert(*key, value.clone());
        }
        Node::mapping(mapping)
    }

    fn list(items: &[Node]) -> Node {
        Node::sequence(items.to_vec())
    }

    #[track_caller]
    fn check(node: &Node, expected: &str) {
        assert_eq!(dump(node), expected);
    }

    /// Each line was written by bst 2.8.1 for `{"k": TEXT}`.
    #[test]
    fn scalars() {
        let cases = [
            ("", "k:\n"),
            ("true", "k: true\n"),
            ("~", "k: ~\n"),
            ("123", "k: 123\n"),
            ("a: b", "k: 'a: b'\n"),
            ("a:b", "k: a:b\n"),
            (":a", "k: :a\n"),
            ("? a", "k: '? a'\n"),
            ("?a", "k: ?a\n"),
            ("-", "k: '-'\n"),
            ("- a", "k: '- a'\n"),
            ("-a", "k: -a\n"),
            ("#x", "k: '#x'\n"),
            ("a #b", "k: 'a #b'\n"),
            ("a#b", "k: a#b\n"),
            ("a\nb", "k: \"a\\nb\"\n"),
            ("a\n b", "k: \"a\\n b\"\n"),
            ("a\tb", "k: \"a\\tb\"\n"),
            ("é", "k: é\n"),
            ("it's", "k: it's\n"),
            ("'x", "k: \"'x\"\n"),
            ("\"q\"", "k: '\"q\"'\n"),
            ("%a", "k: '%a'\n"),
            ("@a", "k: '@a'\n"),
            ("a,b", "k: a,b\n"),
            ("a]", "k: a]\n"),
            ("}", "k: '}'\n"),
            ("---", "k: '---'\n"),
            ("...", "k: '...'\n"),
            ("a\\b", "k: a\\b\n"),
            ("\x7f", "k: \"\\x7F\"\n"),
            ("\u{feff}", "k: \"\\uFEFF\"\n"),
            ("😀", "k: 😀\n"),
        ];
        for (text, expected) in cases {
            check(&map(&[("k", Node::scalar(text))]), expected);
        }
    }

    #[test]
    fn keys() {
        let long = "x".repeat(123);
        let cases = [
            ("", "'': v\n".to_owned()),
            ("a: b", "'a: b': v\n".to_owned()),
            ("a\nb", "? \"a\\nb\"\n: v\n".to_owned()),
            (&long[1..], format!("{}: v\n", &long[1..])),
            (&long, format!("? {long}\n: v\n")),
        ];
        for (key, expected) in cases {
            check(&map(&[(key, Node::scalar("v"))]), &expected);
        }
    }

    #[test]
    fn collections() {
        let v = Node::scalar;
        check(&map(&[]), "{}\n");
        check(
            &map(&[("l", list(&[v(""), v("x"), list(&[v(""), v("")]), map(&[("", v(""))])]))]),
            "l:\n- \n- x\n- - \n  - \n- '':\n",
        );
        let inner = map(&[("p", v("q")), ("r", list(&[v("s")]))]);
        check(
            &map(&[("a", list(&[inner, list(&[]), map(&[])])), ("e", list(&[])), ("f", map(&[]))]),
            "a:\n- p: q\n  r:\n  - s\n- []\n- {}\ne: []\nf: {}\n",
        );
        check(&map(&[("g", map(&[("i", list(&[list(&[v("a")])]))]))]), "g:\n  i:\n  - - a\n");
        check(
            &map(&[("x\ny", map(&[("a", v("b"))])), ("z\ny", list(&[v("b"), list(&[v("c")])]))]),
            "? \"x\\ny\"\n: a: b\n? \"z\\ny\"\n: - b\n  - - c\n",
        );
    }
}
