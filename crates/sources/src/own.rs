//! Sources made of what the project has itself: nothing is tracked or fetched, and there is no ref.

use bourn_plan::*;
use bourn_reapi::Digest;
use bourn_reapi::services::ExportOptions;
use bourn_yaml::Diagnostics;
use std::path::Path;

/// What such a source has to say; the methods mean what those of [`Source`] do.
pub(crate) trait OwnFiles: Clone + Send + Sync + 'static {
    /// Whether it works on what earlier sources staged.
    const CHANGES_PREVIOUS: bool = false;

    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError>;

    /// Whether what it names is there.
    fn is_there(&self) -> bool {
        true
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError>;

    /// Why no workspace can be opened on it.
    fn refuses_workspace(&self, _directory: &Path) -> Option<SourceError> {
        None
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError>;

    fn local_path(&self) -> Option<&Path> {
        None
    }
}

/// Such a source as a [`Source`].
pub(crate) struct Own<T>(pub(crate) T);

impl<T: OwnFiles> Source for Own<T> {
    fn unique_key(&self, local: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        self.0.unique_key(local)
    }

    fn is_resolved(&self) -> bool {
        self.0.is_there()
    }

    fn reference(&self) -> Option<SourceRef> {
        None
    }

    fn with_reference(&self, _: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Own(self.0.clone())))
    }

    fn previous(&self) -> Previous {
        Previous { stage: T::CHANGES_PREVIOUS, ..Previous::default() }
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Ok(true)
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Ok(None)
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        self.0.stage(context)
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(Vec::new()))
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        if let Some(refusal) = self.0.refuses_workspace(directory) {
            return Err(refusal);
        }
        let options = ExportOptions { merge: true, ..ExportOptions::default() };
        Ok(context.cas.export_tree(&self.stage(context)?, directory, &options)?)
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        self.0.provenance(context)
    }

    fn local_path(&self) -> Option<&Path> {
        self.0.local_path()
    }
}
