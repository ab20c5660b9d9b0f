//! Source kinds that are Python plugins.

use crate::host::{Heading, Host, HostError, Listener, Within};
use crate::wire;
use bourn_plan::source::{
    FetchContext, LocalDigests, Previous, Progress, ProvenanceContext, Source, SourceContext, SourceError,
    SourceProvenance, SourceRef, StageContext, Tone, TrackContext, UrlError, UrlTable, Warning,
};
use bourn_plan::{Auth, KeyValue, SourceKind};
use bourn_project::{RefStorage, SourceDeclaration};
use bourn_reapi::services::{Cas, ExportOptions, ImportOptions};
use bourn_reapi::{Digest, ServiceError};
use bourn_yaml::code::intern;
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Files, Mapping, Node, Value};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source kind defined by `DIRECTORY/KIND.py`.
#[derive(Clone, Debug)]
pub struct PythonSourceKind {
    /// Where its class lives.
    pub host: Arc<Host>,
    /// Directory of the plugin.
    pub directory: PathBuf,
    /// Its kind.
    pub kind: String,
    /// The files of the load, for places in messages.
    pub files: Files,
}

impl SourceKind for PythonSourceKind {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let mut listener = Loading { context, fatal: None, declaration };
        let given = self.given(declaration, context);
        let refuse = |error| Diagnostics::from(refused(declaration, error, &self.files));
        let source = PythonSource::describe(self, given, context.urls, &mut listener).map_err(refuse)?;
        match listener.fatal {
            Some(fatal) => Err(fatal.into()),
            None => Ok(Box::new(source)),
        }
    }
}

impl PythonSourceKind {
    /// What the plugin object is made of.
    fn given(&self, declaration: &SourceDeclaration, context: &SourceContext<'_>) -> Json {
        let project = context.project;
        let stored = match declaration.ref_storage {
            RefStorage::ProjectRefs => stored_ref(&declaration.config, self.ref_keys()),
            RefStorage::Inline => None,
        };
        let mut config = wire::node(&declaration.config, &self.files);
        if declaration.ref_storage == RefStorage::ProjectRefs {
            // A plugin is configured by what its element says, and given the ref afterwards.
            self.ref_keys().iter().for_each(|key| set(&mut config, key, &Node::null(), &self.files));
        }
        let attributes = declaration.provenance.as_ref();
        json!({
            "name": format!("{}-{}", context.element, declaration.index),
            "element": context.element,
            "kind": self.kind,
            "directory": declaration.directory,
            "attributes": attributes.map(|node| wire::node(node, &self.files)),
            "config": config,
            "refs-apart": declaration.ref_storage == RefStorage::ProjectRefs,
            "stored-ref": stored.map(|node| wire::node(&node, &self.files)),
            "project-name": project.name,
            "project-directory": project.directory,
            "source-directory": self.host.python().source_directory,
            "fatal-warnings": project.fatal_warnings,
            "provenance-attributes": project.provenance_attributes.keys().collect::<Vec<_>>(),
            "provenance": wire::position(declaration.at, &self.files),
        })
    }

    fn call(&self, operation: &str, given: &Json) -> Json {
        json!({
            "call": operation,
            "plugin": {"directory": self.directory, "kind": self.kind, "group": "sources"},
            "source": given,
        })
    }
}

/// The ref that project.refs has for a source, as a mapping; `None` where it has none.
fn stored_ref(config: &Node, keys: &[&str]) -> Option<Node> {
    let mut stored = Mapping::new();
    for key in keys {
        if let Some(value) = config.get(key) {
            stored.insert(*key, value.clone());
        }
    }
    (!stored.is_empty()).then(|| Node::mapping(stored))
}

fn refused(declaration: &SourceDeclaration, error: HostError, files: &Files) -> Diagnostic {
    let domain = match error.domain.as_deref() {
        Some("load") => Domain::Load,
        Some("plugin") => Domain::Plugin,
        _ => Domain::Source,
    };
    let code = error.reason.as_deref().map_or("", intern);
    let (at, message) = wire::blamed(&error.message, declaration.at, &[&declaration.config], files);
    let mut diagnostic = Diagnostic::new(domain, code, message).at(at);
    diagnostic.detail = error.detail;
    diagnostic
}

fn failed(error: HostError) -> SourceError {
    SourceError {
        reason: error.reason.as_deref().map_or("", intern),
        message: error.message,
        detail: error.detail,
        hint: None,
        temporary: error.temporary,
        domain: error.domain.as_deref().map(intern),
    }
}

/// A source that a Python object describes.
struct PythonSource {
    kind: PythonSourceKind,
    /// What the object is made of, in whichever process it is made.
    given: Json,
    key: KeyValue,
    resolved: bool,
    reference: Option<SourceRef>,
    previous: Previous,
    validates: bool,
    /// What aliases mean: the plugin may ask at any time.
    urls: Arc<dyn UrlTable>,
}

impl PythonSource {
    fn describe(
        kind: &PythonSourceKind,
        mut given: Json,
        urls: &Arc<dyn UrlTable>,
        listener: &mut dyn Listener,
    ) -> Result<PythonSource, HostError> {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        given["instance"] = INSTANCES.fetch_add(1, Ordering::Relaxed).into();
        let answer = kind.host.call(&kind.call("source-describe", &given), listener)?;
        let previous = |name: &str| answer["previous"][name].as_bool().unwrap_or_default();
        given["key"] = answer["key"].clone();
        Ok(PythonSource {
            kind: kind.clone(),
            given,
            key: wire::key(&answer["key"]),
            resolved: answer["resolved"].as_bool().unwrap_or_default(),
            reference: answer.get("reference").filter(|found| !found.is_null()).map(wire::plain),
            previous: Previous {
                track: previous("track"),
                fetch: previous("fetch"),
                stage: previous("stage"),
            },
            validates: answer["validates"].as_bool().unwrap_or_default(),
            urls: urls.clone(),
        })
    }

    /// A question that takes no time, about what is on disk.
    fn ask(&self, operation: &str) -> Result<Json, SourceError> {
        let call = self.kind.call(operation, &self.given);
        self.kind.host.ask(&call, &mut Quiet { urls: &*self.urls }).map_err(failed)
    }

    /// Work that may take long, in a process of its own.
    fn work(
        &self,
        operation: &str,
        arguments: &[(&str, Json)],
        context: &FetchContext<'_>,
    ) -> Result<Json, SourceError> {
        let mut call = self.kind.call(operation, &self.given);
        for (name, value) in arguments {
            call[*name] = value.clone();
        }
        let mut worker = self.kind.host.worker().map_err(failed)?;
        let mut listener = Working { urls: context.urls, progress: context.progress };
        worker.call(&call, &mut listener, Some(context.cancel)).map_err(failed)
    }

    /// A directory with what earlier sources staged, where this one asks for it.
    fn room(&self, previous: Option<Digest>, cas: &dyn Cas) -> Result<tempfile::TempDir, SourceError> {
        let parent = &self.kind.host.python().temporary_directory;
        let made = std::fs::create_dir_all(parent)
            .and_then(|()| tempfile::TempDir::with_prefix_in("source-", parent));
        let room = made.map_err(|error| {
            SourceError::from(ServiceError::io(&error, "Making a directory below", parent))
        })?;
        if let Some(previous) = previous {
            let options = ExportOptions { merge: true, ..ExportOptions::default() };
            cas.export_tree(&previous, room.path(), &options)?;
        }
        Ok(room)
    }

    fn previous_room(
        &self,
        wanted: bool,
        context: &FetchContext<'_>,
    ) -> Result<Option<tempfile::TempDir>, SourceError> {
        wanted.then(|| self.room(context.previous, context.cas)).transpose()
    }
}

fn path_of(room: Option<&tempfile::TempDir>) -> Json {
    room.map_or(Json::Null, |room| json!(room.path()))
}

impl Source for PythonSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        Ok(self.key.clone())
    }

    fn is_resolved(&self) -> bool {
        self.resolved
    }

    fn reference(&self) -> Option<SourceRef> {
        self.reference.clone()
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let mut given = self.given.clone();
        let files = &self.kind.files;
        let apart = given["refs-apart"] == true;
        given["stored-ref"] =
            if apart { wire::node(&Node::mapping(Mapping::new()), files) } else { Json::Null };
        let into = if apart { "stored-ref" } else { "config" };
        for (key, value) in reference.entries().into_iter().flatten() {
            set(&mut given[into], key.as_str(), value, files);
        }
        let described =
            PythonSource::describe(&self.kind, given, &self.urls, &mut Quiet { urls: &*self.urls });
        let source = described.map_err(|error| {
            let code = error.reason.as_deref().map_or("", intern);
            let mut diagnostic = Diagnostic::new(Domain::Source, code, error.message);
            diagnostic.detail = error.detail;
            Diagnostics::from(diagnostic)
        })?;
        Ok(Box::new(source))
    }

    fn previous(&self) -> Previous {
        self.previous
    }

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Ok(self.ask("source-cached")?.as_bool().unwrap_or_default())
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let previous = self.previous_room(self.previous.track, context)?;
        let found = self.work("source-track", &[("previous", path_of(previous.as_ref()))], context)?;
        Ok((!found.is_null()).then(|| wire::plain(&found)))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let previous = self.previous_room(self.previous.fetch, context)?;
        self.work("source-fetch", &[("previous", path_of(previous.as_ref()))], context).map(drop)
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let room = self.room(context.previous, context.cas)?;
        self.work("source-stage", &[("directory", json!(room.path()))], context)?;
        let options = ImportOptions { consume: true, ..ImportOptions::default() };
        Ok(context.cas.import_tree(room.path(), &options)?)
    }

    fn validate(&self, context: &StageContext<'_>) -> Result<(), SourceError> {
        match self.validates {
            true => self.work("source-validate", &[], context).map(drop),
            false => Ok(()),
        }
    }

    fn init_workspace(&self, directory: &Path, context: &StageContext<'_>) -> Result<(), SourceError> {
        self.work("source-workspace", &[("directory", json!(directory))], context).map(drop)
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let told = self.ask("source-info")?;
        let Some(told) = told.as_array() else { return Ok(None) };
        let entries = |info: &Json| {
            let entries = info.as_object().into_iter().flatten();
            entries.map(|(name, value)| (name.clone(), wire::key(value))).collect()
        };
        Ok(Some(told.iter().map(|info| SourceProvenance { entries: entries(info) }).collect()))
    }
}

/// Sets an entry of a mapping as it goes over the pipe, or removes it.
fn set(mapping: &mut Json, key: &str, value: &Node, files: &Files) {
    let Some(entries) = mapping[1].as_array_mut() else { return };
    entries.retain(|entry| entry[0] != key);
    if value.value != Value::Null {
        entries.push(json!([key, wire::node(value, files)]));
    }
}

fn url_error(error: UrlError) -> HostError {
    HostError {
        message: error.message,
        detail: error.detail,
        reason: Some(error.reason.to_owned()),
        domain: Some("source".to_owned()),
        ..HostError::default()
    }
}

fn unknown(question: &str) -> HostError {
    HostError { message: format!("`{question}` cannot be asked now"), ..HostError::default() }
}

/// What aliases mean, as configuring a source asks.
fn ask_table(urls: &dyn UrlTable, question: &str, url: &str) -> Result<Json, HostError> {
    match question {
        "translate-url" => urls.translate(url).map(Json::from).map_err(url_error),
        "check-url" => urls.check(url).map(Json::from).map_err(url_error),
        _ => Err(unknown(question)),
    }
}

fn url_of(arguments: &Json) -> &str {
    arguments["url"].as_str().unwrap_or_default()
}

/// Listens while a source is configured.
struct Loading<'a> {
    context: &'a SourceContext<'a>,
    declaration: &'a SourceDeclaration,
    fatal: Option<Diagnostic>,
}

impl Listener for Loading<'_> {
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>) {
        let Some(weight) = wire::weight(kind) else { return };
        // Which warnings are fatal is known to the plugin, and the text has the token already.
        let warning = Warning {
            weight,
            token: None,
            message: text.to_owned(),
            detail: detail.map(str::to_owned),
            at: self.declaration.at,
            speaker: Some(match &self.context.project.junction {
                Some(junction) => format!("{junction}:{}", self.context.element),
                None => self.context.element.to_owned(),
            }),
        };
        if let Err(fatal) = self.context.warnings.raise(self.context.project, warning) {
            self.fatal.get_or_insert(fatal);
        }
    }

    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError> {
        ask_table(&**self.context.urls, question, url_of(arguments))
    }

    fn activity(&mut self, _: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        within(self)
    }
}

/// Answers, and lets nothing be said: it was said when the source was configured.
struct Quiet<'a> {
    urls: &'a dyn UrlTable,
}

impl Listener for Quiet<'_> {
    fn note(&mut self, _: &str, _: &str, _: Option<&str>) {}

    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError> {
        ask_table(self.urls, question, url_of(arguments))
    }

    fn activity(&mut self, _: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        within(self)
    }
}

/// Listens while a source is fetched, tracked or staged.
struct Working<'a> {
    urls: &'a dyn UrlTable,
    progress: &'a dyn Progress,
}

impl Working<'_> {
    /// How many places an alias may stand for; nought when it is none.
    fn substitutions(&self, alias: &str, tracking: bool) -> Result<usize, HostError> {
        let url = format!("{alias}:");
        if self.urls.check(&url).map_err(url_error)?.is_none() {
            return Ok(0);
        }
        Ok(self.candidates(&url, tracking).len())
    }

    fn candidates(&self, url: &str, tracking: bool) -> Vec<bourn_plan::Candidate> {
        if tracking { self.urls.track(url) } else { self.urls.fetch(url) }
    }
}

impl Listener for Working<'_> {
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>) {
        let tone = match kind {
            "warn" => {
                // Which warnings are fatal is known to the plugin, which raised an error for those.
                let _ = self.progress.warn(None, text, detail);
                return;
            }
            "info" => Tone::Info,
            "log" => Tone::Log,
            "debug" => Tone::Debug,
            _ => Tone::Status,
        };
        self.progress.say(tone, text, detail);
    }

    fn output(&mut self, text: &str) {
        self.progress.log(text);
    }

    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError> {
        let tracking = arguments["tracking"].as_bool().unwrap_or_default();
        match question {
            "substitutions" => {
                let alias = arguments["alias"].as_str().unwrap_or_default();
                self.substitutions(alias, tracking).map(Json::from)
            }
            "substitute" => {
                let index = arguments["index"].as_u64().and_then(|index| usize::try_from(index).ok());
                let candidates = self.candidates(url_of(arguments), tracking);
                let found = index.and_then(|index| candidates.get(index)).ok_or_else(|| unknown(question))?;
                Ok(json!({"url": found.url, "bearer": found.auth == Auth::Bearer}))
            }
            _ => ask_table(self.urls, question, url_of(arguments)),
        }
    }

    fn activity(&mut self, heading: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        let progress = self.progress;
        let mut work = || within(self).map_err(failed);
        progress
            .under(heading.text, heading.detail, heading.silent, &mut work)
            .map_err(|error| HostError::new(error.message))
    }
}
