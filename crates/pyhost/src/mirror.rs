//! Source mirror kinds that are Python plugins.

use crate::host::{Deaf, Host, HostError};
use crate::wire;
use bourn_plan::mirror::{Mirror, Request};
use bourn_plan::{Auth, Candidate};
use bourn_project::Project;
use bourn_yaml::code::intern;
use bourn_yaml::{Diagnostic, Domain, Files, Mapping, Node};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mirror that a Python object describes.
#[derive(Debug)]
pub struct PythonMirror {
    host: Arc<Host>,
    /// The plugin and what the object is made of.
    call: Json,
    aliases: Vec<String>,
}

impl PythonMirror {
    /// Reads a mirror whose kind `directory/KIND.py` defines.
    ///
    /// # Errors
    /// What the plugin finds wrong with its `config:`.
    pub fn read(
        host: Arc<Host>,
        kind: &str,
        directory: &Path,
        node: &Node,
        project: &Project,
        files: &Files,
    ) -> Result<PythonMirror, Diagnostic> {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        node.validate_keys(&["name", "kind", "config"])?;
        let empty = Node::mapping(Mapping::new());
        let config = node.opt_mapping("config")?.unwrap_or(&empty);
        let mut call = json!({
            "call": "mirror-describe",
            "plugin": {"directory": directory, "kind": kind, "group": "source-mirrors"},
            "mirror": {
                "instance": INSTANCES.fetch_add(1, Ordering::Relaxed),
                "name": node.get_str("name")?,
                "kind": kind,
                "config": wire::node(config, files),
                "project-name": project.name,
                "project-directory": project.directory,
                "fatal-warnings": project.fatal_warnings,
                "provenance": wire::position(node.at, files),
            },
        });
        let answer = host.call(&call, &mut Deaf).map_err(|error| refused(node, error, files))?;
        call["call"] = "mirror-translate".into();
        let aliases = answer["aliases"].as_array().into_iter().flatten();
        let aliases = aliases.filter_map(Json::as_str).map(str::to_owned).collect();
        Ok(PythonMirror { host, call, aliases })
    }

    fn translate(&self, request: &Request<'_>) -> Result<Candidate, HostError> {
        let mut call = self.call.clone();
        call["alias"] = request.alias.into();
        call["alias-url"] = request.alias_url.into();
        call["body"] = request.body.into();
        let answer = self.host.ask(&call, &mut Deaf)?;
        let url = answer["url"].as_str();
        let url = url.ok_or_else(|| HostError::new("translate_url() did not return a text"))?.to_owned();
        let auth = if answer["bearer"].as_bool().unwrap_or_default() { Auth::Bearer } else { Auth::Basic };
        Ok(Candidate { url, auth })
    }
}

fn refused(node: &Node, error: HostError, files: &Files) -> Diagnostic {
    let domain = match error.domain.as_deref() {
        Some("load") => Domain::Load,
        Some("plugin") => Domain::Plugin,
        _ => Domain::Source,
    };
    let code = error.reason.as_deref().map_or("", intern);
    let (at, message) = wire::blamed(&error.message, node.at, &[node], files);
    let mut diagnostic = Diagnostic::new(domain, code, message).at(at);
    diagnostic.detail = error.detail;
    diagnostic
}

impl Mirror for PythonMirror {
    /// A mirror that cannot say where something is counts as one that does not have it: whoever tries the URL fails
    /// with the reason in place of one, and goes on to the next.
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        vec![self.translate(request).unwrap_or_else(|error| {
            let name = self.call["mirror"]["name"].as_str().unwrap_or_default();
            Candidate { url: format!("mirror {name} failed: {}", error.message), auth: Auth::Basic }
        })]
    }

    fn serves(&self, alias: &str) -> bool {
        self.aliases.iter().any(|served| served == alias)
    }
}
