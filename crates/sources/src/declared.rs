//! What every source keeps of its declaration, and how it tells where it comes from.

use crate::key;
use crate::release::Release;
use bourn_plan::{KeyValue, ProvenanceContext, SourceError, SourceProvenance};
use bourn_yaml::{Mapping, Node, Value};
use std::sync::Arc;

/// What every source keeps of its declaration.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// Its kind.
    pub(crate) kind: Arc<str>,
    /// Its `provenance:` attributes.
    pub(crate) provenance: Option<Node>,
    /// The release of the package that its kind is of.
    pub(crate) release: Release,
}

/// One answer about where something comes from; the words of bst's `SourceInfo`.
pub(crate) struct Origin<'a> {
    /// Translated URL or path in the project.
    pub(crate) url: &'a str,
    /// `git`, `remote-file`, `local` …
    pub(crate) medium: &'a str,
    /// `commit`, `sha256`, `cas-digest` …
    pub(crate) version_type: &'a str,
    /// The version, of that type.
    pub(crate) version: Option<&'a str>,
    /// What people would call the version.
    pub(crate) guess: Option<String>,
    /// More, of the kind's own.
    pub(crate) extra: Vec<(&'static str, KeyValue)>,
}

impl<'a> Origin<'a> {
    /// A file that was downloaded.
    pub(crate) fn remote_file(url: &'a str, sha256: Option<&'a str>, guess: Option<String>) -> Origin<'a> {
        Origin {
            url,
            medium: "remote-file",
            version_type: "sha256",
            version: sha256,
            guess,
            extra: Vec::new(),
        }
    }

    /// A commit of a git repository.
    pub(crate) fn git(url: &'a str, commit: &'a str, guess: Option<String>) -> Origin<'a> {
        Origin { url, medium: "git", version_type: "commit", version: Some(commit), guess, extra: Vec::new() }
    }

    /// A file or directory of the project.
    pub(crate) fn local(path: &'a str, version_type: &'a str, version: &'a str) -> Origin<'a> {
        Origin {
            url: path,
            medium: "local",
            version_type,
            version: Some(version),
            guess: None,
            extra: Vec::new(),
        }
    }

    /// Adds a word of the kind's own.
    pub(crate) fn extra(mut self, name: &'static str, value: impl Into<KeyValue>) -> Origin<'a> {
        self.extra.push((name, value.into()));
        self
    }
}

impl Declared {
    /// The answer with the attributes of the declaration.
    pub(crate) fn provenance(&self, origin: Origin<'_>) -> SourceProvenance {
        self.entries(origin, self.provenance.as_ref())
    }

    /// The answer with attributes of its own, checked against those that the project declares.
    pub(crate) fn provenance_of(
        &self,
        origin: Origin<'_>,
        own: Option<&Node>,
        context: &ProvenanceContext<'_>,
    ) -> Result<SourceProvenance, SourceError> {
        if let Some(entries) = own.and_then(Node::entries) {
            check_attributes(entries, context)?;
        }
        Ok(self.entries(origin, own.or(self.provenance.as_ref())))
    }

    fn entries(&self, origin: Origin<'_>, attributes: Option<&Node>) -> SourceProvenance {
        let mut entries =
            vec![("kind".to_owned(), key::text(&*self.kind)), ("url".to_owned(), origin.url.into())];
        if let Some(attributes) = attributes {
            for name in ["homepage", "issue-tracker"] {
                entries.extend(
                    attributes.get(name).and_then(Node::text).map(|text| (name.to_owned(), text.into())),
                );
            }
            entries.push(("provenance".to_owned(), value(attributes)));
        }
        entries.push(("medium".to_owned(), origin.medium.into()));
        entries.push(("version-type".to_owned(), origin.version_type.into()));
        entries.push(("version".to_owned(), key::optional(origin.version)));
        entries.extend(origin.guess.map(|guess| ("version-guess".to_owned(), guess.into())));
        if !origin.extra.is_empty() {
            entries.push(("extra-data".to_owned(), key::object(origin.extra)));
        }
        SourceProvenance { entries }
    }
}

fn check_attributes(entries: &Mapping, context: &ProvenanceContext<'_>) -> Result<(), SourceError> {
    for (name, value) in entries {
        if !context.project.provenance_attributes.contains_key(name.as_str()) {
            let message = format!("Source provenance attribute `{name}` is not declared in project.conf");
            let hint = "declare it under `source-provenance-attributes`";
            return Err(SourceError::new(message).reason("undefined-source-provenance-attribute").hint(hint));
        }
        if value.text().is_none() {
            let message = format!("Expected string for the value of provenance attribute '{name}'");
            return Err(SourceError::new(message).reason("invalid-data"));
        }
    }
    Ok(())
}

/// A node as a plain value.
pub(crate) fn value(node: &Node) -> KeyValue {
    match &node.value {
        Value::Null => KeyValue::Null,
        Value::Scalar(text) => key::text(text.as_str()),
        Value::Sequence(items) => KeyValue::List(items.iter().map(value).collect()),
        Value::Mapping(entries) => {
            key::object(entries.iter().map(|(name, node)| (name.as_str(), value(node))))
        }
    }
}

/// A ref of one key.
pub(crate) fn reference(name: &str, value: impl Into<Node>) -> Node {
    let mut entries = Mapping::new();
    entries.insert(name, value.into());
    Node::mapping(entries)
}

impl Declared {
    /// The error of a source that has no ref.
    pub(crate) fn unresolved(&self) -> SourceError {
        SourceError::new(format!("The source of kind `{}` has no ref", self.kind)).hint("track it first")
    }

    /// What one of the community's kinds answers about where it comes from: nothing before release 2.1.
    pub(crate) fn told(&self, answers: Vec<SourceProvenance>) -> Option<Vec<SourceProvenance>> {
        (self.release >= Release(2, 1, 0)).then_some(answers)
    }
}
