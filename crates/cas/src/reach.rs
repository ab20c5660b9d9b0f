//! What names refer to, at all depths.

use crate::refs::list_refs;
use crate::scan::{Key, key};
use crate::session::Timestamp;
use crate::store::{Store, decode};
use bourn_reapi::artifact::{Artifact, ArtifactName, Source};
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{Cas, Digest};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file that gives a name to something.
#[derive(Debug)]
pub(crate) struct Name {
    /// The file.
    pub(crate) path: PathBuf,
    /// Which name it is.
    pub(crate) kind: NameKind,
    /// Last use.
    pub(crate) used: Timestamp,
    /// What it means; `None` when the file cannot be understood.
    pub(crate) roots: Option<Roots>,
}

impl Name {
    /// What all names of the same thing have in common, those of an artifact under its keys: they are of one element and
    /// mean the same. What cannot be understood is nothing but itself.
    pub(crate) fn thing(&self) -> (PathBuf, Option<Roots>) {
        match &self.roots {
            Some(roots) => (self.path.parent().map(PathBuf::from).unwrap_or_default(), Some(roots.clone())),
            None => (self.path.clone(), None),
        }
    }
}

/// The kinds of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameKind {
    Artifact(ArtifactName),
    Source,
}

/// What a name refers to directly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Roots {
    /// Directories without which the name is worth nothing.
    pub(crate) trees: Vec<Digest>,
    /// Blobs without which the name is worth nothing.
    pub(crate) blobs: Vec<Digest>,
    /// Directories that may be missing, because only who asks for them gets them.
    pub(crate) optional: Vec<Digest>,
}

impl Roots {
    /// What an artifact refers to.
    pub(crate) fn of_artifact(artifact: &Artifact) -> Roots {
        let some = |messages: &[Option<&DigestMessage>]| digests(messages.iter().copied().flatten());
        let logs = artifact.logs.iter().filter_map(|log| log.digest.as_ref());
        let subsandboxes = artifact.buildsandbox.iter().flat_map(|state| &state.subsandbox_digests);
        let mut blobs = some(&[
            artifact.public_data.as_ref(),
            artifact.low_diversity_meta.as_ref(),
            artifact.high_diversity_meta.as_ref(),
        ]);
        blobs.extend(digests(logs));
        let mut optional =
            some(&[artifact.buildtree.as_ref(), artifact.sources.as_ref(), artifact.buildroot.as_ref()]);
        optional.extend(digests(subsandboxes));
        Roots { trees: some(&[artifact.files.as_ref()]), blobs, optional }
    }

    /// What a source refers to.
    pub(crate) fn of_source(source: &Source) -> Roots {
        Roots { trees: digests(source.files.iter()), ..Roots::default() }
    }
}

fn digests<'a>(messages: impl Iterator<Item = &'a DigestMessage>) -> Vec<Digest> {
    messages.filter_map(|message| Digest::try_from(message).ok()).collect()
}

impl Store {
    /// Every name of artifacts and sources.
    pub(crate) fn names(&self) -> ServiceResult<Vec<Name>> {
        let artifacts = self.cachedir().join("artifacts/refs");
        let mut names = Vec::new();
        for (path, used) in list_refs(&artifacts)? {
            let relative = path.strip_prefix(&artifacts).ok().and_then(Path::to_str);
            let Some(name) = relative.and_then(ArtifactName::parse) else { continue };
            let roots = read(&path).and_then(decode).map(|artifact| Roots::of_artifact(&artifact));
            names.push(Name { roots, kind: NameKind::Artifact(name), used: timestamp(used), path });
        }
        for root in ["elementsources", "source_protos"] {
            for (path, used) in list_refs(&self.cachedir().join(root))? {
                let roots = read(&path).and_then(decode).map(|source| Roots::of_source(&source));
                names.push(Name { roots, kind: NameKind::Source, used: timestamp(used), path });
            }
        }
        Ok(names)
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

fn timestamp(time: std::time::SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos().into())
}

/// Follows trees down to their blobs, and remembers where it has been.
pub(crate) struct Reach<'a> {
    pub(crate) store: &'a Store,
    /// Blobs that were reached.
    pub(crate) reached: HashSet<Key>,
}

impl Reach<'_> {
    /// The blobs of these trees that were not reached before, directories included. Missing directories are passed
    /// over.
    pub(crate) fn beyond(&self, trees: &[Digest]) -> ServiceResult<Vec<Digest>> {
        let mut new = HashSet::new();
        let mut found = Vec::new();
        let mut waiting = trees.to_vec();
        while let Some(tree) = waiting.pop() {
            if self.reached.contains(&key(&tree)) || !new.insert(key(&tree)) {
                continue;
            }
            found.push(tree);
            let directory = match self.store.directory(&tree) {
                Ok(directory) => directory,
                Err(error)
                    if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt | ErrorKind::Invalid) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            for file in &directory.files {
                let digest = file.content()?;
                if !self.reached.contains(&key(&digest)) && new.insert(key(&digest)) {
                    found.push(digest);
                }
            }
            for child in &directory.directories {
                waiting.push(child.content()?);
            }
        }
        Ok(found)
    }

    /// Everything that some roots refer to and that was not reached before.
    pub(crate) fn beyond_roots(&self, roots: &Roots) -> ServiceResult<Vec<Digest>> {
        let mut found = self.beyond(&[roots.trees.as_slice(), &roots.optional].concat())?;
        let new: HashSet<Key> = found.iter().map(key).collect();
        let fresh = |digest: &&Digest| !self.reached.contains(&key(digest)) && !new.contains(&key(digest));
        found.extend(roots.blobs.iter().filter(fresh).copied().collect::<HashSet<_>>());
        Ok(found)
    }

    /// Remembers blobs as reached.
    pub(crate) fn reach(&mut self, digests: &[Digest]) {
        self.reached.extend(digests.iter().map(key));
    }
}
