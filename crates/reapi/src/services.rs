//! The services a build needs, as traits: where bytes are, what was done before, what names mean, who runs; and the
//! remote caches beside them.
//!
//! Which implementation stands behind each (local, remote, or one stacked upon the other) is decided by the
//! program that wires them; nothing here or above knows.

use crate::digest::InvalidDigest;
use crate::{ActionResult, Artifact, ArtifactName, Command, Digest, Directory, FileNode, Source};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What went wrong with the world (disk, network, sandbox), never with the user's files.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// What kind of trouble, for programs.
    pub kind: ErrorKind,
    /// One clear sentence that names the place (path, digest, host).
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// More text, such as the tail of a tool's output.
    pub detail: Option<String>,
}

/// Kinds of trouble that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A blob or name is not there.
    Missing,
    /// Content does not match its digest.
    Corrupt,
    /// The disk is full or a quota is reached.
    NoSpace,
    /// Reading or writing was refused.
    Denied,
    /// The other side cannot be reached or answered with a passing error.
    Unavailable,
    /// A deadline passed.
    TimedOut,
    /// The caller asked to stop.
    Cancelled,
    /// The sandbox cannot be set up on this machine.
    Sandbox,
    /// Something was asked for that makes no sense (a path that climbs out, a malformed message).
    Invalid,
    /// Any other failure of the operating system.
    Io,
}

impl ServiceError {
    /// An error of `kind` with a sentence for the user.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ServiceError {
        ServiceError { kind, message: message.into(), hint: None, detail: None }
    }

    /// Adds what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> ServiceError {
        self.hint = Some(hint.into());
        self
    }

    /// Wraps an error of the operating system, saying what was being done and to which path.
    pub fn io(error: &std::io::Error, doing: &str, path: &Path) -> ServiceError {
        use std::io::ErrorKind as Os;
        let kind = match error.kind() {
            Os::NotFound => ErrorKind::Missing,
            Os::StorageFull | Os::QuotaExceeded => ErrorKind::NoSpace,
            Os::PermissionDenied | Os::ReadOnlyFilesystem => ErrorKind::Denied,
            _ => ErrorKind::Io,
        };
        let wrapped = ServiceError::new(kind, format!("{doing} {}: {error}", path.display()));
        match kind {
            ErrorKind::NoSpace => wrapped.hint("free some space there, or move `cachedir` to a larger disk"),
            ErrorKind::Denied => wrapped.hint("check the owner and permissions of this path"),
            _ => wrapped,
        }
    }
}

impl From<InvalidDigest> for ServiceError {
    fn from(error: InvalidDigest) -> ServiceError {
        ServiceError::new(ErrorKind::Invalid, error.to_string())
    }
}

/// Result of a service call.
pub type ServiceResult<T> = Result<T, ServiceError>;

/// Asks work to stop; clones share one flag. Long calls look at it often.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everything that holds this flag to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether stopping was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How a directory of the file system becomes a tree in the store.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The source is ours to consume: move files instead of copying them where the file system allows.
    pub consume: bool,
    /// Record modification times as node properties (workspaces).
    pub record_mtime: bool,
}

/// The modification time that files without one of their own have in a sandbox, in seconds: 2011-11-11 11:11:11 UTC.
pub const STAGED_TIME: i64 = 1_321_009_871;

/// How a tree of the store becomes a directory of the file system.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Link files to the store's objects instead of copying. The result must not be written to.
    pub hardlinks: bool,
    /// The destination may exist; its other content stays.
    pub merge: bool,
    /// As a sandbox shows it, whatever this process' mask: files 0644 or 0755, directories 0755, and where the tree
    /// has no modification time, [`STAGED_TIME`]. For copies.
    pub staged: bool,
}

/// Content-addressed storage: blobs and trees by digest. Everything appears whole or not at all.
pub trait Cas: Send + Sync {
    /// Which of `digests` are not held.
    fn missing_blobs(&self, digests: &[Digest]) -> ServiceResult<Vec<Digest>>;

    /// Whether a tree and all it refers to is held.
    fn contains_tree(&self, root: &Digest) -> ServiceResult<bool>;

    /// The content of a blob.
    fn read(&self, digest: &Digest) -> ServiceResult<Vec<u8>>;

    /// A blob opened for reading, for large ones.
    fn open(&self, digest: &Digest) -> ServiceResult<File>;

    /// Stores a blob.
    fn write(&self, content: &[u8]) -> ServiceResult<Digest>;

    /// Says that many blobs are going to be stored: what can be made ready for them begins. Returns at once.
    fn expect_blobs(&self) {}

    /// Says that these blobs are going to be read, one after the other: those that are elsewhere come together. What is
    /// wrong with one shows when it is read.
    fn expect_reads(&self, _digests: &[Digest]) {}

    /// Stores many blobs, hashing and writing on all cores; digests in the order given.
    fn write_many(&self, blobs: &[&[u8]]) -> ServiceResult<Vec<Digest>>;

    /// Stores a blob of unknown length from a stream, hashing while it is written.
    fn write_from(&self, content: &mut dyn Read) -> ServiceResult<Digest>;

    /// A directory, decoded; implementations keep recent ones.
    fn directory(&self, digest: &Digest) -> ServiceResult<Arc<Directory>>;

    /// Stores a directory whose lists are sorted.
    fn write_directory(&self, directory: &Directory) -> ServiceResult<Digest>;

    /// Stores one regular file of the file system.
    fn import_file(&self, path: &Path) -> ServiceResult<FileNode>;

    /// Stores regular files of the file system; nodes in the order given. With `consume` the files are the caller's to
    /// give away: they are moved into the store where the file system allows, and what stands at `paths` afterwards
    /// is unspecified. Implementations hash on all cores.
    fn import_files(&self, paths: &[PathBuf], options: &ImportOptions) -> ServiceResult<Vec<FileNode>> {
        let _ = options;
        paths.iter().map(|path| self.import_file(path)).collect()
    }

    /// Stores a directory of the file system.
    fn import_tree(&self, path: &Path, options: &ImportOptions) -> ServiceResult<Digest>;

    /// Writes a tree into the file system, permissions and times as bst shows them.
    fn export_tree(&self, root: &Digest, into: &Path, options: &ExportOptions) -> ServiceResult<()>;
}

/// Results of actions by the digest of the action.
pub trait ActionCache: Send + Sync {
    /// The result kept for an action.
    fn action_result(&self, action: &Digest) -> ServiceResult<Option<ActionResult>>;

    /// Keeps the result of an action.
    fn update_action_result(&self, action: &Digest, result: &ActionResult) -> ServiceResult<()>;
}

/// The name of a kept source tree.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SourceName {
    /// All sources of an element together (`elementsources/KEY`).
    Element(String),
    /// One source alone (`source_protos/KIND/KEY`).
    Single {
        /// Source kind.
        kind: String,
        /// Source key.
        key: String,
    },
}

/// Names and what they mean: artifacts and sources by key.
pub trait Assets: Send + Sync {
    /// The artifact of that name. Its blobs may be missing; ask the [`Cas`].
    fn artifact(&self, name: &ArtifactName) -> ServiceResult<Option<Artifact>>;

    /// Publishes an artifact under all `names` (strong and weak key), after everything it refers to is stored.
    fn publish_artifact(&self, names: &[ArtifactName], artifact: &Artifact) -> ServiceResult<()>;

    /// Forgets a name. Whether it was there.
    fn remove_artifact(&self, name: &ArtifactName) -> ServiceResult<bool>;

    /// Every artifact name, least recently used first.
    fn artifact_names(&self) -> ServiceResult<Vec<ArtifactName>>;

    /// The source tree of that name.
    fn source(&self, name: &SourceName) -> ServiceResult<Option<Source>>;

    /// Publishes a source tree.
    fn publish_source(&self, name: &SourceName, source: &Source) -> ServiceResult<()>;
}

/// Takes what an exchange with a remote cache says.
pub trait Report: Sync {
    /// What is being done (`Pulling artifact KEY <- URL`).
    fn status(&self, text: &str);

    /// Something worth knowing (`Pulled artifact KEY <- URL`).
    fn info(&self, text: &str);

    /// Something odd, such as one of several remotes that cannot be reached.
    fn warn(&self, text: &str);

    /// Bytes so far, and in all if known.
    fn bytes(&self, done: u64, total: Option<u64>);
}

/// Remote caches, by project: which there are was decided by project.conf, configuration and command line.
///
/// What is pulled is in the local store, whole, before a call returns; what is pushed is there in the same sense.
///
/// Whether there is a cache for something is decided without waiting for any. A cache counts until something was asked of
/// it and somebody was told that it cannot be used: no answer changes before that.
pub trait Remotes: Send + Sync {
    /// Whether there is a cache to pull artifacts of a project from.
    fn pulls_artifacts(&self, project: &str) -> bool;

    /// Whether there is a cache to push artifacts of a project to.
    fn pushes_artifacts(&self, project: &str) -> bool;

    /// Whether there is a cache to pull sources of a project from.
    fn pulls_sources(&self, project: &str) -> bool;

    /// Whether there is a cache to push sources of a project to.
    fn pushes_sources(&self, project: &str) -> bool;

    /// Which of these artifacts any remote knows, without bringing anything. Remotes that cannot be asked are warned of,
    /// and know nothing.
    ///
    /// # Errors
    /// It was asked to stop.
    fn available(
        &self,
        names: &[ArtifactName],
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Vec<bool>>;

    /// Says that these artifacts are going to be pulled, in about this order: what can be done for all of them together
    /// begins. Returns at once.
    fn expect(&self, names: &[ArtifactName]) {
        let _ = names;
    }

    /// Says that these artifacts are going to be pushed, in about this order: what can be done for all of them together
    /// begins, and nothing that others see. They are in the local store, under these names by their strong keys. Returns
    /// at once.
    fn expect_pushes(&self, names: &[ArtifactName]) {
        let _ = names;
    }

    /// Brings an artifact with its files, metadata and logs, with its build tree only if that is wanted; `None` when
    /// no remote has it. The caller publishes the names.
    ///
    /// # Errors
    /// All remotes failed: `Unavailable`. Every other kind is about the local store.
    fn pull_artifact(
        &self,
        name: &ArtifactName,
        build_tree: bool,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Artifact>>;

    /// Sends an artifact and publishes it under all `names`. Whether any remote did not have it.
    ///
    /// # Errors
    /// A remote failed.
    fn push_artifact(
        &self,
        names: &[ArtifactName],
        artifact: &Artifact,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool>;

    /// Brings a source tree; `None` when no remote has it. The caller publishes the name.
    ///
    /// # Errors
    /// All remotes failed: `Unavailable`. Every other kind is about the local store.
    fn pull_source(
        &self,
        project: &str,
        name: &SourceName,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<Option<Source>>;

    /// Sends a source tree and publishes it. Whether any remote did not have it.
    ///
    /// # Errors
    /// A remote failed.
    fn push_source(
        &self,
        project: &str,
        name: &SourceName,
        source: &Source,
        report: &dyn Report,
        cancel: &Cancel,
    ) -> ServiceResult<bool>;
}

/// A file or directory of the host made visible in a sandbox.
#[derive(Clone, Debug)]
pub struct HostMount {
    /// Path on the host.
    pub host: PathBuf,
    /// Absolute path in the sandbox.
    pub path: String,
    /// Whether the sandbox may write to it.
    pub writable: bool,
}

/// What a sandboxed process reads and writes on its standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// No input; both outputs go to the log.
    Log,
    /// The caller's own streams and terminal, with job control (shells).
    Inherit,
}

/// The services of this API for build tools in a sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteApis {
    /// Path of the socket in the sandbox.
    pub path: String,
    /// Whether results may be kept in the cache of actions.
    pub may_update: bool,
}

/// One command to be run over one tree.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The tree that becomes `/`.
    pub input_root: Digest,
    /// Trees that are likely subsets of the input root, smallest first: an executor that has one of them staged
    /// already only needs to add the difference. Never changes the result.
    pub prefixes: Vec<Digest>,
    /// Arguments, environment, absolute working directory, platform and the absolute output paths.
    pub command: Command,
    /// Absolute directories that the command may write to even when the root is read-only.
    pub writable: Vec<String>,
    /// Whether everything else is read-only.
    pub root_read_only: bool,
    /// Whether the host's network is reachable.
    pub network: bool,
    /// User id that the command sees itself as.
    pub uid: u32,
    /// Group id that the command sees itself as.
    pub gid: u32,
    /// Host files made visible.
    pub mounts: Vec<HostMount>,
    /// Standard streams.
    pub streams: Streams,
    /// Host name seen inside (`uts` namespace); `None` for the default.
    pub hostname: Option<String>,
    /// Services that the command wants to find.
    pub remote_apis: Option<RemoteApis>,
}

/// What an [`Execution`] came to.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Exit status; 128 + signal when it was killed.
    pub exit_code: i32,
    /// For every output path of the command, in order: the tree found there, `None` where nothing was.
    pub outputs: Vec<Option<Digest>>,
}

/// Runs commands.
pub trait Executor: Send + Sync {
    /// Runs one command to its end and collects its outputs. Output of the command goes to `log` as it comes.
    fn execute(&self, execution: &Execution, log: &mut dyn Write, cancel: &Cancel)
    -> ServiceResult<Executed>;

    /// Stops (`true`) or continues (`false`) every process of every running execution (SIGTSTP, SIGCONT).
    fn suspend(&self, stop: bool);
}

/// The services that a build is given.
#[derive(Clone)]
pub struct Services {
    /// Blobs and trees.
    pub cas: Arc<dyn Cas>,
    /// Results by action; absent where nothing caches actions.
    pub action_cache: Option<Arc<dyn ActionCache>>,
    /// Artifacts and sources by name.
    pub assets: Arc<dyn Assets>,
    /// Who runs commands.
    pub executor: Arc<dyn Executor>,
    /// Remote caches; absent where none is configured.
    pub remotes: Option<Arc<dyn Remotes>>,
}
