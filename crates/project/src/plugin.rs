//! Where kinds come from: `plugins:` of project.conf, and what is built in.

use crate::kinds::{Installed, KindOrigin};
use crate::name::{Leads, check_path};
use crate::requirement::Requirement;
use crate::session::{Attempt, ProjectIndex, Session, Stop};
use bourn_yaml::look::PlaceKind;
use bourn_yaml::{Diagnostic, Domain, Files, Node, Provenance, Text};
use indexmap::IndexMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a kind is a kind of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum PluginType {
    Element = 0,
    Source = 1,
    SourceMirror = 2,
}

impl fmt::Display for PluginType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PluginType::Element => "element",
            PluginType::Source => "source",
            PluginType::SourceMirror => "source-mirror",
        })
    }
}

/// The origins that a project declares.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    list: Vec<Origin>,
    /// By type of plugin: kinds, the origin of each and whether it may be deprecated.
    kinds: [IndexMap<Text, (usize, bool)>; 3],
}

#[derive(Clone, Debug)]
struct Origin {
    place: OriginPlace,
    at: Provenance,
}

#[derive(Clone, Debug)]
enum OriginPlace {
    /// A directory of the project.
    Local(String),
    /// A Python package.
    Pip(String),
    /// Whatever the project behind a junction says.
    Junction(String),
}

#[derive(Clone, Copy)]
enum OriginType {
    Local,
    Pip,
    Junction,
}

const ORIGINS: [(&str, OriginType); 3] =
    [("local", OriginType::Local), ("pip", OriginType::Pip), ("junction", OriginType::Junction)];

const LISTS: [(&str, PluginType); 3] = [
    ("elements", PluginType::Element),
    ("sources", PluginType::Source),
    ("source-mirrors", PluginType::SourceMirror),
];

/// A diagnostic of plugin loading.
fn plugin_error(code: &'static str, message: String) -> Diagnostic {
    Diagnostic::new(Domain::Plugin, code, message)
}

fn version_conflict(plugin: PluginType, kind: &str) -> Diagnostic {
    let message = format!("Version conflict encountered while loading {plugin} plugin '{kind}'");
    plugin_error("package-version-conflict", message)
}

impl Origins {
    /// Reads `plugins:` of a project whose directory is `root`.
    ///
    /// # Errors
    /// `invalid-data`, those of paths, `duplicate-plugin`.
    pub(crate) fn read(files: &Files, config: &Node, root: &Path) -> Result<Origins, Diagnostic> {
        let mut origins = Origins::default();
        for node in config.opt_sequence("plugins")?.unwrap_or_default() {
            let place = place(files, node, root)?;
            let allow = node.opt_bool("allow-deprecated")?.unwrap_or(false);
            origins.list.push(Origin { place, at: node.at });
            for (key, plugin) in LISTS {
                for item in node.opt_sequence(key)?.unwrap_or_default() {
                    origins.add(plugin, item, allow)?;
                }
            }
        }
        Ok(origins)
    }

    fn add(&mut self, plugin: PluginType, item: &Node, allow: bool) -> Result<(), Diagnostic> {
        let (kind, allow) = match (item.text(), item.entries()) {
            (Some(kind), _) => (kind, allow),
            (None, Some(_)) => {
                item.validate_keys(&["kind", "allow-deprecated"])?;
                (item.get_str("kind")?, item.opt_bool("allow-deprecated")?.unwrap_or(allow))
            }
            (None, None) => {
                let message = "Plugin is not specified as a string or a dictionary";
                return Err(Diagnostic::load("invalid-data", message).at(item.at));
            }
        };
        let origin = self.list.len() - 1;
        let known = self.kinds[plugin as usize].insert(kind.into(), (origin, allow));
        match known {
            // Naming a kind twice in one list is nothing worse than untidy.
            Some((other, _)) if other != origin => {
                let message = format!("More than one {plugin} plugin registered as kind '{kind}'");
                let first = self.list[other].at;
                Err(plugin_error("duplicate-plugin", message)
                    .at(item.at)
                    .note(Some(first), "also from this origin"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the project says that a kind may be deprecated.
    pub(crate) fn allows_deprecated(&self, plugin: PluginType, kind: &str) -> bool {
        self.kinds[plugin as usize].get(kind).is_some_and(|(_, allow)| *allow)
    }

    fn of(&self, plugin: PluginType, kind: &str) -> Option<Origin> {
        let (origin, _) = self.kinds[plugin as usize].get(kind)?;
        Some(self.list[*origin].clone())
    }
}

fn place(files: &Files, node: &Node, root: &Path) -> Result<OriginPlace, Diagnostic> {
    let common = ["origin", "sources", "elements", "source-mirrors", "allow-deprecated"];
    let keys = |own| {
        let mut keys = vec![own];
        keys.extend(common);
        keys
    };
    match node.get_enum("origin", &ORIGINS)? {
        OriginType::Local => {
            node.validate_keys(&keys("path"))?;
            let path = node.get_scalar("path")?;
            let text = path.text().unwrap_or_default();
            check_path(files, text, path.at, root, Leads::Directory)?;
            Ok(OriginPlace::Local(text.to_owned()))
        }
        OriginType::Pip => {
            node.validate_keys(&keys("package-name"))?;
            Ok(OriginPlace::Pip(node.get_str("package-name")?.to_owned()))
        }
        OriginType::Junction => {
            node.validate_keys(&keys("junction"))?;
            Ok(OriginPlace::Junction(node.get_str("junction")?.to_owned()))
        }
    }
}

impl Session<'_, '_> {
    /// Announces a kind of elements that comes from the project's own files, the first time that it is met.
    pub(crate) fn announce(&mut self, project: ProjectIndex, kind: &Text) {
        let open = &mut self.projects[project];
        let Some(origin) = open.origins.of(PluginType::Element, kind) else { return };
        if matches!(origin.place, OriginPlace::Local(_)) && open.announced.insert(kind.clone()) {
            self.options.kinds.expect_element(kind);
        }
    }

    /// Where a kind comes from in a project. An error is given once, then it counts as known.
    pub(crate) fn origin(
        &mut self,
        project: ProjectIndex,
        plugin: PluginType,
        kind: &str,
        at: Provenance,
    ) -> Attempt<KindOrigin> {
        if let Some(found) = self.projects[project].found[plugin as usize].get(kind) {
            return found.clone().ok_or(Stop::Known);
        }
        let found = match self.declared_origin(project, plugin, kind) {
            Ok(Some(origin)) => Ok(origin),
            Ok(None) => self.built_in(project, plugin, kind, at),
            Err(stop) => Err(stop),
        };
        self.projects[project].found[plugin as usize].insert(kind.into(), found.as_ref().ok().cloned());
        found
    }

    /// The origin that was found for a kind before.
    pub(crate) fn known_origin(
        &self,
        project: ProjectIndex,
        plugin: PluginType,
        kind: &str,
    ) -> Option<&KindOrigin> {
        self.projects[project].found[plugin as usize].get(kind)?.as_ref()
    }

    fn built_in(
        &self,
        project: ProjectIndex,
        plugin: PluginType,
        kind: &str,
        at: Provenance,
    ) -> Attempt<KindOrigin> {
        if matches!(kind, "junction" | "link") && plugin == PluginType::Element
            || self.is_known(plugin, kind, &KindOrigin::Core)
        {
            return Ok(KindOrigin::Core);
        }
        let message = format!("No {plugin} plugin registered for kind '{kind}'");
        let declared = self.projects[project].origins.kinds[plugin as usize].keys().map(Text::as_str);
        let near = bourn_yaml::nearest::to(kind, declared);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "name it under `plugins:` of project.conf, in `{}` of its origin",
                LISTS[plugin as usize].0
            ),
        };
        Err(plugin_error("plugin-not-found", message).at(at).hint(hint).into())
    }

    fn is_known(&self, plugin: PluginType, kind: &str, origin: &KindOrigin) -> bool {
        let kinds = self.options.kinds;
        match plugin {
            PluginType::Element => kinds.element_defaults(kind, origin).is_some(),
            PluginType::Source => kinds.source_known(kind, origin),
            PluginType::SourceMirror => kinds.source_mirror_known(kind, origin),
        }
    }

    /// What `plugins:` says of a kind, `None` if nothing.
    fn declared_origin(
        &mut self,
        project: ProjectIndex,
        plugin: PluginType,
        kind: &str,
    ) -> Attempt<Option<KindOrigin>> {
        let Some(origin) = self.projects[project].origins.of(plugin, kind) else { return Ok(None) };
        match &origin.place {
            OriginPlace::Local(path) => {
                let directory = self.projects[project].directory.join(path);
                if !self.is_file(&directory.join(format!("{kind}.py"))) {
                    let message =
                        format!("Failed to load {plugin} plugin '{kind}': there is no {kind}.py in {path}");
                    return Err(plugin_error("", message).at(origin.at).into());
                }
                let package = match self.package_of(&directory, project) {
                    Some(told) if !told.1.is_empty() => Some(told),
                    told => self.recognised(plugin, kind, &directory).or(told),
                };
                Ok(Some(KindOrigin::File { directory, package }))
            }
            OriginPlace::Pip(package) => {
                Ok(Some(self.pip_origin(package, plugin, kind).map_err(|wrong| wrong.at(origin.at))?))
            }
            OriginPlace::Junction(junction) => {
                self.junction_origin(project, junction, plugin, kind, origin.at).map(Some)
            }
        }
    }

    /// The package and version of a plugin, told by its code. Files that cannot be read tell nothing.
    fn recognised(&self, plugin: PluginType, kind: &str, directory: &Path) -> Option<(String, String)> {
        let code = self.files.bytes(&directory.join(format!("{kind}.py"))).ok()?;
        match plugin {
            PluginType::Element => self.options.kinds.recognise_element(kind, &code),
            PluginType::Source => self.options.kinds.recognise_source(kind, &code),
            PluginType::SourceMirror => None,
        }
    }

    fn pip_origin(&self, text: &str, plugin: PluginType, kind: &str) -> Result<KindOrigin, Diagnostic> {
        let requirement = Requirement::parse(text).map_err(|why| {
            let message = format!("Malformed package-name '{text}' encountered: {why}");
            plugin_error("package-malformed-requirement", message)
        })?;
        let Requirement { package, specifier, .. } = &requirement;
        let versions = self.options.kinds.package_versions(package);
        // Bounds choose the version to act as, as a pin chooses what is installed. That one version is excluded makes no
        // other one be installed.
        let version = versions.iter().find(|version| requirement.bounds_admit(version));
        let version = version.filter(|version| requirement.admits(version));
        if let Some(version) = version {
            let origin = KindOrigin::Pip {
                package: package.clone(),
                specifier: specifier.clone(),
                version: version.clone(),
            };
            if self.is_known(plugin, kind, &origin) {
                return Ok(origin);
            }
        }
        if let Some(origin) = self.installed_origin(text, &requirement, plugin, kind)? {
            return Ok(origin);
        }
        Err(match version {
            Some(_) => {
                let message = format!("Pip package {text} does not contain a {plugin} plugin named '{kind}'");
                plugin_error("plugin-not-found", message)
            }
            None if versions.is_empty() => {
                let message =
                    format!("Failed to load {plugin} plugin '{kind}': package {package} is not installed");
                plugin_error("package-not-found", message)
                    .hint("install it for the python3 of your PATH, or reach its sources through a junction")
            }
            None => {
                let known = versions.join(", ");
                version_conflict(plugin, kind)
                    .detail(format!("{package} is known as {known}, but {specifier} is required"))
            }
        })
    }

    /// A kind of a package that is installed for the user's Python; `None` when the package is not.
    fn installed_origin(
        &self,
        text: &str,
        requirement: &Requirement,
        plugin: PluginType,
        kind: &str,
    ) -> Result<Option<KindOrigin>, Diagnostic> {
        let Requirement { package, specifier, .. } = requirement;
        let asked = self.options.kinds.installed(LISTS[plugin as usize].0, package, kind);
        let found = asked.map_err(|(why, detail)| {
            let message = format!("Failed to load {plugin} plugin '{kind}' of package {package}: {why}");
            let mut diagnostic = plugin_error("package-not-found", message);
            diagnostic.detail = detail;
            diagnostic
        })?;
        let Some(Installed { version, code }) = found else { return Ok(None) };
        if !requirement.admits(&version) {
            let detail = format!("{package} {version} is installed but {package} {specifier} is required");
            return Err(version_conflict(plugin, kind).detail(detail));
        }
        let directory = code.as_deref().and_then(Path::parent).map(Path::to_owned);
        match directory {
            Some(directory) if self.is_file(&directory.join(format!("{kind}.py"))) => {
                Ok(Some(KindOrigin::File { directory, package: Some((package.clone(), version)) }))
            }
            _ => {
                let message = format!("Pip package {text} does not contain a {plugin} plugin named '{kind}'");
                Err(plugin_error("plugin-not-found", message))
            }
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.place(path).is_ok_and(|(_, kind)| kind == PlaceKind::File)
    }

    fn junction_origin(
        &mut self,
        project: ProjectIndex,
        junction: &str,
        plugin: PluginType,
        kind: &str,
        at: Provenance,
    ) -> Attempt<KindOrigin> {
        let child = self.child(project, junction, Some(at))?;
        match self.declared_origin(child, plugin, kind) {
            Ok(Some(origin)) => Ok(origin),
            Ok(None) => {
                let name = &self.projects[child].name;
                let message = format!(
                    "project '{name}' referred to by junction '{junction}' does not declare a {plugin} plugin \
                     named: '{kind}'"
                );
                let declared = self.projects[child].origins.kinds[plugin as usize].keys().map(Text::as_str);
                let near = bourn_yaml::nearest::to(kind, declared);
                Err(plugin_error("junction-plugin-not-found", message).at(at).did_you_mean(near).into())
            }
            Err(Stop::Wrong(mut wrong)) => {
                for one in wrong.iter_mut().filter(|one| one.domain == Domain::Plugin) {
                    let name = &self.projects[child].name;
                    one.message = format!(
                        "Error loading {plugin} plugin '{kind}' from project '{name}' referred to by junction \
                         '{junction}': {}",
                        one.message
                    );
                    one.code = "junction-plugin-load-error";
                    let inner = std::mem::replace(&mut one.at, at.file.map(|_| at));
                    one.notes.push((inner, "declared here".to_owned()));
                }
                Err(Stop::Wrong(wrong))
            }
            Err(Stop::Known) => Err(Stop::Known),
        }
    }

    /// The Python package that a directory of a project belongs to, and its version; the version is empty where it
    /// cannot be told.
    fn package_of(&mut self, directory: &Path, project: ProjectIndex) -> Option<(String, String)> {
        if let Some(known) = self.packages.get(directory) {
            return known.clone();
        }
        let root = &self.projects[project].directory;
        let above = directory.ancestors().take_while(|path| path.starts_with(root));
        let found = above
            .map(Path::to_owned)
            .collect::<Vec<PathBuf>>()
            .iter()
            .find_map(|path| package_at(self.files, path));
        self.packages.insert(directory.to_owned(), found.clone());
        found
    }
}

/// The package whose files lie in a directory.
fn package_at(files: &Files, directory: &Path) -> Option<(String, String)> {
    let read = |name: &str| text_of(files, &directory.join(name));
    let value = |text: &str, key: &str, sign: char| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(sign))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    let (name, version) = if let Some(text) = read("PKG-INFO") {
        (value(&text, "Name", ':')?, value(&text, "Version", ':'))
    } else if let Some((name, version)) = read("pyproject.toml").and_then(|text| {
        let project = text.split("[project]").nth(1)?;
        let project = project.split("\n[").next()?;
        Some((value(project, "name", '=')?, value(project, "version", '=')))
    }) {
        (name, version)
    } else {
        let text = read("setup.cfg")?;
        let metadata = text.split("[metadata]").nth(1)?.split("\n[").next()?;
        (value(metadata, "name", '=')?, value(metadata, "version", '='))
    };
    let version = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.or_else(|| version_in_sources(files, directory)).unwrap_or_default();
    Some((crate::requirement::normalise(&name), version))
}

fn text_of(files: &Files, path: &Path) -> Option<String> {
    String::from_utf8(files.bytes(path).ok()?).ok()
}

/// The version that the modules of a package state themselves.
fn version_in_sources(files: &Files, directory: &Path) -> Option<String> {
    for parent in [directory.join("src"), directory.to_owned()] {
        for (name, _) in files.names(&parent).ok()? {
            for file in ["_version.py", "__init__.py"] {
                let Some(text) = text_of(files, &parent.join(&name).join(file)) else { continue };
                let found = text.lines().find_map(|line| {
                    let (key, value) = line.split_once(['=', ':'])?;
                    let key = key.trim().trim_matches('"');
                    matches!(key, "__version__" | "version")
                        .then(|| value.trim().trim_matches([',', '"', '\'']))
                });
                if let Some(found) = found.filter(|found| found.starts_with(|c: char| c.is_ascii_digit())) {
                    return Some(found.to_owned());
                }
            }
        }
    }
    None
}
