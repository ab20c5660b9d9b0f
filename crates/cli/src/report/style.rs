//! Colours, as BuildStream paints its output.

use std::fmt::Write;

/// How a piece of text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Style {
    color: Option<u8>,
    bold: bool,
    dim: bool,
}

/// What is said: names, times, numbers.
pub(crate) const CONTENT: Style = Style::color(33);
/// What holds it together: brackets, colons, titles.
pub(crate) const FORMAT: Style = Style::color(36).dim();
/// What went well.
pub(crate) const SUCCESS: Style = Style::color(32);
/// What did not.
pub(crate) const ERROR: Style = Style::color(31).dim();
/// Long texts.
pub(crate) const DETAIL: Style = Style { color: None, bold: false, dim: true };
/// As it comes.
pub(crate) const PLAIN: Style = Style { color: None, bold: false, dim: false };

impl Style {
    /// In one of the terminal's colours, by its code.
    pub(crate) const fn color(code: u8) -> Style {
        Style { color: Some(code), bold: false, dim: false }
    }

    /// The same, bold.
    pub(crate) const fn bold(self) -> Style {
        Style { bold: true, ..self }
    }

    /// The same, dimmed.
    pub(crate) const fn dim(self) -> Style {
        Style { dim: true, ..self }
    }

    /// The same, dimmed only where `dim` holds.
    pub(crate) const fn dim_if(self, dim: bool) -> Style {
        Style { dim, ..self }
    }
}

/// Paints, or leaves the paint away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Painter {
    /// Whether there is any paint.
    pub(crate) colors: bool,
}

impl Painter {
    /// The text in that style.
    pub(crate) fn paint(self, text: &str, style: Style) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        self.push(&mut out, text, style);
        out
    }

    /// Appends the text in that style.
    pub(crate) fn push(self, out: &mut String, text: &str, style: Style) {
        if !self.colors || style == PLAIN {
            out.push_str(text);
            return;
        }
        if let Some(code) = style.color {
            let _ = write!(out, "\x1b[{code}m");
        }
        if style.bold {
            out.push_str("\x1b[1m");
        }
        if style.dim {
            out.push_str("\x1b[2m");
        }
        out.push_str(text);
        out.push_str("\x1b[0m");
    }
}

/// Takes the paint off again, for files.
pub(crate) fn without_colors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        rest = &rest[at + 2..];
        match rest.find(|c: char| c.is_ascii_alphabetic()) {
            Some(end) => rest = &rest[end + 1..],
            None => return out,
        }
    }
    out.push_str(rest);
    out
}
