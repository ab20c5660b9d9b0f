//! Errors as people read them.

use crate::exit::Failure;
use crate::report::line::{INDENT, indent};
use crate::report::style::{Painter, Style};
use bourn_yaml::{Files, RenderOptions, Severity};

/// The whole text about a failure, with the empty line that sets it apart.
pub(crate) fn failure(failure: &Failure, files: &Files, painter: Painter) -> String {
    let mut out = String::from("\n");
    if failure.diagnostics.0.is_empty() {
        out.push_str(&failure.message);
        out.push('\n');
    } else {
        if !failure.message.is_empty() {
            out.push_str(&format!("{}:\n", failure.message));
        }
        out.push_str(&bourn_yaml::render_all(&failure.diagnostics, files, options(painter)));
    }
    if let Some(detail) = &failure.detail {
        out.push_str(&format!("\n{}\n", indent(detail.trim_end_matches('\n'), INDENT)));
    }
    if let Some(hint) = &failure.hint {
        painter.push(&mut out, "hint", Style::color(32).bold());
        out.push_str(&format!(": {hint}\n"));
    }
    out
}

fn options(painter: Painter) -> RenderOptions {
    RenderOptions { color: painter.colors, width: width(), severity: Severity::Error }
}

/// Columns of the terminal; 120 where there is none.
pub(crate) fn width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 120,
    }
}
