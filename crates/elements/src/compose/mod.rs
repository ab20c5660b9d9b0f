//! Kind `compose`: a selection of what dependencies hold together.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Compose, Split, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Its output *is* its dependencies: it has no sources and needs nothing to run.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["integrate", "include", "exclude", "include-orphans"])?;
        let integrate = config.get_bool("integrate")?;
        let include = layout::texts(config.get_str_list("include")?);
        let exclude = layout::texts(config.get_str_list("exclude")?);
        let orphans = config.get_bool("include-orphans")?;

        let mut key: Vec<(&str, KeyValue)> = vec![
            ("integrate", integrate.into()),
            ("include", layout::sorted(&include)),
            ("orphans", orphans.into()),
        ];
        if !exclude.is_empty() {
            key.push(("exclude", layout::sorted(&exclude)));
        }
        let mut description = Description::new(KeyValue::object(key));
        description.strict_rebuild = true;
        description.runs_commands = integrate;

        let from = layout::build_dependencies(element);
        let split = Split { include: layout::strings(&include), exclude: layout::strings(&exclude), orphans };
        let collect = if split.is_all() { "/" } else { "/buildstream/install" };
        let stage = Step::Stage(layout::root(from.clone()));
        description.assembly = Assembly {
            stage: vec![Step::silent("Staging dependencies", vec![stage])],
            assemble: vec![Step::Compose(Compose { from, integrate, split })],
            collect: collect.into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}
