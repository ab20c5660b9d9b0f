//! Whether a tool still does anything, for those that have no time-out of their own: `git` has none over SSH and its
//! own protocol.

use std::path::Path;
use std::time::{Duration, Instant};

/// Looks at the processes of a group, again and again.
pub(crate) struct Watch {
    group: u32,
    silence: Duration,
    /// How long nothing has been seen, as far as anybody looked.
    silent: Duration,
    looked: Instant,
    seen: Option<Activity>,
}

/// What the processes of a group have done until now (`proc(5)`).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Activity {
    /// Of each process: its number, ticks of the processor, bytes read and written, through sockets too.
    processes: Vec<[u64; 4]>,
}

impl Watch {
    /// Of a group of processes, which may do nothing for as long as `silence`.
    pub(crate) fn new(group: u32, silence: Duration) -> Watch {
        Watch { group, silence, silent: Duration::ZERO, looked: Instant::now(), seen: None }
    }

    /// Whether nothing has gone on for too long. Cheap enough to be asked often: it looks now and then.
    pub(crate) fn is_silent(&mut self) -> bool {
        let step = (self.silence / 8).min(Duration::from_secs(1));
        let passed = self.looked.elapsed();
        if passed < step {
            return false;
        }
        self.looked = Instant::now();
        let now = activity(Path::new("/proc"), self.group);
        // Where this cannot be seen, nobody is accused of it.
        if now.is_none() || now != self.seen {
            self.silent = Duration::ZERO;
        } else {
            // A machine that slept, or was busy with others, did not look for long.
            self.silent += passed.min(step * 2);
        }
        self.seen = now;
        self.silent >= self.silence
    }
}

/// What a group has done; `None` where that is not to be seen.
fn activity(proc: &Path, group: u32) -> Option<Activity> {
    let mut processes = Vec::new();
    for entry in proc.read_dir().ok()?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(ticks) = ticks(&stat, group) else { continue };
        let io = match std::fs::read_to_string(entry.path().join("io")) {
            Ok(io) => io,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) if is_ended(&stat) => continue,
            Err(_) => return None,
        };
        let [read, written] = ["rchar: ", "wchar: "].map(|name| counter(&io, name));
        processes.push([number, ticks, read?, written?]);
    }
    processes.sort_unstable();
    (!processes.is_empty()).then_some(Activity { processes })
}

/// The fields of `/proc/PID/stat` after the name of the program, which may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

/// Ticks that a process of the group has had; `None` for processes of others.
fn ticks(stat: &str, group: u32) -> Option<u64> {
    let mut fields = fields(stat);
    // State, parent, group.
    let its: u32 = fields.nth(2)?.parse().ok()?;
    if its != group {
        return None;
    }
    // Session, terminal, its group, flags, four counts of faults; then user and system time.
    let user: u64 = fields.nth(8)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Whether a process has ended and was not waited for yet.
fn is_ended(stat: &str) -> bool {
    fields(stat).next().is_some_and(|state| matches!(state, "Z" | "X"))
}

fn counter(io: &str, name: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn ticks_of_the_group() {
        let stat = "7 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 50 6 7 8 20 0 1 0 9";
        assert_eq!(ticks(stat, 42), Some(56));
        assert_eq!(ticks(stat, 43), None);
        assert_eq!(ticks("", 42), None);
        assert!(!is_ended(stat) && is_ended("7 (a) Z 1 42"));
    }

    #[test]
    fn a_tool_that_waits_is_silent_and_one_that_reads_is_not() {
        let mut cat = Command::new("cat");
        let mut cat = cat.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
        let mut input = cat.stdin.take().expect("its input");
        let now = || activity(Path::new("/proc"), cat.id());
        let settled = || {
            let mut before = now();
            loop {
                std::thread::sleep(Duration::from_millis(50));
                let after = now();
                if after == before {
                    return after;
                }
                before = after;
            }
        };
        let before = settled();
        assert!(before.is_some());
        input.write_all(b"more").expect("a pipe");
        while now() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut watch = Watch::new(cat.id(), Duration::from_millis(80));
        while !watch.is_silent() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(input);
        cat.wait().expect("it ends");
        assert_eq!(activity(Path::new("/proc"), cat.id()), None);
    }
}
