//! Attending to a sandbox that runs: its output, its reports, its terminal.

use crate::child::{self, Report};
use crate::jobserver::Turn;
use crate::kernel::{self, SignalsBlocked};
use crate::namespace::Sandboxed;
use crate::scratch::trouble;
use crate::server::Server;
use bourn_cas::ServedTree;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{Cancel, ErrorKind, ServiceResult};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Pid;
use std::io::Write;
use std::path::Path;

/// How often a waiting execution looks whether it was cancelled, in nanoseconds.
const PATIENCE: i64 = 20_000_000;

/// Passes on the output of a sandbox until it reports.
pub(crate) fn attend(
    sandbox: &Sandboxed,
    mut output: Option<OwnedFd>,
    foreground: Option<&Foreground>,
    (mut turn, mut served): (Option<Turn<'_>>, Option<ServedTree>),
    log: &mut dyn Write,
    cancel: &Cancel,
) -> ServiceResult<Option<Report>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if cancel.is_cancelled() {
            sandbox.kill();
            return Err(ServiceError::new(ErrorKind::Cancelled, "the command was cancelled"));
        }
        if let Some(turn) = &mut turn {
            turn.pay();
        }
        let (written, reported) = listen(sandbox.control(), output.as_ref().map(AsFd::as_fd))?;
        if written
            && let Some(pipe) = &output
            && !pass_on(pipe, log, &mut buffer)?
        {
            output = None;
        }
        if reported {
            let report = sandbox.report();
            match report {
                Ok((Some(Report::Stopped), _)) => {
                    sandbox.request(foreground.map_or(child::CONTINUE, Foreground::stop));
                    continue;
                }
                Ok((Some(Report::Served), device)) => {
                    let (tree, device) = served.take().zip(device).ok_or_else(|| {
                        trouble(Errno::MFILE, "cannot take on", Path::new("the files of a sandbox"))
                    })?;
                    sandbox.is_served_by(Server::start(tree, device)?);
                    continue;
                }
                _ => {}
            }
            if let Some(pipe) = &output {
                drain(pipe, log, &mut buffer)?;
            }
            return report
                .map(|(report, _)| report)
                .map_err(|error| trouble(error, "cannot hear from", Path::new("the sandbox")));
        }
    }
}

/// Copies what there is of the output to the log. Whether more may come.
fn pass_on(output: &OwnedFd, log: &mut dyn Write, buffer: &mut [u8]) -> ServiceResult<bool> {
    match rustix::io::read(output, &mut *buffer) {
        Ok(0) | Err(Errno::AGAIN) => Ok(false),
        Ok(length) => write_log(log, &buffer[..length]).map(|()| true),
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(trouble(error, "cannot read", Path::new("the output of the command"))),
    }
}

/// Copies the rest of the output. Everything that could write has ended, but for what a host file was passed to.
fn drain(output: &OwnedFd, log: &mut dyn Write, buffer: &mut [u8]) -> ServiceResult<()> {
    rustix::fs::fcntl_setfl(output, OFlags::NONBLOCK)
        .map_err(|error| trouble(error, "cannot read", Path::new("the output of the command")))?;
    while pass_on(output, log, buffer)? {}
    Ok(())
}

/// Waits for output, for a report, or for a while.
fn listen(control: BorrowedFd<'_>, output: Option<BorrowedFd<'_>>) -> ServiceResult<(bool, bool)> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
    let control_entry = PollFd::from_borrowed_fd(control, PollFlags::IN);
    let output_entry = PollFd::from_borrowed_fd(output.unwrap_or(control), PollFlags::IN);
    let mut entries = [control_entry, output_entry];
    match poll(&mut entries, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(trouble(error, "cannot wait for", Path::new("the sandbox"))),
    }
    let [reported, written] = entries.map(|entry| !entry.revents().is_empty());
    Ok((written && output.is_some(), reported))
}

/// Writes a line of our own to the log.
pub(crate) fn say(log: &mut dyn Write, line: &str) -> ServiceResult<()> {
    write_log(log, format!("bourn: {line}\n").as_bytes())
}

fn write_log(log: &mut dyn Write, bytes: &[u8]) -> ServiceResult<()> {
    log.write_all(bytes)
        .map_err(|error| ServiceError::io(&error, "cannot write", Path::new("the log of the command")))
}

/// Somebody killed the first process of a sandbox.
pub(crate) fn killed() -> ServiceError {
    ServiceError::new(ErrorKind::Sandbox, "the first process of a sandbox was killed")
        .hint("the machine may have run out of memory; the kernel's log says so")
}

/// The foreground of the terminal that is our input, if it is ours to pass on; it is taken back in the end.
pub(crate) struct Foreground(Pid);

impl Foreground {
    /// The terminal, if we are in its foreground.
    pub(crate) fn ours() -> Option<Foreground> {
        let own = rustix::process::getpgrp();
        let foreground = rustix::termios::tcgetpgrp(rustix::stdio::stdin()).ok()?;
        (foreground == own).then_some(Foreground(own))
    }

    fn take_back(&self) {
        // Who is in the background would be stopped by the signal for this change.
        let _blocked = SignalsBlocked::new();
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), self.0);
    }

    /// Stops this process because the command was stopped from the terminal, as a job of the user's shell. What is to
    /// be done when that shell lets it continue.
    fn stop(&self) -> u8 {
        self.take_back();
        kernel::stop_this_process();
        let again = rustix::termios::tcgetpgrp(rustix::stdio::stdin()).is_ok_and(|group| group == self.0);
        if again { child::FOREGROUND } else { child::CONTINUE }
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        self.take_back();
    }
}
