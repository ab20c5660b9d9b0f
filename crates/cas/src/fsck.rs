//! Finding and healing damage.
//!
//! Whatever does not match its name is put aside, to `bourn/damaged`, where somebody may look at it; whatever is
//! worth nothing without it is forgotten: names whose blobs are missing, layers that show wrong content. Then the
//! next build fetches or builds what is missing, as if it had never been there.

use crate::layer::{ContentName, Described, boot_id};
use crate::object::hash_stream;
use crate::reach::{Name, NameKind};
use crate::scan::{Found, Key, key, names};
use crate::session::{open_directory, sweep};
use crate::store::Store;
use crate::trouble::Doing;
use bourn_reapi::Digest;
use bourn_reapi::artifact::ArtifactName;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use rayon::prelude::*;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a check of a cache found and did about it.
#[derive(Debug, Default)]
pub struct Checked {
    /// Number of objects that were looked at.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of names that were looked at.
    pub names: u64,
    /// Number of layers that were looked at.
    pub layers: u64,
    /// What was wrong, and what was done about it.
    pub damage: Vec<Damage>,
}

/// Something that was wrong, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The content of an object did not match its name: it was put aside.
    Object(PathBuf),
    /// An object could be written to: it was made read-only.
    Writable(PathBuf),
    /// A file among the objects that is none: it was put aside.
    Stray(PathBuf),
    /// An artifact of which blobs are missing: its name was removed.
    Artifact(ArtifactName),
    /// A name that could not be understood, or a source of which blobs are missing: it was removed.
    Name(PathBuf),
    /// A layer that did not show its tree, or whose tree is not known any more: it was removed.
    Layer(PathBuf),
    /// The same, but a build uses it at this moment: nothing was done. Check again when it has ended.
    LayerInUse(PathBuf),
}

impl Store {
    /// Looks at everything in the cache. With `content`, every object is read and compared with its name; without, only
    /// sizes that a crash leaves behind are noticed. With `remote`, names whose blobs are missing stay, because a
    /// storage service may hold them.
    pub fn fsck(&self, content: bool, remote: bool) -> ServiceResult<Checked> {
        let session = self.session()?;
        sweep(self.cachedir(), session)?;
        let _gate = self.expiry_lock(FlockOperation::LockExclusive)?;
        let mut checked = self.check_objects(content)?;
        self.recent.clear();
        let mut damaged = self.damaged(&checked.damage);
        if content {
            damaged.extend(self.check_content(&mut checked.damage)?);
        }
        checked.damage.extend(self.check_strays()?);
        let present = self.objects.visit(HashSet::new, look, union)?;
        for name in self.names()? {
            checked.names += 1;
            checked.damage.extend(self.check_name(name, &present, remote)?);
        }
        for (path, described) in self.all_layers()? {
            checked.layers += 1;
            checked.damage.extend(self.check_layer(path, &described, &damaged)?);
        }
        checked.damage.extend(self.check_nameless_layers()?);
        Ok(checked)
    }

    /// After the machine was started anew: removes objects whose content a crash has lost. They are empty, because file
    /// systems record the size of a file only once its content is on the disk. What has lost a part of its content is
    /// noticed when it is used, by its size.
    pub(crate) fn recover(&self) -> ServiceResult<()> {
        let path = self.cachedir().join("bourn/boot");
        let boot = boot_id();
        if std::fs::read_to_string(&path).is_ok_and(|recorded| recorded == boot) {
            return Ok(());
        }
        self.check_objects(false)?;
        let draft = self.session()?.temporary("boot");
        std::fs::write(&draft, boot).doing("cannot write", &draft)?;
        std::fs::rename(&draft, &path).doing("cannot create", &path)
    }

    fn check_objects(&self, content: bool) -> ServiceResult<Checked> {
        let check = |checked: &mut Checked, found: &Found<'_>| {
            checked.objects += 1;
            checked.bytes += found.digest.size;
            checked.damage.extend(self.check_object(found, content)?);
            Ok(())
        };
        self.objects.visit(Checked::default, check, |mut a, b| {
            a.objects += b.objects;
            a.bytes += b.bytes;
            a.damage.extend(b.damage);
            a
        })
    }

    fn check_object(&self, found: &Found<'_>, content: bool) -> ServiceResult<Option<Damage>> {
        let path = self.object_path(&found.digest);
        let lost = found.digest.size == 0 && found.digest != Digest::empty();
        if lost || content && !self.matches(found, &path)? {
            let _ = self.objects.put_aside(&found.digest, "");
            return Ok(Some(Damage::Object(path)));
        }
        if found.stat.st_mode & 0o222 != 0 {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444))
                .doing("cannot change the mode of", &path)?;
            return Ok(Some(Damage::Writable(path)));
        }
        Ok(None)
    }

    fn matches(&self, found: &Found<'_>, path: &Path) -> ServiceResult<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(found.directory, &found.name, flags, Mode::empty())
            .doing("cannot open", path)?;
        Ok(hash_stream(&mut File::from(file), path, |_| Ok(()))?.hash == found.digest.hash)
    }

    /// Looks at the content of stubs whose object is gone: of all other, the object was looked at.
    fn check_content(&self, damage: &mut Vec<Damage>) -> ServiceResult<Vec<ContentName>> {
        let root = self.content()?.path();
        let entries = std::fs::read_dir(root).doing("cannot list", root)?;
        let prefixes: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .doing("cannot list", root)?;
        let found = prefixes.par_iter().map(|prefix| self.check_content_below(prefix));
        let found: Vec<(Option<ContentName>, PathBuf)> =
            found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        damage.extend(found.iter().map(|(_, path)| Damage::Object(path.clone())));
        Ok(found.into_iter().filter_map(|(name, _)| name).collect())
    }

    fn check_content_below(&self, prefix: &Path) -> ServiceResult<Vec<(Option<ContentName>, PathBuf)>> {
        let directory = open_directory(prefix).doing("cannot open", prefix)?;
        let start = prefix.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut damaged = Vec::new();
        for name in names(&directory).doing("cannot list", prefix)? {
            let known = name.to_str().ok().and_then(|name| ContentName::parse(start, name));
            let path = prefix.join(name.to_string_lossy().as_ref());
            let mut file = File::open(&path).doing("cannot open", &path)?;
            let stat = rustix::fs::fstat(&file).doing("cannot look at", &path)?;
            let sound = stat.st_nlink > 1
                || known == Some(ContentName::new(&hash_stream(&mut file, &path, |_| Ok(()))?));
            if !sound {
                std::fs::remove_file(&path).doing("cannot remove", &path)?;
                damaged.push((known, path));
            }
        }
        Ok(damaged)
    }

    /// What stubs may show wrongly.
    fn damaged(&self, damage: &[Damage]) -> HashSet<ContentName> {
        let objects = damage.iter().filter_map(|damage| match damage {
            Damage::Object(path) => Some(path),
            _ => None,
        });
        let hash = |path: &PathBuf| {
            let relative = path.strip_prefix(self.objects.root_path()).ok()?.to_str()?.replace('/', "");
            Digest::from_hex(&relative, 0)
        };
        objects.filter_map(hash).map(|digest| ContentName::new(&digest)).collect()
    }

    /// Files among the objects that have no name of one.
    fn check_strays(&self) -> ServiceResult<Vec<Damage>> {
        let root = self.objects.root_path();
        let mut damage = Vec::new();
        for prefix in std::fs::read_dir(root).doing("cannot list", root)? {
            let prefix = prefix.doing("cannot list", root)?.path();
            let start = prefix.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let Ok(directory) = open_directory(&prefix) else {
                damage.push(self.stray(prefix)?);
                continue;
            };
            for name in names(&directory).doing("cannot list", &prefix)? {
                let name = name.to_string_lossy();
                if Digest::from_hex(&format!("{start}{name}"), 0).is_none() {
                    damage.push(self.stray(prefix.join(&*name))?);
                }
            }
        }
        Ok(damage)
    }

    fn stray(&self, path: PathBuf) -> ServiceResult<Damage> {
        let aside = self.cachedir().join("bourn/damaged");
        std::fs::create_dir_all(&aside).doing("cannot create", &aside)?;
        let aside = aside.join(path.file_name().unwrap_or_default());
        std::fs::rename(&path, &aside).doing("cannot move", &path)?;
        Ok(Damage::Stray(path))
    }

    fn check_name(&self, name: Name, present: &HashSet<Key>, remote: bool) -> ServiceResult<Option<Damage>> {
        let complete = match &name.roots {
            None => false,
            Some(_) if remote => true,
            Some(roots) => {
                let mut complete = roots.blobs.iter().all(|digest| present.contains(&key(digest)));
                for tree in &roots.trees {
                    complete = complete && self.is_complete(tree, present)?;
                }
                complete
            }
        };
        if complete {
            return Ok(None);
        }
        std::fs::remove_file(&name.path).doing("cannot remove", &name.path)?;
        Ok(Some(match name.kind {
            NameKind::Artifact(artifact) if name.roots.is_some() => Damage::Artifact(artifact),
            _ => Damage::Name(name.path),
        }))
    }

    fn is_complete(&self, tree: &Digest, present: &HashSet<Key>) -> ServiceResult<bool> {
        match self.tree_blobs(tree) {
            Ok(blobs) => Ok(blobs.iter().all(|digest| present.contains(&key(digest)))),
            Err(error) if is_damage(error.kind) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check_layer(
        &self,
        path: PathBuf,
        described: &Described,
        damaged: &HashSet<ContentName>,
    ) -> ServiceResult<Option<Damage>> {
        let sound = match self.tree_blobs(&described.tree) {
            Ok(blobs) => {
                let untouched = !blobs.iter().any(|digest| damaged.contains(&ContentName::new(digest)));
                untouched && self.is_layer_whole(&path, described)?
            }
            Err(error) if is_damage(error.kind) => false,
            Err(error) => return Err(error),
        };
        if sound {
            return Ok(None);
        }
        self.drop_layer(path).map(Some)
    }

    /// Removes a layer, unless somebody uses it.
    fn drop_layer(&self, path: PathBuf) -> ServiceResult<Damage> {
        let lock = open_directory(&path).doing("cannot open", &path)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(Damage::LayerInUse(path));
        }
        self.discard(&path)?;
        Ok(Damage::Layer(path))
    }

    /// Directories among the layers that say nothing of themselves.
    fn check_nameless_layers(&self) -> ServiceResult<Vec<Damage>> {
        let root = self.cachedir().join("bourn/layers");
        let mut damage = Vec::new();
        for kind in std::fs::read_dir(&root).doing("cannot list", &root)? {
            let kind = kind.doing("cannot list", &root)?.path();
            for layer in std::fs::read_dir(&kind).doing("cannot list", &kind)? {
                let path = layer.doing("cannot list", &kind)?.path();
                if Described::read(&path).is_none() {
                    damage.push(self.drop_layer(path)?);
                }
            }
        }
        Ok(damage)
    }
}

fn look(present: &mut HashSet<Key>, found: &Found<'_>) -> ServiceResult<()> {
    present.insert(key(&found.digest));
    Ok(())
}

fn union(mut a: HashSet<Key>, b: HashSet<Key>) -> HashSet<Key> {
    a.extend(b);
    a
}

/// Whether an error says that something of the cache is gone or wrong.
fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Missing | ErrorKind::Corrupt | ErrorKind::Invalid)
}
