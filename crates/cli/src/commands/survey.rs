//! What `bourn doctor --remote` finds out: what the configured servers can do, and why one cannot be used.

use crate::args::command::{Contact, Remotes};
use crate::commands::doctor::{Check, Verdict};
use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::settings::remote::{Connection, RemoteSpec};
use crate::settings::servers::{self, Servers};
use crate::settings::size::pretty;
use crate::{signals, wire, world};
use bourn_build::control::Control;
use bourn_reapi::ServiceError;
use bourn_remote::{Limits, Route, Server, ServerKind, Service, Survey, survey};
use serde_json::{Map, Value, json};

/// A server, and what for.
struct Used {
    server: Server,
    /// What it is used for, in words.
    uses: Vec<String>,
    /// Where it was declared.
    origin: String,
}

/// Asks every server that the configuration and the project name.
///
/// # Errors
/// What is wrong with the project or with what it says of servers; it was asked to stop.
pub(crate) fn checks(invocation: &Invocation<'_>) -> Result<Vec<Check>, Failure> {
    let (used, mut checks) = used(invocation)?;
    if used.is_empty() && checks.is_empty() {
        return Ok(vec![Check::good("servers", "none configured")]);
    }
    let asked: Vec<Server> = used.iter().map(|used| used.server.clone()).collect();
    let store = wire::store(invocation.settings)?;
    let control = Control::new(wire::services(invocation.settings, &store).executor);
    let surveys = signals::steered(invocation, &control, || survey(&asked, control.cancel()))?;
    for (used, survey) in used.iter().zip(surveys) {
        checks.extend(used.checks(survey));
    }
    Ok(checks)
}

/// All servers, each once, and what is wrong with those that cannot even be asked.
fn used(invocation: &Invocation<'_>) -> Result<(Vec<Used>, Vec<Check>), Failure> {
    let (settings, files) = (invocation.settings, invocation.files);
    let proxies = wire::proxies(settings);
    let graph = world::project_alone(invocation)?;
    let servers = Servers::resolve(settings, files, &graph, &Remotes::default(), Contact::Both)?;
    let execution = servers::execution(settings, files, &graph)?;
    let mut all: Vec<(&RemoteSpec, Option<Server>, String)> = Vec::new();
    for (what, group) in [("artifacts", &servers.artifacts), ("sources", &servers.sources)] {
        for (project, spec) in
            group.iter().flat_map(|(name, specs)| specs.iter().map(move |spec| (name, spec)))
        {
            let of = if project.is_empty() { String::new() } else { format!(" of {project}") };
            all.push((spec, wire::server(&proxies, spec), format!("{what}{of}")));
        }
    }
    if let Some(spec) = &settings.user.storage_service {
        let server = Server { push: true, ..wire::address(&proxies, spec, ServerKind::Storage) };
        all.push((spec, Some(server), "storage of the cache".to_owned()));
    }
    if let Some(execution) = &execution {
        if let Some(spec) = &execution.storage {
            let server = Server { push: true, ..wire::address(&proxies, spec, ServerKind::Storage) };
            all.push((spec, Some(server), "storage of build tools".to_owned()));
        }
        if let Some(spec) = &execution.action_cache {
            let server = wire::address(&proxies, spec, ServerKind::Actions);
            all.push((spec, Some(server), "actions of build tools".to_owned()));
        }
    }
    let (mut used, mut checks): (Vec<Used>, _) = (Vec::new(), Vec::new());
    for (spec, server, what) in all {
        for key in &spec.connection.ignored {
            let found = format!("{} ({what}): `{key}` in its `connection-config` means nothing", spec.url);
            let cure = format!("known are {} (declared: {})", Connection::KEYS.join(", "), spec.origin);
            checks.push(Check::bad("server", Verdict::Lacking, found, cure));
        }
        let Some(server) = server else {
            let found = format!("{} ({what}): of type endpoint, it is used for nothing", spec.url);
            let cure = format!("its type is `all`, `index` or `storage` (declared: {})", spec.origin);
            checks.push(Check::bad("server", Verdict::Lacking, found, cure));
            continue;
        };
        match used.iter_mut().find(|used| used.server == server) {
            Some(used) => used.uses.push(what),
            None => used.push(Used { server, uses: vec![what], origin: spec.origin.clone() }),
        }
    }
    if let Some(spec) = execution.as_ref().and_then(|execution| execution.execution.as_ref()) {
        let found = format!("{}: builds run on this machine", spec.url);
        let cure = format!("there is no remote execution yet (declared: {})", spec.origin);
        checks.push(Check::bad("execution", Verdict::Lacking, found, cure));
    }
    Ok((used, checks))
}

impl Used {
    /// What was found about this server; the first check has all of it for programs.
    fn checks(&self, survey: Result<Survey, ServiceError>) -> Vec<Check> {
        let mut checks = match &survey {
            Ok(survey) => {
                let refused = |(service, answer): &(Service, Result<(), ServiceError>)| {
                    answer.as_ref().err().map(|error| self.refused(*service, error))
                };
                match survey.services.first() {
                    // All for the same reason, most likely.
                    Some((_, Err(error))) if survey.services.iter().all(|(_, answer)| answer.is_err()) => {
                        vec![self.unusable(error)]
                    }
                    _ => {
                        let refused = survey.services.iter().filter_map(refused);
                        std::iter::once(self.sound(survey)).chain(refused).collect()
                    }
                }
            }
            Err(error) => vec![self.unusable(error)],
        };
        let first = checks.remove(0).with("server", self.for_programs(&survey));
        checks.insert(0, first);
        checks
    }

    fn title(&self) -> String {
        format!("{} ({})", self.server.url, self.uses.join(", "))
    }

    /// A server that answers, and what works.
    fn sound(&self, survey: &Survey) -> Check {
        let mut parts = Vec::new();
        match &self.server.route {
            Route::Direct | Route::Overlooked(_) => {}
            Route::Through(proxy) => {
                parts.push(format!("through the proxy {proxy} (`{}`)", proxy.variable()))
            }
            Route::Unread(name) => {
                parts.push(format!("without a proxy (`{name}` holds no URL that begins with http://)"));
            }
        }
        if let Some((major, minor)) = survey.version {
            parts.push(format!("REAPI {major}.{minor}"));
        }
        let works = |service| survey.services.iter().any(|(of, answer)| *of == service && answer.is_ok());
        if let Some(limits) = survey.limits.filter(|_| works(Service::Blobs)) {
            parts.push(told(limits));
        }
        let known = [
            (Service::Names, "names of artifacts and sources"),
            (Service::Directories, "names of single sources"),
            (Service::Actions, "results of actions"),
        ];
        parts.extend(
            known.into_iter().filter(|(service, _)| works(*service)).map(|(_, what)| what.to_owned()),
        );
        match self.server.push {
            true if survey.services.iter().all(|(_, answer)| answer.is_ok()) => {
                parts.push("may be written to".to_owned());
            }
            true => {}
            false => parts.push("only read (no `push: true`)".to_owned()),
        }
        Check::good("server", format!("{}: {}", self.title(), parts.join(", ")))
    }

    /// A service that does not work.
    fn refused(&self, service: Service, error: &ServiceError) -> Check {
        let (doing, weighs) = match service {
            Service::Blobs => ("blobs cannot be read", Verdict::Broken),
            Service::BlobPush => ("blobs cannot be pushed", Verdict::Broken),
            Service::Names => ("names cannot be looked up", Verdict::Broken),
            Service::NamePush => ("names cannot be pushed", Verdict::Broken),
            Service::Directories => ("names of single sources cannot be looked up", Verdict::Lacking),
            Service::DirectoryPush => ("names of single sources cannot be pushed", Verdict::Lacking),
            Service::Actions => ("results of actions cannot be looked up", Verdict::Broken),
            Service::ActionPush => ("results of actions cannot be pushed", Verdict::Broken),
        };
        let found = format!("{}: {doing}: {}", self.server.url, self.brief(error));
        Check::bad("server", weighs, found, self.cure(error))
    }

    fn unusable(&self, error: &ServiceError) -> Check {
        let found = format!("{}: {}", self.title(), self.brief(error));
        Check::bad("server", Verdict::Broken, found, self.cure(error))
    }

    /// What is wrong, without the URL that stands before it anyway.
    fn brief<'e>(&self, error: &'e ServiceError) -> &'e str {
        let prefix = format!("{}: ", self.server.url);
        error.message.strip_prefix(&prefix).unwrap_or(&error.message)
    }

    fn cure(&self, error: &ServiceError) -> String {
        match &error.hint {
            Some(hint) => format!("{hint} (declared: {})", self.origin),
            None => format!("declared: {}", self.origin),
        }
    }

    fn for_programs(&self, survey: &Result<Survey, ServiceError>) -> Value {
        let server = &self.server;
        let kind = match server.kind {
            ServerKind::Index => "index",
            ServerKind::Storage => "storage",
            ServerKind::All => "all",
            ServerKind::Actions => "actions",
        };
        let mut value = json!({
            "url": server.url, "instance-name": server.instance, "type": kind, "push": server.push,
            "uses": self.uses, "declared": self.origin, "answers": survey.is_ok(),
        });
        if let Route::Through(proxy) = &server.route {
            value["proxy"] = json!(proxy.to_string());
        }
        let Ok(survey) = survey else { return value };
        if let Some((major, minor)) = survey.version {
            value["version"] = json!(format!("{major}.{minor}"));
        }
        if let Some(limits) = survey.limits {
            value["max-batch-bytes"] = json!(limits.batch);
            value["zstd"] = json!(limits.zstd);
            value["zstd-batch-update"] = json!(limits.zstd_update);
            value["trees"] = json!(limits.trees);
        }
        let name = |service: Service| match service {
            Service::Blobs => "blobs",
            Service::BlobPush => "push-blobs",
            Service::Names => "names",
            Service::NamePush => "push-names",
            Service::Directories => "directories",
            Service::DirectoryPush => "push-directories",
            Service::Actions => "actions",
            Service::ActionPush => "push-actions",
        };
        let services: Map<String, Value> = survey
            .services
            .iter()
            .map(|(of, answer)| (name(*of).to_owned(), json!(answer.is_ok())))
            .collect();
        value["services"] = Value::Object(services);
        value
    }
}

/// How blobs travel.
fn told(limits: Limits) -> String {
    let batch = match limits.batch {
        Some(limit) => format!("blobs in messages of {}", pretty(limit)),
        None => "blobs in messages of any size".to_owned(),
    };
    let zstd = match (limits.zstd, limits.zstd_update) {
        (true, true) => "zstd",
        (true, false) => "zstd (not for many at a time)",
        (false, _) => "not compressed",
    };
    let trees = if limits.trees { "whole trees" } else { "trees directory by directory" };
    format!("{batch}, {zstd}, {trees}")
}
