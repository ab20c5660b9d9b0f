//! Zip archives, extracted as Python's `zipfile` does: names cannot lead out, links do not exist, nothing is
//! executable.

use super::blobs::Blobs;
use super::compression::check_ratio;
use super::scene::{self, Scene};
use super::{ArchiveError, ArchiveResult, shown};
use crate::glob::Glob;
use bourn_reapi::Cas;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
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

/// A member's header in the directory of an archive, as far as the library keeps it to itself (`APPNOTE.TXT` 4.3.12).
struct Header {
    /// The name as people read it, up to the first zero byte.
    name: String,
    /// The name as it is stored.
    raw: Vec<u8>,
    flags: u16,
}

/// The latest version of the format that Python's `zipfile` reads, times ten.
const LATEST: u16 = 63;
/// Flags of members: their names are UTF-8; they are patches; they are encrypted in the later way.
const UTF_8: u16 = 1 << 11;
const PATCH: u16 = 1 << 5;
const STRONG: u16 = 1 << 6;

/// The upper half of code page 437, in which names are that are not said to be UTF-8.
const CODE_PAGE: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Extracts a zip archive into the store.
///
/// # Errors
/// A malformed archive, no directory that matches, a store that fails.
pub(crate) fn extract(file: File, strip: &ZipStrip, cas: &dyn Cas) -> ArchiveResult<Scene> {
    let packed = file.metadata()?.len();
    let raw = file.try_clone()?;
    let mut archive = ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(malformed)?;
    if let Some(unpacked) = archive.decompressed_size() {
        // Members may lie on top of each other, so this can be far more than what their bytes unpack to.
        check_ratio(packed, unpacked)?;
    }
    let headers: Vec<Header> =
        (0..archive.len()).map(|at| header(&mut archive, &raw, at)).collect::<Result<_, _>>()?;
    let names: Vec<String> = headers.iter().map(|header| header.name.clone()).collect();
    let base = match strip {
        ZipStrip::Base(pattern) => Some(base_directory(&names, pattern).ok_or_else(|| no_base(pattern))?),
        ZipStrip::Top | ZipStrip::Nothing => None,
    };
    let (entries, digests) = std::thread::scope(|scope| {
        let mut blobs = Blobs::start(scope, cas);
        let mut entries = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let Some(name) = stripped(name, strip, base.as_deref()) else { continue };
            let content = if name.ends_with('/') {
                None
            } else {
                check_local(&mut archive, &raw, at, &headers[at])?;
                Some(content(&mut archive, at, &mut blobs)?)
            };
            entries.push(Entry { name, content });
        }
        Ok::<_, ArchiveError>((entries, blobs.finish()?))
    })?;
    let mut scene = Scene::with_contents(digests);
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
            Some(number) => scene.write(path.as_bytes(), number, false)?,
        }
    }
    Ok(scene)
}

/// What the directory of an archive says of a member.
fn header(archive: &mut ZipArchive<BufReader<File>>, file: &File, at: usize) -> ArchiveResult<Header> {
    let member = archive.by_index_raw(at).map_err(malformed)?;
    let start = member.central_header_start();
    let mut fixed = [0; 46];
    file.read_exact_at(&mut fixed, start)?;
    let number = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let (version, flags) = (number(6), number(8));
    let mut raw = vec![0; usize::from(number(28))];
    file.read_exact_at(&mut raw, start + 46)?;
    if version > LATEST {
        let (major, minor) = (version / 10, version % 10);
        return Err(ArchiveError::malformed(format!("{} needs version {major}.{minor} of zip", shown(&raw))));
    }
    // The library gives the name of another field of the header, which is UTF-8, where there is one.
    let name = match std::str::from_utf8(member.name_raw()) {
        Ok(name) if flags & UTF_8 != 0 || member.name_raw() != raw => name.to_owned(),
        Err(_) if flags & UTF_8 != 0 => {
            return Err(ArchiveError::malformed(format!("the name {} is not UTF-8", shown(&raw))));
        }
        _ => raw.iter().filter_map(|byte| of_code_page(*byte)).collect(),
    };
    let name = name.split('\0').next().unwrap_or_default().to_owned();
    Ok(Header { name, raw, flags })
}

fn of_code_page(byte: u8) -> Option<char> {
    match byte.checked_sub(128) {
        Some(upper) => CODE_PAGE.chars().nth(upper.into()),
        None => Some(char::from(byte)),
    }
}

/// Checks that a member is called the same where it lies as in the directory: what other programs would call it, and
/// check, would not be what is staged.
fn check_local(
    archive: &mut ZipArchive<BufReader<File>>,
    file: &File,
    at: usize,
    header: &Header,
) -> ArchiveResult<()> {
    let start = archive.by_index_raw(at).map_err(malformed)?.header_start();
    let mut fixed = [0; 30];
    file.read_exact_at(&mut fixed, start)?;
    let mut raw = vec![0; usize::from(u16::from_le_bytes([fixed[26], fixed[27]]))];
    file.read_exact_at(&mut raw, start + 30)?;
    if raw != header.raw {
        let (known, found) = (shown(&header.raw), shown(&raw));
        return Err(ArchiveError::malformed(format!("{known} is called {found} where it lies")));
    }
    if header.flags & (PATCH | STRONG) != 0 {
        return Err(ArchiveError::malformed(format!("{} is a patch, or encrypted", shown(&raw))));
    }
    Ok(())
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
