//! Timed runs of bourn beside bst on the same inputs.

use crate::shell::Outcome;

/// Runs the figures whose names contain one of `wanted`; all without any.
///
/// # Errors
/// When a run failed.
pub(crate) fn run(wanted: &[String]) -> Outcome {
    Err(format!("no figures yet: {wanted:?}"))
}
