//! `cargo2`: the crates that a `Cargo.lock` names, from registries and git repositories.

use crate::crates::{Registry, RegistryCrate};
use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node};
use indexmap::IndexMap;
use std::path::Path;

/// The kind.
pub(crate) struct Cargo2;

#[derive(Clone)]
struct Cargo2Source {
    declared: Declared,
    registry: Registry,
    /// Name of the lock file in what earlier sources stage.
    cargo_lock: String,
    /// Where crates are staged.
    vendor_directory: String,
    /// Beginnings of git URLs, and what stands for them.
    git_mirrors: IndexMap<String, String>,
    /// In the order of the ref.
    crates: Vec<Crate>,
    release: Release,
}

/// A crate.
#[derive(Clone, Debug)]
enum Crate {
    Registry(RegistryCrate),
    Git(GitCrate),
}

/// A crate of a git repository.
#[derive(Clone, Debug)]
struct GitCrate {
    name: String,
    version: String,
    /// URL of the repository, with its alias.
    repo: String,
    commit: String,
    /// `branch`, `tag` or `rev`, as `Cargo.lock` has it.
    query: IndexMap<String, String>,
    /// The repository by the project's aliases and `git-mirrors`.
    url: String,
    /// Attributes of its own.
    provenance: Option<Node>,
}

impl SourceKind for Cargo2 {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<Cargo2Source, Diagnostic> {
    reading.keys(&["url", "ref", "cargo-lock", "vendor-dir", "git-mirrors"])?;
    let node = reading.node;
    let mut source = Cargo2Source {
        declared: reading.declared(),
        registry: Registry::read(reading)?,
        cargo_lock: node.opt_str("cargo-lock")?.unwrap_or("Cargo.lock").to_owned(),
        vendor_directory: node.opt_str("vendor-dir")?.unwrap_or(".vendored-crates").to_owned(),
        git_mirrors: read_texts(node.opt_mapping("git-mirrors")?)?,
        crates: Vec::new(),
        release: Release::of(&reading.declaration.origin),
    };
    source.crates = read_crates(node, &source.git_mirrors)?;
    for one in &mut source.crates {
        if let Crate::Git(one) = one {
            reading.mark(&one.repo)?;
            one.url = reading.context.urls.translate(&one.url).unwrap_or_else(|_| one.url.clone());
        }
    }
    Ok(source)
}

fn read_texts(node: Option<&Node>) -> Result<IndexMap<String, String>, Diagnostic> {
    let Some(node) = node else { return Ok(IndexMap::new()) };
    let entries = node.as_mapping()?.iter();
    entries.map(|(name, value)| Ok((name.to_string(), value.as_str()?.to_owned()))).collect()
}

fn read_crates(node: &Node, mirrors: &IndexMap<String, String>) -> Result<Vec<Crate>, Diagnostic> {
    let read = |node: &Node| match node.opt_str("kind")? {
        Some("git") => Ok(Crate::Git(GitCrate::read(node, mirrors)?)),
        _ => Ok(Crate::Registry(RegistryCrate::read(node)?)),
    };
    node.opt_sequence("ref")?.unwrap_or_default().iter().map(read).collect()
}

/// What stands for a git URL: the longest beginning that `git-mirrors` knows counts.
fn mirrored(url: &str, mirrors: &IndexMap<String, String>) -> String {
    let fitting = mirrors.iter().filter(|(beginning, _)| url.starts_with(beginning.as_str()));
    // Of equally long ones the first counts, as keys are unique there is none.
    match fitting.max_by_key(|(beginning, _)| beginning.len()) {
        Some((beginning, mirror)) => url.replace(beginning.as_str(), mirror),
        None => url.to_owned(),
    }
}

impl GitCrate {
    fn read(node: &Node, mirrors: &IndexMap<String, String>) -> Result<GitCrate, Diagnostic> {
        let repo = node.get_str("repo")?.to_owned();
        Ok(GitCrate {
            name: node.get_str("name")?.to_owned(),
            version: node.get_str("version")?.to_owned(),
            url: mirrored(&repo, mirrors),
            repo,
            commit: node.get_str("commit")?.to_owned(),
            query: read_texts(node.opt_mapping("query")?)?,
            provenance: node.opt_mapping("provenance")?.cloned(),
        })
    }

    fn provenance(
        &self,
        declared: &Declared,
        release: Release,
        context: &ProvenanceContext<'_>,
    ) -> Result<SourceProvenance, SourceError> {
        let mut origin =
            Origin::git(&self.url, &self.commit, Some(self.version.clone())).extra("crate-name", &*self.name);
        if release >= Release(2, 3, 2) {
            origin = origin.extra("ecosystem", "GIT");
        }
        declared.provenance_of(origin, self.provenance.as_ref(), context)
    }
}

impl Crate {
    fn key(&self) -> KeyValue {
        match self {
            Crate::Registry(one) => key::object([
                ("kind", "registry".into()),
                ("name", (*one.name).into()),
                ("version", (*one.version).into()),
                ("sha", key::optional(one.sha256.as_deref())),
            ]),
            Crate::Git(one) => {
                let mut entries: Vec<(&str, KeyValue)> = vec![
                    ("kind", "git".into()),
                    ("name", (*one.name).into()),
                    ("version", (*one.version).into()),
                    ("repo", (*one.repo).into()),
                    ("commit", (*one.commit).into()),
                ];
                if !one.query.is_empty() {
                    let query =
                        one.query.iter().map(|(name, value)| (name.as_str(), KeyValue::from(&**value)));
                    entries.push(("query", key::object(query)));
                }
                key::object(entries)
            }
        }
    }

    fn node(&self) -> Node {
        let (mut entries, provenance) = match self {
            Crate::Registry(one) => {
                let mut entries = Mapping::new();
                entries.insert("kind", Node::scalar("registry"));
                entries.extend(one.node());
                (entries, &one.provenance)
            }
            Crate::Git(one) => (one.node(), &one.provenance),
        };
        if let Some(provenance) = provenance {
            entries.insert("provenance", provenance.clone());
        }
        Node::mapping(entries)
    }
}

impl GitCrate {
    fn node(&self) -> Mapping {
        let mut entries = Mapping::new();
        let fields = [
            ("kind", "git"),
            ("commit", &self.commit),
            ("repo", &self.repo),
            ("name", &self.name),
            ("version", &self.version),
        ];
        entries.extend(fields.map(|(name, text)| (name, Node::scalar(text))));
        if !self.query.is_empty() {
            let query: Mapping =
                self.query.iter().map(|(name, value)| (&**name, Node::scalar(&**value))).collect();
            entries.insert("query", Node::mapping(query));
        }
        entries
    }
}

impl Source for Cargo2Source {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![
            (*self.registry.original_url).into(),
            (*self.cargo_lock).into(),
            (*self.vendor_directory).into(),
            KeyValue::List(self.crates.iter().map(Crate::key).collect()),
            // The reference counts up this letter when it stages the same ref differently.
            "a".into(),
        ]))
    }

    fn is_resolved(&self) -> bool {
        self.crates.iter().all(|one| match one {
            Crate::Registry(one) => one.sha256.is_some(),
            Crate::Git(_) => true,
        })
    }

    /// Never `None`: no crates are a ref too.
    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.crates.iter().map(Crate::node).collect::<Vec<Node>>()))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let crates = read_crates(reference, &self.git_mirrors)?;
        Ok(Box::new(Cargo2Source { crates, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
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

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let ecosystem = (self.release >= Release(2, 3, 2)).then_some("crates.io");
        let told = self.crates.iter().map(|one| match one {
            Crate::Registry(one) => one.provenance(&self.declared, &self.registry, ecosystem, context),
            Crate::Git(one) => one.provenance(&self.declared, self.release, context),
        });
        let told: Vec<SourceProvenance> = told.collect::<Result<_, _>>()?;
        // Without any crate the reference has nothing to say.
        Ok((!told.is_empty()).then_some(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mirror_counts() {
        let mirrors = [("https://h/", "git:"), ("https://h/special/", "up:sp/")];
        let mirrors = mirrors.map(|(from, to)| (from.to_owned(), to.to_owned())).into_iter().collect();
        for (url, expect) in [
            ("https://h/special/x", "up:sp/x"),
            ("https://h/x", "git:x"),
            ("https://other/x", "https://other/x"),
        ] {
            assert_eq!(mirrored(url, &mirrors), expect);
        }
    }
}
