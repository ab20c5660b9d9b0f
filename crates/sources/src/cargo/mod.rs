//! `cargo`: the crates that a `Cargo.lock` names, staged for building offline.

use crate::crates::{Lock, Locked, Registry, RegistryCrate};
use crate::declared::{Declared, reference};
use crate::http::PER_HOST;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::trees;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics, Node, Text};
use std::path::Path;

/// The kind.
pub(crate) struct Cargo;

#[derive(Clone)]
struct CargoSource {
    declared: Declared,
    registry: Registry,
    /// Name of the lock file in what earlier sources stage.
    cargo_lock: String,
    /// Where crates are staged.
    vendor_directory: String,
    /// In the order of the ref; an empty ref is none.
    crates: Vec<RegistryCrate>,
}

impl SourceKind for Cargo {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<CargoSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    if release >= Release(2, 7, 0) && reading.declaration.provenance.is_some() {
        let message = "Custom source provenance plugin: Refusing to use top level source provenance";
        let hint = "give `provenance` to the crates of the ref";
        return Err(reading.error("top-level-provenance-on-custom-implementation", message).hint(hint));
    }
    reading.keys(&["url", "ref", "cargo-lock", "vendor-dir"])?;
    let node = reading.node;
    Ok(CargoSource {
        declared: reading.declared(),
        registry: Registry::read(reading)?,
        cargo_lock: node.opt_str("cargo-lock")?.unwrap_or("Cargo.lock").to_owned(),
        vendor_directory: node.opt_str("vendor-dir")?.unwrap_or("crates").to_owned(),
        crates: read_crates(node)?,
    })
}

fn read_crates(node: &Node) -> Result<Vec<RegistryCrate>, Diagnostic> {
    node.opt_sequence("ref")?.unwrap_or_default().iter().map(RegistryCrate::read).collect()
}

/// Crates as a ref.
fn written(crates: &[RegistryCrate]) -> SourceRef {
    let node = |one: &RegistryCrate| {
        let mut entries = one.node();
        if let Some(provenance) = &one.provenance {
            entries.insert("provenance", provenance.clone());
        }
        Node::mapping(entries)
    };
    reference("ref", crates.iter().map(node).collect::<Vec<Node>>())
}

impl CargoSource {
    /// The crates that the lock file of earlier sources names, by name and version.
    fn locked(&self, context: &TrackContext<'_>) -> Result<Vec<RegistryCrate>, SourceError> {
        let named = |one: Locked| RegistryCrate {
            name: one.name.into(),
            version: one.version.into(),
            sha256: one.checksum.map(Text::from),
            provenance: None,
        };
        let lock = Lock::read(context, &self.cargo_lock)?;
        let mut crates: Vec<RegistryCrate> = lock.packages.into_iter().map(named).collect();
        crates.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(crates)
    }
}

impl Source for CargoSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let value = |one: &RegistryCrate| {
            key::object([
                ("name", (*one.name).into()),
                ("version", (*one.version).into()),
                ("sha", one.sha256.as_ref().into()),
            ])
        };
        let crates = match self.crates.is_empty() {
            true => KeyValue::Null,
            false => KeyValue::List(self.crates.iter().map(value).collect()),
        };
        let Registry { original_url, .. } = &self.registry;
        let values = [&**original_url, &*self.cargo_lock, &*self.vendor_directory].map(KeyValue::from);
        Ok(KeyValue::List(values.into_iter().chain([crates]).collect()))
    }

    fn is_resolved(&self) -> bool {
        !self.crates.is_empty() && self.crates.iter().all(|one| one.sha256.is_some())
    }

    fn reference(&self) -> Option<SourceRef> {
        if self.crates.is_empty() {
            return None;
        }
        Some(written(&self.crates))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(CargoSource { crates: read_crates(reference)?, ..self.clone() }))
    }

    fn previous(&self) -> Previous {
        Previous { track: true, ..Previous::default() }
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.crates.iter().all(|one| one.is_kept(&self.declared.kind, &self.registry, source_directory)))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let mut crates = self.locked(context)?;
        // A lock file does not know the sums of some.
        let unknown = crates.iter_mut().filter(|one| one.sha256.is_none());
        several(PER_HOST, unknown, |one| -> Result<(), SourceError> {
            one.sha256 = Some(one.file(&self.declared.kind, &self.registry).track(context)?.into());
            Ok(())
        })?;
        for one in &mut crates {
            let known =
                self.crates.iter().rev().find(|known| known.name == one.name && known.provenance.is_some());
            one.provenance = known.and_then(|known| known.provenance.clone());
        }
        Ok(Some(written(&crates)))
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let file = |one: &RegistryCrate| one.file(&self.declared.kind, &self.registry);
        Ok(Some(self.crates.iter().filter_map(|one| file(one).remote(context.source_directory)).collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let kind = &self.declared.kind;
        several(PER_HOST, &self.crates, |one| one.file(kind, &self.registry).fetch(context)).map(drop)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let cas = context.cas;
        let stage = |one: &RegistryCrate| one.stage(&self.declared.kind, &self.registry, context);
        let staged = several(rayon::current_num_threads(), &self.crates, stage)?;
        let vendored = trees::overlay_all(cas, staged)?;
        let config = format!(
            "[source.crates-io]\nregistry = \"{}\"\nreplace-with = \"vendored-sources\"\n[source.vendored-sources]\ndirectory = \"{}\"\n",
            self.registry.translated, self.vendor_directory
        );
        let config = trees::Entry::File { digest: cas.write(config.as_bytes())?, executable: false };
        let tree = trees::put(cas, &Digest::empty(), ".cargo/config", config)?;
        trees::put(cas, &tree, &self.vendor_directory, trees::Entry::Directory(vendored))
    }

    fn provenance(
        &self,
        context: &ProvenanceContext<'_>,
    ) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let told =
            self.crates.iter().map(|one| one.provenance(&self.declared, &self.registry, None, context));
        Ok(Some(told.collect::<Result<_, _>>()?))
    }
}
