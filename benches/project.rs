//! Projects written for a figure, and the two programs called on them.

use crate::Bench;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One of the two programs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Ours.
    Bourn,
    /// The reference.
    Bst,
}

/// A project in a directory of its own, with a cache for each side.
pub(crate) struct Project<'a> {
    bench: &'a Bench,
    /// Directory of project.conf.
    pub(crate) directory: PathBuf,
}

impl<'a> Project<'a> {
    /// An empty project with the caches of both sides empty.
    ///
    /// # Errors
    /// When the scratch directory cannot be written.
    pub(crate) fn new(bench: &'a Bench, name: &str, conf: &str) -> Result<Project<'a>, String> {
        let directory = bench.scratch.join(name);
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(&directory).output();
        let _ = fs::remove_dir_all(&directory);
        let project = Project { bench, directory: directory.join("project") };
        project.write(
            "project.conf",
            &format!("name: bench\nmin-version: 2.4\nelement-path: elements\n{conf}"),
        )?;
        for side in [Side::Bourn, Side::Bst] {
            project.configure(side, "")?;
        }
        Ok(project)
    }

    /// Writes the configuration of one side: where its directories are, that figures can also be had where the disk is
    /// rather full, and `more`, which says nothing of the local cache.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn configure(&self, side: Side, more: &str) -> Result<(), String> {
        let cache = self.cache(side);
        let cache = cache.display();
        let text = format!(
            "cachedir: {cache}/cache\nsourcedir: {cache}/sources\nlogdir: {cache}/logs\n\
             cache:\n  reserved-disk-space: 1G\n{more}"
        );
        write(&self.configuration(side), &text)
    }

    /// Writes a file of the project.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<(), String> {
        write(&self.directory.join(name), content)
    }

    /// A call of one of the two programs in the project.
    pub(crate) fn call(&self, side: Side, arguments: &[&str]) -> Command {
        let program = match side {
            Side::Bourn => &self.bench.bourn,
            Side::Bst => &self.bench.bst,
        };
        let mut command = Command::new(program);
        command.current_dir(&self.directory).args(["--no-interactive", "--no-colors", "-c"]);
        command.arg(self.configuration(side)).args(arguments);
        command
    }

    /// Gives one side an empty cache and lets the old one be. A file system on which many files were just deleted takes
    /// long to make new ones, which would be counted for whoever comes next.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(crate) fn set_aside(&self, side: Side) -> Result<(), String> {
        let cache = self.cache(side);
        for name in ["cache", "sources", "logs"] {
            let path = cache.join(name);
            let free = (0_u32..).map(|at| cache.join(format!("{name}-{at}"))).find(|free| !free.exists());
            let moved = free.map_or(Ok(()), |free| fs::rename(&path, free));
            if moved.is_err() && path.exists() {
                return Err(format!("{} cannot be moved", path.display()));
            }
        }
        Ok(())
    }

    /// Does something with the state that one side keeps in the project: open workspaces, mostly.
    ///
    /// # Errors
    /// Those of `act`, and when the state cannot be moved.
    pub(crate) fn with_state(
        &self,
        side: Side,
        act: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let (state, kept) = (self.directory.join(".bst2"), self.cache(side).join("state"));
        let moved = |from: &Path, to: &Path| match fs::rename(from, to) {
            // Nothing was opened yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| format!("{}: {error}", from.display())),
        };
        moved(&kept, &state)?;
        act()?;
        moved(&state, &kept)
    }

    fn cache(&self, side: Side) -> PathBuf {
        let name = if side == Side::Bourn { "bourn" } else { "bst" };
        self.directory.with_file_name(name)
    }

    fn configuration(&self, side: Side) -> PathBuf {
        self.cache(side).join("buildstream.conf")
    }
}

fn write(path: &Path, content: &str) -> Result<(), String> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

/// Fills `directory` with `count` files of a few hundred bytes, a hundred to a directory.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn many_files(directory: &Path, count: usize) -> Result<(), String> {
    for index in 0..count {
        let path = directory.join(format!("d{:04}/f{index:06}.txt", index / 100));
        if index % 100 == 0 {
            let parent = path.parent().unwrap_or(directory);
            fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        }
        let line = format!("file {index} of a large tree\n");
        fs::write(&path, line.repeat(1 + index % 17))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
