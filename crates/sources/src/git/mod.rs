//! `git`: a commit of a git repository, submodules included.

use crate::declared::{Declared, Origin};
use crate::git_repo::RefFormat;
use crate::git_tag::Submodules;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node, Value};
use std::path::Path;

/// The kind.
pub(crate) struct Git;

#[derive(Clone)]
struct GitSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    reference: Option<String>,
    tags: Vec<Tag>,
    /// Branch or tag to track.
    track: Option<String>,
    track_tags: bool,
    format: RefFormat,
    submodules: Submodules,
    guess: VersionGuess,
    release: Release,
}

/// A tag that `git describe` shall find in what is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    commit: String,
    annotated: bool,
}

impl SourceKind for Git {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }

    fn ref_keys(&self) -> &'static [&'static str] {
        &["ref", "tags"]
    }
}

const KEYS: [&str; 8] =
    ["url", "track", "ref", "submodules", "checkout-submodules", "ref-format", "track-tags", "tags"];

fn read(reading: &Reading<'_>) -> Result<GitSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let node = reading.node;
    let guesses = release >= Release(2, 5, 0);
    let keys: Vec<&str> = KEYS.iter().chain(VersionGuess::KEYS.iter().filter(|_| guesses)).copied().collect();
    reading.keys(&keys)?;
    let source = GitSource {
        declared: reading.declared(),
        tags: read_tags(node)?,
        track_tags: node.opt_bool("track-tags")?.unwrap_or(false),
        original_url: node.get_str("url")?.to_owned(),
        reference: node.opt_str("ref")?.map(str::to_owned),
        track: node.opt_str("track")?.map(str::to_owned),
        format: node.opt_enum("ref-format", RefFormat::NAMES)?.unwrap_or(RefFormat::Sha1),
        guess: if guesses { VersionGuess::read(node)? } else { VersionGuess::default() },
        submodules: Submodules::read(reading)?,
        release,
    };
    if source.reference.is_none() && source.track.is_none() {
        return Err(reading.error("missing-track-and-ref", "Git sources require a ref and/or track"));
    }
    reading.mark(&source.original_url)?;
    Ok(source)
}

fn read_tags(node: &Node) -> Result<Vec<Tag>, Diagnostic> {
    let tags = node.opt_sequence("tags")?.unwrap_or_default();
    let read = |tag: &Node| {
        tag.validate_keys(&["tag", "commit", "annotated"])?;
        let annotated = tag.get_bool("annotated")?;
        Ok(Tag { name: tag.get_str("tag")?.to_owned(), commit: tag.get_str("commit")?.to_owned(), annotated })
    };
    tags.iter().map(read).collect()
}

impl Tag {
    fn node(&self) -> Node {
        let mut entries = Mapping::new();
        entries.insert("tag", Node::scalar(self.name.as_str()));
        entries.insert("commit", Node::scalar(self.commit.as_str()));
        entries.insert("annotated", Node::from(self.annotated));
        Node::mapping(entries)
    }
}

impl GitSource {
    /// The commit of the ref, whatever stands before it.
    fn commit(&self) -> Option<&str> {
        self.reference
            .as_deref()
            .map(|reference| reference.rsplit_once("-g").map_or(reference, |(_, commit)| commit))
    }
}

impl Source for GitSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut values = vec![KeyValue::from(&*self.original_url), key::optional(self.commit())];
        if !self.tags.is_empty() {
            let value = |tag: &Tag| KeyValue::List(vec![(*tag.commit).into(), KeyValue::Bool(tag.annotated)]);
            let tags = key::object(self.tags.iter().map(|tag| (tag.name.as_str(), value(tag))));
            values.push(key::object([("tags", tags)]));
        }
        values.extend(self.submodules.key());
        self.guess.extend(&mut values);
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        let reference = self.reference.as_deref()?;
        let mut entries = Mapping::new();
        entries.insert("ref", Node::scalar(reference));
        let tags = self.tags.iter().map(Tag::node).collect();
        entries.insert("tags", if self.tags.is_empty() { Value::Null.into() } else { Node::sequence(tags) });
        Some(Node::mapping(entries))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let tags = match reference.get("tags") {
            Some(tags) if !tags.is_null() => read_tags(reference)?,
            _ => Vec::new(),
        };
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(GitSource { reference, tags, ..self.clone() }))
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
        if self.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let reference = self.reference.as_deref().unwrap_or_default();
        let (described, commit) = match reference.rsplit_once("-g") {
            Some((described, commit)) => (Some(described), commit),
            None => (None, reference),
        };
        let (tag, count) =
            match described.map(|described| described.rsplit_once('-').unwrap_or((described, ""))) {
                Some((tag, count)) => (Some(tag), Some(count)),
                None => (None, None),
            };
        // The reference tells the URL as it is written.
        let mut origin = Origin::git(&self.original_url, commit, self.guess.guess(tag));
        if let Some(count) = count.filter(|count| !count.is_empty() && *count != "0") {
            origin = origin.extra("commit-offset", count);
        }
        Ok(Some(vec![self.declared.provenance(origin)]))
    }
}
