//! A bare repository that mirrors one or parts of it.

use super::index::PackIndex;
use crate::host::Tool;
use crate::scratch::workspace;
use crate::url;
use bourn_plan::{FetchContext, Patience, SourceError};
use bourn_reapi::services::Cancel;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bare repository below the downloads.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) path: PathBuf,
}

/// Keeps others from a mirror, and notes in a file beside it that it is being changed. The note of a run that was killed
/// stays, and what it left half done is cleared away by the next that changes the mirror.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The mirror.
    path: PathBuf,
    note: PathBuf,
    /// Whether a run before was killed while it changed the mirror.
    pub(crate) interrupted: bool,
    cancel: Cancel,
}

/// Mirrors that are being changed, with the files that are locked for that. Each `git` that changes one is given its
/// file: should this program be killed, the mirror stays locked until that `git` ends, too.
static LOCKED: LazyLock<Mutex<HashMap<PathBuf, File>>> = LazyLock::new(Mutex::default);

fn locked() -> MutexGuard<'static, HashMap<PathBuf, File>> {
    LOCKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a tool hold the lock of the mirror that it works on, if there is one.
pub(crate) fn held<'a>(tool: Tool<'a>, mirror: &Path) -> Tool<'a> {
    match locked().get(mirror).map(File::try_clone) {
        Some(Ok(file)) => tool.input(file),
        _ => tool,
    }
}

impl Lock {
    /// Says that what another run left half done has been done.
    pub(crate) fn settle(&mut self) {
        self.interrupted = false;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever asks to stop has `git` killed.
        if !self.interrupted && !self.cancel.is_cancelled() {
            let _ = std::fs::remove_file(&self.note);
        }
        locked().remove(&self.path);
    }
}

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
        held(git(context).arg("--git-dir").arg(&self.path), &self.path)
    }

    /// Where locks and notes of it are kept.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        self.path.parent().unwrap_or(Path::new(".")).join(".locks").join(name)
    }

    /// Whether nobody is changing it, nor was killed while doing so.
    pub(crate) fn is_settled(&self) -> bool {
        !self.beside(UNSETTLED).exists()
    }

    /// Brings a commit by `work` into the mirror, made first if need be, unless all that is wanted `is_there`. Others are
    /// kept from it meanwhile.
    ///
    /// After a run that was killed nothing counts as being there, but if `work` fails, what is whole is good enough.
    ///
    /// # Errors
    /// Those of `is_there` and `work`; the disk; somebody asked to stop.
    pub(crate) fn change(
        &self,
        context: &FetchContext<'_>,
        kind: &str,
        commit: &str,
        is_there: impl Fn() -> Result<bool, SourceError>,
        work: impl FnOnce() -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut lock = self.lock(context)?;
        if !lock.interrupted && self.exists() && is_there()? {
            return Ok(());
        }
        self.create(context, kind)?;
        match work() {
            Ok(()) => {
                lock.settle();
                Ok(())
            }
            Err(_) if lock.interrupted && is_there()? && self.is_whole(context, commit)? => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether all that a commit leads to is here, as far as history goes.
    fn is_whole(&self, context: &FetchContext<'_>, commit: &str) -> Result<bool, SourceError> {
        self.git(context).args(["rev-list", "--objects", "--quiet", commit]).succeeds()
    }

    /// Makes it, empty, if it is not there.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn create(&self, context: &FetchContext<'_>, kind: &str) -> Result<(), SourceError> {
        if self.exists() {
            return Ok(());
        }
        self.create_within(workspace(context, kind)?.path())
    }

    /// The same for one that is not below the downloads; `parent` is its directory.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn create_from(&self, parent: &Path) -> Result<(), SourceError> {
        if self.exists() {
            return Ok(());
        }
        let scratch = tempfile::Builder::new().prefix(".part").tempdir_in(parent);
        let failed = |error| SourceError::from(bourn_reapi::ServiceError::io(&error, "Creating", parent));
        self.create_within(scratch.map_err(failed)?.path())
    }

    fn create_within(&self, scratch: &Path) -> Result<(), SourceError> {
        let made = scratch.join("mirror");
        init(&made)
            .map_err(|error| SourceError::from(bourn_reapi::ServiceError::io(&error, "Creating", &made)))?;
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
        let path = self.beside("");
        let failed =
            |error: io::Error| SourceError::from(bourn_reapi::ServiceError::io(&error, "Locking", &path));
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let mut pause = Duration::from_micros(500);
        loop {
            match file.try_lock() {
                Ok(()) => return self.note(file, context).map_err(failed),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if context.cancel.is_cancelled() => {
                    return Err(SourceError::new("Interrupted"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Notes that it is being changed.
    fn note(&self, file: File, context: &FetchContext<'_>) -> io::Result<Lock> {
        let note = self.beside(UNSETTLED);
        let interrupted = note.exists();
        if interrupted {
            clear(&self.path, false)?;
        } else {
            File::create(&note)?;
        }
        locked().insert(self.path.clone(), file);
        Ok(Lock { path: self.path.clone(), note, interrupted, cancel: context.cancel.clone() })
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
        indexes.any(|path| PackIndex::open(&path).and_then(|index| index.has(&wanted)).unwrap_or(false))
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

/// What the name of a note ends with.
const UNSETTLED: &str = ".unsettled";

/// Removes what a `git` that was killed leaves: locks of files, which would keep the next one from them, and objects
/// that are not whole. No ref has a name that ends as those of locks do.
fn clear(path: &Path, objects: bool) -> io::Result<()> {
    let entries = match path.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let half = if objects { name.starts_with("tmp_") } else { name.ends_with(".lock") };
        match entry.file_type()?.is_dir() {
            true if objects && half => std::fs::remove_dir_all(entry.path())?,
            true => clear(&entry.path(), objects || name == "objects")?,
            false if half => std::fs::remove_file(entry.path())?,
            false => {}
        }
    }
    Ok(())
}

/// Writes an empty bare repository, as `git init --bare` does without templates: in the formats that every git can read,
/// and dulwich (`gitrepository-layout(5)`).
fn init(path: &Path) -> io::Result<()> {
    for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        std::fs::create_dir_all(path.join(directory))?;
    }
    std::fs::write(
        path.join("config"),
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n",
    )?;
    std::fs::write(path.join("HEAD"), "ref: refs/heads/master\n")
}

/// `git`, never asking anything, giving up on servers that say nothing for as long as downloads would.
pub(crate) fn git<'a>(context: &'a FetchContext<'_>) -> Tool<'a> {
    let patience = context.urls.patience();
    let git = Tool::new("git", context).env("GIT_TERMINAL_PROMPT", "0").without_env("GIT_DIR");
    let git = git.without_env("GIT_WORK_TREE").without_env("GIT_INDEX_FILE").env("GIT_OPTIONAL_LOCKS", "0");
    // Whatever `ssh` the user's environment names, it does not ask either: who would answer cannot be started.
    let git = git.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force");
    let seconds = patience.silence.as_secs().max(1);
    let git = git.given_up_after(patience.silence).arg("-c").arg(format!("http.lowSpeedTime={seconds}"));
    let git = git.args(
        ssh(patience)
            .map(|command| format!("core.sshCommand={command}"))
            .map(|it| ["-c".into(), it])
            .into_iter()
            .flatten(),
    );
    git.args([
        "-c",
        "http.lowSpeedLimit=1",
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=0",
        // What comes stays a pack, which appears whole: of single objects, a commit may come long before its files.
        "-c",
        "fetch.unpackLimit=1",
    ])
}

/// The command that git reaches servers with over SSH: the user's, and that nothing is asked. `None` where it is another
/// program than OpenSSH's, whose options are not known. The user's environment comes before it.
fn ssh(patience: Patience) -> Option<String> {
    static CONFIGURED: LazyLock<String> = LazyLock::new(|| {
        let asked = Tool::silent("git").args(["config", "--get", "core.sshCommand"]).output();
        asked.map(|output| output.text()).unwrap_or_default()
    });
    with_options(&CONFIGURED, patience)
}

fn with_options(configured: &str, patience: Patience) -> Option<String> {
    let command = if configured.is_empty() { "ssh" } else { configured };
    let program = command.split_whitespace().next().unwrap_or_default();
    let seconds = patience.connect.as_secs().max(1);
    let is_known = program.rsplit('/').next() == Some("ssh");
    is_known.then(|| format!("{command} -o BatchMode=yes -o ConnectTimeout={seconds}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_ssh() {
        let patience = Patience { connect: Duration::from_secs(7), silence: Duration::from_secs(60) };
        for (configured, expect) in [
            ("", Some("ssh")),
            ("ssh -i '/a key'", Some("ssh -i '/a key'")),
            ("/opt/bin/ssh", Some("/opt/bin/ssh")),
            ("plink -batch", None),
            ("'my ssh'", None),
        ] {
            let expect = expect.map(|command| format!("{command} -o BatchMode=yes -o ConnectTimeout=7"));
            assert_eq!(with_options(configured, patience), expect, "{configured}");
        }
    }
}
