//! Running two programs in turn and comparing medians.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The times of one side, in the order they were taken.
#[derive(Debug, Clone, Default)]
pub struct Timed(pub Vec<Duration>);

impl Timed {
    /// The median; zero when nothing was timed.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// One comparison.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was run.
    pub what: String,
    /// bourn's times.
    pub bourn: Timed,
    /// The other side's times.
    pub peer: Timed,
    /// Name of the other side.
    pub peer_name: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.bourn.median().as_secs_f64(), self.peer.median().as_secs_f64());
        let ratio = if ours > 0.0 { theirs / ours } else { f64::NAN };
        let (what, peer) = (&self.what, self.peer_name);
        write!(f, "{what:<56} bourn {ours:>8.3} s   {peer:<6} {theirs:>8.3} s   {peer}/bourn {ratio:>7.2}")
    }
}

/// Runs `command` to its end and says how long it took.
///
/// # Errors
/// The command and the end of what it printed, when it cannot be started or fails.
pub(crate) fn timed(command: &mut Command) -> Result<Duration, String> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let elapsed = start.elapsed();
    if output.status.success() {
        return Ok(elapsed);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let skip = text.lines().count().saturating_sub(25);
    let tail: Vec<&str> = text.lines().skip(skip).collect();
    Err(format!("{command:?}: {}\n{}", output.status, tail.join("\n")))
}
