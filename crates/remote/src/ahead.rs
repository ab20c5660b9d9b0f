//! Artifacts that are going to be pulled, prepared many at a time.
//!
//! A pull takes a few questions that wait for each other: which blob the name means, what that refers to, the
//! directories of its files, the files. With a server far away most of the time is waiting, and most
//! artifacts are small. So the questions of many pulls are asked together. Whatever does not come this way, for
//! whatever reason, the pull asks for itself; and it is the pull that says what is wrong.

use crate::fault::Attempt;
use crate::index::{Sort, artifact_urn};
use crate::pair::Offers;
use crate::transfer::{LARGEST_MESSAGE, Transfer};
use bourn_reapi::{Artifact, ArtifactName, Digest};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Artifacts that are prepared together: the first can be pulled while the next still come.
pub(crate) const TOGETHER: usize = 64;

/// Questions for names that are under way at a time.
pub(crate) const QUESTIONS: usize = 256;

/// The files of an artifact come beforehand when they have no more bytes than this.
const SMALL: u64 = 512 << 10;

/// How long it counts that nobody knew a name: meanwhile somebody else may have built it.
const FRESH: Duration = Duration::from_secs(10);

/// What is known of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    /// Nothing.
    Nothing,
    /// Nobody knew it then.
    Absent(Instant),
    /// What it means.
    Means(Digest),
}

/// What names of artifacts mean, as far as it is known or being found out.
#[derive(Default)]
pub(crate) struct Ahead(Mutex<HashMap<ArtifactName, watch::Receiver<Known>>>);

/// Whom to tell when a name is prepared.
pub(crate) type Told = (ArtifactName, watch::Sender<Known>);

impl Ahead {
    /// Notes names that are going to be prepared; those that are already are left out.
    pub(crate) fn note(&self, names: &[ArtifactName]) -> Vec<Told> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for name in names {
            if !all.contains_key(name) {
                let (sender, receiver) = watch::channel(Known::Nothing);
                all.insert(name.clone(), receiver);
                new.push((name.clone(), sender));
            }
        }
        new
    }

    /// What is known of a name, once it is prepared. Asked once: the next pull asks the servers.
    pub(crate) async fn take(&self, name: &ArtifactName) -> Known {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let Some(mut receiver) = waiting else { return Known::Nothing };
        // An error says that nobody prepares it any more.
        let _ = receiver.changed().await;
        let known = *receiver.borrow();
        match known {
            Known::Absent(since) if since.elapsed() > FRESH => Known::Nothing,
            known => known,
        }
    }
}

/// Prepares artifacts with the servers of their project.
pub(crate) async fn prepare(offers: &Offers, transfer: Option<Transfer>, told: Vec<Told>) {
    let known = ask(offers, &told).await;
    if let Some(transfer) = transfer {
        let digests = known.iter().filter_map(|known| match known {
            Known::Means(digest) => Some(*digest),
            _ => None,
        });
        // Whatever goes wrong here goes wrong again where it is told of.
        let _ = bring(&transfer, digests.collect()).await;
    }
    for ((_, sender), known) in told.into_iter().zip(known) {
        let _ = sender.send(known);
    }
}

/// Asks for all names at once.
async fn ask(offers: &Offers, told: &[Told]) -> Vec<Known> {
    let turns = Arc::new(Semaphore::new(QUESTIONS));
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

/// Brings artifacts with their metadata, their directories, and their files if these are small.
async fn bring(transfer: &Transfer, artifacts: Vec<Digest>) -> Attempt<()> {
    transfer.fetch_messages(artifacts.clone()).await?;
    let (mut blobs, mut roots) = (Vec::new(), Vec::new());
    for digest in artifacts {
        let artifact: Artifact = transfer.decode(digest).await?;
        let references = crate::artifact::References::of(&artifact, transfer.storage.link.url())?;
        transfer.assert_sizes(&references.messages, LARGEST_MESSAGE)?;
        blobs.extend(references.blobs);
        roots.extend(references.files);
    }
    let (metadata, directories) =
        tokio::join!(transfer.fetch_blobs(unique(blobs)), transfer.fetch_directories(unique(roots.clone())));
    metadata?;
    directories?;
    transfer.fetch_small(roots, SMALL).await
}

fn unique(mut digests: Vec<Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    digests.retain(|digest| seen.insert(*digest));
    digests
}
