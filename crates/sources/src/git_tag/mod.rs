//! `git_tag`: a commit of a git repository with its `.git`, tracked by branch or latest tag.

use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::repository::Described;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use indexmap::IndexMap;
use std::path::Path;

/// The kind.
pub(crate) struct GitTag;

/// What `git_tag` and `git_module` share.
#[derive(Clone)]
pub(crate) struct TaggedRepository {
    pub(crate) declared: Declared,
    /// With its alias.
    pub(crate) original_url: String,
    /// By the project's aliases.
    pub(crate) url: String,
    pub(crate) reference: Option<String>,
    /// Whether all of the history is fetched.
    pub(crate) full_clone: bool,
    /// Whether files kept by git-lfs are wanted; `None`: not said, which is worth a warning when there are any.
    pub(crate) use_lfs: Option<bool>,
    guess: VersionGuess,
}

#[derive(Clone)]
struct GitTagSource {
    repository: TaggedRepository,
    /// Branch to track.
    track: Option<String>,
    /// More branches; the newest commit of all counts.
    track_extra: Vec<String>,
    /// Whether the latest tag counts, not the latest commit.
    track_tags: bool,
    /// Globs of tags.
    matching: Vec<String>,
    /// Globs of tags not to take.
    exclude: Vec<String>,
    submodules: Submodules,
}

/// What a configuration says of submodules.
#[derive(Clone, Debug)]
pub(crate) struct Submodules {
    /// Whether they are checked out where nothing else is said.
    pub(crate) checkout: bool,
    /// By path: the URL to take instead of the one in `.gitmodules`.
    pub(crate) urls: IndexMap<String, Option<String>>,
    /// By path: whether it is checked out.
    pub(crate) checkouts: IndexMap<String, bool>,
}

impl Submodules {
    /// Reads `checkout-submodules` and `submodules`.
    pub(crate) fn read(reading: &Reading<'_>) -> Result<Submodules, Diagnostic> {
        let checkout = reading.node.opt_bool("checkout-submodules")?.unwrap_or(true);
        let mut submodules = Submodules { checkout, urls: IndexMap::new(), checkouts: IndexMap::new() };
        let Some(modules) = reading.node.opt_mapping("submodules")? else { return Ok(submodules) };
        for (path, _) in modules.as_mapping()? {
            let module = modules.get_mapping(path)?;
            let url = module.opt_str("url")?;
            if let Some(url) = url.filter(|url| !url.is_empty()) {
                reading.mark(url)?;
            }
            submodules.urls.insert(path.to_string(), url.map(str::to_owned));
            if module.get("checkout").is_some() {
                submodules.checkouts.insert(path.to_string(), module.get_bool("checkout")?);
            }
        }
        Ok(submodules)
    }

    /// What of it enters a key.
    pub(crate) fn key(&self) -> Vec<KeyValue> {
        let mut values = Vec::new();
        if !self.checkout {
            values.push(key::object([("checkout_submodules", KeyValue::Bool(false))]));
        }
        if !self.urls.is_empty() {
            let urls = self.urls.iter().map(|(path, url)| (path.as_str(), key::optional(url.as_deref())));
            values.push(key::object(urls));
        }
        if !self.checkouts.is_empty() {
            let checkouts =
                self.checkouts.iter().map(|(path, checkout)| (path.as_str(), KeyValue::Bool(*checkout)));
            values.push(key::object([("submodule_checkout_overrides", key::object(checkouts))]));
        }
        values
    }

    /// Whether a submodule is wanted.
    pub(crate) fn wants(&self, path: &str) -> bool {
        self.checkouts.get(path).copied().unwrap_or(self.checkout)
    }
}

impl TaggedRepository {
    /// The keys it reads.
    const KEYS: [&'static str; 6] =
        ["url", "ref", "full-clone", "use-lfs", "version", "version-guess-pattern"];

    /// Reads it, and checks that there are no keys but these and `own`.
    pub(crate) fn read(reading: &Reading<'_>, own: &[&str]) -> Result<TaggedRepository, Diagnostic> {
        let keys: Vec<&str> = Self::KEYS.iter().chain(own).copied().collect();
        reading.keys(&keys)?;
        let node = reading.node;
        let original_url = node.get_str("url")?.to_owned();
        Ok(TaggedRepository {
            declared: reading.declared(),
            full_clone: node.opt_bool("full-clone")?.unwrap_or(false),
            use_lfs: node.opt_bool("use-lfs")?,
            guess: VersionGuess::read(node)?,
            reference: node.opt_str("ref")?.map(str::to_owned),
            url: reading.translate(&original_url)?,
            original_url,
        })
    }

    /// The key, with what the kind adds.
    pub(crate) fn key(&self, own: Vec<KeyValue>) -> KeyValue {
        let mut values = vec![KeyValue::from(&*self.original_url), key::optional(self.reference.as_deref())];
        values.extend(own);
        if self.use_lfs == Some(true) {
            values.push("use-lfs".into());
        }
        self.guess.extend(&mut values);
        KeyValue::List(values)
    }

    pub(crate) fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    pub(crate) fn with_reference(&self, node: &SourceRef) -> Result<TaggedRepository, Diagnostic> {
        Ok(TaggedRepository { reference: node.opt_str("ref")?.map(str::to_owned), ..self.clone() })
    }

    /// Where it comes from.
    pub(crate) fn provenance(&self) -> SourceProvenance {
        self.provenance_of(&self.url, self.reference.as_deref().unwrap_or_default())
    }

    /// Where it or one of its submodules comes from.
    fn provenance_of(&self, url: &str, reference: &str) -> SourceProvenance {
        let described = Described::parse(reference);
        let commit = described.map_or(reference, |described| described.commit);
        let guess = self.guess.guess(described.and_then(|described| described.tag));
        let mut origin = Origin::git(url, commit, guess);
        if let Some(count) = described.and_then(|described| described.count) {
            origin = origin.extra("commit-offset", count);
        }
        self.declared.provenance(origin)
    }
}

impl SourceKind for GitTag {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GitTagSource, Diagnostic> {
    let own = ["track", "track-extra", "track-tags", "match", "exclude", "checkout-submodules", "submodules"];
    let repository = TaggedRepository::read(reading, &own)?;
    let node = reading.node;
    let list = |key: &str| -> Result<Vec<String>, Diagnostic> {
        Ok(node.opt_str_list(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    };
    let source = GitTagSource {
        track: node.opt_str("track")?.map(str::to_owned),
        track_extra: list("track-extra")?,
        track_tags: node.opt_bool("track-tags")?.unwrap_or(false),
        matching: list("match")?,
        exclude: list("exclude")?,
        submodules: Submodules::read(reading)?,
        repository,
    };
    if source.repository.reference.is_none() && source.track.is_none() {
        return Err(reading.error("missing-track-and-ref", "Git sources require a ref and/or track"));
    }
    Ok(source)
}

impl Source for GitTagSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.repository.key(self.submodules.key()))
    }

    fn is_resolved(&self) -> bool {
        self.repository.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        self.repository.reference()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let repository = self.repository.with_reference(reference)?;
        Ok(Box::new(GitTagSource { repository, ..self.clone() }))
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Err(self.repository.declared.later("looked up"))
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.repository.declared.later("tracked"))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Err(self.repository.declared.later("fetched"))
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Err(self.repository.declared.later("staged"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(Some(vec![self.repository.provenance()]))
    }
}
