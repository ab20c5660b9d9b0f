//! TOML written as the reference writes it. What `cargo2` stages holds such text, so every blank line counts.
//!
//! The layout is that of Python's `tomlkit` for plain values, found out by writing random tables with it: values
//! come before tables, a table whose entries are all tables has no header, and a blank line stands before a table
//! that was not the first entry.

use toml::{Table, Value};

/// A document as text.
pub(crate) fn write(document: &Table) -> String {
    let mut text = String::new();
    entries(&mut text, document, "", false);
    text
}

/// Whether a value gets a header of its own.
fn is_header(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_table),
        _ => false,
    }
}

/// The entries of a table; `listed` when it is an element of an array of tables, whose tables come last.
fn entries(text: &mut String, table: &Table, path: &str, listed: bool) {
    let mut all: Vec<(&String, &Value)> = table.iter().collect();
    if listed {
        all.sort_by_key(|(_, value)| value.is_table());
    }
    for (name, value) in all.iter().filter(|(_, value)| !is_header(value)) {
        text.push_str(&format!("{} = {}\n", key(name), inline(value)));
    }
    let mut first = true;
    for (at, (name, value)) in all.iter().enumerate().filter(|(_, (_, value))| is_header(value)) {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key(name));
        match value {
            Value::Table(table) => {
                let moved = first && all[at + 1..].iter().any(|(_, value)| !is_header(value));
                blank(text, at > 0 || moved);
                if table.is_empty() || !table.values().all(is_header) {
                    text.push_str(&format!("[{path}]\n"));
                }
                entries(text, table, &path, false);
            }
            Value::Array(items) => elements(text, items, &path, at > 0),
            _ => {}
        }
        first = false;
    }
}

/// The tables of an array.
fn elements(text: &mut String, items: &[Value], path: &str, spaced: bool) {
    let mut spaced = spaced;
    for table in items.iter().filter_map(Value::as_table) {
        blank(text, spaced);
        text.push_str(&format!("[[{path}]]\n"));
        entries(text, table, path, true);
        spaced = !table.is_empty();
    }
}

fn blank(text: &mut String, wanted: bool) {
    if wanted {
        text.push('\n');
    }
}

fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if u32::from(c) < 32 || c == '\u{7f}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Float(number) => float(*number),
        Value::Datetime(time) => datetime(time),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => inline_table(table, ", "),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
    }
}

/// Only the outermost of nested tables gets spaces after its commas.
fn inline_table(table: &Table, comma: &str) -> String {
    let entry = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Table(table) => inline_table(table, ","),
            value => inline(value),
        };
        format!("{} = {value}", key(name))
    };
    let entries: Vec<String> = table.iter().map(entry).collect();
    format!("{{{}}}", entries.join(comma))
}

/// A number as Python writes it.
fn float(number: f64) -> String {
    let small = number != 0.0 && number.abs() < 1e-4;
    let text = if number.is_nan() {
        return "nan".to_owned();
    } else if small {
        format!("{number:e}")
    } else {
        format!("{number:?}")
    };
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// A point in time as Python writes it: fractions of a second have six digits.
fn datetime(time: &toml::value::Datetime) -> String {
    let text = time.to_string();
    let Some((whole, fraction)) = text.split_once('.') else { return text };
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    let (digits, zone) = fraction.split_at(end);
    let micros: String = digits.chars().chain(std::iter::repeat('0')).take(6).collect();
    // A time without a date is written without needless zeros.
    let micros = if time.date.is_none() { micros.trim_end_matches('0') } else { &micros };
    let dot = if micros.is_empty() { "" } else { "." };
    format!("{whole}{dot}{micros}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expect: &str) {
        let document: Table = document.parse().expect("TOML");
        assert_eq!(write(&document), expect);
    }

    #[test]
    fn values_come_before_tables() {
        check("a = 1\n[t]\nb = 2\n", "a = 1\n\n[t]\nb = 2\n");
        check("t.b = 2\na = 1\n", "a = 1\n\n[t]\nb = 2\n");
        check("[a.b]\n[a.c]\nx = 1\n[d]", "[a.b]\n\n[a.c]\nx = 1\n\n[d]\n");
        check("[a.b.c]\nx = 1\n[a]\ny = 2", "[a]\ny = 2\n\n[a.b.c]\nx = 1\n");
    }

    #[test]
    fn arrays_of_tables() {
        check("c = []\nb = [{}, {c = 1}]", "c = []\n\n[[b]]\n[[b]]\nc = 1\n");
        check("[[l]]\nk = 1\n[[l]]\nm = 1", "[[l]]\nk = 1\n\n[[l]]\nm = 1\n");
        check("[[l]]\nx.a = 1\nc = 1\ny = [{u = 1}]", "[[l]]\nc = 1\n\n[[l.y]]\nu = 1\n\n[l.x]\na = 1\n");
    }

    #[test]
    fn values() {
        check("a = [1, {b = 1, c = {d = 1, e = 2}}]", "a = [1, {b = 1, c = {d = 1,e = 2}}]\n");
        check("'a b' = 'x\"\\'", "\"a b\" = \"x\\\"\\\\\"\n");
        check("a = \"\\u0007\\n\"\nb = true", "a = \"\\u0007\\n\"\nb = true\n");
        check(
            "a = 1.5\nb = 1e10\nc = 1e16\nd = 0.00005\ne = -inf",
            "a = 1.5\nb = 10000000000.0\nc = 1e+16\nd = 5e-05\ne = -inf\n",
        );
        check(
            "a = 1979-05-27T07:32:00Z\nb = 1979-05-27\nc = 07:32:00.50\nd = 1979-05-27T07:32:00.5+01:00",
            "a = 1979-05-27T07:32:00Z\nb = 1979-05-27\nc = 07:32:00.5\nd = 1979-05-27T07:32:00.500000+01:00\n",
        );
    }
}
