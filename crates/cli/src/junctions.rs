//! Projects reached through junctions: their sources are fetched like those of any element, out of source caches first,
//! and laid out once under the key of these sources.
//!
//! `CACHEDIR/bourn/junctions/KEY` appears whole or not at all; a directory that is there is complete.

use crate::args::command::Contact;
use crate::exit::Failure;
use crate::expiry;
use crate::invocation::conclude;
use crate::settings::remote::RemoteSpec;
use crate::settings::resolve::Settings;
use crate::settings::servers::Servers;
use crate::signals;
use crate::tree;
use crate::watch::Watch;
use crate::wire;
use crate::world::Loader;
use bourn_build::control::Control;
use bourn_build::event::MessageKind;
use bourn_build::fetch::Fetch;
use bourn_build::session::Session;
use bourn_plan::Plan;
use bourn_project::{Element, ElementGraph, ElementId, JunctionNeed, KindOrigin, SandboxConfig};
use bourn_reapi::services::ExportOptions;
use bourn_reapi::{Remotes, Services};
use bourn_remote::{ANY_PROJECT, Caches, Refused};
use bourn_yaml::{Mapping, Node, Provenance};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the project of a junction is, if it was staged before.
pub(crate) fn staged(loader: &Loader<'_>, need: &JunctionNeed) -> Option<PathBuf> {
    let plan = plan(loader, need).ok()?;
    let directory = place(loader.invocation.settings, plan.element(JUNCTION).sources_key.as_ref()?);
    if !directory.is_dir() {
        return None;
    }
    expiry::touch_junction(&directory);
    Some(directory)
}

fn plan(loader: &Loader<'_>, need: &JunctionNeed) -> Result<Plan, Failure> {
    Ok(bourn_plan::plan(Arc::new(graph_of(need)), &loader.kinds, &loader.local)?)
}

fn place(settings: &Settings, key: &str) -> PathBuf {
    settings.own_directory().join("junctions").join(key)
}

/// Fetches the sources of a junction and lays them out. The directory.
///
/// # Errors
/// The junction has no ref; its sources cannot be fetched; the cache cannot be written.
pub(crate) fn stage(
    loader: &Loader<'_>,
    need: &JunctionNeed,
    sources: &mut SourceCaches,
) -> Result<PathBuf, Failure> {
    let invocation = loader.invocation;
    let plan = plan(loader, need)?;
    let Some(key) = &plan.element(JUNCTION).sources_key else { return Err(without_ref(&plan, need)) };
    let options = loader.options(&plan.graph)?;
    let control = Control::sharing(loader.services.executor.clone(), loader.cancel.clone());
    let watch = Watch::new(invocation);
    let remotes = sources.of(loader, &plan.graph, need, &control)?;
    let services = Services { remotes, ..loader.services.clone() };
    let session = Session::new(&plan, invocation.files, &services, &options, &watch, &control);
    let fetch = || bourn_build::run::fetch(&session, &[JUNCTION], Fetch::Staged);
    let outcome = signals::steered(invocation, &control, fetch)?;
    conclude(&outcome)?;
    let staged = session.states().get(JUNCTION).sources.staged();
    let digest = staged.ok_or_else(|| Failure::stream(format!("Junction {} was not staged", need.name)))?;
    publish(loader, &digest, &place(invocation.settings, key))
}

/// Source servers that junctions were fetched from, so that each is spoken to once.
#[derive(Default)]
pub(crate) struct SourceCaches(Vec<(Vec<RemoteSpec>, Arc<Caches>)>);

impl SourceCaches {
    /// The source servers of the project that a junction is in, if there are any. Those that cannot be used are left
    /// out: commands that speak to servers warn of them, and others can do without.
    fn of(
        &mut self,
        loader: &Loader<'_>,
        graph: &ElementGraph,
        need: &JunctionNeed,
        control: &Control,
    ) -> Result<Option<Arc<dyn Remotes>>, Failure> {
        let invocation = loader.invocation;
        let (settings, files) = (invocation.settings, invocation.files);
        let servers = Servers::resolve(settings, files, graph, &invocation.remotes, Contact::Sources)?;
        let project = &graph.project(need.project).name;
        let Some(wanted) = servers.sources.get(project).filter(|wanted| !wanted.is_empty()) else {
            return Ok(None);
        };
        if let Some((_, caches)) = self.0.iter().find(|(specs, _)| specs == wanted) {
            return Ok(Some(caches.clone()));
        }
        let sources = [(ANY_PROJECT.to_owned(), wanted.clone())].into_iter().collect();
        let servers = Servers { artifacts: Default::default(), sources };
        let caches = Arc::new(wire::caches(settings, &loader.services, &servers)?);
        let refused = signals::steered(invocation, control, || caches.refused(control.cancel()))?;
        for Refused { url, error } in refused {
            let text = format!("Source server {url} cannot be used: {}", error.message);
            invocation.reporter.message(MessageKind::Status, &text, None, None);
        }
        self.0.push((wanted.clone(), caches.clone()));
        Ok(Some(caches))
    }
}

/// The one element of the graph that a junction is fetched with.
const JUNCTION: ElementId = ElementId(0);

/// A graph that holds nothing but the junction element.
fn graph_of(need: &JunctionNeed) -> ElementGraph {
    let at = need.sources.first().map_or(Provenance::SYNTHETIC, |source| source.at);
    let sandbox = SandboxConfig {
        build_os: String::new(),
        build_arch: String::new(),
        build_uid: None,
        build_gid: None,
        remote_apis_socket: None,
        remote_apis_socket_update: false,
    };
    let junction = Element {
        project: need.project,
        name: need.element.as_str().into(),
        kind: "junction".into(),
        origin: KindOrigin::Core,
        description: None,
        dependencies: Vec::new(),
        sources: need.sources.clone(),
        variables: Default::default(),
        environment: Default::default(),
        environment_nocache: Vec::new().into(),
        config: Node::mapping(Mapping::new()),
        public: Node::mapping(Mapping::new()),
        sandbox: Arc::new(sandbox),
        at,
    };
    ElementGraph {
        projects: need.projects.to_vec(),
        elements: vec![junction],
        targets: vec![JUNCTION],
        ..ElementGraph::default()
    }
}

fn without_ref(plan: &Plan, need: &JunctionNeed) -> Failure {
    let text = format!("Subproject has no ref for junction: {}", need.name);
    let wrong = bourn_yaml::Diagnostic::load("subproject-inconsistent", text)
        .hint(format!("track it first: source track {}", need.name));
    let missing = plan.element(JUNCTION).sources.iter().find(|source| !source.source.is_resolved());
    let at = need.at.or(missing.map(|source| source.declaration.at));
    wrong.at(at.unwrap_or(Provenance::SYNTHETIC)).into()
}

/// Exports the tree beside its place and moves it there. Another process may have been faster.
fn publish(loader: &Loader<'_>, digest: &bourn_reapi::Digest, place: &Path) -> Result<PathBuf, Failure> {
    let parent = place.parent().unwrap_or(place);
    let fail = |error: std::io::Error| Failure::io(&error, "staging the junction in", place);
    std::fs::create_dir_all(parent).map_err(fail)?;
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.{}", std::process::id()));
    remove(&temporary).map_err(fail)?;
    loader.services.cas.export_tree(digest, &temporary, &ExportOptions::default())?;
    match std::fs::rename(&temporary, place) {
        Err(_) if place.is_dir() => remove(&temporary).map_err(fail)?,
        renamed => renamed.map_err(fail)?,
    }
    Ok(place.to_path_buf())
}

fn remove(directory: &Path) -> std::io::Result<()> {
    match tree::remove(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
