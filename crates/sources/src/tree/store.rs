//! The file that holds the records of all trees.
//!
//! After eight bytes that name the format come records, each `length-of-key length-of-body checksum-of-body
//! checksum-of-head key body`; the last record of a key counts. Records are only ever appended, under a lock, and
//! what an interrupted run left at the end is cut off; when more than half is outdated the file is written anew and
//! renamed into place.

use super::record::Bytes;
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Names the format; another version is another name.
const MAGIC: &[u8; 8] = b"bournLT2";
const HEAD: usize = 4 + 8 + 8 + 8;
/// Records above this are written at once, so that an interruption does not lose much work.
const LARGE: usize = 1 << 18;
/// Bytes that are read and added up at a time.
const PIECE: usize = 1 << 20;
/// Outdated bytes below this are not worth writing the file anew.
const WORTH_COMPACTING: u64 = 1 << 20;

/// The records of all trees.
pub(super) struct Store {
    path: Option<PathBuf>,
    /// The file as it was found, and where its records are.
    found: Option<(File, Index)>,
    /// Not written yet.
    pending: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

/// Where the records of a file are.
#[derive(Default)]
struct Index {
    records: HashMap<Vec<u8>, Place>,
    /// Where the last whole record ends.
    end: u64,
}

#[derive(Clone, Copy)]
struct Place {
    at: u64,
    length: usize,
    checksum: u64,
}

impl Store {
    pub(super) fn open(directory: Option<&Path>) -> Store {
        let path = directory.map(|directory| directory.join("local-digests"));
        let found = path.as_ref().and_then(|path| {
            let file = File::open(path).ok()?;
            let index = Index::read(&file).ok()?;
            Some((file, index))
        });
        Store { path, found, pending: Mutex::default() }
    }

    /// The record of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (file, index) = self.found.as_ref()?;
        let place = index.records.get(key)?;
        let mut body = vec![0; place.length];
        let pieces = body.par_chunks_mut(PIECE).enumerate();
        let read = |(number, piece): (usize, &mut [u8])| {
            file.read_exact_at(piece, place.at + (number * PIECE) as u64).map(|()| checksum_of_piece(piece))
        };
        let checksums: Vec<u64> = pieces.map(read).collect::<io::Result<_>>().ok()?;
        (join(&checksums) == place.checksum).then_some(body)
    }

    /// Keeps a record.
    pub(super) fn put(&self, key: &[u8], record: Vec<u8>) {
        let large = record.len() > LARGE;
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_vec(), record);
        if large {
            self.save();
        }
    }

    /// Writes what is not written yet. A cache that cannot be written to is not worth an error.
    pub(super) fn save(&self) {
        let Some(path) = &self.path else { return };
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if !pending.is_empty() {
            let _ = append(path, &pending);
        }
    }
}

impl Index {
    fn read(file: &File) -> io::Result<Index> {
        let length = file.metadata()?.len();
        let mut index = Index::default();
        let mut magic = [0; MAGIC.len()];
        if length < MAGIC.len() as u64 {
            return Ok(index);
        }
        file.read_exact_at(&mut magic, 0)?;
        if magic != *MAGIC {
            return Ok(index);
        }
        index.end = MAGIC.len() as u64;
        while let Some((key, place)) = read_head(file, index.end, length) {
            index.end = place.at + place.length as u64;
            index.records.insert(key, place);
        }
        Ok(index)
    }

    /// How many bytes of the file are records that count.
    fn live(&self) -> u64 {
        self.records.iter().map(|(key, place)| (HEAD + key.len() + place.length) as u64).sum()
    }
}

/// The head of the record at `at`; `None` when there is no whole record.
fn read_head(file: &File, at: u64, length: u64) -> Option<(Vec<u8>, Place)> {
    // One read brings the head and, most often, the whole key.
    let mut buffer = vec![0; usize::try_from((length - at).min(512)).ok()?];
    file.read_exact_at(&mut buffer, at).ok()?;
    let mut bytes = Bytes(&buffer);
    let key_length = bytes.u32()?;
    let body_length = bytes.u64()?;
    let (checksum_of_body, checksum_of_head) = (bytes.u64()?, bytes.u64()?);
    let key_end = at.checked_add(HEAD as u64)?.checked_add(u64::from(key_length))?;
    if key_end.checked_add(body_length)? > length {
        return None;
    }
    let mut head = buffer[..20].to_vec();
    let mut key = vec![0; key_length as usize];
    match bytes.take(key.len()) {
        Some(found) => key.copy_from_slice(found),
        None => file.read_exact_at(&mut key, at + HEAD as u64).ok()?,
    }
    head.extend_from_slice(&key);
    let place = Place { at: key_end, length: usize::try_from(body_length).ok()?, checksum: checksum_of_body };
    (checksum(&head) == checksum_of_head).then_some((key, place))
}

fn write_record(out: &mut Vec<u8>, key: &[u8], body: &[u8]) {
    let mut head = Vec::with_capacity(20 + key.len());
    head.extend_from_slice(&(key.len() as u32).to_le_bytes());
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    head.extend_from_slice(&checksum(body).to_le_bytes());
    out.extend_from_slice(&head);
    head.extend_from_slice(key);
    out.extend_from_slice(&checksum(&head).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(body);
}

/// The sum of the sums of all pieces: those of a large tree are read and added up on all cores.
fn checksum(bytes: &[u8]) -> u64 {
    join(&bytes.chunks(PIECE).map(checksum_of_piece).collect::<Vec<_>>())
}

fn join(checksums: &[u64]) -> u64 {
    let bytes: Vec<u8> = checksums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    checksum_of_piece(&bytes)
}

/// Finds torn writes; not meant against malice.
fn checksum_of_piece(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut chunks = bytes.chunks_exact(8);
    let mut sum = PRIME ^ bytes.len() as u64;
    for chunk in &mut chunks {
        sum = mix(sum, u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    let mut rest = [0; 8];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(mix(sum, u64::from_le_bytes(rest)), 0)
}

fn append(path: &Path, records: &HashMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = open_locked(path)?;
    let mut index = Index::read(&file)?;
    let mut bytes = Vec::new();
    if index.end == 0 {
        bytes.extend_from_slice(MAGIC);
    }
    for (key, body) in records {
        write_record(&mut bytes, key, body);
        index.records.remove(key);
    }
    let live = index.live() + bytes.len() as u64;
    if index.end.saturating_sub(index.live()) > live.max(WORTH_COMPACTING) {
        return compact(path, &file, &index, &bytes);
    }
    file.set_len(index.end)?;
    file.write_all_at(&bytes, index.end)
}

/// Opens the file and locks it; another process may have renamed a new one into place meanwhile.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        let opened = file.metadata()?.ino();
        if path.metadata().is_ok_and(|found| found.ino() == opened) {
            return Ok(file);
        }
    }
}

/// Writes the records that count, and new ones, into a file of its own and renames it into place.
fn compact(path: &Path, file: &File, index: &Index, new: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut compacted = tempfile::NamedTempFile::new_in(directory)?;
    compacted.write_all(MAGIC)?;
    for (key, place) in &index.records {
        let mut body = vec![0; place.length];
        file.read_exact_at(&mut body, place.at)?;
        let mut bytes = Vec::new();
        write_record(&mut bytes, key, &body);
        compacted.write_all(&bytes)?;
    }
    compacted.write_all(new.strip_prefix(MAGIC).unwrap_or(new))?;
    compacted.persist(path).map_err(|error| error.error)?;
    Ok(())
}
