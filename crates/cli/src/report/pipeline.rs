//! Elements as `show` and the heading of a session print them.

use crate::exit::Failure;
use crate::report::element::{ElementFormat, Symbol};
use crate::report::reporter::Reporter;
use crate::report::style::{PLAIN, Painter, Style};
use crate::workspaces::Workspaces;
use bourn_build::event::{Action, Event, Issuer, Message, MessageKind, Subject};
use bourn_build::state::{ArtifactState, SourceState, States};
use bourn_plan::{KeyValue, LocalDigests, Plan, ProvenanceContext};
use bourn_project::ElementId;
use bourn_yaml::{Mapping, Node, Value};
use std::path::Path;

/// What it takes to print elements.
pub(crate) struct Printer<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// What is known of the caches.
    pub(crate) states: &'a States,
    /// Open workspaces, where the project has any.
    pub(crate) workspaces: Option<&'a Workspaces>,
    /// Digests of local files.
    pub(crate) local: &'a dyn LocalDigests,
    /// Where downloads are kept.
    pub(crate) source_directory: &'a Path,
    /// Where warnings go.
    pub(crate) reporter: &'a Reporter,
    /// Colours.
    pub(crate) painter: Painter,
    /// Digits of a shortened key.
    pub(crate) key_length: usize,
}

impl Printer<'_> {
    /// The elements in that format, one after the other on lines of their own, no newline of the format at the end.
    ///
    /// # Errors
    /// What a source says of where it comes from.
    pub(crate) fn render(&self, elements: &[ElementId], format: &ElementFormat) -> Result<String, Failure> {
        let mut out = String::new();
        for &id in elements {
            format.render(&mut out, self.painter, |symbol| self.value(id, symbol))?;
            out.push('\n');
        }
        format.trim_end(&mut out);
        Ok(out)
    }

    /// What stands for a symbol, and how it is painted.
    ///
    /// # Errors
    /// What a source says of where it comes from.
    pub(crate) fn value(&self, id: ElementId, symbol: Symbol) -> Result<(String, Style), Failure> {
        let graph = &*self.plan.graph;
        let element = graph.element(id);
        let key = || self.states.display_key(self.plan, id);
        let key_style = |strict: bool| Style::color(33).dim_if(!strict);
        let plain = |text: String| Ok((text, PLAIN));
        if let Some(node) = self.node(id, symbol)? {
            let text = bourn_yaml::dump(&node);
            // Lists of names stand in a line, everything else ends with one.
            let is_list = matches!(symbol, Symbol::Deps | Symbol::BuildDeps | Symbol::RuntimeDeps);
            return plain(if is_list { text.trim_end_matches('\n').to_owned() } else { text });
        }
        match symbol {
            Symbol::Name => Ok((graph.full_name(id), Style::color(34).bold())),
            Symbol::Kind => Ok((element.kind.to_string(), Style::color(36))),
            Symbol::Description => {
                let lines: Vec<&str> = element.description.as_deref().unwrap_or_default().lines().collect();
                Ok((lines.join(" "), key_style(key().strict)))
            }
            Symbol::Key => {
                let key = key();
                let brief = key.full[..self.key_length.min(key.full.len())].to_owned();
                Ok((brief, key_style(key.strict)))
            }
            Symbol::FullKey => {
                let key = key();
                Ok((key.full.to_string(), key_style(key.strict)))
            }
            Symbol::State => {
                let (text, style) = state(self.plan, self.states, id);
                Ok((text.to_owned(), style))
            }
            Symbol::Workspaced => {
                let text = if self.workspace(id).is_some() { "(workspaced)" } else { "" };
                Ok((text.to_owned(), Style::color(33)))
            }
            Symbol::WorkspaceDirs => plain(match self.workspace(id) {
                Some(directory) => format!("Workspace: {}", directory.display()),
                None => String::new(),
            }),
            Symbol::ArtifactCasDigest => plain(self.digest(id)),
            _ => plain(String::new()),
        }
    }

    /// What stands for a symbol that is more than a text.
    ///
    /// # Errors
    /// What a source says of where it comes from.
    pub(crate) fn node(&self, id: ElementId, symbol: Symbol) -> Result<Option<Node>, Failure> {
        let element = self.plan.graph.element(id);
        Ok(Some(match symbol {
            Symbol::Config => element.config.clone(),
            Symbol::Vars => pairs(element.variables.iter()),
            Symbol::Env => {
                pairs(element.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            }
            Symbol::Public => element.public.clone(),
            Symbol::Deps => self.names(id, true, true),
            Symbol::BuildDeps => self.names(id, true, false),
            Symbol::RuntimeDeps => self.names(id, false, true),
            Symbol::SourceInfo => self.source_info(id)?,
            _ => return Ok(None),
        }))
    }

    /// The directory of an element's workspace.
    pub(crate) fn workspace(&self, id: ElementId) -> Option<std::path::PathBuf> {
        self.workspaces?.directory(&self.plan.graph.full_name(id))
    }

    /// Full names of direct dependencies: those for building, those for running, each once.
    fn names(&self, id: ElementId, build: bool, run: bool) -> Node {
        let graph = &*self.plan.graph;
        let dependencies = || graph.element(id).dependencies.iter();
        let builds = dependencies().filter(|dependency| build && dependency.kind.is_build());
        let rest = dependencies().filter(|dependency| {
            run && dependency.kind.is_runtime() && !(build && dependency.kind.is_build())
        });
        let all = builds.chain(rest).map(|dependency| Node::scalar(graph.full_name(dependency.element)));
        Node::sequence(all.collect())
    }

    /// Where the sources of an element come from.
    ///
    /// # Errors
    /// Files that cannot be read; attributes the project does not declare.
    fn source_info(&self, id: ElementId) -> Result<Node, Failure> {
        let element = self.plan.graph.element(id);
        let project = self.plan.graph.project(element.project);
        let context =
            ProvenanceContext { project, local: self.local, source_directory: self.source_directory };
        let mut infos = Vec::new();
        for source in &self.plan.element(id).sources {
            match source.source.provenance(&context) {
                // Without a ref most kinds cannot say anything yet, which is nothing to complain about.
                Ok(None) | Err(_) if !source.source.is_resolved() => {}
                Ok(Some(found)) => infos.extend(
                    found
                        .iter()
                        .map(|info| mapping(info.entries.iter().map(|(name, value)| (name.as_str(), value)))),
                ),
                Ok(None) => self.no_info(id, &source.declaration.kind)?,
                Err(error) => {
                    let failure = Failure::new("source", error.message);
                    let failure =
                        if error.reason.is_empty() { failure } else { failure.reason(error.reason) };
                    return Err(Failure { detail: error.detail, hint: error.hint, ..failure });
                }
            }
        }
        Ok(Node::sequence(infos))
    }

    fn no_info(&self, id: ElementId, kind: &str) -> Result<(), Failure> {
        const TOKEN: &str = "unavailable-source-info";
        let project = self.plan.graph.project(self.plan.graph.element(id).project);
        let text = format!("[{TOKEN}]: Sources of kind '{kind}' do not say where they come from");
        if project.fatal_warnings.iter().any(|fatal| fatal == TOKEN) {
            return Err(Failure::new("plugin", text).reason(TOKEN));
        }
        self.warn(id, &text);
        Ok(())
    }

    fn digest(&self, id: ElementId) -> String {
        match self.states.get(id).artifact.cached() {
            Some(artifact) => artifact.files().unwrap_or_else(bourn_reapi::Digest::empty).to_string(),
            None => {
                self.warn(id, "Cannot obtain CAS digest because artifact is not cached");
                String::new()
            }
        }
    }

    fn warn(&self, id: ElementId, text: &str) {
        let issuer = Issuer {
            element: self.plan.graph.full_name(id).into(),
            key: Some(self.states.display_key(self.plan, id)),
        };
        self.reporter.event(&Event::Message(Message {
            subject: Subject { job: None, action: Action::Main, element: Some(issuer), speaker: None },
            kind: MessageKind::Warn,
            text: text.to_owned(),
            detail: None,
            elapsed: None,
        }));
    }
}

/// A state in a word, and its colour.
pub(crate) type State = (&'static str, Style);

/// A source has no ref.
pub(crate) const NO_REFERENCE: State = ("no reference", Style::color(31));
/// A junction, whatever else there is to say.
pub(crate) const JUNCTION: State = ("junction", Style::color(35));
/// Its artifact is in the cache.
pub(crate) const CACHED: State = ("cached", Style::color(35));
/// The artifact of a failure is in the cache.
pub(crate) const FAILED: State = ("failed", Style::color(31));

/// The state of an element.
pub(crate) fn state(plan: &Plan, states: &States, id: ElementId) -> State {
    const RED: Style = Style::color(31);
    const BLUE: Style = Style::color(34);
    if plan.element(id).sources.iter().any(|source| !source.source.is_resolved()) {
        return NO_REFERENCE;
    }
    if &*plan.graph.element(id).kind == "junction" {
        return JUNCTION;
    }
    let state = states.get(id);
    match &state.artifact {
        ArtifactState::Cached(artifact) if artifact.is_success() => return CACHED,
        ArtifactState::Cached(_) => return FAILED,
        ArtifactState::Unknown => return ("waiting", BLUE),
        ArtifactState::Absent => {}
    }
    match state.sources {
        SourceState::Missing => ("fetch needed", RED),
        _ if states.is_buildable(id) => ("buildable", Style::color(32)),
        _ => ("waiting", BLUE),
    }
}

/// A mapping of texts.
fn pairs<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Node {
    let mut mapping = Mapping::new();
    for (name, value) in entries {
        // Resolved values keep the white space that is around them.
        mapping.insert(name, Value::Scalar(value.into()).into());
    }
    Node::mapping(mapping)
}

fn mapping<'a>(entries: impl Iterator<Item = (&'a str, &'a KeyValue)>) -> Node {
    let mut mapping = Mapping::new();
    for (name, value) in entries {
        mapping.insert(name, node(value));
    }
    Node::mapping(mapping)
}

/// A value as YAML.
fn node(value: &KeyValue) -> Node {
    match value {
        // As Python writes it: what reads bst's answer expects this word.
        KeyValue::Null => Node::scalar("None"),
        KeyValue::Bool(truth) => Node::scalar(if *truth { "True" } else { "False" }),
        KeyValue::Integer(number) => Node::scalar(number.to_string()),
        KeyValue::Text(text) => Value::Scalar(text.as_str().into()).into(),
        KeyValue::List(items) => Node::sequence(items.iter().map(node).collect()),
        KeyValue::Object(entries) => mapping(entries.iter().map(|(name, value)| (name.as_str(), value))),
        KeyValue::Node(node) => node.clone(),
    }
}
