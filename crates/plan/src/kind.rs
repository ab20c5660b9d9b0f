//! What a kind has to answer.

use crate::assembly::Assembly;
use crate::closure::Edges;
use crate::key::KeyValue;
use crate::source::{Source, SourceContext, UrlTable, Warning};
use bourn_project::{Dependency, Element, ElementGraph, ElementId, KindOrigin, Project, SourceDeclaration};
use bourn_yaml::Diagnostics;
use std::sync::Arc;

/// An element in its graph, as its kind sees it.
#[derive(Clone, Copy)]
pub struct ElementContext<'a> {
    /// The whole graph.
    pub graph: &'a ElementGraph,
    /// Its dependencies, for walks.
    pub edges: &'a Edges,
    /// Which element.
    pub id: ElementId,
}

impl<'a> ElementContext<'a> {
    /// The element itself.
    pub fn element(&self) -> &'a Element {
        self.graph.element(self.id)
    }

    /// The value of a variable; `None` if there is none.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        self.element().variables.get(name)
    }

    /// Direct build dependencies, in order.
    pub fn build_dependencies(&self) -> impl Iterator<Item = &'a Dependency> + use<'a> {
        self.element().dependencies.iter().filter(|d| d.kind.is_build())
    }

    /// Direct runtime dependencies, in order.
    pub fn runtime_dependencies(&self) -> impl Iterator<Item = &'a Dependency> + use<'a> {
        self.element().dependencies.iter().filter(|d| d.kind.is_runtime())
    }
}

/// What a kind says of one element.
#[derive(Clone, Debug)]
pub struct Description {
    /// What of the configuration enters the key (`element-plugin-key`).
    pub unique_key: KeyValue,
    /// What is done.
    pub assembly: Assembly,
    /// Version of the kind's artifact format (`element-plugin-version`).
    pub artifact_version: i64,
    /// Whether commands are run, so that sandbox and environment enter the key.
    pub runs_commands: bool,
    /// Whether any change of a dependency changes the weak key.
    pub strict_rebuild: bool,
    /// Whether the element leaves an artifact at all (junctions and links do not).
    pub has_artifact: bool,
    /// The element whose sources stand for this one (`filter`: the parent) for `workspace` and `source` commands.
    pub source_element: Option<ElementId>,
    /// What is told of it once the project is loaded.
    pub remarks: Vec<Warning>,
}

impl Description {
    /// The description of most kinds: version 0, commands are run, and nothing special; without an assembly.
    pub fn new(unique_key: KeyValue) -> Description {
        Description {
            unique_key,
            assembly: Assembly::default(),
            artifact_version: 0,
            runs_commands: true,
            strict_rebuild: false,
            has_artifact: true,
            source_element: None,
            remarks: Vec::new(),
        }
    }
}

/// An element kind: pure, no disk, no network.
pub trait ElementKind: Sync {
    /// Reads the configuration of one element.
    ///
    /// # Errors
    /// What is wrong with it.
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics>;

    /// A shell script that builds the element without this program (`source checkout --include-build-scripts`);
    /// `None` for kinds that cannot say it.
    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        let _ = element;
        None
    }
}

/// A source kind.
pub trait SourceKind: Sync {
    /// Reads the configuration of one source.
    ///
    /// # Errors
    /// What is wrong with it.
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics>;

    /// The keys of a source that make up its ref: what `track` writes and project.refs holds.
    fn ref_keys(&self) -> &'static [&'static str] {
        &["ref"]
    }
}

/// The kinds that the plan can ask, by name and origin.
pub trait KindTable: Sync {
    /// The element kind.
    fn element(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn ElementKind>;

    /// The source kind.
    fn source(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn SourceKind>;

    /// What aliases and mirrors mean: a table per project, same index as `projects`. A parent stands before its
    /// subprojects.
    ///
    /// # Errors
    /// What is wrong with `aliases:` and `mirrors:`.
    fn urls(&self, projects: &[Project]) -> Result<Vec<Arc<dyn UrlTable>>, Diagnostics>;
}
