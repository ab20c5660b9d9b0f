//! Kind `script`: commands over dependencies laid out in the sandbox.

use crate::layout::{self, Layout, Script};
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Its output *is* its dependencies, changed: it has no sources and needs nothing to run.
pub fn traits(_: Version) -> KindTraits {
    KindTraits {
        forbids_runtime_dependencies: true,
        forbids_sources: true,
        takes_dependency_config: true,
        ..KindTraits::default()
    }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["commands", "root-read-only"])?;
        let commands = layout::texts(config.get_str_list("commands")?);
        let root_read_only = config.opt_bool("root-read-only")?.unwrap_or(false);
        let mut layout = Layout::default();
        layout::each_dependency(element, |dependency, config| {
            let mut location = "/";
            if let Some(config) = config {
                config.validate_keys(&["location"])?;
                location = config.opt_str("location")?.unwrap_or(location);
            }
            layout.add(dependency.element, &dependency.path, location);
            Ok(())
        })?;
        let mut script = Script::new(element, layout, root_read_only);
        script.add("commands", commands);
        Ok(script.describe(element))
    }
}
