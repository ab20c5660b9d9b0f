//! Artifacts that are going to be pulled, prepared many at a time.
//!
//! A pull takes a few questions that wait for each other: which blob the name means, what that refers to, the
//! directories of its files, the files. With a server far away most of the time is waiting, and most
//! artifacts are small. So the questions of many pulls are asked together. Whatever does not come this way, for
//! whatever reason, the pull asks for itself; and it is the pull that says what is wrong.

use crate::fault::{Attempt, Fault};
use crate::index::{Sort, artifact_urn};
use crate::link::blocking;
use crate::pair::Offers;
use crate::transfer::{Transfer, unique};
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{Artifact, ArtifactName, Cas, Digest};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Artifacts that are prepared together: the first can be pulled while the next still come.
pub(crate) const TOGETHER: usize = 64;

/// Questions for names that are under way at a time.
pub(crate) const QUESTIONS: usize = 256;

/// The files of an artifact come or leave beforehand when they have no more bytes than this.
pub(crate) const SMALL: u64 = 512 << 10;

/// So few artifacts are not divided any further to find the one of which a server has lost something.
const FEW: usize = 8;

/// How long it counts that nobody knew a name: meanwhile somebody else may have built it.
const FRESH: Duration = Duration::from_secs(10);

/// What is known of a name.
#[derive(Clone, Debug, Default)]
pub(crate) enum Known {
    /// Nothing.
    #[default]
    Nothing,
    /// Nobody knew it then.
    Absent(Instant),
    /// What it means.
    Means(Digest),
    /// What it means came from the server with this URL, with all but the trees that only those get who ask for them.
    /// It is not kept in memory, where the artifacts of a large project would not find room.
    Here(Digest, Arc<str>),
}

impl Known {
    /// Nothing, if it is known for too long that nobody knew it.
    pub(crate) fn fresh(self) -> Known {
        match self {
            Known::Absent(since) if since.elapsed() > FRESH => Known::Nothing,
            known => known,
        }
    }
}

/// What was prepared for names of artifacts, or is being prepared.
#[derive(Default)]
pub(crate) struct Ahead<T>(Mutex<HashMap<ArtifactName, watch::Receiver<T>>>);

/// Whom to tell when a name is prepared.
pub(crate) type Told<T> = (ArtifactName, watch::Sender<T>);

impl<T: Clone + Default> Ahead<T> {
    /// Notes names that are going to be prepared; those that are already are left out.
    pub(crate) fn note(&self, names: &[ArtifactName]) -> Vec<Told<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for name in names {
            if !all.contains_key(name) {
                let (sender, receiver) = watch::channel(T::default());
                all.insert(name.clone(), receiver);
                new.push((name.clone(), sender));
            }
        }
        new
    }

    /// What was prepared for a name, once it is. Asked once: whoever comes next asks the servers.
    pub(crate) async fn take(&self, name: &ArtifactName) -> T {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let Some(mut receiver) = waiting else { return T::default() };
        // An error says that nobody prepares it any more.
        let _ = receiver.changed().await;
        receiver.borrow().clone()
    }
}

/// Prepares artifacts with the servers of their project. Others may wait for the same turns to ask.
pub(crate) async fn prepare(
    offers: &Offers,
    transfer: Option<Transfer>,
    turns: &Arc<Semaphore>,
    told: Vec<Told<Known>>,
) {
    let known = ask(offers, turns, &told).await;
    let (mut here, mut from) = (HashSet::new(), Arc::<str>::default());
    if let Some(transfer) = transfer {
        let digests = known.iter().filter_map(|known| match known {
            Known::Means(digest) => Some(*digest),
            _ => None,
        });
        here = bring_most(&transfer, unique(digests.collect())).await;
        from = Arc::from(transfer.storage.link.url());
    }
    for ((_, sender), known) in told.into_iter().zip(known) {
        let _ = sender.send(match known {
            Known::Means(digest) if here.contains(&digest) => Known::Here(digest, from.clone()),
            known => known,
        });
    }
}

/// Asks for all names at once.
async fn ask(offers: &Offers, turns: &Arc<Semaphore>, told: &[Told<Known>]) -> Vec<Known> {
    let mut jobs = JoinSet::new();
    for (at, (name, _)) in told.iter().enumerate() {
        let (offers, turns, urn) = (offers.clone(), turns.clone(), artifact_urn(name));
        jobs.spawn(async move {
            let _turn = turns.acquire().await;
            for index in offers.indexes(false) {
                match index.fetch(Sort::Blob, vec![urn.clone()]).await {
                    Ok(Some(digest)) => return (at, Known::Means(digest)),
                    Ok(None) => {}
                    Err(_) => return (at, Known::Nothing),
                }
            }
            (at, Known::Absent(Instant::now()))
        });
    }
    let mut known = vec![Known::Nothing; told.len()];
    while let Some(joined) = jobs.join_next().await {
        if let Ok((at, answer)) = joined {
            known[at] = answer;
        }
    }
    known
}

/// Brings artifacts like [`bring`]: where something of one is missing or damaged, the others apart from it and its
/// neighbours. Whatever else goes wrong here goes wrong again where it is told of.
async fn bring_most(transfer: &Transfer, artifacts: Vec<Digest>) -> HashSet<Digest> {
    match bring(transfer, artifacts.clone()).await {
        Ok(here) => here,
        Err(fault) if artifacts.len() > FEW && is_of_one(&fault) => {
            let (half, other) = artifacts.split_at(artifacts.len() / 2);
            let [half, other] = [half, other].map(|part| Box::pin(bring_most(transfer, part.to_vec())));
            let (mut here, others) = tokio::join!(half, other);
            here.extend(others);
            here
        }
        Err(_) => HashSet::new(),
    }
}

/// Whether something is wrong with an artifact, and not with the server.
fn is_of_one(fault: &Fault) -> bool {
    matches!(fault.remote_kind(), Some(ErrorKind::Missing | ErrorKind::Corrupt))
}

/// Brings artifacts with their metadata, their directories, and their files if these are small. Those that are here then,
/// with all of that.
async fn bring(transfer: &Transfer, artifacts: Vec<Digest>) -> Attempt<HashSet<Digest>> {
    transfer.fetch_messages(artifacts.clone()).await?;
    let own = transfer.clone();
    let referred =
        transfer.decode_each(artifacts, move |artifact: Artifact| own.references(&artifact)).await?;
    let (mut blobs, mut roots) = (Vec::new(), Vec::new());
    for (_, references) in &referred {
        blobs.extend(&references.blobs);
        roots.extend(&references.files);
    }
    let (metadata, directories) =
        tokio::join!(transfer.fetch_blobs(unique(blobs)), transfer.fetch_directories(unique(roots.clone())));
    metadata?;
    directories?;
    transfer.fetch_small(roots, SMALL).await?;
    let cas = transfer.cas.clone();
    let whole = blocking(move || {
        let mut whole = HashSet::new();
        for (digest, references) in referred {
            if all_whole(&*cas, &references.files)? {
                whole.insert(digest);
            }
        }
        Ok(whole)
    });
    whole.await
}

fn all_whole(cas: &dyn Cas, trees: &[Digest]) -> ServiceResult<bool> {
    for tree in trees {
        if !cas.contains_tree(tree)? {
            return Ok(false);
        }
    }
    Ok(true)
}
