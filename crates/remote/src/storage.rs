//! A server's blobs: which it has, and small ones many at a time.

use crate::fault::{Attempt, Fault, describe, is_passing, kind_of};
use crate::link::{Lane, Link};
use crate::message::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest, BatchUpdateBlobsResponse,
    CacheCapabilities, FindMissingBlobsRequest, FindMissingBlobsResponse, GetCapabilitiesRequest,
    GetTreeRequest, GetTreeResponse, IDENTITY, ReadBlob, SHA256, ServerCapabilities, StatusMessage,
    UpdateBlob, ZSTD,
};
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::ErrorKind;
use bourn_reapi::{Digest, Directory};
use prost::bytes::Bytes;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore};
use tonic::{Code, Status};

const CAPABILITIES: &str = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities";
const FIND_MISSING: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";
const READ: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs";
const UPDATE: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
const GET_TREE: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/GetTree";

/// gRPC refuses messages beyond this if nothing else was agreed on, whatever a server says that its limit is.
const LARGEST_BATCH: u64 = 4 << 20;

/// What a message has besides the blobs.
const PER_MESSAGE: u64 = 1024;

/// What a message has for each blob besides its content: digest, status, lengths of fields. About half of this; but
/// `buildbox-casd` reckons with 240.
pub(crate) const PER_BLOB: u64 = 256;

/// Most blobs in one message.
const MOST_BLOBS: usize = 4000;

/// Digests in one question for what is missing: 70 bytes each.
pub(crate) const DIGESTS: usize = 10_000;

/// Requests with blobs that are under way at a time, of each sort.
const AT_A_TIME: usize = 16;

/// Bytes of batches that are sent at a time: four of the largest. A server that writes each blob into a file of one
/// directory first, as `buildbox-casd` does, takes them one after the other there: its threads spin on the lock of that
/// directory, with 16 batches for a seventh of its time.
const SENDING: u32 = 16 << 20;

/// Blobs below this size do not get smaller by as much as compressing them costs.
const WORTH_COMPRESSING: usize = 1024;

/// zstd's level: about as fast as the disk.
pub(crate) const LEVEL: i32 = 1;

/// What a server can do with blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Most bytes of one message.
    batch: u64,
    /// Whether blobs can travel as zstd, alone and in answers to batches.
    pub(crate) zstd: bool,
    /// Whether blobs of batches can be sent as zstd.
    pub(crate) zstd_update: bool,
}

impl Abilities {
    /// What can be relied upon when nothing was said.
    const LEAST: Abilities =
        Abilities { batch: LARGEST_BATCH - PER_MESSAGE, zstd: false, zstd_update: false };

    fn of(capabilities: &ServerCapabilities) -> Abilities {
        let Some(cache) = &capabilities.cache_capabilities else { return Abilities::LEAST };
        let batch = match u64::try_from(cache.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => LARGEST_BATCH,
            Ok(limit) => limit.min(LARGEST_BATCH),
        };
        let (zstd, zstd_update) = cache.zstd();
        Abilities { batch: batch.saturating_sub(PER_MESSAGE), zstd, zstd_update }
    }

    /// Whether a blob is sent together with others.
    pub(crate) fn is_small(&self, digest: &Digest) -> bool {
        digest.size + PER_BLOB <= self.batch
    }

    /// Cuts blobs that are small into batches. Order is kept.
    pub(crate) fn batches(&self, digests: Vec<Digest>) -> Vec<Vec<Digest>> {
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for digest in digests {
            let size = digest.size + PER_BLOB;
            if !batch.is_empty() && (bytes + size > self.batch || batch.len() == MOST_BLOBS) {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += size;
            batch.push(digest);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

/// Blobs that a server is known to have.
struct Known {
    since: Instant,
    /// What [`Link::breaks`] said then.
    breaks: u64,
    blobs: HashSet<Digest>,
}

/// How long it is relied upon that a server still has what it had: servers drop what was not asked for in a while, and
/// asking counts.
const LASTS: Duration = Duration::from_secs(600);

impl Known {
    fn new(breaks: u64) -> Known {
        Known { since: Instant::now(), breaks, blobs: HashSet::new() }
    }

    /// Forgets everything when it was learned too long ago, or the server may have been started anew.
    fn refreshed(&mut self, link: &Link) -> &mut HashSet<Digest> {
        let breaks = link.breaks();
        if self.since.elapsed() > LASTS || self.breaks != breaks {
            *self = Known::new(breaks);
        }
        &mut self.blobs
    }
}

/// The blobs of one server.
pub(crate) struct Storage {
    /// The way there.
    pub(crate) link: Arc<Link>,
    abilities: OnceCell<Abilities>,
    /// Batches with files wait here for their turn: small ones do not wait for large ones.
    turns: Semaphore,
    /// Batches that say what else is needed wait here, and not for files.
    talk_turns: Semaphore,
    /// Streams of single blobs wait here for their turn.
    stream_turns: Semaphore,
    /// Batches that are going to be sent wait here before they are read: for as many bytes as they have.
    sending: Semaphore,
    /// What is known to be there, so that it is not asked for again.
    known: Mutex<Known>,
    /// Whether whole trees of directories can be asked for, until the server says no.
    trees: AtomicBool,
}

impl Storage {
    pub(crate) fn new(link: Arc<Link>) -> Storage {
        Storage {
            link,
            abilities: OnceCell::new(),
            turns: Semaphore::new(AT_A_TIME),
            talk_turns: Semaphore::new(AT_A_TIME),
            stream_turns: Semaphore::new(AT_A_TIME),
            sending: Semaphore::new(SENDING as usize),
            known: Mutex::new(Known::new(0)),
            trees: AtomicBool::new(true),
        }
    }

    /// Asks the server what it can do, and opens the connections for blobs meanwhile.
    ///
    /// # Errors
    /// Those of [`Storage::abilities`].
    pub(crate) async fn meet(&self) -> Attempt<()> {
        let question = || GetCapabilitiesRequest { instance_name: self.link.instance().to_owned() };
        let open = || {
            let asked = self.link.download::<_, ServerCapabilities>(Lane::Bulk, CAPABILITIES, question());
            self.link.while_moving(asked)
        };
        let (abilities, ..) = tokio::join!(self.abilities(), open(), open());
        abilities.map(drop)
    }

    /// Asks the server what it can do, once.
    ///
    /// # Errors
    /// It cannot be reached, or has no SHA-256.
    pub(crate) async fn abilities(&self) -> Attempt<Abilities> {
        self.abilities.get_or_try_init(|| self.ask_abilities()).await.copied()
    }

    /// What the server says of itself, or why it does not.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(crate) async fn capabilities(&self) -> Attempt<Result<ServerCapabilities, Status>> {
        let question = GetCapabilitiesRequest { instance_name: self.link.instance().to_owned() };
        self.link.unary_status(Lane::Talk, CAPABILITIES, question).await
    }

    /// Sees whether the server can be used for blobs, and whether it has whole trees.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) async fn probe(&self) -> Attempt<()> {
        self.abilities().await?;
        let empty = Digest::of(b"");
        self.find_missing(&[empty]).await?;
        self.tree(&empty, |_| async { Ok(false) }).await
    }

    async fn ask_abilities(&self) -> Attempt<Abilities> {
        let capabilities = match self.capabilities().await? {
            Ok(capabilities) => capabilities,
            // Servers older than this service.
            Err(status) if status.code() == Code::Unimplemented => return Ok(Abilities::LEAST),
            Err(status) => return Err(self.link.fault(CAPABILITIES, &status)),
        };
        let functions = capabilities.cache_capabilities.iter().flat_map(|cache| &cache.digest_functions);
        let functions: Vec<i32> = functions.copied().collect();
        if !functions.is_empty() && !functions.contains(&SHA256) {
            let text = format!("{}: this server does not know SHA-256 digests", self.link.url());
            return Err(Fault::remote(ErrorKind::Invalid, text));
        }
        Ok(Abilities::of(&capabilities))
    }

    /// Waits until one more batch may be sent for.
    pub(crate) async fn turn(&self, lane: Lane) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let turns = if lane == Lane::Talk { &self.talk_turns } else { &self.turns };
        turns.acquire().await.ok()
    }

    /// Waits until one more blob may be sent, or sent for, alone.
    pub(crate) async fn stream_turn(&self, lane: Lane) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let turns = if lane == Lane::Talk { &self.talk_turns } else { &self.stream_turns };
        turns.acquire().await.ok()
    }

    /// Waits until one more batch may be read into memory and sent.
    pub(crate) async fn room(&self, batch: &[Digest]) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let bytes: u64 = batch.iter().map(|digest| digest.size + PER_BLOB).sum();
        self.sending.acquire_many(u32::try_from(bytes).unwrap_or(SENDING).min(SENDING)).await.ok()
    }

    /// Which of these are not known to be there.
    pub(crate) fn unknown(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.refreshed(&self.link);
        digests.iter().filter(|digest| !known.contains(digest)).copied().collect()
    }

    /// Has it asked again whether these are there.
    pub(crate) fn forget(&self, digests: &[Digest]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in digests {
            known.blobs.remove(digest);
        }
    }

    /// Remembers what the server said that it has, in answer to a question that was asked when [`Link::breaks`] said
    /// `asked`. An answer from before something broke off tells nothing of the time after it, however late it is read.
    pub(crate) fn learn(&self, digests: &[Digest], asked: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.refreshed(&self.link);
        if known.breaks == asked {
            known.blobs.extend(digests);
        }
    }

    /// Which of at most [`DIGESTS`] blobs are not there; the others are remembered.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn find_missing(&self, digests: &[Digest]) -> Attempt<Vec<Digest>> {
        let question = FindMissingBlobsRequest {
            instance_name: self.link.instance().to_owned(),
            blob_digests: digests.iter().map(|digest| (*digest).into()).collect(),
            digest_function: SHA256,
        };
        let asked = self.link.breaks();
        let answer: FindMissingBlobsResponse = self.link.unary(Lane::Talk, FIND_MISSING, question).await?;
        let answered = answer.missing_blob_digests.iter().map(Digest::try_from);
        let missing: HashSet<Digest> = answered.collect::<Result<_, _>>().map_err(|error| {
            Fault::remote(ErrorKind::Invalid, format!("{}: FindMissingBlobs: {error}", self.link.url()))
        })?;
        let (missing, there): (Vec<Digest>, Vec<Digest>) =
            digests.iter().partition(|digest| missing.contains(digest));
        self.learn(&there, asked);
        Ok(missing)
    }

    /// The blobs of one batch, as they travelled and not compared with their digests; those that the server does not
    /// have are the second value.
    ///
    /// # Errors
    /// The server failed, or sent what was not asked for.
    pub(crate) async fn read(
        &self,
        lane: Lane,
        batch: &[Digest],
    ) -> Attempt<(Vec<(Digest, ReadBlob)>, Vec<Digest>)> {
        let abilities = self.abilities().await?;
        let mut question = BatchReadBlobsRequest {
            instance_name: self.link.instance().to_owned(),
            digests: batch.iter().map(|digest| (*digest).into()).collect(),
            acceptable_compressors: if abilities.zstd { vec![ZSTD] } else { Vec::new() },
            digest_function: SHA256,
        };
        let (mut blobs, mut missing) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut tries = self.link.tries();
        loop {
            self.link.begin(&mut tries);
            let answer: BatchReadBlobsResponse = self.link.exchange(lane, READ, question.clone()).await?;
            let answers = answer.responses.into_iter().map(|response| (response.digest.clone(), response));
            let mut passing = None;
            let mut again = Vec::new();
            for (digest, response) in self.expected(&question.digests, answers, "BatchReadBlobs")? {
                let status = response.status.as_ref().map_or_else(|| Status::ok(""), StatusMessage::status);
                match status.code() {
                    Code::Ok => blobs.push((digest, response)),
                    Code::NotFound => missing.push(digest),
                    _ if is_passing(&status) => {
                        again.push(digest.into());
                        passing = Some((digest, status));
                    }
                    _ => return Err(self.unreadable(&digest, &status)),
                }
            }
            let Some((digest, status)) = passing else { return Ok((blobs, missing)) };
            let waited = self.link.again(&mut tries, &status).await;
            waited.map_err(|_| self.unreadable(&digest, &status))?;
            question.digests = again;
        }
    }

    /// The answers that were asked for, each once.
    fn expected<T>(
        &self,
        asked: &[DigestMessage],
        answers: impl Iterator<Item = (Option<DigestMessage>, T)>,
        method: &str,
    ) -> Attempt<Vec<(Digest, T)>> {
        let mut wanted: HashSet<Digest> =
            asked.iter().filter_map(|message| Digest::try_from(message).ok()).collect();
        let mut found = Vec::with_capacity(asked.len());
        for (digest, answer) in answers {
            let digest = digest.as_ref().and_then(|digest| Digest::try_from(digest).ok());
            if let Some(digest) = digest.filter(|digest| wanted.remove(digest)) {
                found.push((digest, answer));
            }
        }
        match wanted.iter().next() {
            None => Ok(found),
            Some(digest) => {
                let text = format!("{}: {method} did not answer for blob {digest}", self.link.url());
                Err(Fault::remote(ErrorKind::Unavailable, text))
            }
        }
    }

    fn unreadable(&self, digest: &Digest, status: &Status) -> Fault {
        let text = format!("{}: blob {digest} cannot be read: {}", self.link.url(), describe(status));
        Fault::remote(kind_of(status.code()), text)
    }

    /// The fault for a blob that is not what its digest says.
    pub(crate) fn corrupt(&self, digest: &Digest) -> Fault {
        let text = format!("{}: blob {digest} does not match its digest", self.link.url());
        Fault::remote(ErrorKind::Corrupt, text)
    }

    /// The fault for a blob that is not there, whatever was known of it.
    pub(crate) fn missing(&self, digest: &Digest) -> Fault {
        self.forget(&[*digest]);
        Fault::remote(ErrorKind::Missing, format!("{}: blob {digest} is not there", self.link.url()))
    }

    /// Sends the blobs of one batch, whose digests these are.
    ///
    /// # Errors
    /// The server failed, or did not take one of them.
    pub(crate) async fn update(&self, digests: &[Digest], requests: Vec<UpdateBlob>) -> Attempt<()> {
        let mut question = BatchUpdateBlobsRequest {
            instance_name: self.link.instance().to_owned(),
            requests,
            digest_function: SHA256,
        };
        let _turn = self.turn(Lane::Bulk).await;
        let mut tries = self.link.tries();
        let begun = self.link.breaks();
        loop {
            self.link.begin(&mut tries);
            let answer: BatchUpdateBlobsResponse =
                self.link.exchange(Lane::Bulk, UPDATE, question.clone()).await?;
            let asked: Vec<_> = question.requests.iter().filter_map(|blob| blob.digest.clone()).collect();
            let answers = answer.responses.into_iter().map(|response| (response.digest, response.status));
            let mut passing = None;
            let mut again = HashSet::new();
            for (digest, status) in self.expected(&asked, answers, "BatchUpdateBlobs")? {
                let status = status.as_ref().map_or_else(|| Status::ok(""), StatusMessage::status);
                match status.code() {
                    Code::Ok | Code::AlreadyExists => {}
                    _ if is_passing(&status) => {
                        again.insert(DigestMessage::from(digest));
                        passing = Some((digest, status));
                    }
                    _ => return Err(self.unaccepted(&digest, &status)),
                }
            }
            let Some((digest, status)) = passing else { break };
            let waited = self.link.again(&mut tries, &status).await;
            waited.map_err(|_| self.unaccepted(&digest, &status))?;
            question
                .requests
                .retain(|blob| blob.digest.as_ref().is_some_and(|digest| again.contains(digest)));
        }
        self.learn(digests, begun);
        Ok(())
    }

    fn unaccepted(&self, digest: &Digest, status: &Status) -> Fault {
        let text = format!("{}: blob {digest} was not accepted: {}", self.link.url(), describe(status));
        Fault::remote(kind_of(status.code()), text)
    }

    /// Whether whole trees can be asked for, as far as is known.
    pub(crate) fn has_trees(&self) -> bool {
        self.trees.load(Ordering::Relaxed)
    }

    /// The directories of a tree as the server has them, handed out as they come until `each` wants no more. This is a
    /// short cut: what is missing afterwards, for whatever reason, has to be asked for as blobs, and that tells what is
    /// wrong.
    ///
    /// # Errors
    /// Those of `each`.
    pub(crate) async fn tree<F>(
        &self,
        root: &Digest,
        mut each: impl FnMut(Vec<Directory>) -> F,
    ) -> Attempt<()>
    where
        F: Future<Output = Attempt<bool>>,
    {
        let mut page_token = String::new();
        let mut seen = HashSet::new();
        loop {
            let question = GetTreeRequest {
                instance_name: self.link.instance().to_owned(),
                root_digest: Some((*root).into()),
                page_size: 0,
                page_token,
                digest_function: SHA256,
            };
            let asked = self.link.download::<_, GetTreeResponse>(Lane::Bulk, GET_TREE, question);
            let asked = self.link.while_moving(asked).await;
            let Some(mut pages) = self.unless_refused(asked) else { return Ok(()) };
            page_token = String::new();
            while let Some(Some(page)) = self.unless_refused(self.link.while_moving(pages.message()).await) {
                page_token = page.next_page_token;
                if !each(page.directories).await? {
                    return Ok(());
                }
            }
            if page_token.is_empty() || !seen.insert(page_token.clone()) {
                return Ok(());
            }
        }
    }

    /// What a server that knows whole trees says; remembers when it does not.
    fn unless_refused<T>(&self, answer: Result<T, Status>) -> Option<T> {
        answer
            .inspect_err(|status| {
                self.trees.fetch_and(status.code() != Code::Unimplemented, Ordering::Relaxed);
            })
            .ok()
    }
}

impl StatusMessage {
    /// As everything else that a server says.
    fn status(&self) -> Status {
        Status::new(Code::from_i32(self.code), self.message.clone())
    }
}

impl CacheCapabilities {
    /// Whether blobs can travel as zstd, and whether those can that are sent many at a time.
    pub(crate) fn zstd(&self) -> (bool, bool) {
        let with = |compressors: &[i32]| compressors.contains(&ZSTD);
        (with(&self.supported_compressors), with(&self.supported_batch_update_compressors))
    }
}

impl ReadBlob {
    /// The content, which need not be what its digest says, but has its size.
    pub(crate) fn unpacked(self, digest: &Digest) -> Option<Vec<u8>> {
        let size = usize::try_from(digest.size).ok()?;
        let content = match self.compressor {
            IDENTITY => Some(self.data),
            ZSTD => zstd::bulk::decompress(&self.data, size).ok(),
            _ => None,
        };
        content.filter(|content| content.len() == size)
    }
}

impl UpdateBlob {
    /// A blob as it is sent.
    pub(crate) fn packed(digest: Digest, content: Vec<u8>, zstd: bool) -> UpdateBlob {
        if zstd
            && content.len() >= WORTH_COMPRESSING
            && let Ok(small) = zstd::bulk::compress(&content, LEVEL)
            && small.len() < content.len()
        {
            return UpdateBlob { digest: Some(digest.into()), data: Bytes::from(small), compressor: ZSTD };
        }
        UpdateBlob { digest: Some(digest.into()), data: Bytes::from(content), compressor: IDENTITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: i64, sizes: &[u64], expect: &[usize]) {
        let cache = CacheCapabilities { max_batch_total_size_bytes: limit, ..CacheCapabilities::default() };
        let abilities = Abilities::of(&ServerCapabilities {
            cache_capabilities: Some(cache),
            ..ServerCapabilities::default()
        });
        let digests = sizes.iter().map(|&size| Digest { size, ..Digest::default() }).collect();
        let lengths: Vec<usize> = abilities.batches(digests).iter().map(Vec::len).collect();
        assert_eq!(lengths, expect, "{limit} {sizes:?}");
    }

    #[test]
    fn batches_keep_to_the_limit() {
        check(0, &[], &[]);
        check(0, &[1, 2, 3], &[3]);
        check(0, &[3 << 20, 2 << 20, 1 << 20], &[1, 2]);
        check(1 << 30, &[3 << 20, 2 << 20], &[1, 1]);
        check(8192, &[4000, 2000, 4000], &[2, 1]);
        check(0, &[0; 9000], &[4000, 4000, 1000]);
    }
}
