//! The services for build tools in a sandbox (`remote-apis-socket`): storage and a cache of actions, on a socket that
//! only one sandbox sees.
//!
//! [`Nested`] is an executor that opens the socket before a command that wants it is run, and closes it afterwards.
//! Nothing is executed for tools yet: `Execution` is answered with `UNIMPLEMENTED`, as by any server that is a cache
//! only.

mod desk;
#[cfg(test)]
mod tests;

use crate::caches::threads;
use bourn_reapi::services::{
    Cancel, ErrorKind, Executed, Execution, HostMount, RemoteApis, ServiceError, ServiceResult,
};
use bourn_reapi::tree::Tree;
use bourn_reapi::{ActionCache, Cas, Executor};
use desk::Desk;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

/// Name of a socket in its directory.
const SOCKET: &str = "socket";

/// What is offered in sandboxes.
///
/// `actions` should be a cache of its own: what runs in a sandbox decides what stands there.
#[derive(Clone)]
pub struct Offer {
    /// Blobs and trees.
    pub cas: Arc<dyn Cas>,
    /// Results of the tools' actions.
    pub actions: Arc<dyn ActionCache>,
}

type Prepare = dyn Fn() -> ServiceResult<Offer> + Send + Sync;

/// An executor whose commands find the services in their sandbox if they want them.
pub struct Nested {
    executor: Arc<dyn Executor>,
    cas: Arc<dyn Cas>,
    prepare: Box<Prepare>,
    /// Where sockets are made.
    directory: PathBuf,
    /// Made when they are first needed.
    ready: Mutex<Option<(Arc<Runtime>, Offer)>>,
}

/// An open socket. Dropping it closes the door: nothing is answered any more.
struct Open {
    directory: TempDir,
    close: Option<oneshot::Sender<()>>,
}

impl Open {
    fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }
}

impl Nested {
    /// Puts what `prepare` makes, when it is first needed, before `executor`, whose store is `cas`; sockets are made
    /// below `directory`.
    pub fn new(
        executor: Arc<dyn Executor>,
        cas: Arc<dyn Cas>,
        directory: PathBuf,
        prepare: impl Fn() -> ServiceResult<Offer> + Send + Sync + 'static,
    ) -> Nested {
        Nested { executor, cas, prepare: Box::new(prepare), directory, ready: Mutex::new(None) }
    }

    fn ready(&self) -> ServiceResult<(Arc<Runtime>, Offer)> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = &*ready {
            return Ok(ready.clone());
        }
        Ok(ready.insert((Arc::new(threads()?), (self.prepare)()?)).clone())
    }

    fn open(&self, apis: &RemoteApis) -> ServiceResult<Open> {
        let (runtime, Offer { cas, actions }) = self.ready()?;
        let failed = |error: &io::Error| ServiceError::io(error, "cannot make a socket in", &self.directory);
        let listen = || {
            std::fs::create_dir_all(&self.directory)?;
            let directory = tempfile::Builder::new().prefix("remote-apis.").tempdir_in(&self.directory)?;
            Ok((listen(directory.path())?, directory))
        };
        let (listener, directory) = listen().map_err(|error| failed(&error))?;
        let (close, closed) = oneshot::channel();
        let open = Open { directory, close: Some(close) };
        let listener = {
            let _within = runtime.enter();
            UnixListener::from_std(listener).map_err(|error| failed(&error))?
        };
        let desk = Desk { cas, actions, may_update: apis.may_update };
        runtime.spawn(Server::builder().serve_with_incoming_shutdown(
            desk,
            UnixListenerStream::new(listener),
            // Also when the sender is gone.
            async { drop(closed.await) },
        ));
        Ok(open)
    }

    /// Takes the place of the socket out of what was captured, unless it was there before.
    fn tidy(&self, execution: &Execution, path: &str, executed: &mut Executed) -> ServiceResult<()> {
        if Tree::open(&self.cas, execution.input_root).entry(path)?.is_some() {
            return Ok(());
        }
        for (output, digest) in execution.command.output_paths.iter().zip(&mut executed.outputs) {
            let Some(within) = within(path, output) else { continue };
            let Some(found) = digest else { continue };
            let mut tree = Tree::open(&self.cas, *found);
            if tree.entry(within)?.is_some() {
                tree.remove(within)
                    .map_err(|error| ServiceError::new(ErrorKind::Invalid, error.to_string()))?;
                *found = tree.digest()?;
            }
        }
        Ok(())
    }
}

/// Listens on a new socket in a directory, for every user who can reach it.
fn listen(directory: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let opened = File::open(directory)?;
    // The name of a socket may be no longer than 107 bytes, whatever the cache directory is called.
    let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    let listener = std::os::unix::net::UnixListener::bind(short)?;
    listener.set_nonblocking(true)?;
    // The user that the command runs as need not be the one who made the socket.
    std::fs::set_permissions(directory.join(SOCKET), PermissionsExt::from_mode(0o666))?;
    Ok(listener)
}

/// `path` relative to the directory `output`, if it is in it.
fn within<'p>(path: &'p str, output: &str) -> Option<&'p str> {
    let rest = path.trim_start_matches('/').strip_prefix(output.trim_matches('/'))?;
    match output.trim_matches('/') {
        "" => Some(rest),
        _ => rest.strip_prefix('/'),
    }
}

impl Executor for Nested {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        let Some(apis) = &execution.remote_apis else {
            return self.executor.execute(execution, log, cancel);
        };
        let open = self.open(apis)?;
        let mut execution = execution.clone();
        let path = format!("/{}", apis.path.trim_start_matches('/'));
        execution.mounts.push(HostMount { host: open.socket(), path: path.clone(), writable: true });
        let mut executed = self.executor.execute(&execution, log, cancel)?;
        drop(open);
        self.tidy(&execution, &path, &mut executed)?;
        Ok(executed)
    }

    fn suspend(&self, stop: bool) {
        self.executor.suspend(stop);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(close) = self.close.take() {
            // Nobody listens if the server has ended by itself.
            let _ = close.send(());
        }
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let ready = self.ready.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = ready.and_then(|(runtime, _)| Arc::into_inner(runtime)) {
            runtime.shutdown_background();
        }
    }
}
