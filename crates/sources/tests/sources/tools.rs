//! Kinds that run tools of the host, on repositories that the tests make with the same tools.

use crate::fixture::Fixture;
use bourn_reapi::Cas;
use bourn_testkit::memory::MemoryStore;
use std::path::Path;
use std::process::Command;

/// Runs a tool that `cargo xtask test` installs; what it says.
pub(crate) fn run(directory: &Path, line: &[&str]) -> String {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(directory).env("BZR_EMAIL", "A <a@example.org>");
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", line[0]));
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Tracks, fetches and stages; the ref, and the names that the tree has.
fn staged(fixture: &Fixture, text: &str) -> Result<(String, Vec<String>), String> {
    let source = fixture.source(text).expect("a source");
    let store = MemoryStore::new();
    let tree = fixture.with_context(&*store, None, |context| {
        let found = source.track(context)?.expect("a ref");
        let source = source.with_reference(&found).expect("a source");
        source.fetch(context)?;
        assert!(source.is_fetched(context.source_directory)?);
        Ok::<_, bourn_plan::SourceError>((found, source.stage(context)?))
    });
    let (found, tree) = tree.map_err(|error| error.to_string())?;
    let top = store.directory(&tree).expect("a directory");
    let names = top.files.iter().map(|file| file.name.clone());
    Ok((found.get_str("ref").expect("a text").to_owned(), names.collect()))
}

#[test]
fn a_commit_of_ostree() {
    let fixture = Fixture::new("aliases:\n  up: file:///\n");
    let upstream = fixture.path("upstream");
    fixture.write("files/one", "1");
    run(fixture.directory.path(), &["ostree", "init", "--repo=upstream", "--mode=archive-z2"]);
    let commit =
        ["ostree", "commit", "--repo=upstream", "--branch=main", "--owner-uid=0", "--owner-gid=0", "files"];
    let expect = run(fixture.directory.path(), &commit);
    let url = format!("up:{}", upstream.display().to_string().trim_start_matches('/'));
    let text = format!("kind: ostree\nurl: {url}\ntrack: main\n");
    assert_eq!(staged(&fixture, &text).expect("staged"), (expect.clone(), vec!["one".to_owned()]));
    let error = staged(&fixture, &text.replace("main", "other")).expect_err("no such branch");
    assert!(error.contains("Failed to fetch 'other'"), "{error}");
    // Nobody signed it, so it is not taken where a signature is wanted.
    fixture.write("key", "");
    let other = Fixture::new("aliases:\n  up: file:///\n");
    other.write("key.gpg", "");
    let error = staged(&other, &format!("{text}gpg-key: key.gpg\n")).expect_err("no signature");
    assert!(error.contains("Failed to"), "{error}");
}

#[test]
fn a_revision_of_bazaar() {
    let fixture = Fixture::new("aliases:\n  up: file:///\n");
    let trunk = fixture.path("upstream/trunk");
    fixture.write("upstream/trunk/one", "1");
    run(&trunk, &["brz", "init", "-q"]);
    run(&trunk, &["brz", "add", "-q"]);
    run(&trunk, &["brz", "commit", "-q", "-m", "first"]);
    let url = format!("up:{}", fixture.path("upstream").display().to_string().trim_start_matches('/'));
    let text = format!("kind: bzr\nurl: {url}\ntrack: trunk\n");
    assert_eq!(staged(&fixture, &text).expect("staged"), ("1".to_owned(), vec!["one".to_owned()]));
    fixture.write("upstream/trunk/two", "2");
    run(&trunk, &["brz", "add", "-q"]);
    run(&trunk, &["brz", "commit", "-q", "-m", "second"]);
    let names = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(staged(&fixture, &text).expect("staged"), ("2".to_owned(), names));
    let error = staged(&fixture, &text.replace("trunk", "../trunk")).expect_err("out of the repository");
    assert!(error.contains("leads out"), "{error}");
    let missing = fixture.source(&format!("{text}ref: '7'\n")).expect("a source");
    let store = MemoryStore::new();
    let error =
        fixture.with_context(&*store, None, |context| missing.fetch(context)).expect_err("no such revision");
    assert!(error.message.contains("'7'"), "{error}");
}
