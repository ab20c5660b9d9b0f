//! Trees of the store: looked into, put together.

use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest, Directory, DirectoryNode, FileNode};
use std::collections::BTreeMap;

/// How many symbolic links are followed on one path.
const MAX_LINKS: usize = 40;

/// What is put into a tree.
pub(crate) enum Entry {
    File { digest: Digest, executable: bool },
    Directory(Digest),
}

/// The components of a path. `.` and doubled slashes do not count, neither does a slash at the start.
pub(crate) fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// The digest of a node.
pub(crate) fn digest(
    message: Option<&bourn_reapi::digest::DigestMessage>,
    name: &str,
) -> Result<Digest, SourceError> {
    let digest = message.and_then(|message| Digest::try_from(message).ok());
    digest
        .ok_or_else(|| SourceError::new(format!("A directory in the store holds '{name}' without a digest")))
}

/// A directory; the empty one is known without the store, which need not have it.
pub(crate) fn listing(cas: &dyn Cas, at: &Digest) -> Result<std::sync::Arc<Directory>, SourceError> {
    if at.size == 0 { Ok(std::sync::Arc::default()) } else { Ok(cas.directory(at)?) }
}

/// The file at a path, links followed; `None` when there is none.
///
/// # Errors
/// The store.
pub(crate) fn file(cas: &dyn Cas, root: &Digest, path: &str) -> Result<Option<FileNode>, SourceError> {
    let mut todo: Vec<String> = parts(path).rev().map(str::to_owned).collect();
    let mut stack = vec![*root];
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            stack.pop();
            if stack.is_empty() {
                return Ok(None);
            }
            continue;
        }
        let directory = listing(cas, &stack[stack.len() - 1])?;
        if let Some(node) = directory.directories.iter().find(|node| node.name == part) {
            stack.push(digest(node.digest.as_ref(), &part)?);
        } else if let Some(node) = directory.symlinks.iter().find(|node| node.name == part) {
            links += 1;
            if links > MAX_LINKS || node.target.starts_with('/') {
                return Ok(None);
            }
            todo.extend(parts(&node.target).rev().map(str::to_owned));
        } else {
            let node = directory.files.iter().find(|node| node.name == part);
            return Ok(node.filter(|_| todo.is_empty()).cloned());
        }
    }
    Ok(None)
}

/// The content of the file at a path; `None` when there is none.
///
/// # Errors
/// The store.
pub(crate) fn read(cas: &dyn Cas, root: &Digest, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    match file(cas, root, path)? {
        Some(node) => Ok(Some(cas.read(&digest(node.digest.as_ref(), path)?)?)),
        None => Ok(None),
    }
}

/// The directory at a path, links not followed; `None` when there is none.
///
/// # Errors
/// The store.
pub(crate) fn directory(cas: &dyn Cas, root: &Digest, path: &str) -> Result<Option<Digest>, SourceError> {
    let mut at = *root;
    for part in parts(path) {
        let found = listing(cas, &at)?;
        match found.directories.iter().find(|node| node.name == part) {
            Some(node) => at = digest(node.digest.as_ref(), part)?,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The tree with something at a path, in the place of what was there; directories on the way are made.
///
/// # Errors
/// The store; something on the way is no directory.
pub(crate) fn put(cas: &dyn Cas, root: &Digest, path: &str, entry: Entry) -> Result<Digest, SourceError> {
    let parts: Vec<&str> = parts(path).collect();
    if parts.contains(&"..") {
        return Err(SourceError::new(format!("The path '{path}' leads out of the tree")));
    }
    put_at(cas, root, &parts, entry)
}

fn put_at(cas: &dyn Cas, root: &Digest, parts: &[&str], entry: Entry) -> Result<Digest, SourceError> {
    let Some((name, rest)) = parts.split_first() else {
        return match entry {
            Entry::Directory(digest) => Ok(digest),
            Entry::File { .. } => Err(SourceError::new("A file cannot take the place of a whole tree")),
        };
    };
    let mut directory = (*listing(cas, root)?).clone();
    let entry = if rest.is_empty() {
        entry
    } else {
        let below = directory.directories.iter().find(|node| node.name == *name);
        let below = below.map_or(Ok(Digest::empty()), |node| digest(node.digest.as_ref(), name))?;
        Entry::Directory(put_at(cas, &below, rest, entry)?)
    };
    directory.files.retain(|node| node.name != *name);
    directory.directories.retain(|node| node.name != *name);
    directory.symlinks.retain(|node| node.name != *name);
    let name = (*name).to_owned();
    match entry {
        Entry::Directory(digest) => {
            if digest.size == 0 {
                // What a tree names has to be there.
                cas.write_directory(&Directory::default())?;
            }
            directory.directories.push(DirectoryNode { name, digest: Some(digest.into()) });
        }
        Entry::File { digest, executable } => directory.files.push(FileNode {
            name,
            digest: Some(digest.into()),
            is_executable: executable,
            node_properties: None,
        }),
    }
    directory.sort();
    Ok(cas.write_directory(&directory)?)
}

/// Trees laid over each other in their order.
///
/// # Errors
/// The store.
pub(crate) fn overlay_all(cas: &dyn Cas, mut trees: Vec<Digest>) -> Result<Digest, SourceError> {
    // In pairs: one after the other, a large directory would be written for each.
    while trees.len() > 1 {
        let pairs = trees.chunks(2).map(|pair| match pair {
            [base, over] => overlay(cas, base, over),
            rest => Ok(rest.first().copied().unwrap_or_else(Digest::empty)),
        });
        trees = pairs.collect::<Result<_, _>>()?;
    }
    Ok(trees.pop().unwrap_or_else(Digest::empty))
}

/// The tree with another laid over it: directories are merged, everything else is replaced.
///
/// # Errors
/// The store.
pub(crate) fn overlay(cas: &dyn Cas, base: &Digest, over: &Digest) -> Result<Digest, SourceError> {
    if base.size == 0 || base == over {
        return Ok(*over);
    }
    if over.size == 0 {
        return Ok(*base);
    }
    let (below, above) = (cas.directory(base)?, cas.directory(over)?);
    let mut merged = (*below).clone();
    let mut known: BTreeMap<&str, Digest> = BTreeMap::new();
    for node in &below.directories {
        known.insert(&node.name, digest(node.digest.as_ref(), &node.name)?);
    }
    let names = above.files.iter().map(|node| &node.name);
    let names = names.chain(above.directories.iter().map(|node| &node.name));
    let names: Vec<&String> = names.chain(above.symlinks.iter().map(|node| &node.name)).collect();
    let replaced = |name: &String| names.contains(&name);
    merged.files.retain(|node| !replaced(&node.name));
    merged.directories.retain(|node| !replaced(&node.name));
    merged.symlinks.retain(|node| !replaced(&node.name));
    merged.files.extend(above.files.iter().cloned());
    merged.symlinks.extend(above.symlinks.iter().cloned());
    for node in &above.directories {
        let over = digest(node.digest.as_ref(), &node.name)?;
        let digest = match known.get(node.name.as_str()) {
            Some(base) => overlay(cas, base, &over)?,
            None => over,
        };
        merged.directories.push(DirectoryNode { name: node.name.clone(), digest: Some(digest.into()) });
    }
    merged.sort();
    Ok(cas.write_directory(&merged)?)
}

/// A directory with one file.
///
/// # Errors
/// The store.
pub(crate) fn single(
    cas: &dyn Cas,
    name: &str,
    digest: Digest,
    executable: bool,
) -> Result<Digest, SourceError> {
    let file = FileNode {
        name: name.to_owned(),
        digest: Some(digest.into()),
        is_executable: executable,
        node_properties: None,
    };
    Ok(cas.write_directory(&Directory { files: vec![file], ..Directory::default() })?)
}
