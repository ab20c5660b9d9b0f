//! Which URLs are asked, and in which order: aliases, mirrors of the project and of the user, the default one first.

use crate::Both;
use crate::server::{Asked, Said, Server};
use std::sync::{Arc, Mutex};

const PROJECT: &str = "=== project.conf
name: asking
min-version: 2.0
aliases:
  up: SERVERown/
  other: SERVERother/
mirrors:
- name: one
  aliases:
    up: ['SERVERone-a/', 'SERVERone-b/']
- name: two
  aliases:
    other: ['SERVERtwo-other/']
    up: ['SERVERtwo-a/']
=== it.bst
kind: import
sources:
- kind: remote
  url: up:file
  ref: SUM
=== other.bst
kind: import
sources:
- kind: tar
  url: other:file.tar
  ref: SUM
";

const USER: &str = "projects:
  asking:
    mirrors:
    - name: mine
      aliases:
        up: ['SERVERmine/']
    - name: two
      aliases:
        up: ['SERVERmine-two/']
";

/// A server that has the file only below `place`, whatever that is now, and both programs beside it.
struct Case {
    both: Both,
    server: Server,
    place: Arc<Mutex<String>>,
}

impl Case {
    fn new() -> Option<Case> {
        let both = Both::new("")?;
        let place = Arc::<Mutex<String>>::default();
        let known = place.clone();
        let server = Server::start(move |_, asked: &Asked| {
            let place = known.lock().expect("no panic").clone();
            let found = !place.is_empty() && asked.path.starts_with(&format!("/{place}/"));
            if found { Said::ok("content") } else { Said::status(404) }
        });
        let sum = bourn_reapi::Digest::of(b"content").hex();
        both.bourn.files(&PROJECT.replace("SERVER", &server.url("")).replace("SUM", &sum));
        Some(Case { both, server, place })
    }

    /// Has both fetch and track with a configuration; `all` are asked in this order, and by both alike.
    #[track_caller]
    fn check(&self, configuration: &str, options: &[&str], place: &str, all: &[&str]) {
        *self.place.lock().expect("no panic") = place.to_owned();
        let configuration = configuration.replace("SERVER", &self.server.url(""));
        self.both.bourn.configure(&format!("scheduler:\n  network-retries: 0\n{configuration}"));
        let element = std::fs::read(self.both.bourn.project().join("it.bst")).expect("an element");
        let mut found = Vec::new();
        for command in ["fetch", "track"] {
            for is_bst in [false, true] {
                for name in ["sources", "cache"] {
                    let _ = std::fs::remove_dir_all(self.both.bourn.path().join(name));
                }
                let before = self.server.asked().len();
                let words: Vec<&str> = options.iter().copied().chain(["source", command, "it.bst"]).collect();
                let ran = if is_bst { self.both.bst(&words) } else { self.both.bourn(&words) };
                let asked: Vec<String> =
                    self.server.asked()[before..].iter().map(|asked| asked.path.clone()).collect();
                found.push((ran.status, asked));
                std::fs::write(self.both.bourn.project().join("it.bst"), &element).expect("an element");
            }
        }
        // The first that has it is the last that is asked.
        let until = |places: &mut dyn Iterator<Item = &&str>| -> Vec<String> {
            let mut asked = Vec::new();
            for one in places {
                asked.push(format!("/{one}/file"));
                if *one == place {
                    break;
                }
            }
            asked
        };
        assert_eq!(found[0], found[1], "fetch: bourn and bst, {configuration}");
        assert_eq!(found[2], found[3], "track: bourn and bst, {configuration}");
        assert_eq!(found[0].1, until(&mut all.iter()), "fetch, {configuration}");
        // The reference tracks from the last one first.
        assert_eq!(found[2].1, until(&mut all.iter().rev()), "track, {configuration}");
    }
}

fn policy(source: &str) -> String {
    format!("fetch:\n  source: {source}\ntrack:\n  source: {source}\n")
}

#[test]
fn every_url_in_order() {
    let Some(case) = Case::new() else { return };
    let mirrors = ["one-a", "one-b", "two-a"];
    let all = ["one-a", "one-b", "two-a", "own"];
    case.check(&policy("all"), &[], "", &all);
    case.check(&policy("aliases"), &[], "", &["own"]);
    case.check(&policy("mirrors"), &[], "", &mirrors);
    case.check(&policy("user"), &[], "", &[]);
    case.check(&policy("all"), &[], "one-b", &all);
    case.check(&policy("all"), &[], "own", &all);
}

#[test]
fn mirrors_of_the_user() {
    let Some(case) = Case::new() else { return };
    let mine = ["mine", "mine-two"];
    case.check(&format!("{}{USER}", policy("all")), &[], "", &["mine", "mine-two", "own"]);
    case.check(&format!("{}{USER}", policy("mirrors")), &[], "", &mine);
    case.check(&format!("{}{USER}", policy("user")), &[], "mine-two", &mine);
    case.check(&format!("{}{USER}", policy("aliases")), &[], "own", &["own"]);
}

#[test]
fn the_default_mirror_comes_first() {
    let Some(case) = Case::new() else { return };
    let two = ["two-a", "one-a", "one-b", "own"];
    case.check(&policy("all"), &["--default-mirror", "two"], "", &two);
    let user = "projects:\n  asking:\n    default-mirror: two\n";
    case.check(&format!("{}{user}", policy("all")), &[], "", &two);
    // What the command line says counts more.
    let one = ["one-a", "one-b", "two-a", "own"];
    case.check(&format!("{}{user}", policy("all")), &["--default-mirror", "one"], "", &one);
    case.check(&policy("all"), &["--default-mirror", "unknown"], "", &one);
    let both = format!("{}{}    default-mirror: two\n", policy("user"), USER);
    case.check(&both, &[], "", &["mine-two", "mine"]);
}

/// One policy for fetching, another one for tracking.
#[test]
fn fetching_and_tracking_ask_others() {
    let Some(case) = Case::new() else { return };
    let ask = |configuration: &str, command: &str, is_bst: bool| {
        case.both.bourn.configure(&format!("scheduler:\n  network-retries: 0\n{configuration}"));
        let before = case.server.asked().len();
        let words = ["source", command, "other.bst"];
        let _ = if is_bst { case.both.bst(&words) } else { case.both.bourn(&words) };
        case.server.asked()[before..].iter().map(|asked| asked.path.clone()).collect::<Vec<_>>()
    };
    let configuration = "fetch:\n  source: mirrors\ntrack:\n  source: aliases\n";
    for is_bst in [false, true] {
        assert_eq!(ask(configuration, "fetch", is_bst), ["/two-other/file.tar"], "bst: {is_bst}");
        assert_eq!(ask(configuration, "track", is_bst), ["/other/file.tar"], "bst: {is_bst}");
    }
    // Neither was said: all for fetching, the alias alone for tracking.
    for is_bst in [false, true] {
        assert_eq!(ask("", "fetch", is_bst), ["/two-other/file.tar", "/other/file.tar"], "bst: {is_bst}");
        assert_eq!(ask("", "track", is_bst), ["/other/file.tar"], "bst: {is_bst}");
    }
}
