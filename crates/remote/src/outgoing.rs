//! Artifacts that are going to be pushed, prepared many at a time.
//!
//! A push asks what a storage lacks, sends that, asks what the names mean to an index, and publishes them. With a server
//! far away most of the time is waiting, and most artifacts are small. So of small ones all but the last is done for many
//! together, before it is their turn. Nobody sees anything of it: it is the push that publishes, and before it does, it
//! looks itself whether all is still there. Whatever is not prepared, for whatever reason, the push does itself; and it is
//! the push that says what is wrong.

use crate::ahead::{SMALL, Told};
use crate::artifact::References;
use crate::fault::Attempt;
use crate::index::{Index, Sort, artifact_urn};
use crate::link::blocking;
use crate::pair::Offers;
use crate::storage::Storage;
use crate::transfer::{Transfer, bytes, tree_blobs};
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{ArtifactName, Assets, Cas, Digest};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long it counts what a name meant: meanwhile somebody else may have published it.
const FRESH: Duration = Duration::from_secs(10);

/// Artifacts that are prepared at a time: pushes that are not prepared want to get on as well.
pub(crate) const AT_A_TIME: usize = 256;

/// What was prepared for a push; nothing when it could not be.
pub(crate) type Prepared = Option<Arc<Preparation>>;

/// What was done for an artifact beforehand.
pub(crate) struct Preparation {
    /// Storages that lacked something of it, and were sent that.
    sent_to: Vec<Arc<Storage>>,
    /// What it is made of.
    pub(crate) blobs: Vec<Digest>,
    meanings: Vec<Meaning>,
    since: Instant,
}

/// What a name means to an index.
struct Meaning {
    index: Arc<Index>,
    uri: String,
    digest: Option<Digest>,
    /// How often something had been broken off on the way there: the index may be another one since then.
    breaks: u64,
}

impl Preparation {
    /// Whether a storage was sent something.
    pub(crate) fn was_sent_to(&self, storage: &Arc<Storage>) -> bool {
        self.sent_to.iter().any(|other| Arc::ptr_eq(other, storage))
    }

    /// Whether all names mean this to an index; `None` if that has to be asked.
    pub(crate) fn all_mean(&self, index: &Arc<Index>, uris: &[String], digest: Digest) -> Option<bool> {
        let breaks = index.link.breaks();
        let meaning = |uri: &String| {
            let is_it = |meaning: &&Meaning| Arc::ptr_eq(&meaning.index, index) && meaning.uri == *uri;
            self.meanings.iter().find(is_it).filter(|meaning| meaning.breaks == breaks)
        };
        if self.since.elapsed() > FRESH {
            return None;
        }
        let all: Option<Vec<&Meaning>> = uris.iter().map(meaning).collect();
        Some(all?.iter().all(|meaning| meaning.digest == Some(digest)))
    }
}

/// An artifact with all that it is made of, and whom to tell when it is prepared.
struct Parcel {
    told: watch::Sender<Prepared>,
    names: Vec<ArtifactName>,
    blobs: Vec<Digest>,
}

/// Prepares artifacts with the servers of their project. Others may wait for the same turns to ask, and to prepare.
pub(crate) async fn prepare(
    offers: &Offers,
    cas: &Arc<dyn Cas>,
    assets: &Arc<dyn Assets>,
    (turns, room): (&Arc<Semaphore>, &Semaphore),
    told: Vec<Told<Prepared>>,
) {
    let _room = room.acquire_many(told.len() as u32).await;
    if !offers.can(true) {
        return;
    }
    let (own, refs) = (cas.clone(), assets.clone());
    let pack = move |(name, told): Told<Prepared>| {
        let (names, blobs) = pack(&*own, &*refs, &name).ok().flatten()?;
        Some(Parcel { told, names, blobs })
    };
    // Whoever waits for one that is not prepared goes on.
    let Ok(parcels): Attempt<Vec<Parcel>> =
        blocking(move || Ok(told.into_iter().filter_map(pack).collect())).await
    else {
        return;
    };
    let (lacked, meanings) = tokio::join!(send(offers, cas, &parcels), ask(offers, turns, &parcels));
    let since = Instant::now();
    for (Parcel { told, blobs, .. }, meanings) in parcels.into_iter().zip(meanings) {
        let is_lacked = |missing: &HashSet<Digest>| blobs.iter().any(|digest| missing.contains(digest));
        let sent_to = lacked.iter().filter(|(_, missing)| is_lacked(missing));
        let sent_to = sent_to.map(|(storage, _)| storage.clone()).collect();
        let _ = told.send(Some(Arc::new(Preparation { sent_to, blobs, meanings, since })));
    }
}

/// Finds out what an artifact is called and made of. `None` when it is not here as a whole, is not to be pushed, or is
/// large.
fn pack(
    cas: &dyn Cas,
    assets: &dyn Assets,
    name: &ArtifactName,
) -> ServiceResult<Option<(Vec<ArtifactName>, Vec<Digest>)>> {
    let Some(artifact) = assets.artifact(name)?.filter(|artifact| artifact.encoded_len() as u64 <= SMALL)
    else {
        return Ok(None);
    };
    let (Ok(false), Ok(references)) =
        (artifact.is_tainted(), References::of(&artifact, "the local cache").map_err(drop))
    else {
        return Ok(None);
    };
    let trees = [references.files, references.extra].concat();
    let Some(mut blobs) = tree_blobs(cas, &trees, SMALL)? else { return Ok(None) };
    blobs.extend(references.blobs);
    if bytes(&blobs) > SMALL || !cas.missing_blobs(&blobs)?.is_empty() {
        return Ok(None);
    }
    blobs.push(cas.write(&artifact.encode_to_vec())?);
    Ok(Some((artifact.names(name), blobs)))
}

/// Sends every storage what it lacks of these artifacts. What each lacked.
async fn send(
    offers: &Offers,
    cas: &Arc<dyn Cas>,
    parcels: &[Parcel],
) -> Vec<(Arc<Storage>, HashSet<Digest>)> {
    let all: Vec<Digest> = parcels.iter().flat_map(|parcel| parcel.blobs.iter().copied()).collect();
    let mut lacked = Vec::new();
    for storage in offers.storages(true) {
        let transfer = Transfer { storage: storage.clone(), cas: cas.clone(), meter: Arc::default() };
        // Whatever goes wrong here goes wrong again where it is told of.
        let missing = transfer.missing_there(&all).await.unwrap_or_default();
        let _ = transfer.upload(storage.unknown(&missing)).await;
        lacked.push((storage.clone(), missing.into_iter().collect()));
    }
    lacked
}

/// Asks every index what the names of these artifacts mean. Names that several of them have are left out: what they mean
/// changes with each push.
async fn ask(offers: &Offers, turns: &Arc<Semaphore>, parcels: &[Parcel]) -> Vec<Vec<Meaning>> {
    let mut counts: HashMap<&ArtifactName, usize> = HashMap::new();
    parcels.iter().flat_map(|parcel| &parcel.names).for_each(|name| *counts.entry(name).or_default() += 1);
    let mut jobs = JoinSet::new();
    for (at, parcel) in parcels.iter().enumerate() {
        let names = parcel.names.iter().filter(|name| counts.get(name) == Some(&1));
        for (name, index) in names.flat_map(|name| offers.indexes(true).map(move |index| (name, index))) {
            let (index, turns, uri) = (index.clone(), turns.clone(), artifact_urn(name));
            jobs.spawn(async move {
                let _turn = turns.acquire().await;
                let breaks = index.link.breaks();
                let digest = index.fetch(Sort::Blob, vec![uri.clone()]).await.ok()?;
                Some((at, Meaning { index, uri, digest, breaks }))
            });
        }
    }
    let mut meanings: Vec<Vec<Meaning>> = parcels.iter().map(|_| Vec::new()).collect();
    while let Some(joined) = jobs.join_next().await {
        if let Ok(Some((at, meaning))) = joined {
            meanings[at].push(meaning);
        }
    }
    meanings
}
