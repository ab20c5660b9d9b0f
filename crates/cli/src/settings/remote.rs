//! Servers: artifact and source caches, storage, remote execution.

use crate::settings::environment::Environment;
use bourn_yaml::{Diagnostic, Files, Node};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RemoteKind {
    /// Names only.
    Index,
    /// Blobs only.
    Storage,
    /// A service of remote execution.
    Endpoint,
    /// Names and blobs.
    All,
}

impl RemoteKind {
    const NAMES: [(&'static str, RemoteKind); 4] = [
        ("index", RemoteKind::Index),
        ("storage", RemoteKind::Storage),
        ("endpoint", RemoteKind::Endpoint),
        ("all", RemoteKind::All),
    ];

    /// The kind of that name.
    pub(crate) fn from_name(name: &str) -> Option<RemoteKind> {
        RemoteKind::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RemoteKind::Index => "index",
            RemoteKind::Storage => "storage",
            RemoteKind::Endpoint => "endpoint",
            RemoteKind::All => "all",
        }
    }
}

/// Files with which a client and a server identify themselves to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Auth {
    /// Certificate of the server.
    pub(crate) server_cert: Option<PathBuf>,
    /// Key of the client.
    pub(crate) client_key: Option<PathBuf>,
    /// Certificate of the client.
    pub(crate) client_cert: Option<PathBuf>,
    /// A file holding a bearer token.
    pub(crate) access_token: Option<PathBuf>,
    /// Minutes after which that file is read again.
    pub(crate) access_token_reload_interval: Option<i32>,
}

/// How a connection is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// Seconds between keep-alive pings.
    pub(crate) keepalive_time: Option<i32>,
    /// How often a request is tried again.
    pub(crate) retry_limit: Option<i32>,
    /// Milliseconds before a request is tried again.
    pub(crate) retry_delay: Option<i32>,
    /// Seconds that a request may take.
    pub(crate) request_timeout: Option<i32>,
    /// Keys that mean nothing, which bst passes over as well.
    pub(crate) ignored: Vec<String>,
}

impl Connection {
    /// The keys that mean something.
    pub(crate) const KEYS: [&str; 4] = ["keepalive-time", "retry-limit", "retry-delay", "request-timeout"];
}

/// A server and how to speak to it. Two are equal when everything but the place of declaration is.
#[derive(Clone, Debug)]
pub(crate) struct RemoteSpec {
    /// What it is used for.
    pub(crate) kind: RemoteKind,
    /// Its URL.
    pub(crate) url: String,
    /// Whether we may upload to it.
    pub(crate) push: bool,
    /// The instance on it.
    pub(crate) instance_name: Option<String>,
    /// Certificates and tokens.
    pub(crate) auth: Auth,
    /// How the connection is kept.
    pub(crate) connection: Connection,
    /// Where it was declared.
    pub(crate) origin: String,
}

impl PartialEq for RemoteSpec {
    fn eq(&self, other: &RemoteSpec) -> bool {
        let parts = |spec: &RemoteSpec| (spec.kind, spec.push);
        parts(self) == parts(other)
            && self.url == other.url
            && self.instance_name == other.instance_name
            && self.auth == other.auth
            && self.connection == other.connection
    }
}

impl RemoteSpec {
    /// The same with `~` replaced in paths.
    pub(crate) fn expanded(&self, environment: &Environment) -> RemoteSpec {
        let mut spec = self.clone();
        let auth = &mut spec.auth;
        for path in
            [&mut auth.server_cert, &mut auth.client_key, &mut auth.client_cert, &mut auth.access_token]
        {
            if let Some(text) = path.as_ref().and_then(|path| path.to_str()) {
                *path = Some(PathBuf::from(environment.expand_user(text)));
            }
        }
        spec
    }
}

/// As the heading of a session lists it.
impl fmt::Display for RemoteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let push = if self.push { "True" } else { "False" };
        let instance = self.instance_name.as_deref().unwrap_or("None");
        writeln!(f, "{}", self.url)?;
        writeln!(f, "push: {push} type: {} instance: {instance}", self.kind.name())?;
        write!(f, "loaded from: {}", self.origin)
    }
}

/// What a mapping that declares a server may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An artifact or source cache, or the storage service of the cache: `type` and `push` are allowed.
    Cache,
    /// A service of remote execution: neither is.
    Execution,
    /// The action cache of remote execution: `push` is allowed.
    ActionCache,
}

/// The services of `remote-execution`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteExecution {
    /// Runs commands.
    pub(crate) execution: Option<RemoteSpec>,
    /// Holds blobs.
    pub(crate) storage: Option<RemoteSpec>,
    /// Remembers results.
    pub(crate) action_cache: Option<RemoteSpec>,
}

/// Reads declarations of servers out of configuration.
pub(crate) struct RemoteReader<'a> {
    /// The files, to say where things were declared.
    pub(crate) files: &'a Files,
    /// For `~` in paths.
    pub(crate) environment: &'a Environment,
    /// What relative paths of certificates are relative to; `None` leaves them alone.
    pub(crate) base: Option<&'a Path>,
}

impl RemoteReader<'_> {
    /// Reads one server.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn spec(&self, node: &Node, role: Role) -> Result<RemoteSpec, Diagnostic> {
        let (kind, push, extra): (_, _, &[&str]) = match role {
            Role::Cache => {
                let kind = node.opt_enum("type", &RemoteKind::NAMES)?.unwrap_or(RemoteKind::All);
                (kind, node.opt_bool("push")?.unwrap_or(false), &["type", "push"])
            }
            Role::ActionCache => (RemoteKind::Endpoint, node.opt_bool("push")?.unwrap_or(false), &["push"]),
            Role::Execution => (RemoteKind::Endpoint, false, &[]),
        };
        let keys = [&["url", "instance-name", "auth", "connection-config"], extra].concat();
        node.validate_keys(&keys)?;
        let url = node.get_str("url")?;
        if url.is_empty() {
            let at = node.get_node("url")?.at;
            return Err(Diagnostic::load("invalid-data", "empty artifact cache URL").at(at));
        }
        Ok(RemoteSpec {
            kind,
            url: url.to_owned(),
            push,
            instance_name: node.opt_str("instance-name")?.map(str::to_owned),
            auth: node.opt_mapping("auth")?.map(|auth| self.auth(auth)).transpose()?.unwrap_or_default(),
            connection: node
                .opt_mapping("connection-config")?
                .map(connection)
                .transpose()?
                .unwrap_or_default(),
            origin: self.files.position(node.at).map_or_else(String::new, |place| place.to_string()),
        })
    }

    /// Reads `remote-execution`; `has_cache_storage` says whether `cache.storage-service` can stand in for its
    /// storage service.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn execution(
        &self,
        node: &Node,
        has_cache_storage: bool,
    ) -> Result<RemoteExecution, Diagnostic> {
        node.validate_keys(&["execution-service", "storage-service", "action-cache-service"])?;
        let read = |key, role| node.opt_mapping(key)?.map(|service| self.spec(service, role)).transpose();
        let services = RemoteExecution {
            execution: read("execution-service", Role::Execution)?,
            storage: read("storage-service", Role::Execution)?,
            action_cache: read("action-cache-service", Role::ActionCache)?,
        };
        if services.storage.is_none() && !has_cache_storage {
            let text = "Remote execution needs a 'storage-service', in 'remote-execution' or in 'cache'";
            return Err(Diagnostic::load("invalid-data", text).at(node.at));
        }
        if services.execution.is_none() && services.action_cache.is_none() {
            let text = "Remote execution needs an 'execution-service', an 'action-cache-service', or both";
            return Err(Diagnostic::load("invalid-data", text).at(node.at));
        }
        Ok(services)
    }

    fn auth(&self, node: &Node) -> Result<Auth, Diagnostic> {
        const RELOAD: &str = "access-token-reload-interval";
        node.validate_keys(&["server-cert", "client-key", "client-cert", "access-token", RELOAD])?;
        let path = |key| Ok(node.opt_str(key)?.filter(|text| !text.is_empty()).map(|text| self.path(text)));
        let auth = Auth {
            server_cert: path("server-cert")?,
            client_key: path("client-key")?,
            client_cert: path("client-cert")?,
            access_token: path("access-token")?,
            access_token_reload_interval: node.opt_int(RELOAD)?,
        };
        let alone = match (&auth.client_key, &auth.client_cert) {
            (Some(_), None) => Some(("client-key", "client-cert")),
            (None, Some(_)) => Some(("client-cert", "client-key")),
            _ => None,
        };
        match alone {
            None => Ok(auth),
            Some((given, missing)) => {
                let text = format!("'{given}' was specified without '{missing}'");
                Err(Diagnostic::load("invalid-data", text).at(node.get_node(given)?.at))
            }
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        let path = PathBuf::from(self.environment.expand_user(text));
        match self.base {
            Some(base) => base.join(path),
            None => path,
        }
    }
}

fn connection(node: &Node) -> Result<Connection, Diagnostic> {
    let [keepalive_time, retry_limit, retry_delay, request_timeout] = Connection::KEYS;
    let keys = node.as_mapping()?.iter().map(|(key, _)| key.to_string());
    Ok(Connection {
        keepalive_time: node.opt_int(keepalive_time)?,
        retry_limit: node.opt_int(retry_limit)?,
        retry_delay: node.opt_int(retry_delay)?,
        request_timeout: node.opt_int(request_timeout)?,
        ignored: keys.filter(|key| !Connection::KEYS.contains(&key.as_str())).collect(),
    })
}
