//! The user's configuration file, laid over the defaults and checked.

use crate::args::value::{CacheBuildtrees, OnError, Selection};
use crate::settings::environment::Environment;
use crate::settings::remote::{RemoteExecution, RemoteReader, RemoteSpec, Role};
use crate::settings::size;
use bourn_sources::UrlPolicy;
use bourn_yaml::{Diagnostic, Diagnostics, Files, Node};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEFAULTS: &str = include_str!("defaults.yaml");

/// Artifact or source servers, and whether those of projects are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct CacheServers {
    /// `override-project-caches`.
    pub(crate) override_projects: bool,
    /// `servers`.
    pub(crate) servers: Vec<RemoteSpec>,
}

/// The configuration, every value read.
#[derive(Clone, Debug)]
pub(crate) struct UserConfig {
    /// The file it came from.
    pub(crate) origin: Option<PathBuf>,
    /// `cachedir`.
    pub(crate) cachedir: PathBuf,
    /// `sourcedir`.
    pub(crate) sourcedir: PathBuf,
    /// `logdir`.
    pub(crate) logdir: PathBuf,
    /// `workspacedir`.
    pub(crate) workspacedir: PathBuf,
    /// `cache.quota` in bytes; `None` for as much as there is.
    pub(crate) quota: Option<u64>,
    /// `cache.reserved-disk-space` in bytes.
    pub(crate) reserved: u64,
    /// `cache.low-watermark`, a share of the quota.
    pub(crate) low_watermark: f64,
    /// `cache.storage-service`.
    pub(crate) storage_service: Option<RemoteSpec>,
    /// `cache.pull-buildtrees`.
    pub(crate) pull_buildtrees: bool,
    /// `cache.cache-buildtrees`.
    pub(crate) cache_buildtrees: CacheBuildtrees,
    /// `artifacts`.
    pub(crate) artifacts: CacheServers,
    /// `source-caches`.
    pub(crate) source_caches: CacheServers,
    /// `remote-execution`, for projects of which nothing else is said.
    pub(crate) remote_execution: Option<RemoteExecution>,
    /// `logging`.
    pub(crate) logging: Logging,
    /// `scheduler.on-error`.
    pub(crate) on_error: OnError,
    /// `scheduler.fetchers`.
    pub(crate) fetchers: i32,
    /// `scheduler.builders`.
    pub(crate) builders: i32,
    /// `scheduler.pushers`.
    pub(crate) pushers: i32,
    /// `scheduler.network-retries`.
    pub(crate) network_retries: i32,
    /// `build.max-jobs`; 0 for the number of cores.
    pub(crate) max_jobs: i32,
    /// `build.jobserver`: how many processes all builds together may run; `None` without a jobserver.
    pub(crate) jobserver: Option<u32>,
    /// `build.retry-failed`.
    pub(crate) retry_failed: bool,
    /// `build.dependencies`.
    pub(crate) dependencies: Selection,
    /// `fetch.source`.
    pub(crate) fetch_source: UrlPolicy,
    /// `track.source`.
    pub(crate) track_source: UrlPolicy,
    /// `projects`, by name.
    pub(crate) projects: IndexMap<String, Node>,
}

/// `logging`.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    /// How many digits of a key are shown.
    pub(crate) key_length: usize,
    /// Whether every message is shown.
    pub(crate) verbose: bool,
    /// Whether the user's own file says so.
    pub(crate) verbose_is_explicit: bool,
    /// Whether debugging messages are shown.
    pub(crate) debug: bool,
    /// Lines of a failed job's log.
    pub(crate) error_lines: usize,
    /// Lines of a long message.
    pub(crate) message_lines: usize,
    /// What `show` prints of an element.
    pub(crate) element_format: String,
    /// What a message line is made of.
    pub(crate) message_format: String,
}

impl UserConfig {
    /// Reads the file at `path`, or else the user's own: `buildstream2.conf`, then `buildstream.conf`, in the
    /// configuration directory.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn load(
        files: &Files,
        path: Option<&str>,
        environment: &Environment,
    ) -> Result<UserConfig, Diagnostics> {
        let chosen = match path {
            Some(path) => Some(PathBuf::from(path)),
            None => own_file(environment),
        };
        let defaults = files.add(Path::new("defaults.yaml"), "defaults.yaml", None, Arc::from(DEFAULTS));
        let mut config = bourn_yaml::parse(files, defaults)?;
        let mut verbose_is_explicit = false;
        if let Some(path) = &chosen {
            let file = files.read(path, &path.to_string_lossy(), None)?;
            let user = bourn_yaml::parse(files, file)?;
            verbose_is_explicit = user.get("logging").is_some_and(|logging| logging.get("verbose").is_some());
            bourn_yaml::compose::compose(&mut config, &user)?;
        }
        let origin = chosen.and_then(|path| std::path::absolute(path).ok());
        let reader = Reader { files, environment, config: &config };
        Ok(reader.read(origin, verbose_is_explicit)?)
    }

    /// What `projects` says of a project.
    pub(crate) fn project(&self, name: &str) -> Option<&Node> {
        self.projects.get(name)
    }

    /// The services of remote execution for what is started in a project: those that `projects` names for it, else
    /// those in general.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn execution_for(
        &self,
        reader: &RemoteReader<'_>,
        project: &str,
    ) -> Result<Option<RemoteExecution>, Diagnostic> {
        let special = match self.project(project) {
            Some(node) => remote_execution(reader, node, self.storage_service.is_some())?,
            None => None,
        };
        Ok(special.or_else(|| self.remote_execution.clone()))
    }
}

fn own_file(environment: &Environment) -> Option<PathBuf> {
    let directory = environment.xdg("XDG_CONFIG_HOME");
    ["buildstream2.conf", "buildstream.conf"]
        .map(|name| directory.join(name))
        .into_iter()
        .find(|path| path.exists())
}

struct Reader<'a> {
    files: &'a Files,
    environment: &'a Environment,
    config: &'a Node,
}

impl Reader<'_> {
    fn read(&self, origin: Option<PathBuf>, verbose_is_explicit: bool) -> Result<UserConfig, Diagnostic> {
        self.check_keys()?;
        let config = self.config;
        let cachedir = self.directory("cachedir")?;
        let (sourcedir, logdir) = (self.directory("sourcedir")?, self.directory("logdir")?);
        let workspacedir = self.directory("workspacedir")?;
        let cache = config.get_mapping("cache")?;
        cache.validate_keys(&[
            "quota",
            "reserved-disk-space",
            "low-watermark",
            "storage-service",
            "pull-buildtrees",
            "cache-buildtrees",
        ])?;
        let remotes = RemoteReader { files: self.files, environment: self.environment, base: None };
        let storage_service =
            cache.opt_mapping("storage-service")?.map(|node| remotes.spec(node, Role::Cache)).transpose()?;
        let scheduler = config.get_mapping("scheduler")?;
        let build = config.get_mapping("build")?;
        Ok(UserConfig {
            quota: quota(cache, &cachedir)?,
            reserved: reserved(cache, &cachedir)?,
            low_watermark: low_watermark(cache)?,
            artifacts: servers(&remotes, config, "artifacts")?,
            source_caches: servers(&remotes, config, "source-caches")?,
            remote_execution: remote_execution(&remotes, config, storage_service.is_some())?,
            pull_buildtrees: cache.get_bool("pull-buildtrees")?,
            cache_buildtrees: cache.get_enum(
                "cache-buildtrees",
                &[
                    ("always", CacheBuildtrees::Always),
                    ("auto", CacheBuildtrees::Auto),
                    ("never", CacheBuildtrees::Never),
                ],
            )?,
            logging: logging(config, verbose_is_explicit)?,
            on_error: on_error(scheduler)?,
            fetchers: scheduler.get_int("fetchers")?,
            builders: scheduler.get_int("builders")?,
            pushers: scheduler.get_int("pushers")?,
            network_retries: scheduler.get_int("network-retries")?,
            max_jobs: max_jobs(build)?,
            jobserver: jobserver(build)?,
            retry_failed: build.get_bool("retry-failed")?,
            dependencies: dependencies(build)?,
            fetch_source: policy(config.get_mapping("fetch")?)?,
            track_source: policy(config.get_mapping("track")?)?,
            projects: projects(config)?,
            storage_service,
            cachedir,
            sourcedir,
            logdir,
            workspacedir,
            origin,
        })
    }

    fn check_keys(&self) -> Result<(), Diagnostic> {
        for (key, text) in
            [("builddir", "builddir is obsolete, use cachedir"), ("artifactdir", "artifactdir is obsolete")]
        {
            if let Some(node) = self.config.get(key) {
                return Err(Diagnostic::load("invalid-data", text).at(node.at));
            }
        }
        self.config.validate_keys(&[
            "cachedir",
            "sourcedir",
            "logdir",
            "scheduler",
            "build",
            "fetch",
            "track",
            "artifacts",
            "source-caches",
            "logging",
            "projects",
            "cache",
            "workspacedir",
            "remote-execution",
        ])
    }

    fn directory(&self, key: &str) -> Result<PathBuf, Diagnostic> {
        let path = self.environment.expand_path(self.config.get_str(key)?);
        if path.is_absolute() || (key == "workspacedir" && path == Path::new(".")) {
            return Ok(path);
        }
        let at = self.config.get_node(key)?.at;
        Err(Diagnostic::load("invalid-data", format!("{key} must be an absolute path")).at(at))
    }
}

fn cache_servers(remotes: &RemoteReader<'_>, node: &Node) -> Result<CacheServers, Diagnostic> {
    node.validate_keys(&["override-project-caches", "servers"])?;
    let servers = node.opt_sequence("servers")?.unwrap_or_default();
    Ok(CacheServers {
        override_projects: node.opt_bool("override-project-caches")?.unwrap_or(false),
        servers: servers
            .iter()
            .map(|server| {
                server.as_mapping().map_err(|wrong| wrong.hint("write `- url: ` before it"))?;
                remotes.spec(server, Role::Cache)
            })
            .collect::<Result<_, _>>()?,
    })
}

/// Reads the servers that `artifacts` or `source-caches` gives, of all projects or of one.
///
/// # Errors
/// `invalid-data`.
pub(crate) fn servers(
    remotes: &RemoteReader<'_>,
    config: &Node,
    key: &str,
) -> Result<CacheServers, Diagnostic> {
    let section = config.opt_mapping(key).map_err(|wrong| {
        wrong.hint(format!("unlike in project.conf, servers are listed below `{key}: servers:` here"))
    })?;
    section.map_or_else(|| Ok(CacheServers::default()), |node| cache_servers(remotes, node))
}

fn bad_size(cache: &Node, key: &str, text: &str, hint: &str) -> Diagnostic {
    let bad = Diagnostic::load("invalid-data", text).hint(hint);
    match cache.get_node(key) {
        Ok(node) => bad.at(node.at),
        Err(_) => bad,
    }
}

const SIZES: &str = "write bytes or a share of the disk, for example 800M, 10G, 1T or 50%";

fn quota(cache: &Node, cachedir: &Path) -> Result<Option<u64>, Diagnostic> {
    size::parse_size(cache.get_str("quota")?, || volume_size(cachedir))
        .map_err(|text| bad_size(cache, "quota", &text, SIZES))
}

fn reserved(cache: &Node, cachedir: &Path) -> Result<u64, Diagnostic> {
    const KEY: &str = "reserved-disk-space";
    match size::parse_size(cache.get_str(KEY)?, || volume_size(cachedir)) {
        Ok(Some(size)) => Ok(size),
        Ok(None) => Err(bad_size(cache, KEY, "The space to keep free cannot be infinite", SIZES)),
        Err(text) => Err(bad_size(cache, KEY, &text, SIZES)),
    }
}

fn low_watermark(cache: &Node) -> Result<f64, Diagnostic> {
    const KEY: &str = "low-watermark";
    size::parse_percentage(cache.get_str(KEY)?)
        .map_err(|text| bad_size(cache, KEY, &text, "write a share of the quota, for example 80%"))
}

/// Size in bytes of the file system that holds `path`, or would once it exists; 0 if that cannot be told.
pub(crate) fn volume_size(path: &Path) -> u64 {
    let existing = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(existing).map_or(0, |found| found.f_blocks.saturating_mul(found.f_frsize))
}

fn logging(config: &Node, verbose_is_explicit: bool) -> Result<Logging, Diagnostic> {
    let node = config.get_mapping("logging")?;
    node.validate_keys(&[
        "key-length",
        "verbose",
        "error-lines",
        "message-lines",
        "debug",
        "element-format",
        "message-format",
        "throttle-ui-updates",
    ])?;
    // Messages are shown when they come; the key is read so that a wrong value is still an error.
    node.get_bool("throttle-ui-updates")?;
    let count = |key| Ok(usize::try_from(node.get_int(key)?).unwrap_or(0));
    Ok(Logging {
        key_length: count("key-length")?,
        verbose: node.get_bool("verbose")?,
        verbose_is_explicit,
        debug: node.get_bool("debug")?,
        error_lines: count("error-lines")?,
        message_lines: count("message-lines")?,
        element_format: node.get_str("element-format")?.to_owned(),
        message_format: node.get_str("message-format")?.to_owned(),
    })
}

fn on_error(scheduler: &Node) -> Result<OnError, Diagnostic> {
    scheduler.validate_keys(&["on-error", "fetchers", "builders", "pushers", "network-retries"])?;
    let names = [("continue", OnError::Continue), ("quit", OnError::Quit), ("terminate", OnError::Terminate)];
    scheduler.get_enum("on-error", &names)
}

fn max_jobs(build: &Node) -> Result<i32, Diagnostic> {
    build.validate_keys(&["max-jobs", "jobserver", "retry-failed", "dependencies"])?;
    build.get_int("max-jobs")
}

/// `off`, `auto` for as many processes as there are cores, or a number of processes.
fn jobserver(build: &Node) -> Result<Option<u32>, Diagnostic> {
    match build.get_str("jobserver")? {
        "off" => Ok(None),
        "auto" => Ok(Some(std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32))),
        number => match number.parse() {
            Ok(jobs) if jobs > 0 => Ok(Some(jobs)),
            _ => {
                let text = format!("Invalid value for 'jobserver': {number}");
                let hint = "write off, auto, or how many processes all builds together may run";
                Err(Diagnostic::load("invalid-data", text).hint(hint).at(build.get_node("jobserver")?.at))
            }
        },
    }
}

fn dependencies(build: &Node) -> Result<Selection, Diagnostic> {
    match build.get_str("dependencies")? {
        "none" => Ok(Selection::None),
        "run" => Ok(Selection::Run),
        "all" => Ok(Selection::All),
        _ => {
            let text = "Invalid value for 'dependencies'. Choose 'none', 'run', or 'all'.";
            Err(Diagnostic::load("invalid-data", text).at(build.get_node("dependencies")?.at))
        }
    }
}

fn policy(node: &Node) -> Result<UrlPolicy, Diagnostic> {
    node.validate_keys(&["source"])?;
    let names = [
        ("all", UrlPolicy::All),
        ("aliases", UrlPolicy::Aliases),
        ("mirrors", UrlPolicy::Mirrors),
        ("user", UrlPolicy::User),
    ];
    node.get_enum("source", &names)
}

/// The `remote-execution` of the configuration, or of what it says of a project.
fn remote_execution(
    reader: &RemoteReader<'_>,
    node: &Node,
    has_cache_storage: bool,
) -> Result<Option<RemoteExecution>, Diagnostic> {
    let node = node.opt_mapping("remote-execution")?;
    node.map(|node| reader.execution(node, has_cache_storage)).transpose()
}

fn projects(config: &Node) -> Result<IndexMap<String, Node>, Diagnostic> {
    let Some(node) = config.opt_mapping("projects")? else { return Ok(IndexMap::new()) };
    let mut projects = IndexMap::new();
    for (name, project) in node.as_mapping()?.iter() {
        project.as_mapping()?;
        project.validate_keys(&[
            "artifacts",
            "source-caches",
            "options",
            "strict",
            "default-mirror",
            "remote-execution",
            "mirrors",
        ])?;
        projects.insert(name.to_string(), project.clone());
    }
    Ok(projects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<UserConfig, Diagnostics> {
        let files = Files::default();
        let environment = Environment::with([("HOME".to_owned(), "/home/me".to_owned())]);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("user.conf");
        std::fs::write(&path, text).expect("written");
        UserConfig::load(&files, path.to_str(), &environment)
    }

    /// Checks the code and a part of the message of what is wrong with `text`.
    fn check_error(text: &str, code: &str, part: &str) {
        let found = load(text).expect_err(text);
        assert_eq!(found.0[0].code, code, "{text}");
        assert!(found.to_string().contains(part), "{text}: {found}");
    }

    #[test]
    fn defaults() {
        let config = load("{}").expect("an empty configuration");
        assert_eq!(config.cachedir, Path::new("/home/me/.cache/buildstream"));
        assert_eq!(config.workspacedir, Path::new("."));
        assert_eq!((config.quota, config.low_watermark), (None, 0.8));
        assert_eq!((config.fetchers, config.builders, config.pushers), (10, 4, 4));
        assert!(config.logging.verbose && !config.logging.verbose_is_explicit);
        assert_eq!(config.logging.message_format, "[%{elapsed}][%{key}][%{element}] %{action} %{message}");
        assert_eq!((config.dependencies, config.jobserver), (Selection::Run, None));
        let config = load("build: {jobserver: 12}").expect("a good configuration");
        assert_eq!(config.jobserver, Some(12));
        let config = load("build: {jobserver: auto}").expect("a good configuration");
        assert!(config.jobserver.is_some_and(|jobs| jobs > 0));
        let config = load("{}").expect("an empty configuration");
        assert_eq!((config.fetch_source, config.track_source), (UrlPolicy::All, UrlPolicy::Aliases));
    }

    #[test]
    fn servers() {
        let config = load(
            "artifacts:\n  servers:\n  - url: https://a\n    push: true\n    auth: {client-key: ~/k, client-cert: /c}\n\
             cache: {storage-service: {url: 'http://s'}}\nremote-execution: {execution-service: {url: 'http://e'}}\n",
        )
        .expect("a good configuration");
        let server = &config.artifacts.servers[0];
        assert_eq!((server.url.as_str(), server.push), ("https://a", true));
        assert_eq!(server.auth.client_key.as_deref(), Some(Path::new("/home/me/k")));
        assert!(config.remote_execution.is_some_and(|services| services.storage.is_none()));
    }

    #[test]
    fn mistakes() {
        check_error("pony: 1", "invalid-data", "pony");
        check_error("builddir: /x", "invalid-data", "obsolete");
        check_error("cachedir: x", "invalid-data", "cachedir must be an absolute path");
        check_error("cache: {quota: pony}", "invalid-data", "pony is not a valid data size");
        check_error("cache: {reserved-disk-space: infinity}", "invalid-data", "cannot be infinite");
        check_error("cache: {low-watermark: 120%}", "invalid-data", "not between");
        check_error("scheduler: {on-error: pony}", "invalid-data", "continue");
        check_error("scheduler: {fetchers: x}", "invalid-data", "fetchers");
        check_error("build: {jobserver: many}", "invalid-data", "jobserver");
        check_error("build: {jobserver: 0}", "invalid-data", "jobserver");
        check_error("build: {dependencies: build}", "invalid-data", "dependencies");
        check_error("logging: {verbose: maybe}", "invalid-data", "verbose");
        check_error("artifacts: {servers: [{url: ''}]}", "invalid-data", "empty");
        check_error(
            "artifacts: {servers: [{url: x, auth: {client-key: k}}]}",
            "invalid-data",
            "without 'client-cert'",
        );
        check_error("remote-execution: {execution-service: {url: x}}", "invalid-data", "storage-service");
        check_error("projects: {demo: {pony: 1}}", "invalid-data", "pony");
        check_error("a: b: c", "invalid-yaml", "");
    }
}
