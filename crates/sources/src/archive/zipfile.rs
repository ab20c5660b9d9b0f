//! Zip archives, extracted as Python's `zipfile` does: names cannot lead out, links do not exist, nothing is
//! executable.

use super::blobs::Blobs;
use super::compression::check_ratio;
use super::scene::{self, Scene};
use super::{ArchiveError, ArchiveResult};
use crate::glob::Glob;
use bourn_reapi::Cas;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// What is taken away from names.
pub(crate) enum ZipStrip {
    /// The directory that a glob names.
    Base(String),
    /// The first component.
    Top,
    Nothing,
}

/// A member: its name, and the number of its content; directories have none.
struct Entry {
    name: String,
    content: Option<usize>,
}

/// Extracts a zip archive into the store.
///
/// # Errors
/// A malformed archive, no directory that matches, a store that fails.
pub(crate) fn extract(file: File, strip: &ZipStrip, cas: &dyn Cas) -> ArchiveResult<Scene> {
    let packed = file.metadata()?.len();
    let mut archive = ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(malformed)?;
    if let Some(unpacked) = archive.decompressed_size() {
        // Members may lie on top of each other, so this can be far more than what their bytes unpack to.
        check_ratio(packed, unpacked)?;
    }
    let names: Vec<String> = (0..archive.len()).map(|at| name(&mut archive, at)).collect::<Result<_, _>>()?;
    let base = match strip {
        ZipStrip::Base(pattern) => Some(base_directory(&names, pattern).ok_or_else(|| no_base(pattern))?),
        ZipStrip::Top | ZipStrip::Nothing => None,
    };
    let (entries, digests) = std::thread::scope(|scope| {
        let mut blobs = Blobs::start(scope, cas);
        let mut entries = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let Some(name) = stripped(name, strip, base.as_deref()) else { continue };
            let content =
                if name.ends_with('/') { None } else { Some(content(&mut archive, at, &mut blobs)?) };
            entries.push(Entry { name, content });
        }
        Ok::<_, ArchiveError>((entries, blobs.finish()?))
    })?;
    let mut scene = Scene::default();
    for Entry { name, content } in entries {
        // Python drops what could lead out.
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let path = parts.join("/");
        scene::check_path(path.as_bytes())?;
        let upper = scene::above(path.as_bytes());
        if !upper.is_empty() && !scene.exists(upper)? {
            scene.make_directories(upper)?;
        }
        match content {
            None if scene.is_directory(path.as_bytes())? => {}
            None => scene.make_directories(path.as_bytes())?,
            Some(number) => scene.write(path.as_bytes(), digests[number], false)?,
        }
    }
    Ok(scene)
}

/// The name of a member, up to the first zero byte.
fn name(archive: &mut ZipArchive<BufReader<File>>, at: usize) -> ArchiveResult<String> {
    let member = archive.by_index_raw(at).map_err(malformed)?;
    Ok(member.name().map_err(malformed)?.split('\0').next().unwrap_or_default().to_owned())
}

fn content(
    archive: &mut ZipArchive<BufReader<File>>,
    at: usize,
    blobs: &mut Blobs<'_, '_>,
) -> ArchiveResult<usize> {
    let mut member = archive.by_index(at).map_err(malformed)?;
    let size = member.size();
    let number = blobs.take(&mut member, size)?;
    // Reading on to the end checks the sum; whatever comes is one byte too many, and there may be endlessly much.
    if member.read(&mut [0])? > 0 {
        return Err(ArchiveError::malformed(format!("member {at} holds more than it says")));
    }
    Ok(number)
}

fn stripped(name: &str, strip: &ZipStrip, base: Option<&str>) -> Option<String> {
    match strip {
        ZipStrip::Nothing => Some(name.to_owned()),
        ZipStrip::Top => name.split_once('/').map(|(_, rest)| match rest {
            "" => "/".to_owned(),
            rest => rest.to_owned(),
        }),
        ZipStrip::Base(_) => match base? {
            "" => Some(name.to_owned()),
            base => {
                let slash = if base.ends_with('/') { "" } else { "/" };
                let rest = name.strip_prefix(base)?.strip_prefix(slash)?;
                (!rest.is_empty()).then(|| rest.to_owned())
            }
        },
    }
}

/// The directory that a glob names: the first of all that match.
fn base_directory(names: &[String], pattern: &str) -> Option<String> {
    let glob = Glob::new(pattern);
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let mut best: Option<&str> = None;
    let mut consider = |path| {
        if glob.matches(path) && best.is_none_or(|best| path < best) {
            best = Some(path);
        }
    };
    for name in names {
        if name.ends_with('/') {
            if name != "./" {
                consider(name);
            }
            continue;
        }
        let slashes = name.char_indices().filter(|(_, c)| *c == '/');
        for above in slashes.map(|(at, _)| &name[..at]) {
            if above != "." && !known.contains(above) {
                consider(above);
            }
        }
    }
    best.map(str::to_owned)
}

fn no_base(pattern: &str) -> ArchiveError {
    ArchiveError::malformed(format!("Could not find base directory matching pattern: {pattern}"))
}

fn malformed(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) => ArchiveError::Read(error),
        error => ArchiveError::malformed(error.to_string()),
    }
}
