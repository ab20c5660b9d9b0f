//! Layers of an image, put together.
//!
//! A layer is an archive; names with `.wh.` in it take files of the layers below away. What they take is worked out
//! on lists of members before anything is extracted, as the reference does it, whose tree this one has to equal:
//! `DIRECTORY/.wh..wh..opq` takes all below a directory, `DIRECTORY/.wh.NAME` takes the member of that name alone.
//! Devices, and all of `dev`, are left out.

use super::manifest::Manifest;
use crate::archive::members::{Kind, Member, Members};
use crate::archive::pages::Pages;
use crate::archive::{self, ArchiveError, Rules, Strip, compression, extract};
use crate::trees;
use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// A layer that was read.
struct Read {
    members: Members,
    digests: Pages<Digest>,
    /// The members that are extracted, by name: of several the last.
    wanted: HashMap<Vec<u8>, usize>,
}

/// Stages the layers of an image, kept in a directory.
///
/// # Errors
/// A layer that is missing or malformed, the store.
pub(super) fn stage(cas: &dyn Cas, directory: &Path, manifest: &Manifest) -> Result<Digest, SourceError> {
    let mut layers: Vec<Read> = Vec::new();
    for layer in &manifest.layers {
        let path = directory.join(layer.file_name());
        let file = File::open(&path).map_err(|error| crate::tree::unreadable(&path, &error))?;
        let failed = |error: ArchiveError| error.staging(&layer.digest);
        let content = compression::open(file).map_err(failed)?;
        let (members, digests) = archive::read(content, cas).map_err(failed)?;
        let (read, removed) = Read::sort(members, digests);
        layers.iter_mut().for_each(|below| below.wanted.retain(|name, _| !removed.takes(name)));
        layers.push(read);
    }
    let mut tree = Digest::empty();
    for (layer, read) in manifest.layers.iter().zip(layers) {
        let is_wanted = |(at, member): (usize, Member<'_>)| read.wanted.get(member.name) == Some(&at);
        let wanted: Vec<bool> = read.members.iter().enumerate().map(is_wanted).collect();
        let rules = Rules::trusting(Strip::Nothing);
        let scene = extract::extract(read.members, read.digests, &rules, |at| wanted[at]);
        let staged =
            scene.and_then(|scene| scene.store(cas)).map_err(|error| error.staging(&layer.digest))?;
        tree = trees::overlay(cas, &tree, &staged)?;
    }
    Ok(tree)
}

/// What a layer takes away of those below.
#[derive(Debug, Default, PartialEq, Eq)]
struct Removed {
    names: std::collections::HashSet<Vec<u8>>,
    /// With a slash at the end; the root is empty.
    directories: Vec<Vec<u8>>,
}

impl Removed {
    fn takes(&self, name: &[u8]) -> bool {
        self.names.contains(name) || self.directories.iter().any(|directory| name.starts_with(directory))
    }
}

impl Read {
    /// Tells what a layer brings from what it takes away.
    fn sort(members: Members, digests: Pages<Digest>) -> (Read, Removed) {
        let (mut wanted, mut removed) = (HashMap::new(), Removed::default());
        for (at, member) in members.iter().enumerate() {
            let start = member.name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (directory, name) = member.name.split_at(start);
            match name.strip_prefix(b".wh.") {
                Some(b".wh..opq") => removed.directories.push(directory.to_vec()),
                Some(taken) => drop(removed.names.insert([directory, taken].concat())),
                None if member.name.starts_with(b"dev/") || member.kind == Kind::Device => {}
                None => drop(wanted.insert(member.name.to_vec(), at)),
            }
        }
        (Read { members, digests, wanted }, removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts() {
        let names = ["a/.wh.b", "c/.wh..wh..opq", ".wh.d", "e", "dev/null", "e"];
        let mut members = Members::default();
        for name in names {
            let member = Member { name: name.as_bytes(), kind: Kind::Directory, executable: false };
            members.add(member).expect("a member");
        }
        let (read, removed) = Read::sort(members, Pages::default());
        assert_eq!(read.wanted, HashMap::from([(b"e".to_vec(), 5)]));
        for (name, expect) in [
            ("a/b", true),
            ("a/b/c", false),
            ("a", false),
            ("c", false),
            ("c/x/y", true),
            ("d", true),
            ("cc", false),
        ] {
            assert_eq!(removed.takes(name.as_bytes()), expect, "{name}");
        }
    }
}
