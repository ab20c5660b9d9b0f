//! Kind `bazel_build`: commands, with a home for Bazel that outlives each of them.

use crate::commands::{self, Build};
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of all kinds that run commands.
pub fn traits(version: Version) -> KindTraits {
    commands::traits(version)
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let mut description = Build::read(element)?.describe(element);
        description.assembly.marked.push("/bazel-home".into());
        Ok(description)
    }

    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        commands::Commands.build_script(element)
    }
}
