//! `go_module`: a dependency of a Go project, staged below `vendor/`.

use crate::declared::{Declared, reference};
use crate::git_repo::{check_reference, describe};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node};
use std::path::Path;

/// The kind.
pub(crate) struct GoModule;

#[derive(Clone)]
struct GoModuleSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    /// Path that Go programs import it by.
    module: String,
    reference: Option<GoReference>,
    release: Release,
}

/// The ref.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GoReference {
    /// Version in `go.sum`.
    go_version: String,
    /// Commit, with or without its tag.
    git_ref: String,
    /// Whether the project names the module itself; ignored since 2.4, but part of the key.
    explicit: Option<Explicit>,
    /// Where in the repository the module is.
    subdirectory: Option<String>,
}

/// The key `explicit` of a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explicit {
    /// Its value counts.
    Is(bool),
    /// It is written, but ignored.
    Ignored,
}

impl SourceKind for GoModule {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<GoModuleSource, Diagnostic> {
    reading.keys(&["ref", "url", "module"])?;
    let release = Release::of(&reading.declaration.origin);
    let reference = read_reference(reading.node, release)?;
    if matches!(reference, Some(GoReference { explicit: Some(Explicit::Ignored), .. })) {
        reading.warn(None, "'explicit' is deprecated and ignored.")?;
    }
    let original_url = reading.node.get_str("url")?.to_owned();
    Ok(GoModuleSource {
        declared: reading.declared(),
        module: reading.node.get_str("module")?.to_owned(),
        url: reading.translate(&original_url)?,
        original_url,
        reference,
        release,
    })
}

fn read_reference(node: &Node, release: Release) -> Result<Option<GoReference>, Diagnostic> {
    let Some(node) = node.get("ref").filter(|node| !node.is_null()) else { return Ok(None) };
    node.validate_keys(&["go-version", "git-ref", "explicit", "subdirectory"])?;
    let explicit = if release < Release(2, 4, 0) {
        Some(Explicit::Is(node.get_bool("explicit")?))
    } else {
        node.get("explicit").map(|_| Explicit::Ignored)
    };
    let git_ref = node.get_str("git-ref")?;
    check_reference(git_ref, node.get_node("git-ref")?)?;
    Ok(Some(GoReference {
        go_version: node.get_str("go-version")?.to_owned(),
        git_ref: git_ref.to_owned(),
        explicit,
        subdirectory: node.opt_str("subdirectory")?.map(str::to_owned),
    }))
}

impl GoReference {
    fn key(&self) -> KeyValue {
        let mut entries =
            vec![("go-version", (*self.go_version).into()), ("git-ref", (*self.git_ref).into())];
        if let Some(explicit) = self.explicit {
            let value = match explicit {
                Explicit::Is(explicit) => KeyValue::Bool(explicit),
                Explicit::Ignored => KeyValue::Null,
            };
            entries.push(("explicit", value));
        }
        entries.extend(self.subdirectory.as_deref().map(|directory| ("subdirectory", directory.into())));
        key::object(entries)
    }

    fn node(&self) -> Node {
        let mut entries = Mapping::new();
        entries.insert("go-version", Node::scalar(self.go_version.as_str()));
        entries.insert("git-ref", Node::scalar(self.git_ref.as_str()));
        match self.explicit {
            Some(Explicit::Is(explicit)) => drop(entries.insert("explicit", Node::from(explicit))),
            Some(Explicit::Ignored) => drop(entries.insert("explicit", Node::null())),
            None => {}
        }
        if let Some(directory) = &self.subdirectory {
            entries.insert("subdirectory", Node::scalar(directory.as_str()));
        }
        Node::mapping(entries)
    }
}

impl Source for GoModuleSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let reference = self.reference.as_ref().map_or(KeyValue::Null, GoReference::key);
        Ok(key::object([
            ("ref", reference),
            ("module", (*self.module).into()),
            ("bugfix", KeyValue::Integer(1)),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_ref()?.node()))
    }

    fn with_reference(&self, node: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(GoModuleSource { reference: read_reference(node, self.release)?, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, stage: true, fetch: false }
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
        let git_ref = self.reference.as_ref().map_or("", |reference| reference.git_ref.as_str());
        let guess = VersionGuess::default();
        Ok(Some(vec![describe(&self.declared, &self.url, git_ref, Some(&guess), self.release)]))
    }
}
