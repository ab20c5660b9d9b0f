//! Packs, their indexes, and the index of a working tree: always the same bytes for the same content.

use super::{Kind, Oid};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;
use sha1::{Digest as _, Sha1};
use std::io::Write;

/// An object to be packed.
pub(crate) struct Packed {
    pub(crate) oid: Oid,
    pub(crate) kind: Kind,
    pub(crate) content: Vec<u8>,
}

/// The name of an object.
pub(crate) fn name(kind: Kind, content: &[u8]) -> Oid {
    let word = match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::Blob => "blob",
        Kind::Tag => "tag",
    };
    let mut hasher = Sha1::new();
    hasher.update(format!("{word} {}\0", content.len()));
    hasher.update(content);
    Oid(hasher.finalize().into())
}

/// A pack of these objects, and its index. They are sorted by name first.
pub(crate) fn pack(mut objects: Vec<Packed>) -> (Vec<u8>, Vec<u8>) {
    objects.sort_unstable_by_key(|object| object.oid);
    objects.dedup_by_key(|object| object.oid);
    let deflated: Vec<Vec<u8>> = objects.par_iter().map(entry).collect();
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&(objects.len() as u32).to_be_bytes());
    let mut offsets = Vec::with_capacity(objects.len());
    let mut sums = Vec::with_capacity(objects.len());
    for entry in &deflated {
        offsets.push(pack.len() as u64);
        let mut crc = flate2::Crc::new();
        crc.update(entry);
        sums.push(crc.sum());
        pack.extend_from_slice(entry);
    }
    let sum = Sha1::digest(&pack);
    pack.extend_from_slice(&sum);
    let index = index(&objects, &offsets, &sums, &sum);
    (pack, index)
}

/// An object as it stands in a pack: kind and size, then the compressed content.
fn entry(object: &Packed) -> Vec<u8> {
    let mut size = object.content.len();
    let mut byte = (object.kind as u8) << 4 | (size & 15) as u8;
    size >>= 4;
    let mut entry = Vec::with_capacity(object.content.len() / 2 + 16);
    while size > 0 {
        entry.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    entry.push(byte);
    let mut encoder = ZlibEncoder::new(entry, Compression::default());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(&object.content);
    encoder.finish().unwrap_or_default()
}

fn index(objects: &[Packed], offsets: &[u64], sums: &[u32], pack: &[u8]) -> Vec<u8> {
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    let mut counts = [0u32; 256];
    objects.iter().for_each(|object| counts[usize::from(object.oid.0[0])] += 1);
    let mut total = 0;
    for count in counts {
        total += count;
        index.extend_from_slice(&u32::to_be_bytes(total));
    }
    objects.iter().for_each(|object| index.extend_from_slice(&object.oid.0));
    sums.iter().for_each(|sum| index.extend_from_slice(&sum.to_be_bytes()));
    let mut far = Vec::new();
    for offset in offsets {
        let near = match u32::try_from(*offset).ok().filter(|offset| *offset < 1 << 31) {
            Some(near) => near,
            None => {
                far.push(*offset);
                1 << 31 | (far.len() - 1) as u32
            }
        };
        index.extend_from_slice(&near.to_be_bytes());
    }
    far.iter().for_each(|offset| index.extend_from_slice(&offset.to_be_bytes()));
    index.extend_from_slice(pack);
    let sum = Sha1::digest(&index);
    index.extend_from_slice(&sum);
    index
}

/// The index of a working tree of which nothing is known but what it should hold. `entries` are sorted by path.
pub(crate) fn working_index(entries: &[(Vec<u8>, u32, Oid)]) -> Vec<u8> {
    let mut index = b"DIRC\0\0\0\x02".to_vec();
    index.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for (path, mode, oid) in entries {
        let start = index.len();
        // Times, device and inode; mode; user, group and size: with all but the mode zero, git looks at the content.
        index.extend_from_slice(&[0; 24]);
        index.extend_from_slice(&mode.to_be_bytes());
        index.extend_from_slice(&[0; 12]);
        index.extend_from_slice(&oid.0);
        index.extend_from_slice(&(path.len().min(0xfff) as u16).to_be_bytes());
        index.extend_from_slice(path);
        let padding = 8 - (index.len() - start) % 8;
        index.extend(std::iter::repeat_n(0, padding));
    }
    let sum = Sha1::digest(&index);
    index.extend_from_slice(&sum);
    index
}
