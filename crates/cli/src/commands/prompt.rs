//! Questions on the terminal.

use crate::report::reporter::write_stderr;
use std::io::BufRead;

/// Asks until `check` accepts the answer. An empty answer stands for the default, if there is one. `None` when the
/// input ended.
pub(crate) fn ask<T>(
    question: &str,
    default: Option<&str>,
    mut check: impl FnMut(&str) -> Result<T, String>,
) -> Option<T> {
    let mut input = std::io::stdin().lock();
    loop {
        match default {
            Some(default) => write_stderr(&format!("{question} [{default}]: ")),
            None => write_stderr(&format!("{question}: ")),
        }
        let mut line = String::new();
        if !input.read_line(&mut line).is_ok_and(|read| read > 0) {
            return None;
        }
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
