//! `git_repo`: a commit of a git repository, with as much history as `git describe` needs.

use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository::Described;
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
    release: Release,
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
    reading.keys(&["ref", "url", "track", "exclude", "ref-format", "version", "version-guess-pattern"])?;
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
        release: Release::of(&reading.declaration.origin),
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

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Err(self.declared.later("looked up"))
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
        let reference = self.reference.as_deref().unwrap_or_default();
        Ok(Some(vec![describe(&self.declared, &self.url, reference, Some(&self.guess), self.release)]))
    }
}

/// What the kinds that fetch single commits say of one.
pub(crate) fn describe(
    declared: &Declared,
    url: &str,
    reference: &str,
    guess: Option<&VersionGuess>,
    release: Release,
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
    if release >= Release(2, 3, 2) {
        origin = origin.extra("ecosystem", "GIT");
    }
    declared.provenance(origin)
}
