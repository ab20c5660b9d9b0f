//! Keys as the reference made them: resolved elements taken out of bst, and what bst made of them; see
//! `golden/README.md`. A file of any other project is compared when `BOURN_GOLDEN` names it.

use bourn_elements::package::Package;
use bourn_elements::{ELEMENTS, table};
use bourn_plan::source::{
    FetchContext, LocalDigests, ProvenanceContext, Source, SourceError, SourceProvenance, SourceRef, UrlTable,
};
use bourn_plan::{ElementKind, KeyInputs, KeyValue, KindTable, Plan, SourceContext, SourceKind, plan};
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
use std::time::Instant;

#[test]
fn keys_are_those_of_the_reference() {
    assert_eq!(compare(include_str!("golden/newest.json")), 0);
}

#[test]
fn keys_follow_the_version_of_a_package() {
    for text in [
        include_str!("golden/community-2.0.0.json"),
        include_str!("golden/community-2.1.0.json"),
        include_str!("golden/community-2.3.1.json"),
        include_str!("golden/community-2.3.3.json"),
    ] {
        assert_eq!(compare(text), 0);
    }
}

#[test]
fn every_kind_has_a_key() {
    let records: Vec<Json> = serde_json::from_str(include_str!("golden/newest.json")).expect("a list");
    // Links are followed by the loader; junctions and what a repository carries are not in the project.
    let outside = ["junction", "link"];
    for entry in ELEMENTS.iter().filter(|entry| !outside.contains(&entry.name)) {
        assert!(records.iter().any(|record| record["kind"] == entry.name), "{}", entry.name);
    }
}

#[test]
fn keys_of_another_project() {
    let Some(path) = std::env::var_os("BOURN_GOLDEN") else { return };
    let text = std::fs::read_to_string(path).expect("BOURN_GOLDEN names a file");
    assert_eq!(compare(&text), 0);
}

/// Plans the elements and prints what differs; answers how many do.
fn compare(text: &str) -> usize {
    let records: Vec<Json> = serde_json::from_str(text).expect("a list");
    let graph = Arc::new(graph(&records));
    let start = Instant::now();
    let plan = plan(graph.clone(), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{} elements planned in {:?}", records.len(), start.elapsed());
    let rounds = std::env::var("BOURN_GOLDEN_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for _ in 0..rounds.unwrap_or(0) {
        let start = Instant::now();
        let again =
            bourn_plan::plan(graph.clone(), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"));
        println!("again in {:?}", start.elapsed());
        drop(again);
    }
    let different: Vec<String> =
        records.iter().enumerate().filter_map(|(at, record)| difference(&plan, at, record)).collect();
    for difference in different.iter().take(10) {
        println!("{difference}");
    }
    println!("{} of {} differ", different.len(), records.len());
    different.len()
}

fn difference(plan: &Plan, at: usize, record: &Json) -> Option<String> {
    let element = &plan.elements[at];
    let unique: Json = serde_json::from_str(&element.description.unique_key.to_json()).expect("JSON");
    let found = [
        ("unique", unique),
        ("version", element.description.artifact_version.into()),
        ("runs", element.description.runs_commands.into()),
        ("strict_rebuild", element.description.strict_rebuild.into()),
        ("sources_key", element.sources_key.clone().into()),
        ("weak", element.weak_key.as_ref().map(|key| key.0.clone()).into()),
        ("strict", element.strict_key.as_ref().map(|key| key.0.clone()).into()),
    ];
    let inputs = KeyInputs::strict(plan, ElementId(at as u32)).map(|inputs| inputs.key());
    assert_eq!(inputs, element.strict_key.as_ref().map(|key| key.0.clone()), "{}", record["full"]);
    let (name, value) = found.into_iter().find(|(name, value)| record[*name] != *value)?;
    Some(format!("{} ({}): {name} is {value}, wanted {}", record["full"], record["kind"], record[name]))
}

fn graph(records: &[Json]) -> ElementGraph {
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
        config: Node::scalar(record["key"].to_string()),
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

fn node(json: &Json) -> Node {
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

struct Kinds;

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
        Ok(key(&self.0))
    }

    fn is_resolved(&self) -> bool {
        !self.0.is_null()
    }

    fn reference(&self) -> Option<SourceRef> {
        None
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

struct NoFiles;

impl LocalDigests for NoFiles {
    fn tree(&self, path: &Path, _: bourn_plan::source::FileTimes) -> Result<Digest, SourceError> {
        Err(SourceError::new(format!("{} was asked for", path.display())))
    }

    fn file(&self, path: &Path) -> Result<Digest, SourceError> {
        Err(SourceError::new(format!("{} was asked for", path.display())))
    }
}
