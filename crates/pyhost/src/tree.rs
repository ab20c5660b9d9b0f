//! The trees of sandboxes, as plugins see them.
//!
//! Paths are walked as bst walks those of its store: a symbolic link in the middle of a path is followed only where
//! the plugin says so, and then within the tree; `..` never leads above the root.

use crate::build::{is, no_file_system, number, text, told};
use crate::host::HostError;
use bourn_plan::foreign::{ForeignBench, ImportFrom};
use bourn_plan::workbench::Entry;
use bourn_reapi::tree::ImportReport;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// As many links as a path may lead through, which is what Linux allows.
const MOST_LINKS: usize = 40;

type Answer = Result<Json, HostError>;

/// Answers what is asked about one tree.
pub(crate) struct Tree<'b> {
    pub(crate) bench: &'b mut dyn ForeignBench,
    /// Where files are put that go between the plugin and the store.
    pub(crate) drafts: &'b Path,
}

impl Tree<'_> {
    pub(crate) fn answer(&mut self, question: &str, arguments: &Json) -> Answer {
        let base = self.base(text(arguments, "path"))?;
        let name = text(arguments, "name");
        match question {
            "tree-list" => {
                let found = self.bench.list(&base).map_err(told)?.unwrap_or_default();
                Ok(found.into_iter().map(|(name, _)| name).collect())
            }
            "tree-paths" => Ok(self.bench.paths(&base).map_err(told)?.unwrap_or_default().into()),
            "tree-directory" => {
                let walk =
                    Walk { follow: is(arguments, "follow"), create: is(arguments, "create"), links: 0 };
                self.walk(&base, name, walk).map(Json::from)
            }
            "tree-stat" => self.stat(&base, name, is(arguments, "follow")),
            "tree-read" => self.read(&base, name),
            "tree-draft" => self.draft(&base, name, is(arguments, "new")),
            "tree-write" => self.write(&base, name, arguments),
            "tree-remove" => self.remove(&base, name, is(arguments, "recursive")),
            "tree-rename" => self.rename(&base, name, text(arguments, "to")),
            "tree-import" => self.import(&base, arguments),
            "tree-digest" => {
                let digest = self.bench.tree_digest(&base).map_err(told)?;
                Ok(json!({"hash": digest.hex(), "size": digest.size}))
            }
            _ => Err(HostError::new(format!("`{question}` is no question"))),
        }
    }

    /// What stands at a path that was walked already.
    fn entry(&self, path: &str) -> Result<Option<Entry>, HostError> {
        if path.is_empty() {
            return Ok(Some(Entry::Directory));
        }
        self.bench.entry(path).map_err(told)
    }

    /// The path of a directory that the plugin holds, which may have gone since.
    fn base(&self, path: &str) -> Result<String, HostError> {
        match self.entry(path)? {
            Some(Entry::Directory) => Ok(path.to_owned()),
            _ => Err(no_directory(path)),
        }
    }

    /// The directory that a path leads to.
    fn walk(&mut self, base: &str, path: &str, walk: Walk) -> Result<String, HostError> {
        let mut at = base.to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let next = join(&at, name);
            match name {
                "." => continue,
                ".." => {
                    at = at.rsplit_once('/').map_or_else(String::new, |(above, _)| above.to_owned());
                    continue;
                }
                _ => {}
            }
            at = match self.entry(&next)? {
                Some(Entry::Directory) => next,
                Some(Entry::Symlink { target }) if walk.follow => {
                    let from = if target.starts_with('/') { "" } else { &at };
                    self.walk(from, &target, walk.over_a_link(&next)?)?
                }
                Some(_) => {
                    return Err(no_file_system(format!("'/{next}' is not a directory"), "not-a-directory"));
                }
                None if walk.create => {
                    self.bench.create_directory(&next).map_err(told)?;
                    next
                }
                None => return Err(no_directory(&next)),
            };
        }
        Ok(at)
    }

    /// The directory that holds what a path names, and the name there.
    fn place<'p>(&mut self, base: &str, path: &'p str, walk: Walk) -> Result<(String, &'p str), HostError> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(base, above, walk)?, name))
    }

    /// What a path leads to, with its own path.
    fn find(&mut self, base: &str, path: &str, walk: Walk) -> Result<(String, Entry), HostError> {
        let (above, name) = self.place(base, path, walk)?;
        let full = join(&above, name);
        let found = if is_name(name) { self.entry(&full)? } else { None };
        match found {
            Some(Entry::Symlink { target }) if walk.follow => {
                let from = if target.starts_with('/') { "" } else { &above };
                self.find(from, &target, walk.over_a_link(&full)?)
            }
            Some(entry) => Ok((full, entry)),
            None => Err(no_file_system(format!("'/{full}' not found"), "")),
        }
    }

    fn stat(&mut self, base: &str, path: &str, follow: bool) -> Answer {
        let (_, entry) = self.find(base, path, Walk { follow, ..Walk::default() })?;
        Ok(match entry {
            Entry::Directory => json!({"type": 1, "executable": true, "size": 0}),
            Entry::File { digest, executable } => {
                json!({"type": 2, "executable": executable, "size": digest.size, "digest": digest.hex()})
            }
            Entry::Symlink { target } => {
                json!({"type": 3, "executable": false, "size": target.len(), "target": target})
            }
        })
    }

    /// A new file of the host.
    fn new_draft(&self) -> Result<tempfile::NamedTempFile, HostError> {
        let made = std::fs::create_dir_all(self.drafts)
            .and_then(|()| tempfile::Builder::new().prefix("plugin-").tempfile_in(self.drafts));
        made.map_err(|error| HostError::new(format!("Making a file in {}: {error}", self.drafts.display())))
    }

    /// The path of a file, or of nothing, in a directory that is there.
    fn file(&mut self, base: &str, path: &str) -> Result<(String, bool), HostError> {
        let (above, name) = self.place(base, path, Walk::default())?;
        let full = join(&above, name);
        match if is_name(name) { self.entry(&full)? } else { Some(Entry::Directory) } {
            Some(Entry::File { .. }) => Ok((full, true)),
            None => Ok((full, false)),
            Some(_) => Err(no_file_system(format!("'/{full}' is not a file"), "")),
        }
    }

    /// A copy of a file for the plugin, which removes it.
    fn read(&mut self, base: &str, path: &str) -> Answer {
        let (path, there) = self.file(base, path)?;
        if !there {
            return Err(no_file_system(format!("'/{path}' not found"), ""));
        }
        let mut content = self.bench.open(&path).map_err(told)?;
        let mut draft = self.new_draft()?;
        let failed = |error: std::io::Error| HostError::new(format!("Reading /{path}: {error}"));
        std::io::copy(&mut content, &mut draft).map_err(failed)?;
        let (_, host) = draft.keep().map_err(|error| failed(error.error))?;
        Ok(json!(host))
    }

    /// A file for the plugin to write to, which removes it.
    fn draft(&mut self, base: &str, path: &str, new: bool) -> Answer {
        let (path, there) = self.file(base, path)?;
        if new && there {
            return Err(no_file_system(format!("'/{path}' already exists"), ""));
        }
        let (_, host) = self.new_draft()?.keep().map_err(|error| HostError::new(error.to_string()))?;
        Ok(json!(host))
    }

    fn write(&mut self, base: &str, path: &str, arguments: &Json) -> Answer {
        let (path, _) = self.file(base, path)?;
        let host = PathBuf::from(text(arguments, "file"));
        let mut copy =
            |to: &mut dyn std::io::Write| std::io::copy(&mut std::fs::File::open(&host)?, to).map(drop);
        self.bench.write(&path, is(arguments, "executable"), &mut copy).map_err(told)?;
        Ok(Json::Null)
    }

    fn remove(&mut self, base: &str, path: &str, recursive: bool) -> Answer {
        let (path, entry) = {
            let (above, name) = self.place(base, path, Walk::default())?;
            self.find(&above, name, Walk::default())?
        };
        if entry == Entry::Directory && !recursive {
            let content = self.bench.list(&path).map_err(told)?.unwrap_or_default();
            if !content.is_empty() {
                return Err(no_file_system(format!("'/{path}' is not empty"), ""));
            }
        }
        self.bench.remove(&path).map_err(told)?;
        Ok(Json::Null)
    }

    /// Moves something over whatever was at the other path.
    fn rename(&mut self, base: &str, from: &str, to: &str) -> Answer {
        let (from, _) = self.find(base, from, Walk::default())?;
        let (above, name) = self.place(base, to, Walk::default())?;
        let to = join(&above, name);
        if !is_name(name) || to.starts_with(&format!("{from}/")) {
            return Err(no_file_system(format!("'/{from}' cannot be moved to '/{to}'"), ""));
        }
        if from != to {
            self.bench.remove(&to).map_err(told)?;
            self.bench.rename(&from, &to).map_err(told)?;
        }
        Ok(Json::Null)
    }

    fn import(&mut self, into: &str, arguments: &Json) -> Answer {
        let source = &arguments["source"];
        let host = source["host"].as_str().map(PathBuf::from);
        let from = match &host {
            Some(host) => ImportFrom::Host(host),
            None => ImportFrom::Sandbox(number(source, "sandbox"), text(source, "path")),
        };
        let kept: Option<HashSet<&str>> =
            arguments["keep"].as_array().map(|paths| paths.iter().filter_map(Json::as_str).collect());
        let done = match kept {
            None => self.bench.import_tree(from, into, None),
            Some(kept) => self.bench.import_tree(from, into, Some(&|path| kept.contains(path))),
        };
        let (ImportReport { overwritten, ignored }, written) = done.map_err(told)?;
        Ok(json!({"overwritten": overwritten, "ignored": ignored, "written": written}))
    }
}

/// How a path is walked.
#[derive(Clone, Copy, Default)]
struct Walk {
    /// Whether links are followed.
    follow: bool,
    /// Whether directories are made that are not there.
    create: bool,
    /// The links that led here.
    links: usize,
}

impl Walk {
    /// How the path in a link is walked.
    fn over_a_link(self, path: &str) -> Result<Walk, HostError> {
        if self.links == MOST_LINKS {
            return Err(no_file_system(format!("'/{path}' is a link that leads to too many others"), ""));
        }
        Ok(Walk { follow: true, create: false, links: self.links + 1 })
    }
}

fn no_directory(path: &str) -> HostError {
    no_file_system(format!("'/{path}' not found"), "directory-not-found")
}

/// Whether a directory can hold something of this name.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
