//! Reading `ar`, the outer format of Debian packages (`deb(5)`, `ar(5)`), with long names of both GNU and BSD.

use super::{ArchiveError, ArchiveResult, shown};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of a member's header.
const HEADER: usize = 60;
/// A table of long names, or one name, may not be larger than this.
const LONGEST: u64 = 1 << 20;

/// The content of the first member whose name fits; `None` when there is none. What follows has to be members, too.
///
/// # Errors
/// It is no archive, it is malformed or cut short, it cannot be read.
pub(crate) fn find(mut file: File, fits: impl Fn(&[u8]) -> bool) -> ArchiveResult<Option<Take<File>>> {
    let end = file.metadata()?.len();
    let mut magic = [0; 8];
    if !fill(&mut file, &mut magic)? || magic != *MAGIC {
        return Err(ArchiveError::malformed("this is no package: it does not start as an `ar` archive does"));
    }
    let (mut at, mut names) = (MAGIC.len() as u64, Vec::new());
    let mut found = None;
    while at < end {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; HEADER];
        if !fill(&mut file, &mut header)? {
            return Err(ArchiveError::malformed("the package ends within the header of a member"));
        }
        let size = size(&header)?;
        let start = at + HEADER as u64;
        // Of what nobody needs nothing has to be there.
        if start + size > end && found.is_none() {
            let missing = start + size - end;
            return Err(ArchiveError::malformed(format!("the package is cut short: {missing} bytes lack")));
        }
        // Members start at even places.
        at = start + size + size % 2;
        let field = trimmed(&header[..16]);
        if field == b"//" {
            names = bytes(&mut file, size)?;
            continue;
        }
        let (name, used) = name(field, &names, &mut file, size)?;
        if found.is_none() && fits(&name) {
            found = Some((start + used, size - used));
        }
    }
    let Some((start, size)) = found else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    Ok(Some(file.take(size)))
}

/// Reads all of a buffer. Whether there was as much.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn bytes(file: &mut File, size: u64) -> ArchiveResult<Vec<u8>> {
    if size > LONGEST {
        return Err(ArchiveError::malformed(format!("names of {size} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn trimmed(field: &[u8]) -> &[u8] {
    let end = field.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    &field[..end]
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(trimmed(field)).ok()?.parse().ok()
}

/// The size of a member, its header checked.
fn size(header: &[u8; HEADER]) -> ArchiveResult<u64> {
    let size = number(&header[48..58]).filter(|_| header[58..] == *b"`\n");
    size.ok_or_else(|| ArchiveError::malformed(format!("{} is no header of a member", shown(&header[..16]))))
}

/// The name of a member, and how many bytes of its content it took.
fn name(field: &[u8], names: &[u8], file: &mut File, size: u64) -> ArchiveResult<(Vec<u8>, u64)> {
    if let Some(length) = field.strip_prefix(b"#1/") {
        let length = number(length).filter(|length| *length <= size);
        let length = length.ok_or_else(|| ArchiveError::malformed(format!("{} is no name", shown(field))))?;
        let mut name = bytes(file, length)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        return Ok((name, length));
    }
    if let Some(at) = field.strip_prefix(b"/").and_then(number) {
        let rest = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'\n')).unwrap_or(rest.len());
        return Ok((rest[..end].to_vec(), 0));
    }
    Ok((field.strip_suffix(b"/").unwrap_or(field).to_vec(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, content) in members {
            bytes.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes(),
            );
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    fn found(bytes: &[u8], wanted: &str) -> ArchiveResult<Option<Vec<u8>>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.seek(SeekFrom::Start(0))?;
        let Some(mut member) = find(file, |name| name == wanted.as_bytes())? else { return Ok(None) };
        let mut content = Vec::new();
        member.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    #[test]
    fn members() {
        let gnu =
            archive(&[("a/", b"odd"), ("//", b"a-name-of-more-than-16/\n"), ("/0", b"long"), ("b", b"")]);
        for (wanted, expect) in [
            ("a", Some(b"odd".as_slice())),
            ("a-name-of-more-than-16", Some(b"long")),
            ("b", Some(b"")),
            ("c", None),
        ] {
            assert_eq!(found(&gnu, wanted).expect("an archive").as_deref(), expect, "{wanted}");
        }
        let bsd = archive(&[("#1/4", b"nameand")]);
        assert_eq!(found(&bsd, "name").expect("an archive").as_deref(), Some(b"and".as_slice()));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let whole = archive(&[("a", b"content"), ("#1/9", b"ab")]);
        for (bytes, expect) in [
            (b"".as_slice(), "does not start"),
            (b"PK\x03\x04 and more", "does not start"),
            (&whole[..30], "within the header"),
            (&whole[..70], "cut short"),
            (&whole, "is no name"),
            (b"!<arch>\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "is no header"),
        ] {
            let error = found(bytes, "b").expect_err("an error").to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
