//! Nodes to text, byte for byte as bst writes its YAML: artifact metadata, `show %{public}`, `workspaces.yml`.
//!
//! Block style, two spaces deeper per mapping, lists as deep as the key that holds them. Every scalar is text, so
//! nothing is quoted because of what it looks like (`true`, `12`), only where the plain form would read
//! differently. Text with line breaks or with an apostrophe is double-quoted when it needs quotes, other text
//! single-quoted. Keys that are long or have line breaks are written as `? key`. Lines are folded where they reach
//! 9,999 columns, and that in the very places where ruamel.yaml folds them.

use crate::mapping::Mapping;
use crate::node::{Node, Value};

/// Keys from this many characters on are written as `? key`.
const LONG_KEY: usize = 123;

/// Lines are folded from here on.
const WIDTH: usize = 9999;

/// What a level of nesting adds.
const STEP: usize = 2;

/// The text of a document. A mapping or a list at the top; a scalar at the top is written on a line of its own.
pub fn dump(node: &Node) -> String {
    let mut writer = Writer { whitespace: true, indention: true, ..Writer::default() };
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => writer.mapping(entries, 0),
        Value::Sequence(items) if !items.is_empty() => writer.sequence(items, 0),
        _ => writer.value(node, 0),
    }
    writer.line_break('\n');
    writer.out
}

/// A scalar on one line, however long, with the quotes that it needs as the value of a block mapping.
pub(crate) fn dump_scalar(text: &str) -> String {
    let form = Form::of(text);
    if form.plain {
        text.to_owned()
    } else if text.contains('\'') || text.contains(is_break) || !form.single_quoted {
        let mut out = String::from('"');
        for c in text.chars() {
            if needs_escape(c) { out.push_str(&escaped(c)) } else { out.push(c) }
        }
        out.push('"');
        out
    } else {
        format!("'{text}'")
    }
}

/// The text so far and what the next piece of it has to know.
#[derive(Default)]
struct Writer {
    out: String,
    /// Characters since the last line break.
    column: usize,
    /// A space or a line break was written last.
    whitespace: bool,
    /// The line holds nothing but indentation and the signs of collections so far.
    indention: bool,
}

impl Writer {
    fn write(&mut self, text: &str) {
        self.column += text.chars().count();
        self.out.push_str(text);
    }

    fn line_break(&mut self, with: char) {
        self.out.push(with);
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
    }

    /// Goes to the column `indent`, on a new line unless this one still is empty up to there.
    fn indent(&mut self, indent: usize) {
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.line_break('\n');
        }
        if self.column < indent {
            self.whitespace = true;
            self.out.extend(std::iter::repeat_n(' ', indent - self.column));
            self.column = indent;
        }
    }

    /// Writes a sign. `indents` for one after which the line still counts as indentation.
    fn sign(&mut self, sign: &str, spaced: bool, indents: bool) {
        if spaced && !self.whitespace {
            self.write(" ");
        }
        self.write(sign);
        self.whitespace = false;
        self.indention &= indents;
    }

    fn mapping(&mut self, entries: &Mapping, indent: usize) {
        for (key, value) in entries {
            self.indent(indent);
            if is_simple_key(key) {
                self.scalar(key, indent + STEP, true);
                self.sign(":", false, false);
            } else {
                self.sign("?", true, true);
                self.scalar(key, indent + STEP, false);
                self.indent(indent);
                self.sign(":", true, true);
            }
            self.value(value, indent);
        }
    }

    fn value(&mut self, value: &Node, indent: usize) {
        match &value.value {
            Value::Null => self.scalar("", indent + STEP, false),
            Value::Scalar(text) => self.scalar(text, indent + STEP, false),
            Value::Mapping(entries) if entries.is_empty() => self.sign("{}", true, false),
            Value::Mapping(entries) => self.mapping(entries, indent + STEP),
            Value::Sequence(items) if items.is_empty() => self.sign("[]", true, false),
            Value::Sequence(items) if self.indention => self.sequence(items, indent + STEP),
            Value::Sequence(items) => self.sequence(items, indent),
        }
    }

    fn sequence(&mut self, items: &[Node], indent: usize) {
        for item in items {
            self.indent(indent);
            self.sign("-", true, true);
            if matches!(item.value, Value::Null | Value::Scalar(_)) {
                self.indent(indent + STEP);
            } else {
                self.indention = true;
            }
            self.value(item, indent);
        }
    }

    /// Writes a scalar with the quotes that it needs; its further lines go to column `indent`.
    fn scalar(&mut self, text: &str, indent: usize, simple_key: bool) {
        let form = Form::of(text);
        if form.plain && !(simple_key && text.is_empty()) {
            self.plain(text, indent);
        } else if text.contains(['\'', '\n']) || !form.single_quoted {
            self.double_quoted(text, indent, !simple_key);
        } else {
            self.single_quoted(text, indent, !simple_key);
        }
    }

    fn plain(&mut self, text: &str, indent: usize) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.write(" ");
        }
        self.whitespace = false;
        self.indention = false;
        for run in runs(text) {
            if !run.starts_with(' ') {
                if self.column + run.chars().count() > WIDTH && self.column > indent {
                    self.indent(indent);
                }
                self.write(run);
            } else if run.len() == 1 && self.column >= WIDTH {
                self.indent(indent);
                self.whitespace = false;
                self.indention = false;
            } else {
                self.write(run);
            }
        }
    }

    fn single_quoted(&mut self, text: &str, indent: usize, folds: bool) {
        self.sign("'", true, false);
        let mut done = 0;
        for run in runs(text) {
            let inner = done > 0 && done + run.len() < text.len();
            done += run.len();
            if run.starts_with(is_break) {
                run.chars().for_each(|c| self.line_break(c));
                self.indent(indent);
            } else if run == " " && self.column > WIDTH && folds && inner {
                self.indent(indent);
            } else {
                self.write(&run.replace('\'', "''"));
            }
        }
        self.sign("'", false, false);
    }

    fn double_quoted(&mut self, text: &str, indent: usize, folds: bool) {
        self.sign("\"", true, false);
        let chars: Vec<char> = text.chars().collect();
        // The characters from `from` on are not written yet.
        let mut from = 0;
        for at in 0..chars.len() {
            let c = chars[at];
            if needs_escape(c) {
                self.write_chars(&chars[from..at]);
                self.write(&escaped(c));
                from = at + 1;
            }
            let long = self.column + at.saturating_sub(from) > WIDTH;
            if folds && long && at > 0 && at + 1 < chars.len() && (c == ' ' || from >= at) {
                from = self.fold(&chars, from, at, indent);
            }
        }
        self.write_chars(&chars[from..]);
        self.sign("\"", false, false);
    }

    /// Continues double-quoted text on the next line and says which character comes first there.
    fn fold(&mut self, chars: &[char], from: usize, at: usize, indent: usize) -> usize {
        let escapes = !folds_as_space(chars, from, at);
        let mut from = from;
        if from < at {
            self.write_chars(&chars[from..at]);
            from = at;
        }
        let backslash = if escapes { "\\" } else { "" };
        self.write(backslash);
        self.indent(indent);
        self.whitespace = false;
        self.indention = false;
        if chars[from] == ' ' {
            from += usize::from(!escapes);
            self.write(backslash);
        }
        from
    }

    fn write_chars(&mut self, chars: &[char]) {
        self.column += chars.len();
        self.out.extend(chars);
    }
}

/// Whether a line break at `at` reads as the space that is there, so that no backslash is needed. bst's writer
/// looks at the word that follows to find out.
fn folds_as_space(chars: &[char], from: usize, at: usize) -> bool {
    let Some(space) = chars[at..].iter().position(|&c| c == ' ') else { return false };
    let word = &chars[at..at + space];
    let len = word.iter().position(|&c| c == '\n').unwrap_or(space);
    let word = &word[..len];
    let Some(&next) = chars.get(at + len + 1) else { return false };
    if chars[at + len] == '\n' && next != ' ' {
        return false;
    }
    let spaces = at > 0 && chars[at - 1] == ' ' && chars[at] == ' ';
    !word.contains(&'"') && !word.contains(&'\'') && !matches!(next, ' ' | '\n') && !spaces && from != at
}

/// The text in runs of spaces, of line breaks and of whatever else.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| if c == ' ' { 0 } else { 1 + u8::from(is_break(c)) };
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = kind(rest.chars().next()?);
        let end = rest.find(|c| kind(c) != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

fn is_simple_key(key: &str) -> bool {
    !key.contains(is_break) && key.chars().count() < LONG_KEY
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
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
        let mut pairs = text.chars().zip(text.chars().skip(1));
        let mixed = pairs.any(|(a, b)| is_break(a) && b == ' ' || a == ' ' && is_break(b));
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

/// Characters that double quotes hold as an escape.
fn needs_escape(c: char) -> bool {
    is_special(c) || is_break(c) || matches!(c, '"' | '\\')
}

/// Whether the plain form would read as something else.
fn has_indicator(text: &str) -> bool {
    let blank = |c: char| matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c);
    let mut chars = text.chars().peekable();
    let Some(first) = chars.next() else { return false };
    let leading = match first {
        '?' | ':' | '-' => chars.peek().is_none_or(|&c| blank(c)),
        _ => "#,[]{}&*!|>'\"%@`".contains(first),
    };
    if leading || text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = first;
    while let Some(c) = chars.next() {
        if c == ':' && chars.peek().is_none_or(|&next| blank(next)) || c == '#' && blank(before) {
            return true;
        }
        before = c;
    }
    false
}

fn escaped(c: char) -> String {
    match (escape(c), c as u32) {
        (Some(letter), _) => format!("\\{letter}"),
        (None, code @ ..=0xff) => format!("\\x{code:02X}"),
        (None, code @ ..=0xffff) => format!("\\u{code:04X}"),
        (None, code) => format!("\\U{code:08X}"),
    }
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

    /// Lengths and ends of the lines are what bst 2.8.1 writes.
    #[test]
    fn folds_long_lines() {
        let cases: [(String, &[(usize, &str)]); 7] = [
            (
                "word ".repeat(4000) + "x",
                &[(9998, "k: word word"), (9997, "  word word "), (13, "  word word ")],
            ),
            ("a: b ".repeat(4000) + "x", &[(10001, "k: 'a: b a: "), (10001, "  b a: b a: "), (6, "  b x'")]),
            (
                "it's\nso ".repeat(3000) + "x",
                &[(10001, "k: \"it's\\nso"), (10002, "  so it's\\ns"), (7009, "  so it's\\ns")],
            ),
            ("w  ".repeat(5000) + "x\n'", &[(10002, "k: \"w  w  w "), (5011, "  \\  w  w  w")]),
            ("y".repeat(12000) + " z", &[(3, "k: "), (12002, "  yyyyyyyyyy"), (3, "  z")]),
            ("\n".to_owned() + &"q".repeat(12000) + "\nw", &[(12009, "k: \"\\nqqqqqq"), (4, "  w\"")]),
            ("a\u{85}b".to_owned(), &[(10, "k: 'a\u{85}  b'")]),
        ];
        for (text, expected) in cases {
            // Not trimmed as `Node::scalar` would.
            let node = Node { value: Value::Scalar(text.as_str().into()), at: crate::Provenance::SYNTHETIC };
            let written = dump(&map(&[("k", node)]));
            let lines =
                written.lines().map(|line| (line.chars().count(), line.chars().take(12).collect::<String>()));
            let lines: Vec<(usize, String)> = lines.collect();
            let expected: Vec<_> = expected.iter().map(|(len, start)| (*len, (*start).to_owned())).collect();
            assert_eq!(lines, expected);
        }
    }
}
