//! Crates of a registry: what `cargo` and `cargo2` share.

use crate::archive;
use crate::archive::extract::{Rules, Strip};
use crate::declared::{Declared, Origin};
use crate::download::RemoteFile;
use crate::reading::Reading;
use crate::trees;
use crate::url;
use bourn_plan::{ProvenanceContext, SourceError, SourceProvenance, StageContext, TrackContext};
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Mapping, Node, Text};
use std::path::{Path, PathBuf};

/// A crate of a registry.
#[derive(Clone, Debug)]
pub(crate) struct RegistryCrate {
    pub(crate) name: Text,
    pub(crate) version: Text,
    /// SHA-256 of its archive.
    pub(crate) sha256: Option<Text>,
    /// Attributes of its own.
    pub(crate) provenance: Option<Node>,
}

/// A registry.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// As written.
    pub(crate) original_url: String,
    /// With its alias, ending in a slash or a colon.
    pub(crate) url: String,
    /// The same by the project's aliases.
    pub(crate) translated: String,
}

impl Registry {
    /// Reads the key `url`.
    pub(crate) fn read(reading: &Reading<'_>) -> Result<Registry, Diagnostic> {
        let original_url =
            reading.node.opt_str("url")?.unwrap_or("https://static.crates.io/crates").to_owned();
        let slash = if original_url.ends_with([':', '/']) { "" } else { "/" };
        let url = format!("{original_url}{slash}");
        Ok(Registry { translated: reading.translate(&url)?, original_url, url })
    }
}

/// A lock file of cargo, as far as it names what is to be fetched.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The packages that come from somewhere else, in the order of the file.
    pub(crate) packages: Vec<Locked>,
}

/// A package of a lock file.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Its kind of source, a plus sign, and the URL; packages of the project itself have none.
    #[serde(default)]
    pub(crate) source: String,
    /// SHA-256 of its archive.
    pub(crate) checksum: Option<String>,
}

impl Lock {
    /// Reads the lock file that earlier sources staged.
    ///
    /// # Errors
    /// It is not there or malformed; the store.
    pub(crate) fn read(context: &TrackContext<'_>, path: &str) -> Result<Lock, SourceError> {
        #[derive(serde::Deserialize)]
        struct File {
            package: Vec<Locked>,
        }
        let content = match &context.previous {
            Some(previous) => trees::read(context.cas, previous, path)?,
            None => None,
        };
        let content = content.ok_or_else(|| {
            let hint = "a source before this one in the list has to stage it";
            SourceError::new(format!("Failed to find Cargo.lock file at: {path}")).hint(hint)
        })?;
        let malformed = |error: &dyn std::fmt::Display| {
            SourceError::new(format!("Malformed Cargo.lock file at: {path}")).detail(error.to_string())
        };
        let text = String::from_utf8(content).map_err(|error| malformed(&error))?;
        let file: File = toml::from_str(&text).map_err(|error| malformed(&error))?;
        Ok(Lock { packages: file.package.into_iter().filter(|one| !one.source.is_empty()).collect() })
    }
}

impl RegistryCrate {
    /// Reads one entry of a ref.
    pub(crate) fn read(node: &Node) -> Result<RegistryCrate, Diagnostic> {
        Ok(RegistryCrate {
            name: node.get_text("name")?.clone(),
            version: node.get_text("version")?.clone(),
            sha256: node.opt_text("sha")?.cloned(),
            provenance: node.opt_mapping("provenance")?.cloned(),
        })
    }

    /// Its path below the registry.
    fn suffix(&self) -> String {
        format!("{name}/{name}-{version}.crate", name = self.name, version = self.version)
    }

    /// Its archive.
    pub(crate) fn file(&self, kind: &str, registry: &Registry) -> RemoteFile {
        let directory: PathBuf =
            [kind, &url::directory_name(&registry.url), &self.name, &self.version].iter().collect();
        let url = format!("{}{}", registry.url, self.suffix());
        RemoteFile { directory, url, sha256: self.sha256.as_ref().map(Text::to_string) }
    }

    /// Stages it with the checksum that cargo wants to see, in the directory that its archive names.
    ///
    /// # Errors
    /// It was not fetched; a malformed archive, the store.
    pub(crate) fn stage(
        &self,
        kind: &str,
        registry: &Registry,
        context: &StageContext<'_>,
    ) -> Result<Digest, SourceError> {
        let file = self.file(kind, registry);
        let mut top = None;
        let scene = archive::unpack(file.open(context)?, context.cas, |members| {
            let first = members.iter().next().map(|member| member.name.split(|byte| *byte == b'/').next());
            top = first.flatten().and_then(|name| String::from_utf8(name.to_vec()).ok());
            Ok(Rules::trusting(Strip::Nothing))
        });
        let staged = scene.and_then(|scene| scene.store(context.cas));
        let staged = staged.map_err(|error| error.staging(&file.url))?;
        let Some(top) = top else { return Ok(staged) };
        let sum = self.sha256.as_deref().unwrap_or_default();
        let sum = format!("{{\"package\": \"{sum}\", \"files\": {{}}}}");
        let sum = trees::Entry::File { digest: context.cas.write(sum.as_bytes())?, executable: false };
        trees::put(context.cas, &staged, &format!("{top}/.cargo-checksum.json"), sum)
    }

    /// Whether its archive is kept.
    pub(crate) fn is_kept(&self, kind: &str, registry: &Registry, source_directory: &Path) -> bool {
        self.file(kind, registry).is_kept(source_directory)
    }

    /// The keys that every entry of a ref has.
    pub(crate) fn node(&self) -> Mapping {
        let mut entries = Mapping::new();
        entries.insert("name", Node::scalar(self.name.as_str()));
        entries.insert("version", Node::scalar(self.version.as_str()));
        if let Some(sha256) = &self.sha256 {
            entries.insert("sha", Node::scalar(sha256.as_str()));
        }
        entries
    }

    /// Where it comes from; `ecosystem` is what newer releases add.
    pub(crate) fn provenance(
        &self,
        declared: &Declared,
        registry: &Registry,
        ecosystem: Option<&'static str>,
        context: &ProvenanceContext<'_>,
    ) -> Result<SourceProvenance, SourceError> {
        let url = format!("{}{}", registry.translated, self.suffix());
        let mut origin = Origin::remote_file(&url, self.sha256.as_deref(), Some(self.version.to_string()));
        if let Some(ecosystem) = ecosystem {
            origin = origin.extra("ecosystem", ecosystem);
        }
        declared.provenance_of(origin, self.provenance.as_ref(), context)
    }
}
