//! Following a process to its end: what it says is read meanwhile, and it is ended when asked to stop.

use crate::watch::Watch;
use bourn_reapi::services::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// A pipe that a process writes to.
pub(crate) struct Pipe {
    /// Until nobody can write to it any more.
    from: Option<OwnedFd>,
    /// What came of it.
    pub(crate) read: Vec<u8>,
}

impl Pipe {
    pub(crate) fn new(from: Option<impl Into<OwnedFd>>) -> Pipe {
        Pipe { from: from.map(Into::into), read: Vec::new() }
    }

    /// Reads what is there. What was read before an error is worth having.
    fn take(&mut self) {
        let Some(from) = &self.from else { return };
        let mut buffer = [0; 1 << 14];
        match rustix::io::read(from, &mut buffer) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => self.from = None,
            Ok(count) => self.read.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Whether it was ended because nothing went on any more.
    pub(crate) was_silent: bool,
}

/// How often it is looked whether somebody asked to stop.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Reads all that a process says and waits for its end; ends it and all that it started, its group, when asked to stop,
/// or when nothing goes on for as long as `silence`.
///
/// # Errors
/// It cannot be waited for.
pub(crate) fn follow(
    child: &mut Child,
    pipes: &mut [Pipe; 2],
    cancel: Option<&Cancel>,
    silence: Option<Duration>,
) -> io::Result<Ended> {
    let process = Pid::from_child(child);
    // Linux has these from 5.3 on; else the end is noticed at the next look.
    let end = rustix::process::pidfd_open(process, PidfdFlags::empty()).ok();
    let look = (cancel.is_some() || end.is_none()).then_some(&LOOK);
    let mut watch = silence.filter(|_| cancel.is_some()).map(|silence| Watch::new(child.id(), silence));
    let mut ended = None;
    loop {
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| Ended { status, was_silent: false });
        }
        if ended.is_none() {
            let was_silent = watch.as_mut().is_some_and(Watch::is_silent);
            if was_silent || cancel.is_some_and(Cancel::is_cancelled) {
                let _ = rustix::process::kill_process_group(process, Signal::KILL);
                ended = Some(Ended { status: child.wait()?, was_silent });
            }
        }
        match ended {
            Some(ended) if pipes.iter().all(|pipe| pipe.from.is_none()) => return Ok(ended),
            ref ended => take_from(pipes, end.as_ref().filter(|_| ended.is_none()), look)?,
        }
    }
}

/// Waits until there is something to read, or the process ended, or for as long as `look`; takes what is there.
fn take_from(pipes: &mut [Pipe; 2], end: Option<&OwnedFd>, look: Option<&Timespec>) -> io::Result<()> {
    let open = pipes.iter().filter_map(|pipe| pipe.from.as_ref());
    let mut polled: Vec<PollFd<'_>> = open.chain(end).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut polled, look) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
    let open = pipes.iter_mut().filter(|pipe| pipe.from.is_some());
    open.zip(ready).filter(|(_, ready)| *ready).for_each(|(pipe, _)| pipe.take());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    fn run(script: &str, cancel: &Cancel) -> (Ended, String, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
        let mut pipes = [Pipe::new(child.stdout.take()), Pipe::new(child.stderr.take())];
        let ended = follow(&mut child, &mut pipes, Some(cancel), None).expect("an end");
        let [stdout, stderr] = pipes.map(|pipe| String::from_utf8(pipe.read).expect("a text"));
        (ended, stdout, stderr)
    }

    #[test]
    fn all_is_read_until_nobody_writes() {
        let script = "head -c 300000 /dev/zero | tr '\\0' x; echo err >&2; (sleep 0.1; echo late) & exit 3";
        let (ended, stdout, stderr) = run(script, &Cancel::default());
        assert_eq!((ended.status.code(), stderr.as_str()), (Some(3), "err\n"));
        assert_eq!((stdout.len(), stdout.ends_with("late\n")), (300_005, true));
        // The pipes are closed before the end.
        assert_eq!(run("exec >&- 2>&-; sleep 0.1; exit 4", &Cancel::default()).0.status.code(), Some(4));
    }

    #[test]
    fn all_of_the_group_is_ended() {
        let cancel = Cancel::default();
        cancel.cancel();
        let (ended, ..) = run("sleep 1000 & sleep 1000", &cancel);
        assert_eq!(ended.status.signal(), Some(9));
    }
}
