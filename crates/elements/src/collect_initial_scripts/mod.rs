//! Kind `collect_initial_scripts`: the scripts that dependencies declare for the first start of a system.
//!
//! A plugin that Freedesktop SDK and GNOME OS carry in their own repositories; known by its code, see
//! [`recognised`](crate::recognised).

use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{
    AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Walk, Workbench,
};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostics, Text};
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// It needs nothing to run and has no sources.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["path"])?;
        let path = Text::new(config.get_str("path")?);
        let mut description = Description::new(KeyValue::object([("path", path.as_str())]));
        description.assembly = Assembly {
            assemble: vec![Step::Compute(Arc::new(Collect { path }))],
            collect: "/".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// Writes a numbered script per dependency that has one.
#[derive(Debug)]
struct Collect {
    path: Text,
}

impl Compute for Collect {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let directory = self.path.trim_matches('/');
        let mut walk = Walk::default();
        let closure = bench.edges().build(bench.element(), &mut walk).to_vec();
        let mut index = 0;
        for dependency in closure {
            let public = bench.public(dependency, "initial-script")?;
            let Some(script) = public.as_ref().and_then(|public| public.get("script")) else { continue };
            let script = script.as_str().map_err(|wrong| AssemblyError::element(&wrong.message))?;
            index += 1;
            let name = &bench.graph().element(dependency).name;
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let path = format!("{directory}/{index:03}-{name}");
            bench.write(&path, true, &mut |file| file.write_all(script.as_bytes()))?;
        }
        Ok(())
    }
}
