//! Names and what they mean: small files that hold an artifact or source message.
//!
//! A name is written to a temporary file and renamed, after everything that it refers to is stored. Looking a name
//! up sets its modification time, which is how the least recently used ones are found.

use crate::object::used_now;
use crate::store::{Store, decode};
use crate::trouble::{Doing, io_error};
use bourn_reapi::artifact::{Artifact, ArtifactName, Source};
use bourn_reapi::services::{ActionCache, Assets, ErrorKind, ServiceResult, SourceName};
use bourn_reapi::{ActionResult, Digest, ServiceError};
use prost::Message;
use rustix::fs::{AtFlags, CWD};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Where results of actions are kept, in the cache directory.
const ACTIONS: &str = "bourn/actions";

/// Where those of build tools in sandboxes are.
const NESTED_ACTIONS: &str = "bourn/nested-actions";

impl Assets for Store {
    fn artifact(&self, name: &ArtifactName) -> ServiceResult<Option<Artifact>> {
        let _reliance = self.rely()?;
        read_ref(&self.artifact_path(name)?)
    }

    fn publish_artifact(&self, names: &[ArtifactName], artifact: &Artifact) -> ServiceResult<()> {
        let _reliance = self.rely()?;
        let bytes = artifact.encode_to_vec();
        names.iter().try_for_each(|name| self.write_ref(&self.artifact_path(name)?, &bytes))
    }

    fn remove_artifact(&self, name: &ArtifactName) -> ServiceResult<bool> {
        remove_ref(&self.artifact_path(name)?, &self.cachedir().join("artifacts/refs"))
    }

    fn artifact_names(&self) -> ServiceResult<Vec<ArtifactName>> {
        let root = self.cachedir().join("artifacts/refs");
        let mut found: Vec<(SystemTime, ArtifactName)> = Vec::new();
        for (path, used) in list_refs(&root)? {
            let relative = path.strip_prefix(&root).ok().and_then(Path::to_str);
            found.extend(relative.and_then(ArtifactName::parse).map(|name| (used, name)));
        }
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    fn source(&self, name: &SourceName) -> ServiceResult<Option<Source>> {
        let _reliance = self.rely()?;
        read_ref(&self.source_path(name)?)
    }

    fn publish_source(&self, name: &SourceName, source: &Source) -> ServiceResult<()> {
        let _reliance = self.rely()?;
        self.write_ref(&self.source_path(name)?, &source.encode_to_vec())
    }
}

/// Results of actions, by the digest of the action: what integration commands made of a root. What they refer to may
/// be gone; whoever asks has to look.
impl ActionCache for Store {
    fn action_result(&self, action: &Digest) -> ServiceResult<Option<ActionResult>> {
        read_ref(&self.action_path(action))
    }

    fn update_action_result(&self, action: &Digest, result: &ActionResult) -> ServiceResult<()> {
        self.write_ref(&self.action_path(action), &result.encode_to_vec())
    }
}

/// Results that build tools in sandboxes keep. They are apart: whoever writes there must not decide what bourn's own
/// actions come to.
struct NestedActions(Arc<Store>);

impl ActionCache for NestedActions {
    fn action_result(&self, action: &Digest) -> ServiceResult<Option<ActionResult>> {
        read_ref(&self.0.kept_action(NESTED_ACTIONS, action))
    }

    fn update_action_result(&self, action: &Digest, result: &ActionResult) -> ServiceResult<()> {
        self.0.write_ref(&self.0.kept_action(NESTED_ACTIONS, action), &result.encode_to_vec())
    }
}

impl Store {
    /// The cache of actions for build tools in sandboxes.
    pub fn nested_actions(self: &Arc<Store>) -> Arc<dyn ActionCache> {
        Arc::new(NestedActions(self.clone()))
    }

    fn action_path(&self, action: &Digest) -> PathBuf {
        self.kept_action(ACTIONS, action)
    }

    fn kept_action(&self, directory: &str, action: &Digest) -> PathBuf {
        let hex = action.hex();
        self.cachedir().join(directory).join(&hex[..2]).join(&hex[2..])
    }

    /// Removes the results of actions that `wanted` does not want, with the time of their last use. How many.
    pub(crate) fn sweep_actions(
        &self,
        wanted: impl Fn(SystemTime, &ActionResult) -> bool,
    ) -> ServiceResult<usize> {
        let mut count = 0;
        for directory in [ACTIONS, NESTED_ACTIONS] {
            let root = self.cachedir().join(directory);
            for (path, used) in list_refs(&root)? {
                let result = std::fs::read(&path).ok().and_then(decode::<ActionResult>);
                if !result.is_some_and(|result| wanted(used, &result)) {
                    count += usize::from(remove_ref(&path, &root)?);
                }
            }
        }
        Ok(count)
    }

    fn artifact_path(&self, name: &ArtifactName) -> ServiceResult<PathBuf> {
        let parts = [&name.project, &name.element, &name.key];
        join_checked(&self.cachedir().join("artifacts/refs"), &parts.map(String::as_str))
    }

    fn source_path(&self, name: &SourceName) -> ServiceResult<PathBuf> {
        match name {
            SourceName::Element(key) => join_checked(&self.cachedir().join("elementsources"), &[key]),
            SourceName::Single { kind, key } => {
                join_checked(&self.cachedir().join("source_protos"), &[kind, key])
            }
        }
    }

    /// Writes a name so that it appears whole.
    fn write_ref(&self, path: &Path, bytes: &[u8]) -> ServiceResult<()> {
        let mut draft = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(self.session()?.path())
            .doing("cannot create a file in", self.session()?.path())?;
        draft.write_all(bytes).doing("cannot write", draft.path())?;
        let parent = path.parent().unwrap_or(path);
        loop {
            match draft.persist(path) {
                Ok(_) => return Ok(()),
                // The first name in this directory, or somebody removed the last one, and with it the directory.
                Err(error) if is_absent(&error.error) && error.file.path().exists() => draft = error.file,
                Err(error) => return Err(io_error(error.error, "cannot create", path)),
            }
            std::fs::create_dir_all(parent).doing("cannot create", parent)?;
        }
    }
}

/// Puts the parts of a name below a directory; a part that is no single file name makes no sense.
fn join_checked(root: &Path, parts: &[&str]) -> ServiceResult<PathBuf> {
    let mut path = root.to_owned();
    for part in parts {
        if matches!(*part, "" | "." | "..") || part.contains(['/', '\0']) {
            return Err(ServiceError::new(ErrorKind::Invalid, format!("`{part}` cannot be part of a name")));
        }
        path.push(part);
    }
    Ok(path)
}

/// Reads a name and marks it as used. `None` when it is not there, or when a crash has left it empty.
fn read_ref<M: Message + Default>(path: &Path) -> ServiceResult<Option<M>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(ServiceError::io(&error, "cannot read", path)),
    };
    let message = decode(bytes);
    if message.is_some() {
        // A cache that may only be read is used all the same.
        let _ = rustix::fs::utimensat(CWD, path, &used_now(), AtFlags::empty());
    }
    Ok(message)
}

/// Whether an error says that a path does not lead anywhere.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Removes a name, and the directories above it that it leaves empty.
fn remove_ref(path: &Path, root: &Path) -> ServiceResult<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(ServiceError::io(&error, "cannot remove", path)),
    }
    for above in path.ancestors().skip(1).take_while(|above| *above != root) {
        if std::fs::remove_dir(above).is_err() {
            break;
        }
    }
    Ok(true)
}

/// Every file below a directory with its last use. What disappears meanwhile is left out.
pub(crate) fn list_refs(root: &Path) -> ServiceResult<Vec<(PathBuf, SystemTime)>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(ServiceError::io(&error, "cannot list", &path)),
        };
        for entry in entries {
            let entry = entry.doing("cannot list", &path)?;
            let Ok(status) = entry.metadata() else { continue };
            match status.is_dir() {
                true => waiting.push(entry.path()),
                false => {
                    found.push((entry.path(), status.modified().doing("cannot look at", &entry.path())?))
                }
            }
        }
    }
    Ok(found)
}
