//! `project.conf`: read in two passes, so that what a junction needs is known before junctions are followed.

use crate::condition;
use crate::graph::RefStorage;
use crate::include::{Includes, Including, Ready};
use crate::junction::Junction;
use crate::kinds::KindOrigin;
use crate::name::{Leads, check_path, check_symbol};
use crate::option::{Options, Surroundings};
use crate::plugin::{Origins, PluginType};
use crate::read::Place;
use crate::refs;
use crate::session::{Attempt, ElementIndex, ProjectIndex, Session, Stop};
use crate::variable::{Template, expand_with};
use bourn_yaml::{Diagnostic, Mapping, Node, Provenance, Text, assert_fully_composited, compose};
use foldhash::{HashMap, HashSet};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file's name.
const CONF: &str = "project.conf";

/// How the values that every project.conf is composed onto are called in messages.
pub(crate) const DEFAULTS: &str = "projectconfig.yaml";

/// Version of BuildStream whose format is read.
const VERSION: (i64, i64) = (2, 8);

/// How many junctions may lead into each other.
const DEEPEST: usize = 100;

/// Keys that conditionals cannot set.
const RESTRICTED: [&str; 9] = [
    "min-version",
    "name",
    "element-path",
    "junctions",
    "defaults",
    "fatal-warnings",
    "ref-storage",
    "options",
    "plugins",
];

/// All keys.
const KEYS: [&str; 25] = [
    "min-version",
    "element-path",
    "variables",
    "environment",
    "environment-nocache",
    "split-rules",
    "elements",
    "plugins",
    "aliases",
    "name",
    "defaults",
    "artifacts",
    "options",
    "fail-on-overlap",
    "shell",
    "fatal-warnings",
    "ref-storage",
    "sandbox",
    "mirrors",
    "sources",
    "source-caches",
    "junctions",
    "source-provenance-attributes",
    "(@)",
    "(?)",
];

/// How far a project was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Enough for junctions and links.
    Partial,
    /// All of it, or on the way there.
    Full,
    /// All of it was tried in vain.
    Failed,
}

/// A project in the course of loading.
pub(crate) struct Open {
    pub(crate) name: String,
    /// Directory of project.conf.
    pub(crate) directory: PathBuf,
    /// The same without symbolic links.
    pub(crate) root: PathBuf,
    pub(crate) element_path: String,
    pub(crate) place: Arc<Place>,
    pub(crate) junction: Option<Arc<Junction>>,
    pub(crate) parent: Option<ProjectIndex>,
    /// Projects whose junction to this one gave way to another.
    pub(crate) other_parents: Vec<ProjectIndex>,
    /// What had the project opened.
    pub(crate) asked: Option<Provenance>,
    conf: Node,
    pub(crate) stage: Stage,
    pub(crate) default_targets: Vec<String>,
    pub(crate) fatal_warnings: Vec<String>,
    /// `junctions.duplicates`: paths of junctions by name of project.
    pub(crate) duplicates: IndexMap<Text, Vec<Node>>,
    /// `junctions.internal`
    pub(crate) internal: Vec<Node>,
    pub(crate) disallow_uris: bool,
    pub(crate) ref_storage: RefStorage,
    /// What project.refs holds, below `projects`.
    pub(crate) refs: Option<Node>,
    /// What junction.refs holds, below `projects`.
    pub(crate) junction_refs: Option<Node>,
    pub(crate) origins: Origins,
    pub(crate) first: Option<Arc<Pass>>,
    pub(crate) second: Option<Arc<Pass>>,
    pub(crate) sections: Option<Arc<Sections>>,
    /// `provenance:` of sources of junctions, to be checked once the attributes are known.
    pub(crate) provenances: Vec<Node>,
    pub(crate) includes: Includes,
    pub(crate) conf_includes: Includes,
    /// Elements read so far, by name.
    pub(crate) elements: HashMap<Text, ElementIndex>,
    /// Kinds of elements that were announced.
    pub(crate) announced: HashSet<Text>,
    /// Names of elements that cannot be read; it was reported.
    pub(crate) broken: HashSet<Text>,
    /// Targets by path of the link.
    pub(crate) links: IndexMap<String, String>,
    /// Overrides of the junction with links followed, if no link was added since.
    pub(crate) followed: Option<HashMap<String, Node>>,
    /// Projects by name of the junction.
    pub(crate) children: HashMap<Text, ProjectIndex>,
    /// Names of junctions that lead nowhere; it was reported.
    pub(crate) closed: HashSet<Text>,
    /// Paths of junctions that are being looked up, and what asked for it.
    pub(crate) searching: HashMap<Text, Provenance>,
    /// Origins of kinds that were asked for.
    pub(crate) found: [HashMap<Text, Option<KindOrigin>>; 3],
}

/// What both passes give, each its own.
#[derive(Clone)]
pub(crate) struct Pass {
    pub(crate) options: Arc<Options>,
    /// `elements:`
    pub(crate) elements: Node,
    /// `sources:`
    pub(crate) sources: Node,
    /// Variables as elements get them.
    pub(crate) variables: Node,
    /// Variables as aliases and mirrors get them.
    pub(crate) project_variables: Arc<Template>,
    pub(crate) aliases: Node,
    pub(crate) mirrors: Vec<Node>,
    pub(crate) user_mirrors: bool,
    pub(crate) default_mirror: Option<String>,
    pub(crate) mirror_origins: IndexMap<String, KindOrigin>,
}

/// What only the second pass gives.
pub(crate) struct Sections {
    pub(crate) environment: Node,
    pub(crate) environment_nocache: Vec<Text>,
    pub(crate) sandbox: Node,
    pub(crate) split_rules: Node,
    pub(crate) shell: Node,
    pub(crate) artifacts: Option<Node>,
    pub(crate) source_caches: Option<Node>,
    pub(crate) provenance_attributes: IndexMap<String, String>,
}

fn no_entries() -> Node {
    Node::mapping(Mapping::new())
}

/// The mapping at a key, or an empty one.
pub(crate) fn mapping_or_empty(node: &Node, key: &str) -> Result<Node, Diagnostic> {
    Ok(node.opt_mapping(key)?.cloned().unwrap_or_else(no_entries))
}

/// The items of the list at a key, or none.
fn list_or_empty(node: &Node, key: &str) -> Result<Vec<Node>, Diagnostic> {
    Ok(node.opt_sequence(key)?.map(<[Node]>::to_vec).unwrap_or_default())
}

fn strings(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

impl Session<'_, '_> {
    /// Opens the project in a directory: the first pass.
    pub(crate) fn open_project(
        &mut self,
        directory: PathBuf,
        junction: Option<Arc<Junction>>,
        parent: Option<ProjectIndex>,
        asked: Option<Provenance>,
    ) -> Attempt<ProjectIndex> {
        self.check_depth(parent, asked)?;
        let name = junction.as_ref().map(|junction| junction.name.as_str());
        let conf =
            crate::read::read(self.files, &directory.join(CONF), CONF, name).map_err(missing_conf)?.node;
        let mut composed = self.defaults.clone();
        compose(&mut composed, &conf)?;
        check_version(&composed)?;
        composed.validate_keys(&KEYS)?;
        let open = self.opened(directory, conf, &composed, junction, parent, asked)?;
        let project = self.projects.len();
        self.projects.push(open);
        self.first_pass(project, &composed)?;
        Ok(project)
    }

    fn check_depth(&self, parent: Option<ProjectIndex>, asked: Option<Provenance>) -> Result<(), Diagnostic> {
        let chain = std::iter::successors(parent, |project| self.projects[*project].parent);
        if chain.count() < DEEPEST {
            return Ok(());
        }
        let message = format!("More than {DEEPEST} junctions lead into each other");
        Err(Diagnostic::load("circular-reference", message)
            .at(asked.unwrap_or(Provenance::SYNTHETIC))
            .hint("does a project junction itself?"))
    }

    /// What is the same in both passes.
    fn opened(
        &self,
        directory: PathBuf,
        conf: Node,
        composed: &Node,
        junction: Option<Arc<Junction>>,
        parent: Option<ProjectIndex>,
        asked: Option<Provenance>,
    ) -> Result<Open, Diagnostic> {
        let name = conf.get_str("name")?.to_owned();
        check_symbol(&name, "project name", conf.get_node("name")?.at, true)?;
        let root = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        let path = composed.get_scalar("element-path")?;
        let element_path = path.text().unwrap_or_default().to_owned();
        check_path(self.files, &element_path, path.at, &root, Leads::Directory)?;
        let defaults = composed.get_mapping("defaults")?;
        defaults.validate_keys(&["targets"])?;
        let default_targets = strings(defaults.get_str_list("targets")?);
        let mut fatal_warnings = strings(composed.opt_str_list("fatal-warnings")?.unwrap_or_default());
        let junctions = mapping_or_empty(composed, "junctions")?;
        junctions.validate_keys(&["duplicates", "internal", "disallow-subproject-uris"])?;
        let mut disallow_uris = parent.is_some_and(|parent| self.projects[parent].disallow_uris);
        if disallow_uris {
            // Nor may a subproject name what is no alias at all.
            if !fatal_warnings.iter().any(|warning| warning == "unaliased-url") {
                fatal_warnings.push("unaliased-url".to_owned());
            }
        } else {
            disallow_uris = junctions.opt_bool("disallow-subproject-uris")?.unwrap_or(false);
        }
        let mut duplicates = IndexMap::new();
        for (name, paths) in mapping_or_empty(&junctions, "duplicates")?.as_mapping()? {
            paths.as_str_list()?;
            duplicates.insert(name.clone(), paths.items().unwrap_or_default().to_vec());
        }
        junctions.opt_str_list("internal")?;
        let elements = if element_path == "." { directory.clone() } else { directory.join(&element_path) };
        let place = Place::new(elements, junction.as_ref().map(|junction| junction.name.clone()));
        Ok(Open {
            name,
            directory,
            root,
            element_path,
            place: Arc::new(place),
            junction,
            parent,
            other_parents: Vec::new(),
            asked,
            conf,
            stage: Stage::Partial,
            default_targets,
            fatal_warnings,
            duplicates,
            internal: list_or_empty(&junctions, "internal")?,
            disallow_uris,
            ref_storage: RefStorage::Inline,
            refs: None,
            junction_refs: None,
            origins: Origins::default(),
            first: None,
            second: None,
            sections: None,
            provenances: Vec::new(),
            includes: Includes::default(),
            conf_includes: Includes::default(),
            elements: HashMap::default(),
            announced: HashSet::default(),
            broken: HashSet::default(),
            links: IndexMap::new(),
            followed: None,
            children: HashMap::default(),
            closed: HashSet::default(),
            searching: HashMap::default(),
            found: Default::default(),
        })
    }

    /// What junctions and links need: includes of the project itself only.
    fn first_pass(&mut self, project: ProjectIndex, composed: &Node) -> Attempt<()> {
        let mut conf = self.projects[project].conf.clone();
        self.process_includes(project, &mut conf, &Including { conf: true, local: true, options: false })?;
        let mut config = self.defaults.clone();
        compose(&mut config, &conf)?;
        self.projects[project].origins = Origins::read(self.files, &config, &self.projects[project].root)?;
        let pass = self.pass(project, config, true)?;
        self.projects[project].first = Some(Arc::new(pass.0));
        let storage = composed.get_scalar("ref-storage")?;
        let choices = [("inline", RefStorage::Inline), ("project.refs", RefStorage::ProjectRefs)];
        let found = choices.iter().find(|(text, _)| storage.text() == Some(text));
        let Some((_, found)) = found else {
            let text = storage.text().unwrap_or_default();
            let message = format!("Invalid value '{text}' specified for ref-storage");
            let near = bourn_yaml::nearest::to(text, choices.map(|(text, _)| text));
            let hint = near.map_or("write `inline` or `project.refs`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            return Err(Diagnostic::load("invalid-data", message).at(storage.at).hint(hint).into());
        };
        self.projects[project].ref_storage = *found;
        if *found == RefStorage::ProjectRefs {
            let options = self.first(project);
            let path = self.projects[project].directory.join("junction.refs");
            self.projects[project].junction_refs =
                refs::read(self.files, &path, "junction.refs", &options.options)?;
        }
        Ok(())
    }

    /// What the first pass gave.
    pub(crate) fn first(&self, project: ProjectIndex) -> Arc<Pass> {
        match &self.projects[project].first {
            Some(pass) => pass.clone(),
            // The pass itself asks while it runs: nothing is known yet.
            None => Arc::new(Pass::empty()),
        }
    }

    /// What the second pass gave.
    pub(crate) fn second(&self, project: ProjectIndex) -> Arc<Pass> {
        match &self.projects[project].second {
            Some(pass) => pass.clone(),
            None => Arc::new(Pass::empty()),
        }
    }

    /// Reads all of a project, after all of those above it.
    pub(crate) fn complete(&mut self, project: ProjectIndex) -> Attempt<()> {
        match self.projects[project].stage {
            Stage::Full => return Ok(()),
            Stage::Failed => return Err(Stop::Known),
            Stage::Partial => {}
        }
        if let Some(parent) = self.projects[project].parent {
            self.complete(parent)?;
            // Which may have read this one.
            if self.projects[project].stage != Stage::Partial {
                return self.complete(project);
            }
        }
        // Marked before, as includes may lead back here.
        self.projects[project].stage = Stage::Full;
        let done = self.second_pass(project);
        if done.is_err() {
            self.projects[project].stage = Stage::Failed;
        }
        done
    }

    fn second_pass(&mut self, project: ProjectIndex) -> Attempt<()> {
        let mut conf = self.projects[project].conf.clone();
        self.process_includes(project, &mut conf, &Including { conf: true, local: false, options: false })?;
        let mut config = self.defaults.clone();
        compose(&mut config, &conf)?;
        let (pass, config) = self.pass(project, config, false)?;
        let pass = Arc::new(pass);
        self.projects[project].second = Some(pass.clone());
        config.validate_keys(&KEYS)?;
        self.check_owned_keys(&config)?;
        let sections = Sections::read(&config, &conf)?;
        self.note_overlaps(project, &config)?;
        if self.projects[project].ref_storage == RefStorage::ProjectRefs {
            let options = self.second(project);
            let path = self.projects[project].directory.join("project.refs");
            self.projects[project].refs = refs::read(self.files, &path, "project.refs", &options.options)?;
        }
        self.projects[project].sections = Some(Arc::new(sections));
        let open = &self.projects[project];
        let (directory, includes) = (open.directory.clone(), open.includes.clone());
        let _ = open.place.ready.set(Ready { project, directory, pass, includes });
        for provenance in std::mem::take(&mut self.projects[project].provenances) {
            self.check_provenance(project, &provenance)?;
        }
        Ok(())
    }

    /// Some keys have to stand in project.conf itself.
    fn check_owned_keys(&self, config: &Node) -> Result<(), Diagnostic> {
        for key in ["name", "element-path", "min-version", "plugins"] {
            // An empty list passes, as it does with bst.
            let Some(node) = config.get(key).filter(|node| node.items() != Some(&[])) else { continue };
            let Some(file) = node.at.file else { continue };
            let display = self.files.get(file).display.clone();
            if display != CONF && display != DEFAULTS {
                return Err(Diagnostic::load("invalid-data", format!("Unexpected key: {key}"))
                    .at(node.at)
                    .hint(format!("`{key}` has to stand in project.conf itself, not in what it includes")));
            }
        }
        Ok(())
    }

    fn note_overlaps(&mut self, project: ProjectIndex, config: &Node) -> Result<(), Diagnostic> {
        let Some(node) = config.opt_scalar("fail-on-overlap")? else { return Ok(()) };
        let message = "`fail-on-overlap` is deprecated";
        let warning = Diagnostic::load("deprecated-key", message).at(node.at);
        self.warnings.push(warning.hint("name `overlaps` in `fatal-warnings` instead"));
        let fatal = &mut self.projects[project].fatal_warnings;
        if !fatal.iter().any(|warning| warning == "overlaps") && node.as_bool("fail-on-overlap")? {
            fatal.push("overlaps".to_owned());
        }
        Ok(())
    }

    /// Checks the attributes of a source's provenance against those of the project.
    pub(crate) fn check_provenance(
        &self,
        project: ProjectIndex,
        provenance: &Node,
    ) -> Result<(), Diagnostic> {
        match &self.projects[project].sections {
            Some(sections) => check_attributes(sections, provenance),
            None => Ok(()),
        }
    }

    /// What differs between the passes. Gives back what remains of the configuration.
    fn pass(&mut self, project: ProjectIndex, mut config: Node, first: bool) -> Attempt<(Pass, Node)> {
        let options = self.set_options(project, &config, first)?;
        condition::process(&mut config, &options, &RESTRICTED)?;
        let elements = mapping_or_empty(&config, "elements")?;
        let sources = mapping_or_empty(&config, "sources")?;
        if let Some(entries) = config.entries_mut() {
            entries.remove("elements");
            entries.remove("sources");
        }
        assert_fully_composited(&config)?;
        let variables = self.base_variables(project, config.get_mapping("variables")?, &options);
        let project_variables = self.project_variables(project, &variables)?;
        let overrides = self.options.project_overrides.get(&self.projects[project].name).cloned();
        let default_mirror = match (project, &self.options.default_mirror) {
            (0, Some(mirror)) => Some(mirror.clone()),
            _ => overrides
                .as_ref()
                .map(|o| o.opt_str("default-mirror"))
                .transpose()?
                .flatten()
                .map(str::to_owned),
        };
        let mut aliases = mapping_or_empty(&config, "aliases")?;
        let user_mirrors = overrides.as_ref().map(|o| o.opt_sequence("mirrors")).transpose()?.flatten();
        let mirrors = match user_mirrors {
            Some(mirrors) => mirrors.to_vec(),
            None => list_or_empty(&config, "mirrors")?,
        };
        let mut pass = Pass {
            options: Arc::new(options),
            elements,
            sources,
            variables,
            project_variables: Arc::new(project_variables),
            aliases: no_entries(),
            mirrors: Vec::new(),
            user_mirrors: user_mirrors.is_some(),
            default_mirror,
            mirror_origins: IndexMap::new(),
        };
        let known = expand_with(&mut aliases, &pass.project_variables).and_then(|()| check_texts(&aliases));
        if known.is_ok() {
            pass.aliases = aliases;
        }
        for mut mirror in mirrors {
            expand_with(&mut mirror, &pass.project_variables)?;
            if first {
                // The kind may be that of a plugin behind a junction, which is fetched with what is known until here.
                self.projects[project].first = Some(Arc::new(pass.clone()));
            }
            self.add_mirror(project, &mirror, &mut pass)?;
            pass.mirrors.push(mirror);
        }
        known?;
        Ok((pass, config))
    }

    fn set_options(&self, project: ProjectIndex, config: &Node, first: bool) -> Result<Options, Diagnostic> {
        let open = &self.projects[project];
        let around = Surroundings {
            files: self.files,
            elements: &open.place.directory,
            host_arch: &self.options.host_arch,
            host_os: &self.options.host_os,
        };
        let mut options = Options::declare(config.opt_mapping("options")?, &around)?;
        if let Some(junction) = &open.junction {
            options.set_from(junction.options.as_mapping()?)?;
        }
        if let Some(overrides) = self.options.project_overrides.get(&open.name) {
            options.set_from(mapping_or_empty(overrides, "options")?.as_mapping()?)?;
        }
        if open.parent.is_none() {
            options.set(&self.options.options, first)?;
        }
        options.resolve()?;
        Ok(options)
    }

    fn base_variables(&self, project: ProjectIndex, variables: &Node, options: &Options) -> Node {
        let mut variables = variables.clone();
        if let Some(entries) = variables.entries_mut() {
            entries.assign("project-name", Node::scalar(self.projects[project].name.as_str()));
            entries.assign("max-jobs", Node::scalar(self.options.max_jobs.to_string()));
            options.export(entries);
        }
        variables
    }

    fn project_variables(&self, project: ProjectIndex, variables: &Node) -> Result<Template, Diagnostic> {
        let mut variables = variables.clone();
        let roots =
            [("project-root", &self.projects[project].root), ("toplevel-root", &self.projects[0].root)];
        if let Some(entries) = variables.entries_mut() {
            for (name, root) in roots {
                entries.assign(name, Node::scalar(root.to_string_lossy()));
            }
            for (name, root) in roots {
                entries.assign(format!("{name}-uri"), Node::scalar(file_uri(root)));
            }
        }
        Template::alone(variables)
    }

    fn add_mirror(&mut self, project: ProjectIndex, mirror: &Node, pass: &mut Pass) -> Attempt<()> {
        let kind = mirror.opt_str("kind")?.unwrap_or("default").to_owned();
        if kind == "default" {
            mirror.validate_keys(&["name", "kind", "aliases"])?;
            for (_, urls) in mirror.get_mapping("aliases")?.as_mapping()? {
                urls.as_str_list()?;
            }
        } else {
            mirror.validate_keys(&["name", "kind", "config"])?;
            mirror.opt_mapping("config")?;
        }
        let name = mirror.get_str("name")?;
        let origin = self.origin(project, PluginType::SourceMirror, &kind, mirror.at)?;
        pass.mirror_origins.insert(kind, origin);
        if pass.default_mirror.is_none() {
            pass.default_mirror = Some(name.to_owned());
        }
        Ok(())
    }
}

/// Checks that all values of a mapping are texts.
fn check_texts(node: &Node) -> Result<(), Diagnostic> {
    node.as_mapping()?.keys().try_for_each(|key| node.get_str(key).map(drop))
}

/// Checks the attributes of a source's provenance.
///
/// # Errors
/// `undefined-source-provenance-attribute`.
pub(crate) fn check_attributes(sections: &Sections, provenance: &Node) -> Result<(), Diagnostic> {
    let known: Vec<&str> = sections.provenance_attributes.keys().map(String::as_str).collect();
    let Err(unknown) = provenance.validate_keys(&known) else { return Ok(()) };
    let key = provenance.as_mapping()?.keys().find(|key| !known.contains(&key.as_str()));
    let message = format!(
        "Specified source provenance attribute '{}' not defined in project config",
        key.map_or("", Text::as_str)
    );
    let mut diagnostic = Diagnostic::load("undefined-source-provenance-attribute", message);
    diagnostic.at = unknown.at;
    let hint = unknown.hint.clone();
    let known = format!("`source-provenance-attributes` of project.conf defines: {}", known.join(", "));
    Err(diagnostic.hint(hint.unwrap_or(known)))
}

impl Pass {
    /// What is known before the pass ran.
    fn empty() -> Pass {
        Pass {
            options: Arc::new(Options::default()),
            elements: no_entries(),
            sources: no_entries(),
            variables: no_entries(),
            project_variables: Arc::new(Template::empty()),
            aliases: no_entries(),
            mirrors: Vec::new(),
            user_mirrors: false,
            default_mirror: None,
            mirror_origins: IndexMap::new(),
        }
    }
}

impl Sections {
    fn read(config: &Node, conf: &Node) -> Result<Sections, Diagnostic> {
        let caches = |key: &str| {
            let hint = "a list of servers, each with `- url: ` before its URL";
            for cache in config.opt_sequence(key).map_err(|wrong| wrong.hint(hint))?.unwrap_or_default() {
                if cache.entries().is_none() {
                    let message = "Value is not one of the following: dict.";
                    return Err(Diagnostic::load("invalid-data", message).at(cache.at).hint(hint));
                }
            }
            Ok(config.get(key).cloned())
        };
        let artifacts = caches("artifacts")?;
        let source_caches = caches("source-caches")?;
        let environment = config.get_mapping("environment")?.clone();
        let nocache = config.get_str_list("environment-nocache")?;
        let sandbox = config.get_mapping("sandbox")?.clone();
        let split_rules = config.get_mapping("split-rules")?.clone();
        let shell = config.get_mapping("shell")?.clone();
        check_shell(&shell)?;
        let attributes = match conf.opt_mapping("source-provenance-attributes")? {
            Some(own) => own,
            None => config.get_mapping("source-provenance-attributes")?,
        };
        let attributes = attributes.as_mapping()?.iter();
        let provenance_attributes = attributes
            .map(|(name, text)| (name.to_string(), text.text().unwrap_or_default().to_owned()))
            .collect();
        Ok(Sections {
            environment,
            environment_nocache: nocache.into_iter().map(Text::new).collect(),
            sandbox,
            split_rules,
            shell,
            artifacts,
            source_caches,
            provenance_attributes,
        })
    }
}

fn check_shell(shell: &Node) -> Result<(), Diagnostic> {
    shell.validate_keys(&["command", "environment", "host-files"])?;
    shell.get_str_list("command")?;
    check_texts(&mapping_or_empty(shell, "environment")?)?;
    for file in shell.opt_sequence("host-files")?.unwrap_or_default() {
        if file.text().is_none() {
            file.validate_keys(&["path", "host_path", "optional"])?;
            file.get_str("path")?;
            file.opt_str("host_path")?;
            file.opt_bool("optional")?;
        }
    }
    Ok(())
}

fn missing_conf(mut wrong: bourn_yaml::Diagnostics) -> bourn_yaml::Diagnostics {
    if let Some(first) = wrong.0.first_mut()
        && first.code == "missing-file"
    {
        first.code = "missing-project-conf";
    }
    wrong
}

fn check_version(config: &Node) -> Result<(), Diagnostic> {
    let Some(node) = config.opt_scalar("min-version")? else {
        return Err(config
            .missing("min-version")
            .detail("A project of BuildStream 1 has no `min-version`; it needs BuildStream 1."));
    };
    let text = node.text().unwrap_or_default();
    let mut parts = text.split('.').map(|part| part.trim().parse::<i64>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else {
        return Err(Diagnostic::load("invalid-data", format!("Malformed version string: {text}"))
            .at(node.at)
            .hint("write MAJOR.MINOR, two numbers"));
    };
    let mismatch = |detail: String| {
        Err(Diagnostic::load("unsupported-project", "Version mismatch").at(node.at).detail(detail))
    };
    if major != VERSION.0 {
        return mismatch(format!(
            "The project requires BuildStream {major}; the format of BuildStream {}.{} is known here.",
            VERSION.0, VERSION.1
        ));
    }
    if minor > VERSION.1 {
        return mismatch(format!(
            "The project requires at least BuildStream {major}.{minor}; the format of BuildStream {}.{} is known \
             here.",
            VERSION.0, VERSION.1
        ));
    }
    Ok(())
}

/// A directory as URI, quoted as Python's `urllib.parse.quote` does.
fn file_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' | b'/' => {
                uri.push(*byte as char)
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
