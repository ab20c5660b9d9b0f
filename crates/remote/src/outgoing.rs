//! Artifacts that are going to be pushed, prepared many at a time.
//!
//! A push asks what a storage lacks, sends that, asks what the names mean to an index, and publishes them. With a server
//! far away most of the time is waiting, and most artifacts are small. So of small ones all but the last is done for many
//! together, before it is their turn. Nobody sees anything of it: it is the push that publishes, after it has looked
//! itself whether all is there. Whatever is not prepared, for whatever reason, the push does itself; and it is the push
//! that says what is wrong.

use crate::ahead::{SMALL, Told, unique};
use crate::artifact::References;
use crate::fault::Attempt;
use crate::index::{Index, Sort, artifact_urn};
use crate::link::blocking;
use crate::pair::Offers;
use crate::transfer::{Transfer, tree_blobs};
use bourn_reapi::services::ServiceResult;
use bourn_reapi::{ArtifactName, Assets, Cas, Digest};
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long it counts what a name meant: meanwhile somebody else may have published it.
const FRESH: Duration = Duration::from_secs(60);

/// What was prepared for a push; nothing when it could not be.
pub(crate) type Prepared = Option<Arc<Preparation>>;

/// What was done for an artifact beforehand.
pub(crate) struct Preparation {
    /// Whether a storage lacked something of it, and was sent that.
    pub(crate) sent: bool,
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

/// An artifact with all that it is made of.
struct Parcel {
    names: Vec<ArtifactName>,
    blobs: Vec<Digest>,
}

/// Prepares artifacts with the servers of their project. Others may wait for the same turns to ask.
pub(crate) async fn prepare(
    offers: &Offers,
    cas: &Arc<dyn Cas>,
    assets: &Arc<dyn Assets>,
    turns: &Arc<Semaphore>,
    told: Vec<Told<Prepared>>,
) {
    if !offers.can(true) {
        return;
    }
    let names: Vec<ArtifactName> = told.iter().map(|(name, _)| name.clone()).collect();
    let (own, refs) = (cas.clone(), assets.clone());
    let pack = move || Ok(names.iter().map(|name| pack(&*own, &*refs, name).ok().flatten()).collect());
    let Ok(parcels): Attempt<Vec<Option<Parcel>>> = blocking(pack).await else { return };
    let since = Instant::now();
    let (lacked, meanings) = tokio::join!(send(offers, cas, &parcels), ask(offers, turns, &parcels));
    for (((_, sender), parcel), meanings) in told.into_iter().zip(parcels).zip(meanings) {
        if let Some(parcel) = parcel {
            let sent = parcel.blobs.iter().any(|digest| lacked.contains(digest));
            let _ = sender.send(Some(Arc::new(Preparation { sent, meanings, since })));
        }
    }
}

/// Finds out what an artifact is made of. `None` when it is not here as a whole, is not to be pushed, or is large.
fn pack(cas: &dyn Cas, assets: &dyn Assets, name: &ArtifactName) -> ServiceResult<Option<Parcel>> {
    let Some(artifact) = assets.artifact(name)? else { return Ok(None) };
    let (Ok(false), Ok(references)) =
        (artifact.is_tainted(), References::of(&artifact, "the local cache").map_err(drop))
    else {
        return Ok(None);
    };
    let trees = [references.files, references.extra].concat();
    let Some(mut blobs) = tree_blobs(cas, &trees, SMALL)? else { return Ok(None) };
    blobs.extend(references.blobs);
    if !cas.missing_blobs(&blobs)?.is_empty() {
        return Ok(None);
    }
    blobs.push(cas.write(&artifact.encode_to_vec())?);
    let is_small = blobs.iter().map(|digest| digest.size).sum::<u64>() <= SMALL;
    Ok(is_small.then(|| Parcel { names: artifact.names(name), blobs }))
}

/// Sends every storage what it lacks of these artifacts. What any of them lacked.
async fn send(offers: &Offers, cas: &Arc<dyn Cas>, parcels: &[Option<Parcel>]) -> HashSet<Digest> {
    let all = unique(parcels.iter().flatten().flat_map(|parcel| parcel.blobs.iter().copied()).collect());
    let mut lacked = HashSet::new();
    for storage in offers.storages(true) {
        let transfer = Transfer { storage: storage.clone(), cas: cas.clone(), meter: Arc::default() };
        // Whatever goes wrong here goes wrong again where it is told of.
        let missing = transfer.missing_there(&all).await.unwrap_or_default();
        lacked.extend(&missing);
        let _ = transfer.upload(missing).await;
    }
    lacked
}

/// Asks every index what the names of these artifacts mean.
async fn ask(offers: &Offers, turns: &Arc<Semaphore>, parcels: &[Option<Parcel>]) -> Vec<Vec<Meaning>> {
    let mut jobs = JoinSet::new();
    for (at, parcel) in parcels.iter().enumerate() {
        let names = parcel.iter().flat_map(|parcel| &parcel.names);
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
