//! Who uses the space of a cache.

use crate::reach::{Name, NameKind, Reach};
use crate::scan::{Found, Key, key};
use crate::store::Store;
use bourn_reapi::Digest;
use bourn_reapi::artifact::ArtifactName;
use bourn_reapi::services::ServiceResult;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a cache holds.
#[derive(Debug, Default)]
pub struct Usage {
    /// Number of objects.
    pub objects: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Artifacts and sources, last used first.
    pub used: Vec<Used>,
    /// Bytes of objects that no artifact and no source refers to.
    pub unreferenced: u64,
    /// Number of layers.
    pub layers: usize,
    /// Bytes that layers take beside the objects, about.
    pub layer_bytes: u64,
    /// Bytes of the build directories that workspaces keep from one build to the next, about.
    pub kept_bytes: u64,
}

/// What one artifact, or one source, holds of a cache.
#[derive(Debug)]
pub struct Used {
    /// The names of the artifact; none for a source.
    pub artifacts: Vec<ArtifactName>,
    /// The files that name it.
    pub paths: Vec<PathBuf>,
    /// Bytes of all objects that it refers to and that are there.
    pub bytes: u64,
    /// Bytes of those that nothing else refers to: what removing it would free.
    pub own_bytes: u64,
    /// Last use.
    pub last_used: SystemTime,
}

impl Store {
    /// Adds up who uses the space.
    pub fn usage(&self) -> ServiceResult<Usage> {
        let mut sizes = self.object_sizes()?;
        let mut usage =
            Usage { objects: sizes.len() as u64, bytes: sizes.values().sum(), ..Usage::default() };
        for (_, described) in self.all_layers()? {
            usage.layers += 1;
            usage.layer_bytes += described.bytes;
        }
        usage.kept_bytes = self.kept_bytes()?;
        let groups = self.groups()?;
        let mut references: HashMap<Key, u32> = HashMap::new();
        for group in &groups {
            self.blobs_of(group)?.iter().for_each(|digest| *references.entry(key(digest)).or_default() += 1);
        }
        for group in groups {
            let blobs = self.blobs_of(&group)?;
            let size = |digest: &Digest| sizes.get(&key(digest)).copied().unwrap_or(0);
            let own = |digest: &&Digest| references.get(&key(digest)) == Some(&1);
            let (bytes, own_bytes) = (blobs.iter().map(size).sum(), blobs.iter().filter(own).map(size).sum());
            usage.used.push(used(group, bytes, own_bytes));
        }
        sizes.retain(|key, _| !references.contains_key(key));
        usage.unreferenced = sizes.values().sum();
        usage.used.sort_by_key(|used| std::cmp::Reverse(used.last_used));
        Ok(usage)
    }

    fn object_sizes(&self) -> ServiceResult<HashMap<Key, u64>> {
        let look = |sizes: &mut HashMap<Key, u64>, found: &Found<'_>| {
            sizes.insert(key(&found.digest), found.digest.size);
            Ok(())
        };
        self.objects.visit(HashMap::new, look, |mut a, b| {
            a.extend(b);
            a
        })
    }

    /// Names that mean the same: an artifact under its keys.
    fn groups(&self) -> ServiceResult<Vec<Vec<Name>>> {
        let mut groups: HashMap<_, Vec<Name>> = HashMap::new();
        for name in self.names()? {
            groups.entry(name.thing()).or_default().push(name);
        }
        Ok(groups.into_values().collect())
    }

    fn blobs_of(&self, group: &[Name]) -> ServiceResult<Vec<Digest>> {
        let mut reach = Reach { store: self, reached: HashSet::new() };
        let mut all = Vec::new();
        for roots in group.iter().filter_map(|name| name.roots.as_ref()) {
            let blobs = reach.beyond_roots(roots)?;
            reach.reach(&blobs);
            all.extend(blobs);
        }
        Ok(all)
    }
}

fn used(group: Vec<Name>, bytes: u64, own_bytes: u64) -> Used {
    let (seconds, nanos) = group.iter().map(|name| name.used).max().unwrap_or_default();
    let since = Duration::new(seconds.try_into().unwrap_or(0), nanos.try_into().unwrap_or(0));
    let (mut artifacts, mut paths) = (Vec::new(), Vec::new());
    for name in group {
        paths.push(name.path);
        if let NameKind::Artifact(name) = name.kind {
            artifacts.push(name);
        }
    }
    artifacts.sort();
    paths.sort();
    Used { artifacts, paths, bytes, own_bytes, last_used: UNIX_EPOCH + since }
}
