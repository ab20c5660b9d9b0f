//! A project edited at random, again and again: what is shown with pictures is what is shown without.
//!
//! Two caches stand beside each other. In one, pictures are kept through all edits, so that each may be believed,
//! refreshed or dropped long after it was made; from the other they are removed before every run.

use crate::env;
use bourn_testkit::{Ran, TestEnv};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many edits are made.
const STEPS: usize = 45;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }
}

/// A path in the project and what may stand there; `None` is nothing. The first is what the project begins with. Some
/// have variants of one size, so that the stamp of a file tells as little as it can.
type File = (&'static str, &'static [Option<&'static str>]);

const FILES: &[File] = &[
    (
        "project.conf",
        &[
            Some(
                "name: edited\nmin-version: 2.0\n(@): conf.yml\nelement-path: elements\nref-storage: project.refs\noptions: {mood: {type: bool, description: x, default: True, variable: mood}}\nplugins:\n- {origin: pip, package-name: buildstream-plugins, sources: [patch]}\n",
            ),
            Some(
                "name: edited\nmin-version: 2.0\n(@): conf.yml\nelement-path: elements\nref-storage: project.refs\noptions: {mood: {type: bool, description: y, default: Fals, variable: mood}}\n",
            ),
            Some(
                "name: editor\nmin-version: 2.0\n(@): conf.yml\nelement-path: elements\noptions: {mood: {type: bool, description: x, default: False, variable: mood}}\nvariables: {own: x}\nplugins:\n- {origin: pip, package-name: buildstream-plugins, sources: [patch]}\n",
            ),
        ],
    ),
    ("conf.yml", &[Some("variables: {a: one}\n"), Some("variables: {a: two}\n"), None]),
    (
        "project.refs",
        &[
            None,
            Some(
                "projects: {edited: {remote.bst: [{ref: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]}}\n",
            ),
            Some(
                "projects: {edited: {remote.bst: [{ref: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}]}}\n",
            ),
        ],
    ),
    ("junction.refs", &[None, Some("projects: {}\n"), Some("projects: [\n")]),
    (
        "elements/remote.bst",
        &[Some("kind: import\nsources: [{kind: remote, url: 'https://example.org/x'}]\n")],
    ),
    (
        "elements/base.bst",
        &[
            Some("kind: import\nsources: [{kind: local, path: files/base}]\n"),
            Some("kind: import\nsources: [{kind: local, path: files/one.}]\n"),
            Some("kind: import\nsources: [{kind: local, path: files/base}, {kind: patch, path: files/p}]\n"),
            None,
        ],
    ),
    (
        "elements/script.bst",
        &[
            Some("kind: manual\nbuild-depends: [base.bst]\n(@): elements/more.inc\n"),
            Some("kind: manual\nbuild-depends: [link.bst]\n(@): elements/more.inc\n"),
            Some("kind: manual\ndepends: [remote.bst]\nvariables: {b: '%{a}'}\n"),
        ],
    ),
    (
        "elements/more.inc",
        &[
            Some("config: {install-commands: ['echo %{a} %{mood}']}\n"),
            Some("config: {install-commands: ['echo %{mood} %{a}']}\n"),
            Some("environment: {A: '%{a}'}\n"),
            None,
        ],
    ),
    ("elements/sub.bst", &[Some("kind: junction\nsources: [{kind: local, path: sub}]\n")]),
    ("elements/link.bst", &[Some("kind: link\nconfig: {target: 'sub.bst:in.bst'}\n"), Some("kind: stack\n")]),
    ("elements/all.bst", &[Some("kind: stack\ndepends: [script.bst, link.bst, remote.bst]\n")]),
    (
        "sub/project.conf",
        &[Some("name: inner\nmin-version: 2.0\n"), Some("name: other\nmin-version: 2.0\n"), None],
    ),
    (
        "sub/in.bst",
        &[Some("kind: import\nsources: [{kind: local, path: d}]\n"), Some("kind: stack\ndescription: x\n")],
    ),
    ("sub/d", &[Some("data\n"), Some("date\n"), None]),
    ("files/base/f", &[Some("one\n"), Some("two\n"), None]),
    ("files/base/g", &[None, Some("new\n")]),
    ("files/base/d/h", &[None, Some("deep\n"), Some("down\n")]),
    ("files/one.", &[Some("1\n"), Some("2\n")]),
    ("files/p", &[Some("--- a\n"), Some("+++ a\n"), None]),
];

const CONFIGURATIONS: &[&str] = &[
    "",
    "projects: {edited: {options: {mood: False}}}\n",
    "build: {max-jobs: 3}\n",
    "projects: {edited: {options: {nothing: x}}}\n",
];

const FORMATS: &[&str] =
    &["%{name} %{full-key} %{workspace-dirs} %{deps}", "%{name} %{key}\n%{vars}%{env}%{config}%{public}"];

/// Makes the project and the configuration what they were in the beginning.
fn begin(numbers: &mut Numbers, env: &TestEnv) {
    for (path, variants) in FILES {
        put(numbers, &env.project().join(path), variants[0]);
    }
    configure(env, "");
}

/// Puts something at a path, in one of the ways that editors and version control have.
fn put(numbers: &mut Numbers, path: &Path, content: Option<&str>) {
    let Some(content) = content else {
        let _ = fs::remove_file(path);
        return;
    };
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    match numbers.below(4) {
        0 => {
            let draft = path.with_extension("draft");
            fs::write(&draft, content).expect("a draft");
            fs::rename(draft, path).expect("renamed");
        }
        // The time of the content as it was.
        1 if path.exists() => {
            let before = path.metadata().and_then(|found| found.modified()).expect("a time");
            fs::write(path, content).expect("written");
            let file = fs::File::options().write(true).open(path).expect("opened");
            file.set_modified(before).expect("a time");
        }
        _ => fs::write(path, content).expect("written"),
    }
}

/// Edits something.
fn edit(numbers: &mut Numbers, env: &TestEnv) -> String {
    if numbers.below(8) == 0 {
        let text = *numbers.pick(CONFIGURATIONS);
        configure(env, text);
        return format!("configured {text:?}");
    }
    if numbers.below(10) == 0 {
        let open = ["workspace", "open", "--directory", "work", "base.bst"];
        let close = ["workspace", "close", "--remove-dir", "base.bst"];
        let words: &[&str] = if env.project().join("work").exists() { &close } else { &open };
        return format!("{words:?}: {}", env.run(words).status);
    }
    if numbers.below(10) == 0 && env.project().join("work").exists() {
        put(numbers, &env.project().join("work/f"), Some("in the workspace\n"));
        return "a file of the workspace".to_owned();
    }
    let (path, variants) = *numbers.pick(FILES);
    let content = *numbers.pick(variants);
    put(numbers, &env.project().join(path), content);
    format!("{path}: {content:?}")
}

/// Writes the same configuration for both caches.
fn configure(env: &TestEnv, text: &str) {
    env.configure(text);
    let own = fs::read_to_string(env.home().join(".config/buildstream.conf")).expect("a configuration");
    let at = env.path().display().to_string();
    let other = own.replace(&format!("{at}/cache"), &format!("{at}/bare"));
    fs::write(env.path().join("bare.conf"), other).expect("a configuration");
}

/// Shows with pictures.
fn pictured(env: &TestEnv, format: &str) -> Ran {
    env.run(&["show", "--format", format, "all.bst"])
}

/// Shows without.
fn bare(env: &TestEnv, format: &str) -> Ran {
    let _ = fs::remove_dir_all(env.path().join("bare/bourn/pictures"));
    let configuration = env.path().join("bare.conf");
    env.run(&["--config", &configuration.to_string_lossy(), "show", "--format", format, "all.bst"])
}

/// The pictures kept, with the inode of each: one that is used as it is stays where it is.
fn pictures(env: &TestEnv) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(env.cache().join("bourn/pictures")).into_iter().flatten().flatten();
    let mut found: Vec<(PathBuf, u64)> =
        entries.map(|entry| (entry.path(), entry.metadata().expect("metadata").ino())).collect();
    found.sort();
    found
}

#[test]
fn pictures_are_never_stale() {
    let env = env();
    let mut numbers = Numbers(2026);
    begin(&mut numbers, &env);
    let (mut used, mut good) = (0, 0);
    let mut history = Vec::new();
    for step in 0..STEPS {
        // Sometimes several edits, sometimes none.
        for _ in 0..numbers.below(3) {
            history.push(edit(&mut numbers, &env));
        }
        // What was just changed may change again without a trace, so that no picture is kept at once.
        if numbers.below(3) > 0 {
            std::thread::sleep(Duration::from_millis(40));
        }
        let format = *numbers.pick(FORMATS);
        let before = pictures(&env);
        let kept = pictured(&env, format);
        let fresh = bare(&env, format);
        assert_eq!(
            (kept.status, &kept.stdout),
            (fresh.status, &fresh.stdout),
            "step {step} after {history:#?}\n{}\n{}",
            kept.stderr,
            fresh.stderr
        );
        if kept.status == 0 {
            good += 1;
            used += usize::from(!before.is_empty() && before == pictures(&env));
        } else if numbers.below(2) == 0 {
            history.push("as in the beginning".to_owned());
            begin(&mut numbers, &env);
        }
    }
    assert!(good > STEPS / 4, "only {good} of {STEPS} projects were good: {history:#?}");
    // Asked twice in a row, the second answer is from the picture whatever happened before.
    begin(&mut numbers, &env);
    std::thread::sleep(Duration::from_millis(40));
    let first = pictured(&env, FORMATS[0]).success();
    let before = pictures(&env);
    assert_eq!(pictured(&env, FORMATS[0]).success().stdout, first.stdout);
    used += usize::from(before == pictures(&env));
    assert!(used > 0, "no picture was ever used");
}
