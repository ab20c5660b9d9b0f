//! `remote`: a file as it is.

use crate::download::Download;
use crate::reading::Reading;
use crate::url::basename;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Digest, Directory, FileNode};
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct Remote;

#[derive(Clone)]
struct RemoteSource {
    download: Download,
    /// Name of the staged file.
    file_name: String,
    /// Whether it may be executed.
    executable: bool,
}

impl SourceKind for Remote {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<RemoteSource, Diagnostic> {
    let download = Download::read(reading, &["filename", "executable"])?;
    let file_name = reading.node.opt_str("filename")?.unwrap_or(basename(&download.url)).to_owned();
    let executable = reading.node.opt_bool("executable")?.unwrap_or(false);
    if file_name.contains('/') {
        let message = "filename parameter cannot contain directories";
        return Err(reading.error("filename-contains-directory", message));
    }
    Ok(RemoteSource { download, file_name, executable })
}

impl Source for RemoteSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.download.key([(*self.file_name).into(), KeyValue::Bool(self.executable)]))
    }

    fn is_resolved(&self) -> bool {
        self.download.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.download.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let download = self.download.with_reference(reference)?;
        Ok(Box::new(RemoteSource { download, ..self.clone() }))
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
        let content = self.download.file().open(context)?;
        let digest = context.cas.write_from(&mut { content })?;
        let file = FileNode {
            name: self.file_name.clone(),
            digest: Some(digest.into()),
            is_executable: self.executable,
            node_properties: None,
        };
        Ok(context.cas.write_directory(&Directory { files: vec![file], ..Directory::default() })?)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(self.download.provenance()))
    }
}
