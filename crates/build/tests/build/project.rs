//! Projects made of a few lines, and runs of them.

use bourn_build::control::Control;
use bourn_build::event::{Action, Decision, Event, Failure, JobId, JobResult, MessageKind, Sink, Subject};
use bourn_build::log::LogOptions;
use bourn_build::options::{CacheBuildTrees, Machine, Options};
use bourn_build::outcome::Outcome;
use bourn_build::run::{BuildScope, build};
use bourn_build::session::Session;
use bourn_plan::source::{
    Auth, Candidate, Credentials, FetchContext, FileTimes, LocalDigests, ProvenanceContext, Source,
    SourceContext, SourceProvenance, StageContext, TrackContext, UrlError, UrlTable,
};
use bourn_plan::{ElementKind, KeyValue, KindTable, Plan, SourceError, SourceKind, SourceRef, plan};
use bourn_project::{
    Dependency, DependencyKind, Element, ElementGraph, ElementId, KindOrigin, Project, SandboxConfig,
    SourceDeclaration,
};
use bourn_reapi::services::Services;
use bourn_reapi::tree::Tree;
use bourn_reapi::{ArtifactName, Assets, Cas, Digest};
use bourn_testkit::memory::{Call, MemoryStore, listing, services, tree};
use bourn_yaml::parse::parse_text;
use bourn_yaml::{Diagnostics, Files, Mapping, Node, Provenance, compose};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// One element: `kind`, dependencies as `build:NAME`, `run:NAME` or `NAME` for both, files of its source in the form
/// that [`tree`] takes, `config:` and `public:` as YAML.
#[derive(Clone, Default)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) depends: Vec<&'static str>,
    pub(crate) files: Vec<&'static str>,
    pub(crate) config: String,
    pub(crate) public: String,
}

/// An element that brings files.
pub(crate) fn import(name: &'static str, files: &[&'static str]) -> Spec {
    Spec { name, kind: "import", files: files.to_vec(), ..Spec::default() }
}

/// An element that runs commands; see [`play`] for what they may be.
pub(crate) fn manual(name: &'static str, depends: &[&'static str], commands: &[&str]) -> Spec {
    let list: String = commands.iter().map(|command| format!("- {command}\n")).collect();
    Spec {
        name,
        kind: "manual",
        depends: depends.to_vec(),
        config: format!("strip-commands:\n  (=): []\nbuild-commands:\n{list}"),
        ..Spec::default()
    }
}

impl Spec {
    pub(crate) fn public(mut self, yaml: &str) -> Spec {
        self.public = yaml.to_owned();
        self
    }

    pub(crate) fn config(mut self, yaml: &str) -> Spec {
        self.config = yaml.to_owned();
        self
    }

    pub(crate) fn depends(mut self, names: &[&'static str]) -> Spec {
        self.depends = names.to_vec();
        self
    }
}

fn yaml(text: &str) -> Node {
    parse_text(text, None).expect("YAML")
}

/// A directory for downloads in which no source can be looked up.
pub(crate) const LOST: &str = "/lost";

/// A source that stages a tree made before.
struct Staged(Digest);

impl Source for Staged {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(KeyValue::from(self.0.to_string()))
    }

    fn is_resolved(&self) -> bool {
        true
    }

    fn reference(&self) -> Option<SourceRef> {
        None
    }

    fn with_reference(&self, _: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(Staged(self.0)))
    }

    /// Cannot be told where the downloads are kept below [`LOST`].
    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        if source_directory == Path::new(LOST) { Err(SourceError::new("no tool to tell")) } else { Ok(true) }
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Ok(None)
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Ok(self.0)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        Ok(None)
    }
}

struct Kinds;

impl SourceKind for Kinds {
    fn configure(
        &self,
        source: &SourceDeclaration,
        _: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let digest = source.config.get_str("digest")?.parse().expect("a digest");
        Ok(Box::new(Staged(digest)))
    }
}

impl KindTable for Kinds {
    fn element(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn ElementKind> {
        bourn_elements::Entry::find(kind, origin).map(|entry| entry.kind)
    }

    fn source(&self, _: &str, _: &KindOrigin) -> Option<&dyn SourceKind> {
        Some(&Kinds)
    }

    fn urls(&self, projects: &[Project]) -> Result<Vec<Arc<dyn UrlTable>>, Diagnostics> {
        Ok(projects.iter().map(|_| Arc::new(Kinds) as Arc<dyn UrlTable>).collect())
    }
}

impl UrlTable for Kinds {
    fn translate(&self, url: &str) -> Result<String, UrlError> {
        Ok(url.to_owned())
    }

    fn check(&self, _: &str) -> Result<Option<String>, UrlError> {
        Ok(None)
    }

    fn fetch(&self, url: &str) -> Vec<Candidate> {
        vec![Candidate { url: url.to_owned(), auth: Auth::Basic }]
    }

    fn track(&self, url: &str) -> Vec<Candidate> {
        self.fetch(url)
    }

    fn credentials(&self, _: &str) -> Option<Credentials> {
        None
    }
}

impl LocalDigests for Kinds {
    fn tree(&self, _: &Path, _: FileTimes) -> Result<Digest, SourceError> {
        Ok(Digest::empty())
    }

    fn file(&self, _: &Path) -> Result<Digest, SourceError> {
        Ok(Digest::empty())
    }

    fn names(&self, path: &Path) -> std::io::Result<Vec<bourn_yaml::look::Name>> {
        Files::default().names(path)
    }

    fn place(&self, path: &Path) -> std::io::Result<(std::path::PathBuf, bourn_yaml::look::PlaceKind)> {
        Files::default().place(path)
    }
}

/// A project, planned.
fn planned(store: &Arc<MemoryStore>, specs: &[Spec], fatal: &[&str]) -> Plan {
    let cas: Arc<dyn Cas> = store.clone();
    let mut graph = ElementGraph::default();
    let conf = "name: demo";
    graph.projects.push(project(yaml(conf), fatal));
    for spec in specs {
        let find =
            |name: &str| specs.iter().position(|other| other.name == name).expect("a dependency made before");
        let dependencies = spec.depends.iter().map(|text| dependency(text, find)).collect();
        let digest = tree(&cas, &spec.files).digest().expect("stored");
        graph.elements.push(element(spec, dependencies, digest));
    }
    plan(Arc::new(graph), &Kinds, &Kinds).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn dependency(text: &str, find: impl Fn(&str) -> usize) -> Dependency {
    let (kind, name) = match text.split_once(':') {
        Some(("build", name)) => (DependencyKind::Build, name),
        Some(("run", name)) => (DependencyKind::Runtime, name),
        _ => (DependencyKind::All, text),
    };
    Dependency {
        element: ElementId(find(name) as u32),
        kind,
        strict: false,
        config: Vec::new(),
        path: name.into(),
        at: Provenance::SYNTHETIC,
    }
}

fn element(spec: &Spec, dependencies: Vec<Dependency>, digest: Digest) -> Element {
    let defaults = bourn_elements::Entry::find(spec.kind, &KindOrigin::Core)
        .and_then(|entry| entry.defaults.first())
        .map_or("", |(_, text)| text);
    let mut config = yaml(defaults).get("config").cloned().unwrap_or_else(|| yaml(""));
    compose(&mut config, &yaml(&spec.config)).expect("composed");
    let mut public =
        yaml("bst:\n  split-rules:\n    devel:\n    - /include/**\n    runtime:\n    - /bin/*\n");
    compose(&mut public, &yaml(&spec.public)).expect("composed");
    let mut source = Mapping::new();
    source.insert("digest", Node::scalar(digest.to_string()));
    let declaration = SourceDeclaration {
        kind: "made".into(),
        origin: KindOrigin::Core,
        index: 0,
        directory: None,
        provenance: None,
        config: Node::mapping(source),
        ref_storage: Default::default(),
        at: Provenance::SYNTHETIC,
    };
    let variables = [
        ("build-root", "/build/demo"),
        ("install-root", "/install"),
        ("strip-binaries", ""),
        ("cwd", "/"),
        ("conf-root", "."),
    ];
    Element {
        project: bourn_project::ProjectId(0),
        name: spec.name.into(),
        kind: spec.kind.into(),
        origin: KindOrigin::Core,
        description: None,
        dependencies,
        sources: if spec.files.is_empty() { Vec::new() } else { vec![declaration] },
        variables: variables.into_iter().collect(),
        environment: Arc::new(
            [("PATH", "/bin"), ("A", "1")].map(|(n, v)| (n.into(), v.into())).into_iter().collect(),
        ),
        environment_nocache: Arc::from([]),
        config,
        public,
        sandbox: Arc::new(SandboxConfig {
            build_os: "linux".into(),
            build_arch: "x86-64".into(),
            build_uid: None,
            build_gid: None,
            remote_apis_socket: None,
            remote_apis_socket_update: false,
        }),
        at: Provenance::SYNTHETIC,
    }
}

fn project(conf: Node, fatal: &[&str]) -> Project {
    Project {
        name: conf.get_str("name").expect("a name").to_owned(),
        junction: None,
        directory: "/project".into(),
        element_path: "elements".into(),
        ref_storage: Default::default(),
        fatal_warnings: fatal.iter().map(|&token| token.to_owned()).collect(),
        aliases: yaml(""),
        mirrors: Vec::new(),
        user_mirrors: false,
        default_mirror: None,
        disallow_subproject_uris: false,
        mirror_origins: Default::default(),
        options: Default::default(),
        shell: yaml(""),
        artifact_caches: None,
        source_caches: None,
        default_targets: Vec::new(),
        provenance_attributes: Default::default(),
        variables: Default::default(),
        alias_mapping: Default::default(),
        alias_identity: false,
        parent: None,
        first_pass: None,
    }
}

/// Keeps everything that is said, and answers failures.
pub(crate) struct Heard {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) answers: Mutex<Vec<Decision>>,
}

impl Sink for Heard {
    fn event(&self, event: Event) {
        self.events.lock().expect("not poisoned").push(event);
    }

    fn failed(&self, _: JobId, _: &Subject, _: &Failure) -> Decision {
        self.answers.lock().expect("not poisoned").pop().unwrap_or(Decision::Continue)
    }
}

/// A project with a store and an executor, to be built again and again.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) cas: Arc<dyn Cas>,
    pub(crate) services: Services,
    pub(crate) options: Options,
    pub(crate) plan: Plan,
    pub(crate) heard: Heard,
    pub(crate) control: Control,
    /// Scripts that were run, in order.
    pub(crate) runs: Arc<Mutex<Vec<String>>>,
    _logs: tempfile::TempDir,
}

/// A build and what was heard of it.
pub(crate) struct Built {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
}

impl World {
    pub(crate) fn new(specs: &[Spec]) -> World {
        World::with(specs, &[])
    }

    /// A world in whose project some warnings are fatal.
    pub(crate) fn with(specs: &[Spec], fatal: &[&str]) -> World {
        let runs: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = runs.clone();
        let (store, services) = services(move |call| {
            seen.lock().expect("not poisoned").push(call.execution.command.arguments[3].clone());
            play(call)
        });
        let logs = tempfile::tempdir().expect("a directory");
        let options = Options {
            strict: true,
            retry_failed: false,
            cache_build_trees: CacheBuildTrees::Auto,
            pull_build_trees: false,
            builders: 2,
            fetchers: 2,
            pushers: 2,
            network_retries: 0,
            source_directory: logs.path().to_owned(),
            temporary_directory: logs.path().to_owned(),
            log: LogOptions {
                directory: logs.path().to_owned(),
                key_length: 8,
                debug: false,
                time_zone: jiff::tz::TimeZone::UTC,
            },
            workspaces: Default::default(),
            durations: Default::default(),
            machine: Machine { os: "linux".into(), architectures: vec!["x86-64".into()] },
        };
        World {
            plan: planned(&store, specs, fatal),
            cas: store.clone(),
            control: Control::new(services.executor.clone()),
            heard: Heard { events: Mutex::default(), answers: Mutex::default() },
            store,
            services,
            options,
            runs,
            _logs: logs,
        }
    }

    /// Plans other elements over the same store.
    pub(crate) fn replan(&mut self, specs: &[Spec]) {
        self.plan = planned(&self.store, specs, &[]);
    }

    pub(crate) fn id(&self, name: &str) -> ElementId {
        let at = self.plan.graph.elements.iter().position(|element| &*element.name == name);
        ElementId(at.expect("an element") as u32)
    }

    /// Builds the last element, with whatever it needs.
    pub(crate) fn build(&self) -> Built {
        let last = ElementId(self.plan.elements.len() as u32 - 1);
        self.build_all(&[last], BuildScope::Run)
    }

    pub(crate) fn build_all(&self, targets: &[ElementId], scope: BuildScope) -> Built {
        let outcome = self
            .session(|session| build(session, targets, scope).unwrap_or_else(|error| panic!("{error:?}")));
        let events = std::mem::take(&mut *self.heard.events.lock().expect("not poisoned"));
        Built { outcome, events }
    }

    /// Does something in a session of its own.
    pub(crate) fn session<T>(&self, work: impl FnOnce(&Session<'_>) -> T) -> T {
        let files = Files::default();
        work(&Session::new(&self.plan, &files, &self.services, &self.options, &self.heard, &self.control))
    }

    /// The scripts run since this was asked last.
    pub(crate) fn take_runs(&self) -> Vec<String> {
        std::mem::take(&mut *self.runs.lock().expect("not poisoned"))
    }

    /// The artifact of an element under its strict key.
    pub(crate) fn artifact(&self, name: &str) -> Option<bourn_reapi::Artifact> {
        let key = self.plan.element(self.id(name)).strict_key.as_ref().expect("a key");
        self.store.artifact(&ArtifactName::new("demo", name, &key.0)).expect("asked")
    }

    /// The files of the artifact of an element.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let artifact = self.artifact(name).expect("an artifact");
        let digest = artifact.files.as_ref().map(|files| Digest::try_from(files).expect("a digest"));
        listing(&self.cas, &Tree::open(&self.cas, digest.unwrap_or_else(Digest::empty)))
    }

    /// The text of the log kept with an artifact.
    pub(crate) fn log(&self, name: &str) -> String {
        let artifact = self.artifact(name).expect("an artifact");
        let digest = artifact.logs.first().and_then(|log| log.digest.as_ref()).expect("a log");
        let digest = Digest::try_from(digest).expect("a digest");
        String::from_utf8(self.cas.read(&digest).expect("there")).expect("text")
    }
}

impl Built {
    /// What each job came to: `build hello.bst done`, in the order they ended.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let line = |event: &Event| match event {
            Event::JobFinished { subject, result, .. } => {
                let element = subject.element.as_ref().map_or("", |issuer| &issuer.element);
                let result = match result {
                    JobResult::Done => "done".to_owned(),
                    JobResult::Skipped(why) => format!("skipped: {why}"),
                    JobResult::Failed(failure) => format!("failed: {}", failure.message),
                    JobResult::Cancelled => "cancelled".to_owned(),
                };
                Some(format!("{} {element} {result}", subject.action.name().to_lowercase()))
            }
            _ => None,
        };
        self.events.iter().filter_map(line).collect()
    }

    /// The jobs of builds alone.
    pub(crate) fn builds(&self) -> Vec<String> {
        self.jobs().into_iter().filter(|line| line.starts_with("build ")).collect()
    }

    /// Elements that passed a queue.
    pub(crate) fn passed(&self, action: Action) -> Vec<String> {
        let name = |event: &Event| match event {
            Event::Passed { queue, element } if *queue == action => Some(element.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(name).collect()
    }

    /// Messages of a kind: text and detail.
    pub(crate) fn messages(&self, kind: MessageKind) -> Vec<(String, String)> {
        let text = |event: &Event| match event {
            Event::Message(message) if message.kind == kind => {
                Some((message.text.clone(), message.detail.clone().unwrap_or_default()))
            }
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }
}

/// Plays the commands of a script: `put PATH TEXT` writes a file, `take PATH` fails unless there is one, `log TEXT`
/// says something, `panic` panics, `fail` fails.
pub(crate) fn play(call: &mut Call<'_>) -> i32 {
    let script = call.execution.command.arguments[3].clone();
    for part in script.split("(set -ex; ").skip(1) {
        let line = part.split(") || (echo").next().unwrap_or_default();
        let line = line.replace("sh -c -e ", "").replace("sh -e -c ", "").replace('\'', "");
        let words: Vec<&str> = line.split_whitespace().collect();
        let status = match words[..] {
            ["put", path, text] => {
                let digest = call.tree.digest().expect("stored");
                assert_ne!(digest, Digest::empty());
                let content = call.cas.write(text.as_bytes()).expect("stored");
                let file = bourn_reapi::tree::File { digest: content, executable: false, properties: None };
                call.tree.put(path, bourn_reapi::tree::Entry::File(file)).map_or(1, |()| 0)
            }
            ["take", path] => i32::from(call.tree.resolve(path).expect("asked").is_none()),
            ["remove", path] => call.tree.remove(path).map_or(1, |_| 0),
            ["log", text] => writeln!(call.log, "{text}").map_or(1, |()| 0),
            [] | ["true"] => 0,
            ["panic"] => panic!("as it was told to"),
            _ => 1,
        };
        if status != 0 {
            return status;
        }
    }
    0
}
