//! The door: remote caches as a build sees them.

use crate::ahead::{self, Ahead, Known, QUESTIONS, TOGETHER};
use crate::fault::with_hint;
use crate::meeting::{Meeting, Refused};
use crate::outgoing::{self, Prepared};
use crate::pair::{Exchange, Told};
use crate::server::Server;
use crate::transfer::{Meter, Transfer};
use bourn_reapi::services::{Cancel, ErrorKind, Report, ServiceResult, SourceName};
use bourn_reapi::{Artifact, ArtifactName, Assets, Cas, Remotes, ServiceError, Source};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
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
    threads: Threads,
    cas: Arc<dyn Cas>,
    assets: Arc<dyn Assets>,
    artifacts: Group,
    sources: Group,
    meeting: Arc<Meeting>,
    key_length: usize,
    told: Told,
    ahead: Ahead<Known>,
    outgoing: Ahead<Prepared>,
    /// Questions for many names at once wait here for their turn.
    turns: Arc<Semaphore>,
    /// Artifacts that are prepared for pushes wait here for theirs.
    room: Arc<Semaphore>,
}

impl Caches {
    /// Begins to connect to all servers at once, and waits for none of them. Whoever needs one waits until it is known
    /// whether it can be used; whoever is first told of one that cannot warns of it. `key_length` is how much of a key
    /// is shown in messages.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub fn connect(
        cas: Arc<dyn Cas>,
        assets: Arc<dyn Assets>,
        artifacts: Group,
        sources: Group,
        key_length: usize,
    ) -> ServiceResult<Caches> {
        let threads = Threads::start()?;
        let servers = artifacts.values().chain(sources.values()).flatten();
        let meeting = Arc::new(Meeting::begin(&threads.handle, servers));
        Ok(Caches {
            threads,
            cas,
            assets,
            artifacts,
            sources,
            meeting,
            key_length,
            told: Told::default(),
            ahead: Ahead::default(),
            outgoing: Ahead::default(),
            turns: Arc::new(Semaphore::new(QUESTIONS)),
            room: Arc::new(Semaphore::new(outgoing::AT_A_TIME)),
        })
    }

    /// Waits until all servers have answered. Those that cannot be used, each of which is told of once.
    ///
    /// # Errors
    /// It was asked to stop.
    pub fn refused(&self, cancel: &Cancel) -> ServiceResult<Vec<Refused>> {
        let end = async {
            self.meeting.end().await;
            Ok(())
        };
        stoppable(&self.threads.handle, cancel, || (), end)?;
        Ok(self.meeting.untold())
    }

    /// Waits until all servers have answered, and tells nobody.
    #[cfg(test)]
    pub(crate) fn await_all(&self) {
        self.threads.handle.block_on(self.meeting.end());
    }

    /// Whether artifacts of any project can be pulled, or pushed, as far as servers have answered.
    pub fn has_artifacts(&self, push: bool) -> bool {
        self.artifacts.values().any(|servers| self.meeting.can(servers, push))
    }

    /// Whether sources of any project can be pulled, or pushed, as far as servers have answered.
    pub fn has_sources(&self, push: bool) -> bool {
        self.sources.values().any(|servers| self.meeting.can(servers, push))
    }

    /// Whether the servers of a project can be pulled from, or pushed to.
    fn can(&self, group: &Group, project: &str, push: bool) -> bool {
        servers(group, project).is_some_and(|servers| self.meeting.can(servers, push))
    }

    /// Runs an exchange with those of these servers that can be used to its end, or until it is asked to stop; says how
    /// far it is. Warns of the other servers, once.
    fn exchange<'a, T>(
        &'a self,
        servers: &[Server],
        what: String,
        report: &'a dyn Report,
        cancel: &Cancel,
        act: impl AsyncFnOnce(Exchange<'a>) -> ServiceResult<T>,
    ) -> ServiceResult<T> {
        let meter = Arc::new(Meter::default());
        let tell = || {
            let (done, total) = meter.read();
            if total > 0 {
                report.bytes(done, Some(total));
            }
        };
        let work = async {
            let offers = self.meeting.usable(servers).await;
            self.warn_of_refused(report);
            let (cas, told, meter) = (&self.cas, &self.told, meter.clone());
            act(Exchange { offers, cas, report, meter, told, what, prepared: None }).await
        };
        stoppable(&self.threads.handle, cancel, tell, work)
    }

    /// Lets names be prepared in groups, with the servers of their project.
    fn together<T>(&self, mut told: Vec<ahead::Told<T>>, prepare: impl Fn(Vec<Server>, Vec<ahead::Told<T>>)) {
        while !told.is_empty() {
            // Neighbours are mostly of the same project.
            let project = told[0].0.project.clone();
            let others = told.iter().position(|(name, _)| name.project != project).unwrap_or(told.len());
            let rest = told.split_off(others.min(TOGETHER));
            let together = std::mem::replace(&mut told, rest);
            if let Some(servers) = servers(&self.artifacts, &project) {
                prepare(servers.to_vec(), together);
            }
        }
    }

    fn warn_of_refused(&self, report: &dyn Report) {
        for refused in self.meeting.untold() {
            report.warn(&with_hint(refused.to_string(), &refused.error));
        }
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

/// How long threads that wait for something of this machine are waited for at the end: those that write have ended
/// then, and a name that is looked up may take much longer.
const FAREWELL: Duration = Duration::from_millis(500);

/// Threads for the network, which end with this value whatever they wait for.
pub(crate) struct Threads {
    /// Where work is handed in.
    pub(crate) handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    /// # Errors
    /// There are none to be had.
    pub(crate) fn start() -> ServiceResult<Threads> {
        let runtime = threads()?;
        Ok(Threads { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(FAREWELL);
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
    runtime: &Handle,
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

/// The servers of a project; those of no project in particular where it is not known.
fn servers<'g>(group: &'g Group, project: &str) -> Option<&'g [Server]> {
    group.get(project).or_else(|| group.get(ANY_PROJECT)).map(Vec::as_slice)
}

impl Remotes for Caches {
    fn pulls_artifacts(&self, project: &str) -> bool {
        self.can(&self.artifacts, project, false)
    }

    fn pushes_artifacts(&self, project: &str) -> bool {
        self.can(&self.artifacts, project, true)
    }

    fn pulls_sources(&self, project: &str) -> bool {
        self.can(&self.sources, project, false)
    }

    fn pushes_sources(&self, project: &str) -> bool {
        self.can(&self.sources, project, true)
    }

    fn available(
        &self,
        names: &[ArtifactName],
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Vec<bool>> {
        let work = async {
            let mut jobs = JoinSet::new();
            for (at, name) in names.iter().enumerate() {
                let Some(servers) = servers(&self.artifacts, &name.project) else { continue };
                let offers = self.meeting.usable(servers).await;
                let (turns, name) = (self.turns.clone(), name.clone());
                jobs.spawn(async move {
                    let _turn = turns.acquire().await;
                    (at, offers.is_available(&name).await)
                });
            }
            self.warn_of_refused(report);
            let (mut found, mut failed) = (vec![false; names.len()], None);
            while let Some(joined) = jobs.join_next().await {
                match joined {
                    Ok((at, Ok(is_there))) => found[at] = is_there,
                    Ok((_, Err(fault))) => failed = failed.or_else(|| Some(fault.into_error().message)),
                    Err(error) => failed = Some(format!("a question was not answered: {error}")),
                }
            }
            if let Some(why) = failed {
                report.warn(&format!("What remote caches have is not known: {why}"));
            }
            Ok(found)
        };
        stoppable(&self.threads.handle, cancel, || (), work)
    }

    fn expect(&self, names: &[ArtifactName]) {
        self.cas.expect_blobs();
        self.together(self.ahead.note(names), |servers, together| {
            let (meeting, cas, turns) = (self.meeting.clone(), self.cas.clone(), self.turns.clone());
            self.threads.handle.spawn(async move {
                let offers = meeting.usable(&servers).await;
                let transfer = offers.storages(false).next().cloned().map(|storage| Transfer {
                    storage,
                    cas,
                    meter: Arc::default(),
                });
                ahead::prepare(&offers, transfer, &turns, together).await;
            });
        });
    }

    fn expect_pushes(&self, names: &[ArtifactName]) {
        self.together(self.outgoing.note(names), |servers, together| {
            let (meeting, turns, room) = (self.meeting.clone(), self.turns.clone(), self.room.clone());
            let (cas, assets) = (self.cas.clone(), self.assets.clone());
            self.threads.handle.spawn(async move {
                let offers = meeting.usable(&servers).await;
                outgoing::prepare(&offers, &cas, &assets, (&turns, &room), together).await;
            });
        });
    }

    fn pull_artifact(
        &self,
        name: &ArtifactName,
        build_tree: bool,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Artifact>> {
        let Some(servers) = servers(&self.artifacts, &name.project) else { return Ok(None) };
        let what = format!("artifact {}", self.short(&name.key));
        self.exchange(servers, what, report, cancel, async |exchange| {
            let known = self.ahead.take(name).await.fresh();
            exchange.pull_artifact(name, build_tree, known).await
        })
    }

    fn push_artifact(
        &self,
        names: &[ArtifactName],
        artifact: &Artifact,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool> {
        let Some(name) = names.first() else { return Ok(false) };
        let Some(servers) = servers(&self.artifacts, &name.project) else { return Ok(false) };
        let what = format!("artifact {}", self.short(&name.key));
        let push = async |exchange: Exchange<'_>| {
            let mut prepared = None;
            for name in names {
                prepared = prepared.or(self.outgoing.take(name).await);
            }
            Exchange { prepared, ..exchange }.push_artifact(names, artifact).await
        };
        self.exchange(servers, what, report, cancel, push)
    }

    fn pull_source(
        &self,
        project: &str,
        name: &SourceName,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Source>> {
        let Some(servers) = servers(&self.sources, project) else { return Ok(None) };
        let what = format!("source {}", self.source_key(name));
        let pull = async |exchange: Exchange<'_>| exchange.pull_source(name).await;
        self.exchange(servers, what, report, cancel, pull)
    }

    fn push_source(
        &self,
        project: &str,
        name: &SourceName,
        source: &Source,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool> {
        let Some(servers) = servers(&self.sources, project) else { return Ok(false) };
        let what = format!("source {}", self.source_key(name));
        let push = async |exchange: Exchange<'_>| exchange.push_source(name, source).await;
        self.exchange(servers, what, report, cancel, push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_name_that_is_looked_up_for_long_keeps_nobody() {
        let threads = Threads::start().unwrap();
        let (begun, begins) = mpsc::channel();
        let (answer, answered) = mpsc::channel::<()>();
        // As the operating system does, which cannot be told to stop.
        let lookup = move || {
            begun.send(()).unwrap();
            let _ = answered.recv();
        };
        threads.handle.spawn_blocking(lookup);
        begins.recv().unwrap();
        let (ended, ends) = mpsc::channel();
        std::thread::spawn(move || {
            drop(threads);
            ended.send(()).unwrap();
        });
        ends.recv_timeout(Duration::from_secs(120)).unwrap();
        drop(answer);
    }
}
