//! The resolved project: immutable declarations, every one with its place.

use crate::kinds::KindOrigin;
use crate::variable::Variables;
use bourn_yaml::{Diagnostic, Node, Provenance, Text};
use indexmap::IndexMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Index of a project in [`ElementGraph::projects`]; 0 is the toplevel project.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProjectId(pub u32);

/// Index of an element in [`ElementGraph::elements`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ElementId(pub u32);

/// Everything that was loaded. Elements stand in staging order of the whole: dependencies before dependents.
#[derive(Debug, Default)]
pub struct ElementGraph {
    /// Every project reached, the toplevel one first.
    pub projects: Vec<Project>,
    /// Every element reached from the targets, then those only reached from [`ElementGraph::excepted`].
    pub elements: Vec<Element>,
    /// The elements named on the command line, in that order.
    pub targets: Vec<ElementId>,
    /// The elements named with `--except`, in that order.
    pub excepted: Vec<ElementId>,
    /// What is not wrong but deserves a word: deprecated kinds and keys, refs that are ignored.
    pub warnings: Vec<Diagnostic>,
}

/// Where refs of sources are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RefStorage {
    /// In the element files.
    #[default]
    Inline,
    /// In `project.refs` beside project.conf.
    ProjectRefs,
}

/// A project, fully resolved.
#[derive(Clone, Debug)]
pub struct Project {
    /// `name:` of project.conf.
    pub name: String,
    /// The chain of junctions that leads here (`a.bst:b.bst`), `None` for the toplevel project.
    pub junction: Option<String>,
    /// Directory of project.conf.
    pub directory: PathBuf,
    /// `element-path:`, relative to the directory.
    pub element_path: String,
    /// `ref-storage:`.
    pub ref_storage: RefStorage,
    /// `fatal-warnings:`, resolved to names; sorted, as they enter the key.
    pub fatal_warnings: Vec<String>,
    /// `aliases:`, a mapping of texts, variables expanded (`project-root` and `toplevel-root` with their `-uri`
    /// forms among them).
    pub aliases: Node,
    /// `mirrors:` (each a mapping), in order, variables expanded; the user configuration's list where it has one.
    pub mirrors: Vec<Node>,
    /// Whether the mirrors come from the user configuration.
    pub user_mirrors: bool,
    /// The mirror to try first: `--default-mirror`, else `default-mirror` of the user configuration, else none
    /// (the first of the list).
    pub default_mirror: Option<String>,
    /// `junctions.disallow-subproject-uris`.
    pub disallow_subproject_uris: bool,
    /// Resolved origins of the source mirror kinds in use.
    pub mirror_origins: IndexMap<String, KindOrigin>,
    /// Values of the project options as text, by name in alphabetical order.
    pub options: IndexMap<String, String>,
    /// `shell:` section.
    pub shell: Node,
    /// `artifacts:` section (`None` if absent); a list or a mapping as written.
    pub artifact_caches: Option<Node>,
    /// `source-caches:` section.
    pub source_caches: Option<Node>,
    /// `defaults.targets`.
    pub default_targets: Vec<String>,
    /// `source-provenance-attributes`.
    pub provenance_attributes: IndexMap<String, String>,
    /// Variables of the project itself with `project-root` and the like (used where no element is at hand).
    pub variables: Variables,
    /// `aliases:` of the junction: alias of this project to alias of the parent.
    pub alias_mapping: IndexMap<String, String>,
    /// `map-aliases: identity` of the junction: aliases that the mapping does not name mean the parent's alias of
    /// the same name.
    pub alias_identity: bool,
    /// The project that holds the junction.
    pub parent: Option<ProjectId>,
    /// The project as its junction elements see it: without includes from other projects. `None` on the view
    /// itself.
    pub first_pass: Option<Arc<Project>>,
}

/// What sort of dependency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DependencyKind {
    /// Needed while building.
    Build,
    /// Needed while running.
    Runtime,
    /// Both.
    All,
}

impl DependencyKind {
    /// Whether it is needed while building.
    pub fn is_build(self) -> bool {
        self != DependencyKind::Runtime
    }

    /// Whether it is needed while running.
    pub fn is_runtime(self) -> bool {
        self != DependencyKind::Build
    }
}

/// A dependency of an element, in bst's staging order.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The element depended on.
    pub element: ElementId,
    /// When it is needed.
    pub kind: DependencyKind,
    /// `strict: true`, the dependency changes the dependent's weak key.
    pub strict: bool,
    /// `config:` blocks of the dependency, with the kind's own meaning; variables expanded.
    pub config: Vec<Node>,
    /// The name as it was written (`junction.bst:element.bst`).
    pub path: Arc<str>,
    /// Where it was written.
    pub at: Provenance,
}

/// A source as declared, defaults composed and variables expanded.
#[derive(Clone, Debug)]
pub struct SourceDeclaration {
    /// Source kind; `workspace` stands for the open workspace of the element, with `path:` in the configuration.
    pub kind: Arc<str>,
    /// Where the kind comes from.
    pub origin: KindOrigin,
    /// Position in the element's list, from 0.
    pub index: usize,
    /// `directory:`, where it is staged below the source root.
    pub directory: Option<String>,
    /// `provenance:` attributes.
    pub provenance: Option<Node>,
    /// The remaining keys, with `ref` taken from project.refs where refs are kept there.
    pub config: Node,
    /// Which place `ref` was taken from.
    pub ref_storage: RefStorage,
    /// The node as it stands in the element file, before defaults; where a new ref is written to.
    pub at: Provenance,
}

/// The sandbox of an element: what enters its key and is asked of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// `build-os`, resolved.
    pub build_os: String,
    /// `build-arch`, resolved.
    pub build_arch: String,
    /// `build-uid`.
    pub build_uid: Option<u32>,
    /// `build-gid`.
    pub build_gid: Option<u32>,
    /// `remote-apis-socket.path`.
    pub remote_apis_socket: Option<String>,
    /// `remote-apis-socket.action-cache-enable-update`.
    pub remote_apis_socket_update: bool,
}

/// An element, fully resolved.
#[derive(Debug)]
pub struct Element {
    /// Its project.
    pub project: ProjectId,
    /// Name below the project's element path, with suffix.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Where the kind comes from.
    pub origin: KindOrigin,
    /// `description:`.
    pub description: Option<String>,
    /// Direct dependencies of all kinds in bst's order; those for building and those for running are this list
    /// filtered.
    pub dependencies: Vec<Dependency>,
    /// Its sources.
    pub sources: Vec<SourceDeclaration>,
    /// Resolved variables.
    pub variables: Variables,
    /// Resolved environment.
    pub environment: Arc<IndexMap<Text, Text>>,
    /// Names of the environment that stay out of the key, sorted.
    pub environment_nocache: Arc<[Text]>,
    /// `config:`, composed and expanded.
    pub config: Node,
    /// `public:`, composed and expanded.
    pub public: Node,
    /// `sandbox:`.
    pub sandbox: Arc<SandboxConfig>,
    /// The top of its file.
    pub at: Provenance,
}

impl ElementGraph {
    /// The element of that id.
    pub fn element(&self, id: ElementId) -> &Element {
        &self.elements[id.0 as usize]
    }

    /// The project of that id.
    pub fn project(&self, id: ProjectId) -> &Project {
        &self.projects[id.0 as usize]
    }

    /// The name as the user writes and reads it: `junction.bst:element.bst`.
    pub fn full_name(&self, id: ElementId) -> String {
        let element = self.element(id);
        match &self.project(element.project).junction {
            Some(junction) => format!("{junction}:{}", element.name),
            None => element.name.to_string(),
        }
    }
}
