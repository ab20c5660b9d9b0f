//! A large download, used while it comes.
//!
//! Whoever receives it hashes it; a thread writes it to the disk; another takes it apart. So it goes through memory
//! once, in a few buffers that are used again and again. It is not written by way of the kernel's cache of files where
//! the file system allows that (`O_DIRECT`): nobody is going to read it soon, and gigabytes of it would drive out
//! what is going to be read, at the price of a fresh page for each that is written.

use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

/// Bytes of a buffer.
const BUFFER: usize = 1 << 20;
/// Buffers of one download.
const BUFFERS: usize = 8;
/// What addresses, offsets and lengths of direct writing are multiples of: a page, which is enough for every disk
/// with sectors of 4 KiB or less. Where it is not enough, writing is refused and done the ordinary way.
const ALIGNED: usize = 4096;

/// Memory for a piece of the file, beginning at an aligned address.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new() -> Buffer {
        let bytes = vec![0; BUFFER + ALIGNED];
        let start = bytes.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        Buffer { bytes, start, length: 0 }
    }

    /// Where the next piece comes into.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start + self.length..self.start + BUFFER]
    }

    /// Says that so many bytes came into it.
    pub(crate) fn fill(&mut self, count: usize) {
        self.length += count;
    }

    /// What came into it.
    pub(crate) fn content(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

/// A piece of the file, on its way to several who need it; `None` is the end.
type Piece = Option<Arc<Buffer>>;

/// Gives a buffer back when nobody else has it any more.
fn give_back(pool: &Sender<Buffer>, piece: Arc<Buffer>) {
    if let Some(mut buffer) = Arc::into_inner(piece) {
        buffer.length = 0;
        // Nobody wants it after the end.
        let _ = pool.send(buffer);
    }
}

/// A file read while it is downloaded: from its start to its end, or to an error where the download fails.
pub(crate) struct Pieces {
    pieces: Receiver<Piece>,
    pool: Sender<Buffer>,
    current: Piece,
    at: usize,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(piece) = self.current.take() {
                let rest = &piece.content()[self.at..];
                if !rest.is_empty() {
                    let count = rest.len().min(into.len());
                    into[..count].copy_from_slice(&rest[..count]);
                    self.at += count;
                    self.current = Some(piece);
                    return Ok(count);
                }
                give_back(&self.pool, piece);
            }
            if self.ended {
                return Ok(0);
            }
            self.at = 0;
            self.current = self.pieces.recv().map_err(|_| io::Error::other("the download failed"))?;
            self.ended = self.current.is_none();
        }
    }
}

impl Drop for Pieces {
    /// Whoever reads it need not read all of it, but the download waits for its buffers.
    fn drop(&mut self) {
        if let Some(piece) = self.current.take() {
            give_back(&self.pool, piece);
        }
        while !self.ended
            && let Ok(piece) = self.pieces.recv()
        {
            match piece {
                Some(piece) => give_back(&self.pool, piece),
                None => self.ended = true,
            }
        }
    }
}

/// Uses a file while it is downloaded.
pub(crate) type Beside<'a> = dyn Fn(Pieces) + Sync + 'a;

/// The way of a download from whoever receives it to those who use it.
pub(crate) struct Flow<'scope> {
    pool: Receiver<Buffer>,
    to_disk: Sender<Piece>,
    to_user: Sender<Piece>,
    refused: Arc<AtomicBool>,
    disk: ScopedJoinHandle<'scope, io::Result<()>>,
}

impl<'scope> Flow<'scope> {
    /// Begins to write to `file`, which is empty, and to use what comes.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        file: &'env File,
        beside: &'env Beside<'env>,
    ) -> Flow<'scope> {
        let (pool, free) = channel();
        for _ in 0..BUFFERS {
            let _ = pool.send(Buffer::new());
        }
        let (to_disk, pieces) = channel();
        let refused = Arc::<AtomicBool>::default();
        let disk = {
            let (pool, refused) = (pool.clone(), refused.clone());
            scope.spawn(move || write(file, &pieces, &pool, &refused))
        };
        let (to_user, pieces) = channel();
        scope.spawn(move || beside(Pieces { pieces, pool, current: None, at: 0, ended: false }));
        Flow { pool: free, to_disk, to_user, refused, disk }
    }

    /// An empty buffer; `None` when there is none after a while.
    pub(crate) fn buffer(&self, patience: Duration) -> Option<Buffer> {
        match self.pool.recv_timeout(patience) {
            Ok(buffer) => Some(buffer),
            Err(RecvTimeoutError::Timeout) => None,
            // Everybody who could give one back is gone: whoever writes says why.
            Err(RecvTimeoutError::Disconnected) => Some(Buffer::new()),
        }
    }

    /// Sends a piece on its way. Whether the disk has taken all so far.
    pub(crate) fn send(&self, buffer: Buffer) -> bool {
        let piece = Arc::new(buffer);
        // Whoever is gone does not want it.
        let _ = self.to_user.send(Some(piece.clone()));
        self.to_disk.send(Some(piece)).is_ok() && !self.refused.load(Ordering::Relaxed)
    }

    /// Waits until everything is written. Whoever uses the file is told that it is whole, or that it is not.
    ///
    /// # Errors
    /// Writing failed.
    pub(crate) fn finish(self, whole: bool) -> io::Result<()> {
        if whole {
            let _ = self.to_user.send(None);
        }
        drop((self.to_user, self.to_disk));
        match self.disk.join() {
            Ok(written) => written,
            Err(_) => Err(io::Error::other("writing ended early")),
        }
    }
}

/// Writes what comes. After an error nothing more is written, but buffers are given back until the end.
fn write(
    file: &File,
    pieces: &Receiver<Piece>,
    pool: &Sender<Buffer>,
    refused: &AtomicBool,
) -> io::Result<()> {
    let mut direct = set_direct(file, true);
    let mut written = Ok(());
    while let Ok(Some(piece)) = pieces.recv() {
        if written.is_ok() {
            written = write_piece(file, piece.content(), &mut direct);
            refused.store(written.is_err(), Ordering::Relaxed);
        }
        give_back(pool, piece);
    }
    set_direct(file, false);
    written
}

/// Writes one piece, directly as long as that is possible.
fn write_piece(mut file: &File, mut content: &[u8], direct: &mut bool) -> io::Result<()> {
    while !content.is_empty() {
        if *direct && !content.len().is_multiple_of(ALIGNED) {
            *direct = set_direct(file, false);
        }
        match file.write(content) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => content = &content[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What file systems and disks answer that want it otherwise.
            Err(error) if *direct && error.kind() == io::ErrorKind::InvalidInput => {
                *direct = set_direct(file, false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Has a file written past the kernel's cache, or by way of it. Whether it is past the cache now.
fn set_direct(file: &File, direct: bool) -> bool {
    let Ok(mut flags) = rustix::fs::fcntl_getfl(file) else { return false };
    flags.set(OFlags::DIRECT, direct);
    rustix::fs::fcntl_setfl(file, flags).is_ok() && direct
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Sends pieces of these lengths; what arrives on the disk and what is read beside it, of which `most` bytes
    /// are wanted.
    fn flow(lengths: &[usize], most: u64, whole: bool) -> (Vec<u8>, Vec<u8>, Option<io::Result<usize>>) {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("file");
        let file = File::create(&path).expect("a file");
        let seen = Mutex::new((Vec::new(), None));
        let beside = |pieces: Pieces| {
            let mut seen = seen.lock().expect("no panic");
            let result = pieces.take(most).read_to_end(&mut seen.0);
            seen.1 = Some(result);
        };
        std::thread::scope(|scope| {
            let flow = Flow::start(scope, &file, &beside);
            for (number, length) in lengths.iter().enumerate() {
                let mut buffer = flow.buffer(Duration::from_secs(60)).expect("a buffer");
                buffer.free()[..*length].fill(number as u8 + 1);
                buffer.fill(*length);
                assert!(flow.send(buffer));
            }
            flow.finish(whole).expect("written");
        });
        let (read, result) = seen.into_inner().expect("no panic");
        (std::fs::read(&path).expect("the file"), read, result)
    }

    fn expected(lengths: &[usize]) -> Vec<u8> {
        let piece = |(number, length): (usize, &usize)| vec![number as u8 + 1; *length];
        lengths.iter().enumerate().flat_map(piece).collect()
    }

    #[test]
    fn what_comes_is_written_and_read() {
        for lengths in
            [vec![], vec![1], vec![ALIGNED, 5], vec![7, ALIGNED], [vec![BUFFER; 20], vec![99]].concat()]
        {
            let (written, read, result) = flow(&lengths, u64::MAX, true);
            assert!(written == expected(&lengths), "{lengths:?}");
            assert!(read == written, "{lengths:?}");
            assert!(matches!(result, Some(Ok(_))), "{result:?}");
        }
    }

    #[test]
    fn who_stops_reading_does_not_hold_it_up() {
        let lengths = vec![BUFFER; 3 * BUFFERS];
        let (written, read, _) = flow(&lengths, 10, true);
        assert!(written == expected(&lengths));
        assert_eq!(read, [1; 10]);
    }

    #[test]
    fn a_download_that_fails_is_no_end() {
        let (written, read, result) = flow(&[5, 6], u64::MAX, false);
        assert_eq!(written, expected(&[5, 6]));
        assert_eq!(read, written);
        assert!(matches!(result, Some(Err(_))), "{result:?}");
    }
}
