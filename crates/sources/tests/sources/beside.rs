//! Large archives that are staged while they are downloaded.

use crate::fixture::Fixture;
use crate::server::{Said, Server};
use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest};
use bourn_testkit::memory::MemoryStore;
use std::sync::{Arc, LazyLock};

/// A tar archive of 36 MB in files of 3 MB that differ, and one of 6 MB.
static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut archive = tar::Builder::new(Vec::new());
    for (number, size) in [3_000_000; 10].into_iter().chain([6_000_000]).enumerate() {
        let content: Vec<u8> = (0..size).map(|at| (at % 251 + number) as u8).collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(size as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("top/f{number}"), content.as_slice()).expect("an archive");
    }
    archive.into_inner().expect("an archive")
});

struct Case {
    fixture: Fixture,
    store: Arc<MemoryStore>,
    sha256: String,
}

impl Case {
    fn new(server: &Server, sha256: String) -> Case {
        let urls = format!("aliases:\n  up: {}\n", server.url(""));
        Case { fixture: Fixture::new(&urls), store: MemoryStore::new(), sha256 }
    }

    fn of(server: &Server) -> Case {
        Case::new(server, Digest::of(&ARCHIVE).hex())
    }

    fn source(&self) -> Box<dyn bourn_plan::Source> {
        let text = format!("kind: tar\nurl: up:file.tar\nref: {}\n", self.sha256);
        self.fixture.source(&text).expect("a source")
    }

    /// Fetches and stages it at once.
    fn at_once(&self) -> Result<Digest, SourceError> {
        let source = self.source();
        self.fixture.with_context(&*self.store, None, |context| source.fetch_and_stage(context))
    }

    /// Names of all that is kept.
    fn names(&self) -> Vec<String> {
        let entries = self.fixture.path("sources/tar/up_file_tar").read_dir().expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// It is what staging what was fetched gives, and the download is whole.
    #[track_caller]
    fn check(&self) {
        let tree = self.at_once().expect("staged");
        let kept = std::fs::read(self.fixture.path("sources/tar/up_file_tar").join(&self.sha256));
        assert!(kept.expect("a download") == *ARCHIVE);
        assert_eq!(self.names().len(), 1, "{:?}", self.names());
        assert!(self.store.contains_tree(&tree).expect("known"));
        let (source, other) = (self.source(), MemoryStore::new());
        let staged = self.fixture.with_context(&*other, None, |context| source.stage(context));
        assert_eq!(staged.expect("staged"), tree);
    }
}

#[test]
fn a_large_archive_is_staged_while_it_comes() {
    let server = Server::with_file(ARCHIVE.as_slice());
    Case::of(&server).check();
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_large_archive_comes_in_parts() {
    for cut in [1, 1 << 20, 20_000_001] {
        let server = Server::start(move |number, asked| {
            let said = Said::range(asked, &ARCHIVE);
            if number == 0 { said.cut(cut).header("Retry-After", "0") } else { said }
        });
        Case::of(&server).check();
        assert_eq!(server.asked()[1].from(), Some(cut), "it goes on where it was cut");
    }
}

#[test]
fn a_large_archive_begins_anew_where_the_server_cannot_go_on() {
    let server = Server::start(|number, _| {
        let said = Said::ok(ARCHIVE.as_slice());
        if number == 0 { said.cut(20_000_001).header("Retry-After", "0") } else { said }
    });
    Case::of(&server).check();
}

#[test]
fn what_a_killed_run_left_of_a_large_archive_is_continued() {
    let server = Server::start(|_, asked| Said::range(asked, &ARCHIVE));
    let case = Case::of(&server);
    // Whole pages, as writing past the kernel's cache leaves them, and what another file left.
    for (part, asked) in [(ARCHIVE[..5 << 20].to_vec(), 1), (vec![7; 4 << 20], 3)] {
        case.fixture.write(&format!("sources/tar/up_file_tar/.{}.part", case.sha256), &part);
        case.check();
        assert_eq!(server.asked().len(), asked);
        std::fs::remove_dir_all(case.fixture.path("sources")).expect("removed");
    }
}

#[test]
fn another_archive_than_expected_is_neither_kept_nor_staged() {
    let server = Server::with_file(ARCHIVE.as_slice());
    let case = Case::new(&server, Digest::of(b"another").hex());
    let error = case.at_once().expect_err("an error");
    assert!(error.message.contains("has sha256sum"), "{error}");
    assert!(case.names().is_empty(), "{:?}", case.names());
}

#[test]
fn what_is_no_archive_is_kept_and_said_to_be_none() {
    let content = vec![7; 33 << 20];
    let sha256 = Digest::of(&content).hex();
    let server = Server::with_file(content);
    let case = Case::new(&server, sha256.clone());
    let error = case.at_once().expect_err("an error");
    assert!(error.message.contains("this is no tar archive"), "{error}");
    assert_eq!(case.names(), [sha256]);
}

#[test]
fn a_download_that_is_called_off_leaves_what_came() {
    let server = Server::start(|_, asked| Said::range(asked, &ARCHIVE).stall(10 << 20));
    let case = Case::of(&server);
    std::thread::scope(|scope| {
        let fetched = scope.spawn(|| case.at_once());
        let part = case.fixture.path("sources/tar/up_file_tar").join(format!(".{}.part", case.sha256));
        while !part.metadata().is_ok_and(|part| part.len() >= 9 << 20) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        case.fixture.cancel.cancel();
        while !fetched.is_finished() {
            // Perhaps it has not fallen silent yet.
            server.hang_up();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        fetched.join().expect("no panic").expect_err("an error");
    });
    assert_eq!(case.names(), [format!(".{}.part", case.sha256)]);
}
