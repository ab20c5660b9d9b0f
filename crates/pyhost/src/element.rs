//! Element kinds that are Python plugins.

use crate::build::PythonBuild;
use crate::host::{Heading, Host, HostError, Listener, Within};
use crate::wire;
use bourn_plan::assembly::Assembly;
use bourn_plan::closure::{Edges, Walk};
use bourn_plan::{Description, ElementContext, ElementKind, Warning};
use bourn_project::{Dependency, ElementGraph, ElementId};
use bourn_reapi::artifact::normal_name;
use bourn_yaml::code::intern;
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Files, Node, Provenance};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// An element kind defined by `DIRECTORY/KIND.py`.
#[derive(Debug)]
pub struct PythonElement {
    /// Where its class lives.
    pub host: Arc<Host>,
    /// Directory of the plugin.
    pub directory: PathBuf,
    /// Its kind.
    pub kind: String,
    /// The files of the load, for places in messages.
    pub files: Files,
}

impl ElementKind for PythonElement {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let call = self.call("element-describe", element);
        let mut listener = Loading::of(element, &self.files);
        let answer =
            self.host.call(&call, &mut listener).map_err(|error| refused(element, error, &self.files))?;
        let remarks = listener.remarks;
        self.read(element, &answer, call, remarks)
    }

    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        let mut listener = Loading::of(element, &self.files);
        let answer = self.host.ask(&self.call("element-script", element), &mut listener).ok()?;
        answer.as_str().map(str::to_owned)
    }
}

impl PythonElement {
    fn call(&self, operation: &str, element: ElementContext<'_>) -> Json {
        json!({
            "call": operation,
            "plugin": {"directory": self.directory, "kind": self.kind, "group": "elements"},
            "element": given(element, element.id, &self.files),
            "config": wire::node(&element.element().config, &self.files),
            "dependencies": self.dependencies(element),
        })
    }

    /// Direct build dependencies with each of their configurations.
    fn dependencies(&self, element: ElementContext<'_>) -> Vec<Json> {
        let one = |dependency: &Dependency| -> Vec<Json> {
            let other = given(element, dependency.element, &self.files);
            if dependency.config.is_empty() {
                return vec![json!([other, &*dependency.path, null])];
            }
            let each = dependency.config.iter();
            each.map(|config| json!([other, &*dependency.path, wire::node(config, &self.files)])).collect()
        };
        element.build_dependencies().flat_map(one).collect()
    }

    fn read(
        &self,
        element: ElementContext<'_>,
        answer: &Json,
        call: Json,
        remarks: Vec<Warning>,
    ) -> Result<Description, Diagnostics> {
        let traits = &answer["traits"];
        let is = |name: &str| traits[name].as_bool().unwrap_or_default();
        forbidden(element, &is)?;
        Ok(Description {
            unique_key: wire::key(&answer["key"]),
            assembly: Assembly {
                foreign: Some(Arc::new(PythonBuild {
                    host: self.host.clone(),
                    kind: self.kind.clone(),
                    call,
                    files: self.files.clone(),
                })),
                ..Assembly::default()
            },
            artifact_version: traits["artifact-version"].as_i64().unwrap_or_default(),
            runs_commands: is("runs-commands"),
            strict_rebuild: is("strict-rebuild"),
            has_artifact: is("has-artifact"),
            source_element: number_of(answer.get("source-element")).filter(|of| *of != element.id),
            remarks,
        })
    }
}

/// What the plugin's class forbids.
fn forbidden(element: ElementContext<'_>, is: &dyn Fn(&str) -> bool) -> Result<(), Diagnostics> {
    let kind = &element.element().kind;
    let (no_runtime, no_build) = (is("forbids-runtime-dependencies"), is("forbids-build-dependencies"));
    let runtime = element.runtime_dependencies().next().is_some();
    let build = element.build_dependencies().next().is_some();
    let broken = if no_runtime && no_build && (runtime || build) {
        Some(("element-forbidden-depends", "Dependencies"))
    } else if no_runtime && runtime {
        Some(("element-forbidden-rdepends", "Runtime dependencies"))
    } else if no_build && build {
        Some(("element-forbidden-bdepends", "Build dependencies"))
    } else if is("forbids-sources") && !element.element().sources.is_empty() {
        Some(("element-forbidden-sources", "Sources"))
    } else {
        None
    };
    match broken {
        None => Ok(()),
        Some((code, what)) => {
            let message = format!("{what} are forbidden for '{kind}' elements");
            Err(Diagnostic::new(Domain::Element, code, message).at(element.element().at).into())
        }
    }
}

/// What a plugin object is made of.
fn given(context: ElementContext<'_>, id: ElementId, files: &Files) -> Json {
    let element = context.graph.element(id);
    let project = context.graph.project(element.project);
    json!({
        "id": id.0,
        "name": &*element.name,
        "kind": &*element.kind,
        "normal-name": normal_name(&element.name),
        "project-name": project.name,
        "project-directory": project.directory,
        "fatal-warnings": project.fatal_warnings,
        "provenance": wire::position(element.at, files),
    })
}

fn refused(element: ElementContext<'_>, error: HostError, files: &Files) -> Diagnostics {
    let dependencies = element.element().dependencies.iter().flat_map(|dependency| &dependency.config);
    let nodes: Vec<&Node> = [&element.element().config].into_iter().chain(dependencies).collect();
    let domain = match error.domain.as_deref() {
        Some("load") => Domain::Load,
        Some("plugin") => Domain::Plugin,
        _ => Domain::Element,
    };
    let code = error.reason.as_deref().map_or("", intern);
    let (at, message) = wire::blamed(&error.message, element.element().at, &nodes, files);
    let mut diagnostic = Diagnostic::new(domain, code, message).at(at);
    diagnostic.detail = error.detail;
    diagnostic.into()
}

/// Answers what plugins ask while the project is loaded: the graph, and nothing of any cache.
pub(crate) struct Loading<'a> {
    pub(crate) graph: &'a ElementGraph,
    pub(crate) edges: &'a Edges,
    pub(crate) files: &'a Files,
    /// The element that speaks.
    pub(crate) id: ElementId,
    /// Where it is.
    pub(crate) at: Provenance,
    /// What it said.
    pub(crate) remarks: Vec<Warning>,
}

impl<'a> Loading<'a> {
    fn of(element: ElementContext<'a>, files: &'a Files) -> Loading<'a> {
        let ElementContext { graph, edges, id } = element;
        Loading { graph, edges, files, id, at: element.element().at, remarks: Vec::new() }
    }

    pub(crate) fn element(&self, arguments: &Json) -> Result<ElementId, HostError> {
        let known = number_of(arguments.get("element"));
        known
            .filter(|id| (id.0 as usize) < self.graph.elements.len())
            .ok_or_else(|| HostError { message: "no such element".into(), ..HostError::default() })
    }

    fn dependencies(&self, id: ElementId, arguments: &Json) -> Vec<ElementId> {
        let recurse = arguments["recurse"].as_bool().unwrap_or(true);
        let edges = self.edges;
        let mut walk = Walk::default();
        if let Some(scope) = arguments["scope"].as_str() {
            return self.within(scope, id, recurse);
        }
        match arguments["selection"].as_array() {
            None if recurse => edges.build(id, &mut walk).to_vec(),
            None => edges.direct_build(id).collect(),
            Some(selection) => {
                let ids = selection.iter().filter_map(Json::as_u64).filter_map(|id| u32::try_from(id).ok());
                let from: Vec<ElementId> = ids.map(ElementId).collect();
                if recurse { edges.runtime(from, &mut walk).to_vec() } else { from }
            }
        }
    }
}

impl Loading<'_> {
    /// What a scope of bst's holds. What an element needs to run ends with the element, unless only what it names is
    /// asked for.
    fn within(&self, scope: &str, id: ElementId, recurse: bool) -> Vec<ElementId> {
        let edges = self.edges;
        let mut walk = Walk::default();
        let mut found: Vec<ElementId> = Vec::new();
        if matches!(scope, "BUILD" | "ALL") {
            match recurse {
                true => found.extend(edges.build(id, &mut walk)),
                false => found.extend(edges.direct_build(id)),
            }
        }
        if matches!(scope, "RUN" | "ALL") {
            match recurse {
                true => found.extend(edges.runtime([id], &mut walk)),
                false => found.extend(edges.direct_runtime(id)),
            }
        }
        let mut seen = HashSet::new();
        found.retain(|id| seen.insert(*id));
        found
    }
}

/// An element that the plugin names.
fn number_of(id: Option<&Json>) -> Option<ElementId> {
    id.and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok()).map(ElementId)
}

impl Listener for Loading<'_> {
    fn note(&mut self, kind: &str, text: &str, detail: Option<&str>) {
        if let Some(weight) = wire::weight(kind) {
            // Which warnings are fatal is known to the plugin, and the text has the token already.
            let (message, detail) = (text.to_owned(), detail.map(str::to_owned));
            let speaker = Some(self.graph.full_name(self.id));
            self.remarks.push(Warning { weight, token: None, message, detail, at: self.at, speaker });
        }
    }

    fn activity(&mut self, _: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        within(self)
    }

    fn ask(&mut self, question: &str, arguments: &Json) -> Result<Json, HostError> {
        let id = self.element(arguments)?;
        let context = ElementContext { graph: self.graph, edges: self.edges, id };
        let element = context.element();
        Ok(match question {
            "variable" => json!(context.variable(arguments["name"].as_str().unwrap_or_default())),
            "environment" => Json::Object(
                element.environment.iter().map(|(k, v)| (k.to_string(), json!(v.as_str()))).collect(),
            ),
            "public" => {
                let domain = arguments["domain"].as_str().unwrap_or_default();
                element.public.get(domain).map_or(Json::Null, |node| wire::node(node, self.files))
            }
            // Their refs are not known before the sources are configured.
            "sources" => element.sources.iter().map(|source| json!({"kind": &*source.kind})).collect(),
            "dependencies" => {
                let found = self.dependencies(id, arguments);
                found.into_iter().map(|other| given(context, other, self.files)).collect()
            }
            "search" => {
                let name = arguments["name"].as_str().unwrap_or_default();
                let found = self.dependencies(id, &json!({}));
                let same = found.into_iter().find(|other| &*self.graph.element(*other).name == name);
                same.map_or(Json::Null, |other| given(context, other, self.files))
            }
            _ => {
                let message = format!("`{question}` cannot be answered while the project is loaded");
                return Err(HostError { message, ..HostError::default() });
            }
        })
    }
}
