//! Where something was written: small enough to sit on every node.

use std::num::NonZeroU32;

/// A file known to [`Files`](crate::Files).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileId(NonZeroU32);

impl FileId {
    /// The id of the file that was added as number `index`, counted from 0.
    pub(crate) fn from_index(index: usize) -> FileId {
        let number = u32::try_from(index).unwrap_or(u32::MAX - 1).saturating_add(1);
        FileId(NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX))
    }

    /// Position among the files, from 0.
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

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

    /// Whether the program made this up: no file holds it.
    pub fn is_synthetic(self) -> bool {
        self.file.is_none()
    }
}
