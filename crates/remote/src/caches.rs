//! The door: remote caches as a build sees them.

use crate::ahead::{self, Ahead, QUESTIONS, TOGETHER};
use crate::fault::{Attempt, Fault};
use crate::index::Index;
use crate::link::Link;
use crate::pair::{Exchange, Offer, Offers, Told};
use crate::server::Server;
use crate::storage::Storage;
use crate::transfer::Transfer;
use bourn_reapi::services::{Cancel, ErrorKind, Report, ServiceResult, SourceName};
use bourn_reapi::{Artifact, ArtifactName, Cas, Remotes, ServiceError, Source};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How often a transfer looks whether it was asked to stop, and says how far it is.
const TICK: Duration = Duration::from_millis(100);

/// Threads for the network. Hashing and writing happens elsewhere.
const THREADS: usize = 2;

/// The name of the servers for projects that have none of their own in a [`Group`].
pub const ANY_PROJECT: &str = "";

/// The servers of every project for artifacts, or for sources, in the order in which they are to be asked.
pub type Group = HashMap<String, Vec<Server>>;

/// Remote caches.
pub struct Caches {
    runtime: Runtime,
    cas: Arc<dyn Cas>,
    artifacts: HashMap<String, Offers>,
    sources: HashMap<String, Offers>,
    key_length: usize,
    told: Told,
    ahead: Ahead,
}

/// A server that cannot be used, and why.
#[derive(Debug)]
pub struct Refused {
    /// Its URL.
    pub url: String,
    /// What is wrong.
    pub error: ServiceError,
}

impl Caches {
    /// Connects to all servers at once and sees which can be used. Those that cannot are told of and left out; the
    /// others are used without them. `key_length` is how much of a key is shown in messages.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub fn connect(
        cas: Arc<dyn Cas>,
        artifacts: &Group,
        sources: &Group,
        key_length: usize,
        cancel: &Cancel,
    ) -> ServiceResult<(Caches, Vec<Refused>)> {
        let runtime = threads()?;
        let mut servers: Vec<Server> = Vec::new();
        for server in artifacts.values().chain(sources.values()).flatten() {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        servers.sort_by(|a, b| a.url.cmp(&b.url));
        let asked = servers.clone();
        let offers = stoppable(&runtime, cancel, || (), async move {
            let jobs: Vec<_> = asked.into_iter().map(|server| tokio::spawn(offer(server))).collect();
            let mut offers = Vec::new();
            for job in jobs {
                offers.push(job.await.unwrap_or_else(|error| {
                    Err(Fault::remote(ErrorKind::Io, format!("the connection was ended: {error}")))
                }));
            }
            Ok(offers)
        })?;
        let mut refused = Vec::new();
        let mut usable = HashMap::new();
        for (server, offer) in servers.into_iter().zip(offers) {
            match offer {
                Ok(offer) => drop(usable.insert(server, offer)),
                Err(fault) => refused.push(Refused { url: server.url, error: fault.into_error() }),
            }
        }
        let group = |group: &Group| {
            let of = |servers: &Vec<Server>| {
                Offers(servers.iter().filter_map(|server| usable.get(server).cloned()).collect())
            };
            group.iter().map(|(project, servers)| (project.clone(), of(servers))).collect()
        };
        let (artifacts, sources) = (group(artifacts), group(sources));
        Ok((
            Caches {
                runtime,
                cas,
                artifacts,
                sources,
                key_length,
                told: Told::default(),
                ahead: Ahead::default(),
            },
            refused,
        ))
    }

    /// Whether artifacts of any project can be pulled, or pushed.
    pub fn has_artifacts(&self, push: bool) -> bool {
        self.artifacts.values().any(|offers| offers.can(push))
    }

    /// Whether sources of any project can be pulled, or pushed.
    pub fn has_sources(&self, push: bool) -> bool {
        self.sources.values().any(|offers| offers.can(push))
    }

    /// The servers of a project; those of no project in particular where it is not known.
    fn offers<'a>(&self, offers: &'a HashMap<String, Offers>, project: &str) -> Option<&'a Offers> {
        offers.get(project).or_else(|| offers.get(ANY_PROJECT))
    }

    fn exchange<'a>(
        &'a self,
        offers: &'a HashMap<String, Offers>,
        project: &str,
        report: &'a dyn Report,
        what: String,
    ) -> Option<Exchange<'a>> {
        let offers = self.offers(offers, project)?;
        let (cas, told) = (&self.cas, &self.told);
        Some(Exchange { offers, cas, report, meter: Arc::default(), told, what })
    }

    /// Runs work to its end, or until it is asked to stop; says how far it is.
    fn run<T>(
        &self,
        exchange: &Exchange<'_>,
        cancel: &Cancel,
        work: impl Future<Output = ServiceResult<T>>,
    ) -> ServiceResult<T> {
        let tell = || {
            let (done, total) = exchange.meter.read();
            if total > 0 {
                exchange.report.bytes(done, Some(total));
            }
        };
        stoppable(&self.runtime, cancel, tell, work)
    }

    fn short<'k>(&self, key: &'k str) -> &'k str {
        key.get(..self.key_length).unwrap_or(key)
    }

    fn source_key<'n>(&self, name: &'n SourceName) -> &'n str {
        match name {
            SourceName::Element(key) | SourceName::Single { key, .. } => self.short(key),
        }
    }
}

/// Threads for the network.
///
/// # Errors
/// There are none to be had.
pub(crate) fn threads() -> ServiceResult<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(THREADS).thread_name("remote").enable_all();
    builder.build().map_err(|error| {
        ServiceError::new(ErrorKind::Io, format!("cannot start threads for the network: {error}"))
    })
}

/// Runs work to its end, or until it is asked to stop.
pub(crate) fn stoppable<T>(
    runtime: &Runtime,
    cancel: &Cancel,
    tell: impl Fn(),
    work: impl Future<Output = ServiceResult<T>>,
) -> ServiceResult<T> {
    runtime.block_on(async {
        let mut work = std::pin::pin!(work);
        loop {
            if cancel.is_cancelled() {
                return Err(ServiceError::new(ErrorKind::Cancelled, "the transfer was stopped"));
            }
            match tokio::time::timeout(TICK, &mut work).await {
                Ok(result) => return result,
                Err(_) => tell(),
            }
        }
    })
}

/// Connects to a server and sees what it offers.
async fn offer(server: Server) -> Attempt<Offer> {
    let link = Arc::new(Link::new(&server).map_err(Fault::Remote)?);
    let index = server.is_index().then(|| Arc::new(Index { link: link.clone() }));
    let storage = server.is_storage().then(|| Arc::new(Storage::new(link)));
    let check = async {
        match &index {
            Some(index) => index.check(server.push).await,
            None => Ok(()),
        }
    };
    let ask = async {
        match &storage {
            Some(storage) => storage.meet().await,
            None => Ok(()),
        }
    };
    let (checked, asked) = tokio::join!(check, ask);
    checked?;
    asked?;
    Ok(Offer { index, storage, push: server.push })
}

impl Remotes for Caches {
    fn pulls_artifacts(&self, project: &str) -> bool {
        self.offers(&self.artifacts, project).is_some_and(|offers| offers.can(false))
    }

    fn pushes_artifacts(&self, project: &str) -> bool {
        self.offers(&self.artifacts, project).is_some_and(|offers| offers.can(true))
    }

    fn pulls_sources(&self, project: &str) -> bool {
        self.offers(&self.sources, project).is_some_and(|offers| offers.can(false))
    }

    fn pushes_sources(&self, project: &str) -> bool {
        self.offers(&self.sources, project).is_some_and(|offers| offers.can(true))
    }

    fn available(&self, names: &[ArtifactName], cancel: &Cancel) -> ServiceResult<Vec<bool>> {
        let work = async {
            let turns = Arc::new(Semaphore::new(QUESTIONS));
            let mut jobs = JoinSet::new();
            for (at, name) in names.iter().enumerate() {
                let Some(offers) = self.offers(&self.artifacts, &name.project).cloned() else { continue };
                let (turns, name) = (turns.clone(), name.clone());
                jobs.spawn(async move {
                    let _turn = turns.acquire().await;
                    offers.is_available(&name).await.map(|found| (at, found))
                });
            }
            let mut found = vec![false; names.len()];
            while let Some(joined) = jobs.join_next().await {
                let joined = joined.map_err(|error| {
                    ServiceError::new(ErrorKind::Io, format!("a question was not answered: {error}"))
                })?;
                let (at, is_there) = joined.map_err(Fault::into_error)?;
                found[at] = is_there;
            }
            Ok(found)
        };
        stoppable(&self.runtime, cancel, || (), work)
    }

    fn expect(&self, names: &[ArtifactName]) {
        let mut told = self.ahead.note(names);
        while !told.is_empty() {
            // Neighbours are mostly of the same project.
            let project = told[0].0.project.clone();
            let others = told.iter().position(|(name, _)| name.project != project).unwrap_or(told.len());
            let rest = told.split_off(others.min(TOGETHER));
            let together = std::mem::replace(&mut told, rest);
            let Some(offers) = self.offers(&self.artifacts, &project).cloned() else { continue };
            let cas = self.cas.clone();
            let transfer = offers.storages(false).next().cloned().map(|storage| Transfer {
                storage,
                cas,
                meter: Arc::default(),
            });
            self.runtime.spawn(async move { ahead::prepare(&offers, transfer, together).await });
        }
    }

    fn pull_artifact(
        &self,
        name: &ArtifactName,
        build_tree: bool,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Artifact>> {
        let what = format!("artifact {}", self.short(&name.key));
        let Some(exchange) = self.exchange(&self.artifacts, &name.project, report, what) else {
            return Ok(None);
        };
        let pull = async {
            let known = self.ahead.take(name).await;
            exchange.pull_artifact(name, build_tree, known).await
        };
        self.run(&exchange, cancel, pull)
    }

    fn push_artifact(
        &self,
        names: &[ArtifactName],
        artifact: &Artifact,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool> {
        let Some(name) = names.first() else { return Ok(false) };
        let what = format!("artifact {}", self.short(&name.key));
        let Some(exchange) = self.exchange(&self.artifacts, &name.project, report, what) else {
            return Ok(false);
        };
        self.run(&exchange, cancel, exchange.push_artifact(names, artifact))
    }

    fn pull_source(
        &self,
        project: &str,
        name: &SourceName,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Source>> {
        let what = format!("source {}", self.source_key(name));
        let Some(exchange) = self.exchange(&self.sources, project, report, what) else { return Ok(None) };
        self.run(&exchange, cancel, exchange.pull_source(name))
    }

    fn push_source(
        &self,
        project: &str,
        name: &SourceName,
        source: &Source,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool> {
        let what = format!("source {}", self.source_key(name));
        let Some(exchange) = self.exchange(&self.sources, project, report, what) else { return Ok(false) };
        self.run(&exchange, cancel, exchange.push_source(name, source))
    }
}
