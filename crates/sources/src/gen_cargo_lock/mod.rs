//! `gen_cargo_lock`: a `Cargo.lock` that upstream does not ship, kept whole in the ref.

use crate::base64;
use crate::declared::{Declared, reference};
use crate::download::activity;
use crate::host::{Tool, export_previous};
use crate::key;
use crate::reading::Reading;
use crate::scratch::workspace;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Digest, Directory, FileNode};
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

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let scratch = workspace(context, &self.declared.kind)?;
        let tree = scratch.path().join("tree");
        export_previous(context, &tree)?;
        let home = context.source_directory.join(&*self.declared.kind);
        activity(context.progress, "Generating Cargo.lock", || {
            let cargo = Tool::new("cargo", context).arg("generate-lockfile").within(&tree);
            cargo.env("CARGO_HOME", &home).run(|| "Failed to generate lockfile".to_owned())
        })?;
        let path = tree.join("Cargo.lock");
        let lock = std::fs::read(&path).map_err(|error| crate::tree::unreadable(&path, &error))?;
        Ok(Some(reference("ref", base64::encode(&lock))))
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(Vec::new()))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let reference = self.reference.as_deref().unwrap_or_default();
        let lock = base64::decode(reference).filter(|lock| std::str::from_utf8(lock).is_ok());
        let lock = lock
            .ok_or_else(|| SourceError::new("The ref is no Cargo.lock in Base64").hint("track the source"))?;
        let file = FileNode {
            name: "Cargo.lock".to_owned(),
            digest: Some(context.cas.write(&lock)?.into()),
            is_executable: false,
            node_properties: None,
        };
        Ok(context.cas.write_directory(&Directory { files: vec![file], ..Directory::default() })?)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}
