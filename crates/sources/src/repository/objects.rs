//! Reading objects, through `git cat-file --batch` or without.

use super::Mirror;
use super::reader::Reader;
use bourn_plan::SourceError;
use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// The name of an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid(pub(crate) [u8; 20]);

impl Oid {
    /// Reads 40 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Oid> {
        if text.len() != 40 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Oid(bytes))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is; the numbers are those of packs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
}

/// An object's kind and size; its content comes next.
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
}

/// So many objects, of so many bytes together, are read sooner than `git` starts.
const FEW: usize = 400;
const FEW_BYTES: usize = 16 << 20;

/// A running `git cat-file`.
pub(crate) struct Objects {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Objects {
    /// Starts it on a mirror. Nothing is ever fetched to answer.
    pub(crate) fn open(mirror: &Mirror) -> Result<Objects, SourceError> {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(&mirror.path).args(["cat-file", "--batch", "--buffer"]);
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_NO_REPLACE_OBJECTS", "1").env("LC_ALL", "C.UTF-8");
        command.env_remove("GIT_DIR").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| crate::host::not_run("git", &error))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| SourceError::new("git gives no output"))?;
        Ok(Objects { child, input, output: BufReader::with_capacity(1 << 17, output) })
    }

    /// Reads a few small objects without a process, in the order given. `None` when they are not few or not small, or
    /// when something is wrong with them.
    pub(crate) fn few(mirror: &Mirror, oids: &[Oid]) -> Option<Vec<(Kind, Vec<u8>)>> {
        if oids.len() > FEW {
            return None;
        }
        let (reader, mut left) = (Reader::open(mirror)?, FEW_BYTES);
        let read = |oid: &Oid| {
            let (kind, content) = reader.read(*oid)?;
            left = left.checked_sub(content.len())?;
            Some((kind, content))
        };
        oids.iter().map(read).collect()
    }

    /// Reads objects in the order given; `take` is told of each and reads its content.
    ///
    /// # Errors
    /// An object that is not there; those of `take`.
    pub(crate) fn read<E: From<SourceError>>(
        mut self,
        oids: &[Oid],
        mut take: impl FnMut(usize, &Head, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(mut input) = self.input.take() else { return Ok(()) };
        std::thread::scope(|scope| {
            // Asking and listening at once, or both would wait for each other.
            scope.spawn(move || {
                let mut lines = String::with_capacity(41 * 1024);
                for chunk in oids.chunks(1024) {
                    lines.clear();
                    chunk.iter().for_each(|oid| lines.extend([oid.to_string(), "\n".to_owned()]));
                    if input.write_all(lines.as_bytes()).is_err() {
                        return;
                    }
                }
            });
            let read = self.answers(oids, &mut take);
            if read.is_err() {
                // The other thread may be stuck writing to a pipe that nobody reads.
                let _ = self.child.kill();
            }
            read
        })
    }

    fn answers<E: From<SourceError>>(
        &mut self,
        oids: &[Oid],
        take: &mut impl FnMut(usize, &Head, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let ended = |oid: &Oid| SourceError::new(format!("git ended before it gave object {oid}"));
        for (at, oid) in oids.iter().enumerate() {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap_or(0);
            if read == 0 {
                return Err(ended(oid).into());
            }
            let head = parse_head(line.trim_end(), oid)?;
            let mut content = (&mut self.output).take(head.size);
            take(at, &head, &mut content)?;
            let left = std::io::copy(&mut content, &mut std::io::sink());
            let mut newline = [0];
            if left.is_err() || self.output.read_exact(&mut newline).is_err() {
                return Err(ended(oid).into());
            }
        }
        Ok(())
    }

    /// Reads small objects whole, in the order given.
    ///
    /// # Errors
    /// An object that is not there.
    pub(crate) fn contents(mirror: &Mirror, oids: &[Oid]) -> Result<Vec<(Kind, Vec<u8>)>, SourceError> {
        if let Some(contents) = Objects::few(mirror, oids) {
            return Ok(contents);
        }
        let mut contents = Vec::with_capacity(oids.len());
        Objects::open(mirror)?.read(oids, |_, head, from| {
            let mut content = Vec::with_capacity(usize::try_from(head.size).unwrap_or(0));
            from.read_to_end(&mut content).map_err(|error| SourceError::new(format!("git: {error}")))?;
            contents.push((head.kind, content));
            Ok::<(), SourceError>(())
        })?;
        Ok(contents)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse_head(line: &str, oid: &Oid) -> Result<Head, SourceError> {
    let mut words = line.split(' ').skip(1);
    let kind = match words.next() {
        Some("commit") => Kind::Commit,
        Some("tree") => Kind::Tree,
        Some("blob") => Kind::Blob,
        Some("tag") => Kind::Tag,
        _ => {
            return Err(
                SourceError::new(format!("The mirror lacks object {oid}")).hint("fetch the source again")
            );
        }
    };
    let size = words.next().and_then(|size| size.parse().ok());
    let size =
        size.ok_or_else(|| SourceError::new(format!("git said an odd thing of object {oid}: {line}")))?;
    Ok(Head { kind, size })
}

/// Commits that are known to have no submodules: that never changes, and many elements ask.
static WITHOUT_SUBMODULES: LazyLock<Mutex<HashSet<Oid>>> = LazyLock::new(Mutex::default);

/// Whether a commit is known to have no submodules; it may have none without that being known.
pub(crate) fn has_no_submodules(mirror: &Mirror, commit: &str) -> bool {
    let Some(commit) = Oid::parse(commit) else { return false };
    let known = || WITHOUT_SUBMODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if known().contains(&commit) {
        return true;
    }
    let none = tops(mirror, commit).is_some_and(|tops| tops.iter().all(|top| top.name != b".gitmodules"));
    if none {
        known().insert(commit);
    }
    none
}

/// What stands at the top of the tree of a commit, as far as that can be told quickly.
fn tops(mirror: &Mirror, commit: Oid) -> Option<Vec<TreeEntry>> {
    let read = |oid: Oid| Objects::few(mirror, &[oid])?.pop();
    let (Kind::Commit, commit) = read(commit)? else { return None };
    let (Kind::Tree, tree) = read(parse_commit(&commit)?.0)? else { return None };
    parse_tree(&tree)
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    pub(crate) mode: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) oid: Oid,
}

impl TreeEntry {
    pub(crate) fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    /// Whether it is a submodule.
    pub(crate) fn is_commit(&self) -> bool {
        self.mode & 0o170_000 == 0o160_000
    }

    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// Reads the content of a tree. `None` when it is malformed.
pub(crate) fn parse_tree(content: &[u8]) -> Option<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let mode = u32::from_str_radix(std::str::from_utf8(&rest[..space]).ok()?, 8).ok()?;
        let zero = space + rest[space..].iter().position(|byte| *byte == 0)?;
        let name = rest[space + 1..zero].to_vec();
        let oid = Oid(rest.get(zero + 1..zero + 21)?.try_into().ok()?);
        entries.push(TreeEntry { mode, name, oid });
        rest = &rest[zero + 21..];
    }
    Some(entries)
}

/// What a commit says of its tree and parents. `None` when it is malformed.
pub(crate) fn parse_commit(content: &[u8]) -> Option<(Oid, Vec<Oid>)> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let named =
        |line: &[u8], name: &str| Oid::parse(std::str::from_utf8(line.strip_prefix(name.as_bytes())?).ok()?);
    let tree = named(lines.next()?, "tree ")?;
    Some((tree, lines.map_while(|line| named(line, "parent ")).collect()))
}

/// The object that a tag is of. `None` when it is malformed.
pub(crate) fn parse_tag(content: &[u8]) -> Option<Oid> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    Oid::parse(std::str::from_utf8(line.strip_prefix(b"object ")?).ok()?)
}
