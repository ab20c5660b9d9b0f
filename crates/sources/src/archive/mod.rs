//! Archives, read in one pass straight into the store.
//!
//! The members of an archive are read in order; the content of files goes into the store in batches while the next
//! ones are being decompressed; no temporary tree is written. What extraction would have left on disk is then
//! worked out in memory, in a [`Scene`], following the rules of the reference's own extraction to the letter:
//! which member wins, what symbolic and hard links lead to, what is refused. So the digest of the tree is the one
//! that the reference computes.
//!
//! | Attack | Answer |
//! |---|---|
//! | names with `..`, also through a link that an earlier member made | refused |
//! | absolute names | taken as relative |
//! | hard links that lead out, or to nothing | refused |
//! | symbolic links that lead out | kept: they are data; writing *through* them is refused |
//! | device nodes, pipes | left out |
//! | names that are not UTF-8 | refused: no tree can hold them |
//! | the same name again | the last one wins, as on disk |
//! | cut short | refused |
//! | more than 8 GiB out of less than a two-thousandth of that, holes of sparse files included | refused as a bomb |
//! | names and links above 4095 bytes, components above 255, directories deeper than 1024 | refused |
//! | more than 4,194,304 members, names of 4 GiB in all, or 16 MiB or 16 headers before one member | refused |

pub(crate) mod ar;
pub(crate) mod blobs;
pub(crate) mod compression;
pub(crate) mod extract;
pub(crate) mod members;
pub(crate) mod pages;
pub(crate) mod scene;
pub(crate) mod source;
pub(crate) mod zipfile;

use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest, ServiceError};
use compression::Unpacked;
use members::Members;
use pages::Pages;
use std::io::{self, Read};

pub(crate) use extract::{Rules, Strip};
pub(crate) use scene::Scene;

/// Why an archive cannot be staged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It is malformed, cut short or an attack.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be read from disk or decompressed.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] ServiceError),
}

/// Result of reading an archive.
pub(crate) type ArchiveResult<T> = Result<T, ArchiveError>;

impl ArchiveError {
    pub(crate) fn malformed(message: impl Into<String>) -> ArchiveError {
        ArchiveError::Malformed(message.into())
    }

    /// The same as an error of a source.
    pub(crate) fn staging(self, url: &str) -> SourceError {
        match self {
            ArchiveError::Store(error) => error.into(),
            error => {
                let message = format!("Error staging source: {error}");
                SourceError::new(message).detail(format!("The archive was downloaded from {url}"))
            }
        }
    }
}

/// Unpacks a tar archive, compressed or not; `rules` are told when all members are known.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn unpack<'a>(
    file: impl Read + Send + 'static,
    cas: &dyn Cas,
    rules: impl FnOnce(&Members) -> ArchiveResult<Rules<'a>>,
) -> ArchiveResult<Scene> {
    unpack_stream(compression::open(file)?, cas, rules)
}

/// Unpacks a tar archive that is not compressed any more.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn unpack_stream<'a>(
    input: Unpacked,
    cas: &dyn Cas,
    rules: impl FnOnce(&Members) -> ArchiveResult<Rules<'a>>,
) -> ArchiveResult<Scene> {
    let (members, digests) = read(input, cas)?;
    let rules = rules(&members)?;
    extract::extract(members, digests, &rules, |_| true)
}

/// Reads a tar archive that is not compressed any more: its members, and the content of files by number, which is in
/// the store then.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn read(input: Unpacked, cas: &dyn Cas) -> ArchiveResult<(Members, Pages<Digest>)> {
    std::thread::scope(|scope| {
        let mut blobs = blobs::Blobs::start(scope, cas);
        let members = members::read(input, &mut blobs)?;
        Ok((members, blobs.finish()?))
    })
}

/// What the `base-dir` of a source means for an archive.
///
/// # Errors
/// No directory matches.
pub(crate) fn base(members: &Members, pattern: &str) -> ArchiveResult<Strip> {
    if pattern.is_empty() {
        return Ok(Strip::Nothing);
    }
    let Some(mut base) = extract::base_directory(members, pattern) else {
        let message = format!("Could not find base directory matching pattern: {pattern}");
        return Err(ArchiveError::malformed(message));
    };
    if base.is_empty() {
        // The archive's own root matched; it is staged as it is.
        return Ok(Strip::Nothing);
    }
    if base.last() != Some(&b'/') {
        base.push(b'/');
    }
    Ok(Strip::Base(base))
}

/// A name of an archive as people can read it.
pub(crate) fn shown(name: &[u8]) -> String {
    format!("'{}'", String::from_utf8_lossy(name).escape_debug())
}
