//! Servers behind HTTP proxies: which variables both go by, and what they ask a proxy for.

use crate::Both;
use crate::remote::{artifact_server, assert_said, certificate, storage_daemon};
use bourn_testkit::proxy::{Manner, Proxy};
use std::net::SocketAddr;

/// What is shared.
const ALL: &str = "
=== all.bst
kind: import
sources: [{kind: local, path: files/src}]
";

/// A name that only a proxy finds.
fn unknown(server: SocketAddr) -> String {
    format!("http://cache.invalid:{}", server.port())
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").and_then(|place| place.parse().ok()).expect("an address")
}

/// Runs one of both with these variables in a place that has nothing in its cache.
fn run(
    both: &Both,
    bourn: bool,
    variables: &[(&str, &str)],
    conf: &str,
    words: &[&str],
) -> bourn_testkit::Ran {
    let mut here = both.elsewhere();
    for (name, value) in variables {
        here.bourn.set(name, value);
    }
    here.bourn.configure(conf);
    if bourn { here.bourn(words) } else { here.bst(words) }
}

/// Requests without what names the program.
fn lines(asked: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = asked
        .iter()
        .flat_map(|head| head.lines())
        .filter(|line| !line.starts_with("User-Agent"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn caches_behind_a_proxy_are_shared() {
    let Some(both) = Both::shared(ALL) else { return };
    let daemon = storage_daemon(&both);
    let server = address(&daemon.url);
    let pushed = format!("url={},push=true", unknown(server));
    let mut asked = Vec::new();
    for bourn in [false, true] {
        let proxy = Proxy::start(Manner::Connects(server));
        let variables = [("http_proxy", proxy.url("bob:se%40cret@"))];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let words = ["build", "--artifact-remote", &pushed, "--source-remote", &pushed, "all.bst"];
        let built = run(&both, bourn, &variables, "", &words).success();
        assert!(built.stderr.contains("Pushed artifact") || built.stderr.contains("Pulled artifact"));
        let pull = ["artifact", "pull", "--artifact-remote", &unknown(server), "all.bst"];
        assert_said(&run(&both, bourn, &variables, "", &pull).success(), &["Pulled artifact"]);
        asked.push(lines(&proxy.asked()));
    }
    assert_eq!(asked[0], asked[1], "bst (left) and bourn (right)");
    assert_eq!(asked[0].len(), 4, "{asked:?}");
}

#[test]
fn storage_behind_a_proxy() {
    let Some(both) = Both::shared(ALL) else { return };
    let daemon = storage_daemon(&both);
    let server = address(&daemon.url);
    let url = unknown(server);
    let conf = format!("cache: {{reserved-disk-space: 1M, storage-service: {{url: '{url}'}}}}\n");
    let mut asked = Vec::new();
    for bourn in [false, true] {
        let proxy = Proxy::start(Manner::Connects(server));
        run(&both, bourn, &[("grpc_proxy", &proxy.url(""))], &conf, &["build", "all.bst"]).success();
        asked.push(lines(&proxy.asked()));
    }
    assert_eq!(asked[0], asked[1], "bst (left) and bourn (right)");
    assert_eq!(asked[0].len(), 3, "{asked:?}");
}

#[test]
fn what_encrypts_is_inside() {
    let Some(both) = Both::shared(ALL) else { return };
    let Some((certificate, key)) = certificate(both.bourn.path(), "server") else { return };
    let text = |path: &std::path::Path| path.display().to_string();
    let server = artifact_server(&both, &["--certificate", &text(&certificate), "--key", &text(&key)]);
    let port: u16 = server.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let remote = format!("url={},push=true,server-cert={}", server.url, text(&certificate));
    for bourn in [false, true] {
        let proxy = Proxy::start(Manner::Connects(SocketAddr::from(([127, 0, 0, 1], port))));
        let url = proxy.url("");
        let words = ["build", "--artifact-remote", &remote, "all.bst"];
        let built = run(&both, bourn, &[("http_proxy", &url)], "", &words).success();
        assert_said(&built, &[if bourn { "Pulled artifact" } else { "Pushed artifact" }]);
        let expect = [format!("CONNECT localhost:{port} HTTP/1.1"), format!("Host: localhost:{port}")];
        assert_eq!(lines(&proxy.asked())[1..], expect, "bourn: {bourn}");
    }
}

#[test]
fn both_go_by_the_same_variables() {
    let Some(both) = Both::shared(ALL) else { return };
    let daemon = storage_daemon(&both);
    let server = address(&daemon.url);
    let ip = server.ip().to_string();
    let pushed = format!("url={},push=true", daemon.url);
    both.bourn(&["build", "--artifact-remote", &pushed, "all.bst"]).success();
    let pull = ["artifact", "pull", "--artifact-remote", &daemon.url, "all.bst"];
    for bourn in [false, true] {
        // What the proxy is called in a value, and whether it is asked.
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("grpc_proxy", "http://PLACE")], true),
            (&[("https_proxy", "http://PLACE")], true),
            (&[("http_proxy", "HTTP://PLACE/path")], true),
            (&[("grpc_proxy", ""), ("http_proxy", "http://PLACE")], false),
            (&[("https_proxy", "http://PLACE"), ("http_proxy", "http://127.0.0.1:1")], true),
            (&[("HTTPS_PROXY", "http://PLACE"), ("all_proxy", "http://PLACE")], false),
            (&[("http_proxy", "PLACE")], false),
            (&[("grpc_proxy", "https://PLACE"), ("http_proxy", "http://PLACE")], false),
            (&[("http_proxy", "http://PLACE"), ("no_proxy", "x, 127.0.0.0/8")], false),
            (&[("http_proxy", "http://PLACE"), ("no_proxy", &ip[1..])], false),
            (&[("http_proxy", "http://PLACE"), ("no_proxy", "*,127.")], true),
            (&[("http_proxy", "http://PLACE"), ("no_proxy", &ip), ("no_grpc_proxy", "x")], true),
        ];
        for (variables, through) in cases {
            let proxy = Proxy::start(Manner::Connects(server));
            let place = proxy.url("").replace("http://", "");
            let variables: Vec<(&str, String)> =
                variables.iter().map(|(name, value)| (*name, value.replace("PLACE", &place))).collect();
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_said(&run(&both, bourn, &variables, "", &pull).success(), &["Pulled artifact"]);
            assert_eq!(!proxy.asked().is_empty(), *through, "bourn: {bourn}, {variables:?}");
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let Some(both) = Both::shared(ALL) else { return };
    let daemon = storage_daemon(&both);
    let url = unknown(address(&daemon.url));
    let pull = ["artifact", "pull", "--artifact-remote", &url, "all.bst"];
    let proxy = Proxy::start(Manner::Answers("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
    let variables = [("http_proxy", proxy.url("bob:hush@"))];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    for (bourn, part) in
        [(false, "HTTP proxy returned response code 407"), (true, "refused the connection: 407")]
    {
        let ran = run(&both, bourn, &variables, "", &pull).failure(255, part);
        assert_said(&ran, &["Remote initialisation failed with status UNAVAILABLE"]);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
        if bourn {
            assert_said(&ran, &[&proxy.url("bob@"), "check the user and the password in `http_proxy`"]);
            assert_eq!(ran.stderr.matches("WARNING").count(), 1, "{}", ran.stderr);
        }
    }
    // And one that does what it should.
    let proxy = Proxy::start(Manner::Connects(address(&daemon.url)));
    let (variables, conf) = (proxy.url("bob:hush@"), format!("artifacts: {{servers: [{{url: '{url}'}}]}}\n"));
    let ran = run(&both, true, &[("http_proxy", &variables)], &conf, &["doctor", "--remote"]).success();
    assert!(
        ran.stdout.contains(&format!("through the proxy {} (`http_proxy`)", proxy.url("bob@"))),
        "{}",
        ran.stdout
    );
}
