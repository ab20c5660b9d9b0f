//! Splitting off the first process of a sandbox into namespaces of its own, and talking to it.

use crate::child::{self, REPORT, Report, Wires};
use crate::kernel::{self, Side, SignalsBlocked};
use crate::server::Server;
use crate::spawner::{control_socket, receive_with};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::process::{Signal, pidfd_send_signal};
use std::sync::{Mutex, PoisonError};

/// The namespaces of every sandbox; the network is the only one that may be shared with the host.
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// A sandbox that was started. Dropping it kills whatever runs in it.
pub(crate) struct Sandboxed {
    process: OwnedFd,
    control: OwnedFd,
    /// Whether the first process is a child of ours, so that it has to be reaped.
    child: bool,
    /// Who shows its tree, if that is not laid out. The last to go.
    server: Mutex<Option<Server>>,
}

/// Starts a sandbox that carries out `orders` (see [`crate::orders::Orders::encode`]) directly from this process, so
/// that it belongs to the same session and may use its terminal.
pub(crate) fn split(orders: &[u8], streams: [BorrowedFd<'_>; 3], network: bool) -> Result<Sandboxed, Errno> {
    let (ours, theirs) = control_socket()?;
    let namespaces = NAMESPACES | if network { 0 } else { libc::CLONE_NEWNET };
    let wires = Wires { control: theirs.as_fd(), streams: streams.map(|stream| stream.as_raw_fd()) };
    let _blocked = SignalsBlocked::new();
    match kernel::split(namespaces, false)? {
        Side::Child => child::live(orders, &wires),
        Side::Parent(process) => Ok(Sandboxed::new(process, ours, true)),
    }
}

impl Sandboxed {
    /// What is known of a sandbox: its first process, the socket to it, and whether that process is a child of ours.
    pub(crate) fn new(process: OwnedFd, control: OwnedFd, child: bool) -> Sandboxed {
        Sandboxed { process, control, child, server: Mutex::default() }
    }

    /// Becomes readable when there is a report.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The report that is there, or `None` if the first process ended without one; and the descriptor with it.
    pub(crate) fn report(&self) -> Result<(Option<Report>, Option<OwnedFd>), Errno> {
        let mut bytes = [0; REPORT];
        let mut descriptor = [None];
        match receive_with(&self.control, &mut bytes, &mut descriptor) {
            Ok(REPORT) => {
                let [descriptor] = descriptor;
                Ok((Report::decode(&bytes), descriptor))
            }
            Ok(_) | Err(Errno::CONNRESET) => Ok((None, None)),
            Err(error) => Err(error),
        }
    }

    /// Keeps the server of the sandbox's tree for as long as the sandbox lives.
    pub(crate) fn is_served_by(&self, server: Server) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// Sends a request ([`child::STOP`], [`child::CONTINUE`]); one that comes too late is lost.
    pub(crate) fn request(&self, request: u8) {
        let _ = send(&self.control, &[request], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Ends everything in the sandbox at once.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Waits until nothing of the sandbox is left, mounts included.
    fn wait(&self) {
        if self.child {
            return kernel::reap(&self.process);
        }
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        while let Err(Errno::INTR) = poll(&mut ended, None) {}
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        self.kill();
        self.wait();
    }
}
