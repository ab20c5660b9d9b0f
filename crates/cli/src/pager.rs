//! Long texts on a terminal, through the user's pager.

use crate::report::reporter::write_stderr;
use crate::settings::environment::Environment;
use std::path::Path;
use std::process::{Command, Stdio};

/// Shows a file: with `PAGER`, else with `less`, else as it is.
pub(crate) fn show_file(path: &Path, environment: &Environment) {
    match std::fs::read(path) {
        Ok(bytes) => show(&bytes, environment),
        Err(error) => write_stderr(&format!("Cannot read {}: {error}\n", path.display())),
    }
}

/// Shows a text in the same way.
pub(crate) fn show(text: &[u8], environment: &Environment) {
    let wanted = environment.get("PAGER").unwrap_or("less");
    let mut words = wanted.split_whitespace();
    let Some(program) = words.next() else { return write_stderr(&String::from_utf8_lossy(text)) };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    // Short texts stay on the screen, colours are shown.
    command.env("LESS", environment.get("LESS").unwrap_or("-FRX"));
    let Ok(mut pager) = command.spawn() else { return write_stderr(&String::from_utf8_lossy(text)) };
    if let Some(mut input) = pager.stdin.take() {
        // A pager that is left early closes its input.
        let _ = std::io::Write::write_all(&mut input, text);
    }
    let _ = pager.wait();
}
