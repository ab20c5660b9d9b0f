//! What the first process of a sandbox does: prepare the sandbox, start the command, outlive it, end everything.
//!
//! It is the `init` of its pid namespace: orphans become its children and are reaped, and nothing survives it.
//! Nothing here allocates, panics or returns (see [`kernel::split`]).

#![allow(clippy::result_large_err, clippy::large_enum_variant, reason = "nothing may be allocated here")]

use crate::kernel::{self, Pointers, Program, Refused};
use crate::mount;
use crate::orders::Reader;
use crate::spawner::send_with;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, Signal, WaitOptions, wait};
use std::ffi::CStr;

/// The descriptors that the first process holds.
pub(crate) struct Wires<'a> {
    /// Reports go out, requests come in; when the other side is gone, so is the sandbox.
    pub(crate) control: BorrowedFd<'a>,
    /// What become standard input, output and error of the command.
    pub(crate) streams: [RawFd; 3],
}

/// A request: stop every process but the first.
pub(crate) const STOP: u8 = b's';
/// A request: let every process continue.
pub(crate) const CONTINUE: u8 = b'c';
/// A request: let the command continue in the foreground of its terminal.
pub(crate) const FOREGROUND: u8 = b'f';

/// What was being done when the preparation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Step {
    /// The orders end too early: a fault of this program.
    Orders,
    /// Writing the maps of user and group ids.
    Identity,
    /// Host name, loopback device.
    Network,
    /// Opening a layer of the root.
    Layer,
    /// Mounting the overlay.
    Overlay,
    /// Mounting a tree that is served.
    Serve,
    /// Mounting the directory that is the root.
    Root,
    /// Mounting a part of the layers in the root.
    Part,
    /// Changing the root.
    Enter,
    /// `/proc`.
    Proc,
    /// `/dev`.
    Device,
    /// `/tmp`.
    Temporary,
    /// Making a path read-only.
    Freeze,
    /// A host file or directory.
    Bind,
    /// Giving up capabilities.
    Privilege,
    /// Making the process of the command.
    Process,
    /// Entering the working directory.
    Directory,
    /// Streams and terminal of the command.
    Streams,
    /// Executing the command.
    Program,
}

impl Step {
    const ALL: [Step; 19] = [
        Step::Orders,
        Step::Identity,
        Step::Network,
        Step::Layer,
        Step::Overlay,
        Step::Serve,
        Step::Root,
        Step::Part,
        Step::Enter,
        Step::Proc,
        Step::Device,
        Step::Temporary,
        Step::Freeze,
        Step::Bind,
        Step::Privilege,
        Step::Process,
        Step::Directory,
        Step::Streams,
        Step::Program,
    ];
}

const TEXT: usize = 256;

/// A step that failed: why, and on what.
pub(crate) struct Failure {
    /// The step.
    pub(crate) step: Step,
    /// What the kernel said.
    pub(crate) error: Errno,
    subject: [u8; TEXT],
    note: [u8; TEXT],
}

impl Failure {
    /// The orders could not be read.
    pub(crate) const MALFORMED: Failure =
        Failure { step: Step::Orders, error: Errno::INVAL, subject: [0; TEXT], note: [0; TEXT] };

    /// Adds what the kernel wrote about a failed mount.
    pub(crate) fn with_note_from(mut self, context: impl AsFd) -> Failure {
        if rustix::io::read(context, &mut self.note[..TEXT - 1]).is_err() {
            self.note[0] = 0;
        }
        self
    }

    /// The path or name concerned.
    pub(crate) fn subject(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.subject).unwrap_or(c"")
    }

    /// What the kernel had to say beyond the error, or nothing.
    pub(crate) fn note(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.note).unwrap_or(c"")
    }
}

/// Turns an error of the kernel into a [`Failure`] of that step on that subject (cut if it is very long).
pub(crate) fn at(step: Step, subject: &CStr) -> impl FnOnce(Errno) -> Failure {
    move |error| {
        let mut failure = Failure { step, error, ..Failure::MALFORMED };
        for (to, from) in failure.subject[..TEXT - 1].iter_mut().zip(subject.to_bytes()) {
            *to = *from;
        }
        failure
    }
}

/// What the first process reports.
pub(crate) enum Report {
    /// The sandbox could not be prepared, or the command not be started.
    Failed(Failure),
    /// The command has been stopped from its terminal.
    Stopped,
    /// A descriptor comes along on which the kernel asks what is in the served tree.
    Served,
    /// The command has ended with this status (as `wait` gives it), and so has everything else in the sandbox.
    Ended {
        /// Status as `wait` gives it.
        status: i32,
        /// No further process could be made in the sandbox at that time.
        crowded: bool,
    },
}

/// Largest report, in bytes.
pub(crate) const REPORT: usize = 8 + 2 * TEXT;

impl Report {
    fn encode(&self) -> [u8; REPORT] {
        let mut bytes = [0; REPORT];
        match self {
            Report::Stopped => bytes[0] = 2,
            Report::Served => bytes[0] = 3,
            Report::Ended { status, crowded } => {
                bytes[0] = 1;
                bytes[1] = u8::from(*crowded);
                bytes[4..8].copy_from_slice(&status.to_le_bytes());
            }
            Report::Failed(failure) => {
                bytes[1] = failure.step as u8;
                bytes[4..8].copy_from_slice(&failure.error.raw_os_error().to_le_bytes());
                bytes[8..8 + TEXT].copy_from_slice(&failure.subject);
                bytes[8 + TEXT..].copy_from_slice(&failure.note);
            }
        }
        bytes
    }

    /// Reads a report; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8; REPORT]) -> Option<Report> {
        let number = i32::from_le_bytes(*bytes[4..].first_chunk()?);
        match bytes[0] {
            1 => return Some(Report::Ended { status: number, crowded: bytes[1] != 0 }),
            2 => return Some(Report::Stopped),
            3 => return Some(Report::Served),
            _ => {}
        }
        Some(Report::Failed(Failure {
            step: *Step::ALL.get(usize::from(bytes[1]))?,
            error: Errno::from_raw_os_error(number),
            subject: *bytes[8..].first_chunk()?,
            note: *bytes[8 + TEXT..].first_chunk()?,
        }))
    }
}

/// The life of the first process.
pub(crate) fn live(orders: &[u8], wires: &Wires<'_>) -> ! {
    let report = match prepare(&mut Reader::new(orders), wires) {
        Ok(command) => supervise(&command, wires),
        Err(failure) => Report::Failed(failure),
    };
    // If nobody listens any more there is nobody to tell.
    let _ = send(wires.control, &report.encode(), SendFlags::NOSIGNAL);
    kernel::leave(0)
}

/// Hands over the descriptor on which the kernel asks what is in the served tree.
pub(crate) fn hand_over(device: &OwnedFd, control: BorrowedFd<'_>) -> Result<(), Errno> {
    send_with(control, &Report::Served.encode(), &[device.as_fd()])
}

/// Prepares the sandbox and starts the command.
fn prepare<'a>(orders: &mut Reader<'a>, wires: &Wires<'a>) -> Result<Supervised, Failure> {
    close_all_but(wires);
    kernel::reset_signals();
    // Directories that are made here have their modes whatever the mask of whoever asked for the sandbox is.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let _ = rustix::thread::set_name(c"init");
    identify(orders)?;
    mount::mount_all(orders, wires.control)?;
    let events = kernel::child_events().map_err(at(Step::Process, c"signalfd"))?;
    kernel::leave_session_keyring();
    kernel::drop_capabilities().map_err(at(Step::Privilege, c""))?;
    kernel::hide_from_tracing().map_err(at(Step::Privilege, c""))?;
    let (command, foreground) = start(orders, wires)?;
    close_streams(wires, foreground);
    Ok(Supervised { command, events, foreground })
}

/// The command, from the time that it runs.
struct Supervised {
    command: Pid,
    /// Becomes readable when a child ends or stops.
    events: OwnedFd,
    /// Whether the command has the foreground of a terminal.
    foreground: bool,
}

/// Closes every descriptor that this process inherited and does not need: others wait for them to be closed.
fn close_all_but(wires: &Wires<'_>) {
    let [a, b, c] = wires.streams;
    let mut kept = [wires.control.as_raw_fd(), a, b, c, 0, 1, 2];
    kept.sort_unstable();
    let mut next = 3;
    for descriptor in kept {
        let descriptor = descriptor as u32;
        kernel::close_range(next, descriptor.saturating_sub(1));
        next = next.max(descriptor + 1);
    }
    kernel::close_range(next, u32::MAX);
}

/// Once the command has them, the streams are its own: whoever reads them waits for our copies to be closed.
fn close_streams(wires: &Wires<'_>, foreground: bool) {
    let terminal = foreground.then_some(wires.streams[0]);
    for descriptor in wires.streams.into_iter().chain(0..3).filter(|descriptor| Some(*descriptor) != terminal)
    {
        kernel::close_range(descriptor as u32, descriptor as u32);
    }
}

/// Takes on the ids, the host name and the network of the sandbox.
fn identify(orders: &mut Reader<'_>) -> Result<(), Failure> {
    if orders.number().ok_or(Failure::MALFORMED)? != 0 {
        kernel::do_without_setattr();
    }
    let (uid_map, gid_map) = orders.text().zip(orders.text()).ok_or(Failure::MALFORMED)?;
    let maps = [
        (c"/proc/self/setgroups", c"deny"),
        (c"/proc/self/uid_map", uid_map),
        (c"/proc/self/gid_map", gid_map),
    ];
    for (path, line) in maps {
        write_file(path, line).map_err(at(Step::Identity, path))?;
    }
    let hostname = orders.text().ok_or(Failure::MALFORMED)?;
    rustix::system::sethostname(hostname.to_bytes()).map_err(at(Step::Network, hostname))?;
    if orders.number().ok_or(Failure::MALFORMED)? != 0 {
        match kernel::switch_on_loopback() {
            Ok(()) | Err(Errno::AFNOSUPPORT) => {}
            Err(error) => return Err(at(Step::Network, c"loopback")(error)),
        }
    }
    Ok(())
}

fn write_file(path: &CStr, content: &CStr) -> Result<(), Errno> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content.to_bytes()).map(drop)
}

fn start(orders: &mut Reader<'_>, wires: &Wires<'_>) -> Result<(Pid, bool), Failure> {
    let session = orders.number().ok_or(Failure::MALFORMED)? != 0;
    let foreground = orders.number().ok_or(Failure::MALFORMED)? != 0;
    let jobserver = orders.number().ok_or(Failure::MALFORMED)? != 0;
    let directory = orders.text().ok_or(Failure::MALFORMED)?;
    let arguments = pointers(orders)?;
    let environment = pointers(orders)?;
    let mut files = *orders;
    files.number();
    let name = files.text().unwrap_or(c"");
    let files = pointers(orders)?;
    let streams = wires.streams;
    let program =
        Program { files, arguments, environment, directory, streams, session, foreground, jobserver };
    let started = kernel::start(&program).map(|command| (command, foreground));
    started.map_err(|refused| match refused {
        Refused::Process(error) => at(Step::Process, c"clone")(error),
        Refused::Directory(error) => at(Step::Directory, directory)(error),
        Refused::Preparation(error) => at(Step::Streams, c"")(error),
        Refused::Program(error) => at(Step::Program, name)(error),
    })
}

fn pointers<'a>(orders: &mut Reader<'a>) -> Result<Pointers<'a>, Failure> {
    let count = orders.number().ok_or(Failure::MALFORMED)?;
    let mut pointers = Pointers::reserve(count as usize).map_err(at(Step::Process, c"memory"))?;
    for _ in 0..count {
        pointers.push(orders.text().ok_or(Failure::MALFORMED)?);
    }
    Ok(pointers)
}

/// Waits for the command to end, reaping orphans and obeying requests; then ends all that is left.
fn supervise(supervised: &Supervised, wires: &Wires<'_>) -> Report {
    let status = loop {
        if let Some(status) = reap(supervised, wires) {
            break status;
        }
        let mut waited =
            [PollFd::new(&supervised.events, PollFlags::IN), PollFd::new(&wires.control, PollFlags::IN)];
        match poll(&mut waited, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => kernel::leave(1),
        }
        let [happened, requested] = waited.map(|entry| !entry.revents().is_empty());
        if happened {
            let _ = rustix::io::read(&supervised.events, &mut [0; 512]);
        }
        if requested {
            obey(supervised, wires);
        }
    };
    let crowded = status != 0 && !kernel::processes_can_be_made();
    end_all();
    Report::Ended { status, crowded }
}

/// Reaps what has ended, and passes on that the command was stopped. Its status, once it has ended.
fn reap(supervised: &Supervised, wires: &Wires<'_>) -> Option<i32> {
    let mut options = WaitOptions::NOHANG;
    options.set(WaitOptions::UNTRACED, supervised.foreground);
    loop {
        match wait(options) {
            Ok(Some((pid, status))) if pid == supervised.command && status.stopped() => {
                let _ = send(wires.control, &Report::Stopped.encode(), SendFlags::NOSIGNAL);
            }
            Ok(Some((pid, status))) if pid == supervised.command => return Some(status.as_raw()),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Carries out a request; ends this process, and all with it, when the other side is gone.
fn obey(supervised: &Supervised, wires: &Wires<'_>) {
    let mut request = [0; 1];
    match recv(wires.control, &mut request, RecvFlags::DONTWAIT) {
        Ok((0, _)) => kernel::leave(1),
        Ok(_) => match request[0] {
            STOP => kernel::signal_all(libc::SIGSTOP),
            CONTINUE => kernel::signal_all(libc::SIGCONT),
            FOREGROUND => {
                let _ = kernel::take_foreground(wires.streams[0], Some(supervised.command));
                let _ = rustix::process::kill_process_group(supervised.command, Signal::CONT);
            }
            _ => {}
        },
        Err(_) => {}
    }
}

/// Kills every process of the sandbox but this one, and returns when they are gone.
fn end_all() {
    kernel::signal_all(libc::SIGKILL);
    while wait(WaitOptions::empty()).is_ok() {}
}
