//! Reading objects without `git`: a few small ones are read sooner than a process starts.
//!
//! Formats are those of `gitformat-pack(5)` and `gitformat-loose`. Whatever is not understood, or is large, is left to
//! `git cat-file`, which then says what is wrong with it.

use super::index::PackIndex;
use super::{Kind, Mirror, Oid, pack};
use flate2::bufread::ZlibDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Objects above this many bytes are left to `git`.
const LARGE: u64 = 1 << 20;
/// Deltas on deltas are followed so far; `git` makes no more than 50 unless it is told to.
const DEEPEST: usize = 4096;

/// The objects of a mirror.
pub(super) struct Reader {
    objects: PathBuf,
    packs: Vec<(PackIndex, File)>,
}

/// An object in a pack: whole, or as a delta to another one.
enum Entry {
    Whole(Kind, Vec<u8>),
    At(u64, Vec<u8>),
    Of(Oid, Vec<u8>),
}

impl Reader {
    /// Opens the packs of a mirror. `None` when its objects are elsewhere, too.
    pub(super) fn open(mirror: &Mirror) -> Option<Reader> {
        let objects = mirror.path.join("objects");
        if objects.join("info/alternates").exists() {
            return None;
        }
        let mut packs = Vec::new();
        for entry in objects.join("pack").read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                packs.push((PackIndex::open(&path).ok()?, File::open(path.with_extension("pack")).ok()?));
            }
        }
        Some(Reader { objects, packs })
    }

    /// An object, if it is here, small and whole.
    pub(super) fn read(&self, oid: Oid) -> Option<(Kind, Vec<u8>)> {
        let (kind, content) = self.find(oid, 0)?;
        (pack::name(kind, &content) == oid).then_some((kind, content))
    }

    fn find(&self, oid: Oid, depth: usize) -> Option<(Kind, Vec<u8>)> {
        if let Some(found) = self.loose(oid) {
            return Some(found);
        }
        let mut packs = self.packs.iter();
        packs.find_map(|(index, pack)| self.packed(pack, index.offset(&oid).ok()??, depth))
    }

    fn loose(&self, oid: Oid) -> Option<(Kind, Vec<u8>)> {
        let name = oid.to_string();
        let file = File::open(self.objects.join(&name[..2]).join(&name[2..])).ok()?;
        let mut content = BufReader::new(ZlibDecoder::new(BufReader::new(file)));
        let mut head = Vec::new();
        (&mut content).take(32).read_until(0, &mut head).ok()?;
        let (kind, size) = std::str::from_utf8(head.strip_suffix(&[0])?).ok()?.split_once(' ')?;
        let kind = match kind {
            "commit" => Kind::Commit,
            "tree" => Kind::Tree,
            "blob" => Kind::Blob,
            "tag" => Kind::Tag,
            _ => return None,
        };
        Some((kind, exactly(&mut content, size.parse().ok()?)?))
    }

    /// The object at an offset, the deltas that it is made by applied.
    fn packed(&self, pack: &File, offset: u64, depth: usize) -> Option<(Kind, Vec<u8>)> {
        let (mut at, mut deltas) = (offset, Vec::new());
        let (kind, mut content) = loop {
            if depth + deltas.len() > DEEPEST {
                return None;
            }
            match entry(pack, at)? {
                Entry::Whole(kind, content) => break (kind, content),
                Entry::At(base, delta) => {
                    deltas.push(delta);
                    at = base;
                }
                Entry::Of(base, delta) => {
                    deltas.push(delta);
                    break self.find(base, depth + deltas.len())?;
                }
            }
        };
        for delta in deltas.iter().rev() {
            content = applied(&content, delta)?;
        }
        Some((kind, content))
    }
}

/// So many bytes and no more, if that is not too many.
fn exactly(from: &mut impl Read, size: u64) -> Option<Vec<u8>> {
    if size > LARGE {
        return None;
    }
    let mut content = Vec::with_capacity(usize::try_from(size).ok()?);
    from.take(size + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 == size).then_some(content)
}

/// What stands in a pack at an offset.
fn entry(pack: &File, offset: u64) -> Option<Entry> {
    let mut from = BufReader::with_capacity(1 << 13, At { file: pack, at: offset });
    let mut byte = || -> Option<u8> {
        let mut one = [0];
        from.read_exact(&mut one).ok()?;
        Some(one[0])
    };
    let mut first = byte()?;
    let kind = first >> 4 & 7;
    let (mut size, mut shift) = (u64::from(first & 15), 4);
    while first & 0x80 != 0 {
        first = byte()?;
        size |= u64::from(first & 0x7f).checked_shl(shift)?;
        shift += 7;
    }
    let base = match kind {
        6 => {
            let mut next = byte()?;
            let mut back = u64::from(next & 0x7f);
            while next & 0x80 != 0 {
                next = byte()?;
                back = back.checked_add(1)?.checked_mul(128)? | u64::from(next & 0x7f);
            }
            Some(offset.checked_sub(back).filter(|_| back > 0)?)
        }
        _ => None,
    };
    let mut of = [0; 20];
    if kind == 7 {
        from.read_exact(&mut of).ok()?;
    }
    let content = exactly(&mut ZlibDecoder::new(from), size)?;
    Some(match kind {
        1 => Entry::Whole(Kind::Commit, content),
        2 => Entry::Whole(Kind::Tree, content),
        3 => Entry::Whole(Kind::Blob, content),
        4 => Entry::Whole(Kind::Tag, content),
        6 => Entry::At(base?, content),
        7 => Entry::Of(Oid(of), content),
        _ => return None,
    })
}

/// What a delta makes of its base.
fn applied(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    let mut byte = || {
        at += 1;
        delta.get(at - 1).copied()
    };
    let mut size = || -> Option<u64> {
        let (mut size, mut shift) = (0, 0);
        loop {
            let next = byte()?;
            size |= u64::from(next & 0x7f).checked_shl(shift)?;
            shift += 7;
            if next & 0x80 == 0 {
                return Some(size);
            }
        }
    };
    let (before, after) = (size()?, size()?);
    if before != base.len() as u64 || after > LARGE {
        return None;
    }
    let mut made = Vec::with_capacity(usize::try_from(after).ok()?);
    while at < delta.len() {
        let code = delta[at];
        at += 1;
        if code & 0x80 == 0 {
            let new = delta.get(at..at + usize::from(code)).filter(|new| !new.is_empty())?;
            made.extend_from_slice(new);
            at += new.len();
            continue;
        }
        let (mut numbers, mut shift) = ([0_usize; 2], 0);
        for bit in 0..7 {
            let number = usize::from(bit >= 4);
            if bit == 4 {
                shift = 0;
            }
            if code & 1 << bit != 0 {
                numbers[number] |= usize::from(*delta.get(at)?) << shift;
                at += 1;
            }
            shift += 8;
        }
        let [from, length] = numbers;
        let length = if length == 0 { 0x10000 } else { length };
        made.extend_from_slice(base.get(from..from.checked_add(length)?)?);
        if made.len() as u64 > after {
            return None;
        }
    }
    (made.len() as u64 == after).then_some(made)
}

/// A file from somewhere on.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn git(directory: &std::path::Path, arguments: &[&str], input: Option<&str>) -> String {
        use std::io::Write;
        let mut git = Command::new("git");
        git.current_dir(directory).args(["-c", "user.name=a", "-c", "user.email=b"]).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let mut git =
            git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("git");
        git.stdin.take().expect("a pipe").write_all(input.unwrap_or_default().as_bytes()).expect("written");
        let output = git.wait_with_output().expect("an end");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// All objects of the repository are read as `git` reads them; what is not there is not.
    #[track_caller]
    fn check(directory: &std::path::Path, large: Oid) {
        let mirror = Mirror { path: directory.join(".git") };
        let list = git(directory, &["cat-file", "--batch-check", "--batch-all-objects"], None);
        let reader = Reader::open(&mirror).expect("a reader");
        let mut count = 0;
        for line in list.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let oid = Oid::parse(words[0]).expect("a name");
            let found = reader.read(oid);
            if oid == large {
                assert!(found.is_none());
                continue;
            }
            let (_, content) = found.unwrap_or_else(|| panic!("{line}"));
            assert_eq!(content.len().to_string(), words[2], "{line}");
            count += 1;
        }
        assert!(count > 60, "{list}");
        assert!(reader.read(Oid([7; 20])).is_none());
    }

    #[test]
    fn objects_are_read_loose_and_packed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        git(path, &["init", "-q"], None);
        let lines: String = (0..3000).map(|line| format!("line {line} of a long file\n")).collect();
        for commit in 0..20 {
            let lines = lines.replace(&format!("line {}", commit * 7), &format!("changed in {commit}"));
            std::fs::write(path.join("file"), lines).expect("a file");
            git(path, &["add", "."], None);
            git(path, &["commit", "-q", "-m", "more"], None);
            git(path, &["tag", "-a", "-m", "tagged", &format!("v{commit}")], None);
        }
        let large = "x".repeat(3 << 20);
        let large = Oid::parse(&git(path, &["hash-object", "-w", "--stdin"], Some(&large))).expect("a name");
        check(path, large);
        // Deltas by offset, then by name.
        git(path, &["repack", "-q", "-a", "-d", "-f", "--depth=20"], None);
        check(path, large);
        git(path, &["-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f"], None);
        check(path, large);
    }

    #[test]
    fn deltas_that_lie() {
        let base = b"hello world";
        assert_eq!(applied(base, &[11, 5, 0x90, 5]).as_deref(), Some(&b"hello"[..]));
        assert_eq!(applied(base, &[11, 7, 0x91, 6, 5, 2, b'!', b'?']).as_deref(), Some(&b"world!?"[..]));
        for delta in [
            &[][..],
            &[11],
            &[10, 5, 0x90, 5],
            &[11, 6, 0x90, 5],
            &[11, 4, 0x90, 5],
            &[11, 5, 0x91, 9, 5],
            &[11, 5, 0x91],
            &[11, 5, 0],
            &[11, 5, 5, b'a'],
            &[11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(applied(base, delta), None, "{delta:?}");
        }
    }
}
