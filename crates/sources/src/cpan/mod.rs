//! `cpan`: a distribution of CPAN.

use crate::declared::{Declared, Origin};
use crate::document;
use crate::download::RemoteFile;
use crate::http::shown;
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
    reading.keys_and_version(&["name", "suffix", "sha256sum", "index"])?;
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
    })
}

impl CpanSource {
    /// The distribution; `None` when the ref does not name one.
    fn file(&self) -> Option<RemoteFile> {
        let url = format!("{}{}", self.original_index, self.suffix.as_deref()?);
        Some(RemoteFile::new(&self.declared.kind, &self.name, url, self.sha256.as_deref()))
    }
}

/// Which distribution has which module, below an index.
const INDEX: &str = "modules/02packages.details.txt.gz";

/// Where the distribution of a module stands, below the index: after a header that an empty line ends, lines of module,
/// version and path.
fn find(index: &[u8], url: &str, module: &str) -> Result<Option<String>, SourceError> {
    let mut header = true;
    document::find_line(index, url, |line| {
        if header {
            header = !line.is_empty();
            return None;
        }
        let mut columns = line.split_whitespace();
        (columns.next() == Some(module)).then(|| columns.nth(1).map(|path| format!("authors/id/{path}")))?
    })
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

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let url = format!("{}{INDEX}", self.original_index);
        let index = document::read_aliased(context, &url)?;
        let suffix = find(&index, &url, &self.name)?.ok_or_else(|| {
            let hint = "`name` is the name of a Perl module, such as `Foo::Bar`";
            SourceError::new(format!("\"{}\" not found in {}", self.name, shown(&self.index))).hint(hint)
        })?;
        // Where nothing new came out, the server is asked whether it is still the same file.
        let known = self.sha256.clone().filter(|_| self.suffix.as_deref() == Some(&suffix));
        let found = CpanSource { suffix: Some(suffix), sha256: known, ..self.clone() };
        let file = found.file().ok_or_else(|| self.declared.unresolved())?;
        let sha256 = Some(file.track(context)?);
        Ok(CpanSource { sha256, ..found }.reference())
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
        let url = format!("{}{}", self.index, self.suffix.as_deref().unwrap_or_default());
        let sha256 = self.sha256.as_deref();
        Ok(self.declared.told(vec![remote_file(&self.declared, &url, sha256, Some(&self.guess), None)]))
    }
}

/// What the community's kinds that download one file say of it; `ecosystem` is what newer releases add.
pub(crate) fn remote_file(
    declared: &Declared,
    url: &str,
    sha256: Option<&str>,
    guess: Option<&VersionGuess>,
    ecosystem: Option<&str>,
) -> SourceProvenance {
    let guess = guess.and_then(|guess| guess.guess(Some(url)));
    let mut origin = Origin::remote_file(url, sha256, guess);
    if declared.release >= Release(2, 3, 2) {
        origin = origin.extra("ecosystem", key::optional(ecosystem));
    }
    declared.provenance(origin)
}
