//! Requests and answers of FUSE, as `linux/fuse.h` lays them out: numbers as the machine has them, fields in order.

use rustix::fs::StatVfs;
use rustix::io::Errno;

/// Bytes of the head of a request.
const HEAD: usize = 40;

/// The version that is spoken: that of Linux 6.16, before which there are no stubs to be served.
const VERSION: (u32, u32) = (7, 31);

/// The number of the uppermost directory.
pub(crate) const ROOT: u64 = 1;

/// How long the kernel may keep what it was told, in seconds: nothing ever changes.
const FOREVER: u64 = 1 << 30;

/// Switches that are wanted if the kernel has them: several threads look into one directory, directories are read
/// together with what is in them, targets of links are kept, files and directories are opened without asking.
const WANTED: u32 = 1 << 18 | 1 << 13 | 1 << 14 | 1 << 23 | 1 << 17 | 1 << 24;

/// Operations, by number.
pub(crate) mod operation {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const READ: u32 = 15;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const FLUSH: u32 = 25;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const READDIRPLUS: u32 = 44;
}

/// One request of the kernel.
pub(crate) struct Request<'a> {
    pub(crate) operation: u32,
    unique: u64,
    /// The number of the file or directory concerned.
    pub(crate) node: u64,
    rest: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a request; `None` when it ends too early.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Request<'a>> {
        let rest = bytes.get(HEAD..)?;
        Some(Request {
            operation: number(bytes, 4)?,
            unique: large(bytes, 8)?,
            node: large(bytes, 16)?,
            rest,
        })
    }

    /// The name that follows after so many bytes.
    pub(crate) fn name(&self, at: usize) -> Option<&'a str> {
        let bytes = self.rest.get(at..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    /// Where reading a directory goes on, and how many bytes there may be.
    pub(crate) fn window(&self) -> Option<(u64, usize)> {
        Some((large(self.rest, 8)?, number(self.rest, 16)? as usize))
    }

    /// How many bytes of an attribute there may be.
    pub(crate) fn room(&self) -> Option<usize> {
        Some(number(self.rest, 0)? as usize)
    }

    /// The answer to the first of all requests.
    pub(crate) fn greeting(&self) -> Option<Vec<u8>> {
        let (ahead, offered) = (number(self.rest, 8)?, number(self.rest, 12)?);
        let mut out = Vec::with_capacity(64);
        put(&mut out, [VERSION.0, VERSION.1, ahead, offered & WANTED]);
        // Requests in the background; bytes in a request that writes, of which there are none; nanoseconds.
        put(&mut out, [16 | 12 << 16]);
        put(&mut out, [4096, 1]);
        out.resize(64, 0);
        Some(out)
    }

    /// The whole answer, with its head.
    pub(crate) fn answer(&self, answer: Result<Vec<u8>, Errno>) -> Vec<u8> {
        let (body, error) = match answer {
            Ok(body) => (body, 0),
            Err(error) => (Vec::new(), -error.raw_os_error()),
        };
        let mut out = Vec::with_capacity(16 + body.len());
        put(&mut out, [16 + body.len() as u32]);
        put(&mut out, [error.cast_unsigned()]);
        put_large(&mut out, [self.unique]);
        out.extend_from_slice(&body);
        out
    }
}

/// What the kernel is told of a file, directory or link.
pub(crate) struct Attributes {
    pub(crate) node: u64,
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) time: (i64, u32),
    /// Type and permissions.
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) owner: (u32, u32),
}

impl Attributes {
    fn put(&self, out: &mut Vec<u8>) {
        const BLOCK: u32 = 4096;
        let seconds = self.time.0.cast_unsigned();
        put_large(out, [self.node, self.size, self.size.div_ceil(512), seconds, seconds, seconds]);
        let (user, group) = self.owner;
        put(out, [self.time.1; 3]);
        put(out, [self.mode, self.links, user, group, 0, BLOCK, 0]);
    }

    /// As the answer to a question for them alone.
    pub(crate) fn alone(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(104);
        put_large(&mut out, [FOREVER]);
        put_large(&mut out, [0]);
        self.put(&mut out);
        out
    }

    /// As an entry of a directory.
    pub(crate) fn entry(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_large(&mut out, [self.node, 0, FOREVER, FOREVER, 0]);
        self.put(&mut out);
        out
    }
}

/// The entry of a name that there is not.
pub(crate) fn no_entry() -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put_large(&mut out, [0, 0, FOREVER]);
    out.resize(128, 0);
    out
}

/// What is said of a file system: how large it is and how much of it is free, as of the `disk` behind it.
pub(crate) fn statistics(disk: &StatVfs) -> Vec<u8> {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(80);
    put_large(&mut out, [disk.f_blocks, disk.f_bfree, disk.f_bavail, disk.f_files, disk.f_ffree]);
    put(&mut out, [small(disk.f_bsize), small(disk.f_namemax), small(disk.f_frsize)]);
    out.resize(80, 0);
    out
}

/// The length of an attribute.
pub(crate) fn length(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    put(&mut out, [length as u32]);
    put(&mut out, [0]);
    out
}

/// A listed directory, as much of it as there is room for.
pub(crate) struct Listing {
    out: Vec<u8>,
    room: usize,
}

impl Listing {
    /// An empty one.
    pub(crate) fn new(room: usize) -> Listing {
        Listing { out: Vec::new(), room }
    }

    /// Adds an entry after which reading may go on at `next`; with all about it if there is an `entry`. `false` when
    /// there is no room for it.
    pub(crate) fn push(&mut self, node: u64, mode: u32, name: &str, next: u64, entry: Option<&[u8]>) -> bool {
        let entry = entry.unwrap_or_default();
        let length = entry.len() + (24 + name.len()).next_multiple_of(8);
        if self.out.len() + length > self.room {
            return false;
        }
        let end = self.out.len() + length;
        self.out.extend_from_slice(entry);
        put_large(&mut self.out, [node, next]);
        put(&mut self.out, [name.len() as u32, mode >> 12]);
        self.out.extend_from_slice(name.as_bytes());
        self.out.resize(end, 0);
        true
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn large(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put<const N: usize>(out: &mut Vec<u8>, values: [u32; N]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_ne_bytes()));
}

fn put_large<const N: usize>(out: &mut Vec<u8>, values: [u64; N]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_ne_bytes()));
}
