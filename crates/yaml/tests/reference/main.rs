//! What bst 2.8.1 makes of texts and of compositions: values, places, refusals. Every line of the tables was
//! written by it.
//!
//! A node is shown as `LINE:COLUMN` and its value: `"text"`, `[item,]` or `{"key"=value,}`.

mod properties;

use bourn_yaml::{
    Diagnostic, Files, Node, Provenance, Value, assert_fully_composited, compose, compose_under, parse,
};
use std::fmt::Write;
use std::path::Path;

/// Undoes the escapes of the tables: `\n`, `\u{85}` and the like.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (letter, after) = rest[at + 1..].split_at(1);
        rest = after;
        match letter {
            "n" => out.push('\n'),
            "t" => out.push('\t'),
            "r" => out.push('\r'),
            "u" => {
                let (code, after) = rest[1..].split_once('}').unwrap();
                out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
                rest = after;
            }
            other => out.push_str(other),
        }
    }
    out + rest
}

/// The place as the tables write it; `with_file` as they do where there are several files.
fn place(files: &Files, at: Provenance, with_file: bool) -> String {
    let position = files.position(at).unwrap();
    let file = if with_file { position.file.as_str() } else { "" };
    format!("{file}{}:{}", position.line, position.column)
}

fn show(files: &Files, node: &Node, with_file: bool, out: &mut String) {
    out.push_str(&place(files, node.at, with_file));
    match &node.value {
        Value::Null => out.push('~'),
        Value::Scalar(text) => {
            write!(out, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")).unwrap()
        }
        Value::Sequence(items) => {
            out.push('[');
            for item in items.iter() {
                show(files, item, with_file, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Mapping(entries) => {
            out.push('{');
            for (key, value) in entries.iter() {
                write!(out, "\"{}\"=", key.replace('\\', "\\\\").replace('"', "\\\"")).unwrap();
                show(files, value, with_file, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

/// The expected node, its escapes undone but for those of quotes and backslashes.
fn expected(text: &str) -> String {
    unescape(&text.replace("\\\\", "\\\\\\\\").replace("\\\"", "\\\\\""))
}

#[test]
fn parses_as_bst_does() {
    for (number, line) in include_str!("parse.txt").lines().enumerate() {
        let (input, wanted) = line.split_once('\t').unwrap();
        let files = Files::default();
        let file = files.add(Path::new("x"), "x", None, unescape(input).into());
        let found = match parse(&files, file) {
            Ok(node) => {
                let mut out = String::new();
                show(&files, &node, false, &mut out);
                out
            }
            Err(diagnostics) => diagnostics.0[0].code.to_owned(),
        };
        assert_eq!(found, expected(wanted), "line {}: {input}", number + 1);
    }
}

#[test]
fn composes_as_bst_does() {
    for (number, line) in include_str!("compose.txt").lines().enumerate() {
        let columns: Vec<&str> = line.split('\t').collect();
        let (kind, documents, wanted) =
            (columns[0], &columns[1..columns.len() - 1], columns[columns.len() - 1]);
        let files = Files::default();
        let nodes: Vec<Node> = documents
            .iter()
            .zip(["a", "b", "c"])
            .map(|(text, name)| {
                parse(&files, files.add(Path::new(name), name, None, unescape(text).into())).unwrap()
            })
            .collect();
        let found = match composed(kind, &nodes) {
            Ok(node) => {
                let mut out = String::new();
                show(&files, &node, true, &mut out);
                out
            }
            Err(diagnostic) => refusal(&files, &diagnostic, wanted),
        };
        assert_eq!(found, wanted, "line {}: {line}", number + 1);
    }
}

/// `c` composes each document onto those before, `u` puts it under them; `!` then looks for directives left over.
fn composed(kind: &str, nodes: &[Node]) -> Result<Node, Diagnostic> {
    let mut base = nodes[0].clone();
    for node in &nodes[1..] {
        if kind.starts_with('u') {
            compose_under(&mut base, node)?;
        } else {
            compose(&mut base, node)?;
        }
    }
    if kind.ends_with('!') {
        assert_fully_composited(&base)?;
    }
    Ok(base)
}

/// The code and the places. bst also names the top of the document that is composed; the table has it first.
fn refusal(files: &Files, diagnostic: &Diagnostic, wanted: &str) -> String {
    let mut places: Vec<String> = wanted.split(' ').skip(1).take(1).map(str::to_owned).collect();
    if diagnostic.code != "illegal-composite" {
        places.clear();
    }
    places.extend(diagnostic.at.map(|at| place(files, at, true)));
    places.extend(diagnostic.notes.iter().filter_map(|(at, _)| at.map(|at| place(files, at, true))));
    format!("{} {}", diagnostic.code, places.join(" "))
}

/// Every text of the tables and of the corpus has the properties that the fuzz driver checks.
#[test]
fn strange_inputs_have_all_properties() {
    let table = include_str!("parse.txt").lines().filter_map(|line| line.split_once('\t'));
    for text in table.map(|(input, _)| unescape(input)) {
        properties::parses(&text);
        properties::edits(&text);
    }
    for line in include_str!("compose.txt").lines() {
        let columns: Vec<String> = line.split('\t').map(unescape).collect();
        properties::composes(&columns[1..columns.len() - 1].join("=====\n"));
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/corpus");
    for file in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        properties::parses(&text);
        properties::edits(&text);
        properties::composes(&text);
    }
}
