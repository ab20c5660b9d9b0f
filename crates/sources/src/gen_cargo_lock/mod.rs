//! `gen_cargo_lock`: a `Cargo.lock` that upstream does not ship, kept whole in the ref.

use crate::declared::{Declared, reference};
use crate::key;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct GenCargoLock;

#[derive(Clone)]
struct GenCargoLockSource {
    declared: Declared,
    /// The file in Base64.
    reference: Option<String>,
}

impl SourceKind for GenCargoLock {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GenCargoLockSource, Diagnostic> {
    reading.keys(&["ref"])?;
    let reference = reading.node.opt_str("ref")?.map(str::to_owned);
    Ok(GenCargoLockSource { declared: reading.declared(), reference })
}

impl Source for GenCargoLockSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(key::optional(self.reference.as_deref()))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(GenCargoLockSource { reference, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Ok(self.is_resolved())
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.declared.later("tracked"))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Err(self.declared.later("staged"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}
