//! The YAML blobs of an artifact, byte for byte as bst writes them.

use crate::cache::Cached;
use crate::error::{BuildError, BuildResult, domain};
use crate::session::Session;
use bourn_project::{Element, SandboxConfig};
use bourn_yaml::{Diagnostic, Diagnostics, Mapping, Node, dump};

/// Environment and sandbox of an element, read back from its artifact.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its environment, in order.
    pub environment: Vec<(String, String)>,
    /// Its sandbox.
    pub sandbox: SandboxConfig,
}

impl Setting {
    /// Reads the blob of an artifact.
    ///
    /// # Errors
    /// The store cannot be read, or the blob cannot be understood.
    pub fn read(session: &Session<'_>, cached: &Cached) -> BuildResult<Setting> {
        let Some(digest) = cached.low_diversity() else {
            return Err(unreadable("it has no metadata"));
        };
        let blob = session.cas().read(&digest)?;
        let text = String::from_utf8_lossy(&blob);
        let top = bourn_yaml::parse::parse_text(&text, None)
            .map_err(|wrong: Diagnostics| unreadable(&wrong.to_string()))?;
        Setting::of(&top).map_err(|wrong| unreadable(&wrong.message))
    }

    fn of(top: &Node) -> Result<Setting, Diagnostic> {
        let mut environment = Vec::new();
        for (name, value) in top.get_mapping("environment")?.as_mapping()?.iter() {
            environment.push((name.to_string(), value.as_str()?.to_owned()));
        }
        let config = top.get_mapping("sandbox-config")?;
        let socket = config.opt_mapping("remote-apis-socket")?;
        let id = |name| Ok(config.opt_int(name)?.and_then(|id| u32::try_from(id).ok()));
        let update = |socket: &Node| Ok(socket.opt_bool("action-cache-enable-update")?.unwrap_or(false));
        Ok(Setting {
            environment,
            sandbox: SandboxConfig {
                build_os: config.get_str("build-os")?.to_owned(),
                build_arch: config.get_str("build-arch")?.to_owned(),
                build_uid: id("build-uid")?,
                build_gid: id("build-gid")?,
                remote_apis_socket: socket
                    .map(|socket| socket.get_str("path").map(str::to_owned))
                    .transpose()?,
                remote_apis_socket_update: socket.map(update).transpose()?.unwrap_or(false),
            },
        })
    }
}

fn unreadable(why: &str) -> BuildError {
    BuildError::new(domain::ARTIFACT, "The metadata of an artifact cannot be read").detail(why)
}

/// Environment and sandbox of an element: equal for many elements, so kept apart from the rest. The environment is the
/// one that commands were run with.
pub fn low_diversity(element: &Element, environment: &[(String, String)]) -> String {
    let mut top = Mapping::new();
    let variables = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    top.insert("environment", pairs(variables));
    top.insert("sandbox-config", sandbox(&element.sandbox));
    dump(&Node::mapping(top))
}

/// Variables of an element.
pub fn high_diversity(element: &Element) -> String {
    let mut top = Mapping::new();
    top.insert("variables", pairs(element.variables.iter()));
    dump(&Node::mapping(top))
}

/// The environment as the log of a build shows it.
pub fn environment<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    dump(&pairs(variables))
}

fn pairs<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Node {
    let mut mapping = Mapping::new();
    for (name, value) in entries {
        mapping.insert(name, Node::scalar(value));
    }
    Node::mapping(mapping)
}

fn sandbox(config: &SandboxConfig) -> Node {
    let mut mapping = Mapping::new();
    mapping.insert("build-os", Node::scalar(config.build_os.as_str()));
    mapping.insert("build-arch", Node::scalar(config.build_arch.as_str()));
    let ids = [("build-uid", config.build_uid), ("build-gid", config.build_gid)];
    for (name, id) in ids.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        mapping.insert(name, Node::from(i64::from(id)));
    }
    if let Some(path) = &config.remote_apis_socket {
        let mut socket = Mapping::new();
        socket.insert("path", Node::scalar(path.as_str()));
        if config.remote_apis_socket_update {
            socket.insert("action-cache-enable-update", Node::from(true));
        }
        mapping.insert("remote-apis-socket", Node::mapping(socket));
    }
    Node::mapping(mapping)
}
