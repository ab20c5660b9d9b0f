//! `pypi`: a source distribution of the Python Package Index.

mod index;

use crate::cpan::remote_file;
use crate::declared::Declared;
use crate::document;
use crate::download::RemoteFile;
use crate::gnu::FileReference;
use crate::http::shown;
use crate::reading::Reading;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

/// The kind.
pub(crate) struct Pypi;

#[derive(Clone)]
struct PypiSource {
    declared: Declared,
    /// Name of the package.
    name: String,
    /// URL of the files, with its alias.
    original_url: String,
    /// The same by the project's aliases.
    url: String,
    /// Whether pre-releases are tracked.
    prereleases: bool,
    /// Globs that a version must match, each.
    include: Vec<String>,
    /// Globs that a version must not match, any.
    exclude: Vec<String>,
    guess: VersionGuess,
    reference: Option<FileReference>,
}

impl SourceKind for Pypi {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<PypiSource, Diagnostic> {
    reading.keys_and_version(&["url", "name", "ref", "prereleases", "include", "exclude"])?;
    let node = reading.node;
    let list = |key: &str| -> Result<Vec<String>, Diagnostic> {
        Ok(node.opt_str_list(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    };
    let original_url = node.opt_str("url")?.unwrap_or("https://files.pythonhosted.org/packages/").to_owned();
    Ok(PypiSource {
        declared: reading.declared(),
        name: node.get_str("name")?.to_owned(),
        prereleases: node.opt_bool("prereleases")?.unwrap_or(false),
        include: list("include")?,
        exclude: list("exclude")?,
        url: reading.translate(&original_url)?,
        original_url,
        guess: VersionGuess::read(node)?,
        reference: FileReference::read(node)?,
    })
}

impl PypiSource {
    /// The distribution; `None` without a ref.
    fn file(&self) -> Option<RemoteFile> {
        let FileReference { suffix, sha256 } = self.reference.as_ref()?;
        let url = format!("{}{suffix}", self.original_url);
        Some(RemoteFile::new(&self.declared.kind, &self.name, url, Some(sha256)))
    }
}

impl Source for PypiSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut values = match &self.reference {
            Some(FileReference { suffix, sha256 }) => vec![(**suffix).into(), (**sha256).into()],
            None => vec!["".into(), KeyValue::Null],
        };
        self.guess.extend(&mut values);
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference().is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.reference.as_ref()?.node()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(PypiSource { reference: FileReference::read(reference)?, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_some_and(|file| file.is_kept(source_directory)))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let index = context.urls.remember("index of Python packages", &mut || index::configured(context))?;
        let url = format!("{}/{}/", String::from_utf8_lossy(&index), self.name);
        let answer = document::read_json(context, &url, index::MEDIUM)?;
        let files = index::files(&answer, &url)
            .map_err(|message| SourceError::new(format!("{}: {message}", shown(&url))))?;
        if files.is_empty() {
            return Err(SourceError::new(format!("Cannot find any tracking for {}", self.name)));
        }
        let wanted = index::Wanted::new(self.prereleases, &self.include, &self.exclude);
        let Some(newest) = wanted.newest(&files) else {
            context.progress.warn(None, "No matching release found", None)?;
            return Ok(None);
        };
        let suffix = index::below(&newest.url, &self.url).to_owned();
        Ok(FileReference { suffix, sha256: newest.sha256.clone() }.node())
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(self.file().and_then(|file| file.remote(context.source_directory)).into_iter().collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.file().ok_or_else(|| self.declared.unresolved())?.fetch(context)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        self.file().ok_or_else(|| self.declared.unresolved())?.stage_top(context, &[])
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let Some(FileReference { suffix, sha256 }) = &self.reference else { return Ok(None) };
        let url = format!("{}{suffix}", self.url);
        let guess = Some(&self.guess);
        Ok(self.declared.told(vec![remote_file(&self.declared, &url, Some(sha256), guess, Some("PyPI"))]))
    }
}
