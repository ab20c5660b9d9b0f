//! `bazel_file`: a file in the layout of Bazel's repository cache.

use crate::cpan::remote_file;
use crate::declared::{Declared, reference};
use crate::download::RemoteFile;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct BazelFile;

#[derive(Clone)]
struct BazelFileSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    canonical_ids: Vec<String>,
    guess: VersionGuess,
    /// SHA-256 of the file.
    reference: Option<String>,
    release: Release,
}

impl SourceKind for BazelFile {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BazelFileSource, Diagnostic> {
    let node = reading.node;
    let canonical_ids = node.opt_str_list("canonical-ids")?.unwrap_or_default();
    let original_url = node.get_str("url")?.to_owned();
    reading.keys(&["canonical-ids", "url", "ref", "version", "version-guess-pattern"])?;
    Ok(BazelFileSource {
        declared: reading.declared(),
        canonical_ids: canonical_ids.into_iter().map(str::to_owned).collect(),
        guess: VersionGuess::read(node)?,
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
        release: Release::of(&reading.declaration.origin),
    })
}

impl BazelFileSource {
    fn file(&self) -> RemoteFile {
        let kind = &self.declared.kind;
        RemoteFile::new(kind, &self.original_url, self.original_url.clone(), self.reference.as_deref())
    }
}

impl Source for BazelFileSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut entries = vec![
            ("url", (*self.original_url).into()),
            ("canonical-ids", key::texts(&self.canonical_ids)),
            ("plugin_version", "1".into()),
            ("ref", key::optional(self.reference.as_deref())),
        ];
        entries.extend(self.guess.key().map(|(name, value)| (name, value.into())));
        Ok(key::object(entries))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BazelFileSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_kept(source_directory))
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
        let (sha256, guess) = (self.reference.as_deref(), Some(&self.guess));
        Ok(Some(vec![remote_file(&self.declared, &self.url, sha256, guess, self.release, None)]))
    }
}
