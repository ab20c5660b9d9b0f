//! Tar archives of directories of the sandbox, byte for byte as Python's `tarfile` writes them for bst.
//!
//! POSIX.1-2001 ("pax"): a classic header per entry, and an extended one before it for what does not fit: names and
//! targets of links over 100 bytes or not ASCII, sizes from 8 GiB. All times are bst's (2011-11-11), all owners 0; files
//! have mode 644 or 755, directories 755, links 777.

use crate::layout;
use bourn_plan::{AssemblyError, Entry, Workbench};
use std::io::{self, Read, Write};

/// The modification time of everything that bst makes, in seconds since 1970.
pub const TIME: u64 = 1_321_009_871;

const BLOCK: usize = 512;
/// Archives are padded to this many bytes.
const RECORD: u64 = 10_240;

/// Writes the content of `directory` as an archive.
///
/// # Errors
/// The tree cannot be read, or `out` not be written.
pub fn write(bench: &dyn Workbench, directory: &str, out: &mut dyn Write) -> Result<(), AssemblyError> {
    let mut archive = Archive { bench, out, length: 0 };
    archive.directory(directory)?;
    archive.finish().map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> AssemblyError {
    AssemblyError::world(format!("Cannot write an archive: {error}"))
}

struct Archive<'a> {
    bench: &'a dyn Workbench,
    out: &'a mut dyn Write,
    length: u64,
}

impl Archive<'_> {
    /// Everything below a directory, each directory before what it holds.
    fn directory(&mut self, root: &str) -> Result<(), AssemblyError> {
        let mut pending = vec![(String::new(), Entry::Directory)];
        while let Some((name, entry)) = pending.pop() {
            if !name.is_empty() {
                self.entry(root, &name, &entry)?;
            }
            if entry == Entry::Directory {
                let inside = self.bench.list(&layout::join(root, &name))?.unwrap_or_default();
                pending.extend(
                    inside.into_iter().rev().map(|(inner, entry)| (layout::join(&name, &inner), entry)),
                );
            }
        }
        Ok(())
    }

    fn entry(&mut self, root: &str, name: &str, entry: &Entry) -> Result<(), AssemblyError> {
        match entry {
            Entry::Directory => self.header(&Header {
                name: &format!("{name}/"),
                mode: 0o755,
                size: 0,
                sort: b'5',
                target: "",
            }),
            Entry::Symlink { target } => {
                self.header(&Header { name, mode: 0o777, size: 0, sort: b'2', target })
            }
            Entry::File { digest, executable } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                let content = self.bench.open(&layout::join(root, name))?;
                self.header(&Header { name, mode, size: digest.size, sort: b'0', target: "" })
                    .and_then(|()| self.content(content, digest.size))
            }
        }
        .map_err(|error| failed(&error))
    }

    fn content(&mut self, content: Box<dyn Read>, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut content.take(size), self.out)?;
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file of the store is too short"));
        }
        self.length += size;
        self.pad(BLOCK as u64)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Fills up with zeros to a multiple of `unit`.
    fn pad(&mut self, unit: u64) -> io::Result<()> {
        let missing = self.length.next_multiple_of(unit) - self.length;
        self.length += missing;
        io::copy(&mut io::repeat(0).take(missing), self.out).map(drop)
    }

    fn header(&mut self, header: &Header<'_>) -> io::Result<()> {
        let records = header.records();
        if !records.is_empty() {
            let name = "././@PaxHeader";
            let before = Header { name, mode: 0, size: records.len() as u64, sort: b'x', target: "" };
            // Python leaves the time of these out.
            self.put(&before.block(0))?;
            self.put(&records)?;
            self.pad(BLOCK as u64)?;
        }
        self.put(&header.block(TIME))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.put(&[0; 2 * BLOCK])?;
        self.pad(RECORD)?;
        self.out.flush()
    }
}

struct Header<'a> {
    name: &'a str,
    mode: u64,
    size: u64,
    sort: u8,
    target: &'a str,
}

/// Sizes that eleven octal digits hold.
const LARGEST: u64 = 1 << 33;

impl Header<'_> {
    /// The extended header's records.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for (key, text) in [("path", self.name), ("linkpath", self.target)] {
            if !text.is_ascii() || text.len() > 100 {
                record(&mut records, key, text);
            }
        }
        if self.size >= LARGEST {
            record(&mut records, "size", &self.size.to_string());
        }
        records
    }

    fn block(&self, time: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut at = 0;
        let mut field = |bytes: &[u8], width: usize| {
            let length = bytes.len().min(width);
            block[at..at + length].copy_from_slice(&bytes[..length]);
            at += width;
        };
        let octal =
            |number: u64, width: usize| format!("{number:0width$o}\0", width = width - 1).into_bytes();
        field(&ascii(self.name), 100);
        field(&octal(self.mode, 8), 8);
        field(&octal(0, 8), 8);
        field(&octal(0, 8), 8);
        field(&octal(if self.size < LARGEST { self.size } else { 0 }, 12), 12);
        field(&octal(time, 12), 12);
        field(b"        ", 8);
        field(&[self.sort], 1);
        field(&ascii(self.target), 100);
        field(b"ustar\x0000", 8);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(&octal(sum, 7));
        block
    }
}

/// Text as the classic header can hold it.
fn ascii(text: &str) -> Vec<u8> {
    text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect()
}

/// `LENGTH KEY=VALUE`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}
