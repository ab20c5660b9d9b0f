//! Questions on the terminal, one at a time.

use crate::report::reporter::write_stderr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Held while a question is open.
static TURN: Mutex<()> = Mutex::new(());
/// Set while a question is open.
static OPEN: AtomicBool = AtomicBool::new(false);
/// Set when ^C was pressed at a question.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether a question is open.
pub(crate) fn is_open() -> bool {
    OPEN.load(Ordering::SeqCst)
}

/// Ends the open question without an answer.
pub(crate) fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Asks until `check` accepts the answer. An empty answer stands for the default, if there is one. `None` when the
/// input ended or ^C was pressed.
pub(crate) fn ask<T>(
    question: &str,
    default: Option<&str>,
    mut check: impl FnMut(&str) -> Result<T, String>,
) -> Option<T> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _open = Open::new();
    loop {
        match default {
            Some(default) => write_stderr(&format!("{question} [{default}]: ")),
            None => write_stderr(&format!("{question}: ")),
        }
        let Some(line) = read_line() else {
            write_stderr("\n");
            return None;
        };
        let answer = match line.trim() {
            "" => default.unwrap_or_default(),
            answer => answer,
        };
        if answer.is_empty() {
            continue;
        }
        match check(answer) {
            Ok(value) => return Some(value),
            Err(complaint) => write_stderr(&format!("Error: {complaint}\n")),
        }
    }
}

struct Open;

impl Open {
    fn new() -> Open {
        INTERRUPTED.store(false, Ordering::SeqCst);
        OPEN.store(true, Ordering::SeqCst);
        Open
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.store(false, Ordering::SeqCst);
    }
}

/// A line of standard input, byte by byte so that nothing behind it is taken; `None` at its end or when interrupted.
fn read_line() -> Option<String> {
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let stdin = std::io::stdin();
    let mut line = Vec::new();
    loop {
        if INTERRUPTED.load(Ordering::SeqCst) {
            return None;
        }
        let mut waits = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut waits, Some(&PATIENCE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut byte = [0];
        match rustix::io::read(&stdin, &mut byte) {
            Ok(1) if byte[0] == b'\n' => return Some(String::from_utf8_lossy(&line).into_owned()),
            Ok(1) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            _ if line.is_empty() => return None,
            _ => return Some(String::from_utf8_lossy(&line).into_owned()),
        }
    }
}

/// Finds the one choice that begins with the answer.
///
/// # Errors
/// None does, or several do.
pub(crate) fn choice<'a>(answer: &str, choices: &[&'a str]) -> Result<&'a str, String> {
    let fitting: Vec<&str> = choices.iter().copied().filter(|choice| choice.starts_with(answer)).collect();
    match fitting[..] {
        [one] => Ok(one),
        [] => Err(format!("`{answer}` is none of {}", choices.join(", "))),
        _ => Err(format!("`{answer}` may mean {}", fitting.join(" or "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_by_their_beginning() {
        let choices = ["continue", "quit", "terminate", "retry", "log"];
        assert_eq!(choice("c", &choices), Ok("continue"));
        assert_eq!(choice("ter", &choices), Ok("terminate"));
        assert!(choice("x", &choices).is_err());
        assert!(choice("", &choices).is_err_and(|text| text.contains("continue or quit")));
    }
}
