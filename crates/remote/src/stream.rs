//! Blobs too large for batches, piece by piece, resumed where a connection broke.

use crate::fault::{Attempt, Fault};
use crate::link::{Lane, as_status, blocking, carried};
use crate::message::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use crate::storage::{LEVEL, Storage};
use crate::tries::End;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{Cas, Digest, ServiceError};
use prost::bytes::Bytes;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Status};

const READ: &str = "/google.bytestream.ByteStream/Read";
const WRITE: &str = "/google.bytestream.ByteStream/Write";
const QUERY: &str = "/google.bytestream.ByteStream/QueryWriteStatus";

/// Bytes that are sent at a time.
pub(crate) const PIECE: usize = 128 << 10;

/// The largest window of a compressed stream, as a power of two: so much memory it may take. Whoever compresses with
/// larger ones is asked for the blob as it is.
const WINDOW: u32 = 25;

/// Pieces that may wait for the disk or the network.
pub(crate) const WAITING: usize = 16;

impl Storage {
    fn resource(&self, middle: &str, digest: &Digest) -> String {
        match self.link.instance() {
            "" => format!("{middle}/{digest}"),
            instance => format!("{instance}/{middle}/{digest}"),
        }
    }

    /// Brings one blob into the local store; compressed if the server can, and plain where that does not work.
    ///
    /// # Errors
    /// It is not there, not what its digest says, or the server failed; the local store failed.
    pub(crate) async fn download_blob(&self, lane: Lane, cas: &Arc<dyn Cas>, digest: &Digest) -> Attempt<()> {
        let _turn = self.stream_turn(lane).await;
        if self.abilities().await?.zstd {
            match self.download_as(cas, digest, true).await {
                // Whoever fell silent would do so again.
                Err(Fault::Remote(error))
                    if !matches!(error.kind, ErrorKind::Missing | ErrorKind::TimedOut) => {}
                result => return result,
            }
        }
        self.download_as(cas, digest, false).await
    }

    async fn download_as(&self, cas: &Arc<dyn Cas>, digest: &Digest, packed: bool) -> Attempt<()> {
        let (pieces, receiver) = channel(WAITING);
        let (store, size) = (cas.clone(), digest.size);
        let stored = tokio::spawn(blocking(move || store_pieces(&*store, receiver, size, packed)));
        let sent = match packed {
            true => self.receive_packed(digest, &pieces).await,
            false => self.receive(digest, &pieces).await,
        };
        if sent.is_err() {
            // Whoever waits for more learns that nothing comes.
            let _ = pieces.send(Err(io::Error::other("the transfer was broken off"))).await;
        }
        drop(pieces);
        let stored = match stored.await {
            Ok(stored) => stored,
            Err(error) => Err(Fault::remote(ErrorKind::Io, format!("the transfer was ended: {error}"))),
        };
        match (sent, stored) {
            (Ok(()), Ok(found)) if found == *digest => Ok(()),
            (Ok(()) | Err(Ended::Unread), Ok(_)) => Err(self.corrupt(digest)),
            // What cannot be unpacked ends as an error of reading.
            (_, Err(Fault::Local(error))) if packed && error.kind == ErrorKind::Io => {
                Err(self.corrupt(digest))
            }
            // A full disk ends the transfer too, and is what has to be told.
            (Ok(()) | Err(Ended::Unread), Err(fault)) => Err(fault),
            (Err(Ended::Fault(fault)), _) => Err(fault),
        }
    }

    /// Hands on the pieces of a blob; goes on where a connection broke.
    async fn receive(&self, digest: &Digest, pieces: &Sender<io::Result<Bytes>>) -> Result<(), Ended> {
        let name = self.resource("blobs", digest);
        let done = AtomicU64::new(0);
        let read = || async {
            let start = done.load(Ordering::Relaxed);
            if start == digest.size {
                return Ok(());
            }
            let mut stream = self.open_read(&name, start).await?;
            while let Some(answer) = stream.message().await? {
                let now =
                    done.fetch_add(answer.data.len() as u64, Ordering::Relaxed) + answer.data.len() as u64;
                if now > digest.size {
                    return Err(Status::data_loss("more came than the digest says"));
                }
                self.hand_on(pieces, answer.data).await?;
            }
            match done.load(Ordering::Relaxed) == digest.size {
                true => Ok(()),
                false => Err(Status::unavailable("the stream ended too early")),
            }
        };
        // By pieces: a stream that never has more than a few bytes gets nowhere.
        let far = || done.load(Ordering::Relaxed) / PIECE as u64;
        match self.link.persist_from(READ, far, || self.link.while_moving(read())).await {
            Ok(received) => received.map_err(|status| self.ended(digest, status)),
            Err(fault) => Err(Ended::Fault(fault)),
        }
    }

    /// The same of a compressed stream, which cannot be resumed in the middle.
    async fn receive_packed(&self, digest: &Digest, pieces: &Sender<io::Result<Bytes>>) -> Result<(), Ended> {
        let name = self.resource("compressed-blobs/zstd", digest);
        let most = most_packed(digest.size);
        let read = async {
            let mut stream = self.open_read(&name, 0).await?;
            let mut came = 0;
            while let Some(answer) = stream.message().await? {
                came += answer.data.len() as u64;
                if came > most {
                    return Err(Status::data_loss("more came than the digest says"));
                }
                self.hand_on(pieces, answer.data).await?;
            }
            Ok(())
        };
        self.link.while_moving(read).await.map_err(|status| self.ended(digest, status))
    }

    async fn open_read(&self, name: &str, offset: u64) -> Result<tonic::Streaming<ReadResponse>, Status> {
        let question = ReadRequest {
            resource_name: name.to_owned(),
            read_offset: i64::try_from(offset).unwrap_or(i64::MAX),
            read_limit: 0,
        };
        self.link.download(Lane::Bulk, READ, question).await
    }

    async fn hand_on(&self, pieces: &Sender<io::Result<Bytes>>, data: Bytes) -> Result<(), Status> {
        let sent = self.link.traffic.keep(pieces.send(Ok(data))).await;
        sent.map_err(|_| Status::cancelled(UNREAD))
    }

    fn ended(&self, digest: &Digest, status: Status) -> Ended {
        if let Some(fault) = carried(&status) {
            return Ended::Fault(fault);
        }
        match status.code() {
            Code::Cancelled if status.message() == UNREAD => Ended::Unread,
            Code::NotFound => Ended::Fault(self.missing(digest)),
            Code::DataLoss => Ended::Fault(self.corrupt(digest)),
            Code::DeadlineExceeded => Ended::Fault(self.link.set_down(READ, &status)),
            _ => Ended::Fault(self.link.fault(READ, &status)),
        }
    }

    /// Sends one blob out of the local store.
    ///
    /// # Errors
    /// The server failed; the local store does not hold the blob.
    pub(crate) async fn upload_blob(&self, cas: &Arc<dyn Cas>, digest: &Digest) -> Attempt<()> {
        let _turn = self.stream_turn(Lane::Bulk).await;
        let begun = self.link.breaks();
        if !self.abilities().await?.zstd || !self.upload_packed(cas, digest).await? {
            self.upload_plain(cas, digest).await?;
        }
        self.learn(&[*digest], begun);
        Ok(())
    }

    /// Sends a blob compressed, in one go. Whether that worked; where it did not, for whatever reason, the blob is sent
    /// as it is.
    async fn upload_packed(&self, cas: &Arc<dyn Cas>, digest: &Digest) -> Attempt<bool> {
        let name = self.resource(&format!("uploads/{}/compressed-blobs/zstd", identifier()), digest);
        let (store, own) = (cas.clone(), *digest);
        match self.write_parts(move |pieces| pack_pieces(&*store, &own, name, pieces)).await {
            Ok((committed, sent)) => self.is_accepted(digest, committed, sent).await,
            Err(status) => match carried(&status) {
                Some(fault @ Fault::Local(_)) => Err(fault),
                // Whoever fell silent would do so again.
                None if status.code() == Code::DeadlineExceeded => Err(self.link.set_down(WRITE, &status)),
                _ => {
                    self.link.note_break(&status);
                    Ok(false)
                }
            },
        }
    }

    /// Sends a blob as it is; goes on where a connection broke.
    async fn upload_plain(&self, cas: &Arc<dyn Cas>, digest: &Digest) -> Attempt<()> {
        let fresh = || self.resource(&format!("uploads/{}/blobs", identifier()), digest);
        let mut name = fresh();
        let mut tries = self.link.tries();
        let mut sent = self.link.credentials();
        let mut crowd = self.link.crowd();
        let (mut offset, mut furthest, mut has_broken) = (0, 0, false);
        loop {
            self.link.begin(&mut tries);
            let mut status = match self.write(cas, digest, &name, offset).await {
                Ok(committed) if self.is_accepted(digest, committed, digest.size).await? => return Ok(()),
                Ok(committed) => Status::unavailable(format!("only {committed} bytes were accepted")),
                Err(status) => status,
            };
            if let Some(fault) = carried(&status) {
                return Err(fault);
            }
            if status.code() == Code::Unauthenticated && self.link.has_newer(sent.as_ref()) {
                sent = self.link.credentials();
                status = Status::unavailable("the access token was renewed");
            }
            // What was on its way when an upload broke off may be taken only after the server has said how much it has.
            // Then it refuses to go on from there; nothing comes between under another name.
            if has_broken && matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) {
                name = fresh();
                status = Status::unavailable(status.message());
            }
            if crowd.gives_way(&status).await {
                continue;
            }
            match self.link.again(&mut tries, &status).await {
                Ok(()) => {}
                Err(End::Refused) => return Err(self.link.fault(WRITE, &status)),
                Err(End::Gone) => return Err(self.link.set_down(WRITE, &status)),
            }
            has_broken = true;
            // A server that has more than there is, is told everything again.
            offset =
                Some(self.committed(&name).await?).filter(|committed| *committed <= digest.size).unwrap_or(0);
            if offset > furthest {
                furthest = offset;
                tries.progressed();
            }
            // It may have ended well without being able to say so.
            if offset == 0 && self.find_missing(&[*digest]).await?.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether the server has a blob now, of which it says that so many bytes were committed; `sent` were. What it had
    /// before needs not come to its end: the size that it has is committed then, or -1 where it was sent compressed.
    async fn is_accepted(&self, digest: &Digest, committed: i64, sent: u64) -> Attempt<bool> {
        if committed == -1 || u64::try_from(committed).is_ok_and(|size| size == sent || size == digest.size) {
            return Ok(true);
        }
        Ok(self.find_missing(&[*digest]).await?.is_empty())
    }

    /// Sends a blob from `offset` on; how much of it is committed.
    async fn write(
        &self,
        cas: &Arc<dyn Cas>,
        digest: &Digest,
        name: &str,
        offset: u64,
    ) -> Result<i64, Status> {
        let (store, digest, name) = (cas.clone(), *digest, name.to_owned());
        let read = move |pieces: &Sender<WriteRequest>| read_pieces(&*store, &digest, name, offset, pieces);
        self.write_parts(read).await.map(|(committed, _)| committed)
    }

    /// Sends what `read` hands out, and says how much was accepted, and what `read` came to.
    async fn write_parts(
        &self,
        read: impl FnOnce(&Sender<WriteRequest>) -> ServiceResult<u64> + Send + 'static,
    ) -> Result<(i64, u64), Status> {
        let (pieces, mut waiting) = channel(WAITING);
        let reader = tokio::task::spawn_blocking(move || read(&pieces));
        let (parts, receiver) = channel(1);
        let answer = self.link.upload::<WriteRequest, WriteResponse>(WRITE, Parts(receiver));
        let hand_on = async move {
            while let Some(part) = waiting.recv().await
                && parts.send(part).await.is_ok()
            {}
        };
        // A server that answers early may leave the rest on its way for ever. Whoever reads it is not kept by that.
        let mut answer = std::pin::pin!(self.link.while_moving(answer));
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = hand_on => answer.await,
        };
        let sent = match reader.await {
            Ok(Err(error)) => return Err(as_status(error)),
            Ok(Ok(sent)) => sent,
            Err(error) => return Err(Status::internal(format!("reading was ended: {error}"))),
        };
        Ok((answer?.committed_size, sent))
    }

    /// How much of an upload the server has.
    async fn committed(&self, name: &str) -> Attempt<u64> {
        let question = QueryWriteStatusRequest { resource_name: name.to_owned() };
        let answer: Result<QueryWriteStatusResponse, Status> =
            self.link.unary_status(Lane::Talk, QUERY, question).await?;
        Ok(answer.map_or(0, |answer| u64::try_from(answer.committed_size).unwrap_or(0)))
    }
}

/// What [`Storage::hand_on`] says when the one who stores has given up.
const UNREAD: &str = "nobody takes the pieces";

/// Why a download ended.
enum Ended {
    /// Storing it did not work.
    Unread,
    /// The server failed.
    Fault(Fault),
}

/// Stores what comes. The digest of that.
pub(crate) fn store_pieces(
    cas: &dyn Cas,
    receiver: Receiver<io::Result<Bytes>>,
    size: u64,
    packed: bool,
) -> ServiceResult<Digest> {
    let mut incoming = Incoming { receiver, current: Bytes::new(), left: size };
    if !packed {
        return cas.write_from(&mut incoming);
    }
    // Of a stream that unpacks to more than it should, one byte too many is enough to see it.
    let unreadable = |error: io::Error| {
        ServiceError::new(ErrorKind::Io, format!("cannot read a compressed stream: {error}"))
    };
    let mut decoder = zstd::stream::read::Decoder::new(Endless(&mut incoming)).map_err(unreadable)?;
    decoder.window_log_max(WINDOW).map_err(unreadable)?;
    cas.write_from(&mut decoder.take(size.saturating_add(1)))
}

/// Pieces that come from the network, read by a thread that blocks.
struct Incoming {
    receiver: Receiver<io::Result<Bytes>>,
    current: Bytes,
    /// Not used up by compressed streams.
    left: u64,
}

impl Incoming {
    fn fill(&mut self) -> io::Result<bool> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn take_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.fill()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.take_into(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// The same, of unknown length.
struct Endless<'a>(&'a mut Incoming);

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take_into(buffer)
    }
}

/// The parts of an upload.
struct Parts(Receiver<WriteRequest>);

impl Stream for Parts {
    type Item = WriteRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WriteRequest>> {
        self.0.poll_recv(context)
    }
}

/// The most bytes that a blob of a size has compressed; whatever has more never comes to its end. zstd adds less than a
/// hundredth to what cannot be compressed, and a few bytes for each frame.
fn most_packed(size: u64) -> u64 {
    (size + size / 16).saturating_add(1 << 20)
}

/// The error for a blob of the local store that cannot be read.
pub(crate) fn unreadable(digest: &Digest, error: &io::Error) -> ServiceError {
    ServiceError::new(ErrorKind::Io, format!("cannot read blob {digest}: {error}"))
}

/// Reads a blob and hands it on compressed, piece by piece; ends early when nobody takes the pieces any more. How many
/// bytes were handed on.
fn pack_pieces(
    cas: &dyn Cas,
    digest: &Digest,
    name: String,
    pieces: &Sender<WriteRequest>,
) -> ServiceResult<u64> {
    let packed = zstd::stream::read::Encoder::new(cas.open(digest)?, LEVEL);
    let mut packed = packed.map_err(|error| unreadable(digest, &error))?;
    let mut offset = 0;
    loop {
        let mut data = Vec::with_capacity(PIECE);
        let read = packed.by_ref().take(PIECE as u64).read_to_end(&mut data);
        read.map_err(|error| unreadable(digest, &error))?;
        let write_offset = i64::try_from(offset).unwrap_or(i64::MAX);
        offset += data.len() as u64;
        let finish_write = data.len() < PIECE;
        let part =
            WriteRequest { resource_name: name.clone(), write_offset, finish_write, data: data.into() };
        if pieces.blocking_send(part).is_err() || finish_write {
            return Ok(offset);
        }
    }
}

/// Reads a blob piece by piece; ends early when nobody takes the pieces any more. How far it came.
fn read_pieces(
    cas: &dyn Cas,
    digest: &Digest,
    name: String,
    mut offset: u64,
    pieces: &Sender<WriteRequest>,
) -> ServiceResult<u64> {
    let file = cas.open(digest)?;
    loop {
        let left = digest.size - offset;
        let mut data = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        file.read_exact_at(&mut data, offset).map_err(|error| unreadable(digest, &error))?;
        let write_offset = i64::try_from(offset).unwrap_or(i64::MAX);
        offset += data.len() as u64;
        let part = WriteRequest {
            resource_name: name.clone(),
            write_offset,
            finish_write: offset == digest.size,
            data: data.into(),
        };
        if pieces.blocking_send(part).is_err() || offset == digest.size {
            return Ok(offset);
        }
    }
}

/// A name for an upload that no other has: a UUID of version 4 in its form.
fn identifier() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Keys of the standard library's hash tables are random, and differ each time.
    let (a, b) = (RandomState::new().hash_one(std::process::id()), RandomState::new().hash_one("upload"));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}
