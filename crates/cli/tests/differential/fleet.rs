//! Which servers are spoken to about what, of several projects and as several people say it: by both programs the same.

use crate::Both;
use crate::remote::{assert_said, storage_daemon};
use bourn_testkit::Ran;
use std::collections::BTreeSet;
use std::process::Command;

const PROJECT: &str = "
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== all.bst
kind: stack
depends:
- base.bst
- sub.bst:part.bst
=== files/base/greeting
Good morning
";

const PART: &str = "kind: import\nsources:\n- kind: local\n  path: files\n";

/// A project, and one below it that comes in a tarball, each with a recommendation of servers.
pub(crate) fn nested(conf: &str, sub_conf: &str) -> Option<Both> {
    let both = Both::new(&format!("=== project.conf\nname: upper\nmin-version: 2.0\n{conf}{PROJECT}"))?;
    let sub = both.bourn.path().join("upstream");
    std::fs::create_dir_all(sub.join("sub/files")).expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(sub.join(name), text).expect("a file");
    write("sub/project.conf", &format!("name: lower\nmin-version: 2.0\n{sub_conf}"));
    write("sub/part.bst", PART);
    write("sub/files/part", "a part\n");
    let packed = Command::new("tar").current_dir(&sub).args(["-cf", "sub.tar", "sub"]).status();
    assert!(packed.expect("tar").success());
    let url = format!("file://{}", sub.join("sub.tar").display());
    both.bourn.files(&format!("=== sub.bst\nkind: junction\nsources:\n- kind: tar\n  url: {url}\n"));
    both.bourn(&["source", "track", "sub.bst"]).success();
    Some(both)
}

/// What was said of moving artifacts or sources: which element's, and which server has it now or had it before.
pub(crate) fn moved(ran: &Ran) -> BTreeSet<(String, String)> {
    let mut moved = BTreeSet::new();
    for line in ran.stderr.lines().filter(|line| line.contains("] INFO ")) {
        let element = line.split('[').nth(3).and_then(|field| field.split(']').next()).unwrap_or_default();
        let said = line.split("INFO").nth(1).unwrap_or_default().trim();
        let url = said.split_whitespace().find_map(|word| {
            let word = word.trim_matches(['(', ')']);
            word.starts_with("http").then(|| word.to_owned())
        });
        let is_about = ["Pushed artifact", "already has artifact", "Pulled artifact"]
            .into_iter()
            .chain(["Pushed source", "already has source", "Pulled source"])
            .any(|words| said.contains(words));
        if let Some(url) = url.filter(|_| is_about) {
            moved.insert((element.trim().to_owned(), url));
        }
    }
    moved
}

/// What the user says: `OWN` stands for a server of his.
fn check_same_servers(configuration: &str, more: &[&str], count: usize) {
    let mut seen = Vec::new();
    for bourn in [true, false] {
        let daemons = Both::new("").expect("the reference, as before");
        let servers = ["UPPER", "LOWER", "OWN"].map(|name| (name, storage_daemon(&daemons)));
        let filled = |text: &str| {
            servers.iter().fold(text.to_owned(), |text, (name, server)| text.replace(name, &server.url))
        };
        let recommend = |name: &str| {
            let server = format!("- url: {name}\n  push: true\n");
            filled(&format!("artifacts:\n{server}source-caches:\n{server}"))
        };
        let place = nested(&recommend("UPPER"), &recommend("LOWER")).expect("the reference, as before");
        place.bourn.configure(&filled(configuration));
        let words: Vec<String> = [&["build"], more, &["all.bst"]].concat().into_iter().map(filled).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = if bourn { place.bourn(&words) } else { place.bst(&words) };
        let mut moved = moved(&ran.success());
        // bst has something to say of the sources of elements that have none.
        moved.retain(|(element, _)| element != "src-push:all.bst");
        let named = moved.into_iter().map(|(element, url)| {
            let name = servers.iter().find(|(_, server)| server.url == url).map(|(name, _)| *name);
            (element, name)
        });
        seen.push(named.collect::<BTreeSet<_>>());
    }
    assert_eq!(seen[0], seen[1], "bourn (left) and bst (right), {configuration:?} {more:?}");
    assert_eq!(seen[0].len(), count, "{configuration:?} {more:?}: {:?}", seen[0]);
}

#[test]
fn each_project_has_its_servers() {
    if Both::new("").is_none() {
        return;
    }
    let servers = "servers:\n  - url: OWN\n    push: true\n";
    // The stack, and two elements with their sources; what is of the lower project is in both projects' servers.
    check_same_servers("", &[], 7);
    check_same_servers(&format!("artifacts:\n  {servers}"), &[], 10);
    let overriding = format!("  override-project-caches: true\n  {servers}");
    check_same_servers(&format!("artifacts:\n{overriding}"), &[], 6);
    check_same_servers(&format!("artifacts:\n{overriding}source-caches:\n{overriding}"), &[], 5);
    let special = overriding.replace("\n  ", "\n      ");
    check_same_servers(&format!("projects:\n  lower:\n    artifacts:\n    {special}"), &[], 6);
    check_same_servers("", &["--artifact-remote", "OWN"], 10);
    check_same_servers("", &["--artifact-remote", "OWN", "--ignore-project-artifact-remotes"], 6);
    let own = ["--artifact-remote", "OWN", "--ignore-project-artifact-remotes", "--source-remote", "OWN"];
    check_same_servers("", &[&own[..], &["--ignore-project-source-remotes"]].concat(), 5);
}

#[test]
fn junctions_come_from_source_caches() {
    let Some(both) = nested("", "") else { return };
    let server = storage_daemon(&both);
    let remote = ["--source-remote", server.url.as_str()];
    let push = [&["source", "push"], &remote[..], &["sub.bst"]].concat();
    assert_said(&both.bst(&push).success(), &["Pushed source"]);
    let ours = both.elsewhere();
    assert_said(&ours.bourn(&push).success(), &["already has source"]);
    std::fs::remove_file(both.bourn.path().join("upstream/sub.tar")).expect("the tarball");

    let named = both.elsewhere();
    named.bourn(&["show", "all.bst"]).failure(255, "sub.tar");
    let built = named.bourn(&[&["build"], &remote[..], &["all.bst"]].concat()).success();
    assert_said(&built, &["Pulled source"]);
    // It is laid out now.
    named.bourn(&["show", "all.bst"]).success();

    let configured = both.elsewhere();
    let text = format!("source-caches:\n  servers:\n  - url: {}\n", server.url);
    configured.bourn.configure(&text);
    assert_said(&configured.bourn(&["show", "all.bst"]).success(), &["Pulled source"]);

    let recommended = both.elsewhere();
    let conf = format!("name: upper\nmin-version: 2.0\nsource-caches: [{{url: '{}'}}]\n", server.url);
    recommended.bourn.files(&format!("=== project.conf\n{conf}"));
    recommended.bourn(&["show", "all.bst"]).success();

    // A server that is gone does not keep anybody from fetching.
    let gone = both.elsewhere();
    gone.bourn.configure("source-caches: {servers: [{url: 'http://127.0.0.1:1'}]}\n");
    gone.bourn(&["show", "all.bst"]).failure(255, "sub.tar");
}

/// Elements that build upon each other, without a sandbox.
const CHAIN: &str = "
=== project.conf
name: chain
min-version: 2.0
=== one.bst
kind: import
sources:
- kind: local
  path: files/one
=== two.bst
kind: compose
build-depends: [one.bst]
=== three.bst
kind: compose
build-depends: [two.bst]
=== other.bst
kind: import
depends: [one.bst]
sources:
- kind: local
  path: files/other
=== files/one/one
1
=== files/other/other
2
";

#[test]
fn servers_for_names_and_for_blobs() {
    let Some(both) = Both::new(CHAIN) else { return };
    let (first, second) = (storage_daemon(&both), storage_daemon(&both));
    both.bourn(&["build", "three.bst"]).success();
    let (first, second) = (&first.url, &second.url);
    let sets = [
        vec![format!("url={first},type=index")],
        vec![format!("url={first},type=storage")],
        vec![format!("url={first},type=storage"), format!("url={second},type=index")],
        vec![format!("url={first},type=index"), format!("url={second},type=storage")],
        vec![format!("url={first},type=all"), format!("url={second},type=index")],
        vec![format!("url={first},type=storage"), format!("url={second},type=all")],
    ];
    for set in sets {
        let options: Vec<&str> =
            set.iter().flat_map(|remote| ["--artifact-remote", remote.as_str()]).collect();
        let push = [&["artifact", "push", "--deps", "all"], &options[..], &["three.bst"]].concat();
        let pull = [&["artifact", "pull", "--deps", "all"], &options[..], &["three.bst"]].concat();
        let (ours, theirs) = (both.bourn(&push), both.bst(&push));
        assert_eq!((ours.status, moved(&ours)), (theirs.status, moved(&theirs)), "{push:?}");
        let (ours, theirs) = (both.elsewhere().bourn(&pull), both.elsewhere().bst(&pull));
        assert_eq!((ours.status, moved(&ours)), (theirs.status, moved(&theirs)), "{pull:?}");
    }
}

#[test]
fn patterns_and_scopes() {
    let Some(both) = Both::new(CHAIN) else { return };
    let server = storage_daemon(&both);
    let remote = ["--artifact-remote", server.url.as_str()];
    both.bourn(&["build", "three.bst", "other.bst"]).success();
    let elements =
        |ran: &Ran| moved(ran).into_iter().map(|(element, _)| element).collect::<BTreeSet<String>>();
    let scopes = ["none", "build", "run", "all"];
    for words in
        [&["**.bst"][..], &["t*.bst"], &["three.bst", "other.bst"], &["nothing-*.bst"], &["chain/**"]]
    {
        for scope in scopes {
            let push = [&["artifact", "push", "--deps", scope], &remote[..], words].concat();
            let (ours, theirs) = (both.bourn(&push), both.bst(&push));
            let seen = (ours.status, elements(&ours));
            assert_eq!(
                seen,
                (theirs.status, elements(&theirs)),
                "{push:?}\n{}\n{}",
                ours.stderr,
                theirs.stderr
            );
        }
    }
    for words in [&["**.bst"][..], &["t*.bst"], &["other.bst"], &["nothing-*.bst"], &["chain/**"]] {
        for scope in scopes {
            let pull = [&["artifact", "pull", "--deps", scope], &remote[..], words].concat();
            let (ours, theirs) = (both.elsewhere().bourn(&pull), both.elsewhere().bst(&pull));
            let seen = (ours.status, elements(&ours));
            assert_eq!(
                seen,
                (theirs.status, elements(&theirs)),
                "{pull:?}\n{}\n{}",
                ours.stderr,
                theirs.stderr
            );
        }
    }
}
