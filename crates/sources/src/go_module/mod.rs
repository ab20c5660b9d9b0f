//! `go_module`: a dependency of a Go project, staged below `vendor/`.

mod vendor;
mod version;

use crate::declared::{Declared, reference};
use crate::document;
use crate::git_repo::{Checkout, RefFormat, check_reference, describe, resolve};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository;
use crate::trees;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node};
use std::path::Path;

/// The release in which its staging was rewritten: modules may lie in a directory of their repository, and are staged
/// without `.git`.
const REWRITTEN: Release = Release(2, 2, 0);

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
    let declared = reading.declared();
    let reference = read_reference(reading.node, declared.release)?;
    if matches!(reference, Some(GoReference { explicit: Some(Explicit::Ignored), .. })) {
        reading.warn(None, "'explicit' is deprecated and ignored.")?;
    }
    let original_url = reading.node.get_str("url")?.to_owned();
    Ok(GoModuleSource {
        declared,
        module: reading.node.get_str("module")?.to_owned(),
        url: reading.translate(&original_url)?,
        original_url,
        reference,
    })
}

fn read_reference(node: &Node, release: Release) -> Result<Option<GoReference>, Diagnostic> {
    let Some(node) = node.get("ref").filter(|node| !node.is_null()) else { return Ok(None) };
    let keys = ["go-version", "git-ref", "explicit", "subdirectory"];
    node.validate_keys(if release < REWRITTEN { &keys[..3] } else { &keys })?;
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
            ("bugfix", KeyValue::Integer(i64::from(self.declared.release >= REWRITTEN))),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_ref()?.node()))
    }

    fn with_reference(&self, node: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(GoModuleSource {
            reference: read_reference(node, self.declared.release)?,
            ..self.clone()
        }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, stage: true, fetch: false }
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        self.checkout()?.is_fetched(source_directory)
    }

    /// The commit of the version that `go.sum` names.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let go_version = self.locked_version(context)?;
        let mut subdirectory = self.find_subdirectory(context)?;
        let kind = &self.declared.kind;
        let git_ref = if let Some(commit) = version::pseudo(&go_version) {
            repository::complete(context, kind, &self.original_url, commit)?
        } else {
            let parsed = version::parse(&go_version).ok_or_else(|| {
                SourceError::new(format!("'{go_version}' of {} is no version of a Go module", self.module))
            })?;
            // Whether the major version has a directory of its own only shows when staging.
            let above = subdirectory.strip_suffix(&parsed.major).unwrap_or(&subdirectory);
            subdirectory = above.strip_suffix('/').unwrap_or(above).to_owned();
            let tag = crate::url::join(&subdirectory, &parsed.tag);
            resolve(context, kind, &self.original_url, &tag, RefFormat::GitDescribe, &[])?
        };
        let subdirectory = Some(subdirectory).filter(|directory| !directory.is_empty());
        let found = GoReference { go_version, git_ref, explicit: None, subdirectory };
        Ok(Some(reference("ref", found.node())))
    }

    fn upstreams(&self, _: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(vec![repository::upstream(&self.original_url, self.checkout()?.commit())]))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.checkout()?.fetch(context, None)
    }

    /// What was staged before, with the module and a list of its packages below `vendor/`.
    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let reference = self.reference.as_ref().ok_or_else(|| self.declared.unresolved())?;
        if self.declared.release < REWRITTEN {
            let message = "Sources of kind `go_module` cannot be staged as releases before 2.2 did";
            let hint = "use buildstream-plugins-community 2.2 or newer; keys change with it";
            return Err(SourceError::new(message).hint(hint));
        }
        let repository = self.checkout()?.stage_files(context)?;
        let cas = context.cas;
        let mut tree = Some(repository);
        if let Some(subdirectory) = &reference.subdirectory {
            tree = trees::directory(cas, &repository, subdirectory)?;
        }
        let major = version::parse(&reference.go_version).filter(|version| version.number >= 2);
        if let (Some(module), Some(version)) = (tree, major) {
            tree = trees::directory(cas, &module, &version.major)?.or(tree);
        }
        let previous = context.previous.unwrap_or_default();
        let module = (self.module.as_str(), reference.go_version.as_str());
        vendor::add(cas, &previous, module, &tree.unwrap_or_default())
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let git_ref = self.reference.as_ref().map_or("", |reference| reference.git_ref.as_str());
        let guess = VersionGuess::default();
        Ok(self.declared.told(vec![describe(&self.declared, &self.url, git_ref, Some(&guess))]))
    }
}

impl GoModuleSource {
    fn checkout(&self) -> Result<Checkout<'_>, SourceError> {
        let reference = self.reference.as_ref().map(|reference| reference.git_ref.as_str());
        Checkout::new(&self.declared.kind, &self.original_url, reference)
    }

    /// The version that the `go.sum` of earlier sources has for the module.
    fn locked_version(&self, context: &TrackContext<'_>) -> Result<String, SourceError> {
        let content = match &context.previous {
            Some(previous) => trees::read(context.cas, previous, "go.sum")?,
            None => None,
        };
        let content = content.ok_or_else(|| {
            let hint = "a source before this one in the list has to stage the project";
            SourceError::new("Failed to find go.sum at the top of the staged sources").hint(hint)
        })?;
        let text = String::from_utf8_lossy(&content);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let [module, version, _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(SourceError::new(format!("Malformed line in go.sum: {}", line.escape_debug())));
            };
            if module == self.module && !version.ends_with("/go.mod") && !version.ends_with("/go.sum") {
                return Ok(version.to_owned());
            }
        }
        Err(SourceError::new(format!("go.sum does not name the module {}", self.module)))
    }

    /// Where in its repository the module is: what its path has more than that of the repository.
    fn find_subdirectory(&self, context: &TrackContext<'_>) -> Result<String, SourceError> {
        if self.module.starts_with("github.com") {
            // A repository there has two names, and the site need not be asked.
            return Ok(self.module.split('/').skip(3).collect::<Vec<_>>().join("/"));
        }
        let url = format!("https://{}?go-get=1", self.module);
        let candidate = Candidate { url: url.clone(), auth: Auth::Basic };
        let page = document::read(context, &candidate, None)?;
        let root = version::import_root(&String::from_utf8_lossy(&page)).ok_or_else(|| {
            SourceError::new(format!("{url} does not say where the module {} is", self.module))
                .hint("the page has no `<meta name=\"go-import\">`; is the module's path right?")
        })?;
        let rest = self.module.strip_prefix(&root).unwrap_or_default();
        Ok(rest.strip_prefix('/').unwrap_or(rest).to_owned())
    }
}
