//! Kind `link`: another name for an element.

use crate::layout;
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// A link has nothing but its target.
pub fn traits(_: Version) -> KindTraits {
    KindTraits {
        forbids_runtime_dependencies: true,
        forbids_build_dependencies: true,
        forbids_sources: true,
        ..KindTraits::default()
    }
}

impl ElementKind for Kind {
    /// The loader follows links, so that none is left in a graph; the configuration is checked all the same.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["target"])?;
        config.get_scalar("target")?;
        let mut description = Description::new(KeyValue::Integer(1));
        description.has_artifact = false;
        description.assembly = layout::refused("Cannot build link elements");
        Ok(description)
    }
}
