//! Making room: what was used longest ago goes first, and never what somebody relies on.
//!
//! The unit is what has a name: an artifact (under all its keys), a source, a layer. It goes whole or stays whole;
//! blobs go when nothing that stays refers to them. What living sessions rely on stays in any case
//! (see the module `session`).

use crate::layer::{ContentName, Described};
use crate::reach::{Name, NameKind, Reach};
use crate::remove::remove_tree;
use crate::scan::{Found, Key, key, names};
use crate::session::{Reliance, Session, Timestamp, lock, modified, open_directory, sweep};
use crate::store::Store;
use crate::trouble::{Doing, io_error};
use bourn_reapi::Digest;
use bourn_reapi::artifact::ArtifactName;
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How much a cache may hold, with the meaning that `bst` gives to its configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// Most bytes of the cache; `None` for as much as the disk has.
    pub bytes: Option<u64>,
    /// Bytes of the disk that are to stay free.
    pub reserved: u64,
    /// When there is too much, how much of the limit is left in the end: a fraction.
    pub low_watermark: f64,
}

/// What expiry did.
#[derive(Debug, Default)]
pub struct Expired {
    /// Bytes in the cache before.
    pub before: u64,
    /// Bytes in the cache after.
    pub after: u64,
    /// Bytes that the cache might hold.
    pub limit: u64,
    /// Artifacts that were removed, each with all its names.
    pub artifacts: Vec<Vec<ArtifactName>>,
    /// Number of sources that were removed.
    pub sources: usize,
    /// Number of layers that were removed.
    pub layers: usize,
    /// Number of objects that were removed.
    pub objects: u64,
}

impl Store {
    /// Bytes that the cache may hold, given that it holds `used` now.
    pub fn limit(&self, quota: &Quota, used: u64) -> ServiceResult<u64> {
        let status = rustix::fs::statvfs(self.cachedir())
            .doing("cannot look at the file system of", self.cachedir())?;
        let available = status.f_bavail.saturating_mul(status.f_frsize);
        let by_disk = used.saturating_add(available).saturating_sub(quota.reserved);
        Ok(quota.bytes.map_or(by_disk, |bytes| bytes.min(by_disk)))
    }

    /// Removes what was used longest ago if the cache holds more than it may. Also removes what killed processes have
    /// left behind. While somebody else is at it, nothing is done.
    pub fn expire(&self, quota: &Quota) -> ServiceResult<Expired> {
        self.expire_for(quota, 0)
    }

    /// The same, so that afterwards so many bytes more find room.
    pub(crate) fn expire_for(&self, quota: &Quota, wanted: u64) -> ServiceResult<Expired> {
        let session = self.session()?;
        let Some(_only) = self.only_expiry(wanted > 0)? else { return Ok(Expired::default()) };
        let reliance = sweep(self.cachedir(), session)?;
        let before = self.bytes_held()?;
        let (mut after, mut limit) = (before, self.limit(quota, before)?);
        if after.saturating_add(wanted) > limit && self.kept_bytes()? > 0 {
            self.drop_kept(session)?;
            after = self.bytes_held()?;
            limit = self.limit(quota, after)?;
        }
        if after.saturating_add(wanted) <= limit {
            return Ok(Expired { before, after, limit, ..Expired::default() });
        }
        let _gate = self.expiry_lock(FlockOperation::LockExclusive)?;
        // Now that nobody can begin to rely on something, look again.
        let reliance = Reliance { since: reliance.since, ..sweep(self.cachedir(), session)? };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let target = (limit as f64 * quota.low_watermark.clamp(0.0, 1.0)) as u64;
        self.objects.change();
        let mut expiry = Expiry::new(self, session, reliance)?;
        expiry.decide(target.min(limit.saturating_sub(wanted)))?;
        expiry.carry_out()?;
        Ok(Expired { before, after: self.bytes_held()?, limit, ..expiry.done })
    }

    /// Makes sure that only one process at a time expires. `None` when one does, and `wait` is not wanted.
    fn only_expiry(&self, wait: bool) -> ServiceResult<Option<OwnedFd>> {
        let path = self.cachedir().join("bourn/expiring.lock");
        if wait {
            return lock(&path, FlockOperation::LockExclusive).map(Some);
        }
        let file = std::fs::File::create(&path).doing("cannot open", &path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file.into())),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io_error(error, "cannot lock", &path)),
        }
    }

    /// Bytes of all objects, of all layers, and of what is kept beside them.
    pub(crate) fn bytes_held(&self) -> ServiceResult<u64> {
        let sum = |sum: &mut u64, found: &Found<'_>| {
            *sum += found.digest.size;
            Ok(())
        };
        let objects = self.objects.visit(|| 0, sum, |a, b| a + b)?;
        let layers: u64 = self.all_layers()?.iter().map(|(_, described)| described.bytes).sum();
        Ok(objects + layers + self.kept_bytes()?)
    }

    /// The layers of all kinds, with their directories.
    pub(crate) fn all_layers(&self) -> ServiceResult<Vec<(PathBuf, Described)>> {
        let root = self.cachedir().join("bourn/layers");
        let mut layers = Vec::new();
        for kind in std::fs::read_dir(&root).doing("cannot list", &root)? {
            let kind = kind.doing("cannot list", &root)?.path();
            for layer in std::fs::read_dir(&kind).doing("cannot list", &kind)? {
                let path = layer.doing("cannot list", &kind)?.path();
                layers.extend(Described::read(&path).map(|described| (path, described)));
            }
        }
        Ok(layers)
    }
}

/// What may go.
enum Candidate {
    Name(Name),
    Layer(PathBuf, Described),
}

impl Candidate {
    /// Whether it is worth anything: a layer whose tree is not known any more can never be a base, nor be checked.
    fn is_sound(&self, store: &Store) -> ServiceResult<bool> {
        match self {
            Candidate::Name(name) => Ok(name.roots.is_some()),
            Candidate::Layer(_, described) => match store.tree_directories(&described.tree) {
                Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => Ok(false),
                result => result.map(|_| true),
            },
        }
    }
}

/// One expiry.
struct Expiry<'a> {
    store: &'a Store,
    session: &'a Session,
    since: Timestamp,
    /// Trees that stay with all that is in them.
    reach: Reach<'a>,
    /// Objects that stay; of a directory among them, what is in it may go.
    kept: HashSet<Key>,
    /// Those among them that somebody has asked for and may be serving, so that the second names of their files stay too.
    pins: Vec<Digest>,
    /// Bytes of what stays.
    kept_bytes: u64,
    /// Which objects are there.
    present: HashSet<Key>,
    dropped: Vec<Candidate>,
    kept_layers: Vec<(PathBuf, Described)>,
    done: Expired,
}

impl<'a> Expiry<'a> {
    /// Begins with what living sessions rely on.
    fn new(store: &'a Store, session: &'a Session, reliance: Reliance) -> ServiceResult<Expiry<'a>> {
        type Sum = (HashSet<Key>, HashSet<Key>, u64);
        let since = reliance.since;
        let look = |sum: &mut Sum, found: &Found<'_>| {
            sum.0.insert(key(&found.digest));
            if found.modified >= since {
                sum.1.insert(key(&found.digest));
                sum.2 += found.digest.size;
            }
            Ok(())
        };
        let add = |mut a: Sum, b: Sum| {
            a.0.extend(b.0);
            a.1.extend(b.1);
            (a.0, a.1, a.2 + b.2)
        };
        let (present, kept, kept_bytes) = store.objects.visit(Sum::default, look, add)?;
        let mut expiry = Expiry {
            store,
            session,
            since,
            reach: Reach { store, reached: HashSet::new() },
            kept,
            pins: Vec::new(),
            kept_bytes,
            present,
            dropped: Vec::new(),
            kept_layers: Vec::new(),
            done: Expired::default(),
        };
        for pin in &reliance.pins {
            let blobs = expiry.reach.beyond(&[*pin])?;
            expiry.keep_reached(&blobs);
        }
        expiry.pins = reliance.pins;
        Ok(expiry)
    }

    fn keep(&mut self, blobs: &[Digest]) {
        self.kept_bytes += self.bytes(blobs);
        self.kept.extend(blobs.iter().map(key));
    }

    /// Keeps blobs that were found by following trees.
    fn keep_reached(&mut self, blobs: &[Digest]) {
        self.keep(blobs);
        self.reach.reach(blobs);
    }

    /// Bytes of those blobs that are there and were not kept yet.
    fn bytes(&self, blobs: &[Digest]) -> u64 {
        let counts =
            |digest: &&Digest| self.present.contains(&key(digest)) && !self.kept.contains(&key(digest));
        blobs.iter().filter(counts).map(|digest| digest.size).sum()
    }

    /// Decides what stays: all that is in use, and of the rest the latest, as long as it stays below the target.
    fn decide(&mut self, target: u64) -> ServiceResult<()> {
        let mut full = false;
        for (used, candidate) in self.candidates()? {
            let (blobs, own) = match &candidate {
                Candidate::Name(name) => match &name.roots {
                    Some(roots) => (self.reach.beyond_roots(roots)?, 0),
                    None => (Vec::new(), 0),
                },
                Candidate::Layer(_, described) => (self.directories(&described.tree)?, described.bytes),
            };
            let bytes = self.bytes(&blobs) + own;
            full = full || self.kept_bytes + bytes > target;
            if (full || !candidate.is_sound(self.store)?) && used < self.since {
                self.dropped.push(candidate);
                continue;
            }
            match candidate {
                Candidate::Name(_) => self.keep_reached(&blobs),
                Candidate::Layer(path, described) => {
                    self.kept_bytes += own;
                    self.keep(&blobs);
                    self.kept_layers.push((path, described));
                }
            }
        }
        Ok(())
    }

    /// What may go, last used first; everything that an artifact is called has the time of its latest name.
    fn candidates(&self) -> ServiceResult<Vec<(Timestamp, Candidate)>> {
        let names = self.store.names()?;
        let mut latest: HashMap<_, Timestamp> = HashMap::new();
        for name in &names {
            let time = latest.entry(name.thing()).or_insert(name.used);
            *time = name.used.max(*time);
        }
        let mut all: Vec<(Timestamp, Candidate)> =
            names.into_iter().map(|name| (latest[&name.thing()], Candidate::Name(name))).collect();
        for (path, described) in self.store.all_layers()? {
            let Ok(stat) = rustix::fs::stat(&path) else { continue };
            all.push((modified(&stat), Candidate::Layer(path, described)));
        }
        all.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        Ok(all)
    }

    /// What a layer needs of the objects: the directories of its tree, not the files.
    fn directories(&self, tree: &Digest) -> ServiceResult<Vec<Digest>> {
        match self.store.tree_directories(tree) {
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => Ok(Vec::new()),
            result => result,
        }
    }

    fn carry_out(&mut self) -> ServiceResult<()> {
        // A layer goes before its base, which lies deeper.
        let mut dropped = std::mem::take(&mut self.dropped);
        let mut artifacts: HashMap<_, Vec<ArtifactName>> = HashMap::new();
        dropped.sort_by_key(|candidate| match candidate {
            Candidate::Name(_) => 0,
            Candidate::Layer(_, described) => -i64::from(described.height),
        });
        for candidate in dropped {
            match candidate {
                Candidate::Name(name) => {
                    let thing = name.thing();
                    match self.drop_name(name)? {
                        Some(NameKind::Artifact(name)) => artifacts.entry(thing).or_default().push(name),
                        Some(NameKind::Source) => self.done.sources += 1,
                        None => {}
                    }
                }
                Candidate::Layer(path, described) => self.drop_layer(path, described)?,
            }
        }
        self.done.artifacts = artifacts.into_values().collect();
        self.done.artifacts.iter_mut().for_each(|names| names.sort());
        self.done.artifacts.sort();
        // Content first: removing the object of the same file would make it look as if it had just been linked.
        self.sweep_content()?;
        self.done.objects = self.sweep_objects()?;
        self.sweep_actions()?;
        self.store.forget_trees()
    }

    /// Removes a name, unless `bst` has used it just now, or somebody else was faster. What it was, if it was removed.
    fn drop_name(&mut self, name: Name) -> ServiceResult<Option<NameKind>> {
        let aside = self.session.temporary("name");
        match rustix::fs::rename(&name.path, &aside) {
            Err(Errno::NOENT) => return Ok(None),
            result => result.doing("cannot move", &name.path)?,
        }
        let used = modified(&rustix::fs::stat(&aside).doing("cannot look at", &aside)?);
        if used > name.used {
            let _ = rustix::fs::renameat_with(CWD, &aside, CWD, &name.path, RenameFlags::NOREPLACE);
            let blobs = match &name.roots {
                Some(roots) => self.reach.beyond_roots(roots)?,
                None => Vec::new(),
            };
            self.keep_reached(&blobs);
            return Ok(None);
        }
        std::fs::remove_file(&aside).doing("cannot remove", &aside)?;
        if let Some(parent) = name.path.parent() {
            // Only succeeds when it is empty, and its parent likewise.
            let _ = std::fs::remove_dir(parent)
                .and_then(|()| std::fs::remove_dir(parent.parent().unwrap_or(parent)));
        }
        Ok(Some(name.kind))
    }

    /// Removes a layer, unless somebody uses it or a layer upon it.
    fn drop_layer(&mut self, path: PathBuf, described: Described) -> ServiceResult<()> {
        let needed = self
            .kept_layers
            .iter()
            .any(|(other, above)| above.base == Some(described.tree) && other.parent() == path.parent());
        let Ok(lock) = open_directory(&path) else { return Ok(()) };
        if needed || rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let blobs = self.directories(&described.tree)?;
            self.keep(&blobs);
            self.kept_layers.push((path, described));
            return Ok(());
        }
        self.done.layers += 1;
        self.store.discard(&path)
    }

    /// Removes objects that nothing refers to and nobody has used. How many.
    fn sweep_objects(&self) -> ServiceResult<u64> {
        let sweep = |count: &mut u64, found: &Found<'_>| {
            if !self.kept.contains(&key(&found.digest)) && found.modified < self.since {
                *count += u64::from(self.remove_object(found)?);
            }
            Ok(())
        };
        self.store.objects.visit(|| 0, sweep, |a, b| a + b)
    }

    /// Removes results of actions that refer to what is gone.
    fn sweep_actions(&self) -> ServiceResult<()> {
        let (seconds, nanos) = self.since;
        let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        let is_kept = |message: &DigestMessage| {
            Digest::try_from(message).is_ok_and(|digest| self.kept.contains(&key(&digest)))
        };
        self.store.sweep_actions(|used, result| {
            used >= SystemTime::UNIX_EPOCH + since || result.blobs().chain(result.roots()).all(is_kept)
        })?;
        Ok(())
    }

    /// Removes an object, unless it was used since it was looked at.
    fn remove_object(&self, found: &Found<'_>) -> ServiceResult<bool> {
        let aside = self.session.temporary("object");
        let path = self.store.object_path(&found.digest);
        match rustix::fs::renameat(found.directory, &found.name, CWD, &aside) {
            Err(Errno::NOENT) => return Ok(false),
            result => result.doing("cannot move", &path)?,
        }
        let stat = rustix::fs::stat(&aside).doing("cannot look at", &aside)?;
        if modified(&stat) > found.modified {
            // Should it have been stored again meanwhile, that one is as good.
            let _ =
                rustix::fs::renameat_with(CWD, &aside, found.directory, &found.name, RenameFlags::NOREPLACE);
        }
        remove_tree(&aside)?;
        Ok(modified(&stat) <= found.modified)
    }

    /// Removes content that no layer and no served tree refers to.
    fn sweep_content(&self) -> ServiceResult<()> {
        let mut needed: HashSet<ContentName> = HashSet::new();
        for pin in &self.pins {
            match self.store.tree_blobs(pin) {
                Ok(blobs) => needed.extend(blobs.iter().map(ContentName::new)),
                // Whoever serves it finds that out too.
                Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => {}
                Err(error) => return Err(error),
            }
        }
        for (_, described) in self.kept_layers.iter().filter(|(_, described)| described.stubs_from.is_some())
        {
            match self.store.tree_blobs(&described.tree) {
                Ok(blobs) => needed.extend(blobs.iter().map(ContentName::new)),
                // A layer in use whose tree is not known any more: nobody can tell what it needs.
                Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let root = self.store.content()?.path();
        let prefixes: Vec<PathBuf> = std::fs::read_dir(root)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .doing("cannot list", root)?;
        prefixes
            .par_iter()
            .filter(|path| path.is_dir())
            .try_for_each(|path| self.sweep_content_below(path, &needed))
    }

    fn sweep_content_below(&self, path: &Path, needed: &HashSet<ContentName>) -> ServiceResult<()> {
        let directory = open_directory(path).doing("cannot open", path)?;
        let prefix = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for name in names(&directory).doing("cannot list", path)? {
            let known = name.to_str().ok().and_then(|name| ContentName::parse(prefix, name));
            if known.is_some_and(|name| needed.contains(&name)) {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            // Giving a file a name changes its inode: it may be for a layer that is being made.
            let changed = (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0));
            if changed < self.since {
                let _ = rustix::fs::unlinkat(&directory, &name, AtFlags::empty());
            }
        }
        Ok(())
    }
}
