//! Files that are downloaded and kept by their SHA-256.

use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::url;
use crate::version::VersionGuess;
use bourn_plan::{KeyValue, SourceProvenance, SourceRef};
use bourn_yaml::{Diagnostic, Node};
use std::path::{Path, PathBuf};

/// A file of a server, kept as `SOURCEDIR/KIND/…/SHA256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Where it is kept, below the directory of all downloads.
    pub(crate) directory: PathBuf,
    /// Its URL, with its alias.
    pub(crate) url: String,
    /// What it must hash to; not known before it was tracked.
    pub(crate) sha256: Option<String>,
}

impl RemoteFile {
    /// A file kept under a name made of `named`.
    pub(crate) fn new(kind: &str, named: &str, url: String, sha256: Option<&str>) -> RemoteFile {
        let directory = Path::new(kind).join(url::directory_name(named));
        RemoteFile { directory, url, sha256: sha256.map(str::to_owned) }
    }

    /// Where it is kept.
    pub(crate) fn path(&self, source_directory: &Path) -> Option<PathBuf> {
        Some(source_directory.join(&self.directory).join(self.sha256.as_ref()?))
    }

    /// Whether it is kept.
    pub(crate) fn is_kept(&self, source_directory: &Path) -> bool {
        self.path(source_directory).is_some_and(|path| path.is_file())
    }
}

/// The configuration of kinds that download one file: `url`, `ref`, `version`, `version-guess-pattern`.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    pub(crate) declared: Declared,
    /// As written.
    pub(crate) original_url: String,
    /// By the project's aliases.
    pub(crate) url: String,
    /// SHA-256 of the file.
    pub(crate) reference: Option<String>,
    guess: VersionGuess,
}

impl Download {
    /// Reads it, and checks that there are no keys but these and `own`.
    pub(crate) fn read(reading: &Reading<'_>, own: &[&str]) -> Result<Download, Diagnostic> {
        let node = reading.node;
        let original_url = node.get_str("url")?.to_owned();
        let download = Download {
            declared: reading.declared(),
            reference: node.opt_str("ref")?.map(str::to_owned),
            url: reading.translate(&original_url)?,
            original_url,
            guess: VersionGuess::read(node)?,
        };
        let keys: Vec<&str> = ["url", "ref"].iter().chain(&VersionGuess::KEYS).chain(own).copied().collect();
        reading.keys(&keys)?;
        Ok(download)
    }

    /// The key, with what the kind adds.
    pub(crate) fn key(&self, own: impl IntoIterator<Item = KeyValue>) -> KeyValue {
        let mut values = vec![KeyValue::from(&*self.original_url), key::optional(self.reference.as_deref())];
        self.guess.extend(&mut values);
        values.extend(own);
        KeyValue::List(values)
    }

    /// The file.
    pub(crate) fn file(&self) -> RemoteFile {
        let kind = &self.declared.kind;
        RemoteFile::new(kind, &self.original_url, self.original_url.clone(), self.reference.as_deref())
    }

    /// The ref.
    pub(crate) fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    /// The same with another ref.
    pub(crate) fn with_reference(&self, node: &Node) -> Result<Download, Diagnostic> {
        Ok(Download { reference: node.opt_str("ref")?.map(str::to_owned), ..self.clone() })
    }

    /// Where it comes from.
    pub(crate) fn provenance(&self) -> Vec<SourceProvenance> {
        let guess = self.guess.guess(Some(&self.original_url));
        vec![self.declared.provenance(Origin::remote_file(&self.url, self.reference.as_deref(), guess))]
    }
}
use bourn_plan::{FetchContext, SourceError, TrackContext};
impl Download {
    pub(crate) fn track(&self, _: &TrackContext<'_>) -> Result<SourceRef, SourceError> {
        Err(self.declared.later("tracked"))
    }

    pub(crate) fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Err(self.declared.later("fetched"))
    }
}
