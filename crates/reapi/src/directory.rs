//! Trees of files, named by digest.

use crate::digest::{Digest, DigestMessage, InvalidDigest};
use prost::Message;

/// A free key and value attached to a node.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct NodeProperty {
    /// Name of the property.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// What a node carries beside name and content. BuildStream sets `mtime` only where it matters (workspaces).
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct NodeProperties {
    /// Free properties, sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<NodeProperty>,
    /// Last modification.
    #[prost(message, optional, tag = "2")]
    pub mtime: Option<Timestamp>,
    /// Permission bits.
    #[prost(message, optional, tag = "3")]
    pub unix_mode: Option<u32>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Timestamp {
    /// Seconds since the epoch, UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A regular file in a [`Directory`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct FileNode {
    /// Name without any slash.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
    /// Whether it may be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
    /// Further properties.
    #[prost(message, optional, tag = "6")]
    pub node_properties: Option<NodeProperties>,
}

/// A directory in a [`Directory`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct DirectoryNode {
    /// Name without any slash.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The digest of its serialized [`Directory`].
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
}

/// A symbolic link in a [`Directory`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SymlinkNode {
    /// Name without any slash.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where it points, verbatim.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Further properties.
    #[prost(message, optional, tag = "4")]
    pub node_properties: Option<NodeProperties>,
}

/// One level of a tree: canonical when each list is sorted by name and no name occurs twice.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Directory {
    /// Regular files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// Subdirectories.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// Symbolic links.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
    /// Properties of the directory itself.
    #[prost(message, optional, tag = "5")]
    pub node_properties: Option<NodeProperties>,
}

/// A whole tree in one message (`Tree` in the API), as some servers answer.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct TreeMessage {
    /// The top.
    #[prost(message, optional, tag = "1")]
    pub root: Option<Directory>,
    /// Every directory below, in any order.
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<Directory>,
}

impl TreeMessage {
    /// The files in it, some perhaps more than once.
    pub fn files(&self) -> impl Iterator<Item = &DigestMessage> {
        let directories = self.root.iter().chain(&self.children);
        directories.flat_map(|directory| &directory.files).filter_map(|file| file.digest.as_ref())
    }
}

impl FileNode {
    /// The digest of its content; an error when the message has none.
    pub fn content(&self) -> Result<Digest, InvalidDigest> {
        content(&self.digest, &self.name)
    }
}

impl DirectoryNode {
    /// The digest of its directory; an error when the message has none.
    pub fn content(&self) -> Result<Digest, InvalidDigest> {
        content(&self.digest, &self.name)
    }
}

fn content(digest: &Option<DigestMessage>, name: &str) -> Result<Digest, InvalidDigest> {
    digest.as_ref().map_or_else(|| Err(InvalidDigest(format!("nothing, for `{name}`"))), Digest::try_from)
}

impl Directory {
    /// The file of that name. The lists must be sorted.
    pub fn file(&self, name: &str) -> Option<&FileNode> {
        self.files.binary_search_by(|node| node.name.as_str().cmp(name)).ok().map(|at| &self.files[at])
    }

    /// The directory of that name. The lists must be sorted.
    pub fn directory(&self, name: &str) -> Option<&DirectoryNode> {
        self.directories
            .binary_search_by(|node| node.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.directories[at])
    }

    /// The symbolic link of that name. The lists must be sorted.
    pub fn symlink(&self, name: &str) -> Option<&SymlinkNode> {
        self.symlinks.binary_search_by(|node| node.name.as_str().cmp(name)).ok().map(|at| &self.symlinks[at])
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty() && self.symlinks.is_empty()
    }
}
