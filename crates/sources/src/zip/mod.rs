//! `zip`: an archive in zip format.

use crate::archive::zipfile::{self, ZipStrip};
use crate::download::Download;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct Zip;

#[derive(Clone)]
struct ZipSource {
    download: Download,
    /// Which directory of the archive is staged: a glob, or empty for all of it.
    base_dir: String,
}

impl SourceKind for Zip {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<ZipSource, Diagnostic> {
    let download = Download::read(reading, &["base-dir"])?;
    let base_dir = reading.node.opt_str("base-dir")?.unwrap_or("*").to_owned();
    Ok(ZipSource { download, base_dir })
}

impl Source for ZipSource {
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
        Ok(Box::new(ZipSource { download, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.download.file().is_kept(source_directory))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        self.download.track(context).map(Some)
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.download.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let file = self.download.file().open(context)?;
        let strip = match self.base_dir.as_str() {
            "" => ZipStrip::Nothing,
            pattern => ZipStrip::Base(pattern.to_owned()),
        };
        let scene = zipfile::extract(file, &strip, context.cas);
        let tree = scene.and_then(|scene| scene.store(context.cas));
        tree.map_err(|error| error.staging(&self.download.url))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(self.download.provenance()))
    }
}
