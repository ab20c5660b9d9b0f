//! Files that are downloaded and kept by their SHA-256.

use crate::archive;
use crate::archive::extract::{Rules, Strip};
use crate::archive::zipfile::{self, ZipStrip};
use crate::declared::{Declared, Origin, reference};
use crate::glob::Glob;
use crate::http::{Beside, Fetched, Transfer, is_sum, shown};
use crate::key;
use crate::reading::Reading;
use crate::url;
use crate::version::VersionGuess;
use bourn_plan::{
    Candidate, FetchContext, KeyValue, Progress, SourceError, SourceProvenance, SourceRef, StageContext,
    TrackContext, Upstream, UpstreamContent,
};
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Node};
use std::fs::File;
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

    /// Where it is kept. Nothing is kept under what is no sum.
    pub(crate) fn path(&self, source_directory: &Path) -> Option<PathBuf> {
        let sha256 = self.sha256.as_ref().filter(|sum| is_sum(sum))?;
        Some(source_directory.join(&self.directory).join(sha256))
    }

    /// Brings it, from a mirror or its own place.
    ///
    /// # Errors
    /// The network, the disk, another sum than expected.
    pub(crate) fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.transfer(context, None).map(drop)
    }

    /// The same, and hands a large file to `beside` while it comes. Whether the last that was begun so was handed
    /// the whole file, which is kept now; else it has to be read from where it is kept.
    ///
    /// # Errors
    /// As of [`RemoteFile::fetch`].
    pub(crate) fn fetch_beside(
        &self,
        context: &FetchContext<'_>,
        beside: &Beside<'_>,
    ) -> Result<bool, SourceError> {
        self.transfer(context, Some(beside))
    }

    fn transfer(&self, context: &FetchContext<'_>, beside: Option<&Beside<'_>>) -> Result<bool, SourceError> {
        if self.is_kept(context.source_directory) {
            return Ok(false);
        }
        let directory = context.source_directory.join(&self.directory);
        let candidates = context.urls.fetch(&self.url);
        let sha256 = self.sha256.as_deref();
        activity(context.progress, &format!("Fetching {}", first(&candidates)), || {
            let transfer = Transfer { context, directory: &directory, sha256, etag: None, beside };
            Ok(matches!(transfer.run(&candidates)?, Fetched::Seen(_)))
        })
    }

    /// Brings whatever the server has now; its sum.
    ///
    /// # Errors
    /// The network, the disk.
    pub(crate) fn track(&self, context: &TrackContext<'_>) -> Result<String, SourceError> {
        let directory = context.source_directory.join(&self.directory);
        let candidates = context.urls.track(&self.url);
        // The server's name only tells something when what it names is still here.
        let known = self.sha256.as_deref().filter(|_| self.is_kept(context.source_directory));
        let etag =
            known.and_then(|sha256| std::fs::read_to_string(directory.join(format!("{sha256}.etag"))).ok());
        activity(context.progress, &format!("Tracking {}", first(&candidates)), || {
            let transfer = Transfer { context, directory: &directory, sha256: None, etag, beside: None };
            match transfer.run(&candidates)? {
                Fetched::File(sha256) | Fetched::Seen(sha256) => Ok(sha256),
                Fetched::Unchanged => Ok(known.unwrap_or_default().to_owned()),
            }
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// It was not fetched.
    pub(crate) fn open(&self, context: &FetchContext<'_>) -> Result<File, SourceError> {
        let path =
            self.path(context.source_directory).ok_or_else(|| SourceError::new("The source has no ref"))?;
        File::open(&path).map_err(|error| crate::tree::unreadable(&path, &error))
    }

    /// Stages the archive that it is, without the directory that holds everything in it; what matches `exclude` is
    /// left out.
    ///
    /// # Errors
    /// It was not fetched; a malformed archive, the store.
    pub(crate) fn stage_top(
        &self,
        context: &StageContext<'_>,
        exclude: &[Glob],
    ) -> Result<Digest, SourceError> {
        let file = self.open(context)?;
        let scene = if self.url.ends_with(".zip") && exclude.is_empty() {
            zipfile::extract(file, &ZipStrip::Top, context.cas)
        } else {
            archive::unpack(file, context.cas, |_| Ok(Rules { exclude, ..Rules::trusting(Strip::Top) }))
        };
        scene.and_then(|scene| scene.store(context.cas)).map_err(|error| error.staging(&self.url))
    }

    /// What a mirror has to have of it.
    pub(crate) fn remote(&self, source_directory: &Path) -> Option<Upstream> {
        let (kept, sha256) = (self.path(source_directory)?, self.sha256.clone()?);
        Some(Upstream { url: self.url.clone(), content: UpstreamContent::File { kept, sha256 } })
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

    /// Fetches the file.
    ///
    /// # Errors
    /// As of [`RemoteFile::fetch`].
    pub(crate) fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.file().fetch(context)
    }

    /// Fetches the file, and hands it to `beside` while it comes if it is large.
    ///
    /// # Errors
    /// As of [`RemoteFile::fetch_beside`].
    pub(crate) fn fetch_beside(
        &self,
        context: &FetchContext<'_>,
        beside: &Beside<'_>,
    ) -> Result<bool, SourceError> {
        self.file().fetch_beside(context, beside)
    }

    /// Finds out what the file is now.
    ///
    /// # Errors
    /// As of [`RemoteFile::track`].
    pub(crate) fn track(&self, context: &TrackContext<'_>) -> Result<SourceRef, SourceError> {
        let found = self.file().track(context)?;
        if let Some(current) = self.reference.as_ref().filter(|current| **current != found) {
            let detail = format!(
                "When tracking, new ref differs from current ref:\n  Tracked URL: {}\n  Current ref: {current}\n  New ref: {found}\n",
                self.url
            );
            context.progress.warn(None, "Potential man-in-the-middle attack!", Some(&detail))?;
        }
        Ok(reference("ref", found))
    }

    /// Where it comes from.
    pub(crate) fn provenance(&self) -> Vec<SourceProvenance> {
        let guess = self.guess.guess(Some(&self.original_url));
        vec![self.declared.provenance(Origin::remote_file(&self.url, self.reference.as_deref(), guess))]
    }
}

/// The first of the URLs that will be tried, for messages.
pub(crate) fn first(candidates: &[Candidate]) -> String {
    candidates.first().map(|candidate| shown(&candidate.url)).unwrap_or_default()
}

/// Does something under a heading, timed.
///
/// # Errors
/// What `work` reports.
pub(crate) fn activity<T>(
    progress: &dyn Progress,
    heading: &str,
    work: impl FnOnce() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let mut work = Some(work);
    let mut outcome = None;
    progress.activity(heading, &mut || {
        let Some(work) = work.take() else { return Ok(()) };
        outcome = Some(work()?);
        Ok(())
    })?;
    outcome.ok_or_else(|| SourceError::new(format!("{heading} was not done")))
}
