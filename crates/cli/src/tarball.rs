//! Trees as tarballs.

use crate::args::value::Compression;
use crate::exit::Failure;
use bourn_reapi::services::Cas;
use bourn_reapi::tree::{Entry, Tree};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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

/// Writes trees into one tarball, each below the prefix that goes with it. A file appears whole or not at all.
///
/// # Errors
/// The store cannot be read, the file cannot be written.
pub(crate) fn write(
    trees: &[(String, Tree)],
    cas: &dyn Cas,
    location: &Location,
    compression: Option<Compression>,
) -> Result<(), Failure> {
    let path = match location {
        Location::Stdout => {
            let fail = |error: io::Error| Failure::stream(format!("Failed to write the tarball: {error}"));
            let out = BufWriter::new(io::stdout().lock());
            return compress(trees, cas, out, compression).and_then(|mut out| out.flush()).map_err(fail);
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
        .and_then(|file| compress(trees, cas, BufWriter::new(file), compression))
        .and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|_| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(fail)
}

fn compress<W: Write>(
    trees: &[(String, Tree)],
    cas: &dyn Cas,
    out: W,
    compression: Option<Compression>,
) -> io::Result<W> {
    match compression {
        None => archive(trees, cas, out),
        Some(Compression::Gz) => {
            archive(trees, cas, flate2::write::GzEncoder::new(out, flate2::Compression::default()))?.finish()
        }
        Some(Compression::Xz) => archive(trees, cas, liblzma::write::XzEncoder::new(out, 6))?.finish(),
        Some(Compression::Bz2) => {
            archive(trees, cas, bzip2::write::BzEncoder::new(out, bzip2::Compression::best()))?.finish()
        }
    }
}

fn archive<W: Write>(trees: &[(String, Tree)], cas: &dyn Cas, out: W) -> io::Result<W> {
    let mut builder = tar::Builder::new(out);
    for (prefix, tree) in trees {
        append(&mut builder, cas, tree, prefix)?;
    }
    builder.into_inner()
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    cas: &dyn Cas,
    tree: &Tree,
    prefix: &str,
) -> io::Result<()> {
    let entries = tree.entries().map_err(io::Error::other)?;
    for (name, entry) in entries {
        let path = format!("{prefix}/{name}");
        let mut header = tar::Header::new_gnu();
        header.set_mtime(TIMESTAMP);
        match entry {
            Entry::Directory(_) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
                let below = tree.subtree(name).map_err(io::Error::other)?;
                if let Some(below) = below {
                    append(builder, cas, &below, &path)?;
                }
            }
            Entry::File(file) => {
                header.set_mode(if file.executable { 0o755 } else { 0o644 });
                header.set_size(file.digest.size);
                builder.append_data(&mut header, path, cas.open(&file.digest).map_err(io::Error::other)?)?;
            }
            Entry::Symlink(link) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, path, &link.target)?;
            }
        }
    }
    Ok(())
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
