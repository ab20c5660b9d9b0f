//! The source of kinds that download one archive and stage a directory of it: `tar`, `zip`, `deb`.

use super::{ArchiveResult, Scene};
use crate::download::Download;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Cas, Digest};
use bourn_yaml::Diagnostics;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How a kind takes its archive apart; the text is the `base-dir`, empty for all of the archive.
#[derive(Clone, Copy)]
pub(crate) enum Unpack {
    /// From its start to its end, so also while it is downloaded.
    Stream(fn(Box<dyn Read + Send>, &str, &dyn Cas) -> ArchiveResult<Scene>),
    /// With a look at its end first.
    File(fn(File, &str, &dyn Cas) -> ArchiveResult<Scene>),
}

/// A downloaded archive.
#[derive(Clone)]
pub(crate) struct ArchiveSource {
    download: Download,
    /// Which directory of the archive is staged: a glob, or empty for all of it.
    base_dir: String,
    unpack: Unpack,
}

impl ArchiveSource {
    /// Reads the configuration: that of a download, and `base-dir`.
    ///
    /// # Errors
    /// Keys that are missing, wrong or unknown.
    pub(crate) fn configure(
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
        unpack: Unpack,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let reading = Reading::new(declaration, context);
        let download = Download::read(&reading, &["base-dir"])?;
        let base_dir = reading.node.opt_str("base-dir")?.unwrap_or("*").to_owned();
        Ok(Box::new(ArchiveSource { download, base_dir, unpack }))
    }
}

impl Source for ArchiveSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.download.key([(*self.base_dir).into()]))
    }

    fn is_resolved(&self) -> bool {
        self.download.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.download.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let download = self.download.with_reference(reference)?;
        Ok(Box::new(ArchiveSource { download, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.download.file().is_kept(source_directory))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        self.download.track(context).map(Some)
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(self.download.file().remote(context.source_directory).into_iter().collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.download.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let file = self.download.file().open(context)?;
        let scene = match self.unpack {
            Unpack::Stream(unpack) => unpack(Box::new(file), &self.base_dir, context.cas),
            Unpack::File(unpack) => unpack(file, &self.base_dir, context.cas),
        };
        let tree = scene.and_then(|scene| scene.store(context.cas));
        tree.map_err(|error| error.staging(&self.download.url))
    }

    /// The content of files comes into the store while the archive is downloaded, where nothing refers to it; the
    /// tree follows when the archive has turned out to be the right one.
    fn fetch_and_stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        let scene = Mutex::new(None);
        let keep = |made| *scene.lock().unwrap_or_else(PoisonError::into_inner) = made;
        let whole = match self.unpack {
            Unpack::Stream(unpack) => self.download.fetch_beside(context, &|pieces| {
                keep(unpack(Box::new(pieces), &self.base_dir, context.cas).ok());
            })?,
            Unpack::File(_) => self.download.fetch(context).map(|()| false)?,
        };
        self.validate(context)?;
        match scene.into_inner().unwrap_or_else(PoisonError::into_inner).filter(|_| whole) {
            Some(scene) => scene.store(context.cas).map_err(|error| error.staging(&self.download.url)),
            // Also to say what is wrong with it.
            None => self.stage(context),
        }
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(self.download.provenance()))
    }
}
