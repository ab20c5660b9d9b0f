//! What comes from which server and how much of it, and which artifacts a command is about: by both programs the same.

use crate::Both;
use crate::fleet::{moved, nested};
use crate::remote::{Server, storage_daemon};
use bourn_testkit::Ran;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Elements whose artifacts take no sandbox to make.
const IMPORTS: &str = "
=== project.conf
name: several
min-version: 2.0
=== one.bst
kind: import
sources:
- kind: local
  path: files/one
=== two.bst
kind: import
depends: [one.bst]
sources:
- kind: local
  path: files/two
=== three.bst
kind: stack
depends: [two.bst]
=== files/one/one
1
=== files/two/two
2
";

/// Servers with names, that a text can speak of.
struct Fleet(Vec<(&'static str, Server)>);

impl Fleet {
    fn start(both: &Both, names: &[&'static str]) -> Fleet {
        Fleet(names.iter().map(|name| (*name, storage_daemon(both))).collect())
    }

    fn url(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(own, _)| *own == name);
        &found.expect("one of the names").1.url
    }

    /// A text with their URLs in place of their names.
    fn filled(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, server)| text.replace(name, &server.url))
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|word| self.filled(word)).collect()
    }

    /// How it ended, and of which element something was moved from or to which server.
    fn outcome(&self, ran: &Ran) -> (i32, BTreeSet<(String, String)>) {
        let named = |url: &str| {
            let name = self.0.iter().find(|(_, server)| server.url == url).map(|(name, _)| *name);
            name.unwrap_or("another").to_owned()
        };
        (ran.status, moved(ran).into_iter().map(|(element, url)| (element, named(&url))).collect())
    }

    /// What both make of a command in an empty cache, and that this is the same.
    #[track_caller]
    fn same_in_empty_cache(
        &self,
        both: &Both,
        configuration: &str,
        words: &[&str],
    ) -> BTreeSet<(String, String)> {
        let words = self.words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = |is_bourn: bool| {
            let place = both.elsewhere();
            place.bourn.configure(&self.filled(configuration));
            if is_bourn { place.bourn(&words) } else { place.bst(&words) }
        };
        let (ours, theirs) = (run(true), run(false));
        let seen = self.outcome(&ours);
        assert_eq!(
            seen,
            self.outcome(&theirs),
            "bourn (left) and bst (right), {configuration:?} {words:?}\n{}\n{}",
            ours.stderr,
            theirs.stderr
        );
        assert!(seen.0 == 0 || seen.1.is_empty(), "{}", ours.stderr);
        seen.1
    }
}

/// The names of the servers that something came from.
fn origins(moved: &BTreeSet<(String, String)>) -> Vec<&str> {
    moved.iter().map(|(_, server)| server.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whoever comes first in the order of servers is pulled from where all have it.
#[test]
fn the_first_server_is_pulled_from() {
    let Some(both) = Both::new(IMPORTS) else { return };
    let fleet = Fleet::start(&both, &["FIRST", "SECOND", "THIRD"]);
    for name in ["FIRST", "SECOND", "THIRD"] {
        let url = fleet.url(name);
        let remotes = ["--artifact-remote", url, "--source-remote", url];
        both.bourn(&[&["build"], &remotes[..], &["three.bst"]].concat()).success();
        both.bourn(&["artifact", "push", "--deps", "all", "--artifact-remote", url, "three.bst"]).success();
        both.bourn(&["source", "push", "--deps", "all", "--source-remote", url, "three.bst"]).success();
    }
    let own = "artifacts: [{url: 'FIRST'}]\nsource-caches: [{url: 'FIRST'}]\n";
    let conf = format!("=== project.conf\nname: several\nmin-version: 2.0\n{own}");
    both.bourn.files(&fleet.filled(&conf));
    let own = "artifacts: {servers: [{url: 'SECOND'}]}\nsource-caches: {servers: [{url: 'SECOND'}]}\n";
    let overriding = own.replace("{servers", "{override-project-caches: true, servers");
    let of_project = "projects: {several: {artifacts: {servers: [{url: 'THIRD'}]}}}\n";
    let two = "artifacts: {servers: [{url: 'THIRD'}, {url: 'SECOND'}]}\n";
    let pull = ["artifact", "pull", "--deps", "all"];
    let (remote, ignore) = ("--artifact-remote", "--ignore-project-artifact-remotes");
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("", &[], &["FIRST"]),
        (own, &[], &["SECOND"]),
        (&overriding, &[], &["SECOND"]),
        (of_project, &[], &["THIRD"]),
        (&format!("{own}{of_project}"), &[], &["THIRD"]),
        (two, &[], &["THIRD"]),
        (own, &[remote, "THIRD"], &["THIRD"]),
        ("", &[remote, "THIRD", remote, "SECOND"], &["THIRD"]),
        (own, &[ignore], &["SECOND"]),
        ("", &[ignore], &[]),
    ];
    for (configuration, more, expect) in cases {
        let words = [&pull[..], more, &["three.bst"]].concat();
        let seen = fleet.same_in_empty_cache(&both, configuration, &words);
        assert_eq!(origins(&seen), *expect, "{configuration:?} {more:?}");
    }
    let fetch = ["source", "fetch", "--deps", "all"];
    let (remote, ignore) = ("--source-remote", "--ignore-project-source-remotes");
    let cases: &[(&str, &[&str])] =
        &[("", &[]), (own, &[]), (own, &[remote, "THIRD"]), (own, &[ignore]), ("", &[ignore])];
    for (configuration, more) in cases {
        fleet.same_in_empty_cache(&both, configuration, &[&fetch[..], more, &["three.bst"]].concat());
    }
}

/// What the first server does not have comes from the next one, and what it has only the name of too.
#[test]
fn the_next_server_helps_out() {
    let Some(both) = Both::new(IMPORTS) else { return };
    let fleet = Fleet::start(&both, &["FIRST", "SECOND", "THIRD"]);
    both.bourn(&["build", "three.bst"]).success();
    let push = |remotes: &[&str], element: &str| {
        let remotes: Vec<String> = fleet.words(remotes);
        let options = remotes.iter().flat_map(|remote| ["--artifact-remote", remote.as_str()]);
        let words: Vec<&str> = ["artifact", "push"].into_iter().chain(options).chain([element]).collect();
        both.bourn(&words).success();
    };
    push(&["FIRST"], "one.bst");
    push(&["SECOND"], "two.bst");
    push(&["SECOND"], "one.bst");
    push(&["url=FIRST,type=index", "url=THIRD,type=storage"], "three.bst");
    let sets: &[&[&str]] = &[
        &["FIRST", "SECOND", "THIRD"],
        &["THIRD", "SECOND", "FIRST"],
        &["url=FIRST,type=index", "SECOND"],
        &["url=FIRST,type=index", "url=THIRD,type=storage", "SECOND"],
        &["url=SECOND,type=storage", "FIRST"],
        &["url=THIRD,type=storage", "url=SECOND,type=all", "url=FIRST,type=index"],
    ];
    for set in sets {
        let options = set.iter().flat_map(|remote| ["--artifact-remote", remote]);
        for element in ["one.bst", "two.bst", "three.bst"] {
            let pull = ["artifact", "pull"].into_iter().chain(options.clone()).chain([element]);
            fleet.same_in_empty_cache(&both, "", &pull.collect::<Vec<_>>());
        }
    }
}

/// What belongs to a project below comes from the servers of that project.
#[test]
fn a_project_below_pulls_from_its_servers() {
    let Some(daemons) = Both::new("") else { return };
    let fleet = Fleet::start(&daemons, &["UPPER", "LOWER", "OWN"]);
    let recommend = |name: &str| {
        let server = format!("- url: {name}\n  push: true\n");
        fleet.filled(&format!("artifacts:\n{server}source-caches:\n{server}"))
    };
    let filling = nested(&recommend("UPPER"), &recommend("LOWER")).expect("the reference, as before");
    // Nothing is pushed yet: each server gets its own project's alone.
    let alone = ["--ignore-project-artifact-remotes", "--ignore-project-source-remotes"];
    filling.bourn(&[&["build"], &alone[..], &["all.bst"]].concat()).success();
    for (name, elements) in [
        ("UPPER", &["base.bst", "all.bst"][..]),
        ("LOWER", &["sub.bst:part.bst"]),
        ("OWN", &["base.bst", "all.bst", "sub.bst:part.bst"]),
    ] {
        for sort in ["artifact", "source"] {
            let (remote, alone) = (format!("--{sort}-remote"), format!("--ignore-project-{sort}-remotes"));
            let push = [sort, "push", "--deps", "none", &remote, fleet.url(name), &alone];
            filling.bourn(&[&push[..], elements].concat()).success();
        }
    }

    let (pull, fetch) = (["artifact", "pull", "--deps", "all"], ["source", "fetch", "--deps", "all"]);
    let servers = "servers: [{url: 'OWN'}]";
    /// A configuration, more words, and who is asked in which order.
    type Case<'c> = (&'c str, &'c [&'c str], Option<&'c [&'c str]>);
    let cases: &[Case<'_>] = &[
        ("", &[], Some(&["LOWER", "UPPER"])),
        (&format!("artifacts: {{{servers}}}\n"), &[], Some(&["OWN"])),
        (&format!("artifacts: {{override-project-caches: true, {servers}}}\n"), &[], Some(&["OWN"])),
        (&format!("projects: {{lower: {{artifacts: {{{servers}}}}}}}\n"), &[], None),
        (
            &format!("projects: {{lower: {{artifacts: {{override-project-caches: true, {servers}}}}}}}\n"),
            &[],
            None,
        ),
        (
            &format!("projects: {{upper: {{artifacts: {{override-project-caches: true, {servers}}}}}}}\n"),
            &[],
            None,
        ),
        ("artifacts: {override-project-caches: true}\n", &[], Some(&[])),
        ("", &["--artifact-remote", "OWN"], Some(&["OWN"])),
        ("", &["--ignore-project-artifact-remotes"], Some(&[])),
    ];
    for (configuration, more, expect) in cases {
        let words = [&pull[..], more, &["all.bst"]].concat();
        let seen = fleet.same_in_empty_cache(&filling, configuration, &words);
        if let Some(expect) = expect {
            assert_eq!(origins(&seen), *expect, "{configuration:?} {more:?}");
        }
        let configuration = configuration.replace("artifacts:", "source-caches:");
        let more: Vec<String> = more.iter().map(|word| word.replace("artifact", "source")).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        fleet.same_in_empty_cache(&filling, &configuration, &[&fetch[..], &more, &["all.bst"]].concat());
    }
}

/// An element that has a build tree, with a file that is nowhere else.
const BUILT: &str = "
=== project.conf
name: built
min-version: 2.0
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== hello.bst
kind: manual
build-depends: [base.bst]
config:
  build-commands:
  - echo only in the build tree > left
  install-commands:
  - mkdir -p %{install-root}/usr/share
  - echo hello > %{install-root}/usr/share/greeting
";

/// Whether a cache has a blob.
fn has_object(both: &Both, content: &str) -> bool {
    let Ok(prefixes) = std::fs::read_dir(both.bourn.cache().join("cas/objects")) else { return false };
    let objects = prefixes.flatten().filter_map(|prefix| std::fs::read_dir(prefix.path()).ok()).flatten();
    objects
        .flatten()
        .any(|object| std::fs::read(object.path()).is_ok_and(|bytes| bytes == content.as_bytes()))
}

#[test]
fn build_trees_come_as_configured() {
    let Some(both) = Both::new(BUILT).map(Both::with_shell) else { return };
    let server = storage_daemon(&both);
    let remote = ["--artifact-remote", server.url.as_str()];
    let always = ["--cache-buildtrees", "always", "build"];
    both.bst(&[&always[..], &remote, &["hello.bst"]].concat()).success();
    let wanting = "cache: {pull-buildtrees: true, reserved-disk-space: 1M}\n";
    let cases: &[(&str, &[&str], bool)] =
        &[("", &[], false), ("", &["--pull-buildtrees"], true), (wanting, &[], true)];
    for (configuration, options, expect) in cases {
        for command in [&["artifact", "pull"][..], &["build"]] {
            for is_bourn in [true, false] {
                let place = both.elsewhere();
                place.bourn.configure(configuration);
                let words = [options, command, &remote, &["hello.bst"]].concat();
                let ran = if is_bourn { place.bourn(&words) } else { place.bst(&words) };
                ran.success();
                let has = has_object(&place, "only in the build tree\n");
                assert_eq!(has, *expect, "{is_bourn} {configuration:?} {words:?}");
                // What was left out comes when it is asked for.
                let words =
                    [&["--pull-buildtrees", "artifact", "pull"][..], &remote, &["hello.bst"]].concat();
                let ran = if is_bourn { place.bourn(&words) } else { place.bst(&words) };
                let said = ran.success().stderr;
                assert_eq!(said.contains("INFO    Pulled artifact"), !expect, "{is_bourn} {words:?} {said}");
                assert!(has_object(&place, "only in the build tree\n"), "{is_bourn} {words:?}");
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// The names of the artifacts that are kept.
fn kept(both: &Both) -> BTreeSet<String> {
    fn below(directory: &Path, root: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => below(&path, root, names),
                false => {
                    let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
                    names.insert(name);
                }
            }
        }
    }
    let root = both.bourn.cache().join("artifacts/refs");
    let mut names = BTreeSet::new();
    below(&root, &root, &mut names);
    names
}

/// What can stand for artifacts on a command line.
const PATTERNS: &[&[&str]] = &[
    &["**.bst"],
    &["t*.bst"],
    &["*.bst", "one.bst"],
    &["three.bst", "two.bst"],
    &["nothing-*.bst"],
    &["several/**"],
    &["several/t*/*"],
    &["several/one/*", "t?o.bst"],
    &["another/**"],
    &["**"],
];

#[test]
fn patterns_of_what_is_shown_and_read() {
    let Some(both) = Both::new(IMPORTS) else { return };
    both.bourn(&["build", "three.bst"]).success();
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let commands: &[&[&str]] = &[
        &["artifact", "show"],
        &["artifact", "show", "--deps", "none"],
        &["artifact", "show", "--deps", "build"],
        &["artifact", "show", "--deps", "run"],
        &["artifact", "show", "--deps", "all"],
        &["artifact", "list-contents"],
        &["artifact", "list-contents", "--long"],
        &["artifact", "log"],
    ];
    for command in commands {
        for words in PATTERNS {
            let words = [command, *words].concat();
            let (ours, theirs) = (both.bourn(&words), both.bst(&words));
            assert_eq!(
                (ours.status, sorted(&ours.stdout)),
                (theirs.status, sorted(&theirs.stdout)),
                "bourn (left) and bst (right), {words:?}\n{}\n{}",
                ours.stderr,
                theirs.stderr
            );
        }
    }
}

#[test]
fn patterns_of_what_is_deleted() {
    let Some(both) = Both::new(IMPORTS) else { return };
    both.bourn(&["build", "three.bst"]).success();
    let whole = kept(&both);
    let mut left = BTreeSet::new();
    for scope in ["none", "build", "run", "all"] {
        for words in PATTERNS {
            let words = [&["artifact", "delete", "--deps", scope], *words].concat();
            let run = |is_bourn: bool| {
                let place = both.elsewhere();
                copy(&both.bourn.cache(), &place.bourn.cache());
                let ran = if is_bourn { place.bourn(&words) } else { place.bst(&words) };
                (ran.status, kept(&place))
            };
            let (ours, theirs) = (run(true), run(false));
            assert_eq!(ours, theirs, "bourn (left) and bst (right), {words:?}");
            left.insert(ours.1.len());
        }
    }
    assert!(left.contains(&0) && left.contains(&whole.len()) && left.len() > 2, "{left:?} of {whole:?}");
}
