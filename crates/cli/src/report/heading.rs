//! What is said before the jobs of a session start: what is built, how, and from what.

use crate::exit::Failure;
use crate::report::element::ElementFormat;
use crate::report::line::INDENT;
use crate::report::pipeline::Printer;
use crate::report::style::{CONTENT, FORMAT, Painter};
use crate::report::summary::push_values;
use crate::settings::remote::{RemoteExecution, RemoteSpec};
use crate::settings::resolve::Settings;
use crate::settings::servers::Servers;
use bourn_project::{ElementId, KindOrigin, Project, ProjectId};
use indexmap::IndexMap;
use std::path::Path;

/// What a heading is made of.
pub(crate) struct Heading<'a> {
    /// How things are done.
    pub(crate) settings: &'a Settings,
    /// Whether the build plan is strict.
    pub(crate) strict: bool,
    /// The elements.
    pub(crate) printer: &'a Printer<'a>,
    /// The targets.
    pub(crate) targets: &'a [ElementId],
    /// All elements below the targets, in the order they are listed.
    pub(crate) elements: &'a [ElementId],
    /// Servers of every project.
    pub(crate) servers: &'a Servers,
    /// The services of remote execution.
    pub(crate) execution: Option<&'a RemoteExecution>,
}

impl Heading<'_> {
    /// The text.
    ///
    /// # Errors
    /// The element format cannot be read; what a source says of where it comes from.
    pub(crate) fn render(&self) -> Result<String, Failure> {
        let painter = self.printer.painter;
        let mut out = String::from("\n");
        let version = format!("BuildStream Version {}\n", crate::COMPATIBLE_VERSION);
        painter.push(&mut out, &version, CONTENT.bold());
        push(&mut out, &self.session(), 1, painter);
        painter.push(&mut out, "\nUser Configuration\n", CONTENT.bold());
        push(&mut out, &self.configuration(), 1, painter);
        let remote = self.remote_execution();
        if !remote.is_empty() {
            painter.push(&mut out, "\nRemote Execution Configuration\n", CONTENT.bold());
            push(&mut out, &remote, 1, painter);
        }
        out.push('\n');
        for at in 0..self.printer.plan.graph.projects.len() {
            self.push_project(&mut out, ProjectId(at as u32));
        }
        painter.push(&mut out, "Pipeline\n", CONTENT.bold());
        let format = &self.settings.user.logging.element_format;
        let format = ElementFormat::parse(format)
            .map_err(|text| Failure::app(format!("logging.element-format: {text}")))?;
        out.push_str(&self.printer.render(self.elements, &format)?);
        out.push('\n');
        painter.push(&mut out, &format!("{}\n", "=".repeat(79)), FORMAT);
        Ok(out)
    }

    fn session(&self) -> Vec<(String, String)> {
        let graph = &self.printer.plan.graph;
        let start = jiff::Zoned::now().strftime("%A, %d-%m-%Y at %H:%M:%S").to_string();
        let mut values = vec![("Session Start".to_owned(), start)];
        if let Some(project) = graph.projects.first() {
            let text = format!("{} ({})", project.name, project.directory.display());
            values.push(("Project".to_owned(), text));
        }
        let targets: Vec<&str> = self.targets.iter().map(|id| &*graph.element(*id).name).collect();
        values.push(("Targets".to_owned(), targets.join(", ")));
        values
    }

    fn configuration(&self) -> Vec<(String, String)> {
        let user = &self.settings.user;
        let file = match &user.origin {
            Some(path) => path.display().to_string(),
            None => "Default Configuration".to_owned(),
        };
        let mut values = vec![
            ("Configuration File", file),
            ("Cache Directory", user.cachedir.display().to_string()),
            ("Log Files", user.logdir.display().to_string()),
            ("Source Mirrors", user.sourcedir.display().to_string()),
            ("Build Area", self.settings.build_directory().display().to_string()),
            ("Strict Build Plan", if self.strict { "Yes" } else { "No" }.to_owned()),
            ("Maximum Fetch Tasks", user.fetchers.to_string()),
            ("Maximum Build Tasks", user.builders.to_string()),
            ("Maximum Push Tasks", user.pushers.to_string()),
            ("Maximum Network Retries", user.network_retries.to_string()),
        ];
        if let Some(service) = &user.storage_service {
            values.push(("Cache Storage Service", address(service)));
        }
        values.into_iter().map(|(title, value)| (title.to_owned(), value)).collect()
    }

    fn remote_execution(&self) -> Vec<(String, String)> {
        let Some(services) = self.execution else { return Vec::new() };
        let storage = services.storage.as_ref().or(self.settings.user.storage_service.as_ref());
        let all = [
            ("Execution Service", services.execution.as_ref()),
            ("Storage Service", storage),
            ("Action Cache Service", services.action_cache.as_ref()),
        ];
        all.into_iter().filter_map(|(title, service)| Some((title.to_owned(), address(service?)))).collect()
    }

    fn push_project(&self, out: &mut String, id: ProjectId) {
        let painter = self.printer.painter;
        let project = self.printer.plan.graph.project(id);
        painter.push(out, "Project", CONTENT.bold());
        painter.push(out, ": ", FORMAT.bold());
        painter.push(out, &project.name, CONTENT.bold());
        out.push('\n');
        if let Some(junction) = &project.junction {
            push(out, &[("Junction path".to_owned(), junction.clone())], 1, painter);
        }
        out.push('\n');
        let options: Vec<_> =
            project.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.push_section(out, "Project Options", &options);
        let [elements, sources] = self.kinds(id);
        self.push_section(out, "Element Plugins", &elements);
        self.push_section(out, "Source Plugins", &sources);
        self.push_servers(out, "Artifact cache servers", &self.servers.artifacts, project);
        self.push_servers(out, "Source cache servers", &self.servers.sources, project);
    }

    fn push_section(&self, out: &mut String, title: &str, values: &[(String, String)]) {
        if values.is_empty() {
            return;
        }
        self.printer.painter.push(out, &format!("{INDENT}{title}\n"), FORMAT);
        push(out, values, 2, self.printer.painter);
        out.push('\n');
    }

    fn push_servers(
        &self,
        out: &mut String,
        title: &str,
        servers: &IndexMap<String, Vec<RemoteSpec>>,
        project: &Project,
    ) {
        let Some(servers) = servers.get(&project.name).filter(|servers| !servers.is_empty()) else { return };
        let painter = self.printer.painter;
        painter.push(out, &format!("{INDENT}{title}\n"), FORMAT);
        for server in servers {
            painter.push(out, "      * ", FORMAT);
            let indent = format!("\n{}", INDENT.repeat(2));
            painter.push(out, &server.to_string().replace('\n', &indent), CONTENT);
            out.push('\n');
        }
        out.push('\n');
    }

    /// The kinds of elements and sources that a project uses, and where they come from.
    fn kinds(&self, id: ProjectId) -> [Vec<(String, String)>; 2] {
        let mut elements: IndexMap<&str, &KindOrigin> = IndexMap::new();
        let mut sources: IndexMap<&str, &KindOrigin> = IndexMap::new();
        for element in self.printer.plan.graph.elements.iter().filter(|element| element.project == id) {
            elements.entry(&element.kind).or_insert(&element.origin);
            for source in &element.sources {
                sources.entry(&source.kind).or_insert(&source.origin);
            }
        }
        let home = &self.printer.plan.graph.project(id).directory;
        let told = |kinds: IndexMap<&str, &KindOrigin>| {
            kinds.into_iter().map(|(kind, from)| (kind.to_owned(), origin(from, home))).collect()
        };
        [told(elements), told(sources)]
    }
}

fn push(out: &mut String, values: &[(String, String)], depth: usize, painter: Painter) {
    let painted: Vec<(String, String)> =
        values.iter().map(|(title, value)| (title.clone(), painter.paint(value, CONTENT))).collect();
    push_values(out, &painted, depth, painter);
}

fn address(spec: &RemoteSpec) -> String {
    match &spec.instance_name {
        Some(instance) => format!("{} (instance: {instance})", spec.url),
        None => spec.url.clone(),
    }
}

/// Where a kind comes from, in words; `home` is the directory of the project that uses it.
fn origin(origin: &KindOrigin, home: &Path) -> String {
    match origin {
        KindOrigin::Core => "core plugin".to_owned(),
        KindOrigin::Pip { package, version, .. } => format!("python package '{package}' {version}"),
        KindOrigin::File { directory, .. } => {
            let below = directory.strip_prefix(home).unwrap_or(directory);
            format!("project directory: {}", below.display())
        }
    }
}
