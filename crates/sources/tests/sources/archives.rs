//! Odd archives, against what the reference made of the same files.

use crate::fixture::Fixture;
use bourn_testkit::memory::MemoryStore;
use std::collections::HashMap;
use std::io::Read;

/// A bundle of archives, by name.
fn bundle(packed: &[u8]) -> HashMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(liblzma::read::XzDecoder::new(packed));
    let mut found = HashMap::new();
    for entry in archive.entries().expect("a bundle") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").file_name().map(|name| name.to_string_lossy().into_owned());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        found.extend(name.map(|name| (name, content)));
    }
    found
}

/// What staging an archive gives: a digest, or an error.
fn stage(kind: &str, name: &str, content: &[u8], base: &str) -> Result<String, String> {
    let fixture = Fixture::new("aliases:\n  f: file:///nowhere/\n");
    let sha256 = bourn_reapi::Digest::of(content).hex();
    fixture.write(&format!("sources/{kind}/f_{}/{sha256}", name.replace('.', "_")), content);
    let text = format!("kind: {kind}\nurl: f:{name}\nref: {sha256}\nbase-dir: '{base}'\n");
    let source = fixture.source(&text).map_err(|error| error.to_string())?;
    let store = MemoryStore::new();
    let staged = fixture.with_context(&*store, None, |context| source.stage(context));
    let digest = staged.map_err(|error| error.message)?;
    assert!(bourn_reapi::Cas::contains_tree(&*store, &digest).expect("a store"), "{name} is not whole");
    Ok(digest.to_string())
}

/// Lines `NAME BASE DIGEST`, or `NAME BASE !` where the reference refuses; `+` where it fails although there is
/// nothing wrong.
fn check(kind: &str, packed: &[u8], golden: &str) {
    let files = bundle(packed);
    let mut wrong = Vec::new();
    for line in golden.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let base = if words[1] == "-" { "" } else { words[1] };
        let found = stage(kind, words[0], &files[words[0]], base);
        let fits = match (words[2], &found) {
            ("!", Err(_)) => true,
            (expect, Ok(digest)) => expect == digest,
            _ => false,
        };
        if !fits {
            wrong.push(format!("{line}\n    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), golden.lines().count(), wrong.join("\n"));
}

#[test]
fn tar_archives_give_the_reference_s_trees() {
    check("tar", include_bytes!("tars.tar.xz"), include_str!("tars.golden"));
}

/// Archives made of random members, most of them absurd.
#[test]
fn random_tar_archives_give_the_reference_s_trees() {
    check("tar", include_bytes!("random.tar.xz"), include_str!("random.golden"));
}
