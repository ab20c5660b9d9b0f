//! Which way a request takes: proxies, redirections, and what is told to whom on it; and servers that keep a download from
//! ever ending.

use crate::fixture::Fixture;
use crate::server::{Said, Server};
use bourn_plan::SourceError;
use bourn_sources::{Netrc, Proxies};
use bourn_testkit::memory::MemoryStore;

const CONTENT: &[u8] = b"The quick brown fox jumps over the lazy dog, then rests.";

/// alice:secret
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

fn fixture() -> Fixture {
    let mut fixture = Fixture::new("");
    fixture.settings.netrc = Netrc::parse("machine 127.0.0.1 login alice password secret").expect("a netrc");
    fixture
}

fn fetch_of(fixture: &Fixture, url: &str, reference: &str) -> Result<(), SourceError> {
    let source =
        fixture.source(&format!("kind: remote\nurl: '{url}'\nref: {reference}\n")).expect("a source");
    let store = MemoryStore::new();
    fixture.with_context(&*store, None, |context| source.fetch(context))
}

fn fetch(fixture: &Fixture, url: &str) -> Result<(), SourceError> {
    fetch_of(fixture, url, &bourn_reapi::Digest::of(CONTENT).hex())
}

#[track_caller]
fn refused(fetched: Result<(), SourceError>, part: &str) {
    let error = fetched.expect_err("refused");
    assert!(error.message.contains(part), "{error}");
}

/// Many a proxy lets nobody connect to where no encrypted connection is made.
#[test]
fn a_proxy_is_asked_for_whole_urls() {
    let proxy = Server::patient(|_, asked| match asked.path.ends_with("/gone") {
        true => Said::status(404),
        false => Said::ok(CONTENT),
    });
    let mut fixture = fixture();
    let address = proxy.url("").replace("//", "//bob:se%40cret@");
    fixture.settings.proxies = Proxies::of([("http_proxy", address.as_str()), ("no_proxy", "127.0.0.1")]);
    for url in ["http://example.invalid/a b?c=d#e", "http://user:pw@example.invalid:81/x"] {
        fetch(&fixture, url).expect("fetched");
    }
    refused(fetch(&fixture, "http://example.invalid/gone"), "HTTP Error 404");
    let direct = Server::with_file(CONTENT);
    fetch(&fixture, &direct.url("file")).expect("fetched");
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| (asked.path.clone(), asked)).collect();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    let expect =
        ["http://example.invalid/a%20b?c=d", "http://example.invalid:81/x", "http://example.invalid/gone"];
    assert_eq!(paths, expect);
    assert_eq!(asked[0].1.header("Host"), Some("example.invalid"));
    assert_eq!(asked[1].1.header("Host"), Some("example.invalid:81"));
    assert_eq!(asked[0].1.header("Authorization"), None);
    assert_eq!(asked[1].1.header("Authorization"), Some("Basic dXNlcjpwdw=="));
    // bob:se@cret
    assert!(asked.iter().all(|(_, one)| one.header("Proxy-Authorization") == Some("Basic Ym9iOnNlQGNyZXQ=")));
    assert_eq!(direct.asked().len(), 1);
}

#[test]
fn a_proxy_that_is_none_is_named() {
    let mut fixture = fixture();
    fixture.settings.proxies = Proxies::of([("http_proxy", "socks5://bob:hush@127.0.0.1:1")]);
    refused(fetch(&fixture, "http://example.invalid/x"), "'socks5://bob@127.0.0.1:1' is no proxy for http");
}

#[test]
fn redirections_are_followed_as_servers_write_them() {
    for (location, to) in [
        ("/a b", "/a%20b"),
        ("/\u{e9}", "/%C3%A9"),
        ("other", "/below/other"),
        ("?page=2", "/below/file?page=2"),
        ("../up", "/up"),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => Said::status(302).header("Location", location),
            _ => Said::ok(CONTENT),
        });
        fetch(&fixture(), &server.url("below/file")).expect("fetched");
        assert_eq!(server.asked()[1].path, to);
    }
}

#[test]
fn redirections_lead_to_no_files_and_not_in_circles() {
    let server = Server::start(|_, _| Said::status(302).header("Location", "file:///etc/passwd"));
    refused(fetch(&fixture(), &server.url("x")), "leads to file:///etc/passwd, which is no web address");
    assert_eq!(server.asked().len(), 1);
    let server = Server::start(|_, _| Said::status(302).header("Location", "/x"));
    refused(fetch(&fixture(), &server.url("x")), "too many redirects");
    assert_eq!(server.asked().len(), 11);
}

/// Each place of a server may want to know who asks.
#[test]
fn credentials_are_shown_again_behind_a_redirection() {
    let server = Server::start(|_, asked| match (asked.header("Authorization"), asked.path.as_str()) {
        (Some(ALICE), "/file") => Said::status(302).header("Location", "/other"),
        (Some(ALICE), _) => Said::ok(CONTENT),
        _ => Said::status(401).header("WWW-Authenticate", "Negotiate, Basic realm=\"x\""),
    });
    fetch(&fixture(), &server.url("file")).expect("fetched");
    assert_eq!(server.asked().len(), 4);
}

/// A token is for the host that it was given for, wherever that leads on itself.
#[test]
fn tokens_stay_with_their_host() {
    let other = Server::with_file(CONTENT);
    let elsewhere = other.url("x").replace("127.0.0.1", "localhost");
    let server = Server::start(move |number, asked| match (number, asked.header("Authorization")) {
        (0, Some("Bearer secret")) => Said::status(302).header("Location", "/next"),
        (1, Some("Bearer secret")) => Said::status(307).header("Location", elsewhere.clone()),
        _ => Said::status(401),
    });
    let project = format!(
        "aliases:\n  up: http://127.0.0.1:1/\nmirrors:\n- name: one\n  kind: gitlab_lfs_mirror\n  config:\n    url: {}\n    project: a\n    aliases: [up]\n",
        server.url("")
    );
    let mut fixture = Fixture::new(&project);
    let origin = bourn_project::KindOrigin::File {
        directory: std::path::PathBuf::new(),
        package: Some(("buildstream-plugins".into(), "2.8.0".into())),
    };
    fixture.project.mirror_origins.insert("gitlab_lfs_mirror".into(), origin);
    fixture.settings.netrc = Netrc::parse("default password secret").expect("a netrc");
    fetch(&fixture, "up:file").expect("fetched");
    assert_eq!(server.asked()[1].path, "/next");
    assert_eq!(other.asked().len(), 1);
    assert_eq!(other.asked()[0].header("Authorization"), None);
}

/// The password would go over the wire in the clear, to a server that was set up so that it does not.
#[test]
fn passwords_are_not_told_to_servers_that_take_none() {
    let server =
        Server::start(|_, _| Said::status(401).header("WWW-Authenticate", "Digest realm=\"x\", nonce=\"n\""));
    refused(fetch(&fixture(), &server.url("file")), "HTTP Error 401");
    assert!(server.asked().iter().all(|asked| asked.header("Authorization").is_none()));
}

#[test]
fn schemes_are_written_in_any_case() {
    let server = Server::with_file(CONTENT);
    let url = server.url("file").replace("http", "HTTP");
    fetch(&fixture(), &url).expect("fetched");
    let fixture = fixture();
    let path = fixture.write("a?b", CONTENT);
    fetch(&fixture, &format!("File://127.0.0.1{}", path.display())).expect("fetched");
}

/// Cut off once and continued, it never has the right sum; begun anew, it is cut off again.
#[test]
fn wrong_content_in_pieces_is_given_up() {
    let server = Server::start(|_, asked| {
        let said = Said::range(asked, &[b'x'; 3000]);
        if asked.from().is_none() { said.cut(1000) } else { said }
    });
    refused(fetch(&fixture(), &server.url("file")), "has sha256sum");
    assert_eq!(server.asked().len(), 6);
}

/// What it sends is the rest, or is it all?
#[test]
fn a_part_that_is_not_said_to_be_which_is_not_taken() {
    let server = Server::start(|number, asked| match (number, asked.from()) {
        (0, _) => Said::ok(CONTENT).cut(10),
        (_, Some(from)) => Said { status: 206, ..Said::ok(&CONTENT[from..]) },
        _ => Said::ok(CONTENT),
    });
    fetch(&fixture(), &server.url("file")).expect("fetched");
    assert_eq!(server.asked().len(), 3);
}

/// A ref is written by whoever wrote the project, who may not read what this machine has.
#[test]
fn a_ref_is_no_path() {
    let server = Server::with_file(CONTENT);
    let fixture = fixture();
    let secret = fixture.write("secret", "known to this machine only");
    for reference in [secret.to_str().expect("text"), "../../../secret", "abc"] {
        refused(fetch_of(&fixture, &server.url("file"), reference), "has sha256sum");
        let text = format!("kind: remote\nurl: '{}'\nref: {reference}\n", server.url("file"));
        let source = fixture.source(&text).expect("a source");
        assert!(!source.is_fetched(&fixture.path("sources")).expect("known"), "{reference}");
    }
}
