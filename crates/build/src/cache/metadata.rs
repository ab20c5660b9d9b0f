//! The YAML blobs of an artifact, byte for byte as bst writes them.

use bourn_project::{Element, SandboxConfig};
use bourn_yaml::{Mapping, Node, dump};

/// Environment and sandbox of an element: equal for many elements, so kept apart from the rest.
pub fn low_diversity(element: &Element) -> String {
    let mut top = Mapping::new();
    top.insert(
        "environment",
        pairs(element.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
    );
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
