//! Kind `junction`: the door to another project.

use crate::layout;
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostic, Diagnostics, Domain};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// A junction stands alone.
pub fn traits(_: Version) -> KindTraits {
    KindTraits {
        forbids_runtime_dependencies: true,
        forbids_build_dependencies: true,
        ..KindTraits::default()
    }
}

impl ElementKind for Kind {
    /// The loader reads the configuration to find the project; here it is only checked.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["path", "options", "overrides", "aliases", "map-aliases"])?;
        config.opt_str("path")?;
        config.opt_mapping("options")?;
        config.opt_mapping("aliases")?;
        config.opt_enum("map-aliases", &[("none", ()), ("identity", ())])?;
        if let Some(overrides) = config.opt_mapping("overrides")? {
            for (replaced, by) in overrides.as_mapping()? {
                if by.as_str()? == &*element.element().name {
                    let message = format!(
                        "Attempt to override subproject junction '{replaced}' with the overriding junction '{}' itself",
                        element.element().name
                    );
                    let reason = "override-junction-with-self";
                    return Err(Diagnostic::new(Domain::Element, reason, message).at(by.at).into());
                }
            }
        }
        let mut description = Description::new(KeyValue::Integer(1));
        description.assembly = layout::refused("Cannot build junction elements");
        Ok(description)
    }
}
