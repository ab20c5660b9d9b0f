//! Results on standard output.

use crate::exit::{Failure, Outcome};
use std::io::{ErrorKind, Write};

/// Prints text, which is the result of the command. A reader that has read enough is no error.
///
/// # Errors
/// Standard output cannot be written (a full disk).
pub(crate) fn result(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::app(format!("Cannot write the standard output: {error}")))
        }
        _ => Ok(0),
    }
}
