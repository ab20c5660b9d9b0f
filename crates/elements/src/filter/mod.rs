//! Kind `filter`: a part of one other element's artifact.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Reach, Split, Stage, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::{ElementId, KindOrigin, KindTraits};
use bourn_yaml::{Diagnostic, Diagnostics};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// What it filters are the files of its build dependency.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["include", "exclude", "include-orphans", "pass-integration"])?;
        let include = layout::texts(config.get_str_list("include")?);
        let exclude = layout::texts(config.get_str_list("exclude")?);
        let orphans = config.get_bool("include-orphans")?;
        let pass_integration = config.opt_bool("pass-integration")?.unwrap_or(false);
        let parent = parent(element)?;

        let mut description = Description::new(KeyValue::object([
            ("include", layout::sorted(&include)),
            ("exclude", layout::sorted(&exclude)),
            ("orphans", orphans.into()),
        ]));
        description.artifact_version = 1;
        description.strict_rebuild = true;
        description.runs_commands = false;
        description.source_element = Some(parent);
        let stage = Step::Stage(Stage {
            from: vec![parent],
            reach: Reach::Alone,
            into: "/".into(),
            split: Split { include: layout::strings(&include), exclude: layout::strings(&exclude), orphans },
            known_domains: Some((config.get_node("include")?.at, config.get_node("exclude")?.at)),
            ..Stage::default()
        });
        description.assembly = Assembly {
            stage: vec![Step::silent("Staging artifact", vec![stage])],
            assemble: pass_integration
                .then_some(Step::PassIntegration { from: parent })
                .into_iter()
                .collect(),
            collect: "/".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// The one build dependency.
fn parent(element: ElementContext<'_>) -> Result<ElementId, Diagnostic> {
    let mut parents = layout::build_dependencies(element);
    parents.sort_unstable();
    parents.dedup();
    let [parent] = parents[..] else {
        let message = format!(
            "FilterElement element must have exactly 1 build-dependency, actually have {}",
            parents.len()
        );
        let detail = full_list(element, "build", element.build_dependencies().map(|d| d.element));
        return Err(layout::wrong(element, "filter-bdepend-wrong-count", message).detail(detail));
    };
    if element.runtime_dependencies().any(|dependency| dependency.element == parent) {
        let message = "FilterElement element's build dependency must not also be a runtime dependency";
        let detail = full_list(element, "runtime", element.runtime_dependencies().map(|d| d.element));
        return Err(layout::wrong(element, "filter-bdepend-also-rdepend", message)
            .detail(detail)
            .hint("list it under `build-depends` instead of `depends`"));
    }
    let parent_element = element.graph.element(parent);
    if &*parent_element.kind == "stack" && parent_element.origin == KindOrigin::Core {
        let message = "FilterElement element's build dependency must produce an artifact";
        let detail =
            format!("{} does not produce an artifact, so there is nothing to filter", parent_element.name);
        return Err(layout::wrong(element, "filter-bdepend-no-artifact", message).detail(detail));
    }
    Ok(parent)
}

fn full_list(
    element: ElementContext<'_>,
    sort: &str,
    dependencies: impl Iterator<Item = ElementId>,
) -> String {
    let names: Vec<&str> = dependencies.map(|id| &*element.graph.element(id).name).collect();
    format!("Full list of {sort} depends:\n  {}", names.join("\n  "))
}
