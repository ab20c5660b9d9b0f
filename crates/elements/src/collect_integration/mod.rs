//! Kind `collect_integration`: the integration commands of all dependencies as one shell script.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{
    AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Walk, Workbench,
};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostics, Text};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// It needs nothing to run.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["script-path", "ignore"])?;
        let path = Text::new(config.get_str("script-path")?);
        let ignored = config.opt_sequence("ignore")?.unwrap_or_default();
        if !element.element().sources.is_empty() {
            let message = "collect-integration elements may not have sources";
            return Err(layout::wrong(element, "", message).into());
        }
        let mut walk = Walk::default();
        let closure: &[_] = if ignored.is_empty() { &[] } else { element.edges.build(element.id, &mut walk) };
        let mut ignore = BTreeSet::new();
        for name in ignored {
            let name_text = name.as_str()?;
            if !closure.iter().any(|id| &*element.graph.element(*id).name == name_text) {
                let message = format!("element {name_text} is not in dependencies");
                return Err(layout::wrong(element, "", message).at(name.at).into());
            }
            ignore.insert(Text::new(name_text));
        }
        let names = KeyValue::list(ignore.iter().map(|name| name.as_str()));
        let key = [("script-path", KeyValue::from(path.as_str())), ("ignore", names)];
        let mut description = Description::new(KeyValue::object(key));
        description.assembly = Assembly {
            assemble: vec![Step::Compute(Arc::new(Collect { path, ignore }))],
            collect: "/".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// Writes the script.
#[derive(Debug)]
struct Collect {
    path: Text,
    ignore: BTreeSet<Text>,
}

impl Compute for Collect {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let mut script = String::from("#!/bin/sh\nset -e\n\n");
        let mut walk = Walk::default();
        for &dependency in bench.edges().build(bench.element(), &mut walk) {
            let name = &bench.graph().element(dependency).name;
            if self.ignore.contains(&**name) {
                continue;
            }
            let public = bench.public(dependency, "bst")?;
            let Some(commands) = public.as_ref().and_then(|public| public.get("integration-commands")) else {
                continue;
            };
            let commands = commands.as_str_list().map_err(|wrong| AssemblyError::element(&wrong.message))?;
            let _ = writeln!(script, "# integration commands from {name}");
            for command in commands {
                let _ = write!(script, "{command}\n\n");
            }
        }
        bench.write(&self.path, true, &mut |file| file.write_all(script.as_bytes()))?;
        Ok(())
    }
}
