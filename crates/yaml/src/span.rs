//! Where something was written: small enough to sit on every node.

/// A file known to [`Files`](crate::Files).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileId(pub(crate) u32);

/// A span of a file, in bytes from its start. Line, column and snippet are computed where they are printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Provenance {
    /// The file; `None` for nodes that the program made up.
    pub file: Option<FileId>,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Provenance {
    /// The provenance of nodes that stand in no file.
    pub const SYNTHETIC: Provenance = Provenance { file: None, start: 0, end: 0 };
}
