//! Elements that Python plugins build.

use crate::element::Loading;
use crate::host::{Heading, Host, HostError, Listener, Within, Worker};
use crate::wire;
use bourn_plan::assembly::{Overlaps, Reach, Split, Stage};
use bourn_plan::foreign::{Foreign, ForeignBench, ForeignBuild, ForeignCommand, ForeignItem, ImportFrom};
use bourn_plan::workbench::{AssemblyError, Entry, Origin};
use bourn_project::ElementId;
use bourn_reapi::tree::ImportReport;
use bourn_yaml::Files;
use bourn_yaml::code::intern;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An element that a Python object builds.
pub(crate) struct PythonBuild {
    pub(crate) host: Arc<Host>,
    pub(crate) kind: String,
    /// The plugin and what the object is made of.
    pub(crate) call: Json,
    pub(crate) files: Files,
}

impl fmt::Debug for PythonBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin {}", self.kind)
    }
}

impl Foreign for PythonBuild {
    fn begin(&self) -> Result<Box<dyn ForeignBuild>, AssemblyError> {
        Ok(Box::new(Building {
            worker: self.host.worker().map_err(assembly)?,
            call: self.call.clone(),
            files: self.files.clone(),
            drafts: self.host.python().temporary_directory.clone(),
        }))
    }
}

/// A build under way, in a process of its own.
struct Building {
    worker: Worker,
    call: Json,
    files: Files,
    drafts: PathBuf,
}

impl Building {
    fn phase(&mut self, name: &str, bench: &mut dyn ForeignBench) -> Result<Json, AssemblyError> {
        self.call["call"] = name.into();
        let cancel = bench.cancel().clone();
        let mut at_work = AtWork { bench, files: &self.files, drafts: &self.drafts };
        self.worker.call(&self.call, &mut at_work, Some(&cancel)).map_err(assembly)
    }
}

impl ForeignBuild for Building {
    fn configure(&mut self, bench: &mut dyn ForeignBench) -> Result<(), AssemblyError> {
        self.phase("element-configure", bench).map(drop)
    }

    fn stage(&mut self, bench: &mut dyn ForeignBench) -> Result<(), AssemblyError> {
        self.phase("element-stage", bench).map(drop)
    }

    fn assemble(&mut self, bench: &mut dyn ForeignBench) -> Result<Option<String>, AssemblyError> {
        let collect = self.phase("element-assemble", bench)?;
        match collect {
            Json::Null => Ok(None),
            Json::String(path) => Ok(Some(path)),
            _ => Err(AssemblyError::world("assemble() returned something that is no path")),
        }
    }
}

fn assembly(error: HostError) -> AssemblyError {
    AssemblyError {
        reason: error.reason.as_deref().map_or("", intern),
        message: error.message,
        detail: error.detail,
        hint: None,
        of_element: error.of_element,
        collect: error.collect,
        origin: Some(Box::new(Origin {
            domain: error.domain.as_deref().map_or("plugin", intern),
            temporary: error.temporary,
        })),
    }
}

/// An error as the plugin sees it.
fn told(error: AssemblyError) -> HostError {
    HostError {
        message: error.message,
        detail: error.detail,
        reason: Some(error.reason.to_owned()).filter(|reason| !reason.is_empty()),
        domain: error.origin.as_ref().map(|origin| origin.domain.to_owned()),
        temporary: error.origin.as_ref().is_some_and(|origin| origin.temporary),
        collect: error.collect,
        of_element: error.of_element,
    }
}

fn no_file_system(message: String, reason: &str) -> HostError {
    HostError {
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        domain: Some("virtual-fs".to_owned()),
        ..HostError::new(message)
    }
}

/// Answers what a plugin asks while it builds.
struct AtWork<'b> {
    bench: &'b mut dyn ForeignBench,
    files: &'b Files,
    /// Where files are put that go between the plugin and the store.
    drafts: &'b Path,
}

type Answer = Result<Json, HostError>;

impl Listener for AtWork<'_> {
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>) {
        self.bench.say(kind, text, detail);
    }

    fn output(&mut self, text: &str) {
        self.bench.output(text);
    }

    fn activity(&mut self, heading: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        let (files, drafts) = (self.files, self.drafts);
        let mut work =
            |bench: &mut dyn ForeignBench| within(&mut AtWork { bench, files, drafts }).map_err(assembly);
        self.bench.under(heading.text, heading.detail, heading.silent, &mut work).map_err(told)
    }

    fn ask(&mut self, question: &str, arguments: &Json) -> Answer {
        self.bench.select(number(arguments, "sandbox")).map_err(told)?;
        if question.starts_with("tree-") {
            return self.tree(question, arguments);
        }
        match question {
            "sandbox-set" => self.set(arguments),
            "sandbox-create" => Ok(self.bench.create_sandbox().into()),
            "workspace" => Ok(self.bench.is_workspace().into()),
            "run" => {
                let command = command(&arguments["command"]);
                self.bench.run_program(&command, is(arguments, "read_only")).map(Json::from).map_err(told)
            }
            "batch" => self.batch(arguments),
            "stage" => self.stage(arguments),
            "stage-sources" => {
                self.bench.stage_sources(text(arguments, "path")).map(|()| Json::Null).map_err(told)
            }
            _ => self.about_element(question, arguments),
        }
    }
}

impl AtWork<'_> {
    fn set(&mut self, arguments: &Json) -> Answer {
        if arguments.get("environment").is_some() {
            self.bench.set_environment(pairs(&arguments["environment"]));
        }
        if let Some(directory) = arguments["directory"].as_str() {
            self.bench.set_directory(directory.to_owned());
        }
        if let Some(directory) = arguments["mark"].as_str() {
            self.bench.mark(directory.to_owned());
        }
        Ok(Json::Null)
    }

    fn batch(&mut self, arguments: &Json) -> Answer {
        let items: Vec<ForeignItem> = arguments["items"].as_array().into_iter().flatten().map(item).collect();
        let collect = arguments["collect"].as_str();
        self.bench.run_script(&items, is(arguments, "read_only"), collect).map_err(told)?;
        Ok(Json::Null)
    }

    fn stage(&mut self, arguments: &Json) -> Answer {
        let stage = Stage {
            from: ids(&arguments["elements"]),
            reach: if is(arguments, "recurse") { Reach::Runtime } else { Reach::Alone },
            into: text(arguments, "path").to_owned(),
            split: split(arguments),
            overlaps: match arguments["overlaps"].as_str() {
                Some("error") => Overlaps::Error,
                Some("ignore") => Overlaps::Ignore,
                _ => Overlaps::Warn,
            },
            known_domains: None,
        };
        self.bench.stage(&stage).map_err(told)?;
        Ok(Json::Null)
    }

    /// What is known of elements; of the graph, and beyond.
    fn about_element(&mut self, question: &str, arguments: &Json) -> Answer {
        let (graph, edges, files) = (self.bench.graph(), self.bench.edges(), self.files);
        let at = graph.element(self.bench.element()).at;
        let mut loading = Loading { graph, edges, files, at, remarks: Vec::new() };
        let id = loading.element(arguments)?;
        let domain = text(arguments, "domain");
        match question {
            "public" => {
                let own = id == self.bench.element();
                let found = if own {
                    self.bench.own_public(domain)
                } else {
                    self.bench.public(id, domain).map_err(told)?
                };
                Ok(found.map_or(Json::Null, |node| wire::node(&node, files)))
            }
            "set-public" => {
                let value = wire::plain(&arguments["data"]);
                self.bench.set_public(domain, value);
                Ok(Json::Null)
            }
            "manifest" => self.bench.manifest(id, &split(arguments)).map(Json::from).map_err(told),
            "artifact-name" => Ok(self.bench.artifact_name(id).into()),
            "sources" => self.sources(id),
            _ => loading.ask(question, arguments),
        }
    }

    fn sources(&self, id: ElementId) -> Answer {
        let graph = self.bench.graph();
        let infos = self.bench.provenance(id).map_err(told)?;
        let declared = graph.element(id).sources.iter();
        let planned = self.bench.sources(id).iter();
        let each = declared.zip(planned).zip(infos).map(|((declared, planned), info)| {
            let reference = planned.source.reference();
            let info = info.map(|info| info.iter().map(|one| object(&one.entries)).collect::<Vec<_>>());
            let reference = reference.map(|reference| wire::json(&bourn_plan::KeyValue::Node(reference)));
            json!({"kind": &*declared.kind, "ref": reference, "info": info})
        });
        Ok(each.collect())
    }

    fn tree(&mut self, question: &str, arguments: &Json) -> Answer {
        let path = text(arguments, "path");
        match question {
            "tree-list" => {
                let found = self.bench.list(&self.directory(path)?).map_err(told)?.unwrap_or_default();
                Ok(found.into_iter().map(|(name, _)| name).collect())
            }
            "tree-paths" => {
                let found = self.bench.paths(&self.directory(path)?).map_err(told)?.unwrap_or_default();
                Ok(found.into())
            }
            "tree-directory" => self.open_directory(path, is(arguments, "create"), is(arguments, "follow")),
            "tree-stat" => self.stat(path, is(arguments, "follow")),
            "tree-read" => self.read(path),
            "tree-draft" => self.draft(path, is(arguments, "new")),
            "tree-write" => self.write(path, arguments),
            "tree-remove" => self.remove(path, is(arguments, "recursive")),
            "tree-rename" => self.rename(path, text(arguments, "to")),
            "tree-import" => self.import(path, arguments),
            "tree-digest" => {
                let digest = self.bench.tree_digest(path).map_err(told)?;
                Ok(json!({"hash": digest.hex(), "size": digest.size}))
            }
            _ => Err(HostError::new(format!("`{question}` is no question"))),
        }
    }

    /// A path without `.` and `..`.
    fn plain(path: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    fn entry(&self, path: &str) -> Result<Option<Entry>, HostError> {
        if path.is_empty() {
            return Ok(Some(Entry::Directory));
        }
        self.bench.entry(path).map_err(told)
    }

    /// The path of a directory that is there.
    fn directory(&self, path: &str) -> Result<String, HostError> {
        let path = AtWork::plain(path);
        match self.entry(&path)? {
            Some(Entry::Directory) => Ok(path),
            Some(_) => Err(no_file_system(format!("'/{path}' is not a directory"), "not-a-directory")),
            None => Err(no_file_system(format!("'/{path}' not found"), "directory-not-found")),
        }
    }

    fn followed(&self, path: &str) -> Result<String, HostError> {
        let found = self.bench.resolve(path).map_err(told)?;
        found.ok_or_else(|| no_file_system(format!("'/{path}' not found"), "directory-not-found"))
    }

    fn open_directory(&mut self, path: &str, create: bool, follow: bool) -> Answer {
        let mut path = AtWork::plain(path);
        let there = self.entry(&path)?;
        if there.is_none() && create {
            self.bench.create_directory(&path).map_err(told)?;
        }
        if follow && there.is_some() {
            path = self.followed(&path)?;
        }
        self.directory(&path).map(Json::from)
    }

    fn stat(&self, path: &str, follow: bool) -> Answer {
        let mut path = AtWork::plain(path);
        if follow {
            path = self.followed(&path)?;
        }
        match self.entry(&path)? {
            Some(Entry::Directory) => Ok(json!({"type": 1, "executable": false, "size": 0})),
            Some(Entry::File { digest, executable }) => Ok(json!({
                "type": 2, "executable": executable, "size": digest.size, "digest": digest.hex(),
            })),
            Some(Entry::Symlink { target }) => {
                Ok(json!({"type": 3, "executable": false, "size": target.len(), "target": target}))
            }
            None => Err(no_file_system(format!("'/{path}' not found"), "directory-not-found")),
        }
    }

    /// A new file of the host.
    fn new_draft(&self) -> Result<tempfile::NamedTempFile, HostError> {
        let made = std::fs::create_dir_all(self.drafts)
            .and_then(|()| tempfile::Builder::new().prefix("plugin-").tempfile_in(self.drafts));
        made.map_err(|error| HostError::new(format!("Making a file in {}: {error}", self.drafts.display())))
    }

    /// A copy of a file for the plugin, which removes it.
    fn read(&self, path: &str) -> Answer {
        let path = AtWork::plain(path);
        if !matches!(self.entry(&path)?, Some(Entry::File { .. })) {
            return Err(no_file_system(format!("There is no file at /{path}"), ""));
        }
        let mut content = self.bench.open(&path).map_err(told)?;
        let mut draft = self.new_draft()?;
        let failed = |error: std::io::Error| HostError::new(format!("Reading /{path}: {error}"));
        std::io::copy(&mut content, &mut draft).map_err(failed)?;
        let (_, host) = draft.keep().map_err(|error| failed(error.error))?;
        Ok(json!(host))
    }

    /// A file for the plugin to write to, which removes it.
    fn draft(&self, path: &str, new: bool) -> Answer {
        let path = AtWork::plain(path);
        match self.entry(&path)? {
            Some(Entry::File { .. }) if new => {
                return Err(no_file_system(format!("/{path} already exists"), ""));
            }
            Some(Entry::File { .. }) | None => {}
            Some(_) => return Err(no_file_system(format!("/{path} is not a file"), "")),
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        let (_, host) = self.new_draft()?.keep().map_err(|error| HostError::new(error.to_string()))?;
        Ok(json!(host))
    }

    fn write(&mut self, path: &str, arguments: &Json) -> Answer {
        let path = AtWork::plain(path);
        let host = PathBuf::from(text(arguments, "file"));
        let mut copy =
            |to: &mut dyn std::io::Write| std::io::copy(&mut std::fs::File::open(&host)?, to).map(drop);
        self.bench.write(&path, is(arguments, "executable"), &mut copy).map_err(told)?;
        Ok(Json::Null)
    }

    fn remove(&mut self, path: &str, recursive: bool) -> Answer {
        let path = AtWork::plain(path);
        match self.entry(&path)? {
            None => return Err(no_file_system(format!("'/{path}' not found"), "")),
            Some(Entry::Directory) if !recursive => {
                let content = self.bench.list(&path).map_err(told)?.unwrap_or_default();
                if !content.is_empty() {
                    return Err(no_file_system(format!("'/{path}' is not empty"), ""));
                }
            }
            Some(_) => {}
        }
        self.bench.remove(&path).map_err(told)?;
        Ok(Json::Null)
    }

    fn rename(&mut self, from: &str, to: &str) -> Answer {
        let (from, to) = (AtWork::plain(from), AtWork::plain(to));
        if self.entry(&from)?.is_none() {
            return Err(no_file_system(format!("'/{from}' not found"), ""));
        }
        if let Some((parent, _)) = to.rsplit_once('/') {
            self.directory(parent)?;
        }
        if let Some(Entry::Directory) = self.entry(&to)?
            && !self.bench.list(&to).map_err(told)?.unwrap_or_default().is_empty()
        {
            return Err(no_file_system(format!("'/{to}' is a directory that is not empty"), ""));
        }
        self.bench.rename(&from, &to).map_err(told)?;
        Ok(Json::Null)
    }

    fn import(&mut self, path: &str, arguments: &Json) -> Answer {
        let into = self.directory(path)?;
        let source = &arguments["source"];
        let host = source["host"].as_str().map(PathBuf::from);
        let from = match &host {
            Some(host) => ImportFrom::Host(host),
            None => ImportFrom::Sandbox(number(source, "sandbox"), text(source, "path")),
        };
        let kept: Option<HashSet<&str>> =
            arguments["keep"].as_array().map(|paths| paths.iter().filter_map(Json::as_str).collect());
        let done = match kept {
            None => self.bench.import_tree(from, &into, None),
            Some(kept) => self.bench.import_tree(from, &into, Some(&|path| kept.contains(path))),
        };
        let (ImportReport { overwritten, ignored }, written) = done.map_err(told)?;
        Ok(json!({"overwritten": overwritten, "ignored": ignored, "written": written}))
    }
}

fn text<'j>(arguments: &'j Json, name: &str) -> &'j str {
    arguments[name].as_str().unwrap_or_default()
}

fn is(arguments: &Json, name: &str) -> bool {
    arguments[name].as_bool().unwrap_or_default()
}

/// A small number; nought when there is none.
fn number(arguments: &Json, name: &str) -> usize {
    arguments[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

fn ids(list: &Json) -> Vec<ElementId> {
    let numbers = list.as_array().into_iter().flatten().filter_map(Json::as_u64);
    numbers.filter_map(|id| u32::try_from(id).ok()).map(ElementId).collect()
}

fn texts(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn pairs(list: &Json) -> Vec<(String, String)> {
    let pair = |pair: &Json| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    list.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn split(arguments: &Json) -> Split {
    Split {
        include: texts(&arguments["include"]),
        exclude: texts(&arguments["exclude"]),
        orphans: arguments["orphans"].as_bool().unwrap_or(true),
    }
}

fn command(given: &Json) -> ForeignCommand {
    ForeignCommand {
        arguments: texts(&given["arguments"]),
        label: given["label"].as_str().map(str::to_owned),
        environment: pairs(&given["environment"]),
        directory: text(given, "directory").to_owned(),
    }
}

fn item(given: &Json) -> ForeignItem {
    if let Some(id) = given["integrate"].as_u64().and_then(|id| u32::try_from(id).ok()) {
        return ForeignItem::Integrate(ElementId(id));
    }
    if let Some(name) = given["empty-file"].as_str() {
        return ForeignItem::EmptyFile(name.to_owned());
    }
    match given["clean"].as_str() {
        Some(path) => ForeignItem::Clean(path.to_owned()),
        None => ForeignItem::Command(command(given)),
    }
}

/// What a source says of where it comes from, as plain JSON.
fn object(entries: &[(String, bourn_plan::KeyValue)]) -> Json {
    Json::Object(entries.iter().map(|(name, value)| (name.clone(), wire::json(value))).collect())
}
