//! `ostree`: a commit of an OSTree repository, by the host's `ostree`.

use crate::declared::{Declared, reference};
use crate::download::activity;
use crate::host::Tool;
use crate::http::shown;
use crate::key;
use crate::reading::{PathKind, Reading};
use crate::repository::{Mirror, held};
use crate::scratch::workspace;
use crate::url;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_reapi::services::ImportOptions;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct Ostree;

#[derive(Clone)]
struct OstreeSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    reference: Option<String>,
    /// Branch.
    track: Option<String>,
    /// File with the public keys that commits must be signed by.
    gpg_key: Option<PathBuf>,
}

impl SourceKind for Ostree {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<OstreeSource, Diagnostic> {
    reading.keys(&["url", "ref", "track", "gpg-key"])?;
    let node = reading.node;
    let original_url = node.get_str("url")?.to_owned();
    let url = reading.translate(&original_url)?;
    let reference = node.opt_str("ref")?.map(str::to_owned);
    let track = node.opt_str("track")?.map(str::to_owned);
    if reference.is_none() && track.is_none() {
        return Err(reading.error("missing-track-and-ref", "OSTree sources require a ref and/or track"));
    }
    let key = node.opt_scalar("gpg-key")?.map(|key| reading.path_of(key, PathKind::File)).transpose()?;
    let gpg_key = key.map(|(_, path)| path);
    Ok(OstreeSource { declared: reading.declared(), original_url, url, reference, track, gpg_key })
}

impl Source for OstreeSource {
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
        Ok(Box::new(OstreeSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let Some(reference) = &self.reference else { return Ok(false) };
        let repository = self.mirror(source_directory).path;
        match is_checksum(reference) {
            true => Ok(has_commit(&repository, reference)),
            false if !repository.exists() => Ok(false),
            false => {
                Tool::silent("ostree").arg("show").arg(at(&repository)).arg("--").arg(reference).succeeds()
            }
        }
    }

    /// The commit that a branch leads to now.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let Some(track) = &self.track else { return Ok(None) };
        let heading = format!("Fetching tracking ref '{track}' from origin: {}", shown(&self.url));
        let found = activity(context.progress, &heading, || {
            let remote = self.pull(context, &context.urls.track(&self.original_url), track)?;
            let parse = ostree(context, "rev-parse", &self.mirror(context.source_directory).path);
            let parse = parse.arg(format!("{remote}:{track}"));
            Ok(parse.run(|| format!("Failed to look up '{track}' in the mirror"))?.text())
        })?;
        Ok(Some(reference("ref", found)))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        let heading = format!("Fetching remote ref: {reference} from origin: {}", shown(&self.url));
        let candidates = context.urls.fetch(&self.original_url);
        activity(context.progress, &heading, || self.pull(context, &candidates, reference).map(drop))
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let reference = self.reference.clone().ok_or_else(|| self.declared.unresolved())?;
        let kept = self.mirror(context.source_directory).path;
        let content = UpstreamContent::Ostree { kept, reference };
        Ok(Some(vec![Upstream { url: self.original_url.clone(), content }]))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        let scratch = workspace(context, &self.declared.kind)?;
        let tree = scratch.path().join("tree");
        let checkout = ostree(context, "checkout", &self.mirror(context.source_directory).path);
        let checkout = checkout.args(["--user-mode", "--"]).arg(reference).arg(&tree);
        checkout.run(|| format!("Failed to checkout ref '{reference}' from origin: {}", shown(&self.url)))?;
        let options = ImportOptions { consume: true, ..ImportOptions::default() };
        Ok(context.cas.import_tree(&tree, &options)?)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}

/// `ostree` doing something with a repository.
fn ostree<'a>(context: &'a FetchContext<'_>, verb: &str, repository: &Path) -> Tool<'a> {
    held(Tool::new("ostree", context).arg(verb).arg(at(repository)), repository)
}

fn at(repository: &Path) -> OsString {
    let mut option = OsString::from("--repo=");
    option.push(repository);
    option
}

/// Whether a commit is in a repository: one that was only pulled in part is marked as such.
fn has_commit(repository: &Path, checksum: &str) -> bool {
    let (first, rest) = checksum.split_at(2.min(checksum.len()));
    let commit = repository.join("objects").join(first).join(format!("{rest}.commit"));
    let partial = repository.join("state").join(format!("{checksum}.commitpartial"));
    commit.exists() && !partial.exists()
}

/// Brings a commit from the repository that fetching keeps into one that others pull from, with its signatures, checking
/// all that comes. What an interrupted run brought is there for the next. Whether anything came.
///
/// # Errors
/// The disk; something kept is damaged.
pub(crate) fn bring(
    context: &FetchContext<'_>,
    kept: &Path,
    reference: &str,
    repository: &Path,
) -> Result<bool, SourceError> {
    let commit = match is_checksum(reference) {
        true => reference.to_owned(),
        false => {
            let parse = ostree(context, "rev-parse", kept).arg("--").arg(reference);
            parse.run(|| format!("Failed to look up '{reference}' in the mirror"))?.text()
        }
    };
    // A branch holds it, and is made when all is there: what no branch leads to may be cleared away.
    let mut branches = vec![format!("bourn/{commit}")];
    branches.extend((!is_checksum(reference)).then(|| reference.to_owned()));
    let leads = |branch: &String| {
        let text = std::fs::read_to_string(repository.join("refs/heads").join(branch));
        text.is_ok_and(|text| text.trim() == commit)
    };
    if has_commit(repository, &commit) && branches.iter().all(leads) {
        return Ok(false);
    }
    let failed = || format!("Failed to bring the commit {commit} into {}", repository.display());
    std::fs::create_dir_all(repository)
        .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", repository))?;
    // Nothing happens to one that is there.
    ostree(context, "init", repository).arg("--mode=archive-z2").run(failed)?;
    let config = ostree(context, "config", repository).args(["set", "core.min-free-space-percent", "0"]);
    config.run(failed)?;
    ostree(context, "pull-local", repository)
        .args(["--untrusted", "--"])
        .arg(kept)
        .arg(&commit)
        .run(failed)?;
    for branch in branches {
        let refs = ostree(context, "refs", repository).args(["--force", "--create"]).arg(&branch);
        refs.arg("--").arg(&commit).run(failed)?;
    }
    // What there is, for whoever reads files and cannot ask.
    ostree(context, "summary", repository).arg("--update").run(failed).map(|_| true)
}

fn is_checksum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl OstreeSource {
    /// The repository that is kept of the URL.
    fn mirror(&self, source_directory: &Path) -> Mirror {
        Mirror::plain(source_directory, &self.declared.kind, &self.original_url)
    }

    /// Pulls a branch or commit into the mirror, from the first place that has it; the name of that place there.
    fn pull(
        &self,
        context: &FetchContext<'_>,
        candidates: &[Candidate],
        wanted: &str,
    ) -> Result<String, SourceError> {
        let mirror = self.mirror(context.source_directory);
        let mut lock = mirror.lock(context)?;
        self.create(context, &mirror.path, lock.interrupted)?;
        let mut failure = SourceError::new("There is no URL to fetch from");
        for candidate in candidates {
            let url = &candidate.url;
            let remote =
                if *url == self.original_url { "origin".to_owned() } else { url::directory_name(url) };
            self.add_remote(context, &mirror.path, &remote, url)?;
            let pull = ostree(context, "pull", &mirror.path).arg("--").arg(&remote).arg(wanted);
            match pull.run(|| format!("Failed to fetch '{wanted}' from origin {}", shown(url))) {
                Ok(_) => {
                    lock.settle();
                    return Ok(remote);
                }
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Makes the mirror unless it is there. Whoever was interrupted may have made a part of it only; making it again
    /// leaves what is there.
    fn create(
        &self,
        context: &FetchContext<'_>,
        repository: &Path,
        interrupted: bool,
    ) -> Result<(), SourceError> {
        if !interrupted && repository.join("config").exists() {
            return Ok(());
        }
        let failed = |error: &std::io::Error| bourn_reapi::ServiceError::io(error, "Creating", repository);
        std::fs::create_dir_all(repository).map_err(|error| failed(&error))?;
        let init = ostree(context, "init", repository).arg("--mode=archive-z2");
        init.run(|| "Unable to create local mirror for repository".to_owned())?;
        let config = ostree(context, "config", repository).args(["set", "core.min-free-space-percent", "0"]);
        config.run(|| "Unable to disable minimum disk space checks".to_owned()).map(drop)
    }

    /// Says where to pull from. What was said before is forgotten: whether signatures are wanted may have changed.
    fn add_remote(
        &self,
        context: &FetchContext<'_>,
        repository: &Path,
        remote: &str,
        url: &str,
    ) -> Result<(), SourceError> {
        let fail = || format!("Failed to configure origin {}", shown(url));
        ostree(context, "remote", repository).args(["delete", "--if-exists", remote]).run(fail)?;
        let add = ostree(context, "remote", repository).arg("add");
        let add = match &self.gpg_key {
            Some(key) => {
                let mut option = OsString::from("--gpg-import=");
                option.push(key);
                add.arg(option)
            }
            None => add.arg("--no-gpg-verify"),
        };
        add.args([remote, url]).run(fail).map(drop)
    }
}
