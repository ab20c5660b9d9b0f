//! Content on its way into the store: small files in batches on a thread of its own, so that decompressing, hashing
//! and writing overlap; large ones directly.

use super::pages::Pages;
use super::{ArchiveError, ArchiveResult};
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{Cas, Digest};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Files above this are streamed.
const LARGE: u64 = 4 << 20;
/// A batch is handed over when it holds this much …
const BATCH_BYTES: usize = 8 << 20;
/// … or this many.
const BATCH_FILES: usize = 2048;

/// Takes content; answers which number its digest will have.
pub(crate) struct Blobs<'scope, 'cas> {
    cas: &'cas dyn Cas,
    batch: Batch,
    count: usize,
    batches: Option<SyncSender<Batch>>,
    stored: Receiver<ServiceResult<Batch>>,
    /// What the thread met with; nothing is stored any more then.
    failed: Option<bourn_reapi::ServiceError>,
    /// Digests by number, as far as they are known.
    known: Pages<Digest>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

/// Content of several files, one behind the other. Batches are used again: memory that is given back and asked for
/// anew costs a fault for each page, more than hashing what comes into it.
#[derive(Default)]
struct Batch {
    numbers: Vec<usize>,
    /// Where each content ends.
    ends: Vec<usize>,
    /// Longer than what is in it, so that it is not cleared for every file.
    bytes: Vec<u8>,
    digests: Vec<Digest>,
}

impl Batch {
    /// Bytes that are in it.
    fn filled(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Takes `size` bytes from a stream.
    fn take(&mut self, number: usize, from: &mut dyn Read, size: usize) -> io::Result<()> {
        let start = self.filled();
        if self.bytes.len() < start + size {
            self.bytes.resize(start + size, 0);
        }
        from.read_exact(&mut self.bytes[start..start + size])?;
        self.numbers.push(number);
        self.ends.push(start + size);
        Ok(())
    }

    fn contents(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let content = |end: &usize| &self.bytes[std::mem::replace(&mut start, *end)..*end];
        self.ends.iter().map(content).collect()
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.ends.clear();
        self.digests.clear();
    }
}

impl<'scope, 'cas> Blobs<'scope, 'cas> {
    /// Starts the thread. Not to be called by a thread of rayon's pool (see [`bourn_plan::several`]): it would wait for the
    /// one started here, which needs the pool for storing.
    pub(crate) fn start(scope: &'scope Scope<'scope, '_>, cas: &'cas dyn Cas) -> Blobs<'scope, 'cas>
    where
        'cas: 'scope,
    {
        debug_assert!(rayon::current_thread_index().is_none(), "waiting in rayon's pool");
        let (batches, incoming) = sync_channel::<Batch>(1);
        let (outgoing, stored) = channel();
        let thread = scope.spawn(move || store(cas, &incoming, &outgoing));
        Blobs {
            cas,
            batch: Batch::default(),
            count: 0,
            batches: Some(batches),
            stored,
            failed: None,
            known: Pages::default(),
            thread: Some(thread),
        }
    }

    /// Takes `size` bytes from a stream.
    ///
    /// # Errors
    /// The stream ends early or fails, the store fails.
    pub(crate) fn take(&mut self, from: &mut dyn Read, size: u64) -> ArchiveResult<usize> {
        let number = self.count;
        self.count += 1;
        if size > LARGE {
            let mut exact = Exactly { from, left: size, cut: false };
            let stored = self.cas.write_from(&mut exact);
            if exact.cut {
                return Err(cut_short());
            }
            self.know(number, stored?);
            return Ok(number);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.batch.take(number, from, size).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_short(),
            _ => ArchiveError::Read(error),
        })?;
        if self.batch.filled() >= BATCH_BYTES || self.batch.numbers.len() >= BATCH_FILES {
            self.hand_over();
        }
        Ok(number)
    }

    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if let Some(batches) = &self.batches {
            // The thread only goes away after a failure, which `finish` reports.
            let _ = batches.send(batch);
        }
        if let Ok(stored) = self.stored.try_recv() {
            self.batch = self.note(stored);
        }
    }

    fn know(&mut self, number: usize, digest: Digest) {
        while self.known.len() <= number {
            // Large files are known before small ones that came earlier.
            self.known.push(Digest::default());
        }
        self.known[number] = digest;
    }

    /// Notes what became of a batch; it is empty then.
    fn note(&mut self, stored: ServiceResult<Batch>) -> Batch {
        match stored {
            Ok(mut batch) => {
                for (number, digest) in batch.numbers.iter().zip(&batch.digests) {
                    self.know(*number, *digest);
                }
                batch.clear();
                batch
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                Batch::default()
            }
        }
    }

    /// All digests, by number.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn finish(mut self) -> ArchiveResult<Pages<Digest>> {
        self.hand_over();
        self.batches = None;
        while let Ok(stored) = self.stored.recv() {
            self.note(stored);
        }
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            return Err(ArchiveError::malformed("storing the content failed"));
        }
        Ok(self.known)
    }
}

fn store(cas: &dyn Cas, incoming: &Receiver<Batch>, outgoing: &Sender<ServiceResult<Batch>>) {
    for mut batch in incoming {
        let stored = cas.write_many(&batch.contents());
        let failed = stored.is_err();
        let stored = stored.map(|digests| {
            batch.digests = digests;
            batch
        });
        if outgoing.send(stored).is_err() || failed {
            return;
        }
    }
}

fn cut_short() -> ArchiveError {
    ArchiveError::malformed("unexpected end of data")
}

/// So many bytes and no fewer.
struct Exactly<'a> {
    from: &'a mut dyn Read,
    left: u64,
    cut: bool,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            self.cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}
