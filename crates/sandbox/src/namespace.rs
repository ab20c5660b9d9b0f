//! Splitting off the first process of a sandbox into namespaces of its own, and talking to it.

use crate::child::{self, REPORT, Report, Wires};
use crate::kernel::{self, Side, SignalsBlocked};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

/// The namespaces of every sandbox; the network is the only one that may be shared with the host.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// A sandbox that was started. Dropping it kills whatever runs in it.
pub(crate) struct Sandboxed {
    process: OwnedFd,
    control: OwnedFd,
}

/// Starts a sandbox that carries out `orders` (see [`crate::orders::Orders::encode`]).
pub(crate) fn split(orders: &[u8], streams: [BorrowedFd<'_>; 3], network: bool) -> Result<Sandboxed, Errno> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let namespaces = NAMESPACES | if network { 0 } else { libc::CLONE_NEWNET };
    let wires = Wires { control: theirs.as_fd(), streams: streams.map(|stream| stream.as_raw_fd()) };
    let _blocked = SignalsBlocked::new();
    match kernel::split(namespaces, false)? {
        Side::Child => child::live(orders, &wires),
        Side::Parent(process) => Ok(Sandboxed { process, control: ours }),
    }
}

impl Sandboxed {
    /// Becomes readable when there is a report.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The report that is there, or `None` if the first process ended without one.
    pub(crate) fn report(&self) -> Result<Option<Report>, Errno> {
        let mut bytes = [0; REPORT];
        match recv(&self.control, &mut bytes, RecvFlags::empty()) {
            Ok((REPORT, _)) => Ok(Report::decode(&bytes)),
            Ok(_) | Err(Errno::CONNRESET) => Ok(None),
            Err(error) => Err(error),
        }
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
    pub(crate) fn wait(&self) {
        // `__WALL`: the process was made without a signal for its end.
        let options = WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(0x4000_0000);
        while let Err(Errno::INTR) = waitid(WaitId::PidFd(self.process.as_fd()), options) {}
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        self.kill();
        self.wait();
    }
}
