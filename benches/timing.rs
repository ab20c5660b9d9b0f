//! Running two programs in turn and comparing medians.

use std::fmt;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    let (start, child) = started(command)?;
    finished(command, start, child)
}

/// The same, and the most memory in bytes that the process itself (not what it started) had at a time.
///
/// # Errors
/// Those of [`timed`].
pub(crate) fn measured(command: &mut Command) -> Result<(Duration, u64), String> {
    let (start, child) = started(command)?;
    let status = format!("/proc/{}/status", child.id());
    let (ended, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let elapsed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(high_water(&status).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let elapsed = finished(command, start, child);
        ended.store(true, Ordering::Relaxed);
        elapsed
    })?;
    Ok((elapsed, peak.into_inner()))
}

/// What the kernel counts of the time of processors: of a process itself, or of the children that it waited for.
pub(crate) enum Processors<'a> {
    /// Of the process whose number this is.
    Of(&'a Child),
    /// Of everything that this process started and that ended, with what that started.
    OfEnded,
}

impl Processors<'_> {
    /// How much it is so far, to 10 ms: in `/proc/PID/stat`, as `proc(5)` describes it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(&self) -> Result<Duration, String> {
        // Counted from the field behind the name of the program, which may have blanks in it.
        let (path, first) = match self {
            Processors::Of(child) => (format!("/proc/{}/stat", child.id()), 11),
            Processors::OfEnded => ("/proc/self/stat".to_owned(), 13),
        };
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(first).take(2);
        let ticks: Result<Vec<u64>, _> = fields.map(str::parse).collect();
        match ticks.as_deref() {
            Ok([user, system]) => Ok(Duration::from_millis(10 * (user + system))),
            _ => Err(format!("{path} is not understood")),
        }
    }
}

/// The high-water mark of resident memory in bytes, which the kernel keeps.
fn high_water(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn started(command: &mut Command) -> Result<(Instant, Child), String> {
    let start = Instant::now();
    let streams = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = streams.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    Ok((start, child))
}

fn finished(command: &Command, start: Instant, child: Child) -> Result<Duration, String> {
    let output = child.wait_with_output().map_err(|error| format!("{command:?}: {error}"))?;
    let elapsed = start.elapsed();
    if output.status.success() {
        return Ok(elapsed);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let skip = text.lines().count().saturating_sub(25);
    let tail: Vec<&str> = text.lines().skip(skip).collect();
    Err(format!("{command:?}: {}\n{}", output.status, tail.join("\n")))
}
