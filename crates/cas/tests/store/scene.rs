//! A cache in a temporary directory, trees written down as text, and trees read back as text.

use bourn_cas::Store;
use bourn_reapi::services::{ExportOptions, ImportOptions};
use bourn_reapi::{Cas, Digest};
use std::fmt::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A temporary directory with a cache in it.
pub(crate) struct Scene {
    /// Removed at the end.
    pub(crate) place: tempfile::TempDir,
    /// The cache, at `cache` in the place.
    pub(crate) store: Store,
}

impl Scene {
    /// An empty cache.
    pub(crate) fn new() -> Scene {
        Scene::below(&std::env::temp_dir())
    }

    /// An empty cache somewhere below a directory.
    pub(crate) fn below(directory: &Path) -> Scene {
        let place = tempfile::tempdir_in(directory).expect("a temporary directory");
        let store = Store::open(&place.path().join("cache")).expect("a cache");
        Scene { place, store }
    }

    /// A path beside the cache.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Writes a tree (see [`write_tree`]) and imports it.
    pub(crate) fn tree(&self, text: &str) -> Digest {
        let path = self.path("scratch");
        let _ = std::fs::remove_dir_all(&path);
        write_tree(&path, text);
        self.store.import_tree(&path, &ImportOptions::default()).expect("an import")
    }

    /// A tree as text (see [`read_tree`]).
    pub(crate) fn text(&self, digest: &Digest) -> String {
        let path = self.path("exported");
        let _ = std::fs::remove_dir_all(&path);
        self.store.export_tree(digest, &path, &ExportOptions::default()).expect("an export");
        read_tree(&path)
    }
}

/// Writes a tree: one entry per line; `name content`, `name* content` for executable files, `name -> target` for
/// links, `name/` for directories. Directories that are named in paths are created.
pub(crate) fn write_tree(root: &Path, text: &str) {
    std::fs::create_dir_all(root).expect("a directory");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let path = root.join(name.trim_end_matches('*'));
        if name.ends_with('/') {
            std::fs::create_dir_all(&path).expect("a directory");
            continue;
        }
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        match rest.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, &path).expect("a link"),
            None => {
                std::fs::write(&path, rest).expect("a file");
                let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
                std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
            }
        }
    }
}

/// A tree in the form that [`write_tree`] takes, sorted; directories only where they are empty.
pub(crate) fn read_tree(root: &Path) -> String {
    fn walk(path: &Path, prefix: &str, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry")) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let status = entry.metadata().expect("a status");
            if status.is_symlink() {
                let target = std::fs::read_link(entry.path()).expect("a link");
                out.push(format!("{name} -> {}", target.display()));
            } else if status.is_dir() {
                let before = out.len();
                walk(&entry.path(), &format!("{name}/"), out);
                if out.len() == before {
                    out.push(format!("{name}/"));
                }
            } else {
                let star = if status.mode() & 0o100 != 0 { "*" } else { "" };
                let content = std::fs::read_to_string(entry.path()).expect("a file");
                out.push(format!("{name}{star} {content}"));
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, "", &mut lines);
    lines.sort();
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// The lines of a tree, trimmed and sorted, to compare with [`read_tree`].
pub(crate) fn lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim_start).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}
