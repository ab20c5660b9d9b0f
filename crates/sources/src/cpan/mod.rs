//! `cpan`: a distribution of CPAN.

use crate::declared::{Declared, Origin};
use crate::download::RemoteFile;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node};
use std::path::Path;

/// The kind.
pub(crate) struct Cpan;

#[derive(Clone)]
struct CpanSource {
    declared: Declared,
    /// Name of the Perl module.
    name: String,
    /// URL of the index, with its alias.
    original_index: String,
    /// The same by the project's aliases.
    index: String,
    /// Path of the distribution below the index.
    suffix: Option<String>,
    sha256: Option<String>,
    guess: VersionGuess,
    release: Release,
}

impl SourceKind for Cpan {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }

    fn ref_keys(&self) -> &'static [&'static str] {
        &["suffix", "sha256sum"]
    }
}

fn read(reading: &Reading<'_>) -> Result<CpanSource, Diagnostic> {
    reading.keys(&["name", "suffix", "sha256sum", "index", "version", "version-guess-pattern"])?;
    let node = reading.node;
    let original_index = node.opt_str("index")?.unwrap_or("https://cpan.metacpan.org/").to_owned();
    Ok(CpanSource {
        declared: reading.declared(),
        name: node.get_str("name")?.to_owned(),
        index: reading.translate(&original_index)?,
        original_index,
        suffix: node.opt_str("suffix")?.map(str::to_owned),
        sha256: node.opt_str("sha256sum")?.map(str::to_owned),
        guess: VersionGuess::read(node)?,
        release: Release::of(&reading.declaration.origin),
    })
}

impl CpanSource {
    /// The distribution; `None` when the ref does not name one.
    fn file(&self) -> Option<RemoteFile> {
        let url = format!("{}{}", self.original_index, self.suffix.as_deref()?);
        Some(RemoteFile::new(&self.declared.kind, &self.name, url, self.sha256.as_deref()))
    }
}

impl Source for CpanSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut values = vec![key::optional(self.suffix.as_deref()), key::optional(self.sha256.as_deref())];
        self.guess.extend(&mut values);
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.suffix.is_some() && self.sha256.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        let mut entries = Mapping::new();
        entries.insert("suffix", Node::scalar(self.suffix.as_deref()?));
        entries.insert("sha256sum", Node::scalar(self.sha256.as_deref()?));
        Some(Node::mapping(entries))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let suffix = reference.opt_str("suffix")?.map(str::to_owned);
        let sha256 = reference.opt_str("sha256sum")?.map(str::to_owned);
        Ok(Box::new(CpanSource { suffix, sha256, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_some_and(|file| file.is_kept(source_directory)))
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.declared.later("tracked"))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.file().ok_or_else(|| self.declared.unresolved())?.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        self.file().ok_or_else(|| self.declared.unresolved())?.stage_top(context, &[])
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let url = format!("{}{}", self.index, self.suffix.as_deref().unwrap_or_default());
        let told =
            remote_file(&self.declared, &url, self.sha256.as_deref(), Some(&self.guess), self.release, None);
        Ok(Some(vec![told]))
    }
}

/// What the community's kinds that download one file say of it; `ecosystem` is what newer releases add.
pub(crate) fn remote_file(
    declared: &Declared,
    url: &str,
    sha256: Option<&str>,
    guess: Option<&VersionGuess>,
    release: Release,
    ecosystem: Option<&str>,
) -> SourceProvenance {
    let guess = guess.and_then(|guess| guess.guess(Some(url)));
    let mut origin = Origin::remote_file(url, sha256, guess);
    if release >= Release(2, 3, 2) {
        origin = origin.extra("ecosystem", key::optional(ecosystem));
    }
    declared.provenance(origin)
}
