//! One byte form per message, so that equal trees have equal digests.
//!
//! The Remote Execution API asks for fields in order of their tag, no unknown fields, and lists sorted by name;
//! `prost` encodes by tag, so sorting the lists is all that is left to do.

use crate::digest::InvalidDigest;
use crate::{Digest, Directory};
use prost::Message;

/// Bytes that should have been a [`Directory`] and are not.
#[derive(Debug, thiserror::Error)]
pub enum MalformedDirectory {
    /// The message cannot be read.
    #[error(transparent)]
    Message(prost::DecodeError),
    /// A name is empty, `.`, `..`, or has a slash or a zero byte in it.
    #[error("it has an entry named `{0}`")]
    Name(String),
    /// Two entries have the same name.
    #[error("it has two entries named `{0}`")]
    Twice(String),
    /// A file or directory lacks its digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Directory {
    /// Sorts every list by name, as the digest of a directory demands.
    pub fn sort(&mut self) {
        self.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.directories.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.symlinks.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }

    /// Reads a directory and makes sure that it can be one: every name is a single component, none occurs twice,
    /// every file and directory has a digest. So nothing that walks the result can be led out of its tree.
    pub fn decode_checked(bytes: &[u8]) -> Result<Directory, MalformedDirectory> {
        let mut directory = Directory::decode(bytes).map_err(MalformedDirectory::Message)?;
        if !directory.is_sorted() {
            directory.sort();
        }
        directory.check()?;
        Ok(directory)
    }

    fn is_sorted(&self) -> bool {
        self.files.is_sorted_by(|a, b| a.name <= b.name)
            && self.directories.is_sorted_by(|a, b| a.name <= b.name)
            && self.symlinks.is_sorted_by(|a, b| a.name <= b.name)
    }

    fn check(&self) -> Result<(), MalformedDirectory> {
        let files = self.files.iter().map(|node| node.name.as_str());
        let directories = self.directories.iter().map(|node| node.name.as_str());
        let symlinks = self.symlinks.iter().map(|node| node.name.as_str());
        for name in files.clone().chain(directories.clone()).chain(symlinks.clone()) {
            if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
                return Err(MalformedDirectory::Name(name.to_owned()));
            }
        }
        // All three lists are sorted, so equal names meet when they are merged.
        let doubled =
            merged(merged(files, directories), symlinks).try_fold("", |last, name| match last == name {
                true => Err(MalformedDirectory::Twice(name.to_owned())),
                false => Ok(name),
            });
        doubled?;
        self.files.iter().try_for_each(|file| file.content().map(drop))?;
        Ok(self.directories.iter().try_for_each(|directory| directory.content().map(drop))?)
    }

    /// The serialized form and its digest. The lists must be sorted already.
    pub fn encode_canonical(&self) -> (Vec<u8>, Digest) {
        let bytes = self.encode_to_vec();
        let digest = Digest::of(&bytes);
        (bytes, digest)
    }
}

/// Two sorted lists as one.
fn merged<'a>(
    a: impl Iterator<Item = &'a str>,
    b: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(first), Some(second)) if first <= second => a.next(),
        (_, Some(_)) => b.next(),
        (_, None) => a.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DirectoryNode, FileNode, SymlinkNode};

    fn file(name: &str) -> FileNode {
        FileNode { name: name.into(), digest: Some(Digest::of(b"x").into()), ..FileNode::default() }
    }

    fn link(name: &str) -> SymlinkNode {
        SymlinkNode { name: name.into(), target: "t".into(), node_properties: None }
    }

    fn check(directory: Directory, expect: Result<&[&str], &str>) {
        match Directory::decode_checked(&directory.encode_to_vec()) {
            Ok(read) => {
                let names: Vec<&str> = read.files.iter().map(|file| file.name.as_str()).collect();
                assert_eq!(Ok(names.as_slice()), expect);
            }
            Err(error) => assert_eq!(Err(error.to_string().as_str()), expect),
        }
    }

    #[test]
    fn only_what_can_be_a_directory_is_read() {
        let of = |files: &[&str]| Directory {
            files: files.iter().map(|name| file(name)).collect(),
            ..Default::default()
        };
        check(of(&["a", "b"]), Ok(&["a", "b"]));
        check(of(&["b", "a"]), Ok(&["a", "b"]));
        check(of(&["a", "a"]), Err("it has two entries named `a`"));
        check(of(&[".."]), Err("it has an entry named `..`"));
        check(of(&["a/b"]), Err("it has an entry named `a/b`"));
        check(of(&[""]), Err("it has an entry named ``"));
        check(
            Directory { symlinks: vec![link("b")], ..of(&["a", "b", "c"]) },
            Err("it has two entries named `b`"),
        );
        let child = DirectoryNode { name: "c".into(), digest: None };
        check(
            Directory { directories: vec![child], ..of(&[]) },
            Err("`nothing, for `c`` is not a digest (64 hexadecimal digits, a slash, a size)"),
        );
    }
}
