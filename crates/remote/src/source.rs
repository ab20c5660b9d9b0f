//! Sources: those of a whole element as a message, one alone as the root of its tree.

use crate::ahead::Known;
use crate::fault::{Attempt, Fault, Here};
use crate::index::{Publication, Sort, source_urn};
use crate::pair::Exchange;
use crate::transfer::Transfer;
use bourn_reapi::services::{ErrorKind, ServiceResult, SourceName};
use bourn_reapi::{Digest, Source};
use prost::Message;

impl Exchange<'_> {
    /// Brings a source tree; `None` when nobody has it whole.
    ///
    /// # Errors
    /// Nobody had it, and somebody could not be asked; the local store failed.
    pub(crate) async fn pull_source(&self, name: &SourceName) -> ServiceResult<Option<Source>> {
        let (urn, sort) = source_urn(name);
        let take = |digest| self.bring(move |transfer| fetch(transfer, sort, digest));
        self.resolve(sort, &urn, Known::Nothing, take).await.map_err(|fault| self.failed("pull", fault))
    }

    /// Sends a source tree and then publishes it. Whether an index did not have it.
    ///
    /// # Errors
    /// A server failed.
    pub(crate) async fn push_source(&self, name: &SourceName, source: &Source) -> ServiceResult<bool> {
        if !self.offers.can(true) {
            return Ok(false);
        }
        let (urn, sort) = source_urn(name);
        let push = async {
            let files = files(source, "the local cache")?;
            let mut publication = Publication { digest: files, blobs: Vec::new(), directories: Vec::new() };
            let mut blobs = Vec::new();
            if sort == Sort::Blob {
                publication.digest = self.cas.write(&source.encode_to_vec()).here()?;
                publication.directories.push(files);
                blobs.push(publication.digest);
            }
            let sent = self.send(vec![files], blobs).await?;
            self.publish(sort, &[urn], &publication, sent).await
        };
        push.await.map_err(|fault| self.failed("push", fault))
    }
}

fn files(source: &Source, from: &str) -> Attempt<Digest> {
    let digest = source.files.as_ref().and_then(|files| Digest::try_from(files).ok());
    digest.ok_or_else(|| Fault::remote(ErrorKind::Corrupt, format!("{from}: the source has no files")))
}

/// Brings a source tree from one storage.
async fn fetch(transfer: Transfer, sort: Sort, digest: Digest) -> Attempt<Source> {
    let source = match sort {
        Sort::Directory => Source { version: 0, files: Some(digest.into()) },
        Sort::Blob => {
            transfer.fetch_messages(vec![digest]).await?;
            transfer.decode(digest).await?
        }
    };
    let root = files(&source, transfer.storage.link.url())?;
    transfer.fetch_trees(vec![root]).await?;
    Ok(source)
}
