//! Kind `stack`: a name for several elements.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::{DependencyKind, KindTraits};
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// It is nothing but its dependencies.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    /// Whatever `config:` says is ignored, as in bst.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let mut dependencies = element.element().dependencies.iter();
        if let Some(half) = dependencies.find(|dependency| dependency.kind != DependencyKind::All) {
            let message = "All dependencies of 'stack' elements must be both build and runtime dependencies";
            return Err(layout::wrong(element, "stack-requires-build-and-run", message)
                .note(Some(half.at), format!("`{}` is not", half.path))
                .hint("list all of them under `depends`, without a `type`")
                .into());
        }
        let mut description = Description::new(KeyValue::Integer(1));
        description.runs_commands = false;
        description.has_artifact = false;
        description.assembly = Assembly {
            assemble: vec![Step::CreateDirectory { path: "/output".into() }],
            collect: "/output".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}
