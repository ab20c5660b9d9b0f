//! Archives that attack: what they would do outside of the tree, to memory, or to the disk.

use crate::fixture::Fixture;
use crate::pack::{bzip2, gzip, lzip, xz, zstd};
use bourn_reapi::Cas;
use bourn_testkit::memory::{MemoryStore, listing};
use std::io::{Cursor, Write};
use std::sync::Arc;

/// A member of a tar archive, as raw as it may be.
#[derive(Clone)]
struct Member {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    content: Vec<u8>,
    /// The size that the header says, where it lies.
    size: Option<u64>,
}

fn member(kind: u8, name: &str, link: &str, content: &str) -> Member {
    let [name, link, content] = [name, link, content].map(|text| text.as_bytes().to_vec());
    Member { kind, name, link, content, size: None }
}

fn file(name: &str, content: &str) -> Member {
    member(b'0', name, "", content)
}

fn directory(name: &str) -> Member {
    member(b'5', name, "", "")
}

fn symlink(name: &str, target: &str) -> Member {
    member(b'2', name, target, "")
}

fn hard_link(name: &str, target: &str) -> Member {
    member(b'1', name, target, "")
}

/// Headers that give the next member a longer name and target.
fn long(kind: u8, text: &[u8]) -> Member {
    Member { kind, name: b"././@LongLink".to_vec(), link: Vec::new(), content: text.to_vec(), size: None }
}

/// A pax header for the next member.
fn pax(records: &[(&str, &[u8])]) -> Member {
    let mut content = Vec::new();
    for (name, value) in records {
        let rest = name.len() + value.len() + 3;
        let length = (rest..).find(|length| length.to_string().len() + rest == *length).expect("a length");
        content.extend(format!("{length} {name}=").bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    Member { kind: b'x', name: b"pax".to_vec(), link: Vec::new(), content, size: None }
}

fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        let mut header = [0; 512];
        header[..member.name.len().min(100)].copy_from_slice(&member.name[..member.name.len().min(100)]);
        header[100..108].copy_from_slice(b"0000755\0");
        let size = member.size.unwrap_or(member.content.len() as u64);
        header[124] = 0x80;
        header[128..136].copy_from_slice(&size.to_be_bytes());
        header[148..156].fill(b' ');
        header[156] = member.kind;
        header[157..157 + member.link.len()].copy_from_slice(&member.link);
        header[257..265].copy_from_slice(b"ustar  \0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(&member.content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A Debian package of these files.
fn deb(plain: &[u8]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".to_vec()), ("data.tar.xz", xz(plain))] {
        archive.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        archive.extend(&content);
        archive.resize(archive.len().next_multiple_of(2), b'\n');
    }
    archive
}

/// A way to pack a tar archive.
type Pack = fn(&[u8]) -> Vec<u8>;

/// All ways to pack a tar archive, with the kind that unpacks it.
const PACKS: &[(&str, Pack)] = &[
    ("tar", <[u8]>::to_vec),
    ("tar", gzip),
    ("tar", xz),
    ("tar", bzip2),
    ("tar", zstd),
    ("tar", lzip),
    ("deb", deb),
];

/// What staging an archive gives: all that is in the tree, or an error.
fn stage(kind: &str, archive: &[u8], more: &str) -> Result<Vec<String>, String> {
    let fixture = Fixture::new("aliases:\n  f: file:///nowhere/\n");
    let sha256 = bourn_reapi::Digest::of(archive).hex();
    fixture.write(&format!("sources/{kind}/f_a/{sha256}"), archive);
    let source = fixture.source(&format!("kind: {kind}\nurl: f:a\nref: {sha256}\n{more}"));
    let store: Arc<dyn Cas> = MemoryStore::new();
    let staged = fixture.with_context(&*store, None, |context| source.expect("a source").stage(context));
    let digest = staged.map_err(|error| error.message)?;
    assert!(store.contains_tree(&digest).expect("a store"), "the tree is not whole");
    Ok(listing(&store, &bourn_reapi::tree::Tree::open(&store, digest)))
}

/// Stages members, packed in every way: the error has `expect` in it.
#[track_caller]
fn check_refused(members: &[Member], expect: &str) {
    for (at, (kind, pack)) in PACKS.iter().enumerate() {
        let error = stage(kind, &pack(&tar(members)), "base-dir: ''\n").expect_err("an error");
        assert!(error.contains(expect), "{at}: {error}\nhas no\n{expect}");
    }
}

/// Stages members, packed in every way.
#[track_caller]
fn check(members: &[Member], expect: &[&str]) {
    for (at, (kind, pack)) in PACKS.iter().enumerate() {
        let found = stage(kind, &pack(&tar(members)), "base-dir: ''\n");
        assert_eq!(
            found.as_deref(),
            Ok(&*expect.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()),
            "{at}"
        );
    }
}

#[test]
fn names_that_lead_out() {
    for name in ["../x", "a/../../x", "./../x", "a/b/../../../x"] {
        check_refused(&[directory("a"), directory("a/b"), file(name, "out")], "outside the destination");
    }
    check_refused(&[pax(&[("path", b"../x")]), file("harmless", "out")], "outside the destination");
    check_refused(&[long(b'L', b"../x\0"), file("harmless", "out")], "outside the destination");
    check(&[file("/etc/x", "in")], &["etc/x*=in"]);
    check(&[file("//etc//x", "in")], &["etc/x*=in"]);
}

#[test]
fn links_that_lead_out() {
    for target in ["..", "/", "/etc", "a/../.."] {
        let written = [directory("a"), symlink("out", target), file("out/x", "out")];
        check_refused(&written, "outside the destination");
    }
    // Through a link that is within, to one that is not.
    let two = [directory("a"), symlink("a/up", ".."), symlink("out", "a/up/.."), file("out/x", "out")];
    check_refused(&two, "outside the destination");
    // A link in the place of a file that is written again.
    check_refused(&[symlink("x", "../../x"), file("x", "out")], "outside the destination");
    // What links say is theirs, as long as nothing goes through them.
    check(&[symlink("out", "/etc"), symlink("up", "../..")], &["out->/etc", "up->../.."]);
}

#[test]
fn hard_links_that_lead_out() {
    for target in ["../x", "a/../../x", "/../x"] {
        let error = "outside the destination";
        let error = if target.starts_with('/') { "link" } else { error };
        check_refused(&[directory("a"), hard_link("x", target)], error);
    }
    check_refused(&[symlink("out", ".."), hard_link("x", "out/secret")], "outside the destination");
    check_refused(&[hard_link("x", "etc/passwd")], "not there");
    check_refused(&[hard_link("x", "/etc/passwd")], "link");
    check_refused(&[hard_link("x", "y"), hard_link("y", "x")], "not there");
    check(&[file("a", "1"), hard_link("b", "a"), file("b", "2")], &["a*=2", "b*=2"]);
}

#[test]
fn sizes_that_are_absurd() {
    let lies = |size| Member { size: Some(size), ..file("x", "little") };
    for size in [1 << 20, 1 << 40, i64::MAX as u64] {
        check_refused(&[lies(size)], "unexpected end of data");
    }
    // A number that is none: Python takes such a header for the end.
    check(&[file("a", "1"), lies(u64::MAX), file("b", "2")], &["a*=1"]);
    let size = [pax(&[("size", b"99999999999999")]), file("x", "little")];
    check_refused(&size, "unexpected end of data");
    let header = |kind| Member { size: Some(1 << 40), ..long(kind, b"x") };
    for kind in *b"LKxg" {
        check_refused(&[header(kind), file("x", "")], "a header of 1099511627776 bytes");
    }
}

#[test]
fn sparse_files_that_fill_the_disk() {
    for (size, map) in [("1125899906842624", "0,1"), ("9223372036854775807", "5,1")] {
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.major", b"0"),
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        check_refused(&[pax(records), file("x", "1")], "this is a bomb");
    }
    let overlap: &[(&str, &[u8])] = &[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,4,2,4")];
    check_refused(&[pax(overlap), file("x", "12345678")], "overlap");
    let endless: &[(&str, &[u8])] = &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")];
    check_refused(&[pax(endless), file("x", &"1".repeat(5000))], "unexpected end of data");
    let many = file("x", &"9\n".repeat(5000));
    let error = stage("tar", &tar(&[pax(endless), many]), "base-dir: ''\n").expect_err("an error");
    assert!(error.contains("tar archive") || error.contains("overlap"), "{error}");
}

#[test]
fn headers_without_end() {
    let mut members = vec![pax(&[("comment", b"x")]); 40];
    members.push(file("x", "1"));
    check_refused(&members, "too many headers before one member");
    let few: Vec<Member> = [vec![pax(&[("comment", b"x")]); 10], vec![file("x", "1")]].concat();
    check(&few, &["x*=1"]);
}

#[test]
fn names_that_are_too_long() {
    let named = |name: &[u8]| [pax(&[("path", name)]), file("x", "1")];
    check_refused(&named(&[b'n'; 256]), "too long");
    check_refused(&named("dd/".repeat(1400).as_bytes()), "too long");
    check_refused(&named(&vec![b'n'; 70_000]), "a name of 70000 bytes");
    check_refused(&named(b"a\0b"), "zero byte");
    let target = "t/".repeat(2048);
    check_refused(&[pax(&[("linkpath", target.as_bytes())]), symlink("x", "y")], "too long");
    let longest = ["n".repeat(255), "m".repeat(255)].join("/");
    check(&named(longest.as_bytes()), &[&format!("{longest}*=1")]);
}

/// Directories as deep as they can be are staged, deeper ones are refused: no thread runs out of stack.
#[test]
fn directories_that_are_too_deep() {
    let deep = "d/".repeat(1000);
    let deep = deep.trim_end_matches('/').as_bytes();
    let nested = [pax(&[("path", deep)]), directory("x")];
    assert!(stage("tar", &tar(&nested), "base-dir: ''\n").is_ok());
    // A link to the deepest is a short name for it.
    let [long, below] = nested;
    let more = [b"short/".as_slice(), deep].concat();
    let members = [
        long,
        below,
        pax(&[("linkpath", deep)]),
        symlink("short", "x"),
        pax(&[("path", more.get(..200).expect("enough"))]),
        directory("x"),
    ];
    check_refused(&members, "deeper than 1024");
}

#[test]
fn names_in_other_encodings() {
    let named = |name: &[u8]| Member { name: name.to_vec(), ..file("", "1") };
    check_refused(&[named(b"caf\xe9")], "not UTF-8");
    check_refused(&[named(b"\xff\xfe/x")], "not UTF-8");
    let target = Member { link: b"caf\xe9".to_vec(), ..symlink("x", "") };
    check_refused(&[target], "not UTF-8");
    check(&[named("caf\u{e9}".as_bytes())], &["caf\u{e9}*=1"]);
    check(&[named(b"line\nbreak")], &["line\nbreak*=1"]);
}

#[test]
fn the_same_name_again() {
    check(&[file("x", "1"), file("x", "2"), file("./x", "3")], &["x*=3"]);
    check(&[directory("d"), file("d/x", "1"), directory("d")], &["d/x*=1"]);
    check(&[file("x", "1"), symlink("x", "y")], &["x->y"]);
    check_refused(&[file("x", "1"), directory("x")], "is there already");
    check_refused(&[directory("x"), file("x", "1")], "is there already");
    check_refused(&[file("x", "1"), file("x/y", "2")], "x");
}

#[test]
fn devices_are_left_out() {
    let members = [
        member(b'3', "dev/null", "", ""),
        member(b'4', "dev/sda", "", ""),
        member(b'6', "dev/pipe", "", ""),
        file("x", "1"),
    ];
    check(&members, &["x*=1"]);
    check_refused(&[member(b'3', "null", "", ""), hard_link("x", "null")], "null");
    // What nobody knows is refused by `tar`, and a file for `deb`.
    let unknown = tar(&[member(b'Z', "x", "", "1")]);
    let error = stage("tar", &unknown, "base-dir: ''\n").expect_err("an error");
    assert!(error.contains("special file"), "{error}");
    assert_eq!(stage("deb", &deb(&unknown), "base-dir: ''\n").as_deref(), Ok(&["x*=1".to_owned()][..]));
}

#[test]
fn archives_that_are_cut() {
    let whole = tar(&[file("a", &"1".repeat(3000)), file("b", "2")]);
    for end in [512 + 1, 512 + 2999] {
        let error = stage("tar", &whole[..end], "base-dir: ''\n").expect_err("an error");
        assert!(error.contains("unexpected end"), "{end}: {error}");
    }
    for (kind, pack) in &PACKS[1..] {
        let packed = pack(&tar(&[file("a", &(0..9000).map(|n| format!("{n} ")).collect::<String>())]));
        for part in 1..4 {
            let cut = &packed[..packed.len() * part / 4];
            assert!(stage(kind, cut, "base-dir: ''\n").is_err(), "{kind} {part}");
        }
    }
}

/// A zip archive of files that are stored without compression or with it.
fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, content)) in members.iter().enumerate() {
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][at % 2];
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        archive.start_file(*name, options).expect("memory");
        archive.write_all(content.as_bytes()).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

#[track_caller]
fn check_zip(members: &[(&str, &str)], expect: &[&str]) {
    let found = stage("zip", &zip(members), "base-dir: ''\n");
    assert_eq!(found.as_deref(), Ok(&*expect.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()));
}

/// Where the headers of members in the directory of a zip archive start.
fn central(archive: &[u8]) -> Vec<usize> {
    archive.windows(4).enumerate().filter(|(_, window)| window == b"PK\x01\x02").map(|(at, _)| at).collect()
}

#[test]
fn zip_archives_that_attack() {
    // Python takes away what leads out.
    check_zip(&[("../x", "1"), ("/etc/y", "2"), ("a/../../z", "3")], &["x=1", "a/z=3", "etc/y=2"]);
    let long = "n".repeat(256);
    let error = stage("zip", &zip(&[(&long, "1")]), "base-dir: ''\n").expect_err("an error");
    assert!(error.contains("too long"), "{error}");
    let deep = zip(&[(&"d/".repeat(3000), "")]);
    let error = stage("zip", &deep, "base-dir: ''\n").expect_err("an error");
    assert!(error.contains("too long"), "{error}");
    let error = stage("zip", &zip(&[("x", "1"), ("x/y", "2")]), "base-dir: ''\n").expect_err("an error");
    assert!(error.contains('x'), "{error}");
}

#[test]
fn zip_archives_that_lie() {
    let text = "x".repeat(100_000);
    let honest = zip(&[("a", "1"), ("b", &text), ("c", "3"), ("d", &text)]);
    let lying = |at: usize, size: u32| {
        let mut archive = honest.clone();
        let start = central(&archive)[at] + 24;
        archive[start..start + 4].copy_from_slice(&size.to_le_bytes());
        archive
    };
    // Less than there is, far more, and so much that all together are a bomb.
    for (archive, expect) in [
        (lying(1, 10), ""),
        (lying(1, 200_000), ""),
        (
            [1, 3].iter().fold(honest.clone(), |mut archive, at| {
                let start = central(&archive)[*at] + 24;
                archive[start..start + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
                archive
            }),
            "",
        ),
    ] {
        let error = stage("zip", &archive, "base-dir: ''\n").expect_err("an error");
        assert!(error.contains(expect), "{error}");
    }
    // All members are the same bytes, and together more than eight gibibytes.
    let many: Vec<(String, String)> = (0..6).map(|at| (format!("f{at}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut archive = zip(&many);
    for start in central(&archive) {
        archive[start + 24..start + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    }
    let error = stage("zip", &archive, "base-dir: ''\n").expect_err("an error");
    assert!(error.contains("this is a bomb"), "{error}");
}
