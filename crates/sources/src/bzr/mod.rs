//! `bzr`: a revision of a Bazaar branch, by the host's `bzr`.

use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct Bzr;

#[derive(Clone)]
struct BzrSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    /// Branch.
    track: String,
    /// Number of the revision.
    reference: Option<String>,
    version: Option<String>,
}

impl SourceKind for Bzr {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BzrSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let versions = release >= Release(2, 5, 0);
    let keys = ["url", "track", "ref", "version"];
    reading.keys(if versions { &keys } else { &keys[..3] })?;
    let node = reading.node;
    let original_url = node.get_str("url")?.to_owned();
    Ok(BzrSource {
        declared: reading.declared(),
        track: node.get_str("track")?.to_owned(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
        version: node.opt_str("version")?.map(str::to_owned),
    })
}

impl Source for BzrSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let reference = key::optional(self.reference.as_deref());
        let mut values = vec![(*self.original_url).into(), (*self.track).into(), reference];
        values.extend(self.version.as_deref().map(KeyValue::from));
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BzrSource { reference, ..self.clone() }))
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
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        Ok(Some(vec![self.declared.provenance(Origin {
            url: &self.url,
            medium: "bzr",
            version_type: "commit",
            version: self.reference.as_deref(),
            guess: self.version.clone(),
            extra: Vec::new(),
        })]))
    }
}
