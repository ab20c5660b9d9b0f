//! The one way in.

use crate::compose::{Composed, KindBase};
use crate::conf::DEFAULTS;
use crate::element::{Found, Link};
use crate::graph::{
    Dependency, DependencyKind, Element, ElementGraph, ElementId, Project, ProjectId, SourceDeclaration,
};
use crate::junction::{Junction, deprecated};
use crate::kinds::{KindOrigin, KindTraits, Kinds};
use crate::option::elements_below;
use crate::order::{Step, walk};
use crate::plugin::PluginType;
use crate::read::Ahead;
use crate::selection::staging_order;
use crate::session::{Attempt, ElementIndex, ProjectIndex, Session, Stop};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Files, Mapping, Node, Provenance, Text, parse};
use foldhash::HashMap;
use indexmap::IndexMap;
use rayon::Scope;
use rayon::iter::{
    IntoParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The values that every project.conf is composed onto.
const DEFAULT_VALUES: &str = include_str!("defaults.yaml");

/// Stack of the thread that follows junctions, in bytes; only what is used is taken.
const STACK: usize = 64 << 20;

/// What to load and how.
pub struct LoadOptions<'a> {
    /// Directory of the toplevel project.conf.
    pub directory: PathBuf,
    /// Elements, as named on the command line; empty means the project's defaults.
    pub targets: Vec<String>,
    /// Elements named with `--except`.
    pub except: Vec<String>,
    /// How much of the projects is loaded.
    pub extent: Extent,
    /// `--option NAME VALUE`.
    pub options: Vec<(String, String)>,
    /// `--default-mirror`.
    pub default_mirror: Option<String>,
    /// `projects:` of the user configuration: per project name, a mapping (`options`, `strict`, `default-mirror` …).
    pub project_overrides: IndexMap<String, Node>,
    /// `max-jobs`, resolved.
    pub max_jobs: u32,
    /// Architecture of this machine, as the machine names it (`uname -m`: `x86_64`).
    pub host_arch: String,
    /// Operating system of this machine, as the machine names it (`uname -s`: `Linux`).
    pub host_os: String,
    /// The kinds known.
    pub kinds: &'a dyn Kinds,
    /// Directories in which junctions were already staged, by [`JunctionNeed::key`].
    pub junctions: IndexMap<String, PathBuf>,
    /// Looks up where a junction was staged before, for those not in `junctions`: given the chance, a load whose
    /// junctions are all on disk succeeds at once. It must not fetch.
    pub locate: Option<&'a Locate<'a>>,
    /// Open workspaces: element full name to what is kept of it.
    pub workspaces: IndexMap<String, Workspace>,
}

/// How much of the projects is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of every project that is reached.
    Whole,
    /// No more than the elements need. Of a project of which only junctions and links are loaded nothing is read that it
    /// includes through junctions, so that junctions without a ref can be tracked.
    Needed,
    /// Nothing but the toplevel project.conf: the graph that comes back is empty.
    Configuration,
    /// The toplevel project.conf with all that it includes: the graph has no elements.
    Project,
}

/// Looks up where the sources of a junction were staged.
pub type Locate<'a> = dyn Fn(&JunctionNeed) -> Option<PathBuf> + Sync + 'a;

/// An open workspace, as far as it enters the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Absolute path of its directory.
    pub directory: PathBuf,
    /// Key of the last build in it, empty if there was none.
    pub last_build: String,
}

/// A junction whose project is not on disk yet.
#[derive(Debug)]
pub struct JunctionNeed {
    /// Names the need; the answer goes into [`LoadOptions::junctions`] under this.
    pub key: String,
    /// Full name of the junction element.
    pub name: String,
    /// Name of the junction element below its project's element path.
    pub element: String,
    /// What in a file named it first.
    pub at: Option<Provenance>,
    /// Its sources, ready to be fetched and staged.
    pub sources: Vec<SourceDeclaration>,
    /// The project that declares it, in `projects`.
    pub project: ProjectId,
    /// The projects loaded so far, as junction elements see them (aliases and mirrors of the first pass).
    pub projects: Arc<[Project]>,
}

/// What came of loading.
#[derive(Debug)]
pub enum Loaded {
    /// All of it.
    Graph(ElementGraph),
    /// Junctions have to be staged first.
    NeedsJunctions(Vec<JunctionNeed>),
}

/// Loads a project and the elements reached from the targets.
///
/// # Errors
/// Everything that is wrong with the files, as far as it is independent; what bst would say comes first.
pub fn load(files: &Files, options: &LoadOptions<'_>) -> Result<Loaded, Diagnostics> {
    let run = || {
        let ahead = Ahead::new(files);
        rayon::in_place_scope(|scope| run(files, options, &ahead, scope))
    };
    std::thread::scope(|threads| {
        // Junctions that lead into each other take a frame each; a hundred of them need more than a thread has.
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(threads, run);
        match worker {
            Ok(worker) => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => run(),
        }
    })
}

fn run<'c, 's>(
    files: &'c Files,
    options: &'c LoadOptions<'c>,
    ahead: &'s Ahead<'s>,
    scope: &'c Scope<'s>,
) -> Result<Loaded, Diagnostics> {
    let file = files.add(Path::new(DEFAULTS), DEFAULTS, None, DEFAULT_VALUES.into());
    let defaults = parse(files, file)?;
    let mut session = Session::new(files, options, ahead, scope, defaults);
    let loaded = session.load();
    match loaded {
        Ok(graph) => {
            // What comes next need not wait for the memory to be given back.
            let rest = (std::mem::take(&mut session.elements), std::mem::take(&mut session.projects));
            rayon::spawn(move || drop(rest));
            Ok(Loaded::Graph(graph))
        }
        Err(stop) => {
            session.report(stop);
            if session.errors.is_empty() {
                Ok(Loaded::NeedsJunctions(session.needs))
            } else {
                Err(Diagnostics(session.errors))
            }
        }
    }
}

impl Session<'_, '_> {
    fn load(&mut self) -> Attempt<ElementGraph> {
        self.open_project(self.options.directory.clone(), None, None, None)?;
        if self.options.extent == Extent::Configuration {
            self.settle()?;
            return Ok(ElementGraph::default());
        }
        if self.options.extent == Extent::Project {
            self.complete(0)?;
            self.settle()?;
            return Ok(ElementGraph { projects: vec![self.view(0, false)], ..ElementGraph::default() });
        }
        let (targets, excepted) = self.load_targets()?;
        let all: Vec<ElementIndex> = targets.iter().chain(&excepted).copied().collect();
        if !self.needs.is_empty() {
            return Err(Stop::Known);
        }
        let circles = self.circles(&all);
        self.report(circles.into());
        // With something wrong the rest is only looked at for further errors; circles cannot be sorted.
        if self.errors.is_empty() {
            self.sort_dependencies(&all);
        }
        let composed = self.compose_all(&all)?;
        self.check_conflicts()?;
        let mut project = 0;
        while self.options.extent == Extent::Whole && project < self.projects.len() {
            let completed = self.complete(project);
            completed.unwrap_or_else(|stop| self.report(stop));
            project += 1;
        }
        self.settle()?;
        // What was read is composed by now; until here the last projects may have included through a junction that is
        // itself a target. Giving the memory back takes a while, which all threads share.
        self.elements.par_iter_mut().for_each(|found| found.node = Node::null());
        Ok(self.graph(&targets, &excepted, composed))
    }

    /// Stops if something is wrong or missing by now.
    fn settle(&self) -> Attempt<()> {
        if self.errors.is_empty() && self.needs.is_empty() { Ok(()) } else { Err(Stop::Known) }
    }

    fn load_targets(&mut self) -> Attempt<(Vec<ElementIndex>, Vec<ElementIndex>)> {
        let mut targets = self.options.targets.clone();
        if targets.is_empty() {
            targets = self.projects[0].default_targets.clone();
        }
        if targets.is_empty() {
            targets = elements_below(self.files, &self.projects[0].place.directory)
                .iter()
                .map(ToString::to_string)
                .collect();
        }
        let options = self.options;
        Ok((self.load_named(&targets), self.load_named(&options.except)))
    }

    fn load_named(&mut self, names: &[String]) -> Vec<ElementIndex> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match self.load_target(name) {
                Ok(element) => found.push(element),
                Err(stop) => self.report(stop),
            }
        }
        found
    }

    /// Composes all elements below some.
    fn compose_all(&mut self, targets: &[ElementIndex]) -> Attempt<Vec<Option<Composed>>> {
        let mut steps = Vec::new();
        walk(&self.elements, targets, &mut |step| steps.push(step));
        let entered: Vec<ElementIndex> = steps
            .iter()
            .filter_map(|step| if let Step::Enter(element) = step { Some(*element) } else { None })
            .collect();
        let mut wrong: HashMap<ElementIndex, Stop> = HashMap::default();
        let mut bases: IndexMap<(ProjectIndex, Text), KindOrigin> = IndexMap::new();
        for element in &entered {
            if let Err(stop) = self.element_origins(*element, &mut bases) {
                wrong.insert(*element, stop);
            }
        }
        let shared: &Session<'_, '_> = self;
        let bases: Bases = bases
            .into_iter()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|((project, kind), origin)| {
                let first_pass = matches!(kind.as_str(), "junction" | "link");
                let base = shared.kind_base(project, &kind, &origin, first_pass);
                ((project, kind), base)
            })
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let results: Vec<(ElementIndex, Result<Composed, Vec<Diagnostic>>)> = entered
            .into_par_iter()
            .filter(|element| !wrong.contains_key(element))
            .map(|element| {
                let found = &shared.elements[element];
                let composed = match bases.get(&(found.project, found.kind.clone())) {
                    Some(Ok(base)) => shared.compose_element(element, base).and_then(|composed| {
                        let checked = shared.check_junction(element, &composed);
                        checked.map(|()| composed).map_err(|wrong| vec![wrong])
                    }),
                    Some(Err(wrong)) => Err(wrong.0.clone()),
                    None => Err(Vec::new()),
                };
                (element, composed)
            })
            .collect();
        let mut composed: Vec<Option<Composed>> = Vec::new();
        composed.resize_with(self.elements.len(), || None);
        for (element, result) in results {
            match result {
                Ok(one) => composed[element] = Some(one),
                Err(several) => drop(wrong.insert(element, several.into())),
            }
        }
        for step in steps {
            match step {
                Step::Enter(element) => {
                    self.note_deprecated(element, &bases);
                    if let Some(stop) = wrong.remove(&element) {
                        self.report(stop);
                    }
                    if let Some(one) = &mut composed[element] {
                        self.warnings.append(&mut one.redundant);
                    }
                }
                Step::After(element, link) => self.check_dependency(element, link, &bases),
                Step::Leave(element) => self.check_forbidden(element, &bases),
            }
        }
        self.settle()?;
        Ok(composed)
    }

    /// Checks the configuration of a junction that is loaded like any element.
    fn check_junction(&self, element: ElementIndex, composed: &Composed) -> Result<(), Diagnostic> {
        let found = &self.elements[element];
        if found.kind != "junction" {
            return Ok(());
        }
        Junction::configure(&found.name, String::new(), &composed.config).map(drop)
    }

    /// Finds where the kinds of an element and its sources come from.
    fn element_origins(
        &mut self,
        element: ElementIndex,
        bases: &mut IndexMap<(ProjectIndex, Text), KindOrigin>,
    ) -> Attempt<()> {
        let found = &self.elements[element];
        let (project, kind, at) = (found.project, found.kind.clone(), found.at);
        let origin = self.origin(project, PluginType::Element, &kind, at)?;
        bases.entry((project, kind)).or_insert(origin);
        self.defer_provenances(element)?;
        self.source_origins(element)
    }

    /// Says when the kind of an element should not be used any more.
    fn note_deprecated(&mut self, element: ElementIndex, bases: &Bases) {
        let found = &self.elements[element];
        let Some(why) = traits(found, bases).and_then(|traits| traits.deprecated.clone()) else { return };
        if !self.projects[found.project].origins.allows_deprecated(PluginType::Element, &found.kind) {
            self.warnings.push(deprecated(&found.kind, why, found.at));
        }
    }

    /// Checks that a dependency has no configuration that its element's kind cannot take.
    fn check_dependency(&mut self, element: ElementIndex, link: usize, bases: &Bases) {
        let found = &self.elements[element];
        let Some(config) = found.dependencies.get(link).and_then(|link| link.declared.config.first()) else {
            return;
        };
        let Some(traits) = traits(found, bases).filter(|traits| !traits.takes_dependency_config) else {
            return;
        };
        let _ = traits;
        let message =
            format!("Custom dependency configuration is not supported by element plugin '{}'", found.kind);
        self.report(Diagnostic::load("invalid-dependency-config", message).at(config.at).into());
    }

    /// Checks that an element has nothing that its kind forbids.
    fn check_forbidden(&mut self, element: ElementIndex, bases: &Bases) {
        let found = &self.elements[element];
        let Some(traits) = traits(found, bases) else { return };
        let links = &found.dependencies;
        let first = |test: fn(DependencyKind) -> bool| {
            links.iter().find(|link| test(link.declared.kind)).map(|link| link.declared.at)
        };
        let (build, runtime) = (first(DependencyKind::is_build), first(DependencyKind::is_runtime));
        let sources =
            found.node.get("sources").and_then(|sources| sources.items()?.first()).map(|source| source.at);
        let (no_build, no_runtime) = (traits.forbids_build_dependencies, traits.forbids_runtime_dependencies);
        let (what, code, at) = match (build, runtime, sources) {
            (Some(at), _, _) | (None, Some(at), _) if no_build && no_runtime => {
                ("Dependencies", "element-forbidden-depends", at)
            }
            (_, Some(at), _) if no_runtime => ("Runtime dependencies", "element-forbidden-rdepends", at),
            (Some(at), _, _) if no_build => ("Build dependencies", "element-forbidden-bdepends", at),
            (_, _, Some(at)) if traits.forbids_sources => ("Sources", "element-forbidden-sources", at),
            _ => return,
        };
        let message =
            format!("{}: {what} are forbidden for '{}' elements", self.full_name(element), found.kind);
        let wrong = Diagnostic::new(Domain::Element, code, message).at(found.at);
        self.report(wrong.note(at.file.map(|_| at), "the first of them").into());
    }

    /// The finished graph.
    fn graph(
        &mut self,
        targets: &[ElementIndex],
        excepted: &[ElementIndex],
        mut composed: Vec<Option<Composed>>,
    ) -> ElementGraph {
        let all: Vec<ElementIndex> = targets.iter().chain(excepted).copied().collect();
        let order = staging_order(self.elements.len(), &all, &|element, kind, found| {
            let links = &self.elements[element].dependencies;
            found.extend(links.iter().filter(|link| kind(link.declared.kind)).map(|link| link.element));
        });
        let mut ids = vec![ElementId(u32::MAX); self.elements.len()];
        for (at, element) in order.iter().enumerate() {
            ids[*element] = ElementId(at as u32);
        }
        let names: Vec<Arc<str>> = self.elements.par_iter().map(|found| found.name.as_str().into()).collect();
        let whole = Whole { session: self, ids: &ids, names: &names, texts: Texts::default() };
        let ordered: Vec<(ElementIndex, Composed)> =
            order.into_iter().filter_map(|element| Some((element, composed[element].take()?))).collect();
        let elements =
            ordered.into_par_iter().map(|(element, composed)| whole.element(element, composed)).collect();
        let id = |element: &ElementIndex| ids[*element];
        ElementGraph {
            projects: (0..self.projects.len()).map(|project| self.view(project, false)).collect(),
            elements,
            targets: targets.iter().map(id).collect(),
            excepted: excepted.iter().map(id).collect(),
            warnings: std::mem::take(&mut self.warnings),
        }
    }

    /// A project as others see it, or as its junctions do.
    pub(crate) fn view(&self, project: ProjectIndex, first_pass: bool) -> Project {
        let open = &self.projects[project];
        let pass =
            if first_pass || open.second.is_none() { self.first(project) } else { self.second(project) };
        let sections = open.sections.as_ref().filter(|_| !first_pass);
        let mut fatal_warnings = open.fatal_warnings.clone();
        fatal_warnings.sort();
        Project {
            name: open.name.clone(),
            junction: open.junction.as_ref().map(|junction| junction.full_name.clone()),
            directory: open.directory.clone(),
            element_path: open.element_path.clone(),
            ref_storage: open.ref_storage,
            fatal_warnings,
            aliases: pass.aliases.clone(),
            mirrors: pass.mirrors.clone(),
            user_mirrors: pass.user_mirrors,
            default_mirror: pass.default_mirror.clone(),
            disallow_subproject_uris: open.disallow_uris,
            mirror_origins: pass.mirror_origins.clone(),
            options: pass.options.printable(),
            shell: sections.map_or_else(|| Node::mapping(Mapping::new()), |sections| sections.shell.clone()),
            // Servers are the same for everybody, and junctions are fetched from them too once they are known.
            artifact_caches: open.sections.as_ref().and_then(|sections| sections.artifacts.clone()),
            source_caches: open.sections.as_ref().and_then(|sections| sections.source_caches.clone()),
            default_targets: open.default_targets.clone(),
            provenance_attributes: sections.map(|s| s.provenance_attributes.clone()).unwrap_or_default(),
            variables: pass.project_variables.variables(),
            alias_mapping: open
                .junction
                .as_ref()
                .map(|junction| junction.aliases.clone())
                .unwrap_or_default(),
            alias_identity: open.junction.as_ref().is_some_and(|junction| junction.identity),
            parent: open.parent.map(|parent| ProjectId(parent as u32)),
            first_pass: (!first_pass).then(|| Arc::new(self.view(project, true))),
        }
    }
}

/// What elements of the graph are made from.
struct Whole<'a, 'c, 's> {
    session: &'a Session<'c, 's>,
    ids: &'a [ElementId],
    /// Names of all elements found.
    names: &'a [Arc<str>],
    texts: Texts,
}

impl Whole<'_, '_, '_> {
    fn element(&self, element: ElementIndex, composed: Composed) -> Element {
        let found = &self.session.elements[element];
        let mut config = composed.dependency_config.into_iter();
        let dependencies = found.dependencies.iter().map(|link| Dependency {
            element: self.ids[link.element],
            kind: link.declared.kind,
            strict: link.declared.strict,
            config: config.next().unwrap_or_default(),
            path: self.path(link),
            at: link.declared.at,
        });
        let origin = self.session.known_origin(found.project, PluginType::Element, &found.kind);
        Element {
            project: ProjectId(found.project as u32),
            name: self.names[element].clone(),
            kind: self.texts.kept(&found.kind),
            origin: origin.cloned().unwrap_or(KindOrigin::Core),
            description: found.description.clone(),
            dependencies: dependencies.collect(),
            sources: composed.sources,
            variables: composed.variables,
            environment: composed.environment,
            environment_nocache: composed.environment_nocache,
            config: composed.config,
            public: composed.public,
            sandbox: composed.sandbox,
            at: found.at,
        }
    }

    /// The name of a dependency as it was written.
    fn path(&self, link: &Link) -> Arc<str> {
        let name = &self.names[link.element];
        match link.declared.junction {
            None if link.declared.name == **name => name.clone(),
            _ => self.texts.kept(&link.declared.path()),
        }
    }
}

/// Texts that occur often, each kept once.
#[derive(Default)]
struct Texts(RwLock<HashMap<Text, Arc<str>>>);

impl Texts {
    fn kept(&self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return kept.clone();
        }
        let mut texts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        texts.entry(text.into()).or_insert_with(|| text.into()).clone()
    }
}

type Bases = HashMap<(ProjectIndex, Text), Result<KindBase, Diagnostics>>;

fn traits<'b>(found: &Found, bases: &'b Bases) -> Option<&'b KindTraits> {
    bases.get(&(found.project, found.kind.clone()))?.as_ref().ok()?.traits.as_ref()
}
