//! Fetching that is killed in the midst of each of its requests, of every kind that speaks to a server: the next run goes
//! on, and what is staged at last is what a run that nobody disturbed stages.

use crate::downloads::{git, start, wait_until};
use crate::registry::{Entry, Registry, distribution, layer};
use crate::server::{Asked, Said, Server};
use bourn_testkit::{Random, TestEnv};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Further rounds, in which the program is killed at any moment; more with this variable.
const ROUNDS: &str = "BOURN_TEST_ROUNDS";

const CRATES: [&str; 3] = ["one", "two", "three"];

/// What the servers have: a directory of files, and a registry of images.
struct Upstream {
    directory: tempfile::TempDir,
    registry: Registry,
    /// The sources of each element, by its name; `URL` stands for the server.
    elements: BTreeMap<&'static str, String>,
}

/// Runs a tool that `cargo xtask test` installs; what it says.
#[track_caller]
fn run(directory: &Path, line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(directory).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Bytes that cannot be compressed.
fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.below(256) as u8).collect()
}

impl Upstream {
    fn new() -> Upstream {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut upstream =
            Upstream { directory, registry: Registry::with_token("secret"), elements: BTreeMap::new() };
        upstream.add_files();
        upstream.add_repositories();
        upstream.add_branch();
        upstream.add_packages();
        upstream.add_image();
        upstream
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Crates and archives.
    fn add_files(&mut self) {
        let mut random = Random(31);
        let mut crates = "- kind: local\n  path: files\n- kind: cargo\n  url: up:crates\n  ref:\n".to_owned();
        for name in CRATES {
            let place = self.path(&format!("{name}-1.0.0"));
            std::fs::create_dir_all(&place).expect("a directory");
            std::fs::write(place.join("noise"), noise(&mut random, 60_000)).expect("a file");
            run(
                self.directory.path(),
                &format!("mkdir -p crates/{name} && tar czf crates/{name}/{name}-1.0.0.crate {name}-1.0.0"),
            );
            let packed =
                std::fs::read(self.path(&format!("crates/{name}/{name}-1.0.0.crate"))).expect("a file");
            let sum = bourn_reapi::Digest::of(&packed).hex();
            crates.push_str(&format!("  - name: {name}\n    version: 1.0.0\n    sha: {sum}\n"));
            if name == "one" {
                let tar = format!("- kind: tar\n  url: up:crates/one/one-1.0.0.crate\n  ref: {sum}\n");
                self.elements.insert("tar", tar);
            }
        }
        self.elements.insert("cargo", crates);
    }

    /// Repositories of git and OSTree, served as plain files.
    fn add_repositories(&mut self) {
        let repository = self.path("repository");
        std::fs::create_dir(&repository).expect("a directory");
        git(&repository, &["init", "-q", "-b", "main"]);
        for number in 0..3 {
            let content = noise(&mut Random(number + 1), 40_000);
            std::fs::write(repository.join(format!("file{number}")), content).expect("a file");
            git(&repository, &["add", "."]);
            git(&repository, &["commit", "-q", "-m", "more"]);
        }
        git(&repository, &["update-server-info"]);
        let commit = run(&repository, "git rev-parse HEAD");
        for kind in ["git", "git_repo"] {
            let source =
                format!("- kind: {kind}\n  url: up:repository/.git\n  track: main\n  ref: {commit}\n");
            self.elements.insert(kind, source);
        }
        let place = self.directory.path();
        run(place, "ostree init --repo=ostree --mode=archive-z2");
        let commit = run(
            place,
            "ostree commit --repo=ostree --owner-uid=0 --owner-gid=0 --no-xattrs --branch=main \
             --timestamp=2020-01-01T00:00:00Z one-1.0.0",
        );
        self.elements.insert("ostree", format!("- kind: ostree\n  url: up:ostree\n  ref: {commit}\n"));
    }

    /// A branch of Bazaar, served as plain files.
    fn add_branch(&mut self) {
        let place = self.path("bazaar/trunk");
        std::fs::create_dir_all(&place).expect("a directory");
        run(&place, "brz init -q");
        for number in 0..2 {
            std::fs::write(place.join(format!("file{number}")), noise(&mut Random(number + 7), 30_000))
                .expect("a file");
            run(&place, "brz add -q && BZR_EMAIL='A <a@example.org>' brz commit -q -m more");
        }
        self.elements.insert("bzr", "- kind: bzr\n  url: up:bazaar\n  track: trunk\n  ref: '2'\n".into());
    }

    /// An index of Python packages, one of which requires the other.
    fn add_packages(&mut self) {
        for (name, requires) in [("one", "Requires-Dist: two\n"), ("two", "")] {
            let file = format!("{name}-1.0.tar.gz");
            let page = format!("<a href=\"/files/{file}\">{file}</a>");
            for (path, content) in [
                (format!("files/{file}"), distribution(name, "", requires)),
                (format!("simple/{name}/index.html"), page.into_bytes()),
            ] {
                let path = self.path(&path);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
                std::fs::write(path, content).expect("a file");
            }
        }
        let source = "- kind: local\n  path: files\n- kind: pip\n  url: up:simple/\n  packages: [one]\n  ref: |-\n    one==1.0\n    two==1.0\n";
        self.elements.insert("pip", source.into());
    }

    fn add_image(&mut self) {
        let layers = [
            layer(&[Entry::Directory("etc/"), Entry::File("etc/a", "1"), Entry::File("bin/tool", "2")]),
            layer(&[Entry::File("etc/.wh.a", ""), Entry::File("etc/b", "3")]),
            layer(&[Entry::Symlink("lib", "etc")]),
        ];
        let digest = self.registry.image("a/b", &["latest"], &layers);
        let digest = digest.trim_start_matches("sha256:");
        let source = format!("- kind: docker\n  registry-url: 'up:'\n  image: a/b\n  ref: {digest}\n");
        self.elements.insert("docker", source);
    }
}

/// A request of a run at which the server falls silent.
#[derive(Default)]
struct Fault {
    /// Requests of this run so far.
    count: AtomicUsize,
    /// Which of them; none in a run that is not to be disturbed.
    at: AtomicUsize,
    /// After how many thousandths of the answer.
    after: AtomicUsize,
    has_come: AtomicBool,
}

impl Fault {
    /// For the next run.
    fn set(&self, at: usize, after: usize) {
        self.count.store(0, Ordering::SeqCst);
        self.has_come.store(false, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    fn spoil(&self, said: Said) -> Said {
        if self.count.fetch_add(1, Ordering::SeqCst) != self.at.load(Ordering::SeqCst) {
            return said;
        }
        self.has_come.store(true, Ordering::SeqCst);
        let at = said.body.len() * self.after.load(Ordering::SeqCst) / 1000;
        said.stall(at)
    }
}

fn serve(upstream: &Upstream, registry: Registry, fault: Arc<Fault>) -> Server {
    let directory = upstream.directory.path().to_owned();
    Server::start(move |_, asked: &Asked| {
        if asked.path.starts_with("/v2/") || asked.path.starts_with("/token") {
            return fault.spoil(registry.answer(asked));
        }
        let path = asked.path.split('?').next().unwrap_or_default();
        let page = if path.ends_with('/') { "index.html" } else { "" };
        fault.spoil(match std::fs::read(directory.join(format!("{}{page}", path.trim_start_matches('/')))) {
            Ok(content) if !page.is_empty() => Said::ok(content).header("Content-Type", "text/html"),
            Ok(content) => Said::range(asked, &content),
            Err(_) => Said::status(404),
        })
    })
}

fn project(env: &TestEnv, upstream: &Upstream, url: &str) {
    let mut text = format!(
        "=== project.conf\nname: killed\nmin-version: 2.0\naliases:\n  up: {url}\nplugins:\n\
         - origin: pip\n  package-name: buildstream-plugins\n  sources: [bzr, cargo, docker, git, pip]\n\
         - origin: pip\n  package-name: buildstream-plugins-community\n  sources: [git_repo, ostree]\n"
    );
    for (name, sources) in &upstream.elements {
        text.push_str(&format!("=== {name}.bst\nkind: import\nsources:\n{sources}"));
    }
    text.push_str("=== files/plain\n1\n");
    env.files(&text);
}

/// What the cache has of sources, by key.
fn staged(env: &TestEnv) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = env.cache().join("elementsources").read_dir().into_iter().flatten().flatten();
    entries.map(|entry| (entry.path(), std::fs::read(entry.path()).expect("a file"))).map(named).collect()
}

fn named((path, content): (PathBuf, Vec<u8>)) -> (PathBuf, Vec<u8>) {
    (path.file_name().unwrap_or_default().into(), content)
}

/// What runs that were killed left and nobody needs: a run that came to its end has cleared it away.
fn left(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // OSTree's own lock is always there. The note of who was killed may be, too, where the tool went on alone and
        // brought all that was wanted: then nobody had anything to change.
        if name == ".lock" {
            continue;
        }
        let is_left =
            [".part", ".lock"].iter().any(|ending| name.ends_with(ending)) || name.starts_with("tmp_");
        if is_left {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(left(&entry.path()));
        }
    }
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "says how often something happened, for the notes of a release")]
fn sources_are_fetched_after_a_kill_within_each_request() {
    let mut upstream = Upstream::new();
    let registry = std::mem::take(&mut upstream.registry);
    let fault = Arc::<Fault>::default();
    let server = serve(&upstream, registry, fault.clone());
    let [expect, env] = [crate::env(), crate::env()];
    for one in [&expect, &env] {
        project(one, &upstream, &server.url(""));
    }
    let mut random = Random(2711);
    let mut kills = BTreeMap::new();
    for name in upstream.elements.keys() {
        let element = format!("{name}.bst");
        fault.set(usize::MAX, 0);
        expect.run(&["source", "fetch", &element]).success();
        for at in 0.. {
            fault.set(at, random.below(1001));
            let mut child = start(&env, &["source", "fetch", &element]);
            let mut ended = None;
            wait_until("the request or the end of the program", || {
                ended = child.try_wait().expect("a status");
                let is_over = ended.is_some() || fault.has_come.load(Ordering::SeqCst);
                if !is_over {
                    // A tool of the run before that lives on is waited for, for as long as it waits for the server.
                    server.hang_up();
                }
                is_over
            });
            if let Some(status) = ended {
                assert!(status.success(), "{element}, after {at} kills: {status}");
                break;
            }
            child.kill().expect("killed");
            child.wait().expect("an end");
            *kills.entry(*name).or_insert(0) += 1;
            let format = ["show", "--deps", "none", "--format", "%{state}", &element];
            let state = env.run(&format).success().stdout;
            // Where the answer came whole, the program may have staged it before it was killed, and a tool ends its work
            // alone. Whether what was staged is whole is seen at last, since nobody fetches it again.
            let states = ["buildable", "fetch needed"];
            assert!(states.contains(&state.trim()), "{element}, after {at} kills: {state}");
        }
    }
    assert!(upstream.elements.keys().all(|name| kills.contains_key(name)), "{kills:?}");
    check(&env, &expect);
    let names: Vec<String> = upstream.elements.keys().map(|name| format!("{name}.bst")).collect();
    let rounds = std::env::var(ROUNDS).ok().and_then(|count| count.parse().ok()).unwrap_or(3_u64);
    fault.set(usize::MAX, 0);
    let mut at_any_moment = 0;
    for _ in 0..rounds {
        let env = crate::env();
        project(&env, &upstream, &server.url(""));
        let all: Vec<&str> =
            ["source", "fetch"].into_iter().chain(names.iter().map(String::as_str)).collect();
        for _ in 0..4 {
            let mut child = start(&env, &all);
            std::thread::sleep(std::time::Duration::from_millis(random.below(700) as u64));
            at_any_moment += usize::from(child.try_wait().expect("a status").is_none());
            let _ = child.kill();
            child.wait().expect("an end");
        }
        env.run(&all).success();
        check(&env, &expect);
    }
    eprintln!("killed within requests: {kills:?}; at any moment: {at_any_moment}");
}

/// Checks that nothing is left that is not whole, and that the same was staged.
#[track_caller]
fn check(env: &TestEnv, expect: &TestEnv) {
    assert_eq!(staged(env), staged(expect));
    assert_eq!(left(&env.path().join("sources")), Vec::<PathBuf>::new());
    env.run(&["cache", "fsck"]).success();
}
