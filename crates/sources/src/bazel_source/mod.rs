//! `bazel_source`: what a resolved file of Bazel names, downloaded into a distribution directory.

use crate::declared::{Declared, reference};
use crate::key;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct BazelSource;

#[derive(Clone)]
struct BazelSourceSource {
    declared: Declared,
    /// Whether the host's `bazel` may make the resolved file where it is missing.
    allow_host_bazel: bool,
    /// Name of the resolved file in what earlier sources stage.
    repo_file: String,
    /// What the host's `bazel` is asked for.
    targets: Vec<String>,
    /// The project of Bazel in what earlier sources stage.
    workspace_directory: String,
    /// SHA-256 of the resolved file.
    reference: Option<String>,
    /// `ELEMENT-INDEX`, part of the name under which downloads are kept.
    name: String,
}

impl SourceKind for BazelSource {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BazelSourceSource, Diagnostic> {
    reading.keys(&["workspace-dir", "allow-host-bazel", "repo-file", "targets", "ref"])?;
    let node = reading.node;
    let allow_host_bazel = node.opt_bool("allow-host-bazel")?.unwrap_or(false);
    let targets = node.opt_str_list("targets")?.unwrap_or_default();
    if !allow_host_bazel && !targets.is_empty() {
        reading.warn(None, "`targets` specified but host bazel not allowed")?;
    }
    let targets = if targets.is_empty() { vec!["//..."] } else { targets };
    Ok(BazelSourceSource {
        declared: reading.declared(),
        allow_host_bazel,
        repo_file: node.opt_str("repo-file")?.unwrap_or(".bst-sources").to_owned(),
        targets: targets.into_iter().map(str::to_owned).collect(),
        workspace_directory: node.opt_str("workspace-dir")?.unwrap_or(".").to_owned(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        name: format!("{}-{}", reading.context.element, reading.declaration.index),
    })
}

impl BazelSourceSource {
    /// Where downloads are kept.
    fn directory(&self, source_directory: &Path) -> PathBuf {
        let reference = self.reference.as_deref().unwrap_or("None");
        source_directory.join(&*self.declared.kind).join(format!("{}-{reference}", self.name))
    }
}

impl Source for BazelSourceSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![
            KeyValue::Bool(self.allow_host_bazel),
            (*self.repo_file).into(),
            key::texts(&self.targets),
            (*self.workspace_directory).into(),
            key::optional(self.reference.as_deref()),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BazelSourceSource { reference, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, fetch: true, stage: false }
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let entries = self.directory(source_directory).read_dir();
        Ok(entries.is_ok_and(|mut entries| entries.next().is_some()))
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
