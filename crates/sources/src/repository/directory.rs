//! A small `.git`: enough for `git describe` and `git log`, and always the same for the same ref.

use super::fetch::peel;
use super::objects::{TreeEntry, parse_commit, parse_tree};
use super::pack::{Packed, name, pack, working_index};
use super::{Kind, Mirror, Objects, Oid};
use bourn_plan::{FetchContext, SourceError};
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Where `HEAD` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Head {
    /// On a branch `master`.
    Master,
    /// At the commit itself.
    Detached,
}

/// What a `.git` shall hold.
pub(crate) struct GitDirectory {
    pub(crate) commit: Oid,
    pub(crate) head: Head,
    /// Commits, by name.
    pub(crate) commits: BTreeSet<Oid>,
    /// Whether trees and an index are wanted, so that changes can be told.
    pub(crate) trees: bool,
    /// Tags, and the objects that they lead to.
    pub(crate) tags: Vec<(String, Oid)>,
    /// Tag objects.
    pub(crate) tag_objects: Vec<(Oid, Vec<u8>)>,
}

impl GitDirectory {
    /// What the community's kinds stage for a commit: it alone, or all commits since a tag.
    ///
    /// # Errors
    /// The mirror lacks something.
    pub(crate) fn since(
        context: &FetchContext<'_>,
        mirror: &Mirror,
        commit: Oid,
        tag: Option<&str>,
    ) -> Result<GitDirectory, SourceError> {
        let mut directory = GitDirectory {
            commit,
            head: Head::Master,
            commits: BTreeSet::from([commit]),
            trees: true,
            tags: Vec::new(),
            tag_objects: Vec::new(),
        };
        let Some(tag) = tag else { return Ok(directory) };
        let reference = format!("refs/tags/{tag}");
        let target = mirror.reference(&reference).and_then(|oid| Oid::parse(&oid));
        let target = target.ok_or_else(|| {
            SourceError::new(format!("The mirror lacks the tag {tag}")).hint("fetch the source again")
        })?;
        let (base, objects) = peel(mirror, target)?;
        directory.tags.push((tag.to_owned(), target));
        directory.tag_objects = objects;
        if base != commit {
            // The tagged commit itself belongs to it, what is behind it does not.
            let list = mirror.git(context).arg("rev-list").arg(commit.to_string()).arg("--not");
            let list = list
                .arg(format!("{base}^@"))
                .run(|| format!("Failed to get git history {base}..{commit}"))?;
            directory.commits.extend(list.text().lines().filter_map(Oid::parse));
        }
        Ok(directory)
    }

    /// Adds all commits that the commit comes from, and all tags that name one of them.
    ///
    /// # Errors
    /// `git` fails.
    pub(crate) fn add_history(
        &mut self,
        context: &FetchContext<'_>,
        mirror: &Mirror,
    ) -> Result<(), SourceError> {
        let commit = self.commit.to_string();
        let failed = || format!("Failed to get the history of {commit}");
        let list = mirror.git(context).args(["rev-list", &commit]).run(failed)?;
        self.commits.extend(list.text().lines().filter_map(Oid::parse));
        let tags = mirror.git(context).args([
            "for-each-ref",
            "--format=%(refname:strip=2) %(objectname)",
            "--merged",
        ]);
        let tags = tags.args([&commit, "refs/tags"]).run(failed)?;
        for line in tags.text().lines() {
            let Some((tag, oid)) = line.rsplit_once(' ') else { continue };
            let Some(oid) = Oid::parse(oid).filter(|_| !self.tags.iter().any(|(known, _)| known == tag))
            else {
                continue;
            };
            self.tag_objects.extend(peel(mirror, oid)?.1);
            self.tags.push((tag.to_owned(), oid));
        }
        Ok(())
    }

    /// Stores it.
    ///
    /// # Errors
    /// The mirror lacks something, the store.
    pub(crate) fn store(&self, mirror: &Mirror, cas: &dyn Cas) -> Result<Digest, SourceError> {
        let commits: Vec<Oid> = self.commits.iter().copied().collect();
        let contents = Objects::contents(mirror, &commits)?;
        let mut shallow = Vec::new();
        let mut roots = Vec::new();
        let mut objects: Vec<Packed> = Vec::new();
        for (oid, (kind, content)) in commits.into_iter().zip(contents) {
            let parsed = parse_commit(&content).filter(|_| kind == Kind::Commit);
            let (tree, parents) = parsed.ok_or_else(|| SourceError::new(format!("{oid} is no commit")))?;
            if parents.iter().any(|parent| !self.commits.contains(parent)) {
                shallow.push(oid);
            }
            if oid == self.commit {
                roots.insert(0, tree);
            } else {
                roots.push(tree);
            }
            objects.push(Packed { oid, kind, content });
        }
        let tags = self.tag_objects.iter();
        objects.extend(tags.map(|(oid, content)| Packed {
            oid: *oid,
            kind: Kind::Tag,
            content: content.clone(),
        }));
        let mut files = Files::default();
        if self.trees {
            let trees = read_trees(mirror, &roots)?;
            files.add("index", working_index(&list(&trees, roots[0])?));
            objects.extend(trees.into_packed(mirror)?);
        }
        let (pack, index) = pack(objects);
        let sum = hex(&pack[pack.len() - 20..]);
        files.add(&format!("objects/pack/pack-{sum}.pack"), pack);
        files.add(&format!("objects/pack/pack-{sum}.idx"), index);
        self.add_texts(&mut files, &shallow);
        files.store(cas)
    }

    fn add_texts(&self, files: &mut Files, shallow: &[Oid]) {
        let line = |oid: &Oid| format!("{oid}\n");
        match self.head {
            Head::Master => {
                files.add("HEAD", "ref: refs/heads/master\n");
                files.add("refs/heads/master", line(&self.commit));
            }
            Head::Detached => {
                files.add("HEAD", line(&self.commit));
                files.directories.push("refs/heads".to_owned());
            }
        }
        files.add(
            "config",
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n",
        );
        files.add("description", "Unnamed repository");
        files.add("info/exclude", "");
        files.directories.extend(["branches", "hooks", "objects/info", "refs/tags"].map(str::to_owned));
        if !shallow.is_empty() {
            files.add("shallow", shallow.iter().map(line).collect::<String>());
        }
        for (tag, oid) in &self.tags {
            files.add(&format!("refs/tags/{tag}"), line(oid));
        }
    }
}

/// A tag object of ours that says no more than that a commit has a tag.
pub(crate) fn tag_object(tag: &str, commit: &str, tagger: &str) -> (Oid, Vec<u8>) {
    let content = format!("object {commit}\ntype commit\ntag {tag}\n{tagger}").into_bytes();
    (name(Kind::Tag, &content), content)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Trees, read.
struct Trees(HashMap<Oid, (Vec<u8>, Vec<TreeEntry>)>);

fn read_trees(mirror: &Mirror, roots: &[Oid]) -> Result<Trees, SourceError> {
    let mut trees: HashMap<Oid, (Vec<u8>, Vec<TreeEntry>)> = HashMap::new();
    let mut level: Vec<Oid> = roots.to_vec();
    while !level.is_empty() {
        level.sort_unstable();
        level.dedup();
        level.retain(|oid| !trees.contains_key(oid));
        if level.is_empty() {
            break;
        }
        let contents = Objects::contents(mirror, &level)?;
        let mut next = Vec::new();
        for (oid, (_, content)) in level.into_iter().zip(contents) {
            let entries = parse_tree(&content)
                .ok_or_else(|| SourceError::new(format!("The tree {oid} is malformed")))?;
            next.extend(entries.iter().filter(|entry| entry.is_tree()).map(|entry| entry.oid));
            trees.insert(oid, (content, entries));
        }
        level = next;
    }
    Ok(Trees(trees))
}

impl Trees {
    /// The trees themselves, and what symbolic links in them hold.
    fn into_packed(self, mirror: &Mirror) -> Result<Vec<Packed>, SourceError> {
        let links: HashSet<Oid> = self
            .0
            .values()
            .flat_map(|(_, entries)| entries)
            .filter(|entry| entry.is_symlink())
            .map(|e| e.oid)
            .collect();
        let links: Vec<Oid> = links.into_iter().collect();
        let mut packed = Vec::with_capacity(self.0.len() + links.len());
        if !links.is_empty() {
            let contents = Objects::contents(mirror, &links)?;
            packed.extend(links.into_iter().zip(contents).map(|(oid, (kind, content))| Packed {
                oid,
                kind,
                content,
            }));
        }
        packed.extend(self.0.into_iter().map(|(oid, (content, _))| Packed {
            oid,
            kind: Kind::Tree,
            content,
        }));
        Ok(packed)
    }
}

/// All files of a tree, by path.
fn list(trees: &Trees, root: Oid) -> Result<Vec<(Vec<u8>, u32, Oid)>, SourceError> {
    let mut found = Vec::new();
    let mut todo = vec![(Vec::new(), root)];
    while let Some((path, oid)) = todo.pop() {
        let (_, entries) =
            trees.0.get(&oid).ok_or_else(|| SourceError::new(format!("The mirror lacks tree {oid}")))?;
        for entry in entries {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            let path = [path.as_slice(), slash, &entry.name].concat();
            if path.len() > 1 << 16 {
                return Err(SourceError::new(format!("The tree {root} is too deep")));
            }
            if entry.is_tree() {
                todo.push((path, entry.oid));
                continue;
            }
            // Of the bits of a file, git's index keeps whether it may be executed.
            let mode = match entry.mode & 0o170_000 {
                0o100_000 if entry.is_executable() => 0o100_755,
                0o100_000 => 0o100_644,
                mode => mode,
            };
            found.push((path, mode, entry.oid));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Files of a directory to be stored, by path.
#[derive(Default)]
pub(crate) struct Files {
    files: Vec<(String, Vec<u8>)>,
    /// Directories that are there even when empty.
    pub(crate) directories: Vec<String>,
}

/// A directory being made.
#[derive(Default)]
struct Making {
    files: Vec<FileNode>,
    below: std::collections::BTreeMap<String, Making>,
}

impl Making {
    fn at(&mut self, path: &str) -> &mut Making {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(self, |making, part| making.below.entry(part.to_owned()).or_default())
    }

    fn store(mut self, cas: &dyn Cas) -> Result<Digest, SourceError> {
        let mut directory = Directory::default();
        for (name, below) in self.below {
            directory.directories.push(DirectoryNode { name, digest: Some(below.store(cas)?.into()) });
        }
        directory.files = std::mem::take(&mut self.files);
        directory.sort();
        Ok(cas.write_directory(&directory)?)
    }
}

impl Files {
    pub(crate) fn add(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.push((path.to_owned(), content.into()));
    }

    /// Stores the directory.
    ///
    /// # Errors
    /// The store.
    pub(crate) fn store(self, cas: &dyn Cas) -> Result<Digest, SourceError> {
        let (paths, contents): (Vec<String>, Vec<Vec<u8>>) = self.files.into_iter().unzip();
        let digests = cas.write_many(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut top = Making::default();
        for (path, digest) in paths.iter().zip(digests) {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            let digest = Some(digest.into());
            let file =
                FileNode { name: name.to_owned(), digest, is_executable: false, node_properties: None };
            top.at(directory).files.push(file);
        }
        for path in &self.directories {
            top.at(path);
        }
        top.store(cas)
    }
}
