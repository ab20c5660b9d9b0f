//! Looks for archives that break their readers: `cargo run --release -p bourn-sources --example fuzz -- TARGET SECONDS
//! [SEED]`.
//!
//! Targets are `tar`, `gz`, `xz`, `bz2`, `zst`, `lz`, `zip` and `deb`. Archives are mutated from small ones, before they are
//! compressed and after. Whatever is in an archive, its reader must not panic nor take long, and what it stages must be
//! whole. The first archive that breaks this is kept in a file whose name is printed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a program for the terminal"
)]

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/sources/fixture.rs"]
mod fixture;
#[path = "../tests/sources/pack.rs"]
mod pack;

use bourn_plan::Source;
use bourn_reapi::{Cas, Digest};
use bourn_testkit::memory::MemoryStore;
use fixture::Fixture;
use pack::{bzip2, gzip, lzip, xz, zstd};
use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longer than this for one archive is a finding.
const SLOW: Duration = Duration::from_secs(5);

/// What means something in an archive.
const PIECES: &[&[u8]] = &[
    b"../",
    b"/",
    b"./",
    b"..",
    b"\0",
    b"\xff",
    b"ustar\x0000",
    b"ustar  \0",
    b"!<arch>\n",
    b"`\n",
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"0",
    b"1",
    b"2",
    b"5",
    b"L",
    b"K",
    b"x",
    b"g",
    b"S",
    b"7777777",
    b"\x80\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"11 path=a/\n",
    b"13 size=9999\n",
    b"GNU.sparse.major=1\n",
    b"data.tar.gz",
    b"debian-binary",
    b"control.tar",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(target), Some(seconds)) = (arguments.first(), arguments.get(1).and_then(|s| s.parse().ok()))
    else {
        eprintln!("usage: fuzz tar|gz|xz|bz2|zst|lz|zip|deb SECONDS [SEED]");
        return ExitCode::from(2);
    };
    let pack: fn(&[u8]) -> Vec<u8> = match target.as_str() {
        "tar" | "zip" => <[u8]>::to_vec,
        "gz" => gzip,
        "xz" => xz,
        "bz2" => bzip2,
        "zst" => zstd,
        "lz" => lzip,
        "deb" => deb,
        _ => {
            eprintln!("no such target: {target}");
            return ExitCode::from(2);
        }
    };
    let kind = match target.as_str() {
        "zip" | "deb" => target,
        _ => "tar",
    };
    let seed = arguments.get(2).and_then(|s| s.parse().ok()).unwrap_or(1);
    // A panic is a finding, which is told once.
    std::panic::set_hook(Box::new(|_| {}));
    hunt(kind, pack, Duration::from_secs(seconds), Chance(seed))
}

fn hunt(kind: &str, pack: fn(&[u8]) -> Vec<u8>, time: Duration, mut chance: Chance) -> ExitCode {
    let start = Instant::now();
    let place = Place::new(kind);
    let mut pool = vec![if kind == "zip" { zip_seed() } else { tar_seed() }];
    let (mut count, mut good) = (0_u64, 0_u64);
    while start.elapsed() < time {
        let plain = mutated(&mut chance, &pool);
        let mut archive = pack(&plain);
        // Most damage to what is compressed ends at its check sum.
        if chance.below(4) == 0 {
            archive = mutated(&mut chance, &[archive]);
        }
        count += 1;
        let begun = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| place.stage(&archive)));
        let wrong = match verdict {
            Err(_) => Some("it panicked"),
            Ok(Some(false)) => Some("what it staged is not whole"),
            Ok(_) if begun.elapsed() > SLOW => Some("it took long"),
            Ok(staged) => {
                if staged.is_some() {
                    good += 1;
                    if pool.len() < 500 && plain.len() < 100_000 {
                        pool.push(plain);
                    }
                }
                None
            }
        };
        if let Some(wrong) = wrong {
            let path = std::env::temp_dir().join(format!("bourn-fuzz-{kind}-{count}"));
            std::fs::write(&path, &archive).expect("a file");
            println!("{wrong} after {count} archives: {}", path.display());
            return ExitCode::FAILURE;
        }
    }
    println!("{count} archives, {good} of them staged, in {} s: nothing found", start.elapsed().as_secs());
    ExitCode::SUCCESS
}

/// A project whose one source is staged again and again, from a file that is written anew.
struct Place {
    fixture: Fixture,
    file: String,
    source: Box<dyn Source>,
}

impl Place {
    fn new(kind: &str) -> Place {
        let fixture = Fixture::new("aliases:\n  f: file:///nowhere/\n");
        // What is kept under a sum was checked when it came, and is not again.
        let sha256 = Digest::of(b"whatever").hex();
        let text = format!("kind: {kind}\nurl: f:a\nref: {sha256}\nbase-dir: ''\n");
        let source = fixture.source(&text).expect("a source");
        Place { fixture, file: format!("sources/{kind}/f_a/{sha256}"), source }
    }

    /// Stages an archive: whether what came of it is whole, `None` when it was refused.
    fn stage(&self, archive: &[u8]) -> Option<bool> {
        self.fixture.write(&self.file, archive);
        let store = MemoryStore::new();
        let digest = self.fixture.with_context(&*store, None, |context| self.source.stage(context)).ok()?;
        Some(Cas::contains_tree(&*store, &digest).unwrap_or(false))
    }
}

fn tar_seed() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |kind, name: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).expect("a link");
        }
        archive.append_data(&mut header, name, content).expect("memory");
    };
    add(tar::EntryType::Directory, "d/", "", b"");
    add(tar::EntryType::Regular, "d/file", "", b"content");
    add(tar::EntryType::Symlink, "d/link", "file", b"");
    add(tar::EntryType::Link, "d/hard", "d/file", b"");
    add(tar::EntryType::Regular, &format!("d/{}", "long".repeat(40)), "", b"x");
    archive.into_inner().expect("memory")
}

fn zip_seed() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.add_directory("d/", options).expect("memory");
    archive.start_file("d/file", options).expect("memory");
    archive.write_all(b"content content content").expect("memory");
    let stored = options.compression_method(zip::CompressionMethod::Stored);
    archive.start_file("d/stored", stored).expect("memory");
    archive.write_all(b"content").expect("memory");
    archive.finish().expect("memory").into_inner()
}

/// A Debian package with this as its data.
fn deb(plain: &[u8]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar", vec![0; 1024]), ("data.tar.gz", gzip(plain))]
    {
        archive.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).bytes(),
        );
        archive.extend(&content);
        archive.resize(archive.len().next_multiple_of(2), b'\n');
    }
    archive
}

/// New bytes from some of the pool. Headers of tar archives get the right sum again, most often.
fn mutated(chance: &mut Chance, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pool.get(chance.below(pool.len())).cloned().unwrap_or_default();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let piece = PIECES[chance.below(PIECES.len())];
        let end = (at + piece.len()).min(bytes.len());
        match chance.below(6) {
            0 | 1 => drop(bytes.splice(at..end, piece.iter().copied())),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = chance.below(256) as u8),
            3 => bytes.truncate(at),
            4 => {
                let block = at / 512 * 512;
                let copy = bytes[block..(block + 512).min(bytes.len())].to_vec();
                let to = chance.below(bytes.len() / 512 + 1) * 512;
                let to = to.min(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => drop(bytes.drain(at..end)),
        }
    }
    if chance.below(8) != 0 {
        mend(&mut bytes);
    }
    bytes
}

/// Writes the sums of whatever looks like headers of a tar archive.
fn mend(bytes: &mut [u8]) {
    for header in bytes.chunks_exact_mut(512).filter(|header| header[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}
