//! Elements that Python plugins build.

use crate::element::Loading;
use crate::host::{Heading, Host, HostError, Listener, Within, Worker};
use crate::tree::Tree;
use crate::wire;
use bourn_plan::assembly::{Overlaps, Reach, Split, Stage};
use bourn_plan::foreign::{Foreign, ForeignBench, ForeignBuild, ForeignCommand, ForeignItem};
use bourn_plan::workbench::{AssemblyError, Origin};
use bourn_project::ElementId;
use bourn_yaml::Files;
use bourn_yaml::code::intern;
use serde_json::{Value as Json, json};
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
pub(crate) fn told(error: AssemblyError) -> HostError {
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

pub(crate) fn no_file_system(message: String, reason: &str) -> HostError {
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
            let (bench, drafts) = (&mut *self.bench, self.drafts);
            return Tree { bench, drafts }.answer(question, arguments);
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
        let id = self.bench.element();
        let mut loading = Loading { graph, edges, files, id, at: graph.element(id).at, remarks: Vec::new() };
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
}

pub(crate) fn text<'j>(arguments: &'j Json, name: &str) -> &'j str {
    arguments[name].as_str().unwrap_or_default()
}

pub(crate) fn is(arguments: &Json, name: &str) -> bool {
    arguments[name].as_bool().unwrap_or_default()
}

/// A small number; nought when there is none.
pub(crate) fn number(arguments: &Json, name: &str) -> usize {
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
