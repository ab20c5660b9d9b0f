//! `git_repo`: a commit of a git repository, with as much history as `git describe` needs.

use crate::declared::{Declared, Origin, reference};
use crate::download::{activity, first};
use crate::http::shown;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository::{self, Conversion, Depth, Described, GitDirectory, Mirror, Oid, Wanted};
use crate::trees;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Node};
use std::path::Path;

/// The kind.
pub(crate) struct GitRepo;

#[derive(Clone)]
struct GitRepoSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    reference: Option<String>,
    /// Glob of the refs to track.
    track: Option<String>,
    /// Globs of refs not to track.
    exclude: Vec<String>,
    format: RefFormat,
    guess: VersionGuess,
}

/// How a tracked commit is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RefFormat {
    /// The commit alone.
    Sha1,
    /// As `git describe` does.
    GitDescribe,
}

impl RefFormat {
    /// The names of the formats.
    pub(crate) const NAMES: &'static [(&'static str, RefFormat)] =
        &[("sha1", RefFormat::Sha1), ("git-describe", RefFormat::GitDescribe)];
}

impl SourceKind for GitRepo {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GitRepoSource, Diagnostic> {
    reading.keys_and_version(&["ref", "url", "track", "exclude", "ref-format"])?;
    let node = reading.node;
    let reference = read_reference(node)?;
    let original_url = node.get_str("url")?.to_owned();
    Ok(GitRepoSource {
        declared: reading.declared(),
        url: reading.translate(&original_url)?,
        original_url,
        reference,
        track: node.opt_str("track")?.map(str::to_owned),
        exclude: node.opt_str_list("exclude")?.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        format: node.opt_enum("ref-format", RefFormat::NAMES)?.unwrap_or(RefFormat::Sha1),
        guess: VersionGuess::read(node)?,
    })
}

fn read_reference(node: &Node) -> Result<Option<String>, Diagnostic> {
    let Some(reference) = node.opt_scalar("ref")? else { return Ok(None) };
    let text = reference.as_str()?;
    check_reference(text, reference)?;
    Ok(Some(text.to_owned()))
}

/// Refuses a ref that names no commit.
pub(crate) fn check_reference(text: &str, node: &Node) -> Result<(), Diagnostic> {
    if Described::parse(text).is_none() {
        let message = format!("ref {text} is not in the expected format");
        let hint = "a ref is a commit of 40 hexadecimal digits, or TAG-COUNT-gCOMMIT";
        return Err(Diagnostic::new(bourn_yaml::Domain::Source, "", message).at(node.at).hint(hint));
    }
    Ok(())
}

impl GitRepoSource {
    fn checkout(&self) -> Result<Checkout<'_>, SourceError> {
        Checkout::new(&self.declared.kind, &self.original_url, self.reference.as_deref())
    }
}

/// A commit in a mirror of the layout that the community's kinds use.
pub(crate) struct Checkout<'a> {
    kind: &'a str,
    url: &'a str,
    described: Described<'a>,
}

impl<'a> Checkout<'a> {
    /// The commit that a ref names.
    pub(crate) fn new(
        kind: &'a str,
        url: &'a str,
        reference: Option<&'a str>,
    ) -> Result<Checkout<'a>, SourceError> {
        let described =
            reference.and_then(Described::parse).ok_or_else(|| SourceError::new("The source has no ref"))?;
        Ok(Checkout { kind, url, described })
    }

    /// The commit.
    pub(crate) fn commit(&self) -> &str {
        self.described.commit
    }

    pub(crate) fn mirror(&self, source_directory: &Path) -> Mirror {
        Mirror::dulwich(source_directory, self.kind, self.url)
    }

    pub(crate) fn oid(&self) -> Result<Oid, SourceError> {
        let commit = self.described.commit;
        Oid::parse(commit).ok_or_else(|| SourceError::new(format!("{commit} is no commit")))
    }

    fn tag(&self) -> Option<&'a str> {
        self.described.tag.filter(|tag| !tag.is_empty())
    }

    fn wanted<'w>(&'w self, track: Option<(&'w str, &'w [String])>) -> Wanted<'w> {
        // As many commits as lie between the tag and the commit reach the tag on any line.
        let count: u64 = self.described.count.and_then(|count| count.parse().ok()).unwrap_or(0);
        let depth = Depth::Commits(count.saturating_add(1));
        Wanted { commit: self.described.commit, tag: self.tag(), depth, track }
    }

    pub(crate) fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        self.wanted(None).is_in(&self.mirror(source_directory))
    }

    pub(crate) fn fetch(
        &self,
        context: &FetchContext<'_>,
        track: Option<(&str, &[String])>,
    ) -> Result<(), SourceError> {
        let mirror = self.mirror(context.source_directory);
        let wanted = self.wanted(track);
        if wanted.is_in(&mirror)? {
            return Ok(());
        }
        let candidates = context.urls.fetch(self.url);
        activity(context.progress, &format!("Fetching from {}", first(&candidates)), || {
            let is_there = || wanted.is_there(&mirror);
            mirror.change(context, self.kind, wanted.commit, is_there, || {
                wanted.fetch(context, &mirror, &candidates)
            })
        })
    }

    /// The files alone.
    pub(crate) fn stage_files(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        let mirror = self.mirror(context.source_directory);
        repository::stage(context, self.kind, &mirror, self.oid()?, Conversion::Lines)
    }

    /// The files with a small `.git`.
    fn stage(&self, context: &FetchContext<'_>) -> Result<Digest, SourceError> {
        let mirror = self.mirror(context.source_directory);
        let files = self.stage_files(context)?;
        let directory = GitDirectory::since(context, &mirror, self.oid()?, self.tag())?;
        let git = directory.store(&mirror, context.cas)?;
        trees::put(context.cas, &files, ".git", trees::Entry::Directory(git))
    }
}

/// Finds the newest of the refs that a glob matches.
pub(crate) fn resolve(
    context: &TrackContext<'_>,
    kind: &str,
    url: &str,
    track: &str,
    format: RefFormat,
    exclude: &[String],
) -> Result<String, SourceError> {
    let mut failure = SourceError::new("There is no URL to track");
    for candidate in context.urls.track(url) {
        context.progress.status(&format!("Tracking {track} from {}", shown(&candidate.url)));
        match resolve_at(context, kind, url, &candidate.url, track, format, exclude) {
            Ok(found) => return Ok(found),
            Err(error) if context.cancel.is_cancelled() => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn resolve_at(
    context: &TrackContext<'_>,
    kind: &str,
    original_url: &str,
    url: &str,
    track: &str,
    format: RefFormat,
    exclude: &[String],
) -> Result<String, SourceError> {
    let refs = repository::remote_refs(context, url)?;
    let latest = repository::latest(&refs, track, exclude);
    let Some((name, commit)) = latest else {
        return Err(SourceError::new(format!("No matching refs: {track} in {}", shown(url))));
    };
    context.progress.status(&format!("Tracked {name}: {commit}"));
    if format == RefFormat::Sha1 {
        return Ok(commit);
    }
    if name.contains("tags") {
        let tag = name.splitn(3, '/').last().unwrap_or(&name);
        return Ok(format!("{tag}-0-g{commit}"));
    }
    let mirror = Mirror::dulwich(context.source_directory, kind, original_url);
    let _lock = mirror.lock(context)?;
    mirror.create(context, kind)?;
    repository::describe(context, &mirror, url, &commit)
}

impl Source for GitRepoSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let own = [("ref", key::optional(self.reference.as_deref())), ("bugfix", KeyValue::Integer(1))];
        let guess = self.guess.key().map(|(name, value)| (name, KeyValue::from(value)));
        Ok(key::object(own.into_iter().chain(guess)))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(GitRepoSource { reference: read_reference(reference)?, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        self.checkout()?.is_fetched(source_directory)
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let Some(track) = &self.track else { return Ok(None) };
        let kind = &self.declared.kind;
        let found = resolve(context, kind, &self.original_url, track, self.format, &self.exclude)?;
        Ok(Some(reference("ref", found)))
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let remote = repository::upstream(&self.original_url, self.checkout()?.described.commit);
        Ok(Some(vec![remote]))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let track = self.track.as_deref().map(|track| (track, self.exclude.as_slice()));
        self.checkout()?.fetch(context, track)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        self.checkout()?.stage(context)
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        let checkout = self.checkout()?;
        let mirror = checkout.mirror(context.source_directory);
        repository::open_workspace(context, &mirror, directory, &self.url, checkout.oid()?, false)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let reference = self.reference.as_deref().unwrap_or_default();
        Ok(self.declared.told(vec![describe(&self.declared, &self.url, reference, Some(&self.guess))]))
    }
}

/// What the kinds that fetch single commits say of one.
pub(crate) fn describe(
    declared: &Declared,
    url: &str,
    reference: &str,
    guess: Option<&VersionGuess>,
) -> SourceProvenance {
    let described = Described::parse(reference);
    let tag = described.and_then(|described| described.tag).filter(|tag| !tag.is_empty());
    let commit = described.map_or(reference, |described| described.commit);
    let guess = guess.and_then(|guess| guess.guess(described.and_then(|described| described.tag)));
    let mut origin = Origin::git(url, commit, guess);
    if let Some(tag) = tag {
        origin = origin.extra("tag-name", tag);
    }
    if let Some(count) = described.and_then(|described| described.count) {
        origin = origin.extra("commit-offset", count);
    }
    if declared.release >= Release(2, 3, 2) {
        origin = origin.extra("ecosystem", "GIT");
    }
    declared.provenance(origin)
}
