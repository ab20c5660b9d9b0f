//! `gnu`: a release of a GNU project.

mod releases;

use crate::cpan::remote_file;
use crate::declared::{Declared, reference};
use crate::document;
use crate::download::RemoteFile;
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node};
use std::path::Path;

/// The kind.
pub(crate) struct Gnu;

#[derive(Clone)]
struct GnuSource {
    declared: Declared,
    /// Name of the project.
    name: String,
    /// Its directory on the server.
    directory: String,
    /// URL of the mirror, with its alias.
    original_url: String,
    /// The same by the project's aliases.
    url: String,
    /// Whether it is tracked at all.
    track: bool,
    reference: Option<FileReference>,
}

/// A ref that names a file below a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileReference {
    pub(crate) suffix: String,
    pub(crate) sha256: String,
}

impl FileReference {
    /// Reads the key `ref`.
    pub(crate) fn read(node: &Node) -> Result<Option<FileReference>, Diagnostic> {
        let Some(node) = node.get("ref").filter(|node| !node.is_null()) else { return Ok(None) };
        let (suffix, sha256) = (node.get_str("suffix")?.to_owned(), node.get_str("sha256sum")?.to_owned());
        Ok(Some(FileReference { suffix, sha256 }))
    }

    /// The ref as it is written; an empty one is none.
    pub(crate) fn node(&self) -> Option<SourceRef> {
        if self.suffix.is_empty() || self.sha256.is_empty() {
            return None;
        }
        let mut entries = Mapping::new();
        entries.insert("sha256sum", Node::scalar(self.sha256.as_str()));
        entries.insert("suffix", Node::scalar(self.suffix.as_str()));
        Some(reference("ref", entries))
    }
}

impl SourceKind for Gnu {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

/// The reference's own check refuses the key `ref`, without which it cannot work at all; it is read here.
fn read(reading: &Reading<'_>) -> Result<GnuSource, Diagnostic> {
    reading.keys(&["name", "dirname", "mirror", "track", "ref"])?;
    let node = reading.node;
    let name = node.get_str("name")?.to_owned();
    let original_url = node.opt_str("mirror")?.unwrap_or("https://ftpmirror.gnu.org/gnu/").to_owned();
    Ok(GnuSource {
        declared: reading.declared(),
        directory: node.opt_str("dirname")?.unwrap_or(&name).to_owned(),
        name,
        url: reading.translate(&original_url)?,
        original_url,
        track: node.opt_bool("track")?.unwrap_or(true),
        reference: FileReference::read(node)?,
    })
}

impl GnuSource {
    /// The archive; `None` without a ref.
    fn file(&self) -> Option<RemoteFile> {
        let FileReference { suffix, sha256 } = self.reference.as_ref()?;
        let url = format!("{}{suffix}", self.original_url);
        Some(RemoteFile::new(&self.declared.kind, &self.directory, url, Some(sha256)))
    }
}

impl GnuSource {
    /// The path of the newest archive below the mirror: by the list of all files that stands beside the directory that
    /// is mirrored, else by the listing of the project's own directory.
    fn newest(&self, context: &TrackContext<'_>) -> Result<String, SourceError> {
        let project = releases::Project { name: &self.name, directory: &self.directory };
        if let Some(list) = releases::list(&self.original_url)
            && let Ok(content) = document::read_aliased(context, &list)
        {
            let mut newest = None;
            document::find_line(&content, &list, |line| {
                newest = newest.take().max(project.release(line.strip_prefix("./gnu/")?));
                None::<()>
            })?;
            return newest.map(|newest| newest.path).ok_or_else(|| self.not_found(&list));
        }
        let listing = format!("{}{}/", self.original_url, self.directory);
        let content = document::read_aliased(context, &listing)?;
        let names = releases::links(&String::from_utf8_lossy(&content));
        let paths = names.iter().filter_map(|name| project.release(&format!("{}/{name}", self.directory)));
        paths.max().map(|newest| newest.path).ok_or_else(|| self.not_found(&listing))
    }

    fn not_found(&self, place: &str) -> SourceError {
        SourceError::new(format!("\"{}\" not found in {}", self.name, shown(place)))
            .hint("`name` is what the archives are called, `dirname` the directory that they are in")
    }
}

impl Source for GnuSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let Some(FileReference { suffix, sha256 }) = &self.reference else {
            return Ok(KeyValue::List(vec![KeyValue::Null, KeyValue::Null]));
        };
        Ok(key::texts(&[suffix, sha256]))
    }

    fn is_resolved(&self) -> bool {
        self.reference().is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.reference.as_ref()?.node()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(GnuSource { reference: FileReference::read(reference)?, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_some_and(|file| file.is_kept(source_directory)))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        if !self.track {
            return Ok(None);
        }
        let suffix = self.newest(context)?;
        // Where nothing new came out, the server is asked whether it is still the same file.
        let known = self.reference.as_ref().filter(|known| known.suffix == suffix);
        let known = known.map(|known| known.sha256.as_str());
        let url = format!("{}{suffix}", self.original_url);
        let sha256 = RemoteFile::new(&self.declared.kind, &self.directory, url, known).track(context)?;
        Ok(FileReference { suffix, sha256 }.node())
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
        Ok(self.declared.told(vec![remote_file(&self.declared, &url, Some(sha256), None, None)]))
    }
}
