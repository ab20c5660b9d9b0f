//! The thread that shows a sandbox a tree which is not laid out.

use crate::scratch::trouble;
use bourn_cas::ServedTree;
use bourn_reapi::ServiceError;
use bourn_reapi::services::ServiceResult;
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use std::path::Path;
use std::thread::JoinHandle;

/// Answers as long as this lives.
pub(crate) struct Server {
    /// Closing it ends the thread.
    end: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to answer what comes from `device`.
    pub(crate) fn start(tree: ServedTree, device: OwnedFd) -> ServiceResult<Server> {
        let (theirs, end) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| trouble(error, "cannot make a pipe for", Path::new("the files of a sandbox")))?;
        let thread = std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || tree.serve(device, theirs))
            .map_err(|error| {
                ServiceError::io(&error, "cannot start a thread for", Path::new("the files of a sandbox"))
            })?;
        Ok(Server { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
