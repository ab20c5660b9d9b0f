//! Errors as people read them.

use crate::exit::Failure;
use crate::report::line::{INDENT, indent};
use crate::report::style::{ERROR, Painter, Style as Paint};
use bourn_yaml::{Diagnostic, Files, Provenance};

/// How errors are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Colours.
    pub(crate) painter: Painter,
    /// Whether places stand before messages as bst writes them (`FILE [line L column C]: …`), for programs that
    /// look for them; else below, with the lines they mean.
    pub(crate) compatible: bool,
}

/// The whole text about a failure, with the empty line that sets it apart.
pub(crate) fn failure(failure: &Failure, files: &Files, style: Style) -> String {
    let mut out = String::from("\n");
    if failure.diagnostics.0.is_empty() {
        out.push_str(&failure.message);
        out.push('\n');
    } else {
        push_diagnostics(&mut out, failure, files, style);
    }
    if let Some(detail) = &failure.detail {
        out.push('\n');
        out.push_str(&indent(detail.trim_end_matches('\n'), INDENT));
        out.push('\n');
    }
    if let Some(hint) = &failure.hint {
        push_labelled(&mut out, style, "hint", hint);
    }
    out
}

fn push_diagnostics(out: &mut String, failure: &Failure, files: &Files, style: Style) {
    let prefix = failure.message.trim_end_matches(": ");
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push_str(": ");
        if !style.compatible {
            out.push('\n');
        }
    }
    for (i, diagnostic) in failure.diagnostics.0.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        push_diagnostic(out, diagnostic, files, style);
    }
}

fn push_diagnostic(out: &mut String, diagnostic: &Diagnostic, files: &Files, style: Style) {
    if style.compatible {
        if let Some(place) = diagnostic.at.and_then(|at| files.position(at)) {
            out.push_str(&format!("{place}: "));
        }
        out.push_str(&diagnostic.message);
    } else {
        let code = if diagnostic.code.is_empty() { String::new() } else { format!("[{}]", diagnostic.code) };
        style.painter.push(out, &format!("error{code}"), ERROR.bold());
        out.push_str(&format!(": {}", diagnostic.message));
    }
    out.push('\n');
    if let Some(at) = diagnostic.at {
        push_snippet(out, at, files, style);
    }
    for (at, text) in &diagnostic.notes {
        push_note(out, *at, text, files, style);
    }
    if let Some(detail) = &diagnostic.detail {
        out.push_str(&format!("\n{}\n", indent(detail.trim_end_matches('\n'), INDENT)));
    }
    if let Some(hint) = &diagnostic.hint {
        push_labelled(out, style, "hint", hint);
    }
}

fn push_note(out: &mut String, at: Option<Provenance>, text: &str, files: &Files, style: Style) {
    match at.and_then(|at| files.position(at)) {
        Some(place) if style.compatible => push_labelled(out, style, "note", &format!("{place}: {text}")),
        place => {
            push_labelled(out, style, "note", text);
            if let Some(place) = place {
                out.push_str(&format!("  --> {}:{}:{}\n", place.file, place.line, place.column + 1));
            }
        }
    }
}

fn push_labelled(out: &mut String, style: Style, label: &str, text: &str) {
    style.painter.push(out, label, Paint::color(36).bold());
    out.push_str(&format!(": {text}\n"));
}

/// Appends the place and the line of text that stands there, its span underlined.
fn push_snippet(out: &mut String, at: Provenance, files: &Files, style: Style) {
    let (Some(place), Some(file)) = (files.position(at), at.file) else { return };
    let entry = files.get(file);
    let Some(line) = entry.text.lines().nth(place.line - 1) else {
        if !style.compatible {
            out.push_str(&format!("  --> {}\n", place.file));
        }
        return;
    };
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    if !style.compatible {
        out.push_str(&format!("{gutter}--> {}:{}:{}\n", place.file, place.line, place.column + 1));
    }
    let left = line.chars().count().saturating_sub(place.column).max(1);
    let width = entry
        .text
        .get(at.start as usize..at.end as usize)
        .map_or(1, |span| span.lines().next().unwrap_or("").chars().count())
        .clamp(1, left);
    let blue = Paint::color(34).bold();
    let bar = |out: &mut String, text: &str| style.painter.push(out, text, blue);
    bar(out, &format!("{gutter} |\n{number} |"));
    out.push_str(&format!(" {line}\n"));
    bar(out, &format!("{gutter} |"));
    let before: String =
        line.chars().take(place.column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    out.push_str(&format!(" {before}"));
    style.painter.push(out, &"^".repeat(width), ERROR.bold());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(compatible: bool, expect: &str) {
        let files = Files::default();
        let file =
            files.add(Path::new("/p/a.bst"), "a.bst", Some("j.bst"), "kind: autotools\nponi: 1\n".into());
        let at = Provenance { file: Some(file), start: 16, end: 20 };
        let diagnostic = Diagnostic::load("invalid-data", "Unexpected key: poni").at(at).hint("write `pony`");
        let style = Style { painter: Painter { colors: false }, compatible };
        assert_eq!(failure(&Failure::from(diagnostic), &files, style), expect);
    }

    #[test]
    fn places_are_quoted() {
        check(
            false,
            "\nerror[invalid-data]: Unexpected key: poni\n --> j.bst:a.bst:2:1\n  |\n2 | poni: 1\n  | ^^^^\n\
             hint: write `pony`\n",
        );
        check(
            true,
            "\nj.bst:a.bst [line 2 column 0]: Unexpected key: poni\n  |\n2 | poni: 1\n  | ^^^^\nhint: write `pony`\n",
        );
    }
}
