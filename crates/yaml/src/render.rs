//! Diagnostics as people read them.
//!
//! ```text
//! error[unresolved-variable]: elements/zlib.bst [line 12 column 25]: Variable `prefx` is not defined
//!    |
//! 12 |     ./configure --prefix=%{prefx}
//!    |                          ^^^^^^^^
//! note: include/flags.yml [line 3 column 1]: while composing the defaults of kind `autotools`
//! hint: did you mean `prefix`?
//! ```
//!
//! The place is written as bst writes it, because tools look for it.

use crate::cursor::{bom_len, line_end, line_start};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::file::{FileEntry, Files};
use crate::span::Provenance;
use std::borrow::Cow;
use std::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// How to render.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// Whether to use the escape sequences of terminals.
    pub color: bool,
    /// Columns of the terminal: quoted lines are cut to fit, text is never broken.
    pub width: usize,
    /// How bad it is.
    pub severity: Severity,
}

impl Default for RenderOptions {
    fn default() -> RenderOptions {
        RenderOptions { color: false, width: 120, severity: Severity::Error }
    }
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Severity {
    /// The command cannot do what it was asked for.
    #[default]
    Error,
    /// The command goes on.
    Warning,
}

/// A tab reaches to the next multiple of this many columns.
const TAB: usize = 4;

/// The least room for a quoted line, however narrow the terminal.
const LEAST: usize = 20;

/// The text of all diagnostics, one after the other.
pub fn render_all(diagnostics: &Diagnostics, files: &Files, options: RenderOptions) -> String {
    let all: Vec<String> =
        diagnostics.0.iter().map(|diagnostic| render(diagnostic, files, options)).collect();
    all.join("\n")
}

/// The text of a diagnostic, with a line break at its end.
pub fn render(diagnostic: &Diagnostic, files: &Files, options: RenderOptions) -> String {
    let mut page = Page { out: String::new(), options, files };
    page.head(diagnostic);
    if let Some(at) = diagnostic.at {
        page.snippet(at);
    }
    if let Some(detail) = &diagnostic.detail {
        for line in shown(detail).trim_end().lines() {
            page.line(&format!("    {line}"));
        }
    }
    for (at, text) in &diagnostic.notes {
        page.remark("note", Paint::Note, *at, text);
    }
    if let Some(hint) = &diagnostic.hint {
        page.remark("hint", Paint::Hint, None, hint);
    }
    page.out
}

/// Text without characters that would steer the terminal: names and values of the user may hold any.
fn shown(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(steers) { text.replace(steers, "\u{fffd}").into() } else { text.into() }
}

#[derive(Clone, Copy)]
enum Paint {
    Error,
    Warning,
    Note,
    Hint,
    Gutter,
    Strong,
}

impl Paint {
    /// Parameters of the escape sequence that selects it.
    fn code(self) -> &'static str {
        match self {
            Paint::Error => "1;31",
            Paint::Warning => "1;33",
            Paint::Note => "1;36",
            Paint::Hint => "1;32",
            Paint::Gutter => "34",
            Paint::Strong => "1",
        }
    }
}

struct Page<'a> {
    out: String,
    options: RenderOptions,
    files: &'a Files,
}

impl Page<'_> {
    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.options.color && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", paint.code())
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn place(&self, at: Option<Provenance>) -> String {
        match at.and_then(|at| self.files.position(at)) {
            Some(position) => format!("{}: ", shown(&position.to_string())),
            None => String::new(),
        }
    }

    fn head(&mut self, diagnostic: &Diagnostic) {
        let (word, paint) = match self.options.severity {
            Severity::Error => ("error", Paint::Error),
            Severity::Warning => ("warning", Paint::Warning),
        };
        let code = if diagnostic.code.is_empty() { String::new() } else { format!("[{}]", diagnostic.code) };
        let label = self.paint(paint, &format!("{word}{code}"));
        let place = self.place(diagnostic.at);
        let message = self.paint(Paint::Strong, &format!("{place}{}", shown(&diagnostic.message)));
        self.line(&format!("{label}: {message}"));
    }

    fn remark(&mut self, word: &str, paint: Paint, at: Option<Provenance>, text: &str) {
        let label = self.paint(paint, word);
        let place = self.place(at);
        self.line(&format!("{label}: {place}{}", shown(text)));
    }

    /// The line that holds the place, with carets under it.
    fn snippet(&mut self, at: Provenance) {
        let Some(entry) = at.file.map(|file| self.files.get(file)) else { return };
        let Some(position) = self.files.position(at) else { return };
        if entry.text.is_empty() {
            return;
        }
        let number = position.line.to_string();
        let blank = " ".repeat(number.len());
        let room = self.options.width.saturating_sub(number.len() + 3).max(LEAST);
        let (text, carets) = quote(&entry, at, room);
        let bar = self.paint(Paint::Gutter, &format!("{blank} |"));
        self.line(&bar);
        let numbered = self.paint(Paint::Gutter, &format!("{number} |"));
        self.line(&format!("{numbered} {text}"));
        let carets = format!("{}{}", " ".repeat(carets.0), self.paint(Paint::Error, &"^".repeat(carets.1)));
        self.line(&format!("{bar} {carets}"));
    }
}

/// The line of a place as terminals can show it, within `room` columns; and first column and number of carets.
fn quote(entry: &FileEntry, at: Provenance, room: usize) -> (String, (usize, usize)) {
    let text = &*entry.text;
    let past_end = at.start as usize > text.len();
    let start = floor(text, at.start as usize);
    let line = if past_end { start } else { line_start(text, start) };
    let line = (line, line_end(text, line));
    let line_start = line.0 + if line.0 == 0 { bom_len(text.as_bytes()) } else { 0 };
    let from = start.clamp(line_start, line.1.max(line_start));
    let to = floor(text, at.end as usize).clamp(from, line.1.max(from));
    let mut cells = Cells::default();
    cells.extend(&text[line_start..from]);
    let first = cells.width;
    cells.extend(&text[from..to]);
    let end = cells.width.max(first + 1);
    cells.extend(&text[to..line.1.max(to)]);
    cells.window(first, end, room)
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Text laid out in columns: tabs become spaces, what cannot be shown becomes a replacement character.
#[derive(Default)]
struct Cells {
    /// Characters with the column where each begins.
    shown: Vec<(usize, char)>,
    width: usize,
}

impl Cells {
    fn extend(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\t' => {
                    let next = (self.width / TAB + 1) * TAB;
                    while self.width < next {
                        self.push(' ', 1);
                    }
                }
                c => match c.width() {
                    Some(width) => self.push(c, width),
                    None => self.push('\u{fffd}', 1),
                },
            }
        }
    }

    fn push(&mut self, c: char, width: usize) {
        self.shown.push((self.width, c));
        self.width += width;
    }

    /// The part of at most `room` columns that shows as much as possible of columns `first` to `end`.
    fn window(&self, first: usize, end: usize, room: usize) -> (String, (usize, usize)) {
        let from = if self.width.max(end) <= room {
            0
        } else {
            first.saturating_sub(room / 3).min(self.width.saturating_sub(room - 2))
        };
        let to = from + room - 1;
        let mut text = String::new();
        let cut = if from > 0 { "…" } else { "" };
        let mut start = from;
        for &(column, c) in self.shown.iter().filter(|(column, _)| *column >= from) {
            if text.is_empty() {
                start = column;
            }
            if column + c.width().unwrap_or(1) > to && self.width > to + 1 {
                text.push('…');
                break;
            }
            text.push(c);
        }
        let shift = usize::from(from > 0);
        let carets = end.min(to).saturating_sub(first).max(1);
        let mut line = String::new();
        let _ = write!(line, "{cut}{text}");
        (line, (first.saturating_sub(start) + shift, carets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Renders a diagnostic at the bytes of `text` between the first `«` and `»`.
    #[track_caller]
    fn check(text: &str, width: usize, expected: &str) {
        let start = text.find('«').unwrap();
        let end = text.find('»').unwrap() - '«'.len_utf8();
        let text = text.replace(['«', '»'], "");
        let files = Files::default();
        let file = files.add(Path::new("/p/a.bst"), "a.bst", None, text.into());
        let at = Provenance { file: Some(file), start: start as u32, end: end as u32 };
        let diagnostic = Diagnostic::load("invalid-data", "No").at(at);
        let rendered = render(&diagnostic, &files, RenderOptions { width, ..RenderOptions::default() });
        assert_eq!(rendered, expected, "\n{rendered}");
    }

    #[test]
    fn quotes_the_line() {
        check("a: «b»\n", 80, "error[invalid-data]: a.bst [line 1 column 3]: No\n  |\n1 | a: b\n  |    ^\n");
        check("a:\n  «»\n", 80, "error[invalid-data]: a.bst [line 2 column 2]: No\n  |\n2 |\n  |   ^\n");
        check(
            "«a: |\n  x»\n",
            80,
            "error[invalid-data]: a.bst [line 1 column 0]: No\n  |\n1 | a: |\n  | ^^^^\n",
        );
        check(
            "x\r\na: «b»\r\n",
            80,
            "error[invalid-data]: a.bst [line 2 column 3]: No\n  |\n2 | a: b\n  |    ^\n",
        );
        check(
            "x\u{2028}a: «b»\u{85}c",
            80,
            "error[invalid-data]: a.bst [line 2 column 3]: No\n  |\n2 | a: b\n  |    ^\n",
        );
        check(
            "\u{feff}«a»: b",
            80,
            "error[invalid-data]: a.bst [line 1 column 0]: No\n  |\n1 | a: b\n  | ^\n",
        );
    }

    #[test]
    fn aligns_carets() {
        check("é: «ü»\n", 80, "error[invalid-data]: a.bst [line 1 column 3]: No\n  |\n1 | é: ü\n  |    ^\n");
        check(
            "日: «本b»\n",
            80,
            "error[invalid-data]: a.bst [line 1 column 3]: No\n  |\n1 | 日: 本b\n  |     ^^^\n",
        );
        check(
            "a:\t«b\tc»\n",
            80,
            "error[invalid-data]: a.bst [line 1 column 3]: No\n  |\n1 | a:  b   c\n  |     ^^^^^\n",
        );
        check(
            "\x07«b»\n",
            80,
            "error[invalid-data]: a.bst [line 1 column 1]: No\n  |\n1 | \u{fffd}b\n  |  ^\n",
        );
    }

    #[test]
    fn cuts_long_lines() {
        let long = format!("a: {}«b»{}\n", "x".repeat(50), "y".repeat(50));
        check(
            &long,
            34,
            "error[invalid-data]: a.bst [line 1 column 53]: No\n  |\n1 | …xxxxxxxxxxbyyyyyyyyyyyyyyyyyy…\n  |            ^\n",
        );
        let end = format!("a: {}«b»\n", "x".repeat(50));
        check(
            &end,
            34,
            "error[invalid-data]: a.bst [line 1 column 53]: No\n  |\n1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxxb\n  |                             ^\n",
        );
    }

    #[test]
    fn does_not_steer_the_terminal() {
        let files = Files::default();
        let diagnostic = Diagnostic::load("x", "No \x1b[2J").note(None, "\r\x07").hint("\u{9b}1m");
        let rendered = render(&diagnostic, &files, RenderOptions::default());
        assert_eq!(rendered, "error[x]: No \u{fffd}[2J\nnote: \u{fffd}\u{fffd}\nhint: \u{fffd}1m\n");
    }

    #[test]
    fn remarks_and_colours() {
        let files = Files::default();
        let file = files.add(Path::new("/p/a.bst"), "a.bst", Some("sub.bst"), "k: v\n".into());
        let at = Provenance { file: Some(file), start: 3, end: 4 };
        let diagnostic = Diagnostic::load("", "No")
            .at(at)
            .note(Some(at), "here")
            .note(None, "nowhere")
            .hint("write it")
            .detail("more\nlines\n");
        let plain = render(&diagnostic, &files, RenderOptions::default());
        assert_eq!(
            plain,
            "error: sub.bst:a.bst [line 1 column 3]: No\n  |\n1 | k: v\n  |    ^\n    more\n    lines\n\
             note: sub.bst:a.bst [line 1 column 3]: here\nnote: nowhere\nhint: write it\n"
        );
        let options = RenderOptions { color: true, severity: Severity::Warning, ..RenderOptions::default() };
        let colored = render(&Diagnostic::load("x", "No"), &files, options);
        assert_eq!(colored, "\x1b[1;33mwarning[x]\x1b[0m: \x1b[1mNo\x1b[0m\n");
    }
}
