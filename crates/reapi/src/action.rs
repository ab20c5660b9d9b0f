//! A command over a tree, and what came of it.

use crate::command::Platform;
use crate::digest::DigestMessage;
use crate::directory::{NodeProperties, Timestamp};
use prost::Message;

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A [`Command`](crate::Command) to be run over an input root; its digest is the key of the action cache.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Action {
    /// Digest of the serialized command.
    #[prost(message, optional, tag = "1")]
    pub command_digest: Option<DigestMessage>,
    /// Digest of the root [`Directory`](crate::Directory).
    #[prost(message, optional, tag = "2")]
    pub input_root_digest: Option<DigestMessage>,
    /// How long it may take.
    #[prost(message, optional, tag = "6")]
    pub timeout: Option<Duration>,
    /// Whether the result must stay out of the action cache.
    #[prost(bool, tag = "7")]
    pub do_not_cache: bool,
    /// Free bytes that separate otherwise equal actions.
    #[prost(bytes = "vec", tag = "9")]
    pub salt: Vec<u8>,
    /// Requirements on the machine, repeated from the command.
    #[prost(message, optional, tag = "10")]
    pub platform: Option<Platform>,
}

/// A regular file that an action left.
#[derive(Clone, PartialEq, Message)]
pub struct OutputFile {
    /// Path relative to the working directory.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
    /// Whether it may be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
    /// Content in line, if the server chose so.
    #[prost(bytes = "vec", tag = "5")]
    pub contents: Vec<u8>,
    /// Further properties.
    #[prost(message, optional, tag = "7")]
    pub node_properties: Option<NodeProperties>,
}

/// A directory that an action left.
#[derive(Clone, PartialEq, Message)]
pub struct OutputDirectory {
    /// Path relative to the working directory.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Digest of a serialized [`TreeMessage`](crate::TreeMessage).
    #[prost(message, optional, tag = "3")]
    pub tree_digest: Option<DigestMessage>,
    /// Whether the tree is topologically sorted.
    #[prost(bool, tag = "4")]
    pub is_topologically_sorted: bool,
    /// Digest of the root [`Directory`](crate::Directory).
    #[prost(message, optional, tag = "5")]
    pub root_directory_digest: Option<DigestMessage>,
}

/// A symbolic link that an action left.
#[derive(Clone, PartialEq, Message)]
pub struct OutputSymlink {
    /// Path relative to the working directory.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Where it points.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Further properties.
    #[prost(message, optional, tag = "4")]
    pub node_properties: Option<NodeProperties>,
}

/// When and where an action ran.
#[derive(Clone, PartialEq, Message)]
pub struct ExecutedActionMetadata {
    /// Name of the worker.
    #[prost(string, tag = "1")]
    pub worker: String,
    /// Start of the execution proper.
    #[prost(message, optional, tag = "7")]
    pub execution_start_timestamp: Option<Timestamp>,
    /// End of the execution proper.
    #[prost(message, optional, tag = "8")]
    pub execution_completed_timestamp: Option<Timestamp>,
}

/// What came of an [`Action`].
#[derive(Clone, PartialEq, Message)]
pub struct ActionResult {
    /// Regular files among the outputs.
    #[prost(message, repeated, tag = "2")]
    pub output_files: Vec<OutputFile>,
    /// Directories among the outputs.
    #[prost(message, repeated, tag = "3")]
    pub output_directories: Vec<OutputDirectory>,
    /// Status of the process.
    #[prost(int32, tag = "4")]
    pub exit_code: i32,
    /// Standard output in line.
    #[prost(bytes = "vec", tag = "5")]
    pub stdout_raw: Vec<u8>,
    /// Standard output by digest.
    #[prost(message, optional, tag = "6")]
    pub stdout_digest: Option<DigestMessage>,
    /// Standard error in line.
    #[prost(bytes = "vec", tag = "7")]
    pub stderr_raw: Vec<u8>,
    /// Standard error by digest.
    #[prost(message, optional, tag = "8")]
    pub stderr_digest: Option<DigestMessage>,
    /// When and where.
    #[prost(message, optional, tag = "9")]
    pub execution_metadata: Option<ExecutedActionMetadata>,
    /// Links to files (API before 2.1).
    #[prost(message, repeated, tag = "10")]
    pub output_file_symlinks: Vec<OutputSymlink>,
    /// Links to directories (API before 2.1).
    #[prost(message, repeated, tag = "11")]
    pub output_directory_symlinks: Vec<OutputSymlink>,
    /// Links among the outputs.
    #[prost(message, repeated, tag = "12")]
    pub output_symlinks: Vec<OutputSymlink>,
}

impl ActionResult {
    /// The blobs that it refers to: files, serialized trees, standard output and standard error.
    pub fn blobs(&self) -> impl Iterator<Item = &DigestMessage> {
        let files = self.output_files.iter().filter_map(|file| file.digest.as_ref());
        files.chain(self.trees()).chain(&self.stdout_digest).chain(&self.stderr_digest)
    }

    /// The serialized trees ([`TreeMessage`](crate::TreeMessage)) that it refers to.
    pub fn trees(&self) -> impl Iterator<Item = &DigestMessage> {
        self.output_directories.iter().filter_map(|output| output.tree_digest.as_ref())
    }

    /// The root directories of the trees that it refers to.
    pub fn roots(&self) -> impl Iterator<Item = &DigestMessage> {
        self.output_directories.iter().filter_map(|output| output.root_directory_digest.as_ref())
    }
}
