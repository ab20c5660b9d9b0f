//! Reading tar: the formats v7, ustar, GNU and pax with all that writers of the last decades put into them.
//!
//! What counts as an archive is what Python's reader takes for one, since the reference uses that: a broken header
//! at the start is an error, a broken header after that is the end; one block of zeros is the end.

use super::blobs::Blobs;
use super::compression::Unpacked;
use super::pages::{Pages, Texts};
use super::{ArchiveError, ArchiveResult, shown};
use std::collections::BTreeMap;
use std::io::{self, Read};

const BLOCK: usize = 512;

/// Headers that only lengthen the next one may not be larger than this, nor may more than [`DEEPEST`] come before one
/// member.
const LONGEST: u64 = 16 << 20;
const DEEPEST: usize = 16;
/// No file system holds a name or a link that is longer; 4096 bytes are enough for what is extracted.
const LONGEST_NAME: usize = 1 << 16;
/// Members of one archive.
const MOST_MEMBERS: usize = 4 << 20;
/// Bytes of one line of a sparse file's map, which is a number.
const LONGEST_LINE: usize = 64;

/// A member of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Its name; directories have no slash at the end.
    pub(crate) name: &'a [u8],
    pub(crate) kind: Kind<'a>,
    /// Whether the owner may execute it.
    pub(crate) executable: bool,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A file; the number of its content.
    File(usize),
    Directory,
    Symlink(&'a [u8]),
    /// A hard link to another member.
    Link(&'a [u8]),
    /// A device node or pipe.
    Device,
    /// Something that only its writer knew; the number of its content.
    Unknown(usize),
}

/// The members of an archive, by their place in it. There may be millions, so their names and what links lead to stand
/// behind each other, and what else is known of each takes few bytes.
#[derive(Debug, Default)]
pub(crate) struct Members {
    texts: Texts,
    entries: Pages<Entry>,
}

/// A member without its texts.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Span,
    shape: Shape,
    executable: bool,
}

/// What [`Kind`] says, without texts.
#[derive(Clone, Copy, Debug)]
enum Shape {
    File(u32),
    Directory,
    Symlink(Span),
    Link(Span),
    Device,
    Unknown(u32),
}

/// One of the texts of all members, or its end.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn of(self, texts: &Texts) -> &[u8] {
        texts.get(self.start as usize, self.length as usize)
    }

    /// Takes bytes at the start away.
    fn cut(&mut self, bytes: usize) {
        let bytes = self.length.min(bytes as u32);
        self.start += bytes;
        self.length -= bytes;
    }
}

impl Members {
    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The member at a place.
    pub(crate) fn at(&self, place: usize) -> Member<'_> {
        let Entry { name, shape, executable } = self.entries[place];
        let kind = match shape {
            Shape::File(content) => Kind::File(content as usize),
            Shape::Directory => Kind::Directory,
            Shape::Symlink(target) => Kind::Symlink(target.of(&self.texts)),
            Shape::Link(target) => Kind::Link(target.of(&self.texts)),
            Shape::Device => Kind::Device,
            Shape::Unknown(content) => Kind::Unknown(content as usize),
        };
        Member { name: name.of(&self.texts), kind, executable }
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        (0..self.len()).map(|place| self.at(place))
    }

    /// Adds a member.
    ///
    /// # Errors
    /// The names of all members take more than 4 GiB.
    pub(crate) fn add(&mut self, member: Member<'_>) -> ArchiveResult<()> {
        let name = self.keep(member.name)?;
        let shape = match member.kind {
            Kind::File(content) => Shape::File(narrow(content)?),
            Kind::Directory => Shape::Directory,
            Kind::Symlink(target) => Shape::Symlink(self.keep(target)?),
            Kind::Link(target) => Shape::Link(self.keep(target)?),
            Kind::Device => Shape::Device,
            Kind::Unknown(content) => Shape::Unknown(narrow(content)?),
        };
        self.entries.push(Entry { name, shape, executable: member.executable });
        Ok(())
    }

    fn keep(&mut self, text: &[u8]) -> ArchiveResult<Span> {
        let start = self.texts.keep(text);
        let start =
            start.ok_or_else(|| ArchiveError::malformed(format!("a name of {} bytes", text.len())))?;
        Ok(Span { start: narrow(start)?, length: narrow(text.len())? })
    }

    /// Takes so many bytes away from the start of the name of a member, and from that of what it links to if it is a
    /// hard link.
    pub(crate) fn cut(&mut self, place: usize, name: usize, target: usize) {
        let entry = &mut self.entries[place];
        entry.name.cut(name);
        if let Shape::Link(link) = &mut entry.shape {
            link.cut(target);
        }
    }
}

fn narrow(number: usize) -> ArchiveResult<u32> {
    u32::try_from(number)
        .map_err(|_| ArchiveError::malformed("the names of its members take more than 4 GiB"))
}

/// Reads all members; their content goes to `blobs`.
///
/// # Errors
/// No archive at all, or one that is cut short or malformed.
pub(crate) fn read(input: Unpacked, blobs: &mut Blobs<'_, '_>) -> ArchiveResult<Members> {
    let mut reader = Reader { input, at: 0, holes: 0, global: Pax::default() };
    let mut members = Members::default();
    while let Some(raw) = reader.next_header()? {
        if members.len() >= MOST_MEMBERS {
            return Err(ArchiveError::malformed(format!("more than {MOST_MEMBERS} members")));
        }
        let longest = raw.name.len().max(raw.link.len());
        if longest > LONGEST_NAME {
            return Err(ArchiveError::malformed(format!("a name of {longest} bytes")));
        }
        members.add(reader.finish(&raw, blobs)?)?;
    }
    Ok(members)
}

/// Records of pax headers.
type Pax = BTreeMap<Vec<u8>, Vec<u8>>;

struct Reader {
    input: Unpacked,
    /// Bytes read so far.
    at: u64,
    /// Bytes of sparse files so far that are stored nowhere.
    holes: u64,
    /// Records that count for all members that follow.
    global: Pax,
}

/// A header as it stands, patched by those before it.
#[derive(Default)]
struct Raw {
    name: Vec<u8>,
    mode: u64,
    size: u64,
    kind: u8,
    link: Vec<u8>,
    /// Where parts of a sparse file go, and how long they are.
    sparse: Option<Vec<(u64, u64)>>,
    /// Bytes after the header that belong to it, padding included.
    stored: u64,
    /// Bytes of those that were read already.
    used: u64,
}

/// What came instead of a header.
enum Trouble {
    /// Nothing at all.
    Empty,
    /// Fewer than 512 bytes.
    Truncated,
    /// A block of zeros.
    End,
    /// Something else.
    Invalid(&'static str),
    /// The stream failed, or the archive cannot be right.
    Fatal(ArchiveError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Fatal(error.into())
    }
}

impl From<Trouble> for ArchiveError {
    fn from(trouble: Trouble) -> ArchiveError {
        ArchiveError::malformed(match trouble {
            Trouble::Empty => "empty header",
            Trouble::Truncated => "truncated header",
            Trouble::End => "end of file header",
            Trouble::Invalid(what) => what,
            Trouble::Fatal(error) => return error,
        })
    }
}

impl Raw {
    fn is_regular(&self) -> bool {
        matches!(self.kind, b'0' | 0 | b'7' | b'S')
    }

    fn is_directory(&self) -> bool {
        self.kind == b'5'
    }

    /// Whether content follows the header.
    fn has_content(&self) -> bool {
        self.is_regular() || !matches!(self.kind, b'1'..=b'6' | b'L' | b'K')
    }

    fn strip_directory(&mut self) {
        if self.is_directory() {
            while self.name.last() == Some(&b'/') {
                self.name.pop();
            }
        }
    }

    /// Takes over what pax records say.
    fn apply(&mut self, records: &Pax) -> Result<(), Trouble> {
        for (name, value) in records {
            match name.as_slice() {
                b"GNU.sparse.name" => self.name.clone_from(value),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                    self.size = decimal(value).ok_or(Trouble::Invalid("invalid header"))?;
                }
                b"path" => {
                    self.name.clone_from(value);
                    while self.name.last() == Some(&b'/') {
                        self.name.pop();
                    }
                }
                b"linkpath" => self.link.clone_from(value),
                b"size" => self.size = decimal(value).unwrap_or(0),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Reader {
    /// The next header; `None` at the end.
    fn next_header(&mut self) -> ArchiveResult<Option<Raw>> {
        let first = self.at == 0;
        match self.header(true, 0) {
            Ok(raw) => Ok(Some(raw)),
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::End) => Ok(None),
            Err(Trouble::Empty) if first => Err(ArchiveError::malformed("the file is empty")),
            Err(Trouble::Truncated | Trouble::Invalid(_)) if first => {
                let message = "this is no tar archive, nor one compressed with gzip, bzip2, xz, zstd or lzip";
                Err(ArchiveError::malformed(message))
            }
            Err(_) => Ok(None),
        }
    }

    /// Reads up to `length` bytes.
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.input).take(length).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    /// A header that follows one which lengthens it: nothing but a good one will do.
    fn subsequent(&mut self, depth: usize) -> Result<Raw, Trouble> {
        if depth > DEEPEST {
            return Err(Trouble::Fatal(ArchiveError::malformed("too many headers before one member")));
        }
        self.header(false, depth).map_err(|trouble| Trouble::Fatal(trouble.into()))
    }

    fn header(&mut self, check_directory: bool, depth: usize) -> Result<Raw, Trouble> {
        let block = self.bytes(BLOCK as u64)?;
        let raw = parse(&block, check_directory)?;
        match raw.kind {
            b'L' | b'K' => self.long_name(&raw, depth),
            b'S' => self.old_sparse(raw, &block),
            b'x' | b'g' | b'X' => self.pax(&raw, depth),
            _ => self.plain(raw),
        }
    }

    fn plain(&mut self, mut raw: Raw) -> Result<Raw, Trouble> {
        raw.stored = if raw.has_content() { padded(raw.size) } else { 0 };
        let global = std::mem::take(&mut self.global);
        let applied = raw.apply(&global);
        self.global = global;
        applied?;
        raw.strip_directory();
        Ok(raw)
    }

    /// The content of a header that lengthens the next one.
    fn extension(&mut self, raw: &Raw) -> Result<Vec<u8>, Trouble> {
        if raw.size > LONGEST {
            let message = format!("a header of {} bytes", raw.size);
            return Err(Trouble::Fatal(ArchiveError::malformed(message)));
        }
        Ok(self.bytes(padded(raw.size))?)
    }

    fn long_name(&mut self, raw: &Raw, depth: usize) -> Result<Raw, Trouble> {
        let content = self.extension(raw)?;
        let mut next = self.subsequent(depth + 1)?;
        let name = until_zero(&content).to_vec();
        if raw.kind == b'L' {
            next.name = name;
        } else {
            next.link = name;
        }
        if next.is_directory() && next.name.last() == Some(&b'/') {
            next.name.pop();
        }
        Ok(next)
    }

    /// GNU's old sparse format: the map stands in the header and in blocks after it.
    fn old_sparse(&mut self, mut raw: Raw, block: &[u8]) -> Result<Raw, Trouble> {
        let mut map = Vec::new();
        let mut entries = |block: &[u8], at: usize, count: usize, all: bool| -> Result<(), Trouble> {
            for entry in block[at..].chunks_exact(24).take(count) {
                let (offset, length) = (number(&entry[..12])?, number(&entry[12..])?);
                if all || (offset != 0 && length != 0) {
                    map.push((offset, length));
                }
            }
            Ok(())
        };
        entries(block, 386, 4, true)?;
        let real_size = number(&block[483..495])?;
        let mut more = block[482] != 0;
        while more {
            let block = self.bytes(BLOCK as u64)?;
            if block.len() < BLOCK {
                return Err(Trouble::Fatal(ArchiveError::malformed("unexpected end of data")));
            }
            entries(&block, 0, 21, false)?;
            more = block[504] != 0;
        }
        raw.stored = padded(raw.size);
        raw.size = real_size;
        raw.sparse = Some(map);
        Ok(raw)
    }

    fn pax(&mut self, raw: &Raw, depth: usize) -> Result<Raw, Trouble> {
        let list = records(&self.extension(raw)?)?;
        let mut all = self.global.clone();
        all.extend(list.iter().cloned());
        let size: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size as u64 > LONGEST {
            let message = format!("headers of {size} bytes for one member");
            return Err(Trouble::Fatal(ArchiveError::malformed(message)));
        }
        if raw.kind == b'g' {
            self.global.clone_from(&all);
        }
        let mut next = self.subsequent(depth + 1)?;
        if let Some(map) = all.get(b"GNU.sparse.map".as_slice()) {
            next.sparse = Some(pairs(map)?);
        } else if all.contains_key(b"GNU.sparse.size".as_slice()) {
            next.sparse = Some(listed(&list)?);
        } else if all.get(b"GNU.sparse.major".as_slice()).is_some_and(|major| major == b"1")
            && all.get(b"GNU.sparse.minor".as_slice()).is_some_and(|minor| minor == b"0")
        {
            self.sparse_map(&mut next)?;
        }
        if raw.kind != b'g' {
            next.apply(&all)?;
            if all.contains_key(b"size".as_slice()) {
                next.stored = next.used + if next.has_content() { padded(next.size) } else { 0 };
            }
        }
        Ok(next)
    }

    /// GNU's sparse format 1.0: the map is text before the content.
    fn sparse_map(&mut self, next: &mut Raw) -> Result<(), Trouble> {
        let mut text = Vec::new();
        let mut numbers: Vec<u64> = Vec::new();
        let mut count = None;
        while count.is_none_or(|count: u64| (numbers.len() as u64) < count.saturating_mul(2)) {
            let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
                let block = self.bytes(BLOCK as u64)?;
                next.used += block.len() as u64;
                if block.len() < BLOCK || text.len() > LONGEST_LINE || next.used > LONGEST {
                    return Err(Trouble::Fatal(ArchiveError::malformed("unexpected end of data")));
                }
                text.extend_from_slice(&block);
                continue;
            };
            let line: Vec<u8> = text.drain(..=end).collect();
            let number = decimal(&line[..end]).ok_or(Trouble::Invalid("invalid header"))?;
            match count {
                None => count = Some(number),
                Some(_) => numbers.push(number),
            }
        }
        next.sparse = Some(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
        Ok(())
    }

    /// Stores the content of a member and goes to the next header.
    fn finish<'r>(&mut self, raw: &'r Raw, blobs: &mut Blobs<'_, '_>) -> ArchiveResult<Member<'r>> {
        let mut left = raw.stored.checked_sub(raw.used).ok_or_else(unexpected_end)?;
        let mut kind = match raw.kind {
            b'1' => Kind::Link(&raw.link),
            b'2' => Kind::Symlink(&raw.link),
            b'3' | b'4' | b'6' => Kind::Device,
            b'5' => Kind::Directory,
            _ => Kind::Unknown(0),
        };
        if matches!(kind, Kind::Unknown(_)) {
            let number = match &raw.sparse {
                Some(map) => self.sparse(raw, map, &mut left, blobs)?,
                None if raw.size > left => return Err(unexpected_end()),
                None => {
                    left -= raw.size;
                    self.at += raw.size;
                    blobs.take(&mut self.input, raw.size)?
                }
            };
            kind = if raw.is_regular() { Kind::File(number) } else { Kind::Unknown(number) };
        }
        self.skip(left)?;
        Ok(Member { name: &raw.name, kind, executable: raw.mode & 0o100 != 0 })
    }

    fn sparse(
        &mut self,
        raw: &Raw,
        map: &[(u64, u64)],
        left: &mut u64,
        blobs: &mut Blobs<'_, '_>,
    ) -> ArchiveResult<usize> {
        let mut end = 0u64;
        for (offset, length) in map {
            let sorted = *offset >= end || *length == 0;
            end = offset.checked_add(*length).filter(|_| sorted).ok_or_else(|| {
                ArchiveError::malformed(format!("the parts of the sparse file {} overlap", shown(&raw.name)))
            })?;
        }
        let total: u64 = map.iter().map(|(_, length)| length).sum();
        self.holes = self.holes.saturating_add(raw.size.saturating_sub(total));
        self.input.check(self.holes.saturating_add(self.at))?;
        *left = left.checked_sub(total).ok_or_else(unexpected_end)?;
        let mut parts = Parts { input: &mut self.input, map, at: 0, done: 0 };
        let number = blobs.take(&mut parts, raw.size)?;
        // Parts behind the end of the file are there, but do not count.
        let behind = total - parts.done;
        self.at += total - behind;
        self.skip(behind)?;
        Ok(number)
    }

    fn skip(&mut self, length: u64) -> ArchiveResult<()> {
        let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
        self.at += skipped;
        if skipped < length { Err(unexpected_end()) } else { Ok(()) }
    }
}

fn unexpected_end() -> ArchiveError {
    ArchiveError::malformed("unexpected end of data")
}

/// A sparse file, its holes filled with zeros.
struct Parts<'a, R> {
    input: &'a mut R,
    map: &'a [(u64, u64)],
    /// Where in the file.
    at: u64,
    /// Bytes of parts read so far.
    done: u64,
}

impl<R: Read> Read for Parts<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((offset, length)) = self.map.first().copied() {
            if length == 0 || self.at >= offset + length {
                self.map = &self.map[1..];
                continue;
            }
            if self.at >= offset {
                let most = usize::try_from(offset + length - self.at).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.input.read(&mut buffer[..most])?;
                self.at += read as u64;
                self.done += read as u64;
                return Ok(read);
            }
            return Ok(self.zeros(buffer, offset - self.at));
        }
        Ok(self.zeros(buffer, u64::MAX))
    }
}

impl<R> Parts<'_, R> {
    fn zeros(&mut self, buffer: &mut [u8], most: u64) -> usize {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        buffer[..count].fill(0);
        self.at += count as u64;
        count
    }
}

/// Reads one header.
fn parse(block: &[u8], check_directory: bool) -> Result<Raw, Trouble> {
    if block.is_empty() {
        return Err(Trouble::Empty);
    }
    if block.len() < BLOCK {
        return Err(Trouble::Truncated);
    }
    if block.iter().all(|byte| *byte == 0) {
        return Err(Trouble::End);
    }
    check_sum(block)?;
    // The reference reads these numbers too, and takes a header in which they are none for the end.
    for field in [108..116, 116..124, 136..148, 329..337, 337..345] {
        signed_number(&block[field])?;
    }
    let mut raw = Raw {
        name: until_zero(&block[..100]).to_vec(),
        mode: signed_number(&block[100..108])?.cast_unsigned(),
        size: number(&block[124..136])?,
        kind: block[156],
        link: until_zero(&block[157..257]).to_vec(),
        ..Raw::default()
    };
    if check_directory && raw.kind == 0 && raw.name.last() == Some(&b'/') {
        raw.kind = b'5';
    }
    raw.strip_directory();
    let prefix = until_zero(&block[345..500]);
    if !prefix.is_empty() && !matches!(raw.kind, b'L' | b'K' | b'S') {
        raw.name = [prefix, b"/", &raw.name].concat();
    }
    Ok(raw)
}

/// Some writers summed up signed bytes.
fn check_sum(block: &[u8]) -> Result<(), Trouble> {
    let said = signed_number(&block[148..156])?;
    let summed = |value: fn(u8) -> i64| -> i64 {
        let counts = |at: usize| !(148..156).contains(&at);
        256 + block
            .iter()
            .enumerate()
            .filter(|(at, _)| counts(*at))
            .map(|(_, byte)| value(*byte))
            .sum::<i64>()
    };
    let fits = said == summed(i64::from) || said == summed(|byte| i64::from(byte.cast_signed()));
    if fits { Ok(()) } else { Err(Trouble::Invalid("bad checksum")) }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A number that makes no sense below zero.
fn number(field: &[u8]) -> Result<u64, Trouble> {
    u64::try_from(signed_number(field)?).map_err(|_| Trouble::Invalid("invalid header"))
}

/// A number in octal digits, or in base 256 behind a byte that says so.
fn signed_number(field: &[u8]) -> Result<i64, Trouble> {
    let invalid = || Trouble::Invalid("invalid header");
    if let [first @ (0o200 | 0o377), rest @ ..] = field {
        // Sign-extended to the width of the field; what does not fit 64 bits fits no file either.
        let start = if *first == 0o377 { -1i128 } else { 0 };
        let mut value = start;
        for byte in rest {
            value = value.checked_shl(8).filter(|_| value.unsigned_abs() < 1 << 100).ok_or_else(invalid)?
                | i128::from(*byte);
        }
        return i64::try_from(value).map_err(|_| invalid());
    }
    let text = std::str::from_utf8(until_zero(field)).map_err(|_| invalid())?;
    if !text.is_ascii() {
        return Err(invalid());
    }
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || ('\u{b}'..='\u{1f}').contains(&c));
    if text.is_empty() {
        return Ok(0);
    }
    i64::from_str_radix(text, 8).map_err(|_| invalid())
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// A size as whole blocks.
fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64)
}

/// A keyword and a value.
type Record = (Vec<u8>, Vec<u8>);

/// The records of a pax header: `LENGTH KEYWORD=VALUE` and a newline each.
fn records(content: &[u8]) -> Result<Vec<Record>, Trouble> {
    let invalid = || Trouble::Invalid("invalid header");
    let mut records = Vec::new();
    let mut rest = content;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=20).contains(&digits) || rest.get(digits) != Some(&b' ') {
            return Err(invalid());
        }
        let length =
            decimal(&rest[..digits]).and_then(|length| usize::try_from(length).ok()).ok_or_else(invalid)?;
        if length < 5 || length > rest.len() || digits + 1 >= length || rest[length - 1] != b'\n' {
            return Err(invalid());
        }
        let record = &rest[digits + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(invalid)?;
        let (name, value) = (&record[..equals], &record[equals + 1..]);
        // Nothing else is looked at, and may be much.
        if matches!(name, b"path" | b"linkpath" | b"size") || name.starts_with(b"GNU.sparse.") {
            records.push((name.to_vec(), value.to_vec()));
        }
        rest = &rest[length..];
    }
    Ok(records)
}

/// `OFFSET,LENGTH,OFFSET,LENGTH,…`
fn pairs(text: &[u8]) -> Result<Vec<(u64, u64)>, Trouble> {
    let numbers = text.split(|byte| *byte == b',').map(decimal);
    let numbers: Vec<u64> = numbers.collect::<Option<_>>().ok_or(Trouble::Invalid("invalid header"))?;
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The map of sparse format 0.0: a record per number.
fn listed(list: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<(u64, u64)>, Trouble> {
    let numbers = |name: &[u8]| -> Result<Vec<u64>, Trouble> {
        let named = list.iter().filter(|(keyword, _)| keyword == name);
        named.map(|(_, value)| decimal(value).ok_or(Trouble::Invalid("invalid header"))).collect()
    };
    Ok(numbers(b"GNU.sparse.offset")?.into_iter().zip(numbers(b"GNU.sparse.numbytes")?).collect())
}
