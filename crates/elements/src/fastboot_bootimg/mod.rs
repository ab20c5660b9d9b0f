//! Kind `fastboot_bootimg`: a boot image for fastboot, made by commands out of the tree of an input.

use crate::layout::{self, Script};
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The lists of commands, in the order in which they run.
const STEPS: &[&str] = &["create_dtb", "create_img", "install_img"];

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

impl ElementKind for Kind {
    /// Further keys of `config:` are ignored, as in bst.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        let (layout, _) = layout::with_input(element)?;
        let mut script = Script::new(element, layout, true);
        for &step in STEPS {
            script.add(step, layout::texts(config.get_str_list(step)?));
        }
        script.marked.push("/buildstream".into());
        Ok(script.describe(element))
    }
}
