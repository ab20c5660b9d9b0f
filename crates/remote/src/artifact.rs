//! Artifacts: their message first, then all that it refers to; and the other way round.

use crate::ahead::Known;
use crate::fault::{Attempt, Fault};
use crate::index::{Index, Publication, Sort, artifact_urn};
use crate::link::blocking;
use crate::pair::{Exchange, is_refusal};
use crate::transfer::{LARGEST_MESSAGE, Transfer};
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{Artifact, ArtifactName, Digest};
use prost::Message;
use prost::bytes::Bytes;
use std::sync::Arc;

/// What an artifact refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Its files.
    pub(crate) files: Vec<Digest>,
    /// Metadata and logs.
    pub(crate) blobs: Vec<Digest>,
    /// The metadata alone, which is read as a whole.
    pub(crate) messages: Vec<Digest>,
    /// Trees that only those get who ask for them.
    pub(crate) extra: Vec<Digest>,
}

impl References {
    pub(crate) fn of(artifact: &Artifact, from: &str) -> Attempt<References> {
        let read = |messages: Vec<Option<&DigestMessage>>| {
            let digests = messages.into_iter().flatten().map(Digest::try_from);
            digests.collect::<Result<Vec<Digest>, _>>().map_err(|error| {
                Fault::remote(ErrorKind::Corrupt, format!("{from}: the artifact is malformed: {error}"))
            })
        };
        let messages = vec![
            artifact.low_diversity_meta.as_ref(),
            artifact.high_diversity_meta.as_ref(),
            artifact.public_data.as_ref(),
        ];
        let mut blobs = messages.clone();
        blobs.extend(artifact.logs.iter().map(|log| log.digest.as_ref()));
        let mut extra =
            vec![artifact.buildtree.as_ref(), artifact.sources.as_ref(), artifact.buildroot.as_ref()];
        extra.extend(artifact.buildsandbox.iter().flat_map(|state| &state.subsandbox_digests).map(Some));
        Ok(References {
            files: read(vec![artifact.files.as_ref()])?,
            blobs: read(blobs)?,
            messages: read(messages)?,
            extra: read(extra)?,
        })
    }
}

impl Exchange<'_> {
    /// Brings an artifact; `None` when nobody has it whole.
    ///
    /// # Errors
    /// Nobody had it, and somebody could not be asked; the local store failed.
    pub(crate) async fn pull_artifact(
        &self,
        name: &ArtifactName,
        build_tree: bool,
        known: Known,
    ) -> ServiceResult<Option<Artifact>> {
        if let Known::Here(digest, from) = &known
            && !build_tree
            && let Some(artifact) = self.prepared(name, *digest).await
        {
            self.pulled(from);
            return Ok(Some(artifact));
        }
        let take = |digest| self.bring(move |transfer| fetch(transfer, name, digest, build_tree));
        self.resolve(Sort::Blob, &artifact_urn(name), known, take)
            .await
            .map_err(|fault| self.failed("pull", fault))
    }

    /// An artifact that came beforehand. What is wrong with it shows when it is asked for.
    async fn prepared(&self, name: &ArtifactName, digest: Digest) -> Option<Artifact> {
        let cas = self.cas.clone();
        let content = blocking(move || cas.read(&digest)).await.ok()?;
        Artifact::decode(Bytes::from(content)).ok().filter(|artifact| is_named(artifact, name))
    }

    /// Sends an artifact and then publishes it under its names. Whether an index did not have it.
    ///
    /// # Errors
    /// A server failed.
    pub(crate) async fn push_artifact(
        &self,
        names: &[ArtifactName],
        artifact: &Artifact,
    ) -> ServiceResult<bool> {
        if !self.offers.can(true) {
            return Ok(false);
        }
        let push = async {
            let uris: Vec<String> = names.iter().map(artifact_urn).collect();
            let (publication, sent) = self.send_artifact(artifact, &uris).await?;
            self.publish(Sort::Blob, &uris, &publication, sent).await
        };
        push.await.map_err(|fault| self.failed("push", fault))
    }

    async fn send_artifact(&self, artifact: &Artifact, uris: &[String]) -> Attempt<(Publication, Sent)> {
        let references = References::of(artifact, "the local cache")?;
        let held = self.held(references.extra.clone()).await?;
        let trees = references.files.iter().copied();
        let trees: Vec<Digest> =
            trees.chain(held.iter().filter(|(_, whole)| *whole).map(|(tree, _)| *tree)).collect();
        let content = artifact.encode_to_vec();
        let cas = self.cas.clone();
        let digest = blocking(move || cas.write(&content)).await?;
        let blobs = [references.blobs.as_slice(), &[digest]].concat();
        self.doubt(uris, digest);
        let sent = self.send(trees.clone(), blobs).await?;
        let mut directories = trees;
        // What is not here may have been sent by whoever built it.
        for (tree, _) in held.into_iter().filter(|(_, whole)| !whole) {
            if self.everywhere(tree).await? {
                directories.push(tree);
            }
        }
        Ok((Publication { digest, blobs: references.blobs, directories }, sent))
    }

    /// Has storages asked once more for what was sent beforehand, if it is going to be published: a server may have lost
    /// it since then, and nobody would notice.
    fn doubt(&self, uris: &[String], digest: Digest) {
        let Some(prepared) = &self.prepared else { return };
        let is_published = |index| prepared.all_mean(index, uris, digest) == Some(true);
        if !self.offers.indexes(true).all(is_published) {
            self.offers.storages(true).for_each(|storage| storage.forget(&prepared.blobs));
        }
    }

    /// Whether all storages have a blob.
    async fn everywhere(&self, digest: Digest) -> Attempt<bool> {
        for storage in self.offers.storages(true) {
            if !self.transfer(storage).is_there(digest).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends trees and blobs to every storage.
    pub(crate) async fn send(&self, trees: Vec<Digest>, blobs: Vec<Digest>) -> Attempt<Sent> {
        let mut breaks = Vec::new();
        for storage in self.offers.storages(true) {
            let url = storage.link.url();
            self.report.status(&format!("Pushing data from {} -> {url}", self.what));
            breaks.push(storage.link.breaks());
            let sent = self.transfer(storage).send_trees(trees.clone(), blobs.clone()).await?;
            match sent || self.prepared.as_ref().is_some_and(|prepared| prepared.was_sent_to(storage)) {
                true => self.report.info(&format!("Pushed data from {} -> {url}", self.what)),
                false => {
                    self.report.info(&format!("Remote ({url}) already has all data of {} cached", self.what))
                }
            }
        }
        Ok(Sent { trees, blobs, breaks })
    }

    /// Where a connection broke since this was sent, the server may have lost what it said that it had: it is asked once
    /// more.
    async fn send_again(&self, sent: &mut Sent) -> Attempt<()> {
        /// A server that is gone now and then is believed at last.
        const ROUNDS: usize = 3;
        for (storage, breaks) in self.offers.storages(true).zip(&mut sent.breaks) {
            for _ in 0..ROUNDS {
                let now = storage.link.breaks();
                if now == *breaks {
                    break;
                }
                *breaks = now;
                self.transfer(storage).send_trees(sent.trees.clone(), sent.blobs.clone()).await?;
            }
        }
        Ok(())
    }

    /// Whether an index has these names already. What others staged of a single source counts as long as it is there: it
    /// may differ in what does not matter, such as the times in a repository, and need not change with everybody who
    /// pushes.
    async fn is_published(
        &self,
        index: &Arc<Index>,
        sort: Sort,
        uris: &[String],
        digest: Digest,
    ) -> Attempt<bool> {
        if let Some(all_mean) =
            self.prepared.as_ref().and_then(|prepared| prepared.all_mean(index, uris, digest))
        {
            return Ok(all_mean);
        }
        match sort {
            Sort::Blob => index.all_mean(sort, uris, digest).await,
            Sort::Directory => match index.fetch(sort, uris.to_vec()).await? {
                Some(other) => Ok(other == digest || self.everywhere(other).await?),
                None => Ok(false),
            },
        }
    }

    /// Publishes names in every index that does not have them yet. Whether there was one.
    pub(crate) async fn publish(
        &self,
        sort: Sort,
        uris: &[String],
        publication: &Publication,
        mut sent: Sent,
    ) -> Attempt<bool> {
        let mut pushed = false;
        for index in self.offers.indexes(true) {
            let url = index.link.url();
            self.report.status(&format!("Pushing {} -> {url}", self.what));
            let is_there = match self.is_published(index, sort, uris, publication.digest).await {
                // A server that cannot say may take it nevertheless.
                Err(fault) if is_refusal(sort, &fault) => false,
                asked => asked?,
            };
            self.send_again(&mut sent).await?;
            if is_there {
                self.report.info(&format!("Remote ({url}) already has {} cached", self.what));
                continue;
            }
            match index.push(sort, uris.to_vec(), publication).await {
                Err(fault) if is_refusal(sort, &fault) => {
                    self.without_directories(url, fault);
                    continue;
                }
                done => done?,
            }
            let what = match self.what.split_once(' ') {
                Some((sort, key)) => format!("Pushed {sort} {key} -> {url}"),
                None => format!("Pushed {} -> {url}", self.what),
            };
            self.report.info(&what);
            pushed = true;
        }
        Ok(pushed)
    }
}

/// What every storage was sent, unless it had it.
pub(crate) struct Sent {
    trees: Vec<Digest>,
    blobs: Vec<Digest>,
    /// How often something had been broken off then, on the way to each storage.
    breaks: Vec<u64>,
}

/// Whether an artifact may be kept under this name.
fn is_named(artifact: &Artifact, name: &ArtifactName) -> bool {
    [&artifact.strong_key, &artifact.weak_key, &artifact.strict_key].contains(&&name.key)
}

impl Transfer {
    /// What an artifact that came from this server refers to.
    ///
    /// # Errors
    /// It is malformed, or its metadata is too large to be read as a whole.
    pub(crate) fn references(&self, artifact: &Artifact) -> Attempt<References> {
        let references = References::of(artifact, self.storage.link.url())?;
        self.assert_sizes(&references.messages, LARGEST_MESSAGE)?;
        Ok(references)
    }
}

/// Brings an artifact from one storage.
async fn fetch(
    transfer: Transfer,
    name: &ArtifactName,
    digest: Digest,
    build_tree: bool,
) -> Attempt<Artifact> {
    transfer.fetch_messages(vec![digest]).await?;
    let url = transfer.storage.link.url();
    let artifact: Artifact = transfer.decode(digest).await?;
    if !is_named(&artifact, name) {
        let text = format!("{url}: what is kept as artifact {name} is another artifact");
        return Err(Fault::remote(ErrorKind::Corrupt, text));
    }
    let references = transfer.references(&artifact)?;
    let mut trees = references.files;
    if build_tree {
        trees.extend(references.extra);
    }
    let (blobs, trees) = tokio::join!(transfer.fetch_blobs(references.blobs), transfer.fetch_trees(trees));
    blobs?;
    trees?;
    Ok(artifact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_references_are_found() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let mut artifact = Artifact {
            files: Some(digest("files").into()),
            buildtree: Some(digest("tree").into()),
            low_diversity_meta: Some(digest("low").into()),
            ..Artifact::default()
        };
        let log = bourn_reapi::LogFile { name: "log".into(), digest: Some(digest("log").into()) };
        artifact.logs.push(log);
        let references = References::of(&artifact, "x").unwrap();
        let expect = References {
            files: vec![digest("files")],
            blobs: vec![digest("low"), digest("log")],
            messages: vec![digest("low")],
            extra: vec![digest("tree")],
        };
        assert_eq!(references, expect);
        artifact.files = Some(DigestMessage::default());
        let error = References::of(&artifact, "x").unwrap_err().into_error();
        assert_eq!(error.kind, ErrorKind::Corrupt);
    }
}
