//! The project of a command, loaded and planned, with the services at hand.

use crate::contact::Connected;
use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::junctions::{self, SourceCaches};
use crate::report::pipeline::Printer;
use crate::report::style::Painter;
use crate::settings::remote::RemoteExecution;
use crate::settings::resolve::Settings;
use crate::settings::servers;
use crate::watch::Watch;
use crate::wire::{self, AllKinds};
use crate::workspaces::Workspaces;
use bourn_build::control::Control;
use bourn_build::duration::Durations;
use bourn_build::event::MessageKind;
use bourn_build::log::LogOptions;
use bourn_build::options::{CacheBuildTrees, Machine, Options, Workspace};
use bourn_build::session::Session;
use bourn_build::state::States;
use bourn_cas::Store;
use bourn_plan::{Plan, Weight};
use bourn_project::load::Workspace as LoadedWorkspace;
use bourn_project::selection::{self, Selection as Scope};
use bourn_project::{ElementGraph, ElementId, Extent, JunctionNeed, LoadOptions, Loaded};
use bourn_reapi::Services;
use bourn_reapi::services::Cancel;
use bourn_remote::STORAGE_GONE;
use bourn_sources::LocalTrees;
use bourn_yaml::Provenance;
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Work that took longer says how much it was.
const WORTH_COUNTING: Duration = Duration::from_secs(3);

/// What is known before anything runs.
pub(crate) struct World {
    /// Elements, keys, sources.
    pub(crate) plan: Plan,
    /// Open workspaces.
    pub(crate) workspaces: Workspaces,
    /// The kinds known.
    pub(crate) kinds: AllKinds,
    /// Digests of local files.
    pub(crate) local: LocalTrees,
    /// Who stores and runs.
    pub(crate) services: Services,
    /// The servers that the command speaks to.
    pub(crate) connected: Connected,
    /// The services of remote execution that hold here.
    pub(crate) execution: Option<RemoteExecution>,
    /// How things are to be done.
    pub(crate) options: Options,
    /// Stops and suspends what runs.
    pub(crate) control: Control,
}

/// Something that was remarked while a project was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Remark {
    /// How much it matters.
    pub(crate) kind: MessageKind,
    /// One sentence.
    pub(crate) text: String,
    /// More lines.
    pub(crate) detail: Option<String>,
    /// Full name of the element whose plugin said it.
    pub(crate) speaker: Option<String>,
}

/// What is to be loaded of a project.
struct Wanted<'a> {
    targets: &'a [String],
    except: &'a [String],
    /// Elements whose open workspaces do not count.
    without: &'a [String],
    extent: Extent,
}

impl World {
    /// Loads and plans the elements named by `targets` (the project's own if there are none) and by `except`.
    ///
    /// # Errors
    /// There is no project; what is wrong with its files.
    pub(crate) fn load(
        invocation: &Invocation<'_>,
        targets: &[String],
        except: &[String],
    ) -> Result<World, Failure> {
        World::of(invocation, &Wanted { targets, except, without: &[], extent: Extent::Whole })
    }

    /// The same to track sources: of projects no more is read than that needs.
    ///
    /// # Errors
    /// Those of [`World::load`].
    pub(crate) fn load_needed(
        invocation: &Invocation<'_>,
        targets: &[String],
        except: &[String],
    ) -> Result<World, Failure> {
        World::of(invocation, &Wanted { targets, except, without: &[], extent: Extent::Needed })
    }

    /// The same as if the elements in `without` had no open workspaces.
    ///
    /// # Errors
    /// Those of [`World::load`].
    pub(crate) fn load_without_workspaces(
        invocation: &Invocation<'_>,
        targets: &[String],
        without: &[String],
    ) -> Result<World, Failure> {
        World::of(invocation, &Wanted { targets, except: &[], without, extent: Extent::Whole })
    }

    /// The flow, from top to bottom: the configuration gives the loader, the loader the project, and both together the
    /// services that its commands are given. Servers are connected to while the project is planned.
    fn of(invocation: &Invocation<'_>, wanted: &Wanted<'_>) -> Result<World, Failure> {
        let purpose = format!("Unable to load elements: {}", wanted.targets.join(", "));
        let directory = invocation.project(&purpose)?;
        let mut workspaces = invocation.workspaces()?;
        workspaces.retain(|element| !wanted.without.iter().any(|name| name == element));
        let loader = Loader::new(invocation, workspaces)?;
        let (graph, execution) = invocation.reporter.counted("Loading elements", || {
            let begin = Instant::now();
            let graph = loader.load(directory, wanted)?;
            let execution = servers::execution(invocation.settings, invocation.files, &graph)?;
            let count = invocation.worth_counting(begin);
            let count = count.then(|| format!("{} subtasks processed", graph.elements.len()));
            Ok(((Arc::new(graph), execution), count))
        })?;
        let connected = Connected::begin(invocation, &loader.services, &graph)?;
        let plan = invocation.reporter.counted("Resolving elements", || {
            let begin = Instant::now();
            let plan = bourn_plan::plan(graph, &loader.kinds, &loader.local)?;
            let all = plan.elements.len();
            let count = invocation.worth_counting(begin);
            Ok((plan, count.then(|| format!("{all} of {all} subtasks processed"))))
        })?;
        let world = loader.world(plan, connected, execution)?;
        for remark in world.remarks(invocation) {
            invocation.reporter.remark(&remark);
        }
        Ok(world)
    }

    /// A world with no project in it, for commands on artifacts alone.
    ///
    /// # Errors
    /// The cache cannot be created.
    pub(crate) fn without_project(invocation: &Invocation<'_>) -> Result<World, Failure> {
        let loader = Loader::new(invocation, Workspaces::none())?;
        let plan = bourn_plan::plan(Arc::new(ElementGraph::default()), &loader.kinds, &loader.local)?;
        let connected = Connected::begin(invocation, &loader.services, &plan.graph)?;
        loader.world(plan, connected, invocation.settings.user.remote_execution.clone())
    }

    /// The element whose sources stand for this one; says so when it is another.
    pub(crate) fn source_element(&self, invocation: &Invocation<'_>, id: ElementId) -> ElementId {
        let Some(source) = self.plan.element(id).description.source_element.filter(|source| *source != id)
        else {
            return id;
        };
        let source = self.source_element(invocation, source);
        let name = |id| &self.graph().element(id).name;
        invocation.reporter.info(&format!("Element '{}' redirected to '{}'", name(id), name(source)));
        source
    }

    /// What loading warns of or tells.
    pub(crate) fn remarks(&self, invocation: &Invocation<'_>) -> Vec<Remark> {
        let place = |at: Option<Provenance>| match at.and_then(|at| invocation.files.position(at)) {
            Some(place) => format!("{place}: "),
            None => String::new(),
        };
        let of_graph = self.plan.graph.warnings.iter().map(|warning| {
            let text = format!("{}{}", place(warning.at), warning.message);
            Remark { kind: MessageKind::Warn, text, detail: warning.detail.clone(), speaker: None }
        });
        let of_plan = self.plan.warnings.iter().map(|warning| {
            let token = warning.token.map(|token| format!("[{token}]: ")).unwrap_or_default();
            let kind = match warning.weight {
                Weight::Info => MessageKind::Info,
                Weight::Warning => MessageKind::Warn,
            };
            let place = if warning.speaker.is_some() { String::new() } else { place(Some(warning.at)) };
            let text = format!("{token}{place}{}", warning.message);
            Remark { kind, text, detail: warning.detail.clone(), speaker: warning.speaker.clone() }
        });
        of_graph.chain(of_plan).collect()
    }

    /// A session to carry the plan out.
    pub(crate) fn session<'s>(&'s self, invocation: &'s Invocation<'_>, watch: &'s Watch<'_>) -> Session<'s> {
        Session::new(&self.plan, invocation.files, &self.services, &self.options, watch, &self.control)
            .with_local(&self.local)
    }

    /// What prints its elements.
    pub(crate) fn printer<'s>(&'s self, invocation: &'s Invocation<'_>, states: &'s States) -> Printer<'s> {
        let settings = invocation.settings;
        Printer {
            plan: &self.plan,
            states,
            workspaces: Some(&self.workspaces),
            local: &self.local,
            source_directory: &settings.user.sourcedir,
            reporter: &invocation.reporter,
            painter: Painter { colors: settings.terminal.colors },
            key_length: settings.user.logging.key_length,
        }
    }

    /// The graph.
    pub(crate) fn graph(&self) -> &ElementGraph {
        &self.plan.graph
    }

    /// The elements in a scope of the targets, without the excepted ones.
    pub(crate) fn select(&self, scope: Scope) -> Vec<ElementId> {
        let graph = self.graph();
        let selected = selection::select(graph, &graph.targets, scope);
        selection::except(graph, &graph.targets, selected, &graph.excepted)
    }
}

/// Loads the project in a directory without any of its elements.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_project(invocation: &Invocation<'_>, directory: &Path) -> Result<(), Failure> {
    let kinds = AllKinds::new(invocation.settings, invocation.files, &invocation.reporter);
    let mut options = load_options(invocation, &kinds, directory);
    options.extent = Extent::Configuration;
    bourn_project::load(invocation.files, &options)
        .map_err(|wrong| Failure::from(wrong).while_doing("Error loading project"))?;
    Ok(())
}

/// Loads the project that bourn was started in with all that its configuration includes, and none of its elements; an
/// empty graph where there is no project.
///
/// # Errors
/// What is wrong with it; a junction that it includes from cannot be fetched.
pub(crate) fn project_alone(invocation: &Invocation<'_>) -> Result<ElementGraph, Failure> {
    let Some(directory) = &invocation.location.project else { return Ok(ElementGraph::default()) };
    let wanted = Wanted { targets: &[], except: &[], without: &[], extent: Extent::Project };
    Loader::new(invocation, invocation.workspaces()?)?.load(directory, &wanted)
}

/// What holds for every load of a project.
fn load_options<'a>(invocation: &Invocation<'_>, kinds: &'a AllKinds, directory: &Path) -> LoadOptions<'a> {
    let settings = invocation.settings;
    let machine = rustix::system::uname();
    LoadOptions {
        directory: directory.to_path_buf(),
        targets: Vec::new(),
        except: Vec::new(),
        extent: Extent::Whole,
        options: settings.options.clone(),
        default_mirror: settings.default_mirror.clone(),
        project_overrides: settings.user.projects.clone(),
        max_jobs: settings.max_jobs(),
        host_arch: machine.machine().to_string_lossy().into_owned(),
        host_os: machine.sysname().to_string_lossy().into_owned(),
        kinds,
        junctions: IndexMap::new(),
        locate: None,
        workspaces: IndexMap::new(),
    }
}

impl Invocation<'_> {
    /// Whether work that began then says how much it was. Always while bst's own tests look.
    pub(crate) fn worth_counting(&self, begin: Instant) -> bool {
        begin.elapsed() > WORTH_COUNTING || self.settings.environment.has("BST_TEST_SUITE")
    }
}

/// What loading needs: all that the configuration alone decides.
pub(crate) struct Loader<'a> {
    /// The command.
    pub(crate) invocation: &'a Invocation<'a>,
    /// The kinds known.
    pub(crate) kinds: AllKinds,
    /// Digests of local files.
    pub(crate) local: LocalTrees,
    /// Who stores, and fetches junctions.
    pub(crate) services: Services,
    /// Stops what the services do.
    pub(crate) cancel: Cancel,
    workspaces: Workspaces,
    store: Arc<Store>,
}

/// Where it is remembered how long builds took.
fn durations_path(settings: &Settings) -> PathBuf {
    settings.own_directory().join("durations")
}

/// Remembers how long builds took. That it fails is no reason to call a build a failure.
pub(crate) fn remember_durations(invocation: &Invocation<'_>, took: Vec<(String, Duration)>) {
    if took.is_empty() {
        return;
    }
    let path = durations_path(invocation.settings);
    // Read again: another run may have written meanwhile.
    let mut durations = Durations::read(&path);
    durations.remember(took);
    if let Err(error) = durations.write(&path) {
        invocation.reporter.message(MessageKind::Debug, &error.message, None, None);
    }
}

impl<'a> Loader<'a> {
    /// With the storage behind the local cache that the configuration names; where it cannot be used that is said, and
    /// the cache is used alone.
    fn new(invocation: &'a Invocation<'a>, workspaces: Workspaces) -> Result<Loader<'a>, Failure> {
        let (settings, cancel) = (invocation.settings, Cancel::default());
        let kinds = AllKinds::new(settings, invocation.files, &invocation.reporter);
        let local = wire::local_trees(settings, invocation.files);
        let store = wire::store(settings)?;
        let mut services = wire::services(settings, &store);
        let storage = wire::backed(settings, &services, &cancel, &invocation.reporter);
        let storage = storage.unwrap_or_else(|error| {
            let text = format!("{STORAGE_GONE}: {error}");
            let place = settings.user.storage_service.iter().map(|spec| format!("declared: {}", spec.origin));
            let detail: Vec<String> = error.hint.into_iter().chain(place).collect();
            invocation.reporter.message(MessageKind::Warn, &text, Some(&detail.join("\n")), None);
            None
        });
        if let Some(backed) = storage {
            services.cas = backed.clone();
            services.assets = backed.clone();
            services.executor = backed;
        }
        Ok(Loader { invocation, kinds, local, services, cancel, workspaces, store })
    }

    /// Loads; stages junctions that are missing and loads again, until nothing is.
    fn load(&self, directory: &Path, wanted: &Wanted<'_>) -> Result<ElementGraph, Failure> {
        let locate = |need: &JunctionNeed| junctions::staged(self, need);
        let mut sources = SourceCaches::default();
        let mut options = LoadOptions {
            targets: wanted.targets.to_vec(),
            except: wanted.except.to_vec(),
            extent: wanted.extent,
            locate: Some(&locate),
            workspaces: self.loaded_workspaces(),
            ..load_options(self.invocation, &self.kinds, directory)
        };
        let files = self.invocation.files;
        let known = files.count();
        loop {
            let needs = match bourn_project::load(files, &options)? {
                Loaded::Graph(graph) => return Ok(graph),
                Loaded::NeedsJunctions(needs) => needs,
            };
            for need in needs {
                if options.junctions.contains_key(&need.key) {
                    let text = format!("The project of junction {} was staged and is not there", need.name);
                    return Err(Failure::new("load", text).reason("invalid-junction"));
                }
                let directory = junctions::stage(self, &need, &mut sources)?;
                options.junctions.insert(need.key, directory);
            }
            // The load that follows reads everything again.
            files.forget(known);
        }
    }

    /// The world of a plan, with these servers, in which those services of remote execution hold.
    fn world(
        self,
        plan: Plan,
        connected: Connected,
        execution: Option<RemoteExecution>,
    ) -> Result<World, Failure> {
        let options = self.options(&plan.graph)?;
        let Loader { invocation, kinds, local, mut services, cancel, workspaces, store } = self;
        let nested = wire::nested(invocation.settings, execution.clone(), &store, services.executor.clone());
        services.executor = Arc::new(nested);
        services.remotes = connected.remotes();
        let control = Control::sharing(services.executor.clone(), cancel);
        Ok(World { plan, workspaces, kinds, local, services, connected, execution, options, control })
    }

    fn loaded_workspaces(&self) -> IndexMap<String, LoadedWorkspace> {
        let open = self.workspaces.iter().filter_map(|(element, workspace)| {
            let directory = self.workspaces.directory(element)?;
            let last_build = workspace.last_build.clone().unwrap_or_default();
            Some((element.to_owned(), LoadedWorkspace { directory, last_build }))
        });
        open.collect()
    }

    /// How things are to be done in this project.
    ///
    /// # Errors
    /// What the configuration says of the project cannot be read; directories cannot be created.
    pub(crate) fn options(&self, graph: &ElementGraph) -> Result<Options, Failure> {
        let settings = self.invocation.settings;
        let user = &settings.user;
        let project = graph.projects.first().map_or("", |project| project.name.as_str());
        let temporary_directory = settings.tmp_directory();
        create(&temporary_directory)?;
        let workspaces = self.workspaces.iter().filter_map(|(element, open)| {
            let path = self.workspaces.directory(element)?;
            Some((element.to_owned(), Workspace { path, last_build: open.last_build.clone() }))
        });
        let count = |number: i32| usize::try_from(number).unwrap_or(0).max(1);
        Ok(Options {
            strict: settings.strict_for(project)?,
            retry_failed: user.retry_failed,
            cache_build_trees: match user.cache_buildtrees {
                crate::args::value::CacheBuildtrees::Always => CacheBuildTrees::Always,
                crate::args::value::CacheBuildtrees::Auto => CacheBuildTrees::Auto,
                crate::args::value::CacheBuildtrees::Never => CacheBuildTrees::Never,
            },
            pull_build_trees: user.pull_buildtrees,
            builders: count(user.builders),
            fetchers: count(user.fetchers),
            pushers: count(user.pushers),
            network_retries: u32::try_from(user.network_retries).unwrap_or(0),
            source_directory: user.sourcedir.clone(),
            temporary_directory,
            log: LogOptions {
                directory: user.logdir.clone(),
                key_length: user.logging.key_length,
                debug: user.logging.debug,
                time_zone: jiff::tz::TimeZone::system(),
            },
            workspaces: workspaces.collect(),
            durations: Durations::read(&durations_path(settings)),
            machine: machine(),
        })
    }
}

fn create(directory: &PathBuf) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io(&error, "creating", directory))
}

/// This machine as bst names it.
fn machine() -> Machine {
    let found = rustix::system::uname();
    let os = found.sysname().to_string_lossy().to_ascii_lowercase();
    let own = found.machine().to_string_lossy().into_owned();
    let own = own.replace('_', "-");
    let smaller = match own.as_str() {
        "x86-64" => Some("x86-32"),
        "aarch64" => Some("aarch32"),
        _ => None,
    };
    Machine { os, architectures: std::iter::once(own).chain(smaller.map(str::to_owned)).collect() }
}
