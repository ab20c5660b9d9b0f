//! Trees as tarballs.

use crate::args::value::Compression;
use crate::exit::Failure;
use bourn_reapi::services::Cas;
use bourn_reapi::tree::{Entry, Tree};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// Seconds since the epoch that every entry carries: the time that bst gives everything.
const TIMESTAMP: u64 = 1_321_009_871;

/// Where a tarball goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Location {
    /// `-` is the standard output.
    pub(crate) fn named(name: &str) -> Location {
        if name == "-" { Location::Stdout } else { Location::File(PathBuf::from(name)) }
    }
}

/// The compression that a file name stands for.
///
/// # Errors
/// A name such as `x.tar.zst`, which stands for one that is not offered.
pub(crate) fn compression_of(name: &str) -> Result<Option<Compression>, String> {
    let path = Path::new(name);
    match path.extension().and_then(OsStr::to_str) {
        Some("tar") => Ok(None),
        Some("gz") => Ok(Some(Compression::Gz)),
        Some("xz") => Ok(Some(Compression::Xz)),
        Some("bz2") => Ok(Some(Compression::Bz2)),
        Some(other)
            if path.file_stem().map(Path::new).and_then(Path::extension) == Some(OsStr::new("tar")) =>
        {
            Err(format!(
                "Expected compression with unknown file extension ('.{other}'), \
                 supported extensions are ('.tar'), ('.gz'), ('.xz'), ('.bz2')"
            ))
        }
        _ => Ok(None),
    }
}

/// Writes a tree into a tarball; `prefix` is put before every name. A file appears whole or not at all.
///
/// # Errors
/// The store cannot be read, the file cannot be written.
pub(crate) fn write(
    tree: &Tree,
    prefix: &str,
    cas: &dyn Cas,
    location: &Location,
    compression: Option<Compression>,
) -> Result<(), Failure> {
    let path = match location {
        Location::Stdout => {
            let fail = |error: io::Error| Failure::stream(format!("Failed to write the tarball: {error}"));
            let out = BufWriter::new(io::stdout().lock());
            return compress(tree, prefix, cas, out, compression)
                .and_then(|mut out| out.flush())
                .map_err(fail);
        }
        Location::File(path) => path,
    };
    let fail = |error: io::Error| {
        Failure::stream(format!("Failed to create tar archive: {}: {error}", path.display()))
    };
    let temporary = path.with_file_name(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let written = File::create(&temporary)
        .and_then(|file| compress(tree, prefix, cas, BufWriter::new(file), compression))
        .and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|_| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(fail)
}

fn compress<W: Write>(
    tree: &Tree,
    prefix: &str,
    cas: &dyn Cas,
    out: W,
    compression: Option<Compression>,
) -> io::Result<W> {
    match compression {
        None => archive(tree, prefix, cas, out),
        Some(Compression::Gz) => {
            archive(tree, prefix, cas, flate2::write::GzEncoder::new(out, flate2::Compression::default()))?
                .finish()
        }
        Some(Compression::Xz) => archive(tree, prefix, cas, liblzma::write::XzEncoder::new(out, 6))?.finish(),
        Some(Compression::Bz2) => {
            archive(tree, prefix, cas, bzip2::write::BzEncoder::new(out, bzip2::Compression::best()))?
                .finish()
        }
    }
}

fn archive<W: Write>(tree: &Tree, prefix: &str, cas: &dyn Cas, out: W) -> io::Result<W> {
    let mut builder = tar::Builder::new(out);
    append(&mut builder, tree, prefix, cas)?;
    builder.into_inner()
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    tree: &Tree,
    prefix: &str,
    cas: &dyn Cas,
) -> io::Result<()> {
    for (name, entry) in tree.entries().map_err(io::Error::other)? {
        let path = format!("{prefix}{name}");
        match entry {
            Entry::Directory(_) => {
                let path = format!("{path}/");
                put(builder, &path, Type { kind: EntryType::Directory, mode: 0o755 }, "", 0, io::empty())?;
                if let Some(below) = tree.subtree(name).map_err(io::Error::other)? {
                    append(builder, &below, &path, cas)?;
                }
            }
            Entry::File(file) => {
                let mode = if file.executable { 0o755 } else { 0o644 };
                let content = cas.open(&file.digest).map_err(io::Error::other)?;
                put(builder, &path, Type { kind: EntryType::Regular, mode }, "", file.digest.size, content)?;
            }
            Entry::Symlink(link) => {
                let kind = Type { kind: EntryType::Symlink, mode: 0o777 };
                put(builder, &path, kind, &link.target, 0, io::empty())?;
            }
        }
    }
    Ok(())
}

/// What an entry is, and who may do what with it.
struct Type {
    kind: EntryType,
    mode: u32,
}

/// Writes one entry. Names are written as they are: the tar library would drop the `./` that they begin with.
fn put<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &str,
    of: Type,
    target: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(TIMESTAMP);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(of.kind);
    header.set_mode(of.mode);
    header.set_size(size);
    if let Some(fields) = header.as_gnu_mut() {
        if !fits(path, &mut fields.name) {
            put_long(builder, EntryType::GNULongName, path)?;
        }
        if !fits(target, &mut fields.linkname) {
            put_long(builder, EntryType::GNULongLink, target)?;
        }
    }
    header.set_cksum();
    builder.append(&header, content)
}

/// Writes as much of a text into a field as it can take. Whether that was all.
fn fits(text: &str, field: &mut [u8]) -> bool {
    let taken = text.len().min(field.len());
    field[..taken].copy_from_slice(&text.as_bytes()[..taken]);
    taken == text.len()
}

/// Writes the entry that carries a name, of what follows, that is too long for a header.
fn put_long<W: Write>(builder: &mut tar::Builder<W>, kind: EntryType, text: &str) -> io::Result<()> {
    let mut header = Header::new_gnu();
    if let Some(fields) = header.as_gnu_mut() {
        fits("././@LongLink", &mut fields.name);
    }
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // The text and a zero that ends it.
    header.set_size(text.len() as u64 + 1);
    header.set_entry_type(kind);
    header.set_cksum();
    builder.append(&header, text.as_bytes().chain(&[0][..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_compressions() {
        for (name, expect) in [
            ("x.tar", Ok(None)),
            ("x.tar.gz", Ok(Some(Compression::Gz))),
            ("x.xz", Ok(Some(Compression::Xz))),
            ("a.b/x.tar.bz2", Ok(Some(Compression::Bz2))),
            ("-", Ok(None)),
            ("x.foo", Ok(None)),
            ("x.tar.zst", Err(())),
        ] {
            assert_eq!(compression_of(name).map_err(|_| ()), expect, "{name}");
        }
    }
}
