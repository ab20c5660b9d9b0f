//! Kind `collect_manifest`: where the sources of all dependencies come from, as a manifest.

mod manifest;

use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostic, Diagnostics, Node};
use manifest::Manifest;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// From this version on, provenance of sources is used, and an SPDX document may be asked for.
const PROVENANCE: Version = Version(2, 1, 0);
/// From this version on, the locations of sources name product and version.
const NAMED_SOURCES: Version = Version(2, 3, 0);
/// The first version whose artifacts say so.
const ARTIFACTS: Version = Version(2, 0, 4);

/// Its output is about its dependencies alone.
pub fn traits(version: Version) -> KindTraits {
    let modern = version >= PROVENANCE;
    KindTraits { forbids_runtime_dependencies: modern, forbids_sources: modern, ..KindTraits::default() }
}

impl ElementKind for Kind {
    /// Keys of `config:` that are not known are ignored, as in bst.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        let version = Version::of(&element.element().origin);
        let modern = version >= PROVENANCE;
        let path = config.opt_str("path")?.map(str::to_owned);
        let mut key = vec![("path", KeyValue::from(path.clone()))];
        let mut step = without_provenance();
        if modern {
            let spdx = Spdx::read(config)?;
            if let Some(spdx) = &spdx {
                key.push(("output_type", "spdx".into()));
                key.push(("spdx_info", spdx.unique_key()));
            }
            if config.opt_bool("use-source-provenance")?.unwrap_or(true) {
                key.push(("source_provenance", true.into()));
                step =
                    Step::Compute(Arc::new(Manifest { path, spdx, names_sources: version >= NAMED_SOURCES }));
            }
        }
        let mut description = Description::new(KeyValue::object(key));
        description.artifact_version = if version >= ARTIFACTS { 2 } else { 1 };
        description.runs_commands = !modern;
        description.strict_rebuild = modern;
        description.assembly = Assembly { assemble: vec![step], collect: "/".into(), ..Assembly::default() };
        Ok(description)
    }
}

/// Sources were once asked in another way, which only versions before 2.1 and projects that say so still use.
fn without_provenance() -> Step {
    Step::Refuse {
        message: "Manifests without source provenance cannot be made".into(),
        hint: Some(
            "leave `use-source-provenance` away, or use buildstream-plugins-community 2.1 or newer".into(),
        ),
    }
}

/// What an SPDX document says of its own making.
#[derive(Clone, Debug, Default)]
struct Spdx {
    creators: Option<Vec<String>>,
    created: Option<i32>,
    data_license: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Spdx {
    /// `None` when a manifest is wanted; `spdx-info` is checked all the same.
    fn read(config: &Node) -> Result<Option<Spdx>, Diagnostic> {
        let wanted = config.opt_enum("output-type", &[("manifest", false), ("spdx", true)])?.unwrap_or(false);
        let mut spdx = Spdx::default();
        if let Some(about) = config.opt_mapping("spdx-info")? {
            about.validate_keys(&["creators", "created", "data-license", "doc-namespace", "name"])?;
            let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
            spdx.creators = about.opt_str_list("creators")?.map(owned);
            spdx.created = about.opt_int("created")?;
            spdx.data_license = about.opt_str("data-license")?.map(str::to_owned);
            spdx.namespace = about.opt_str("doc-namespace")?.map(str::to_owned);
            spdx.name = about.opt_str("name")?.map(str::to_owned);
        }
        Ok(wanted.then_some(spdx))
    }

    fn unique_key(&self) -> KeyValue {
        KeyValue::List(vec![
            self.creators.clone().map(KeyValue::list).into(),
            self.data_license.clone().into(),
            self.created.map(i64::from).into(),
            self.namespace.clone().into(),
            self.name.clone().into(),
        ])
    }
}
