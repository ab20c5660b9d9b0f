//! The local store as a cache of a storage on another machine (`cache.storage-service`).
//!
//! A blob counts as held when either holds it. Directories come when a tree is asked about, files when they are read,
//! written out or staged. Whatever is published is in the storage before it has a name here, so that what the local
//! store loses later can be had again.

use crate::caches::{Threads, stoppable};
use crate::fault::{Attempt, Fault, Here, with_hint};
use crate::link::Link;
use crate::pair::Told;
use crate::server::Server;
use crate::storage::Storage;
use crate::transfer::{Meter, Transfer};
use bourn_reapi::services::{
    Cancel, ErrorKind, Executed, Execution, ExportOptions, ImportOptions, ServiceResult, SourceName,
};
use bourn_reapi::{
    Artifact, ArtifactName, Assets, Cas, Digest, Directory, Executor, FileNode, ServiceError, Source,
};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is said of a storage that does not answer or makes no sense; why follows.
pub const STORAGE_GONE: &str = "The storage service cannot be used, the local cache alone is";

/// A local store, names and executor with a storage behind them.
pub struct Backed {
    threads: Threads,
    local: Arc<dyn Cas>,
    assets: Arc<dyn Assets>,
    executor: Arc<dyn Executor>,
    storage: Arc<Storage>,
    cancel: Cancel,
    warn: Box<dyn Fn(&str) + Send + Sync>,
    told: Told,
}

impl Backed {
    /// Begins to connect to the storage, and puts it behind these services. Who needs it waits for it, until `cancel` says
    /// otherwise; one that cannot be used is done without, and `warn` is called once for each kind of trouble.
    ///
    /// # Errors
    /// The URL makes no sense; credentials cannot be read; there are no threads to be had.
    pub fn connect(
        server: &Server,
        local: Arc<dyn Cas>,
        assets: Arc<dyn Assets>,
        executor: Arc<dyn Executor>,
        cancel: Cancel,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> ServiceResult<Backed> {
        let threads = Threads::start()?;
        let link = {
            let _within = threads.handle.enter();
            Arc::new(Link::new(server)?)
        };
        let storage = Arc::new(Storage::new(link));
        let met = storage.clone();
        // Whoever needs it is told what is wrong.
        threads.handle.spawn(async move { drop(met.abilities().await) });
        let (warn, told) = (Box::new(warn), Told::default());
        Ok(Backed { threads, local, assets, executor, storage, cancel, warn, told })
    }

    /// Warns of what the storage did not do, unless such a thing was told of before.
    fn warn_of(&self, what: &str, error: &ServiceError) {
        if self.told.is_new(self.storage.link.url(), error.kind) {
            (self.warn)(&with_hint(format!("{what}: {}", error.message), error));
        }
    }

    /// What the local store knows alone, where the storage could not be asked.
    fn unless_gone<T>(&self, asked: Attempt<T>, alone: T) -> ServiceResult<T> {
        match asked {
            Ok(answer) => Ok(answer),
            Err(Fault::Remote(error)) => {
                self.warn_of(STORAGE_GONE, &error);
                Ok(alone)
            }
            Err(Fault::Local(error)) => Err(error),
        }
    }

    /// The way to another server, for what belongs together with this storage.
    ///
    /// # Errors
    /// Those of [`Link::new`].
    pub(crate) fn link(&self, server: &Server) -> ServiceResult<Link> {
        let _within = self.threads.handle.enter();
        Link::new(server)
    }

    pub(crate) fn transfer(&self) -> Transfer {
        Transfer { storage: self.storage.clone(), cas: self.local.clone(), meter: Arc::new(Meter::default()) }
    }

    /// Runs an exchange to its end, whichever thread this is.
    pub(crate) fn run<T: Send>(&self, work: impl Future<Output = Attempt<T>> + Send) -> Attempt<T> {
        let work = async { Ok(work.await) };
        let run = || stoppable(&self.threads.handle, &self.cancel, || (), work);
        // A thread of some runtime cannot wait for another one.
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(result) => result.here()?,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Asks the local store; what is missing there is brought, and asked for again.
    fn with_blob<T>(&self, digest: &Digest, ask: impl Fn() -> ServiceResult<T>) -> ServiceResult<T> {
        match ask() {
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => {}
            result => return result,
        }
        let transfer = self.transfer();
        self.run(async { transfer.fetch_blobs(vec![*digest]).await }).map_err(Fault::into_error)?;
        ask()
    }

    /// Brings whole trees.
    fn bring(&self, trees: Vec<Digest>) -> ServiceResult<()> {
        let transfer = self.transfer();
        self.run(async { transfer.fetch_trees(trees).await }).map_err(Fault::into_error)
    }

    /// Sends what something that is going to be published refers to.
    fn keep(&self, trees: Vec<Digest>, blobs: Vec<Digest>, what: &str) -> ServiceResult<()> {
        let transfer = self.transfer();
        match self.run(async { transfer.complete(trees, blobs).await }) {
            Ok(()) => Ok(()),
            Err(Fault::Local(error)) => Err(error),
            Err(Fault::Remote(error)) => {
                let is_gone = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
                match is_gone {
                    true => self.warn_of(STORAGE_GONE, &error),
                    false => self.warn_of(&format!("{what} is in the local cache alone"), &error),
                }
                Ok(())
            }
        }
    }

    /// Whether a tree is held by both together. Its directories are here afterwards.
    async fn is_whole(transfer: &Transfer, root: Digest) -> Attempt<bool> {
        match transfer.fetch_levels(vec![root]).await {
            Err(fault) if fault.remote_kind() == Some(ErrorKind::Missing) => return Ok(false),
            result => result?,
        }
        transfer.holds_files(root).await
    }
}

impl Cas for Backed {
    fn missing_blobs(&self, digests: &[Digest]) -> ServiceResult<Vec<Digest>> {
        let missing = self.local.missing_blobs(digests)?;
        if missing.is_empty() {
            return Ok(missing);
        }
        let (transfer, asked) = (self.transfer(), missing.clone());
        let there = self.run(async { transfer.missing_there(&asked).await });
        self.unless_gone(there, missing)
    }

    fn contains_tree(&self, root: &Digest) -> ServiceResult<bool> {
        if self.local.contains_tree(root)? {
            return Ok(true);
        }
        let transfer = self.transfer();
        let is_whole = self.run(async { Backed::is_whole(&transfer, *root).await });
        self.unless_gone(is_whole, false)
    }

    fn read(&self, digest: &Digest) -> ServiceResult<Vec<u8>> {
        self.with_blob(digest, || self.local.read(digest))
    }

    fn open(&self, digest: &Digest) -> ServiceResult<File> {
        self.with_blob(digest, || self.local.open(digest))
    }

    fn write(&self, content: &[u8]) -> ServiceResult<Digest> {
        self.local.write(content)
    }

    fn expect_blobs(&self) {
        self.local.expect_blobs();
    }

    fn expect_reads(&self, digests: &[Digest]) {
        let missing = self.local.missing_blobs(digests).unwrap_or_default();
        if !missing.is_empty() {
            let transfer = self.transfer();
            let _ = self.run(async { transfer.fetch_blobs(missing).await });
        }
    }

    fn write_many(&self, blobs: &[&[u8]]) -> ServiceResult<Vec<Digest>> {
        self.local.write_many(blobs)
    }

    fn write_from(&self, content: &mut dyn Read) -> ServiceResult<Digest> {
        self.local.write_from(content)
    }

    fn directory(&self, digest: &Digest) -> ServiceResult<Arc<Directory>> {
        self.with_blob(digest, || self.local.directory(digest))
    }

    fn write_directory(&self, directory: &Directory) -> ServiceResult<Digest> {
        self.local.write_directory(directory)
    }

    fn import_file(&self, path: &Path) -> ServiceResult<FileNode> {
        self.local.import_file(path)
    }

    fn import_files(&self, paths: &[PathBuf], options: &ImportOptions) -> ServiceResult<Vec<FileNode>> {
        self.local.import_files(paths, options)
    }

    fn import_tree(&self, path: &Path, options: &ImportOptions) -> ServiceResult<Digest> {
        self.local.import_tree(path, options)
    }

    fn export_tree(&self, root: &Digest, into: &Path, options: &ExportOptions) -> ServiceResult<()> {
        self.bring(vec![*root])?;
        self.local.export_tree(root, into, options)
    }
}

impl Assets for Backed {
    fn artifact(&self, name: &ArtifactName) -> ServiceResult<Option<Artifact>> {
        self.assets.artifact(name)
    }

    fn publish_artifact(&self, names: &[ArtifactName], artifact: &Artifact) -> ServiceResult<()> {
        let references =
            crate::artifact::References::of(artifact, "the local cache").map_err(Fault::into_error)?;
        let what = names.first().map(ToString::to_string).unwrap_or_default();
        let mut trees = references.files;
        for tree in references.extra {
            if self.local.contains_tree(&tree)? {
                trees.push(tree);
            }
        }
        self.keep(trees, references.blobs, &format!("Artifact {what}"))?;
        self.assets.publish_artifact(names, artifact)
    }

    fn remove_artifact(&self, name: &ArtifactName) -> ServiceResult<bool> {
        self.assets.remove_artifact(name)
    }

    fn artifact_names(&self) -> ServiceResult<Vec<ArtifactName>> {
        self.assets.artifact_names()
    }

    fn source(&self, name: &SourceName) -> ServiceResult<Option<Source>> {
        self.assets.source(name)
    }

    fn publish_source(&self, name: &SourceName, source: &Source) -> ServiceResult<()> {
        let files = source.files.as_ref().map(Digest::try_from).transpose()?;
        self.keep(files.into_iter().collect(), Vec::new(), "A source")?;
        self.assets.publish_source(name, source)
    }
}

impl Executor for Backed {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        if !self.local.contains_tree(&execution.input_root)? {
            self.bring(vec![execution.input_root])?;
        }
        // Trees that are only likely to be of use are not worth a transfer.
        let mut execution = execution.clone();
        execution.prefixes.retain(|tree| self.local.contains_tree(tree).unwrap_or(false));
        self.executor.execute(&execution, log, cancel)
    }

    fn suspend(&self, stop: bool) {
        self.executor.suspend(stop);
    }
}
