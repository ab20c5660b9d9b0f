//! Blobs and trees from a server into the local store, and back.

use crate::fault::{Attempt, Fault, Here};
use crate::link::{Lane, blocking};
use crate::message::{ReadBlob, UpdateBlob};
use crate::storage::{DIGESTS, Storage};
use crate::stream::unreadable;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, ServiceError};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

/// Blobs that a server is asked for at a time before they are sent. Fewer than it could be asked for, so that sending
/// begins early.
const ASKED: usize = 2_500;

/// How many of these questions are under way at a time.
const ASKING: usize = 8;

/// Most bytes of a message that is read as a whole: artifacts, sources and what is known of them have some thousands.
pub(crate) const LARGEST_MESSAGE: u64 = 64 << 20;

/// The same of a directory; one of a million files has some hundred million.
const LARGEST_DIRECTORY: u64 = 512 << 20;

/// Bytes so far and in all, for whoever watches.
#[derive(Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// Bytes moved, and bytes that are known to have to be.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn expect<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) {
        let bytes = bytes(digests);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn count(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Moves blobs between one server and the local store. Clones work on the same.
#[derive(Clone)]
pub(crate) struct Transfer {
    pub(crate) storage: Arc<Storage>,
    pub(crate) cas: Arc<dyn Cas>,
    pub(crate) meter: Arc<Meter>,
}

impl Transfer {
    /// Brings blobs that are not here yet, and that others wait for: files do not get in their way.
    ///
    /// # Errors
    /// One is missing there or damaged; the server or the local store failed.
    pub(crate) async fn fetch_blobs(&self, digests: Vec<Digest>) -> Attempt<()> {
        let (cas, asked) = (self.cas.clone(), digests);
        let missing = blocking(move || cas.missing_blobs(&asked)).await?;
        self.download(Lane::Talk, missing).await
    }

    /// Brings blobs, whatever is here.
    async fn download(&self, lane: Lane, mut digests: Vec<Digest>) -> Attempt<()> {
        // There is but one blob without content, and servers need not keep it.
        let count = digests.len();
        digests.retain(|digest| *digest != Digest::empty());
        if digests.len() < count {
            let cas = self.cas.clone();
            blocking(move || cas.write(&[])).await?;
        }
        if digests.is_empty() {
            return Ok(());
        }
        self.meter.expect(&digests);
        let abilities = self.storage.abilities().await?;
        let (small, large): (Vec<Digest>, Vec<Digest>) =
            digests.into_iter().partition(|digest| abilities.is_small(digest));
        let mut jobs = JoinSet::new();
        for digest in large {
            let own = self.clone();
            jobs.spawn(async move {
                own.storage.download_blob(lane, &own.cas, &digest).await?;
                own.meter.count(digest.size);
                Ok(())
            });
        }
        for batch in abilities.batches(small) {
            let own = self.clone();
            jobs.spawn(async move { own.download_batch(lane, batch).await });
        }
        all(jobs).await
    }

    /// Brings the blobs of a batch, in smaller batches where the server finds it too large, and one by one if that
    /// does not help.
    async fn download_batch(&self, lane: Lane, batch: Vec<Digest>) -> Attempt<()> {
        match self.try_batch(lane, &batch).await {
            Err(fault) if fault.remote_kind() == Some(ErrorKind::Invalid) => {}
            result => return result,
        }
        if let [digest] = batch.as_slice() {
            self.storage.download_blob(lane, &self.cas, digest).await?;
            self.meter.count(digest.size);
            return Ok(());
        }
        let (half, other) = batch.split_at(batch.len() / 2);
        Box::pin(self.download_batch(lane, half.to_vec())).await?;
        Box::pin(self.download_batch(lane, other.to_vec())).await
    }

    async fn try_batch(&self, lane: Lane, batch: &[Digest]) -> Attempt<()> {
        // Not all at once: what comes stays in memory until it is written.
        let turn = self.storage.turn(lane).await;
        let (blobs, missing) = self.storage.read(lane, batch).await?;
        let cas = self.cas.clone();
        let (kept, wrong) = blocking(move || keep(&*cas, blobs)).await?;
        drop(turn);
        self.meter.count(bytes(&kept));
        match (wrong, missing.first()) {
            (Some(digest), _) => Err(self.storage.corrupt(&digest)),
            (None, Some(digest)) => Err(self.storage.missing(digest)),
            (None, None) => Ok(()),
        }
    }

    /// Brings trees with all that is in them.
    ///
    /// # Errors
    /// A blob is missing there or damaged; the server or the local store failed.
    pub(crate) async fn fetch_trees(&self, roots: Vec<Digest>) -> Attempt<()> {
        let cas = self.cas.clone();
        let incomplete = blocking(move || {
            let mut incomplete = Vec::new();
            for root in roots {
                if !cas.contains_tree(&root)? {
                    incomplete.push(root);
                }
            }
            Ok(incomplete)
        })
        .await?;
        if incomplete.is_empty() {
            return Ok(());
        }
        self.fetch_directories(incomplete.clone()).await?;
        let cas = self.cas.clone();
        let files = blocking(move || {
            let blobs = Blobs::of(&*cas, &incomplete)?;
            cas.missing_blobs(&blobs.files)
        })
        .await?;
        self.download(Lane::Bulk, files).await
    }

    /// Brings the directories of trees: as whole trees where the server knows how and the root is not here, and level
    /// by level, all trees together, what is missing then.
    ///
    /// # Errors
    /// A blob is missing there or damaged; the server or the local store failed.
    pub(crate) async fn fetch_directories(&self, roots: Vec<Digest>) -> Attempt<()> {
        if self.storage.has_trees() {
            let cas = self.cas.clone();
            let asked = roots.clone();
            let mut jobs = JoinSet::new();
            for root in blocking(move || cas.missing_blobs(&asked)).await? {
                let own = self.clone();
                jobs.spawn(async move { own.fetch_whole(&root).await });
            }
            all(jobs).await?;
        }
        self.fetch_levels(roots).await
    }

    /// Brings the directories of trees, all trees together, one level after the other.
    ///
    /// # Errors
    /// A blob is missing there or damaged; the server or the local store failed.
    pub(crate) async fn fetch_levels(&self, roots: Vec<Digest>) -> Attempt<()> {
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut level = roots;
        while !level.is_empty() {
            level.retain(|digest| seen.insert(*digest));
            self.assert_sizes(&level, LARGEST_DIRECTORY)?;
            self.fetch_blobs(level.clone()).await?;
            let (cas, directories) = (self.cas.clone(), level);
            level =
                blocking(move || children(&*cas, &directories)).await.map_err(|fault| self.blame(fault))?;
        }
        Ok(())
    }

    /// Brings the files of those trees of which no more bytes than `limit` are missing. Their directories are here.
    ///
    /// # Errors
    /// A blob is missing there or damaged; the server or the local store failed.
    pub(crate) async fn fetch_small(&self, roots: Vec<Digest>, limit: u64) -> Attempt<()> {
        let cas = self.cas.clone();
        let small = blocking(move || {
            let mut small = Vec::new();
            for root in roots {
                let mut files = Blobs::of(&*cas, &[root])?.files;
                // Where nothing is too large anyhow, all is asked for together.
                if bytes(&files) > limit {
                    files = cas.missing_blobs(&files)?;
                }
                if bytes(&files) <= limit {
                    small.extend(files);
                }
            }
            cas.missing_blobs(&unique(small))
        })
        .await?;
        self.download(Lane::Bulk, small).await
    }

    /// Whether all files of a tree are here or there. Its directories are here.
    ///
    /// # Errors
    /// The server or the local store failed.
    pub(crate) async fn holds_files(&self, root: Digest) -> Attempt<bool> {
        let cas = self.cas.clone();
        let missing = blocking(move || cas.missing_blobs(&Blobs::of(&*cas, &[root])?.files)).await?;
        Ok(self.missing_there(&missing).await?.is_empty())
    }

    /// That blobs which are read as a whole are not larger than they could be.
    ///
    /// # Errors
    /// One is.
    pub(crate) fn assert_sizes(&self, digests: &[Digest], limit: u64) -> Attempt<()> {
        let Some(digest) = digests.iter().find(|digest| digest.size > limit) else { return Ok(()) };
        let from = self.storage.link.url();
        let text = format!("{from}: blob {digest} is too large for what it is said to be");
        Err(Fault::remote(ErrorKind::Corrupt, text))
    }

    /// Brings messages that are read as a whole.
    ///
    /// # Errors
    /// One is missing there, damaged or too large; the server or the local store failed.
    pub(crate) async fn fetch_messages(&self, digests: Vec<Digest>) -> Attempt<()> {
        self.assert_sizes(&digests, LARGEST_MESSAGE)?;
        self.fetch_blobs(digests).await
    }

    /// Decodes a message that was brought.
    ///
    /// # Errors
    /// It is no such message; the local store failed.
    pub(crate) async fn decode<M: Message + Default + 'static>(&self, digest: Digest) -> Attempt<M> {
        let mut decoded = self.decode_each(vec![digest], Ok).await?;
        decoded.pop().map(|(_, message)| message).ok_or_else(|| self.storage.missing(&digest))
    }

    /// The same of many, one after the other: what is wanted of each, with its digest.
    ///
    /// # Errors
    /// Those of [`Transfer::decode`] and of `want`.
    pub(crate) async fn decode_each<M, T>(
        &self,
        digests: Vec<Digest>,
        want: impl Fn(M) -> Attempt<T> + Send + 'static,
    ) -> Attempt<Vec<(Digest, T)>>
    where
        M: Message + Default,
        T: Send + 'static,
    {
        self.assert_sizes(&digests, LARGEST_MESSAGE)?;
        let own = self.clone();
        let decode = move |digest| {
            let bytes = own.cas.read(&digest).here()?;
            let message = M::decode(Bytes::from(bytes)).map_err(|error| {
                let from = own.storage.link.url();
                let text = format!("{from}: blob {digest} cannot be understood: {error}");
                Fault::remote(ErrorKind::Corrupt, text)
            })?;
            Ok((digest, want(message)?))
        };
        let cas = self.cas.clone();
        let all = move || {
            cas.expect_reads(&digests);
            Ok(digests.into_iter().map(decode).collect())
        };
        blocking(all).await?
    }

    /// That a blob which was just brought is no directory is nobody's fault here.
    fn blame(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Local(error) if error.kind == ErrorKind::Invalid => Fault::Remote(ServiceError {
                message: format!("{}: {}", self.storage.link.url(), error.message),
                ..error
            }),
            fault => fault,
        }
    }

    async fn fetch_whole(&self, root: &Digest) -> Attempt<()> {
        let gathered = Arc::new(Mutex::new(Gathered::of(*root)));
        let keep = |directories: Vec<Directory>| {
            let (cas, meter, gathered) = (self.cas.clone(), self.meter.clone(), gathered.clone());
            async move {
                blocking(move || {
                    let blobs: Vec<Vec<u8>> = directories.iter().map(Directory::encode_to_vec).collect();
                    let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
                    let digests = cas.write_many(&blobs)?;
                    meter.expect(&digests);
                    meter.count(bytes(&digests));
                    let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                    if directories.is_empty() {
                        gathered.pointless += EMPTY_PAGE;
                    }
                    for (digest, directory) in digests.iter().zip(&directories) {
                        gathered.note(*digest, directory);
                    }
                    Ok(!gathered.is_pointless())
                })
                .await
            }
        };
        self.storage.tree(root, keep).await
    }

    /// Sees to it that the server has trees with all that is in them, and further blobs: sends what is here. The rest,
    /// which was brought only in part or not at all, has to be there.
    ///
    /// # Errors
    /// A blob is neither here nor there; the server failed or did not accept one; the local store failed.
    pub(crate) async fn complete(&self, roots: Vec<Digest>, more: Vec<Digest>) -> Attempt<()> {
        let blobs = match self.blobs(roots.clone()).await {
            Err(Fault::Local(error)) if error.kind == ErrorKind::Missing => {
                self.fetch_levels(roots.clone()).await?;
                self.blobs(roots).await?
            }
            result => result?,
        };
        let all = [blobs.files, blobs.directories, more].concat();
        let (cas, asked) = (self.cas.clone(), all.clone());
        let elsewhere: HashSet<Digest> =
            blocking(move || cas.missing_blobs(&asked)).await?.into_iter().collect();
        let (elsewhere, here): (Vec<Digest>, Vec<Digest>) =
            all.into_iter().partition(|digest| elsewhere.contains(digest));
        if let Some(digest) = self.missing_there(&elsewhere).await?.first() {
            return Err(self.storage.missing(digest));
        }
        self.send(here).await.map(drop)
    }

    /// Sends what the server does not have of these blobs. Whether there was anything.
    ///
    /// # Errors
    /// The server failed or did not accept a blob; one is not here.
    pub(crate) async fn send(&self, digests: Vec<Digest>) -> Attempt<bool> {
        let (parts, receiver) = channel(digests.len() / ASKED + 1);
        for part in digests.chunks(ASKED) {
            // There is room for all of them.
            let _ = parts.try_send(part.to_vec());
        }
        drop(parts);
        self.send_parts(receiver).await
    }

    /// Sends what the server does not have of what comes. While one part is sent, it is asked for others, and they are
    /// still looked for. Whether there was anything.
    async fn send_parts(&self, mut parts: Receiver<Vec<Digest>>) -> Attempt<bool> {
        let abilities = self.storage.abilities().await?;
        let mut seen = HashSet::new();
        let (mut asking, mut sending) = (JoinSet::new(), JoinSet::new());
        let (mut is_more, mut is_any) = (true, false);
        let mut small = Vec::new();
        while is_more || !asking.is_empty() {
            tokio::select! {
                part = parts.recv(), if is_more && asking.len() < ASKING => {
                    let Some(part) = part else {
                        is_more = false;
                        continue;
                    };
                    let mut unknown = self.storage.unknown(&part);
                    unknown.retain(|digest| seen.insert(*digest));
                    if !unknown.is_empty() {
                        let storage = self.storage.clone();
                        asking.spawn(async move { storage.find_missing(&unknown).await });
                    }
                }
                Some(answer) = asking.join_next() => {
                    let missing = answer.map_err(|error| ended(&error))??;
                    is_any |= !missing.is_empty();
                    self.meter.expect(&missing);
                    for digest in missing {
                        match abilities.is_small(&digest) {
                            true => small.push(digest),
                            false => self.spawn_large(&mut sending, digest),
                        }
                    }
                    let mut batches = abilities.batches(std::mem::take(&mut small));
                    // The last one may have room for more.
                    small = batches.pop().unwrap_or_default();
                    self.spawn_batches(&mut sending, batches);
                }
                Some(sent) = sending.join_next() => sent.map_err(|error| ended(&error))??,
            }
        }
        self.spawn_batches(&mut sending, abilities.batches(small));
        all(sending).await?;
        Ok(is_any)
    }

    fn spawn_large(&self, sending: &mut JoinSet<Attempt<()>>, digest: Digest) {
        let own = self.clone();
        sending.spawn(async move { own.upload_alone(digest).await });
    }

    fn spawn_batches(&self, sending: &mut JoinSet<Attempt<()>>, batches: Vec<Vec<Digest>>) {
        for batch in batches {
            let own = self.clone();
            sending.spawn(async move { own.upload_batch(batch).await });
        }
    }

    /// Sends the blobs of a batch, in smaller batches where the server finds it too large, and one by one if that does
    /// not help.
    async fn upload_batch(&self, batch: Vec<Digest>) -> Attempt<()> {
        match self.try_upload(batch.clone()).await {
            Err(fault) if fault.remote_kind() == Some(ErrorKind::Invalid) => {}
            result => return result,
        }
        if let [digest] = batch.as_slice() {
            return self.upload_alone(*digest).await;
        }
        let (half, other) = batch.split_at(batch.len() / 2);
        Box::pin(self.upload_batch(half.to_vec())).await?;
        Box::pin(self.upload_batch(other.to_vec())).await
    }

    async fn upload_alone(&self, digest: Digest) -> Attempt<()> {
        let sent = self.storage.upload_blob(&self.cas, &digest).await;
        if let Err(Fault::Remote(error)) = &sent
            && matches!(error.kind, ErrorKind::Invalid | ErrorKind::Corrupt)
        {
            // If it was refused because it is damaged here, this says so.
            let cas = self.cas.clone();
            blocking(move || cas.read(&digest)).await?;
        }
        sent?;
        self.meter.count(digest.size);
        Ok(())
    }

    async fn try_upload(&self, batch: Vec<Digest>) -> Attempt<()> {
        // Not all at once: what is read here stays in memory until it is sent.
        let room = self.storage.room(&batch).await;
        let cas = self.cas.clone();
        let (zstd, digests) = (self.storage.abilities().await?.zstd_update, batch.clone());
        let read = move |digest| {
            let content = read(&*cas, &digest)?;
            Ok(UpdateBlob::packed(digest, content, zstd))
        };
        let blobs: Vec<UpdateBlob> = blocking(move || digests.into_iter().map(read).collect()).await?;
        self.storage.update(&batch, blobs).await?;
        drop(room);
        self.meter.count(bytes(&batch));
        Ok(())
    }

    /// Which of these blobs the server does not have, each once.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn missing_there(&self, digests: &[Digest]) -> Attempt<Vec<Digest>> {
        let unknown = unique(self.storage.unknown(digests));
        let mut jobs = JoinSet::new();
        for (at, part) in unknown.chunks(DIGESTS).enumerate() {
            let (storage, part) = (self.storage.clone(), part.to_vec());
            jobs.spawn(async move { storage.find_missing(&part).await.map(|missing| (at, missing)) });
        }
        let mut parts = Vec::new();
        while let Some(joined) = jobs.join_next().await {
            parts.push(joined.map_err(|error| ended(&error))??);
        }
        parts.sort_by_key(|(at, _)| *at);
        Ok(parts.into_iter().flat_map(|(_, missing)| missing).collect())
    }

    /// Whether the server has a blob.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn is_there(&self, digest: Digest) -> Attempt<bool> {
        Ok(self.missing_there(&[digest]).await?.is_empty())
    }

    /// Sends trees with all that is in them, and further blobs. Whether anything was missing.
    ///
    /// # Errors
    /// The server failed or did not accept a blob; one is not here.
    pub(crate) async fn send_trees(&self, roots: Vec<Digest>, more: Vec<Digest>) -> Attempt<bool> {
        let (parts, receiver) = channel(ASKING);
        let cas = self.cas.clone();
        // Whoever does not listen any more has an error of his own.
        let hand_on = move |part| parts.blocking_send(part).is_ok();
        let walked = tokio::spawn(blocking(move || walk(&*cas, &roots, more, hand_on)));
        let sent = self.send_parts(receiver).await?;
        walked.await.map_err(|error| ended(&error))??;
        Ok(sent)
    }

    /// Sends blobs that the server does not have.
    ///
    /// # Errors
    /// The server failed or did not accept a blob; one is not here.
    pub(crate) async fn upload(&self, missing: Vec<Digest>) -> Attempt<()> {
        let abilities = self.storage.abilities().await?;
        let (small, large): (Vec<Digest>, Vec<Digest>) =
            missing.into_iter().partition(|digest| abilities.is_small(digest));
        let mut sending = JoinSet::new();
        self.spawn_batches(&mut sending, abilities.batches(small));
        for digest in large {
            self.spawn_large(&mut sending, digest);
        }
        all(sending).await
    }

    /// What trees are made of, whose directories are here.
    async fn blobs(&self, roots: Vec<Digest>) -> Attempt<Blobs> {
        let cas = self.cas.clone();
        blocking(move || Blobs::of(&*cas, &roots)).await
    }
}

/// Bytes of directories that nothing refers to, or that came before, until nothing more is taken of a server.
const POINTLESS: u64 = 16 << 20;

/// As how many of these an answer without directories counts.
const EMPTY_PAGE: u64 = 64 << 10;

/// Directories that came of one tree, in whatever order, to notice when a server sends others without end.
struct Gathered {
    /// Referred to by what came.
    wanted: HashSet<Digest>,
    /// Came, and belong to the tree.
    taken: HashSet<Digest>,
    /// Came, and nothing refers to them so far; with what they refer to.
    early: HashMap<Digest, Vec<Digest>>,
    /// Bytes of what came and is not in the tree, or was there already.
    pointless: u64,
}

impl Gathered {
    fn of(root: Digest) -> Gathered {
        Gathered { wanted: [root].into(), taken: HashSet::new(), early: HashMap::new(), pointless: 0 }
    }

    fn note(&mut self, digest: Digest, directory: &Directory) {
        // Whoever wants a malformed one says so.
        let children: Vec<Digest> =
            directory.directories.iter().map(DirectoryNode::content).filter_map(Result::ok).collect();
        if !self.wanted.contains(&digest) {
            self.pointless += digest.size.max(1);
            if !self.taken.contains(&digest) {
                self.early.insert(digest, children);
            }
            return;
        }
        let mut found = vec![(digest, children)];
        while let Some((digest, children)) = found.pop() {
            self.wanted.remove(&digest);
            self.taken.insert(digest);
            for child in children {
                match self.early.remove(&child) {
                    Some(children) => {
                        self.pointless = self.pointless.saturating_sub(child.size.max(1));
                        found.push((child, children));
                    }
                    None if !self.taken.contains(&child) => drop(self.wanted.insert(child)),
                    None => {}
                }
            }
        }
    }

    fn is_pointless(&self) -> bool {
        self.pointless > POINTLESS
    }
}

/// What trees are made of, each blob once.
#[derive(Default)]
struct Blobs {
    /// Above what they contain.
    directories: Vec<Digest>,
    files: Vec<Digest>,
}

impl Blobs {
    /// All directories are here.
    fn of(cas: &dyn Cas, roots: &[Digest]) -> ServiceResult<Blobs> {
        let mut blobs = Blobs::default();
        blobs.walk(cas, roots, |_| true)?;
        Ok(blobs)
    }

    /// Goes through trees, and shows all files found so far after each directory, until `each` wants no more.
    fn walk(
        &mut self,
        cas: &dyn Cas,
        roots: &[Digest],
        mut each: impl FnMut(&mut Vec<Digest>) -> bool,
    ) -> ServiceResult<()> {
        let mut seen = HashSet::new();
        self.directories.extend(roots.iter().filter(|root| seen.insert(**root)));
        let mut seen_files = HashSet::new();
        let mut at = 0;
        while let Some(digest) = self.directories.get(at).copied() {
            let directory = cas.directory(&digest)?;
            for file in &directory.files {
                let digest = file.content()?;
                if seen_files.insert(digest) {
                    self.files.push(digest);
                }
            }
            for child in &directory.directories {
                let digest = child.content()?;
                if seen.insert(digest) {
                    self.directories.push(digest);
                }
            }
            if !each(&mut self.files) {
                return Ok(());
            }
            at += 1;
        }
        Ok(())
    }
}

/// What trees are made of, if their files have no more bytes than `limit` and are not too many for one question. Their
/// directories are here.
pub(crate) fn tree_blobs(cas: &dyn Cas, roots: &[Digest], limit: u64) -> ServiceResult<Option<Vec<Digest>>> {
    let (mut blobs, mut is_small) = (Blobs::default(), true);
    let (mut counted, mut total) = (0, 0_u64);
    blobs.walk(cas, roots, |files| {
        total = total.saturating_add(bytes(&files[counted..]));
        counted = files.len();
        is_small = counted <= ASKED && total <= limit;
        is_small
    })?;
    Ok(is_small.then(|| [blobs.files, blobs.directories].concat()))
}

/// Hands on what trees are made of, and what else there is, part by part, until nobody wants it any more.
fn walk(
    cas: &dyn Cas,
    roots: &[Digest],
    more: Vec<Digest>,
    hand_on: impl Fn(Vec<Digest>) -> bool,
) -> ServiceResult<()> {
    let mut blobs = Blobs::default();
    let mut is_wanted = true;
    blobs.walk(cas, roots, |files| {
        if files.len() >= ASKED {
            is_wanted = hand_on(std::mem::take(files));
        }
        is_wanted
    })?;
    let rest = [blobs.files, blobs.directories, more].concat();
    // The first that is not wanted is the last.
    let _ = is_wanted && rest.chunks(ASKED).all(|part| hand_on(part.to_vec()));
    Ok(())
}

/// A blob that is going to be sent. It is not compared with its digest: the server does that, as it would have to in
/// any case.
fn read(cas: &dyn Cas, digest: &Digest) -> ServiceResult<Vec<u8>> {
    let mut content = vec![0; usize::try_from(digest.size).unwrap_or(0)];
    let read = cas.open(digest)?.read_exact(&mut content);
    read.map_err(|error| unreadable(digest, &error))?;
    Ok(content)
}

/// Stores what came. Which blobs these are, and one that is not what it was said to be, if there is one.
fn keep(cas: &dyn Cas, blobs: Vec<(Digest, ReadBlob)>) -> ServiceResult<(Vec<Digest>, Option<Digest>)> {
    let (mut said, mut contents, mut wrong) = (Vec::new(), Vec::new(), None);
    for (digest, blob) in blobs {
        match blob.unpacked(&digest) {
            Some(content) => {
                said.push(digest);
                contents.push(content);
            }
            None => wrong = Some(digest),
        }
    }
    // It is hashed there. What is not what it should be becomes another blob, that nobody asks for.
    let found = cas.write_many(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    wrong =
        wrong.or_else(|| said.iter().zip(&found).find(|(said, found)| said != found).map(|(said, _)| *said));
    Ok((found, wrong))
}

/// Each digest once, in their order.
pub(crate) fn unique(mut digests: Vec<Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    digests.retain(|digest| seen.insert(*digest));
    digests
}

/// The bytes of blobs, however many somebody claims that they have.
pub(crate) fn bytes<'d>(digests: impl IntoIterator<Item = &'d Digest>) -> u64 {
    digests.into_iter().fold(0, |sum, digest| digest.size.saturating_add(sum))
}

/// The directories in directories.
fn children(cas: &dyn Cas, directories: &[Digest]) -> ServiceResult<Vec<Digest>> {
    let mut children = Vec::new();
    cas.expect_reads(directories);
    for digest in directories {
        for child in &cas.directory(digest)?.directories {
            children.push(child.content()?);
        }
    }
    Ok(children)
}

/// Waits for all jobs; the first fault ends the others.
async fn all(mut jobs: JoinSet<Attempt<()>>) -> Attempt<()> {
    while let Some(joined) = jobs.join_next().await {
        joined.map_err(|error| ended(&error))??;
    }
    Ok(())
}

fn ended(error: &tokio::task::JoinError) -> Fault {
    Fault::remote(ErrorKind::Io, format!("a transfer was ended: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerKind;
    use crate::engine::Engine;
    use crate::exchanges::{SMALL, backed};

    #[test]
    fn nobody_is_asked_for_what_is_empty() {
        let engine = Engine::start(SMALL);
        let (_, ours) = backed(&engine.server(ServerKind::Storage));
        let transfer = ours.transfer();
        ours.run(async { transfer.download(Lane::Bulk, vec![Digest::empty()]).await }).unwrap();
        assert_eq!(engine.calls("BatchReadBlobs"), 0);
        // Another one of that size there cannot be.
        let odd = Digest { size: 0, ..Digest::of(b"odd") };
        let fault = ours.run(async { transfer.download(Lane::Bulk, vec![odd]).await }).unwrap_err();
        assert_eq!(fault.remote_kind(), Some(ErrorKind::Missing));
    }
}
