//! Which implementation stands behind every trait: decided here and nowhere else, from top to bottom.

use crate::exit::Failure;
use crate::report::reporter::Reporter;
use crate::settings::python::interpreter;
use crate::settings::remote::{RemoteExecution, RemoteKind, RemoteSpec};
use crate::settings::resolve::Settings;
use crate::settings::servers::Servers;
use bourn_build::event::MessageKind;
use bourn_cas::Store;
use bourn_elements::table as elements;
use bourn_plan::{ElementKind, KindTable, Patience, SourceKind, UrlTable};
use bourn_project::{Installed, KindOrigin, KindTraits, Kinds, Project};
use bourn_pyhost::{Python, PythonKinds};
use bourn_reapi::services::{Cancel, ErrorKind, Executed, Execution, ServiceResult};
use bourn_reapi::{Executor, ServiceError, Services};
use bourn_remote::Proxies as ServerProxies;
use bourn_remote::{Actions, Auth, Backed, Caches, Connection, Nested, Offer, Server, ServerKind};
use bourn_sandbox::LocalExecutor;
use bourn_sources::{LocalTrees, Netrc, NetrcError, Proxies, UrlSettings};
use bourn_yaml::{Diagnostics, Files};
use indexmap::IndexMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Every kind: those built into the program, and the project's own Python plugins.
pub(crate) struct AllKinds {
    urls: UrlSettings,
    python: PythonKinds,
}

impl AllKinds {
    /// With what the user's configuration says about downloads. A `.netrc` that cannot be read is warned of: most
    /// servers want no credentials.
    pub(crate) fn new(settings: &Settings, files: &Files, reporter: &Reporter) -> AllKinds {
        let netrc = netrc(files, &settings.environment.home().join(".netrc")).unwrap_or_else(|trouble| {
            reporter.warn(&format!("There are no credentials for downloads: {trouble}"));
            Netrc::default()
        });
        let urls = UrlSettings {
            fetch: settings.user.fetch_source,
            track: settings.user.track_source,
            netrc,
            proxies: Proxies::of(settings.environment.all()),
            patience: Patience::default(),
        };
        AllKinds { urls, python: PythonKinds::new(python(settings), files.clone()) }
    }
}

impl AllKinds {
    /// Whether plugins were asked, which see the environment.
    pub(crate) fn runs_python(&self) -> bool {
        self.python.is_used()
    }
}

/// The user's credentials for downloads, if there are any; else why they cannot be read.
fn netrc(files: &Files, path: &Path) -> Result<Netrc, String> {
    match files.bytes(path).and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other)) {
        Ok(text) => {
            let named =
                |error: NetrcError| format!("{}, line {}: {}", path.display(), error.line, error.message);
            Netrc::parse(&text).map_err(named)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Netrc::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What the loader asks.
impl Kinds for AllKinds {
    fn element_defaults(&self, kind: &str, origin: &KindOrigin) -> Option<String> {
        elements::defaults(kind, origin).map(str::to_owned)
    }

    fn source_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        bourn_sources::find(kind, origin).is_some()
    }

    fn source_ref_keys(&self, kind: &str, origin: &KindOrigin) -> &'static [&'static str] {
        bourn_sources::find(kind, origin).map_or(&["ref"], SourceKind::ref_keys)
    }

    fn source_mirror_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        bourn_sources::mirrors::known(kind, origin)
    }

    fn recognise_element(&self, kind: &str, code: &[u8]) -> Option<(String, String)> {
        let (package, version) = bourn_elements::recognised::recognise(kind, code)?;
        Some((package.name().to_owned(), version.to_owned()))
    }

    fn expect_element(&self, kind: &str) {
        // Any other name may also be that of a copy of a kind that is built in.
        if !elements::is_known(kind) {
            self.python.expect();
        }
    }

    fn installed(
        &self,
        group: &str,
        package: &str,
        kind: &str,
    ) -> Result<Option<Installed>, (String, Option<String>)> {
        self.python.installed(group, package, kind).map_err(|error| (error.message, error.detail))
    }

    fn element_traits(&self, kind: &str, origin: &KindOrigin) -> Option<KindTraits> {
        elements::traits(kind, origin).or_else(|| {
            let why = self.python.deprecated("elements", kind, origin)?;
            Some(KindTraits { takes_dependency_config: true, deprecated: Some(why), ..KindTraits::default() })
        })
    }

    fn source_deprecated(&self, kind: &str, origin: &KindOrigin) -> Option<String> {
        match bourn_sources::find(kind, origin) {
            Some(_) => None,
            None => self.python.deprecated("sources", kind, origin),
        }
    }

    fn package_versions(&self, package: &str) -> Vec<String> {
        elements::package_versions(package).iter().map(ToString::to_string).collect()
    }
}

/// What the plan asks.
impl KindTable for AllKinds {
    fn element(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn ElementKind> {
        if let Some(built_in) = elements::element(kind, origin) {
            return Some(built_in);
        }
        self.python.element(kind, origin)
    }

    fn source(&self, kind: &str, origin: &KindOrigin) -> Option<&dyn SourceKind> {
        if let Some(built_in) = bourn_sources::find(kind, origin) {
            return Some(built_in);
        }
        self.python.source(kind, origin)
    }

    fn urls(&self, projects: &[Project]) -> Result<Vec<Arc<dyn UrlTable>>, Diagnostics> {
        bourn_sources::url_tables(projects, &self.urls, &self.python)
    }
}

/// The user's Python, with the user's environment: plugins run tools and read variables of their own.
fn python(settings: &Settings) -> Python {
    let environment = &settings.environment;
    Python {
        program: interpreter(environment),
        environment: environment.all().map(|(name, value)| (name.into(), value.into())).collect(),
        directory: settings.own_directory().join("pyhost"),
        source_directory: settings.user.sourcedir.clone(),
        temporary_directory: settings.tmp_directory(),
    }
}

/// Digests of local files, remembered between runs.
pub(crate) fn local_trees(settings: &Settings, files: &Files) -> LocalTrees {
    LocalTrees::new(Some(&settings.own_directory()), files.clone())
}

/// The local cache.
///
/// # Errors
/// It cannot be created.
pub(crate) fn store(settings: &Settings) -> Result<Arc<Store>, Failure> {
    Ok(Arc::new(Store::open(&settings.user.cachedir)?))
}

/// The services of this machine, upon the local cache: all that it takes to load a project.
pub(crate) fn services(settings: &Settings, store: &Arc<Store>) -> Services {
    store.keep_within(crate::expiry::quota(&settings.user));
    let executor = LateExecutor {
        store: store.clone(),
        directory: sandbox_directory(settings),
        jobs: settings.user.jobserver,
        started: OnceLock::new(),
    };
    Services {
        cas: store.clone(),
        action_cache: Some(store.clone()),
        assets: store.clone(),
        executor: Arc::new(executor),
        remotes: None,
    }
}

/// An executor for a project, with the services for build tools before it that elements ask for with
/// `remote-apis-socket`. They are made of those of remote execution that hold for the project.
pub(crate) fn nested(
    settings: &Settings,
    execution: Option<RemoteExecution>,
    store: &Arc<Store>,
    executor: Arc<dyn Executor>,
) -> Nested {
    let cache_storage = settings.user.storage_service.clone();
    let (own, run, proxies) = (store.clone(), executor.clone(), proxies(settings));
    let prepare = move || {
        let services = execution.as_ref();
        let Some(actions) = services.and_then(|services| services.action_cache.as_ref()) else {
            if cache_storage.is_some() {
                let text = "`remote-apis-socket` beside `cache: storage-service` needs a cache of actions";
                let hint = "name an `action-cache-service` in `remote-execution`";
                return Err(ServiceError::new(ErrorKind::Invalid, text).hint(hint));
            }
            return Ok(Offer { cas: own.clone(), actions: own.nested_actions() });
        };
        // The configuration was checked to have one of them.
        let storage = services.and_then(|services| services.storage.as_ref());
        let storage = storage.or(cache_storage.as_ref()).unwrap_or(actions);
        let storage = address(&proxies, storage, ServerKind::Storage);
        // What the tools ask for and cannot be had they tell themselves.
        let (cancel, warn) = (Cancel::default(), |_: &str| ());
        let backed = Backed::connect(&storage, own.clone(), own.clone(), run.clone(), cancel, warn)?;
        let backed = Arc::new(backed);
        let actions = Actions::new(&address(&proxies, actions, ServerKind::Actions), backed.clone())?;
        Ok(Offer { cas: backed, actions: Arc::new(actions) })
    };
    Nested::new(executor, store.clone(), settings.own_directory().join("nested"), prepare)
}

/// The services with the storage service behind them that the configuration names; `None` where it names none.
///
/// # Errors
/// It cannot be used.
pub(crate) fn backed(
    settings: &Settings,
    services: &Services,
    cancel: &Cancel,
    reporter: &Reporter,
) -> ServiceResult<Option<Arc<Backed>>> {
    let Some(spec) = &settings.user.storage_service else { return Ok(None) };
    // Whatever `type` says: it is asked for blobs and nothing else.
    let server = address(&proxies(settings), spec, ServerKind::Storage);
    let Services { cas, assets, executor, .. } = services.clone();
    let (cancel, reporter, place) = (cancel.clone(), reporter.clone(), format!("declared: {}", spec.origin));
    let warn = move |text: &str| reporter.message(MessageKind::Warn, text, Some(&place), None);
    Ok(Some(Arc::new(Backed::connect(&server, cas, assets, executor, cancel, warn)?)))
}

/// The artifact and source servers, which are being connected to.
///
/// # Errors
/// There are no threads to be had.
pub(crate) fn caches(settings: &Settings, services: &Services, servers: &Servers) -> Result<Caches, Failure> {
    let proxies = proxies(settings);
    let group = |servers: &IndexMap<String, Vec<RemoteSpec>>| {
        let usable =
            |specs: &Vec<RemoteSpec>| specs.iter().filter_map(|spec| server(&proxies, spec)).collect();
        servers.iter().map(|(project, specs)| (project.clone(), usable(specs))).collect()
    };
    let (artifacts, sources) = (group(&servers.artifacts), group(&servers.sources));
    let key_length = settings.user.logging.key_length;
    Ok(Caches::connect(services.cas.clone(), services.assets.clone(), artifacts, sources, key_length)?)
}

/// Through which proxies servers are reached.
pub(crate) fn proxies(settings: &Settings) -> ServerProxies {
    ServerProxies::of(settings.environment.all())
}

/// A declared server as it is spoken to; none for services of remote execution.
pub(crate) fn server(proxies: &ServerProxies, spec: &RemoteSpec) -> Option<Server> {
    let kind = match spec.kind {
        RemoteKind::Index => ServerKind::Index,
        RemoteKind::Storage => ServerKind::Storage,
        RemoteKind::All => ServerKind::All,
        RemoteKind::Endpoint => return None,
    };
    Some(address(proxies, spec, kind))
}

/// A declared service as it is spoken to, as a server of that kind.
pub(crate) fn address(proxies: &ServerProxies, spec: &RemoteSpec, kind: ServerKind) -> Server {
    // Numbers below nought mean nothing to bst either, nor does a time of nought between pings or for a request.
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let seconds = |number, each| count(number).map(|number| Duration::from_secs(u64::from(number) * each));
    let time = |number: Option<i32>| seconds(number.filter(|number| *number != 0), 1);
    let (auth, connection) = (&spec.auth, &spec.connection);
    Server {
        url: spec.url.clone(),
        instance: spec.instance_name.clone().unwrap_or_default(),
        kind,
        push: spec.push,
        auth: Auth {
            server_cert: auth.server_cert.clone(),
            client_key: auth.client_key.clone(),
            client_cert: auth.client_cert.clone(),
            access_token: auth.access_token.clone(),
            token_reload: seconds(auth.access_token_reload_interval, 60),
        },
        connection: Connection {
            keepalive: time(connection.keepalive_time),
            retry_limit: count(connection.retry_limit),
            retry_delay: count(connection.retry_delay).map(|delay| Duration::from_millis(delay.into())),
            request_timeout: time(connection.request_timeout),
        },
        route: proxies.route(&spec.url),
    }
}

/// The sandbox of this machine, prepared when the first command is run: most commands run none.
struct LateExecutor {
    store: Arc<Store>,
    directory: PathBuf,
    /// How many processes all commands together may run, where that is limited.
    jobs: Option<u32>,
    started: OnceLock<ServiceResult<LocalExecutor>>,
}

/// The sandbox of this machine, to be asked what it can do.
///
/// # Errors
/// Its directory cannot be used.
pub(crate) fn local_executor(settings: &Settings, store: Arc<Store>) -> ServiceResult<LocalExecutor> {
    LocalExecutor::new(store, &sandbox_directory(settings))
}

fn sandbox_directory(settings: &Settings) -> PathBuf {
    settings.own_directory().join("sandbox")
}

impl LateExecutor {
    fn executor(&self) -> ServiceResult<&LocalExecutor> {
        let start = || {
            let executor = LocalExecutor::new(self.store.clone(), &self.directory)?;
            match self.jobs {
                Some(jobs) => executor.sharing(jobs),
                None => Ok(executor),
            }
        };
        self.started.get_or_init(start).as_ref().map_err(Clone::clone)
    }
}

impl Executor for LateExecutor {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        self.executor()?.execute(execution, log, cancel)
    }

    fn suspend(&self, stop: bool) {
        if let Some(Ok(executor)) = self.started.get() {
            executor.suspend(stop);
        }
    }
}
