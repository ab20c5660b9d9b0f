//! Which artifact and source servers each project uses.
//!
//! What the command line names comes first, else what the user's configuration says of the project, else what it says
//! in general; then follow the servers that the project itself and the projects above it recommend, unless one of the
//! former says that they are not wanted.

use crate::args::command::{Contact, Remotes};
use crate::exit::Failure;
use crate::settings::remote::{RemoteExecution, RemoteReader, RemoteSpec, Role};
use crate::settings::resolve::Settings;
use crate::settings::user::{self, CacheServers};
use bourn_project::{ElementGraph, Project, ProjectId};
use bourn_remote::ANY_PROJECT;
use bourn_yaml::{Diagnostic, Diagnostics, Files, Node};
use indexmap::IndexMap;
use std::path::Path;

/// Servers by name of project.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers {
    /// For artifacts.
    pub(crate) artifacts: IndexMap<String, Vec<RemoteSpec>>,
    /// For sources.
    pub(crate) sources: IndexMap<String, Vec<RemoteSpec>>,
}

impl Servers {
    /// Finds the servers of every project of a graph.
    ///
    /// # Errors
    /// Declarations that cannot be read.
    pub(crate) fn resolve(
        settings: &Settings,
        files: &Files,
        graph: &ElementGraph,
        remotes: &Remotes,
        contact: Contact,
    ) -> Result<Servers, Failure> {
        let mut servers = Servers::default();
        // Shells leave `~` alone in the middle of a word.
        let whole = |named: &[RemoteSpec]| -> Vec<RemoteSpec> {
            named.iter().map(|spec| spec.expanded(&settings.environment)).collect()
        };
        let (named_artifacts, named_sources) = (whole(&remotes.artifacts), whole(&remotes.sources));
        let user = &settings.user;
        let loaded = graph.projects.iter().enumerate();
        let mut projects: Vec<(&str, Option<ProjectId>)> =
            loaded.map(|(at, project)| (project.name.as_str(), Some(ProjectId(at as u32)))).collect();
        if projects.is_empty() {
            // Artifacts that are named belong to projects of which nothing is known but their names.
            projects.extend(user.projects.keys().map(|name| (name.as_str(), None)));
            projects.push((ANY_PROJECT, None));
        }
        let artifacts = Asked {
            settings,
            files,
            graph,
            key: "artifacts",
            named: &named_artifacts,
            ignore: remotes.ignore_project_artifacts,
            general: &user.artifacts,
            declared: |project| project.artifact_caches.as_ref(),
        };
        let sources = Asked {
            key: "source-caches",
            named: &named_sources,
            ignore: remotes.ignore_project_sources,
            general: &user.source_caches,
            declared: |project| project.source_caches.as_ref(),
            ..artifacts
        };
        for (name, id) in projects {
            if matches!(contact, Contact::Artifacts | Contact::Both) {
                servers.artifacts.insert(name.to_owned(), artifacts.servers(name, id)?);
            }
            if matches!(contact, Contact::Sources | Contact::Both) {
                servers.sources.insert(name.to_owned(), sources.servers(name, id)?);
            }
        }
        Ok(servers)
    }
}

/// One kind of servers, and what the user said about it.
struct Asked<'a> {
    settings: &'a Settings,
    files: &'a Files,
    graph: &'a ElementGraph,
    key: &'static str,
    named: &'a [RemoteSpec],
    ignore: bool,
    general: &'a CacheServers,
    declared: fn(&Project) -> Option<&Node>,
}

impl Asked<'_> {
    /// The servers of a project.
    fn servers(&self, name: &str, id: Option<ProjectId>) -> Result<Vec<RemoteSpec>, Failure> {
        if self.ignore && !self.named.is_empty() {
            return Ok(self.named.to_vec());
        }
        let reader = RemoteReader { files: self.files, environment: &self.settings.environment, base: None };
        let special = match self.settings.user.project(name) {
            Some(node) => user::servers(&reader, node, self.key)?,
            None => CacheServers::default(),
        };
        let chosen = [self.named, &special.servers, &self.general.servers];
        let mut servers = chosen.into_iter().find(|list| !list.is_empty()).unwrap_or_default().to_vec();
        if self.ignore || special.override_projects || self.general.override_projects {
            return Ok(servers);
        }
        let mut recommended = Vec::new();
        let mut next = id;
        while let Some(id) = next {
            let project = self.graph.project(id);
            let mut own = self.recommended(project)?;
            own.append(&mut recommended);
            recommended = own;
            next = project.parent;
        }
        for server in recommended {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        Ok(servers)
    }

    /// Those that a project recommends itself.
    fn recommended(&self, project: &Project) -> Result<Vec<RemoteSpec>, Failure> {
        let Some(node) = (self.declared)(project) else { return Ok(Vec::new()) };
        Ok(read(self.settings, self.files, project, node).collect::<Result<_, _>>()?)
    }
}

/// Reads the servers that a project recommends.
fn read<'a>(
    settings: &'a Settings,
    files: &'a Files,
    project: &'a Project,
    node: &'a Node,
) -> impl Iterator<Item = Result<RemoteSpec, Diagnostic>> + 'a {
    let base: &Path = &project.directory;
    let reader = RemoteReader { files, environment: &settings.environment, base: Some(base) };
    let nodes = match node.items() {
        Some(items) => items,
        None => std::slice::from_ref(node),
    };
    nodes.iter().map(move |node| reader.spec(node, Role::Cache))
}

/// The services of remote execution for what is started in the first project of a graph. Servers that any of its
/// projects recommends are checked too, also where nobody is going to speak to them.
///
/// # Errors
/// All declarations that cannot be read.
pub(crate) fn execution(
    settings: &Settings,
    files: &Files,
    graph: &ElementGraph,
) -> Result<Option<RemoteExecution>, Diagnostics> {
    let mut wrong = Vec::new();
    for project in &graph.projects {
        for node in [&project.artifact_caches, &project.source_caches].into_iter().flatten() {
            wrong.extend(read(settings, files, project, node).filter_map(Result::err));
        }
    }
    let project = graph.projects.first().map_or("", |project| &*project.name);
    let reader = RemoteReader { files, environment: &settings.environment, base: None };
    match settings.user.execution_for(&reader, project) {
        Ok(execution) if wrong.is_empty() => return Ok(execution),
        Ok(_) => {}
        Err(error) => wrong.push(error),
    }
    Err(Diagnostics(wrong))
}
