//! Elements as records of a golden file say they are.

use bourn_elements::package::Package;
use bourn_elements::{ELEMENTS, table};
use bourn_plan::source::{
    FetchContext, LocalDigests, PlannedSource, ProvenanceContext, Source, SourceError, SourceProvenance,
    SourceRef, UrlTable,
};
use bourn_plan::{ElementKind, KeyValue, KindTable, SourceContext, SourceKind};
use bourn_project::{
    Dependency, DependencyKind, Element, ElementGraph, ElementId, KindOrigin, Project, ProjectId, RefStorage,
    SandboxConfig, SourceDeclaration, Variables,
};
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostics, Mapping, Node, Provenance, Text, Value};
use indexmap::IndexMap;
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;

/// The graph of the records of a file, or of a part of one.
pub(crate) fn graph(records: &[Json]) -> ElementGraph {
    let mut graph = ElementGraph::default();
    for record in records {
        let full = record["full"].as_str().unwrap_or_default();
        let junction = full.rsplit_once(':').map(|(junction, _)| junction.to_owned());
        let name = record["project"].as_str().unwrap_or_default();
        let same = |project: &Project| project.junction == junction && project.name == name;
        let project = graph.projects.iter().position(same).unwrap_or_else(|| {
            graph.projects.push(project(name, junction.clone(), &record["fatal"]));
            graph.projects.len() - 1
        });
        graph.elements.push(element(record, ProjectId(project as u32)));
    }
    graph
}

fn project(name: &str, junction: Option<String>, fatal: &Json) -> Project {
    Project {
        name: name.into(),
        junction,
        directory: "/nowhere".into(),
        element_path: String::new(),
        ref_storage: RefStorage::Inline,
        fatal_warnings: strings(fatal),
        aliases: Node::mapping(Mapping::new()),
        mirrors: Vec::new(),
        user_mirrors: false,
        default_mirror: None,
        disallow_subproject_uris: false,
        mirror_origins: IndexMap::new(),
        options: IndexMap::new(),
        shell: Node::mapping(Mapping::new()),
        artifact_caches: None,
        source_caches: None,
        default_targets: Vec::new(),
        provenance_attributes: IndexMap::new(),
        variables: Variables::default(),
        alias_mapping: IndexMap::new(),
        alias_identity: false,
        parent: None,
        first_pass: None,
    }
}

fn element(record: &Json, project: ProjectId) -> Element {
    let text = |name: &str| Arc::<str>::from(record[name].as_str().unwrap_or_default());
    let sources = record["sources"].as_array().into_iter().flatten().enumerate();
    Element {
        project,
        name: text("name"),
        kind: text("kind"),
        origin: origin(record),
        description: None,
        dependencies: record["deps"].as_array().into_iter().flatten().map(dependency).collect(),
        sources: sources.map(|(index, source)| declaration(index, source)).collect(),
        variables: pairs(&record["variables"]).collect(),
        environment: Arc::new(pairs(&record["environment"]).collect()),
        environment_nocache: strings(&record["nocache"]).into_iter().map(Text::from).collect(),
        config: node(&record["config"]),
        public: node(&record["public"]),
        sandbox: Arc::new(sandbox(&record["sandbox"])),
        at: Provenance::SYNTHETIC,
    }
}

/// Where the kind comes from: the version in the record, the newest where there is none.
fn origin(record: &Json) -> KindOrigin {
    let kind = record["kind"].as_str().unwrap_or_default();
    let entry = ELEMENTS.iter().find(|entry| entry.name == kind).unwrap_or_else(|| panic!("kind {kind}"));
    let newest = entry.package.versions().first().copied().unwrap_or("1.0.0");
    let version = record["plugin-version"].as_str().unwrap_or(newest);
    let package = entry.package.name().to_owned();
    match entry.package {
        Package::Core => KindOrigin::Core,
        // The records name the version of the community's package.
        Package::Plugins => KindOrigin::Pip { package, specifier: String::new(), version: newest.into() },
        Package::Community => {
            KindOrigin::File { directory: "/nowhere".into(), package: Some((package, version.into())) }
        }
    }
}

fn dependency(record: &Json) -> Dependency {
    let kind = match record["type"].as_u64() {
        Some(1) => DependencyKind::Build,
        Some(2) => DependencyKind::Runtime,
        _ => DependencyKind::All,
    };
    Dependency {
        element: ElementId(record["element"].as_u64().unwrap_or_default() as u32),
        kind,
        strict: record["strict"] == true,
        config: record["config"].as_array().into_iter().flatten().map(node).collect(),
        path: record["path"].as_str().unwrap_or_default().into(),
        at: Provenance::SYNTHETIC,
    }
}

fn declaration(index: usize, record: &Json) -> SourceDeclaration {
    SourceDeclaration {
        kind: record["kind"].as_str().unwrap_or_default().into(),
        origin: KindOrigin::Core,
        index,
        directory: record["directory"].as_str().map(str::to_owned),
        provenance: None,
        config: Node::scalar(record.to_string()),
        ref_storage: RefStorage::Inline,
        at: Provenance::SYNTHETIC,
    }
}

fn sandbox(record: &Json) -> SandboxConfig {
    let number = |name: &str| record[name].as_u64().map(|id| id as u32);
    let socket = &record["remote-apis-socket"];
    SandboxConfig {
        build_os: record["build-os"].as_str().unwrap_or_default().into(),
        build_arch: record["build-arch"].as_str().unwrap_or_default().into(),
        build_uid: number("build-uid"),
        build_gid: number("build-gid"),
        remote_apis_socket: socket["path"].as_str().map(str::to_owned),
        remote_apis_socket_update: socket["action-cache-enable-update"] == true,
    }
}

fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn pairs(object: &Json) -> impl Iterator<Item = (Text, Text)> + '_ {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, value)| (Text::new(name), Text::new(value.as_str().unwrap_or_default())))
}

/// A node without a place.
pub(crate) fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Array(items) => Value::Sequence(Arc::new(items.iter().map(node).collect())),
        Json::Object(entries) => {
            Value::Mapping(Arc::new(entries.iter().map(|(key, value)| (key.as_str(), node(value))).collect()))
        }
        Json::String(text) => Value::Scalar(Text::new(text)),
        other => Value::Scalar(Text::new(other.to_string())),
    };
    Node { value, at: Provenance::SYNTHETIC }
}

/// The built-in element kinds, and sources as recorded.
pub(crate) struct Kinds;

impl KindTable for Kinds {
    fn element(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn ElementKind> {
        table::element(kind, origin)
    }

    fn source(&self, _: &str, _: &KindOrigin) -> Option<&dyn SourceKind> {
        Some(&Recorded)
    }

    fn urls(&self, projects: &[Project]) -> Result<Vec<Arc<dyn UrlTable>>, Diagnostics> {
        Ok(projects.iter().map(|_| Arc::new(NoUrls) as Arc<dyn UrlTable>).collect())
    }
}

/// A source whose configuration is its key.
struct Recorded;

impl SourceKind for Recorded {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        _: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let json: Json = serde_json::from_str(declaration.config.text().unwrap_or_default()).expect("JSON");
        Ok(Box::new(RecordedSource(json)))
    }
}

struct RecordedSource(Json);

/// What a recorded source says of where it comes from: the list `info` of its record.
pub(crate) fn provenance(source: &PlannedSource) -> Option<Vec<SourceProvenance>> {
    let record: Json = serde_json::from_str(source.declaration.config.text()?).ok()?;
    let one = |info: &Json| {
        let entries = info.as_object().into_iter().flatten();
        SourceProvenance { entries: entries.map(|(name, value)| (name.clone(), key(value))).collect() }
    };
    Some(record["info"].as_array()?.iter().map(one).collect())
}

fn key(json: &Json) -> KeyValue {
    match json {
        Json::Null => KeyValue::Null,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => number.as_i64().expect("a whole number").into(),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => KeyValue::list(items.iter().map(key)),
        Json::Object(entries) => KeyValue::object(entries.iter().map(|(name, value)| (name, key(value)))),
    }
}

impl Source for RecordedSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(key(&self.0["key"]))
    }

    fn is_resolved(&self) -> bool {
        !self.0["key"].is_null()
    }

    fn reference(&self) -> Option<SourceRef> {
        let text = self.0["ref"].as_str()?;
        Some(Node::mapping([("ref", Node::scalar(text))].into_iter().collect()))
    }

    fn with_reference(&self, _: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(RecordedSource(self.0.clone())))
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Ok(false)
    }

    fn track(&self, _: &FetchContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Ok(None)
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn stage(&self, _: &FetchContext<'_>) -> Result<Digest, SourceError> {
        Err(SourceError::new("nothing to stage"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}

struct NoUrls;

impl UrlTable for NoUrls {
    fn translate(&self, url: &str) -> Result<String, bourn_plan::source::UrlError> {
        Ok(url.to_owned())
    }

    fn check(&self, _: &str) -> Result<Option<String>, bourn_plan::source::UrlError> {
        Ok(None)
    }

    fn fetch(&self, _: &str) -> Vec<bourn_plan::source::Candidate> {
        Vec::new()
    }

    fn track(&self, _: &str) -> Vec<bourn_plan::source::Candidate> {
        Vec::new()
    }

    fn credentials(&self, _: &str) -> Option<bourn_plan::source::Credentials> {
        None
    }
}

/// No local files.
pub(crate) struct NoFiles;

impl LocalDigests for NoFiles {
    fn tree(&self, path: &Path, _: bourn_plan::source::FileTimes) -> Result<Digest, SourceError> {
        Err(SourceError::new(format!("{} was asked for", path.display())))
    }

    fn file(&self, path: &Path) -> Result<Digest, SourceError> {
        Err(SourceError::new(format!("{} was asked for", path.display())))
    }

    fn names(&self, path: &Path) -> std::io::Result<Vec<bourn_yaml::look::Name>> {
        bourn_yaml::Files::default().names(path)
    }

    fn place(&self, path: &Path) -> std::io::Result<(std::path::PathBuf, bourn_yaml::look::PlaceKind)> {
        bourn_yaml::Files::default().place(path)
    }
}
