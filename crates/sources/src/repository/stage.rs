//! Staging the tree of a commit: straight from the mirror into the store.

use super::mirror::git;
use super::objects::{Kind, TreeEntry, parse_commit, parse_tree};
use super::{Mirror, Objects, Oid};
use crate::archive::ArchiveError;
use crate::archive::blobs::Blobs;
use crate::archive::pages::Pages;
use crate::scratch::workspace;
use bourn_plan::{FetchContext, SourceError, several};
use bourn_reapi::services::ImportOptions;
use bourn_reapi::{Digest, Directory, DirectoryNode, FileNode, SymlinkNode};
use std::collections::{HashMap, HashSet};

/// What attributes of files do to their content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conversion {
    /// Ends of lines, as dulwich does it.
    Lines,
    /// All that `git checkout` does, filters that the user configured included.
    Checkout,
    /// The same, git-lfs excepted: its files are staged as they stand in the repository.
    CheckoutWithoutLfs,
}

/// Staging by more processes than this gains nothing.
const MOST_READERS: usize = 8;
/// Fewer blobs than this are not worth another process.
const FEW_BLOBS: usize = 400;

/// The trees of a commit, read.
struct Trees {
    root: Oid,
    trees: HashMap<Oid, Vec<TreeEntry>>,
}

/// Stages the tree of a commit.
///
/// # Errors
/// Objects that are missing or malformed, the store.
pub(crate) fn stage(
    context: &FetchContext<'_>,
    kind: &str,
    mirror: &Mirror,
    commit: Oid,
    conversion: Conversion,
) -> Result<Digest, SourceError> {
    let trees = Trees::of(mirror, commit)?;
    if trees.needs(mirror, conversion)? {
        return check_out(context, kind, mirror, commit, conversion);
    }
    let contents = trees.store_blobs(context, mirror)?;
    let links = trees.links(mirror)?;
    let mut composed =
        Composed { trees: &trees, contents, links, known: HashMap::new(), encoded: Vec::new() };
    let digest = composed.directory(trees.root, 0)?;
    let encoded: Vec<&[u8]> = composed.encoded.iter().map(Vec::as_slice).collect();
    context.cas.write_many(&encoded)?;
    Ok(digest)
}

fn malformed(what: &str, oid: Oid) -> SourceError {
    SourceError::new(format!("The {what} {oid} is malformed"))
}

impl Trees {
    fn of(mirror: &Mirror, commit: Oid) -> Result<Trees, SourceError> {
        let root = tree_of(mirror, commit)?;
        let mut trees = HashMap::new();
        let mut level = vec![root];
        while !level.is_empty() {
            let contents = Objects::contents(mirror, &level)?;
            let mut next = Vec::new();
            let mut seen: HashSet<Oid> = HashSet::new();
            for (oid, (_, content)) in level.iter().zip(contents) {
                let entries = parse_tree(&content).ok_or_else(|| malformed("tree", *oid))?;
                let below = entries.iter().filter(|entry| entry.is_tree()).map(|entry| entry.oid);
                next.extend(below.filter(|oid| seen.insert(*oid)));
                trees.insert(*oid, entries);
            }
            next.retain(|oid| !trees.contains_key(oid));
            level = next;
        }
        Ok(Trees { root, trees })
    }

    fn entries(&self) -> impl Iterator<Item = &TreeEntry> {
        self.trees.values().flatten()
    }

    /// Whether content is changed on its way out.
    fn needs(&self, mirror: &Mirror, conversion: Conversion) -> Result<bool, SourceError> {
        let attributes = self.entries().filter(|entry| entry.name == b".gitattributes" && !entry.is_tree());
        let attributes: HashSet<Oid> = attributes.map(|entry| entry.oid).collect();
        if attributes.is_empty() {
            return Ok(false);
        }
        let words: &[&str] = match conversion {
            Conversion::Lines => &["eol="],
            Conversion::Checkout => &["eol=", "crlf", "ident", "working-tree-encoding", "filter="],
            Conversion::CheckoutWithoutLfs => &["eol=", "crlf", "ident", "working-tree-encoding", "filter="],
        };
        let attributes: Vec<Oid> = attributes.into_iter().collect();
        let texts = Objects::contents(mirror, &attributes)?;
        Ok(texts.iter().any(|(_, text)| {
            let text = String::from_utf8_lossy(text);
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            let mut attributes = lines.flat_map(|line| line.split_whitespace().skip(1));
            attributes.any(|attribute| {
                let harmless =
                    attribute == "eol=lf" || attribute.starts_with('-') || attribute.starts_with('!');
                let lfs = conversion == Conversion::CheckoutWithoutLfs && attribute == "filter=lfs";
                !harmless && !lfs && words.iter().any(|word| attribute.starts_with(word))
            })
        }))
    }

    /// Stores the content of all files, in parallel. Digests by object.
    fn store_blobs(
        &self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
    ) -> Result<HashMap<Oid, Digest>, SourceError> {
        let files =
            self.entries().filter(|entry| !entry.is_tree() && !entry.is_symlink() && !entry.is_commit());
        let files: HashSet<Oid> = files.map(|entry| entry.oid).collect();
        let mut files: Vec<Oid> = files.into_iter().collect();
        files.sort_unstable();
        let readers =
            (files.len() / FEW_BLOBS + 1).min(MOST_READERS).min(rayon::current_num_threads().max(1));
        let shares: Vec<&[Oid]> = files.chunks(files.len().div_ceil(readers).max(1)).collect();
        // Few are one share, which is stored sooner than other threads wake up.
        let stored = several(readers, &shares, |share| store_share(context, mirror, share))?;
        Ok(shares.into_iter().flatten().copied().zip(stored.into_iter().flatten()).collect())
    }

    /// Where symbolic links lead.
    fn links(&self, mirror: &Mirror) -> Result<HashMap<Oid, String>, SourceError> {
        let oids: HashSet<Oid> =
            self.entries().filter(|entry| entry.is_symlink()).map(|entry| entry.oid).collect();
        if oids.is_empty() {
            return Ok(HashMap::new());
        }
        let oids: Vec<Oid> = oids.into_iter().collect();
        let contents = Objects::contents(mirror, &oids)?;
        let text = |(oid, (_, content)): (Oid, (Kind, Vec<u8>))| {
            let target = String::from_utf8(content).map_err(|_| not_utf8(&oid.to_string()))?;
            Ok((oid, target))
        };
        oids.into_iter().zip(contents).map(text).collect()
    }
}

fn not_utf8(name: &str) -> SourceError {
    SourceError::new(format!("The name or target of {name} is not valid UTF-8"))
}

/// The tree of a commit.
fn tree_of(mirror: &Mirror, commit: Oid) -> Result<Oid, SourceError> {
    let mut contents = Objects::contents(mirror, &[commit])?;
    match contents.pop() {
        Some((Kind::Commit, content)) => {
            Ok(parse_commit(&content).ok_or_else(|| malformed("commit", commit))?.0)
        }
        _ => Err(SourceError::new(format!("{commit} is no commit"))),
    }
}

fn store_share(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    oids: &[Oid],
) -> Result<Vec<Digest>, SourceError> {
    if let Some(contents) = Objects::few(mirror, oids) {
        let contents: Vec<&[u8]> = contents.iter().map(|(_, content)| content.as_slice()).collect();
        return Ok(context.cas.write_many(&contents)?);
    }
    let stored = std::thread::scope(|scope| {
        let mut blobs = Blobs::start(scope, context.cas);
        Objects::open(mirror)?.read(oids, |_, head, from| {
            if context.cancel.is_cancelled() {
                return Err(Failed::Source(SourceError::new("Interrupted")));
            }
            blobs.take(from, head.size).map(drop).map_err(Failed::Archive)
        })?;
        blobs.finish().map(Pages::into_vec).map_err(Failed::Archive)
    });
    stored.map_err(|failed| match failed {
        Failed::Source(error) => error,
        Failed::Archive(ArchiveError::Store(error)) => error.into(),
        Failed::Archive(error) => SourceError::new(error.to_string()),
    })
}

enum Failed {
    Source(SourceError),
    Archive(ArchiveError),
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Failed {
        Failed::Source(error)
    }
}

/// Directories being made of trees.
struct Composed<'a> {
    trees: &'a Trees,
    contents: HashMap<Oid, Digest>,
    links: HashMap<Oid, String>,
    known: HashMap<Oid, Digest>,
    encoded: Vec<Vec<u8>>,
}

/// No path can be longer than this many directories.
const DEEPEST: usize = 4096;

impl Composed<'_> {
    fn directory(&mut self, oid: Oid, depth: usize) -> Result<Digest, SourceError> {
        if let Some(digest) = self.known.get(&oid) {
            return Ok(*digest);
        }
        if depth > DEEPEST {
            return Err(malformed("tree", oid));
        }
        let mut directory = Directory::default();
        for entry in self.trees.trees.get(&oid).into_iter().flatten() {
            self.add(&mut directory, oid, entry, depth)?;
        }
        directory.sort();
        check_unique(&directory, oid)?;
        let (bytes, digest) = directory.encode_canonical();
        self.encoded.push(bytes);
        self.known.insert(oid, digest);
        Ok(digest)
    }

    fn add(
        &mut self,
        directory: &mut Directory,
        tree: Oid,
        entry: &TreeEntry,
        depth: usize,
    ) -> Result<(), SourceError> {
        let name =
            std::str::from_utf8(&entry.name).map_err(|_| not_utf8(&String::from_utf8_lossy(&entry.name)))?;
        if matches!(name, "" | "." | "..") || name.contains('/') || name.eq_ignore_ascii_case(".git") {
            return Err(SourceError::new(format!(
                "The tree {tree} has an entry called '{}'",
                name.escape_debug()
            )));
        }
        let name = name.to_owned();
        if entry.is_tree() {
            let digest = Some(self.directory(entry.oid, depth + 1)?.into());
            directory.directories.push(DirectoryNode { name, digest });
        } else if entry.is_commit() {
            // The place of a submodule.
            directory.directories.push(DirectoryNode { name, digest: Some(Digest::empty().into()) });
            self.encoded.push(Vec::new());
        } else if entry.is_symlink() {
            let target = self.links.get(&entry.oid).cloned().ok_or_else(|| malformed("tree", tree))?;
            directory.symlinks.push(SymlinkNode { name, target, node_properties: None });
        } else {
            let digest = self.contents.get(&entry.oid).copied().ok_or_else(|| malformed("tree", tree))?;
            let is_executable = entry.is_executable();
            directory.files.push(FileNode {
                name,
                digest: Some(digest.into()),
                is_executable,
                node_properties: None,
            });
        }
        Ok(())
    }
}

fn check_unique(directory: &Directory, oid: Oid) -> Result<(), SourceError> {
    let files = directory.files.iter().map(|node| &node.name);
    let directories = directory.directories.iter().map(|node| &node.name);
    let links = directory.symlinks.iter().map(|node| &node.name);
    let mut seen = HashSet::new();
    if files.chain(directories).chain(links).all(|name| seen.insert(name)) {
        Ok(())
    } else {
        Err(malformed("tree", oid))
    }
}

/// Lets `git` write the files, attributes and filters applied.
fn check_out(
    context: &FetchContext<'_>,
    kind: &str,
    mirror: &Mirror,
    commit: Oid,
    conversion: Conversion,
) -> Result<Digest, SourceError> {
    let scratch = workspace(context, kind)?;
    let tree = scratch.path().join("tree");
    std::fs::create_dir(&tree).map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", &tree))?;
    let mut checkout = git(context).args(["-c", "core.bare=false", "-c", "core.autocrlf=false"]);
    if conversion != Conversion::Checkout {
        checkout = checkout.args([
            "-c",
            "filter.lfs.smudge=",
            "-c",
            "filter.lfs.process=",
            "-c",
            "filter.lfs.required=false",
        ]);
        checkout = checkout.env("GIT_LFS_SKIP_SMUDGE", "1");
    }
    let checkout = checkout.arg("--git-dir").arg(&mirror.path).arg("--work-tree").arg(&tree);
    let checkout = checkout.env("GIT_INDEX_FILE", scratch.path().join("index"));
    let checkout = checkout.args(["read-tree", "-u", "--reset"]).arg(commit.to_string());
    checkout.run(|| format!("Failed to checkout git ref {commit}"))?;
    let options = ImportOptions { consume: true, ..ImportOptions::default() };
    Ok(context.cas.import_tree(&tree, &options)?)
}
