//! Kind `tar_element`: dependencies as a tar archive.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Stage, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Its output *is* its dependencies.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["filename", "compression"])?;
        let name = config.get_str("filename")?;
        let compression = config.get_str("compression")?;
        if !["none", "gzip", "xz", "bzip2"].contains(&compression) {
            let at = config.get_node("compression")?.at;
            let message = format!("Invalid compression option {compression}");
            return Err(layout::wrong(element, "", message)
                .at(at)
                .hint("it is one of none, gzip, xz and bzip2")
                .into());
        }
        let mut description =
            Description::new(KeyValue::object([("filename", name), ("compression", compression)]));
        description.strict_rebuild = true;
        let stage =
            Stage { from: layout::build_dependencies(element), into: "/input".into(), ..Stage::default() };
        description.assembly = Assembly {
            stage: vec![Step::silent("Staging dependencies", vec![Step::Stage(stage)])],
            assemble: vec![layout::unbuilt("tar_element")],
            collect: "/output".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}
