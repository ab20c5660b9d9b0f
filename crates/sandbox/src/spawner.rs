//! A small process that makes the first processes of sandboxes.
//!
//! Splitting off a process copies the page tables of the one that splits, which takes tens of milliseconds once a
//! large project is loaded, and keeps all threads waiting. So a process is split off early, while there is little
//! memory to copy, and makes sandboxes on request for as long as its maker lives. It has one thread and never
//! allocates. What it got of its maker's memory it gives back at once.

use crate::child::{self, Wires};
use crate::kernel::{self, Side};
use crate::namespace::{NAMESPACES, Sandboxed};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

/// Descriptors in a request: the orders, the control socket, the three streams.
const REQUEST: usize = 5;

/// Makes sandboxes.
pub(crate) struct Spawner(Mutex<Option<Nursery>>);

/// The process, and the socket on which it takes requests.
struct Nursery {
    process: OwnedFd,
    socket: OwnedFd,
}

impl Spawner {
    /// Splits off the process. Where that fails, the first request will say why.
    pub(crate) fn new() -> Spawner {
        Spawner(Mutex::new(Nursery::new().ok()))
    }

    /// Makes a sandbox that carries out `orders`.
    pub(crate) fn spawn(
        &self,
        orders: &[u8],
        streams: [BorrowedFd<'_>; 3],
        network: bool,
    ) -> Result<Sandboxed, Errno> {
        let (ours, theirs) = control_socket()?;
        let file = memfd_create(c"orders", MemfdFlags::CLOEXEC)?;
        write_all(&file, orders)?;
        let [input, output, error] = streams;
        let descriptors = [file.as_fd(), theirs.as_fd(), input, output, error];
        let header = Header { length: orders.len() as u64, network };
        let mut nursery = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked =
            nursery.as_ref().map_or(Err(Errno::PIPE), |nursery| nursery.ask(header, &descriptors));
        if let Err(Errno::PIPE) = asked {
            // It was never there or has been killed: make another one.
            *nursery = Some(Nursery::new()?);
            asked = nursery.as_ref().map_or(Err(Errno::PIPE), |nursery| nursery.ask(header, &descriptors));
        }
        asked.map(|process| Sandboxed::new(process, ours, false))
    }
}

/// The socket over which the first process of a sandbox reports.
pub(crate) fn control_socket() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The fixed part of a request.
#[derive(Clone, Copy)]
struct Header {
    length: u64,
    network: bool,
}

impl Header {
    fn encode(self) -> [u8; 9] {
        let mut bytes = [u8::from(self.network); 9];
        bytes[..8].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 9]) -> Header {
        let mut length = [0; 8];
        length.copy_from_slice(&bytes[..8]);
        Header { length: u64::from_le_bytes(length), network: bytes[8] != 0 }
    }
}

impl Nursery {
    fn new() -> Result<Nursery, Errno> {
        let (ours, theirs) = control_socket()?;
        let process = kernel::split_server(theirs.as_raw_fd(), serve)?;
        Ok(Nursery { process, socket: ours })
    }

    /// Sends a request and receives the process that was made. [`Errno::PIPE`] when there is no answer.
    fn ask(&self, header: Header, descriptors: &[BorrowedFd<'_>; REQUEST]) -> Result<OwnedFd, Errno> {
        send_with(&self.socket, &header.encode(), descriptors)?;
        let mut answer = [0; 4];
        let mut received = [const { None }; REQUEST];
        match receive_with(&self.socket, &mut answer, &mut received) {
            Ok(4) => {}
            Ok(_) | Err(Errno::CONNRESET) => return Err(Errno::PIPE),
            Err(error) => return Err(error),
        }
        let [process, ..] = received;
        process.ok_or_else(|| Errno::from_raw_os_error(i32::from_le_bytes(answer)))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
        kernel::reap(&self.process);
    }
}

/// Sends bytes and descriptors in one message.
pub(crate) fn send_with(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives a message of bytes and descriptors; how many bytes.
pub(crate) fn receive_with(
    socket: impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut [Option<OwnedFd>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            for (slot, descriptor) in descriptors.iter_mut().zip(received) {
                *slot = Some(descriptor);
            }
        }
    }
    Ok(received.bytes)
}

/// The life of the process: makes sandboxes until nobody is left to ask for one.
fn serve(socket: RawFd) -> ! {
    let kept = socket as u32;
    let socket = kernel::own(socket);
    kernel::close_range(0, kept.saturating_sub(1));
    kernel::close_range(kept + 1, u32::MAX);
    occupy_standard_streams();
    // Neither a terminal's signals nor an unmountable working directory are its business.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    let _ = rustix::thread::set_name(c"bourn-spawner");
    kernel::ignore_children();
    loop {
        let mut header = [0; 9];
        let mut descriptors = [const { None }; REQUEST];
        match receive_with(&socket, &mut header, &mut descriptors) {
            Ok(9) => {}
            _ => kernel::leave(0),
        }
        let [Some(orders), Some(control), Some(input), Some(output), Some(error)] = descriptors else {
            kernel::leave(1);
        };
        let answered = match make(Header::decode(&header), &orders, control, [input, output, error]) {
            Ok(process) => send_with(&socket, &[0; 4], &[process.as_fd()]),
            Err(error) => send_with(&socket, &error.raw_os_error().to_le_bytes(), &[]),
        };
        if answered.is_err() {
            kernel::leave(0);
        }
    }
}

/// Keeps the first three numbers from being given to descriptors that arrive.
fn occupy_standard_streams() {
    for _ in 0..3 {
        match rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(null) => {
                let _number = null.into_raw_fd();
            }
            Err(_) => kernel::leave(1),
        }
    }
}

fn make(header: Header, orders: &OwnedFd, control: OwnedFd, streams: [OwnedFd; 3]) -> Result<OwnedFd, Errno> {
    let namespaces = NAMESPACES | if header.network { 0 } else { libc::CLONE_NEWNET };
    match kernel::split(namespaces, true)? {
        Side::Parent(process) => Ok(process),
        Side::Child => {
            let Ok(orders) = kernel::map_file(orders, header.length as usize) else { kernel::leave(1) };
            let streams = streams.map(IntoRawFd::into_raw_fd);
            child::live(orders, &Wires { control: control.as_fd(), streams })
        }
    }
}
