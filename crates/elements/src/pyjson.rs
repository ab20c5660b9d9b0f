//! JSON as Python's `json` module writes it: what kinds that write JSON files have to put into them.
//!
//! Entries keep their order; everything but printable ASCII is escaped, U+007F too.

use serde_json::Value;
use std::fmt::Write;

/// `json.dumps(value)`: on one line, a space after commas and colons.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

/// `json.dumps(value, indent=2)`.
pub fn indented(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some(0));
    out
}

/// Writes a value. `depth` is how many levels it is indented, `None` for all on one line.
fn write(out: &mut String, value: &Value, depth: Option<usize>) {
    match value {
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            enclosed(out, ['[', ']'], items, depth, write);
        }
        Value::Object(entries) => enclosed(out, ['{', '}'], entries, depth, |out, (name, value), depth| {
            string(out, name);
            out.push_str(": ");
            write(out, value, depth);
        }),
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

fn enclosed<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    depth: Option<usize>,
    write: impl Fn(&mut String, T, Option<usize>),
) {
    out.push(open);
    let inner = depth.map(|depth| depth + 1);
    let mut any = false;
    for item in items {
        match (any, inner) {
            (false, None) => {}
            (true, None) => out.push_str(", "),
            (comma, Some(depth)) => {
                if comma {
                    out.push(',');
                }
                line(out, depth);
            }
        }
        any = true;
        write(out, item, inner);
    }
    if let Some(depth) = depth.filter(|_| any) {
        line(out, depth);
    }
    out.push(close);
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What Python 3.11 printed.
    #[test]
    fn as_python_writes() {
        let check = |value: Value, one_line: &str, lines: &str| {
            assert_eq!(compact(&value), one_line);
            assert_eq!(indented(&value), lines);
        };
        check(
            json!({"b": [1, null, true], "a": {}}),
            r#"{"b": [1, null, true], "a": {}}"#,
            "{\n  \"b\": [\n    1,\n    null,\n    true\n  ],\n  \"a\": {}\n}",
        );
        check(json!([]), "[]", "[]");
        check(json!([[], {"k": "v"}]), r#"[[], {"k": "v"}]"#, "[\n  [],\n  {\n    \"k\": \"v\"\n  }\n]");
        let text = "\"\\/\n\r\t\u{8}\u{c}\u{1}\u{7f}é😀 ~";
        let escaped = r#""\"\\/\n\r\t\b\f\u0001\u007f\u00e9\ud83d\ude00 ~""#;
        check(json!(text), escaped, escaped);
    }
}
