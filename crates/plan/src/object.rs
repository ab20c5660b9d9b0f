//! The object that a key is the hash of, piece by piece.
//!
//! Its members are sorted by name, so `dependencies` stands near the beginning and everything that the element says
//! itself after it.

use crate::json::{self, Out};
use crate::key::KeyValue;
use crate::kind::Description;
use crate::source::PlannedSource;
use bourn_project::{Element, ElementGraph, ElementId, Project, SandboxConfig};

/// The beginning, up to the first dependency.
pub(crate) const HEAD: &[u8] = b"{\"core-artifact-version\":11,\"dependencies\":[";

/// Writes a dependency: its project and name, and its key if that enters.
pub(crate) fn write_dependency(out: &mut impl Out, name: &[u8], key: Option<&str>) {
    out.put(name);
    if let Some(key) = key {
        out.put(b",\"");
        out.put(key.as_bytes());
        out.put(b"\"");
    }
    out.put(b"]");
}

/// Writes `["PROJECT","ELEMENT"`, the beginning of a dependency.
pub(crate) fn write_name(out: &mut impl Out, graph: &ElementGraph, id: ElementId) {
    let element = graph.element(id);
    out.put(b"[");
    json::text(out, &graph.project(element.project).name);
    out.put(b",");
    json::text(out, &element.name);
}

/// Writes everything after the last dependency. `own` is what [`write_own`] wrote.
pub(crate) fn write_rest(out: &mut impl Out, own: &[u8], weak: Option<&str>) {
    out.put(b"]");
    out.put(own);
    if let Some(weak) = weak {
        out.put(b",\"weak-cache-key\":\"");
        out.put(weak.as_bytes());
        out.put(b"\"");
    }
    out.put(b"}");
}

/// What is known of one element before its keys.
pub(crate) struct Inputs<'a> {
    /// What its kind says.
    pub(crate) description: &'a Description,
    /// Its sources.
    pub(crate) sources: &'a [PlannedSource],
}

impl Inputs<'_> {
    /// Writes the list `sources`: for each source its kind, its `directory:` and its unique key. `false`, and nothing
    /// of use is written, when one of them has no ref.
    pub(crate) fn write_sources(&self, out: &mut Vec<u8>) -> bool {
        if self.sources.iter().any(|source| source.unique_key.is_none()) {
            return false;
        }
        json::list(out, self.sources, |out, source| {
            out.put(b"{");
            if let Some(directory) = source.declaration.directory.as_deref().filter(|path| !path.is_empty()) {
                out.put(b"\"directory\":");
                json::text(out, directory);
                out.put(b",");
            }
            out.put(b"\"key\":");
            json::value(out, source.unique_key.as_ref().unwrap_or(&KeyValue::Null));
            out.put(b",\"name\":");
            json::text(out, &source.declaration.kind);
            out.put(b"}");
        });
        true
    }
}

/// The members of the object after `dependencies`, up to `weak-cache-key`.
pub(crate) fn write_own(
    out: &mut Vec<u8>,
    element: &Element,
    project: &Project,
    description: &Description,
    sources: &[u8],
) {
    out.put(b",\"element-base-key\":{\"build-root\":");
    match element.variables.get("build-root") {
        Some(path) => json::text(out, path),
        None => out.put(b"null"),
    }
    out.put(b"},\"element-plugin-key\":");
    json::value(out, &description.unique_key);
    out.put(b",\"element-plugin-name\":");
    json::text(out, &element.kind);
    out.put(b",\"element-plugin-version\":");
    json::integer(out, description.artifact_version);
    if description.runs_commands {
        out.put(b",\"environment\":");
        let cached = |name: &str| !element.environment_nocache.iter().any(|skipped| skipped == name);
        let environment = element.environment.iter().filter(|(name, _)| cached(name));
        json::object(out, environment.map(|(name, value)| (&**name, value)), |out, value| {
            json::text(out, value)
        });
    }
    out.put(b",\"fatal-warnings\":");
    json::list(out, &project.fatal_warnings, |out, warning| json::text(out, warning));
    out.put(b",\"public\":");
    json::node(out, &element.public);
    if description.runs_commands {
        out.put(b",\"sandbox\":");
        write_sandbox(out, &element.sandbox);
    }
    out.put(b",\"sources\":");
    out.put(sources);
}

/// The member `sandbox`: what is mandatory, and of the rest only what was set.
fn write_sandbox(out: &mut Vec<u8>, sandbox: &SandboxConfig) {
    out.put(b"{\"build-arch\":");
    json::text(out, &sandbox.build_arch);
    if let Some(gid) = sandbox.build_gid {
        out.put(b",\"build-gid\":");
        json::integer(out, i64::from(gid));
    }
    out.put(b",\"build-os\":");
    json::text(out, &sandbox.build_os);
    if let Some(uid) = sandbox.build_uid {
        out.put(b",\"build-uid\":");
        json::integer(out, i64::from(uid));
    }
    if let Some(path) = &sandbox.remote_apis_socket {
        out.put(b",\"remote-apis-socket\":{");
        if sandbox.remote_apis_socket_update {
            out.put(b"\"action-cache-enable-update\":true,");
        }
        out.put(b"\"path\":");
        json::text(out, path);
        out.put(b"}");
    }
    out.put(b"}");
}
