//! `tar`: an archive in tar format, compressed or not.

use crate::archive::{self, Rules};
use crate::download::Download;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct Tar;

#[derive(Clone)]
struct TarSource {
    download: Download,
    /// Which directory of the archive is staged: a glob, or empty for all of it.
    base_dir: String,
}

impl SourceKind for Tar {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<TarSource, Diagnostic> {
    let download = Download::read(reading, &["base-dir"])?;
    let base_dir = reading.node.opt_str("base-dir")?.unwrap_or("*").to_owned();
    Ok(TarSource { download, base_dir })
}

impl Source for TarSource {
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
        Ok(Box::new(TarSource { download, ..self.clone() }))
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
        let scene = archive::unpack(file, context.cas, |members| {
            Ok(Rules::data(archive::base(members, &self.base_dir)?))
        });
        let tree = scene.and_then(|scene| scene.store(context.cas));
        tree.map_err(|error| error.staging(&self.download.url))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(self.download.provenance()))
    }
}
