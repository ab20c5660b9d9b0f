//! A store, names and an executor in memory: enough to test whatever builds without disk and sandbox.

use bourn_reapi::artifact::Artifact;
use bourn_reapi::directory::{Directory, FileNode};
use bourn_reapi::services::{
    ActionCache, Assets, Cancel, Cas, ErrorKind, Executed, Execution, Executor, ExportOptions, ImportOptions,
    Remotes, Report, ServiceError, ServiceResult, SourceName,
};
use bourn_reapi::tree::{Entry, File as TreeFile, Symlink, Tree};
use bourn_reapi::{ActionResult, ArtifactName, Digest, Services, Source};
use prost::Message;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blobs, names and action results in memory.
#[derive(Default)]
pub struct MemoryStore {
    blobs: Mutex<HashMap<Digest, Arc<Vec<u8>>>>,
    artifacts: Mutex<Vec<(ArtifactName, Artifact)>>,
    sources: Mutex<HashMap<SourceName, Source>>,
    actions: Mutex<HashMap<Digest, ActionResult>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Arc<MemoryStore> {
        Arc::new(MemoryStore::default())
    }

    /// Number of blobs held.
    pub fn len(&self) -> usize {
        locked(&self.blobs).len()
    }

    /// Bytes of all blobs that are held.
    pub fn bytes(&self) -> u64 {
        locked(&self.blobs).keys().map(|digest| digest.size).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loses a blob, as a damaged disk does.
    pub fn lose(&self, digest: &Digest) {
        locked(&self.blobs).remove(digest);
    }

    fn blob(&self, digest: &Digest) -> ServiceResult<Arc<Vec<u8>>> {
        if digest.size == 0 {
            return Ok(Arc::default());
        }
        let missing = || ServiceError::new(ErrorKind::Missing, format!("no blob {digest}"));
        locked(&self.blobs).get(digest).cloned().ok_or_else(missing)
    }
}

impl Cas for MemoryStore {
    fn missing_blobs(&self, digests: &[Digest]) -> ServiceResult<Vec<Digest>> {
        Ok(digests.iter().copied().filter(|digest| self.blob(digest).is_err()).collect())
    }

    fn contains_tree(&self, root: &Digest) -> ServiceResult<bool> {
        let Ok(directory) = self.directory(root) else { return Ok(false) };
        let digests = |message: &_| Digest::try_from(message).ok();
        for node in &directory.files {
            if node.digest.as_ref().and_then(digests).is_none_or(|digest| self.blob(&digest).is_err()) {
                return Ok(false);
            }
        }
        for node in &directory.directories {
            let Some(digest) = node.digest.as_ref().and_then(digests) else { return Ok(false) };
            if !self.contains_tree(&digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read(&self, digest: &Digest) -> ServiceResult<Vec<u8>> {
        Ok(self.blob(digest)?.to_vec())
    }

    fn open(&self, digest: &Digest) -> ServiceResult<fs::File> {
        let failed = |error: std::io::Error| ServiceError::new(ErrorKind::Io, error.to_string());
        let mut file = tempfile::tempfile().map_err(failed)?;
        file.write_all(&self.blob(digest)?).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(file)
    }

    fn write(&self, content: &[u8]) -> ServiceResult<Digest> {
        let digest = Digest::of(content);
        locked(&self.blobs).insert(digest, Arc::new(content.to_vec()));
        Ok(digest)
    }

    fn write_many(&self, blobs: &[&[u8]]) -> ServiceResult<Vec<Digest>> {
        blobs.iter().map(|blob| self.write(blob)).collect()
    }

    fn write_from(&self, content: &mut dyn Read) -> ServiceResult<Digest> {
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|error| ServiceError::new(ErrorKind::Io, error.to_string()))?;
        self.write(&bytes)
    }

    fn directory(&self, digest: &Digest) -> ServiceResult<Arc<Directory>> {
        let blob = self.blob(digest)?;
        let broken = |error: prost::DecodeError| ServiceError::new(ErrorKind::Corrupt, error.to_string());
        Ok(Arc::new(Directory::decode(blob.as_slice()).map_err(broken)?))
    }

    fn write_directory(&self, directory: &Directory) -> ServiceResult<Digest> {
        self.write(&directory.encode_to_vec())
    }

    fn import_file(&self, path: &Path) -> ServiceResult<FileNode> {
        let failed = |error| ServiceError::io(&error, "reading", path);
        let digest = self.write(&fs::read(path).map_err(failed)?)?;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(FileNode {
            name,
            digest: Some(digest.into()),
            is_executable: mode & 0o111 != 0,
            node_properties: None,
        })
    }

    fn import_tree(&self, path: &Path, _: &ImportOptions) -> ServiceResult<Digest> {
        let failed = |error| ServiceError::io(&error, "reading", path);
        let mut directory = Directory::default();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                let digest = Some(self.import_tree(&entry.path(), &ImportOptions::default())?.into());
                directory.directories.push(bourn_reapi::DirectoryNode { name, digest });
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(failed)?.to_string_lossy().into_owned();
                let link = bourn_reapi::SymlinkNode { name, target, node_properties: None };
                directory.symlinks.push(link);
            } else {
                directory.files.push(self.import_file(&entry.path())?);
            }
        }
        directory.sort();
        self.write_directory(&directory)
    }

    fn export_tree(&self, root: &Digest, into: &Path, _: &ExportOptions) -> ServiceResult<()> {
        let failed = |error| ServiceError::io(&error, "writing", into);
        fs::create_dir_all(into).map_err(failed)?;
        let directory = self.directory(root)?;
        let digest =
            |message: &Option<_>| message.as_ref().and_then(|m| Digest::try_from(m).ok()).unwrap_or_default();
        for node in &directory.files {
            let path = into.join(&node.name);
            fs::write(&path, self.read(&digest(&node.digest))?).map_err(failed)?;
            let mode = if node.is_executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        for node in &directory.symlinks {
            symlink(&node.target, into.join(&node.name)).map_err(failed)?;
        }
        for node in &directory.directories {
            self.export_tree(&digest(&node.digest), &into.join(&node.name), &ExportOptions::default())?;
        }
        Ok(())
    }
}

impl ActionCache for MemoryStore {
    fn action_result(&self, action: &Digest) -> ServiceResult<Option<ActionResult>> {
        Ok(locked(&self.actions).get(action).cloned())
    }

    fn update_action_result(&self, action: &Digest, result: &ActionResult) -> ServiceResult<()> {
        locked(&self.actions).insert(*action, result.clone());
        Ok(())
    }
}

impl Assets for MemoryStore {
    fn artifact(&self, name: &ArtifactName) -> ServiceResult<Option<Artifact>> {
        Ok(locked(&self.artifacts)
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, artifact)| artifact.clone()))
    }

    fn publish_artifact(&self, names: &[ArtifactName], artifact: &Artifact) -> ServiceResult<()> {
        let mut artifacts = locked(&self.artifacts);
        artifacts.retain(|(name, _)| !names.contains(name));
        artifacts.extend(names.iter().map(|name| (name.clone(), artifact.clone())));
        Ok(())
    }

    fn remove_artifact(&self, name: &ArtifactName) -> ServiceResult<bool> {
        let mut artifacts = locked(&self.artifacts);
        let before = artifacts.len();
        artifacts.retain(|(other, _)| other != name);
        Ok(artifacts.len() != before)
    }

    fn artifact_names(&self) -> ServiceResult<Vec<ArtifactName>> {
        Ok(locked(&self.artifacts).iter().map(|(name, _)| name.clone()).collect())
    }

    fn source(&self, name: &SourceName) -> ServiceResult<Option<Source>> {
        Ok(locked(&self.sources).get(name).cloned())
    }

    fn publish_source(&self, name: &SourceName, source: &Source) -> ServiceResult<()> {
        locked(&self.sources).insert(name.clone(), source.clone());
        Ok(())
    }
}

/// A remote cache in memory beside a local store.
pub struct MemoryRemote {
    /// Where pulling puts things and pushing takes them from.
    pub local: Arc<MemoryStore>,
    /// What the remote holds.
    pub remote: Arc<MemoryStore>,
    /// Whether it can be pushed to.
    pub pushes: bool,
    /// How many calls are yet to fail for a passing reason.
    pub failures: AtomicU32,
}

impl MemoryRemote {
    fn fails(&self) -> ServiceResult<()> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        Err(ServiceError::new(ErrorKind::Unavailable, "the remote cache does not answer"))
    }

    fn copy(from: &MemoryStore, to: &MemoryStore) {
        let blobs = locked(&from.blobs).clone();
        locked(&to.blobs).extend(blobs);
    }
}

impl Remotes for MemoryRemote {
    fn pulls_artifacts(&self, _: &str) -> bool {
        true
    }

    fn pushes_artifacts(&self, _: &str) -> bool {
        self.pushes
    }

    fn pulls_sources(&self, _: &str) -> bool {
        true
    }

    fn pushes_sources(&self, _: &str) -> bool {
        self.pushes
    }

    fn available(&self, names: &[ArtifactName], _: &dyn Report, _: &Cancel) -> ServiceResult<Vec<bool>> {
        self.fails()?;
        names.iter().map(|name| Ok(self.remote.artifact(name)?.is_some())).collect()
    }

    fn pull_artifact(
        &self,
        name: &ArtifactName,
        _: bool,
        report: &dyn Report,
        _: &Cancel,
    ) -> ServiceResult<Option<Artifact>> {
        self.fails()?;
        let found = self.remote.artifact(name)?;
        match &found {
            Some(_) => {
                MemoryRemote::copy(&self.remote, &self.local);
                report.info(&format!("Pulled artifact {}", name.element));
            }
            None => report.info(&format!("Remote does not have artifact {}", name.element)),
        }
        Ok(found)
    }

    fn push_artifact(
        &self,
        names: &[ArtifactName],
        artifact: &Artifact,
        report: &dyn Report,
        _: &Cancel,
    ) -> ServiceResult<bool> {
        self.fails()?;
        let mut new = false;
        for name in names {
            new |= self.remote.artifact(name)?.is_none();
        }
        if new {
            MemoryRemote::copy(&self.local, &self.remote);
            self.remote.publish_artifact(names, artifact)?;
            report.info(&format!("Pushed artifact {}", names[0].element));
        }
        Ok(new)
    }

    fn pull_source(
        &self,
        _: &str,
        name: &SourceName,
        report: &dyn Report,
        _: &Cancel,
    ) -> ServiceResult<Option<Source>> {
        self.fails()?;
        let found = self.remote.source(name)?;
        if found.is_some() {
            MemoryRemote::copy(&self.remote, &self.local);
            report.info("Pulled source");
        }
        Ok(found)
    }

    fn push_source(
        &self,
        _: &str,
        name: &SourceName,
        source: &Source,
        report: &dyn Report,
        _: &Cancel,
    ) -> ServiceResult<bool> {
        self.fails()?;
        let new = self.remote.source(name)?.is_none();
        if new {
            MemoryRemote::copy(&self.local, &self.remote);
            self.remote.publish_source(name, source)?;
            report.info("Pushed source");
        }
        Ok(new)
    }
}

/// One execution, as a [`FakeExecutor`]'s program sees it.
pub struct Call<'a> {
    /// What is to be run.
    pub execution: &'a Execution,
    /// The tree it is run over, to be changed.
    pub tree: Tree,
    /// Where its output goes.
    pub log: &'a mut dyn Write,
    /// Whether it was asked to stop.
    pub cancel: &'a Cancel,
    /// The store.
    pub cas: &'a Arc<dyn Cas>,
}

type Program = dyn Fn(&mut Call<'_>) -> i32 + Send + Sync;

/// Runs a function of the test in the place of commands, and collects the outputs that were asked for.
pub struct FakeExecutor {
    cas: Arc<dyn Cas>,
    program: Box<Program>,
}

impl FakeExecutor {
    /// An executor that calls `program`, whose result is the exit status.
    pub fn new(
        cas: Arc<dyn Cas>,
        program: impl Fn(&mut Call<'_>) -> i32 + Send + Sync + 'static,
    ) -> FakeExecutor {
        FakeExecutor { cas, program: Box::new(program) }
    }
}

impl Executor for FakeExecutor {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        let tree = Tree::open(&self.cas, execution.input_root);
        let mut call = Call { execution, tree, log, cancel, cas: &self.cas };
        let exit_code = (self.program)(&mut call);
        let mut outputs = Vec::new();
        for path in &execution.command.output_paths {
            let subtree = call.tree.subtree(path)?;
            outputs.push(subtree.map(|subtree| subtree.digest()).transpose()?);
        }
        Ok(Executed { exit_code, outputs })
    }

    fn suspend(&self, _stop: bool) {}
}

/// Services over one memory store, commands run by `program`.
pub fn services(
    program: impl Fn(&mut Call<'_>) -> i32 + Send + Sync + 'static,
) -> (Arc<MemoryStore>, Services) {
    let store = MemoryStore::new();
    let services = Services {
        cas: store.clone(),
        action_cache: Some(store.clone()),
        assets: store.clone(),
        executor: Arc::new(FakeExecutor::new(store.clone(), program)),
        remotes: None,
    };
    (store, services)
}

/// Makes a tree: `dir/` a directory, `path=content` a file, `path*=content` an executable one, `path->target` a link.
pub fn tree(cas: &Arc<dyn Cas>, entries: &[&str]) -> Tree {
    let mut tree = Tree::empty(cas);
    for entry in entries {
        let made = if let Some((path, target)) = entry.split_once("->") {
            tree.put(path, Entry::Symlink(Symlink { target: target.into(), properties: None }))
        } else if let Some((path, content)) = entry.split_once('=') {
            let digest = cas.write(content.as_bytes()).unwrap_or_default();
            let (path, executable) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
            tree.put(path, Entry::File(TreeFile { digest, executable, properties: None }))
        } else {
            tree.create_directory(entry)
        };
        assert!(made.is_ok(), "cannot make {entry}: {made:?}");
    }
    tree
}

/// Shows a tree in the form that [`tree`] takes, sorted as bst lists it; directories only where they are empty.
pub fn listing(cas: &Arc<dyn Cas>, tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    let walked = tree.walk(|path, entry| match entry {
        Entry::Directory(_) => {
            if tree.subtree(path).ok().flatten().is_some_and(|subtree| subtree.is_empty().unwrap_or(false)) {
                lines.push(format!("{path}/"));
            }
        }
        Entry::File(file) => {
            let content = cas.read(&file.digest).unwrap_or_default();
            let star = if file.executable { "*" } else { "" };
            lines.push(format!("{path}{star}={}", String::from_utf8_lossy(&content)));
        }
        Entry::Symlink(link) => lines.push(format!("{path}->{}", link.target)),
    });
    assert!(walked.is_ok(), "{walked:?}");
    lines
}
