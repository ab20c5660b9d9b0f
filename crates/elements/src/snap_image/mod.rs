//! Kind `snap_image`: dependencies as the tree of a snap.

mod yaml;

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Split, Stage, Step};
use bourn_plan::{AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Workbench};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostics, Node};
use std::fmt;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// It has no sources and needs nothing to run.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["directory", "include", "exclude", "metadata", "include-orphans"])?;
        let directory = config.get_str("directory")?;
        let include = layout::texts(config.get_str_list("include")?);
        let exclude = layout::texts(config.get_str_list("exclude")?);
        let orphans = config.get_bool("include-orphans")?;
        let metadata = config.get_node("metadata")?;

        let mut description = Description::new(KeyValue::object([
            ("directory", KeyValue::from(directory)),
            ("include", layout::sorted(&include)),
            ("exclude", layout::sorted(&exclude)),
            ("include-orphans", orphans.into()),
            ("metadata", metadata.into()),
        ]));
        description.artifact_version = 1;
        let split = Split { include: layout::strings(&include), exclude: layout::strings(&exclude), orphans };
        let root = format!("/{}", layout::normalised(directory));
        let stage = Step::Stage(Stage { split, ..layout::root(layout::build_dependencies(element)) });
        description.assembly = Assembly {
            stage: vec![Step::silent("Staging dependencies", vec![stage])],
            assemble: vec![Step::Compute(Arc::new(Describe {
                root: root.clone(),
                metadata: metadata.clone(),
            }))],
            collect: root,
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// Writes the file that makes a tree a snap.
struct Describe {
    root: String,
    metadata: Node,
}

impl fmt::Debug for Describe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Describe {{ root: {:?}, metadata: {:?} }}", self.root, yaml::document(&self.metadata))
    }
}

impl Compute for Describe {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        bench.activity("Creating snap image", true, &mut |bench| {
            let text = yaml::document(&self.metadata);
            let path = layout::join(&self.root, "meta/snap.yaml");
            bench.write(&path, false, &mut |file| file.write_all(text.as_bytes()))?;
            Ok(())
        })
    }
}
