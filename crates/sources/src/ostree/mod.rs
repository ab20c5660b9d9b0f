//! `ostree`: a commit of an OSTree repository, by the host's `ostree`.

use crate::declared::{Declared, reference};
use crate::key;
use crate::reading::{PathKind, Reading};
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct Ostree;

#[derive(Clone)]
struct OstreeSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    reference: Option<String>,
    /// Branch.
    track: Option<String>,
    /// File with the public keys that commits must be signed by.
    gpg_key: Option<PathBuf>,
}

impl SourceKind for Ostree {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<OstreeSource, Diagnostic> {
    reading.keys(&["url", "ref", "track", "gpg-key"])?;
    let node = reading.node;
    let original_url = node.get_str("url")?.to_owned();
    let url = reading.translate(&original_url)?;
    let reference = node.opt_str("ref")?.map(str::to_owned);
    let track = node.opt_str("track")?.map(str::to_owned);
    if reference.is_none() && track.is_none() {
        return Err(reading.error("missing-track-and-ref", "OSTree sources require a ref and/or track"));
    }
    let key = node.opt_scalar("gpg-key")?.map(|key| reading.path_of(key, PathKind::File)).transpose()?;
    let gpg_key = key.map(|(_, path)| path);
    Ok(OstreeSource { declared: reading.declared(), original_url, url, reference, track, gpg_key })
}

impl Source for OstreeSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![(*self.original_url).into(), key::optional(self.reference.as_deref())]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(OstreeSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Err(self.declared.later("looked up"))
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.declared.later("tracked"))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Err(self.declared.later("fetched"))
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Err(self.declared.later("staged"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}
