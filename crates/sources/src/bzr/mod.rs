//! `bzr`: a revision of a Bazaar branch, by the host's `bzr`.

use crate::declared::{Declared, Origin, reference};
use crate::download::activity;
use crate::host::Tool;
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository::{Mirror, held};
use crate::scratch::workspace;
use crate::url;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_reapi::services::ImportOptions;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The kind.
pub(crate) struct Bzr;

#[derive(Clone)]
struct BzrSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    /// Branch.
    track: String,
    /// Number of the revision.
    reference: Option<String>,
    version: Option<String>,
}

impl SourceKind for Bzr {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BzrSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let versions = release >= Release(2, 5, 0);
    let keys = ["url", "track", "ref", "version"];
    reading.keys(if versions { &keys } else { &keys[..3] })?;
    let node = reading.node;
    let original_url = node.get_str("url")?.to_owned();
    Ok(BzrSource {
        declared: reading.declared(),
        track: node.get_str("track")?.to_owned(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
        version: node.opt_str("version")?.map(str::to_owned),
    })
}

impl Source for BzrSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let reference = key::optional(self.reference.as_deref());
        let mut values = vec![(*self.original_url).into(), (*self.track).into(), reference];
        values.extend(self.version.as_deref().map(KeyValue::from));
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BzrSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let Some(reference) = &self.reference else { return Ok(false) };
        has_revision(&self.branch(source_directory)?, reference)
    }

    /// The number of the newest revision.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let branch = self.branch(context.source_directory)?;
        let found = activity(context.progress, &format!("Tracking {}", shown(&self.url)), || {
            self.update(context, &context.urls.track(&self.original_url))?;
            let tell = Tool::new(program(), context).args(["version-info", "--custom", "--template={revno}"]);
            let tell = tell.arg(&branch);
            Ok(tell.run(|| format!("Failed to read the revision number at '{}'", branch.display()))?.text())
        })?;
        Ok(Some(reference("ref", found)))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        activity(context.progress, &format!("Fetching {}", shown(&self.url)), || {
            self.update(context, &context.urls.fetch(&self.original_url))?;
            match self.is_fetched(context.source_directory)? {
                true => Ok(()),
                false => Err(SourceError::new(format!("Failed to ensure ref '{reference}' was mirrored"))
                    .reason("ref-not-mirrored")),
            }
        })
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let revision = self.reference.clone().ok_or_else(|| self.declared.unresolved())?;
        let (kept, branch) = (self.branch(context.source_directory)?, self.track.clone());
        let content = UpstreamContent::Bazaar { kept, branch, revision };
        Ok(Some(vec![Upstream { url: self.original_url.clone(), content }]))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        let branch = self.branch(context.source_directory)?;
        let scratch = workspace(context, &self.declared.kind)?;
        let tree = scratch.path().join("tree");
        let checkout = Tool::new(program(), context).args(["checkout", "--lightweight"]);
        let checkout = checkout.arg(format!("--revision=revno:{reference}")).arg(&branch).arg(&tree);
        checkout.run(|| format!("Failed to checkout revision {reference} of {}", shown(&self.url)))?;
        let own = tree.join(".bzr");
        std::fs::remove_dir_all(&own)
            .map_err(|error| bourn_reapi::ServiceError::io(&error, "Removing", &own))?;
        let options = ImportOptions { consume: true, ..ImportOptions::default() };
        Ok(context.cas.import_tree(&tree, &options)?)
    }

    /// A branch of the revision, that knows where it came from.
    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let reference = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        let branch = self.branch(context.source_directory)?;
        let make = Tool::new(program(), context).args(["branch", "--use-existing-dir"]);
        let make = make.arg(format!("--revision=revno:{reference}")).arg(&branch).arg(directory);
        make.run(|| format!("Failed to branch revision {reference} to {}", directory.display()))?;
        let url = url::join(&self.url, &self.track);
        let switch = Tool::new(program(), context).arg("switch").arg("--directory").arg(directory).arg(&url);
        switch.run(|| format!("Failed to switch workspace's parent branch to {}", shown(&url))).map(drop)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        Ok(Some(vec![self.declared.provenance(Origin {
            url: &self.url,
            medium: "bzr",
            version_type: "commit",
            version: self.reference.as_deref(),
            guess: self.version.clone(),
            extra: Vec::new(),
        })]))
    }
}

/// What Bazaar is called on this machine: Breezy comes with both names, or with its own alone.
fn program() -> &'static str {
    static PROGRAM: LazyLock<&str> = LazyLock::new(|| {
        let is_there = |name| Tool::silent(name).arg("--version").output().is_ok();
        if !is_there("bzr") && is_there("brz") { "brz" } else { "bzr" }
    });
    *PROGRAM
}

/// Whether a branch is there and has a revision.
fn has_revision(branch: &Path, revision: &str) -> Result<bool, SourceError> {
    if !branch.exists() {
        return Ok(false);
    }
    let revno = Tool::silent(program()).arg("revno").arg(format!("--revision=revno:{revision}"));
    revno.arg(branch).succeeds()
}

/// Makes a repository of branches without working trees, unless it is there: in `scratch` first, since whoever is killed
/// while it is made must leave no half of one.
fn create(context: &FetchContext<'_>, scratch: &Path, repository: &Path) -> Result<(), SourceError> {
    if repository.join(".bzr").exists() {
        return Ok(());
    }
    let made = scratch.join("repository");
    let init = Tool::new(program(), context).args(["init-repo", "--no-trees"]).arg(&made);
    init.run(|| "Failed to initialize bzr repository".to_owned())?;
    std::fs::create_dir_all(repository)
        .and_then(|()| std::fs::rename(made.join(".bzr"), repository.join(".bzr")))
        .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", repository).into())
}

/// Brings a branch from the one that fetching keeps, as far as that one goes, into a repository that others fetch from.
/// Whether anything came.
///
/// # Errors
/// The disk; the branch that is there has other revisions.
pub(crate) fn bring(
    context: &FetchContext<'_>,
    kept: &Path,
    repository: &Path,
    name: &str,
    revision: &str,
) -> Result<bool, SourceError> {
    let branch = repository.join(name);
    if has_revision(&branch, revision)? {
        return Ok(false);
    }
    let failed = || format!("Failed to bring the branch {name} into {}", repository.display());
    let disk = |error: std::io::Error| bourn_reapi::ServiceError::io(&error, "Writing", repository);
    std::fs::create_dir_all(branch.parent().unwrap_or(repository)).map_err(disk)?;
    // Made elsewhere: it is found as soon as it has its name.
    let scratch = tempfile::Builder::new().prefix(".part").tempdir_in(repository).map_err(disk)?;
    create(context, scratch.path(), repository)?;
    // Whoever was killed while writing left a lock.
    let bzr = || Tool::new(program(), context).arg("-Olocks.steal_dead=True");
    if branch.exists() {
        bzr().arg("pull").arg("--directory").arg(&branch).arg(kept).run(failed)?;
    } else {
        let made = scratch.path().join("branch");
        bzr().arg("branch").arg(kept).arg(&made).run(failed)?;
        std::fs::rename(&made, &branch).map_err(disk)?;
    }
    match has_revision(&branch, revision)? {
        true => Ok(true),
        false => Err(SourceError::new(failed()).detail(format!("It has no revision {revision}"))),
    }
}

impl BzrSource {
    /// The repository that is kept of the URL.
    fn mirror(&self, source_directory: &Path) -> Mirror {
        Mirror::plain(source_directory, &self.declared.kind, &self.original_url)
    }

    /// The branch that is kept in it.
    fn branch(&self, source_directory: &Path) -> Result<PathBuf, SourceError> {
        if self.track.starts_with('/') || self.track.split('/').any(|part| part == "..") {
            return Err(SourceError::new(format!("The branch '{}' leads out of its repository", self.track)));
        }
        Ok(self.mirror(source_directory).path.join(&self.track))
    }

    /// Brings the branch as it is now, from the first place that has it.
    fn update(&self, context: &FetchContext<'_>, candidates: &[Candidate]) -> Result<(), SourceError> {
        let (mirror, branch) =
            (self.mirror(context.source_directory), self.branch(context.source_directory)?);
        let mut lock = mirror.lock(context)?;
        create(context, workspace(context, &self.declared.kind)?.path(), &mirror.path)?;
        let mut failure = SourceError::new("There is no URL to fetch from");
        for candidate in candidates {
            let url = format!("{}/{}", candidate.url, self.track);
            // Whoever was killed while writing left a lock.
            let bzr = held(Tool::new(program(), context), &mirror.path).arg("-Olocks.steal_dead=True");
            let failed = || format!("Failed to bring the branch {}", shown(&url));
            let brought = if branch.exists() {
                bzr.arg("pull").arg("--directory").arg(&branch).arg(&url).run(failed).map(drop)
            } else {
                // It gets its name when it is whole.
                let part = mirror.path.join(".part");
                let cleared = clear(&part);
                let made = cleared.and_then(|()| bzr.arg("branch").arg(&url).arg(&part).run(failed));
                made.and_then(|_| put(&part, &branch))
            };
            match brought {
                Ok(()) => {
                    lock.settle();
                    return Ok(());
                }
                Err(error) if context.cancel.is_cancelled() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Removes what a run that was interrupted left.
fn clear(part: &Path) -> Result<(), SourceError> {
    match std::fs::remove_dir_all(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(bourn_reapi::ServiceError::io(&error, "Removing", part).into())
        }
        _ => Ok(()),
    }
}

/// Gives a branch its place.
fn put(part: &Path, branch: &Path) -> Result<(), SourceError> {
    let above = branch.parent().map_or(Ok(()), std::fs::create_dir_all);
    let put = above.and_then(|()| std::fs::rename(part, branch));
    put.map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", branch).into())
}
