//! A bare repository that mirrors one or parts of it.

use crate::host::{Tool, workspace};
use crate::url;
use bourn_plan::{FetchContext, SourceError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A bare repository below the downloads.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) path: PathBuf,
}

/// Keeps others from a mirror.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Mirror {
    /// The mirror that the community's kinds keep of a URL.
    pub(crate) fn dulwich(source_directory: &Path, kind: &str, url: &str) -> Mirror {
        let name = format!("{}.git", url::directory_name(url.strip_suffix(".git").unwrap_or(url)));
        Mirror { path: source_directory.join(kind).join(name) }
    }

    /// The mirror that the kinds keep that run the host's git.
    pub(crate) fn plain(source_directory: &Path, kind: &str, url: &str) -> Mirror {
        Mirror { path: source_directory.join(kind).join(url::directory_name(url)) }
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.join("HEAD").exists()
    }

    /// `git` on this repository.
    pub(crate) fn git<'a>(&self, context: &'a FetchContext<'_>) -> Tool<'a> {
        git(context).arg("--git-dir").arg(&self.path)
    }

    /// Makes it, empty, if it is not there.
    ///
    /// # Errors
    /// The disk, no `git`.
    pub(crate) fn create(&self, context: &FetchContext<'_>, kind: &str) -> Result<(), SourceError> {
        if self.exists() {
            return Ok(());
        }
        self.create_within(context, workspace(context, kind)?)
    }

    /// The same for one that is not below the downloads; `parent` is its directory.
    ///
    /// # Errors
    /// The disk, no `git`.
    pub(crate) fn create_from(&self, context: &FetchContext<'_>, parent: &Path) -> Result<(), SourceError> {
        if self.exists() {
            return Ok(());
        }
        let scratch = tempfile::Builder::new().prefix(".part").tempdir_in(parent);
        let failed = |error| SourceError::from(bourn_reapi::ServiceError::io(&error, "Creating", parent));
        self.create_within(context, scratch.map_err(failed)?)
    }

    fn create_within(
        &self,
        context: &FetchContext<'_>,
        scratch: tempfile::TempDir,
    ) -> Result<(), SourceError> {
        let made = scratch.path().join("mirror");
        let init = git(context).args(["init", "-q", "--bare", "--template="]).arg(&made);
        // Formats that every git can read, and dulwich.
        let init = init.env("GIT_DEFAULT_REF_FORMAT", "files").env("GIT_DEFAULT_HASH", "sha1");
        init.run(|| "Failed to initialise a repository".to_owned())?;
        match std::fs::rename(&made, &self.path) {
            Err(_) if self.exists() => Ok(()),
            Err(error) => Err(bourn_reapi::ServiceError::io(&error, "Creating", &self.path).into()),
            Ok(()) => Ok(()),
        }
    }

    /// Keeps other threads and processes from the mirror.
    ///
    /// # Errors
    /// The disk; somebody asked to stop.
    pub(crate) fn lock(&self, context: &FetchContext<'_>) -> Result<Lock, SourceError> {
        let name = self.path.file_name().unwrap_or_default();
        let directory = self.path.parent().unwrap_or(Path::new(".")).join(".locks");
        let path = directory.join(name);
        let failed =
            |error: io::Error| SourceError::from(bourn_reapi::ServiceError::io(&error, "Locking", &path));
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let mut pause = Duration::from_micros(500);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if context.cancel.is_cancelled() => {
                    return Err(SourceError::new("Interrupted"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Whether history ends somewhere because it was not fetched.
    pub(crate) fn is_shallow(&self) -> bool {
        self.path.join("shallow").exists()
    }

    /// Whether there is no object at all.
    pub(crate) fn is_empty(&self) -> bool {
        let entries = |name: &str| self.path.join(name).read_dir();
        let packed = entries("objects/pack").is_ok_and(|mut packs| packs.next().is_some());
        let loose = entries("objects")
            .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().len() == 2));
        !packed && !loose
    }

    /// Whether it has an object, told without running `git`.
    pub(crate) fn contains(&self, oid: &str) -> bool {
        let (Some(first), Some(rest)) = (oid.get(..2), oid.get(2..)) else { return false };
        if self.path.join("objects").join(first).join(rest).exists() {
            return true;
        }
        let Some(wanted) = super::Oid::parse(oid) else { return false };
        let packs = self.path.join("objects/pack").read_dir().into_iter().flatten().flatten();
        let mut indexes =
            packs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "idx"));
        indexes.any(|path| index_has(&path, &wanted.0).unwrap_or(false))
    }

    /// What a ref leads to, told without running `git`.
    pub(crate) fn reference(&self, name: &str) -> Option<String> {
        if let Ok(text) = std::fs::read_to_string(self.path.join(name)) {
            return Some(text.trim().to_owned());
        }
        let packed = std::fs::read_to_string(self.path.join("packed-refs")).ok()?;
        let found = packed.lines().find_map(|line| line.split_once(' ').filter(|(_, known)| *known == name));
        found.map(|(oid, _)| oid.to_owned())
    }
}

/// `git`, never asking anything, giving up on servers that say nothing for a minute.
pub(crate) fn git<'a>(context: &'a FetchContext<'_>) -> Tool<'a> {
    let git = Tool::new("git", context).env("GIT_TERMINAL_PROMPT", "0").without_env("GIT_DIR");
    let git = git.without_env("GIT_WORK_TREE").without_env("GIT_INDEX_FILE").env("GIT_OPTIONAL_LOCKS", "0");
    git.args([
        "-c",
        "http.lowSpeedLimit=1",
        "-c",
        "http.lowSpeedTime=60",
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=0",
    ])
}

/// Looks an object up in the index of a pack.
fn index_has(path: &Path, wanted: &[u8; 20]) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut head = [0; 8];
    file.read_exact_at(&mut head, 0)?;
    // Version 1 has no head, and offsets before the names.
    let (fanout, names, step) =
        if head == *b"\xfftOc\0\0\0\x02" { (8, 8 + 1024, 20) } else { (0, 1024 + 4, 24) };
    let number = |at: u64| -> io::Result<u64> {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at)?;
        Ok(u64::from(u32::from_be_bytes(bytes)))
    };
    let first = u64::from(wanted[0]);
    let mut low = if first == 0 { 0 } else { number(fanout + 4 * (first - 1))? };
    let mut high = number(fanout + 4 * first)?;
    while low < high {
        let middle = (low + high) / 2;
        let mut name = [0; 20];
        file.read_exact_at(&mut name, names + middle * step)?;
        match name.cmp(wanted) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(false)
}
