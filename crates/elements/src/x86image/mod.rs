//! Kind `x86image`: a bootable disk image, made by commands out of the tree of an input.

use crate::layout::{self, Script};
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The lists of commands, in the order in which they run.
const STEPS: &[&str] = &[
    "filesystem-tree-setup-commands",
    "filesystem-image-creation-commands",
    "partition-commands",
    "final-commands",
];

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(STEPS)?;
        let (layout, _) = layout::with_input(element)?;
        let mut script = Script::new(element, layout, true);
        for &step in STEPS {
            script.add(step, layout::texts(config.get_str_list(step)?));
        }
        script.marked.push("/buildstream".into());
        Ok(script.describe(element))
    }
}
