//! The source of every kind that downloads one file by `url` and `ref`; what becomes of the file is the kind's own.

use crate::download::Download;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// What becomes of a file that was downloaded.
pub(crate) trait Content: Clone + Send + Sync + 'static {
    /// The keys that it has in the configuration.
    const KEYS: &[&str];

    /// Reads them.
    ///
    /// # Errors
    /// Keys that are missing or wrong.
    fn read(self, reading: &Reading<'_>, download: &Download) -> Result<Self, Diagnostic>;

    /// What it adds to the key of the download.
    fn key(&self) -> Vec<KeyValue>;

    /// Stages the file.
    ///
    /// # Errors
    /// It was not fetched; it is malformed; the store.
    fn stage(&self, download: &Download, context: &StageContext<'_>) -> Result<Digest, SourceError>;

    /// Fetches the file, and stages it while it comes where that is possible.
    ///
    /// # Errors
    /// Those of fetching and staging.
    fn fetch_and_stage(
        &self,
        download: &Download,
        context: &FetchContext<'_>,
    ) -> Result<Digest, SourceError> {
        download.fetch(context)?;
        self.stage(download, context)
    }
}

/// A file that is downloaded, and what becomes of it.
#[derive(Clone)]
pub(crate) struct Downloaded<C> {
    download: Download,
    content: C,
}

impl<C: Content> Downloaded<C> {
    /// Reads the configuration; `content` is what the kind says of itself.
    ///
    /// # Errors
    /// Keys that are missing, wrong or unknown.
    pub(crate) fn configure(reading: &Reading<'_>, content: C) -> Result<Box<dyn Source>, Diagnostics> {
        let download = Download::read(reading, C::KEYS)?;
        let content = content.read(reading, &download)?;
        Ok(Box::new(Downloaded { download, content }))
    }
}

impl<C: Content> Source for Downloaded<C> {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.download.key(self.content.key()))
    }

    fn is_resolved(&self) -> bool {
        self.download.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.download.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let download = self.download.with_reference(reference)?;
        Ok(Box::new(Downloaded { download, ..self.clone() }))
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
        self.content.stage(&self.download, context)
    }

    fn fetch_and_stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        self.content.fetch_and_stage(&self.download, context)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(self.download.provenance()))
    }
}
