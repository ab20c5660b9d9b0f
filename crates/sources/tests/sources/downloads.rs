//! Downloads from servers that behave, and from others.

use crate::fixture::Fixture;
use crate::server::{FtpServer, Said, Server};
use bourn_plan::{SourceError, SourceRef};
use bourn_sources::Netrc;
use bourn_testkit::memory::MemoryStore;
use std::path::PathBuf;
use std::sync::Arc;

const CONTENT: &[u8] = b"The quick brown fox jumps over the lazy dog, then rests.";

fn sha256() -> String {
    bourn_reapi::Digest::of(CONTENT).hex()
}

/// A project whose alias `up` is a server.
struct Case {
    fixture: Fixture,
    reference: Option<String>,
}

impl Case {
    fn new(urls: &str) -> Case {
        Case { fixture: Fixture::new(&format!("aliases:\n  up: {urls}\n")), reference: Some(sha256()) }
    }

    fn of(server: &Server) -> Case {
        Case::new(&server.url(""))
    }

    fn source(&self) -> Box<dyn bourn_plan::Source> {
        let reference = self.reference.as_ref().map_or_else(String::new, |sha256| format!("ref: {sha256}\n"));
        self.fixture.source(&format!("kind: remote\nurl: up:file\n{reference}")).expect("a source")
    }

    fn fetch(&self) -> Result<(), SourceError> {
        let store = MemoryStore::new();
        self.fixture.with_context(&*store, None, |context| self.source().fetch(context))
    }

    fn track(&self) -> Result<Option<SourceRef>, SourceError> {
        let store = MemoryStore::new();
        self.fixture.with_context(&*store, None, |context| self.source().track(context))
    }

    fn directory(&self) -> PathBuf {
        self.fixture.path("sources/remote/up_file")
    }

    fn kept(&self) -> Option<Vec<u8>> {
        std::fs::read(self.directory().join(sha256())).ok()
    }

    /// Names of all that is kept.
    fn names(&self) -> Vec<String> {
        let entries = self.directory().read_dir().expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn check_fetched(&self) {
        self.fetch().expect("fetched");
        assert_eq!(self.kept().as_deref(), Some(CONTENT));
        assert_eq!(self.names().iter().filter(|name| name.contains("part")).count(), 0, "{:?}", self.names());
    }

    #[track_caller]
    fn check_refused(&self, message: &str) -> SourceError {
        let error = self.fetch().expect_err("an error");
        assert!(error.message.contains(message), "{error}\nnot\n{message}");
        assert_eq!(self.kept(), None);
        error
    }
}

#[test]
fn a_file_is_kept_with_the_server_s_name_for_it() {
    let server = Server::start(|_, _| Said::ok(CONTENT).header("ETag", "\"v1\""));
    let case = Case::of(&server);
    case.check_fetched();
    assert_eq!(case.names(), [sha256(), format!("{}.etag", sha256())]);
    assert!(case.source().is_fetched(&case.fixture.path("sources")).expect("known"));
    case.check_fetched();
    assert_eq!(server.asked().len(), 1, "what is kept is not fetched again");
    assert_eq!(server.asked()[0].header("Accept-Encoding"), Some("identity"));
}

#[test]
fn another_content_is_refused_and_not_kept() {
    let server = Server::with_file("something else");
    let case = Case::of(&server);
    let error = case.check_refused("has sha256sum");
    assert!(error.message.contains(&sha256()) && error.hint.is_some(), "{error}");
    assert!(case.names().is_empty(), "{:?}", case.names());
}

#[test]
fn a_download_goes_on_wherever_it_was_cut() {
    for cut in 0..CONTENT.len() {
        let server = Server::start(move |number, asked| {
            let said = Said::range(asked, CONTENT);
            if number == 0 { said.cut(cut).header("Retry-After", "0") } else { said }
        });
        let case = Case::of(&server);
        case.check_fetched();
        let from = server.asked()[1].from();
        assert_eq!(from, (cut > 0).then_some(cut));
    }
}

#[test]
fn a_download_goes_on_through_many_cuts() {
    let server = Server::start(|_, asked| Said::range(asked, CONTENT).cut(3));
    Case::of(&server).check_fetched();
    assert_eq!(server.asked().len(), CONTENT.len().div_ceil(3));
}

#[test]
fn what_an_ended_run_left_is_continued() {
    let server = Server::with_file(CONTENT);
    let case = Case::of(&server);
    case.fixture.write(&format!("sources/remote/up_file/.{}.part", sha256()), &CONTENT[..10]);
    case.check_fetched();
    assert_eq!(server.asked()[0].from(), Some(10));
}

#[test]
fn a_whole_part_is_recognised() {
    let server = Server::with_file(CONTENT);
    let case = Case::of(&server);
    case.fixture.write(&format!("sources/remote/up_file/.{}.part", sha256()), CONTENT);
    case.check_fetched();
}

#[test]
fn a_part_of_another_file_is_dropped() {
    for part in [b"something".to_vec(), vec![b'x'; CONTENT.len()], vec![b'x'; 1000]] {
        let server = Server::with_file(CONTENT);
        let case = Case::of(&server);
        case.fixture.write(&format!("sources/remote/up_file/.{}.part", sha256()), &part);
        case.check_fetched();
    }
}

#[test]
fn servers_without_ranges_and_with_odd_ones() {
    let server = Server::start(|number, _| match number {
        0 => Said::ok(CONTENT).cut(20),
        _ => Said::ok(CONTENT),
    });
    Case::of(&server).check_fetched();
    let server = Server::start(|_, _| Said { chunked: true, ..Said::ok(CONTENT) });
    Case::of(&server).check_fetched();
    let server = Server::start(|number, asked| match number {
        0 => Said { chunked: true, ..Said::ok(CONTENT) }.cut(20),
        _ => Said::range(asked, CONTENT),
    });
    Case::of(&server).check_fetched();
    let server = Server::start(|number, asked| match (number, asked.from()) {
        (0, _) => Said::ok(CONTENT).cut(20),
        (_, Some(_)) => Said { status: 206, ..Said::ok(&CONTENT[30..]) }
            .header("Content-Range", format!("bytes 30-{}/{}", CONTENT.len() - 1, CONTENT.len())),
        _ => Said::ok(CONTENT),
    });
    Case::of(&server).check_refused("another part of the file");
}

#[test]
fn busy_servers_are_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        let server = Server::start(move |number, _| match number {
            0..=2 => Said::status(status).header("Retry-After", "0"),
            _ => Said::ok(CONTENT),
        });
        Case::of(&server).check_fetched();
        let server = Server::start(move |_, _| Said::status(status).header("Retry-After", "0"));
        let error = Case::of(&server).check_refused(&format!("HTTP Error {status}"));
        assert!(error.temporary);
        assert_eq!(server.asked().len(), 4);
    }
}

#[test]
fn what_is_gone_is_not_asked_for_again() {
    for status in [400, 403, 404, 410] {
        let server = Server::start(move |_, _| Said::status(status));
        Case::of(&server)
            .check_refused(&format!("Error mirroring {}: HTTP Error {status}", server.url("file")));
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn redirections_are_followed() {
    let other = Server::with_file(CONTENT);
    let to = other.url("elsewhere");
    let server = Server::start(move |_, _| Said::status(302).header("Location", to.clone()));
    Case::of(&server).check_fetched();
    let server = Server::start(|_, _| Said::status(302).header("Location", "/again"));
    Case::of(&server).check_refused("redirect");
}

/// A file of this machine is nothing that a server may name, nor is another protocol spoken because it says so.
#[test]
fn redirections_stay_with_the_web() {
    let case = Case::new("http://127.0.0.1:1/");
    let here = case.fixture.write("here", CONTENT);
    for to in [format!("file://{}", here.display()), "ftp://127.0.0.1:1/file".into(), "gopher://h/".into()] {
        let server = Server::start(move |_, _| Said::status(302).header("Location", to.clone()));
        let error = Case::of(&server).fetch().expect_err("refused");
        assert!(error.message.contains("Error mirroring"), "{error}");
    }
}

/// What one host wants to see is not shown to another one that it leads to.
#[test]
fn credentials_are_not_carried_to_other_hosts() {
    let other = Server::with_file(CONTENT);
    let to = other.url("elsewhere").replace("127.0.0.1", "localhost");
    let server = Server::start(move |_, asked| match asked.header("Authorization") {
        // alice:secret
        Some("Basic YWxpY2U6c2VjcmV0") => Said::status(302).header("Location", to.clone()),
        _ => Said::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let netrc = Netrc::parse("machine 127.0.0.1 login alice password secret").expect("a netrc");
    let mut by_netrc = Case::of(&server);
    by_netrc.fixture.settings.netrc = netrc;
    let by_url = Case::new(&server.url("").replace("//", "//alice:secret@"));
    for (case, count) in [(by_netrc, 2), (by_url, 3)] {
        case.check_fetched();
        assert!(server.asked().len() >= count);
        let said = case.fixture.progress.said.lock().expect("no panic").join("\n");
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(other.asked().len(), 2);
    for asked in other.asked() {
        assert_eq!(asked.header("Authorization"), None);
    }
}

/// A connection serves one request after the other, those that were refused too.
#[test]
fn connections_are_used_again() {
    let server = Server::patient(|_, asked| match asked.path.as_str() {
        "/gone" => Said { body: b"not here".to_vec(), ..Said::status(404) },
        _ => Said::range(asked, CONTENT),
    });
    let fixture = Fixture::new(&format!("aliases:\n  up: {}\n", server.url("")));
    let store = MemoryStore::new();
    for number in 0..20 {
        let name = if number % 5 == 4 { "gone".to_owned() } else { format!("file-{number}") };
        let text = format!("kind: remote\nurl: up:{name}\nref: {}\n", sha256());
        let source = fixture.source(&text).expect("a source");
        let fetched = fixture.with_context(&*store, None, |context| source.fetch(context));
        assert_eq!(fetched.is_ok(), name != "gone", "{fetched:?}");
    }
    assert_eq!(server.asked().len(), 20);
    // One that was idle for long may have been closed.
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[test]
fn mirrors_are_tried_in_order() {
    let gone = Server::start(|_, _| Said::status(404));
    let wrong = Server::with_file("something else");
    let good = Server::with_file(CONTENT);
    let project = format!(
        "aliases:\n  up: {}\nmirrors:\n- name: one\n  aliases:\n    up: ['{}', '{}']\n",
        good.url("own/"),
        gone.url("m/"),
        wrong.url("m/")
    );
    let case = Case { fixture: Fixture::new(&project), reference: Some(sha256()) };
    case.check_fetched();
    assert_eq!(gone.asked()[0].path, "/m/file");
    assert_eq!(wrong.asked()[0].path, "/m/file");
    assert_eq!(good.asked()[0].path, "/own/file");
}

#[test]
fn the_last_error_tells_of_the_others() {
    let gone = Server::start(|_, _| Said::status(404));
    let forbidden = Server::start(|_, _| Said::status(403));
    let project = format!(
        "aliases:\n  up: {}\nmirrors:\n- name: one\n  aliases:\n    up: ['{}']\n",
        forbidden.url(""),
        gone.url("")
    );
    let case = Case { fixture: Fixture::new(&project), reference: Some(sha256()) };
    let error = case.check_refused("HTTP Error 403");
    assert!(error.detail.is_some_and(|detail| detail.contains("HTTP Error 404")));
}

#[test]
fn credentials_go_to_the_host_that_asks_for_them() {
    let server = Server::start(|_, asked| match asked.header("Authorization") {
        // alice:secret
        Some("Basic YWxpY2U6c2VjcmV0") => Said::ok(CONTENT),
        _ => Said::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let mut case = Case::of(&server);
    let error = case.check_refused("HTTP Error 401");
    assert!(error.hint.is_some());
    case.fixture.settings.netrc =
        Netrc::parse("machine 127.0.0.1 login alice password secret").expect("a netrc");
    case.check_fetched();
    assert_eq!(server.asked()[1].header("Authorization"), None, "not sent before it is asked for");
}

#[test]
fn tokens_are_sent_where_a_mirror_wants_them() {
    let server = Server::start(|_, asked| match asked.header("Authorization") {
        Some("Bearer secret") => Said::ok(CONTENT),
        _ => Said::status(401),
    });
    let project = format!(
        "aliases:\n  up: http://127.0.0.1:1/\nmirrors:\n- name: one\n  kind: gitlab_lfs_mirror\n  config:\n    url: {}\n    project: group/{{alias}}\n    aliases: [up]\n",
        server.url("")
    );
    let mut fixture = Fixture::new(&project);
    let origin = bourn_project::KindOrigin::File {
        directory: PathBuf::new(),
        package: Some(("buildstream-plugins".into(), "2.8.0".into())),
    };
    fixture.project.mirror_origins.insert("gitlab_lfs_mirror".into(), origin);
    fixture.settings.netrc = Netrc::parse("machine 127.0.0.1 password secret").expect("a netrc");
    Case { fixture, reference: Some(sha256()) }.check_fetched();
    assert_eq!(
        server.asked()[0].path,
        "/api/v4/projects/group%2Fup/repository/files/file/raw?ref=master&lfs=true"
    );
}

#[test]
fn tracking_finds_the_sum_and_asks_only_for_what_is_new() {
    let server = Server::start(|_, asked| match asked.header("If-None-Match") {
        Some("\"v1\"") => Said::status(304),
        _ => Said::ok(CONTENT).header("ETag", "\"v1\""),
    });
    let mut case = Case::of(&server);
    case.reference = None;
    let found = case.track().expect("tracked").expect("a ref");
    assert_eq!(found.get("ref").and_then(|node| node.text()), Some(&*sha256()));
    assert_eq!(case.kept().as_deref(), Some(CONTENT));
    case.reference = Some(sha256());
    let again = case.track().expect("tracked").expect("a ref");
    assert_eq!(again, found);
    assert_eq!(server.asked()[1].header("If-None-Match"), Some("\"v1\""));
    // Without the file, the name of what was there is no help.
    std::fs::remove_file(case.directory().join(sha256())).expect("removed");
    case.track().expect("tracked");
    assert_eq!(server.asked()[2].header("If-None-Match"), None);
    assert_eq!(case.kept().as_deref(), Some(CONTENT));
}

#[test]
fn tracking_warns_of_another_content() {
    let server = Server::with_file("new content");
    let case = Case::of(&server);
    case.track().expect("tracked");
    let said = case.fixture.progress.said.lock().expect("no panic").join("\n");
    assert!(said.contains("Potential man-in-the-middle attack!"), "{said}");
}

#[test]
fn tracking_goes_on_with_the_same_version_only() {
    let parts = |etag: &'static str| {
        Server::start(move |number, asked| {
            let said = match asked.header("If-Range") {
                Some(range) if range == etag => Said::range(asked, CONTENT),
                _ => Said::ok(CONTENT),
            };
            let said = said.header("ETag", etag);
            if number == 0 { said.cut(20) } else { said }
        })
    };
    let server = parts("\"v1\"");
    let mut case = Case::of(&server);
    case.reference = None;
    case.track().expect("tracked");
    assert_eq!(case.kept().as_deref(), Some(CONTENT));
    assert_eq!(server.asked()[1].from(), Some(20));
    // A weak name tells nothing: from the start.
    let server = parts("W/\"v1\"");
    let mut case = Case::of(&server);
    case.reference = None;
    case.track().expect("tracked");
    assert_eq!(server.asked()[1].from(), None);
}

#[test]
fn files_of_this_machine() {
    let case = Case::new("file:///nowhere/");
    case.check_refused("Error mirroring file:///nowhere/file");
    let there = Fixture::new("{}");
    there.write("with space/file", CONTENT);
    let url = format!("file://{}/with%20space/", there.directory.path().display());
    Case::new(&url).check_fetched();
    Case::new("gopher://host/").check_refused("unknown url type");
}

#[test]
fn ftp() {
    let server = FtpServer::start(CONTENT, "anonymous", None);
    Case::new(&server.url("")).check_fetched();
    let server = FtpServer::start(CONTENT, "anonymous", Some(20));
    Case::new(&server.url("")).check_fetched();
    let server = FtpServer::start(CONTENT, "alice", None);
    let mut case = Case::new(&server.url(""));
    case.check_refused("530");
    case.fixture.settings.netrc =
        Netrc::parse("machine 127.0.0.1 login alice password secret").expect("a netrc");
    case.check_fetched();
    let server = FtpServer::start(CONTENT, "anonymous", None);
    Case::new(&server.url("nothing/")).check_refused("550");
}

#[test]
fn two_at_once_download_once() {
    let server = Server::start(|_, asked| Said::range(asked, CONTENT));
    let case = Arc::new(Case::of(&server));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| case.fetch().expect("fetched"));
        }
    });
    assert_eq!(case.names(), [sha256()], "those who came late leave nothing");
    assert_eq!(case.kept().as_deref(), Some(CONTENT));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn passwords_in_urls_are_not_shown() {
    let server = Server::start(|_, _| Said::status(404));
    let url = server.url("").replace("http://", "http://alice:secret@");
    let case = Case::new(&url);
    let error = case.check_refused("alice@127.0.0.1");
    let said = case.fixture.progress.said.lock().expect("no panic").join("\n");
    assert!(!format!("{error:?} {said}").contains("secret"), "{error:?} {said}");
}

#[test]
fn asking_to_stop_stops() {
    let server = Server::start(|_, _| Said::status(503).header("Retry-After", "20"));
    let case = Case::of(&server);
    case.fixture.cancel.cancel();
    assert!(case.fetch().is_err());
}

/// Waits for what has to happen, a minute at most.
#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never came true that {what}");
}

/// A case that does not wait for long.
fn impatient(server: &Server) -> Case {
    let mut case = Case::of(server);
    let second = std::time::Duration::from_secs(2);
    case.fixture.settings.patience = bourn_plan::Patience { connect: second * 30, silence: second };
    case
}

#[test]
fn a_server_that_falls_silent_is_asked_for_the_rest() {
    // On a busy machine it may seem silent before it has begun; then it is asked for the whole once more.
    let server = Server::start(|_, asked| {
        let said = Said::range(asked, CONTENT);
        if asked.from().is_none() { said.stall(20) } else { said }
    });
    impatient(&server).check_fetched();
    assert_eq!(server.asked().last().expect("asked").from(), Some(20));
}

#[test]
fn a_server_that_always_falls_silent_is_given_up() {
    let server = Server::start(|_, _| Said { stalls: true, ..Said::ok(CONTENT).cut(0) });
    let error = impatient(&server).check_refused("Error mirroring");
    assert!(error.temporary, "{error}");
    // On a busy machine it may read what it is asked after nobody waits for it any more.
    eventually("it was asked four times", || server.asked().len() >= 4);
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_server_says_until_when_it_wants_to_be_left_alone() {
    let server = Server::start(|number, _| match number {
        0 => Said::status(503).header("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),
        1 => Said::status(429).header("Retry-After", "soon"),
        _ => Said::ok(CONTENT),
    });
    Case::of(&server).check_fetched();
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn lengths_that_are_wrong() {
    // More is promised than comes, every time.
    let server = Server::start(|_, _| Said::ok(CONTENT).header("Content-Length", "100"));
    let error = Case::of(&server).check_refused("Error mirroring");
    assert!(error.temporary, "{error}");
    // Less is promised: what comes is cut there, and the sum tells.
    let server = Server::start(|_, _| Said::ok(CONTENT).header("Content-Length", "10"));
    Case::of(&server).check_refused("has sha256sum");
}

#[test]
fn a_host_is_not_asked_for_everything_at_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (busy, peak) = (now.clone(), most.clone());
    let server = Server::start(move |_, _| {
        peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(30));
        busy.fetch_sub(1, Ordering::SeqCst);
        Said::ok(CONTENT)
    });
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| Case::of(&server).check_fetched());
        }
    });
    assert_eq!(now.load(Ordering::SeqCst), 0);
    assert!(most.load(Ordering::SeqCst) <= 8, "{most:?} at once");
    assert_eq!(server.asked().len(), 30);
}
