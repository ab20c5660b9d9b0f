//! `pip`: source distributions of Python packages, downloaded by the host's `pip`.

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
pub(crate) struct Pip;

#[derive(Clone)]
struct PipSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    /// What to download, as on the command line of pip.
    packages: Vec<String>,
    /// Files of earlier sources that name packages.
    requirements: Vec<String>,
    /// A line `NAME==VERSION` per package.
    reference: Option<String>,
    release: Release,
}

impl SourceKind for Pip {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<PipSource, Diagnostic> {
    reading.keys(&["url", "packages", "ref", "requirements-files"])?;
    let node = reading.node;
    let original_url = node.opt_str("url")?.unwrap_or("https://pypi.org/simple/").to_owned();
    let list = |key: &str| -> Result<Vec<String>, Diagnostic> {
        Ok(node.opt_str_list(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    };
    let source = PipSource {
        declared: reading.declared(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
        packages: list("packages")?,
        requirements: list("requirements-files")?,
        release: Release::of(&reading.declaration.origin),
    };
    if source.packages.is_empty() && source.requirements.is_empty() {
        return Err(reading.error("", "Either 'packages' or 'requirements-files' must be specified"));
    }
    Ok(source)
}

impl Source for PipSource {
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
        Ok(Box::new(PipSource { reference, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
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
        if self.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let told = self.reference.as_deref().unwrap_or_default().lines().map(|line| {
            let mut parts = line.split("==");
            let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let origin = Origin {
                url: &self.url,
                medium: "pypi",
                version_type: "indexed-version",
                version: Some(version),
                guess: Some(version.to_owned()),
                extra: Vec::new(),
            };
            self.declared.provenance(origin.extra("package-name", name))
        });
        Ok(Some(told.collect()))
    }
}
