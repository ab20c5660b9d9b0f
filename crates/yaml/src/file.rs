//! The files that were read, kept so that diagnostics can quote them.

use crate::span::{FileId, Provenance};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file that was read.
#[derive(Debug)]
pub struct FileEntry {
    /// Path on disk.
    pub path: PathBuf,
    /// Path relative to its project, as diagnostics name it.
    pub display: String,
    /// Chain of junctions that leads to its project (`a.bst:b.bst`), `None` in the toplevel project.
    pub junction: Option<String>,
    /// Its text.
    pub text: Arc<str>,
}

/// Every file of a load. Shared by reference between threads; adding takes a lock.
#[derive(Debug, Default)]
pub struct Files {
    entries: std::sync::RwLock<Vec<Arc<FileEntry>>>,
}

/// A place as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `junction.bst:path`, or the path alone.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 0 (as bst counts).
    pub column: usize,
}

impl Files {
    /// Registers a file and returns its id.
    pub fn add(&self, path: &Path, display: &str, junction: Option<&str>, text: Arc<str>) -> FileId {
        let mut entries = self.entries.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let id = FileId(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        let junction = junction.map(str::to_owned);
        entries.push(Arc::new(FileEntry { path: path.into(), display: display.into(), junction, text }));
        id
    }

    /// The file of that id.
    pub fn get(&self, id: FileId) -> Arc<FileEntry> {
        let entries = self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries[id.0 as usize].clone()
    }

    /// The place of a node; `None` for made-up nodes.
    pub fn position(&self, at: Provenance) -> Option<Position> {
        let entry = self.get(at.file?);
        let before = &entry.text[..(at.start as usize).min(entry.text.len())];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let file = match &entry.junction {
            Some(junction) => format!("{junction}:{}", entry.display),
            None => entry.display.clone(),
        };
        Some(Position {
            file,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count(),
        })
    }
}
