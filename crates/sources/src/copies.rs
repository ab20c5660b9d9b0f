//! A mirror of one's own: a directory with everything that sources are fetched from.
//!
//! What stands at `ALIAS:PATH` of a project is at `DIR/PROJECT/ALIAS/PATH`, so that the directory, read in place or served
//! as plain files, is a mirror of every alias. Files are copied from where fetching keeps them and checked on the way;
//! repositories come with all of their history. Whatever is there already and whole is left alone, and nothing is there
//! under its own name before it is whole, so that an interrupted run is continued by the next.

use crate::download::{activity, first};
use crate::repository::{self, Mirror};
use crate::{bzr, ostree, pip, url};
use bourn_plan::{AliasedPath, FetchContext, Source, SourceError, Upstream, UpstreamContent};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The directory of a mirror.
pub struct Copies {
    directory: PathBuf,
    /// Keeps other processes from it.
    lock: File,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Held while something is being brought to a path.
    paths: HashMap<PathBuf, Arc<Mutex<()>>>,
    tally: Tally,
}

/// What became of a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many files and repositories were brought.
    pub brought: usize,
    /// How many were there already.
    pub kept: usize,
    /// What cannot be mirrored, and why.
    pub left_out: BTreeSet<String>,
}

impl Drop for Copies {
    fn drop(&mut self) {
        // Closing it would not do where a tool is being started just now, which has it until it runs.
        let _ = self.lock.unlock();
    }
}

impl Copies {
    /// Opens the directory of a mirror; it is made if it is not there.
    ///
    /// # Errors
    /// The disk; another process is writing into it.
    pub fn open(directory: &Path) -> Result<Copies, SourceError> {
        let failed = |error: io::Error| io_error(&error, "Creating", directory);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let lock = File::create(directory.join(".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("Another process is writing to the mirror {}", directory.display());
                return Err(SourceError::new(text).hint("wait for it to end"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Copies { directory, lock, found: Mutex::default() })
    }

    /// Brings all that a source is fetched from, which was fetched before.
    ///
    /// # Errors
    /// The network, the disk, something fetched that is damaged.
    pub fn take(
        &self,
        source: &dyn Source,
        kind: &str,
        context: &FetchContext<'_>,
    ) -> Result<(), SourceError> {
        let Some(remotes) = source.upstreams(context)? else {
            self.leave_out(
                context,
                format!("sources of kind `{kind}` do not say what they are fetched from"),
            );
            return Ok(());
        };
        remotes.iter().try_for_each(|remote| self.bring(remote, context))
    }

    /// What became of it, and the configuration that has a project fetch from it: written beside, for the directory
    /// itself, or for `served`, the URL that it is served at.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(self, served: Option<&str>) -> Result<(Tally, PathBuf), SourceError> {
        let base = match served {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("file://{}", quoted(&self.directory.to_string_lossy())),
        };
        let path = self.directory.join("mirror.conf");
        // What earlier runs brought counts, too.
        let aliases =
            projects(&self.directory).map_err(|error| io_error(&error, "Reading", &self.directory))?;
        let found = self.lock();
        write_public(&path, configuration(&aliases, &base).as_bytes())
            .map_err(|error| io_error(&error, "Writing", &path))?;
        Ok((found.tally.clone(), path))
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave_out(&self, context: &FetchContext<'_>, why: String) {
        context.progress.log(&format!("Left out of the mirror: {why}\n"));
        self.lock().tally.left_out.insert(why);
    }

    fn bring(&self, remote: &Upstream, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let shown = crate::http::shown(&remote.url);
        let Some(home) = context.urls.home(&remote.url) else {
            self.leave_out(context, format!("{shown} has no alias that a mirror could stand for"));
            return Ok(());
        };
        // A repository of git is made whole elsewhere first, the others grow where they are.
        let top =
            !matches!(remote.content, UpstreamContent::File { .. } | UpstreamContent::Repository { .. });
        let Some(path) = place(&home, top) else {
            self.leave_out(context, format!("{shown} has no path that a directory could have"));
            return Ok(());
        };
        let path = self.directory.join(path);
        let turn = {
            let mut found = self.lock();
            found.paths.entry(path.clone()).or_default().clone()
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let brought = match &remote.content {
            UpstreamContent::File { kept, sha256 } => copy(kept, &path, sha256, context)?,
            UpstreamContent::Repository { commit } => bring_repository(remote, commit, path, context)?,
            UpstreamContent::Packages { wanted } => {
                mirroring(remote, context, || pip::bring(context, &remote.url, wanted, &path))?
            }
            UpstreamContent::Ostree { kept, reference } => {
                mirroring(remote, context, || ostree::bring(context, kept, reference, &path))?
            }
            UpstreamContent::Bazaar { kept, branch, revision } => {
                mirroring(remote, context, || bzr::bring(context, kept, &path, branch, revision))?
            }
        };
        let mut found = self.lock();
        match brought {
            true => found.tally.brought += 1,
            false => found.tally.kept += 1,
        }
        Ok(())
    }
}

fn mirroring(
    remote: &Upstream,
    context: &FetchContext<'_>,
    work: impl FnOnce() -> Result<bool, SourceError>,
) -> Result<bool, SourceError> {
    let heading = format!("Mirroring {}", first(&context.urls.fetch(&remote.url)));
    activity(context.progress, &heading, work)
}

fn bring_repository(
    remote: &Upstream,
    commit: &str,
    path: PathBuf,
    context: &FetchContext<'_>,
) -> Result<bool, SourceError> {
    let mirror = Mirror { path };
    let candidates = context.urls.fetch(&remote.url);
    mirroring(remote, context, || {
        let parent = mirror.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|error| io_error(&error, "Creating", parent))?;
        mirror.create_from(parent)?;
        repository::bring_whole(context, &mirror, &candidates, commit)
    })
}

/// Where something stands below the directory; `None` for what would lead out of it or is no path. `top`: whether it
/// may be the directory of the alias itself.
fn place(home: &AliasedPath, top: bool) -> Option<PathBuf> {
    if home.path.contains(['?', '#']) {
        return None;
    }
    let plain = |text: &str| !text.is_empty() && !text.contains(['/', '\0']) && text != "." && text != "..";
    if !plain(&home.project) || !plain(&home.alias) {
        return None;
    }
    let mut place = Path::new(&home.project).join(&home.alias);
    let path = url::unquote(&home.path);
    let mut any = top;
    for component in Path::new(path.trim_start_matches('/')).components() {
        match component {
            Component::Normal(name) if !path.contains('\0') => place.push(name),
            Component::CurDir => continue,
            _ => return None,
        }
        any = true;
    }
    any.then_some(place)
}

/// Copies a file, checking its sum. Whether there was need to: a file of the same length and time was checked before, and
/// one of another time is the same if its sum is.
fn copy(kept: &Path, path: &Path, sha256: &str, context: &FetchContext<'_>) -> Result<bool, SourceError> {
    let reading = |error: io::Error| io_error(&error, "Reading", kept);
    let writing = |error: io::Error| io_error(&error, "Writing", path);
    let mut source = File::open(kept).map_err(reading)?;
    let found = source.metadata().map_err(reading)?;
    let time = found.modified().map_err(reading)?;
    if let Ok(there) = path.metadata()
        && there.is_file()
        && there.len() == found.len()
    {
        if there.modified().is_ok_and(|known| known == time) {
            return Ok(false);
        }
        let mut known = File::options().read(true).write(true).open(path).map_err(writing)?;
        if read_through(&mut known, path, context, |_| Ok(()))?.eq_ignore_ascii_case(sha256) {
            known.set_modified(time).map_err(writing)?;
            return Ok(false);
        }
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(writing)?;
    let mut copied = tempfile::Builder::new().prefix(".part").tempfile_in(parent).map_err(writing)?;
    let sum = read_through(&mut source, kept, context, |bytes| copied.write_all(bytes).map_err(writing))?;
    if !sum.eq_ignore_ascii_case(sha256) {
        let text = format!("{} is damaged: its SHA-256 is {sum}", kept.display());
        return Err(SourceError::new(text).hint("delete it and fetch again"));
    }
    use std::os::unix::fs::PermissionsExt;
    let file = copied.as_file();
    file.set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(writing)?;
    file.set_modified(time).map_err(writing)?;
    file.sync_data().map_err(writing)?;
    copied.persist(path).map_err(|error| writing(error.error))?;
    Ok(true)
}

/// Reads a file to its end; its SHA-256.
pub(crate) fn read_through(
    file: &mut File,
    path: &Path,
    context: &FetchContext<'_>,
    mut each: impl FnMut(&[u8]) -> Result<(), SourceError>,
) -> Result<String, SourceError> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        if context.cancel.is_cancelled() {
            return Err(SourceError::new("Interrupted"));
        }
        let read = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| io_error(&error, "Reading", path))?,
        };
        if read == 0 {
            return Ok(bourn_reapi::Digest { hash: hasher.finalize().into(), size: 0 }.hex());
        }
        hasher.update(&buffer[..read]);
        each(&buffer[..read])?;
    }
}

/// Writes a file that everybody may read, so that it is there whole or not at all.
pub(crate) fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".part").tempfile_in(parent)?;
    file.write_all(content)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// The aliases by project that there is something of.
fn projects(directory: &Path) -> io::Result<BTreeMap<String, BTreeSet<String>>> {
    let names = |directory: &Path| -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in directory.read_dir()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && !name.starts_with('.') {
                names.insert(name);
            }
        }
        Ok(names)
    };
    let of = |project: String| Ok((project.clone(), names(&directory.join(&project))?));
    names(directory)?.into_iter().map(of).collect()
}

/// The user configuration that has projects fetch from the mirror alone.
fn configuration(aliases: &BTreeMap<String, BTreeSet<String>>, base: &str) -> String {
    let mut text = String::from(
        "# Made by `bourn source mirror`. Give this file with `--config`, or take it into your configuration:\n\
         # then sources are fetched from this mirror and from nowhere else.\n\
         fetch:\n  source: user\nprojects:\n",
    );
    for (project, aliases) in aliases {
        text.push_str(&format!("  {project}:\n    mirrors:\n    - name: mirror\n      aliases:\n"));
        for alias in aliases {
            let url = format!("{base}/{}/{}/", url::quote(project), url::quote(alias));
            text.push_str(&format!("        {alias}:\n        - {url}\n"));
        }
    }
    text
}

/// A path as URLs have it.
fn quoted(path: &str) -> String {
    path.split('/').map(url::quote).collect::<Vec<_>>().join("/")
}

fn io_error(error: &io::Error, doing: &str, path: &Path) -> SourceError {
    bourn_reapi::ServiceError::io(error, doing, path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Option<&str>) {
        let home = AliasedPath { project: "p".into(), alias: "up".into(), path: path.into() };
        assert_eq!(place(&home, false).as_deref(), expect.map(Path::new), "{path}");
    }

    #[test]
    fn places() {
        check("a/b.tar.gz", Some("p/up/a/b.tar.gz"));
        check("/a%20b", Some("p/up/a b"));
        check("a/./b", Some("p/up/a/b"));
        check("../a", None);
        check("a/%2e%2e/%2E%2E/b", None);
        check("", None);
        check("a?b", None);
        check("a%00b", None);
    }

    #[test]
    fn configurations() {
        let aliases = BTreeMap::from([("p".to_owned(), BTreeSet::from(["a".to_owned(), "b".to_owned()]))]);
        let text = configuration(&aliases, "file:///m");
        assert!(text.contains("  p:\n    mirrors:\n    - name: mirror\n      aliases:\n        a:\n        - file:///m/p/a/\n        b:\n"), "{text}");
    }
}
