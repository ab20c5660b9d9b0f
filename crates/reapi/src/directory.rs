//! Trees of files, named by digest.

use crate::digest::DigestMessage;
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
