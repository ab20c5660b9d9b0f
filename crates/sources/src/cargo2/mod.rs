//! `cargo2`: the crates that a `Cargo.lock` names, from registries and git repositories.

mod git;
mod workspace;

use crate::crates::{Lock, Locked, Registry, RegistryCrate};
use crate::declared::{Declared, reference};
use crate::http::PER_HOST;
use crate::key;
use crate::manifest;
use crate::reading::Reading;
use crate::release::Release;
use crate::repository;
use crate::trees;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node, Text};
use git::GitCrate;
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
}

/// A crate.
#[derive(Clone, Debug)]
enum Crate {
    Registry(RegistryCrate),
    Git(GitCrate),
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
    let declared = reading.declared();
    let vendor_directory = if declared.release < Release(2, 0, 3) { "crates" } else { ".vendored-crates" };
    let mut source = Cargo2Source {
        declared,
        registry: Registry::read(reading)?,
        cargo_lock: node.opt_str("cargo-lock")?.unwrap_or("Cargo.lock").to_owned(),
        vendor_directory: node.opt_str("vendor-dir")?.unwrap_or(vendor_directory).to_owned(),
        git_mirrors: read_texts(node.opt_mapping("git-mirrors")?)?,
        crates: Vec::new(),
    };
    source.crates = read_crates(node, &source.git_mirrors)?;
    for one in &mut source.crates {
        if let Crate::Git(one) = one {
            // Before 2.0.3 it was what `git-mirrors` makes of the URL that had to have an alias.
            let marked = if source.declared.release < Release(2, 0, 3) { &one.mirrored } else { &one.repo };
            reading.mark(marked)?;
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

impl Crate {
    fn key(&self) -> KeyValue {
        match self {
            Crate::Registry(one) => key::object([
                ("kind", "registry".into()),
                ("name", (&one.name).into()),
                ("version", (&one.version).into()),
                ("sha", one.sha256.as_ref().into()),
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

    fn name(&self) -> &str {
        match self {
            Crate::Registry(one) => &one.name,
            Crate::Git(one) => &one.name,
        }
    }

    fn version(&self) -> &str {
        match self {
            Crate::Registry(one) => &one.version,
            Crate::Git(one) => &one.version,
        }
    }

    fn attributes(&self) -> Option<&Node> {
        match self {
            Crate::Registry(one) => one.provenance.as_ref(),
            Crate::Git(one) => one.provenance.as_ref(),
        }
    }

    /// What crates are sorted by.
    fn order(&self) -> [&str; 4] {
        match self {
            Crate::Registry(one) => [&one.name, &one.version, "", ""],
            Crate::Git(one) => [&one.name, &one.version, &one.repo, &one.commit],
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

impl Source for Cargo2Source {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::List(vec![
            (*self.registry.original_url).into(),
            (*self.cargo_lock).into(),
            (*self.vendor_directory).into(),
            KeyValue::List(self.crates.iter().map(Crate::key).collect()),
            // The reference counts up this letter when it stages the same ref differently.
            (if self.declared.release < Release(2, 2, 0) { "x" } else { "a" }).into(),
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

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let kind = &self.declared.kind;
        Ok(self.crates.iter().all(|one| match one {
            Crate::Registry(one) => one.is_kept(kind, &self.registry, source_directory),
            Crate::Git(one) => one.is_kept(kind, source_directory),
        }))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let lock = Lock::read(context, &self.cargo_lock)?;
        let mut crates: Vec<Crate> =
            lock.packages.iter().map(|package| self.locked(package)).collect::<Result<_, _>>()?;
        crates.sort_by(|one, other| one.order().cmp(&other.order()));
        // Old lock files have no sums; what the registry has now is what counts.
        let unknown = crates.iter_mut().filter_map(|one| match one {
            Crate::Registry(one) if one.sha256.is_none() => Some(one),
            _ => None,
        });
        several(PER_HOST, unknown, |one| -> Result<(), SourceError> {
            one.sha256 = Some(one.file(&self.declared.kind, &self.registry).track(context)?.into());
            Ok(())
        })?;
        Ok(Some(reference("ref", crates.iter().map(Crate::node).collect::<Vec<Node>>())))
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let kind = &self.declared.kind;
        let remotes = self.crates.iter().filter_map(|one| match one {
            Crate::Registry(one) => one.file(kind, &self.registry).remote(context.source_directory),
            Crate::Git(one) => Some(repository::upstream(&one.mirrored, &one.commit)),
        });
        Ok(Some(remotes.collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let kind = &self.declared.kind;
        let fetch = |one: &Crate| match one {
            Crate::Registry(one) => one.file(kind, &self.registry).fetch(context),
            Crate::Git(one) => one.fetch(kind, context),
        };
        several(PER_HOST, &self.crates, fetch).map(drop)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let cas = context.cas;
        let vendored = self.vendored(context)?;
        let config = manifest::write(&self.configuration(context.urls)?);
        let config = trees::Entry::File { digest: cas.write(config.as_bytes())?, executable: false };
        let tree = trees::put(cas, &Digest::empty(), ".cargo/config.toml", config)?;
        if self.crates.is_empty() {
            return Ok(tree);
        }
        trees::put(cas, &tree, &self.vendor_directory, trees::Entry::Directory(vendored))
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let ecosystem = (self.declared.release >= Release(2, 3, 2)).then_some("crates.io");
        let told = self.crates.iter().map(|one| match one {
            Crate::Registry(one) => one.provenance(&self.declared, &self.registry, ecosystem, context),
            Crate::Git(one) => one.provenance(&self.declared, context),
        });
        let told: Vec<SourceProvenance> = told.collect::<Result<_, _>>()?;
        // Without any crate the reference has nothing to say.
        Ok(self.declared.told(told).filter(|told| !told.is_empty()))
    }
}

impl Cargo2Source {
    /// What a package of the lock file is called in a ref; its attributes are kept.
    fn locked(&self, package: &Locked) -> Result<Crate, SourceError> {
        let (name, version) = (package.name.clone(), package.version.clone());
        let provenance =
            self.crates.iter().rev().find(|one| one.name() == name).and_then(Crate::attributes).cloned();
        let (kind, url) = package.source.split_once('+').unwrap_or((&package.source, ""));
        match kind {
            "registry" => {
                let (name, version) = (name.into(), version.into());
                let sha256 = package.checksum.as_deref().map(Text::from);
                Ok(Crate::Registry(RegistryCrate { name, version, sha256, provenance }))
            }
            "git" => {
                let (url, commit) = url.split_once('#').unwrap_or((url, ""));
                let (url, query) = url.split_once('?').unwrap_or((url, ""));
                let repo = git::mirrored(url, &self.git_mirrors);
                let (mirrored, url) = (repo.clone(), repo.clone());
                let (commit, query) = (commit.to_owned(), read_query(query));
                Ok(Crate::Git(GitCrate { name, version, repo, commit, query, mirrored, url, provenance }))
            }
            kind => Err(SourceError::new(format!("Unknown source kind '{kind}' for crate {name}"))
                .hint("crates come from a `registry` or from `git`")),
        }
    }

    /// The directory of all crates.
    fn vendored(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let kind = &self.declared.kind;
        let stage = |one: &Crate| match one {
            Crate::Registry(one) => one.stage(kind, &self.registry, context),
            Crate::Git(one) => {
                let tree = trees::Entry::Directory(one.stage(kind, context)?);
                trees::put(context.cas, &Digest::empty(), &one.directory(), tree)
            }
        };
        let staged = several(rayon::current_num_threads(), &self.crates, stage)?;
        let mut seen = std::collections::HashSet::new();
        for one in &self.crates {
            if !seen.insert((one.name(), one.version())) {
                let message =
                    format!("The crate {} {} comes from several sources", one.name(), one.version());
                return Err(SourceError::new(message).hint("cargo cannot vendor such a project"));
            }
        }
        trees::overlay_all(context.cas, staged)
    }

    /// What cargo is told: where the vendored crates stand in for what.
    fn configuration(&self, urls: &dyn UrlTable) -> Result<toml::Table, SourceError> {
        let mut sources = toml::Table::new();
        let mut registry = toml::Table::new();
        registry.insert("registry".to_owned(), self.registry.translated.clone().into());
        registry.insert("replace-with".to_owned(), "vendored-sources".into());
        sources.insert("crates-io".to_owned(), registry.into());
        for one in &self.crates {
            if let Crate::Git(one) = one {
                let (name, entries) = one.replacement(urls)?;
                sources.insert(name, entries.into());
            }
        }
        let mut vendored = toml::Table::new();
        vendored.insert("directory".to_owned(), self.vendor_directory.clone().into());
        sources.insert("vendored-sources".to_owned(), vendored.into());
        let mut configuration = toml::Table::new();
        configuration.insert("source".to_owned(), sources.into());
        Ok(configuration)
    }
}

/// The parameters of a URL; those without a value do not count.
fn read_query(query: &str) -> IndexMap<String, String> {
    let plain = |text: &str| crate::url::unquote(&text.replace('+', " "));
    let pairs =
        query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(_, value)| !value.is_empty());
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}
