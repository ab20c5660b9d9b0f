//! Executing one command over one tree, from the laid-out root to the collected outputs.

use crate::attend::{Foreground, attend, killed, say};
use crate::capture::{Capture, Moment};
use crate::child::{self, Failure, Report, Step};
use crate::dictate::{environment, orders};
use crate::guard;
use crate::jobserver::{self, Jobserver, Style, Turn};
use crate::kept::Keep;
use crate::later::{Later, Served};
use crate::layers::{LAID_OUT, Layers, Overlays, Source};
use crate::namespace::{self, Sandboxed};
use crate::orders::Orders;
use crate::probe;
use crate::root::{Layout, Place, Places, Root, c_path, components, is_incremental};
use crate::scratch::{self, trouble};
use crate::spawner::Spawner;
use crate::sweeper::{Pool, Sweeper};
use bourn_cas::{LayerKind, ServedTree, Store};
use bourn_reapi::services::{Cancel, Executed, Execution, ServiceResult, Streams};
use bourn_reapi::{Digest, Executor, ServiceError};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a tree is served before it is laid out. That takes seconds, and so does removing the half of it when a run
/// ends before: only long runs are worth it.
const PATIENCE_WITH_SERVING: Duration = Duration::from_secs(60);

/// Runs commands on this machine, each in namespaces of its own.
pub struct LocalExecutor {
    pub(crate) store: Arc<Store>,
    pub(crate) directory: PathBuf,
    /// How overlays are mounted.
    pub(crate) overlays: Overlays,
    /// Whether overlays can be mounted, as far as is known.
    overlaid: AtomicBool,
    /// Which kind of layers, when it is not to be the best that works.
    kind: Option<LayerKind>,
    /// Whether trees can be shown without being laid out, as far as is known.
    served: AtomicBool,
    /// How many entries are laid out rather.
    laid_out: u64,
    /// Lays the others out when commands take long.
    later: Later,
    /// Whether to do without `mount_setattr`.
    pub(crate) remounts: bool,
    /// Paths below `/proc` that sandboxes must not write to.
    pub(crate) guarded: Vec<CString>,
    pub(crate) spawner: Spawner,
    pool: Pool,
    pub(crate) sweeper: Sweeper,
    jobserver: Option<Jobserver>,
    running: Mutex<Running>,
}

/// Why an execution came to nothing.
enum Trouble {
    /// An overlay could not be mounted: without one it might go well.
    NoOverlay(ServiceError),
    /// A tree could not be shown without being laid out.
    NotServed(ServiceError),
    /// Anything else.
    Other(ServiceError),
}

impl From<ServiceError> for Trouble {
    fn from(error: ServiceError) -> Trouble {
        Trouble::Other(error)
    }
}

impl From<Trouble> for ServiceError {
    fn from(trouble: Trouble) -> ServiceError {
        let (Trouble::NoOverlay(error) | Trouble::NotServed(error) | Trouble::Other(error)) = trouble;
        error
    }
}

/// What a command is started with.
struct Start<'a> {
    orders: Orders,
    turn: Option<Turn<'a>>,
    /// The tree below its root, if that is not laid out.
    served: Option<ServedTree>,
}

/// The sandboxes of the moment.
#[derive(Default)]
struct Running {
    next: u64,
    suspended: bool,
    sandboxes: BTreeMap<u64, Arc<Sandboxed>>,
}

impl LocalExecutor {
    /// An executor that takes trees from `store` and keeps its private files in `directory`, which should be on the
    /// file system of the store. Removes there what killed processes left behind.
    ///
    /// Make it early, while this process has little memory: it splits off a small process that makes the sandboxes.
    pub fn new(store: Arc<Store>, directory: &Path) -> ServiceResult<LocalExecutor> {
        let failed = |error| ServiceError::io(&error, "cannot create", directory);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let directory = std::path::absolute(directory).map_err(failed)?;
        scratch::remove_abandoned(&directory)?;
        let pool = Pool::default();
        let sweeper = Sweeper::new(pool.clone());
        let (guarded, spawner) = (guard::guarded()?, Spawner::new());
        let later = Later::new(store.clone(), PATIENCE_WITH_SERVING);
        let overlays = Overlays::of_this_kernel();
        Ok(LocalExecutor {
            store,
            directory,
            overlays,
            overlaid: AtomicBool::new(true),
            kind: None,
            served: AtomicBool::new(true),
            laid_out: LAID_OUT,
            later,
            remounts: false,
            guarded,
            spawner,
            pool,
            sweeper,
            jobserver: None,
            running: Mutex::default(),
        })
    }

    /// Lets all commands together run at most so many processes at a time, as far as their tools know jobservers.
    ///
    /// # Errors
    /// The pipe for it cannot be made.
    pub fn sharing(mut self, jobs: u32) -> ServiceResult<LocalExecutor> {
        self.jobserver = Some(Jobserver::new(&self.directory, jobs)?);
        Ok(self)
    }

    /// Works as on a machine that has no more than this, which is how the ways of other machines are tested on one.
    /// Without a `kind`, layers are of the best one that works.
    pub fn limited_to(mut self, overlays: Overlays, kind: Option<LayerKind>) -> LocalExecutor {
        self.overlaid = AtomicBool::new(overlays != Overlays::Never);
        (self.overlays, self.kind) = (overlays, kind);
        self
    }

    /// Lays trees out at once only where that takes no more than so many entries. Others are shown by answering the
    /// kernel, and laid out beside that when they have been in use for a while.
    pub fn laying_out(mut self, entries: u64, after: Duration) -> LocalExecutor {
        self.laid_out = entries;
        self.later = Later::new(self.store.clone(), after);
        self
    }

    /// Works as on a kernel before Linux 5.12, which changes the attributes of one mount at a time.
    pub fn without_setattr(mut self) -> LocalExecutor {
        self.remounts = true;
        self
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a sandbox known to [`Executor::suspend`] for as long as the result lives.
    fn register(&self, sandbox: Sandboxed) -> Registered<'_> {
        let sandbox = Arc::new(sandbox);
        let mut running = self.running();
        let number = running.next;
        running.next += 1;
        running.sandboxes.insert(number, sandbox.clone());
        if running.suspended {
            sandbox.request(child::STOP);
        }
        Registered { executor: self, number, sandbox }
    }

    fn try_execute(
        &self,
        execution: &Execution,
        overlaid: bool,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<Executed, Trouble> {
        let overlays = if overlaid { self.overlays } else { Overlays::Never };
        let served = self.served.load(Ordering::Relaxed).then_some(self.laid_out);
        let layers = Layers { store: &self.store, overlays, kind: self.kind, served };
        let places = Places { directory: &self.directory, pool: &self.pool, layers };
        let mut root = Layout { store: &self.store, execution, places: &places }.lay_out()?;
        let mut ended = None;
        let executed = self.execute_in(&mut root, execution, log, cancel, &mut ended);
        self.sweeper.sweep(ended, root.place.litter());
        executed
    }

    fn execute_in(
        &self,
        root: &mut Root,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
        ended: &mut Option<Sandboxed>,
    ) -> Result<Executed, Trouble> {
        let paths = output_paths(execution)?;
        let started = Moment::now();
        let mut orders = orders(execution, root, &self.guarded)?;
        let turn = self.take_turn(execution, &mut orders)?;
        let tree = root.source.as_ref().and_then(Source::served);
        let served =
            tree.map(|tree| ServedTree::new(self.store.clone(), tree, (execution.uid, execution.gid)));
        let faults = served.as_ref().map(ServedTree::faults);
        if let Some(tree) = tree {
            self.later.lay_out(Served { tree, prefixes: execution.prefixes.clone() });
        }
        let ran = self.run(Start { orders, turn, served }, execution, log, cancel, ended);
        if let Some(fault) = faults.and_then(|faults| faults.take()) {
            return Err(Trouble::Other(fault));
        }
        let exit_code = match ran {
            // It may be the tree that cannot be below an overlay.
            Err(Trouble::NoOverlay(error)) if tree.is_some() => return Err(Trouble::NotServed(error)),
            ran => ran?,
        };
        let (since, times) = (Moment::now(), is_incremental(execution));
        let consume = are_apart(&paths);
        let capture =
            Capture { store: &self.store, root, input: execution.input_root, started, times, consume };
        let outputs: Vec<_> = paths.iter().map(|path| capture.output(path)).collect::<Result<_, _>>()?;
        if times {
            self.keep(root, &paths, &outputs, since)?;
        }
        Ok(Executed { exit_code, outputs })
    }

    /// Has the directories kept in which the command found something, as they were captured.
    fn keep(
        &self,
        root: &mut Root,
        paths: &[Vec<String>],
        outputs: &[Option<Digest>],
        since: Moment,
    ) -> ServiceResult<()> {
        let Place::Cuts(slot) = &mut root.place else { return Ok(()) };
        let mut kept = Vec::new();
        for (path, output) in paths.iter().zip(outputs) {
            if let Some(tree) = output
                && root.cuts.content(path).is_some_and(|found| found != Digest::empty())
            {
                kept.push(Keep::new(&self.store, path.join("/"), *tree, since)?);
            }
        }
        slot.keep(kept);
        Ok(())
    }

    /// Lets a command take part in the jobserver, if there is one, and tells it if it would understand.
    fn take_turn(&self, execution: &Execution, orders: &mut Orders) -> ServiceResult<Option<Turn<'_>>> {
        let Some(jobserver) = &self.jobserver else { return Ok(None) };
        if let Some(style) = jobserver.style(&self.store, execution)? {
            let mut variables = execution.command.environment_variables.clone();
            jobserver::announce(&mut variables, style);
            orders.environment = environment(&variables)?;
            orders.jobserver = Some(c_path(jobserver.path())?);
            orders.descriptors = style == Style::Descriptors;
        }
        Ok((execution.streams == Streams::Log).then(|| jobserver.begin()))
    }

    fn run(
        &self,
        start: Start<'_>,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
        ended: &mut Option<Sandboxed>,
    ) -> Result<i32, Trouble> {
        let Start { orders, turn, served } = start;
        let foreground = if execution.streams == Streams::Inherit { Foreground::ours() } else { None };
        let orders = Orders { foreground: foreground.is_some(), remounts: self.remounts, ..orders }.encode();
        let (sandbox, output) = match execution.streams {
            Streams::Inherit => {
                let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
                (namespace::split(&orders, streams, execution.network).map_err(probe::not_split)?, None)
            }
            Streams::Log => {
                let null = Path::new("/dev/null");
                let input = std::fs::File::open(null)
                    .map_err(|error| ServiceError::io(&error, "cannot open", null))?;
                let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| {
                    trouble(error, "cannot make a pipe for", Path::new("the output of a command"))
                })?;
                let streams = [input.as_fd(), theirs.as_fd(), theirs.as_fd()];
                (
                    self.spawner.spawn(&orders, streams, execution.network).map_err(probe::not_split)?,
                    Some(output),
                )
            }
        };
        let sandbox = self.register(sandbox);
        let report = attend(&sandbox.sandbox, output, foreground.as_ref(), (turn, served), log, cancel)?;
        *ended = sandbox.into_inner();
        match report {
            Some(Report::Ended { status, crowded }) => {
                if status != 0 && is_full(&self.directory) {
                    say(log, &format!("the disk of {} is full", self.directory.display()))?;
                }
                if crowded {
                    say(
                        log,
                        "the sandbox could not make one more process: the limit of processes is reached",
                    )?;
                }
                Ok(exit_code(status))
            }
            Some(Report::Failed(failure)) => not_started(&failure, log),
            Some(Report::Stopped | Report::Served) | None => Err(Trouble::Other(killed())),
        }
    }
}

impl Executor for LocalExecutor {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        let overlaid = self.overlaid.load(Ordering::Relaxed);
        match self.try_execute(execution, overlaid, log, cancel) {
            Err(Trouble::NotServed(_)) => {
                self.served.store(false, Ordering::Relaxed);
                self.execute(execution, log, cancel)
            }
            Err(Trouble::NoOverlay(_)) if overlaid => {
                self.overlaid.store(false, Ordering::Relaxed);
                self.execute(execution, log, cancel)
            }
            executed => executed.map_err(Trouble::into),
        }
    }

    fn suspend(&self, stop: bool) {
        let mut running = self.running();
        running.suspended = stop;
        let request = if stop { child::STOP } else { child::CONTINUE };
        running.sandboxes.values().for_each(|sandbox| sandbox.request(request));
    }
}

/// A sandbox that is known to its executor.
struct Registered<'a> {
    executor: &'a LocalExecutor,
    number: u64,
    sandbox: Arc<Sandboxed>,
}

impl Registered<'_> {
    /// The sandbox, unless it is being suspended at this moment.
    fn into_inner(self) -> Option<Sandboxed> {
        let sandbox = self.sandbox.clone();
        drop(self);
        Arc::into_inner(sandbox)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.executor.running().sandboxes.remove(&self.number);
    }
}

/// Whether none of the outputs is within another one.
fn are_apart(outputs: &[Vec<String>]) -> bool {
    let is_within = |inner: &Vec<String>, outer: &Vec<String>| inner.starts_with(outer);
    let pairs = (0..outputs.len()).flat_map(|a| (0..outputs.len()).map(move |b| (a, b)));
    pairs.filter(|(a, b)| a != b).all(|(a, b)| !is_within(&outputs[a], &outputs[b]))
}

fn output_paths(execution: &Execution) -> ServiceResult<Vec<Vec<String>>> {
    let command = &execution.command;
    let absolute = |path: &String| match path.starts_with('/') {
        true => components(path),
        false => components(&format!("{}/{path}", command.working_directory)),
    };
    command.output_paths.iter().map(absolute).collect()
}

/// Whether next to nothing can be written to the disk of a directory.
fn is_full(directory: &Path) -> bool {
    const LITTLE: u64 = 1 << 20;
    let full = |disk: rustix::fs::StatVfs| {
        disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE || (disk.f_files > 0 && disk.f_favail == 0)
    };
    rustix::fs::statvfs(directory).is_ok_and(full)
}

/// The status as a shell would give it.
fn exit_code(status: i32) -> i32 {
    let status = std::process::ExitStatus::from_raw(status);
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A command that cannot be executed has failed as it would in a shell; all else is a fault of the machine.
fn not_started(failure: &Failure, log: &mut dyn Write) -> Result<i32, Trouble> {
    match failure.step {
        Step::Program => {}
        Step::Overlay => return Err(Trouble::NoOverlay(probe::not_prepared(failure))),
        Step::Serve => return Err(Trouble::NotServed(probe::not_prepared(failure))),
        _ => return Err(Trouble::Other(probe::not_prepared(failure))),
    }
    let reason = std::io::Error::from(failure.error);
    say(log, &format!("cannot execute `{}`: {reason}", failure.subject().to_string_lossy()))?;
    Ok(if matches!(failure.error, Errno::NOENT | Errno::NOTDIR) { 127 } else { 126 })
}
