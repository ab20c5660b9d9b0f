//! What is shown from the picture of a project is what loading it shows, whatever was changed in between.

use crate::env;
use bourn_testkit::TestEnv;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

/// A project that looks at the disk in every way there is.
const PROJECT: &str = "
=== project.conf
name: pictured
min-version: 2.0
(@): conf.yml
element-path: elements
ref-storage: project.refs
options:
  mood:
    type: enum
    description: A choice
    values: [good, bad]
    default: good
  some:
    type: element-mask
    description: Elements
plugins:
- origin: local
  path: plugins
  elements: [noticing]
variables:
  mood: calm
  (?):
  - mood == 'bad':
      mood: gloomy
=== conf.yml
variables:
  shared: one
=== elements/base.bst
kind: import
description: The base
sources:
- kind: local
  path: files/base
=== elements/script.bst
kind: manual
build-depends: [base.bst]
(@): elements/commands.inc
variables:
  own: '%{shared} %{mood}'
=== elements/commands.inc
config:
  install-commands:
  - echo %{own}
=== elements/patched.bst
kind: import
sources:
- kind: local
  path: files/one.txt
- kind: local
  path: patches
=== elements/python.bst
kind: noticing
build-depends: [script.bst]
=== elements/sub.bst
kind: junction
sources:
- kind: local
  path: sub
=== elements/linked.bst
kind: link
config:
  target: sub.bst:inner.bst
=== elements/all.bst
kind: stack
depends: [python.bst, patched.bst, linked.bst]
=== files/base/a
a
=== files/one.txt
one
=== patches/1.patch
--- a/one.txt
=== sub/project.conf
name: inner
min-version: 2.0
=== sub/inner.bst
kind: import
sources:
- kind: local
  path: data
=== sub/data
data
=== plugins/helper.py
VALUE = 1
=== data/known
known
=== listed/first
1
=== plugins/noticing.py
import os
import sys
from buildstream import Element
from . import helper


class Noticing(Element):
    BST_MIN_VERSION = '2.0'

    def configure(self, node):
        print('the plugin was asked', file=sys.stderr, flush=True)
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        with open(os.path.join(root, 'data', 'known')) as known:
            content = known.read()
        self.key = [content, sorted(os.listdir(os.path.join(root, 'listed'))), helper.VALUE,
                    os.path.exists(os.path.join(root, 'wanted')), os.environ.get('SEEN', 'nothing')]

    def preflight(self):
        pass

    def get_unique_key(self):
        return self.key

    def configure_sandbox(self, sandbox):
        pass

    def stage(self, sandbox):
        pass

    def assemble(self, sandbox):
        return '/'


def setup():
    return Noticing
";

const FORMAT: &str = "%{name}|%{kind}|%{description}|%{key}|%{full-key}|%{workspaced}|%{workspace-dirs}|%{deps}|\
    %{build-deps}|%{runtime-deps}|%{config}|%{vars}|%{env}|%{public}";

fn project() -> TestEnv {
    let env = env();
    env.files(PROJECT);
    env
}

/// Shows everything with these options before the command.
fn show(env: &TestEnv, options: &[&str]) -> bourn_testkit::Ran {
    // What changed just before a load began may change once more, so no picture is kept of it.
    std::thread::sleep(Duration::from_millis(40));
    let words = [options, &["show", "--format", FORMAT, "all.bst"]].concat();
    env.run(&words)
}

const ASKED: &str = "the plugin was asked";

/// Shows with what was kept, and again with nothing kept: both are the same.
#[track_caller]
fn check(env: &TestEnv, options: &[&str], what: &str) -> String {
    let kept = show(env, options);
    let _ = fs::remove_dir_all(env.cache().join("bourn/pictures"));
    let fresh = show(env, options);
    assert_eq!((kept.status, &kept.stdout), (fresh.status, &fresh.stdout), "{what}:\n{}", kept.stderr);
    let again = show(env, options);
    assert_eq!((again.status, &again.stdout), (fresh.status, &fresh.stdout), "{what}, again");
    if again.status == 0 {
        assert!(!again.stderr.contains(ASKED), "{what}: the picture was not used\n{}", again.stderr);
    }
    fresh.stdout
}

#[test]
fn an_unchanged_project_is_shown_from_its_picture() {
    let env = project();
    let first = show(&env, &[]).success();
    assert!(first.stderr.contains(ASKED), "{}", first.stderr);
    assert!(first.stdout.contains("all.bst|stack|"), "{}", first.stdout);
    let second = show(&env, &[]).success();
    assert_eq!(second.stdout, first.stdout);
    assert!(!second.stderr.contains(ASKED), "{}", second.stderr);
    // What the cache has to tell is not in it.
    let state = env.run(&["show", "--format", "%{name} %{state}", "all.bst"]).success();
    assert!(state.stderr.contains(ASKED));
}

/// A change to the project: its name, and what it does.
type Change = (&'static str, fn(&Path));

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file written");
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.contains(from), "{text}");
    write(path, &text.replace(from, to));
}

/// Each makes the project another one.
const CHANGES: &[Change] = &[
    ("an element", |p| edit(&p.join("elements/base.bst"), "The base", "A base")),
    ("an included file", |p| edit(&p.join("elements/commands.inc"), "echo", "printf")),
    ("a file included by project.conf", |p| edit(&p.join("conf.yml"), "one", "two")),
    ("project.conf", |p| edit(&p.join("project.conf"), "mood: calm", "mood: glad")),
    ("a file of a local source", |p| write(&p.join("files/base/a"), "b\n")),
    ("a new file in a local source", |p| write(&p.join("files/base/b"), "b\n")),
    ("a mode in a local source", |p| {
        fs::set_permissions(p.join("files/base/a"), fs::Permissions::from_mode(0o755)).expect("a mode");
    }),
    ("a source that is one file", |p| write(&p.join("files/one.txt"), "two\n")),
    ("a patch", |p| write(&p.join("patches/1.patch"), "--- a/two.txt\n")),
    ("a new patch", |p| write(&p.join("patches/2.patch"), "--- a/two.txt\n")),
    ("a file of the project behind a junction", |p| {
        edit(&p.join("sub/inner.bst"), "import", "import\ndescription: x")
    }),
    ("its project.conf", |p| edit(&p.join("sub/project.conf"), "inner", "other")),
    ("its data", |p| write(&p.join("sub/data"), "other\n")),
    ("a plugin", |p| edit(&p.join("plugins/noticing.py"), "'nothing'", "'less'")),
    ("a module of a plugin", |p| write(&p.join("plugins/helper.py"), "VALUE = 2\n")),
    ("a file that a plugin reads", |p| write(&p.join("data/known"), "changed\n")),
    ("a directory that a plugin lists", |p| write(&p.join("listed/second"), "2\n")),
    ("a file that a plugin looked for appears", |p| write(&p.join("wanted"), "")),
    ("a file that was optional appears", |p| {
        write(&p.join("plugins/noticing.yaml"), "variables: {new: x}\n")
    }),
    ("another element for the mask", |p| write(&p.join("elements/extra.bst"), "kind: stack\n")),
    ("an element with the same size and times", |p| {
        let path = p.join("elements/base.bst");
        let before = path.metadata().expect("metadata").modified().expect("a time");
        edit(&path, "A base", "O base");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(before))
            .expect("a time");
    }),
    ("an element becomes a link to another", |p| {
        fs::rename(p.join("elements/base.bst"), p.join("moved")).expect("moved");
        write(&p.join("elements/other"), "kind: stack\n");
        symlink("other", p.join("elements/base.bst")).expect("a link");
    }),
    ("and is gone", |p| fs::remove_file(p.join("elements/base.bst")).expect("removed")),
    ("and is back", |p| fs::rename(p.join("moved"), p.join("elements/base.bst")).expect("moved")),
    ("refs", |p| write(&p.join("project.refs"), "projects: {pictured: {}}\n")),
    ("an error", |p| write(&p.join("conf.yml"), "variables: [\n")),
    ("no error", |p| write(&p.join("conf.yml"), "variables: {shared: three}\n")),
    ("another file of the same size and times, moved here", |p| {
        let before = p.join("conf.yml").metadata().expect("metadata").modified().expect("a time");
        write(&p.join("aside"), "variables: {shared: seven}\n");
        let aside = fs::File::options().write(true).open(p.join("aside")).expect("a file");
        aside.set_modified(before).expect("a time");
        fs::rename(p.join("aside"), p.join("conf.yml")).expect("moved");
    }),
    ("a directory on the way becomes a link", |p| {
        fs::rename(p.join("files"), p.join("files.1")).expect("moved");
        write(&p.join("files.1/one.txt"), "three\n");
        symlink("files.1", p.join("files")).expect("a link");
    }),
    ("and leads to another", |p| {
        copy(&p.join("files.1"), &p.join("files.2"));
        write(&p.join("files.2/one.txt"), "seven\n");
        fs::remove_file(p.join("files")).expect("removed");
        symlink("files.2", p.join("files")).expect("a link");
    }),
    ("a workspace", |p| {
        fs::create_dir_all(p.join(".bst2")).expect("a directory");
        let path = p.join("files.1");
        let text = format!("format-version: 4\nworkspaces:\n  base.bst:\n    path: {}\n", path.display());
        write(&p.join(".bst2/workspaces.yml"), &text);
    }),
    ("and what is in it", |p| write(&p.join("files.1/new"), "")),
    ("another directory of the project's name", |p| {
        let aside = p.with_extension("aside");
        copy(p, &aside);
        edit(&aside.join("conf.yml"), "seven", "eight");
        fs::rename(p, p.with_extension("before")).expect("moved");
        fs::rename(&aside, p).expect("moved");
    }),
];

/// Copies a directory with the times, modes and links in it.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

#[test]
fn no_change_is_overlooked() {
    let env = project();
    let mut before = check(&env, &[], "nothing");
    for (what, change) in CHANGES {
        change(&env.project());
        let after = check(&env, &[], what);
        // A new name for the mask, optional defaults of a plugin and refs of nothing do not show.
        if !what.contains("mask") && !what.contains("optional") && !what.contains("refs") {
            assert_ne!(after, before, "{what} makes no difference");
        }
        before = after;
    }
}

/// Python keeps what it compiled, and goes by size and whole seconds: an edit that leaves both alike counts all the same.
#[test]
fn an_edit_of_a_plugin_shows_whatever_python_kept() {
    let env = project();
    let key = || env.run(&["show", "--format", "%{full-key}", "python.bst"]).success().stdout;
    let path = env.project().join("plugins/helper.py");
    let (first, again) = (key(), key());
    assert_eq!(first, again);
    let modified = fs::metadata(&path).and_then(|found| found.modified()).expect("when it was written");
    edit(&path, "VALUE = 1", "VALUE = 2");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("a time");
    assert_ne!(key(), first);
    edit(&path, "VALUE = 2", "VALUE = 1");
    assert_eq!(key(), first);
}

#[test]
fn what_is_asked_decides() {
    let mut env = project();
    let usual = check(&env, &[], "nothing");
    assert_ne!(check(&env, &["--option", "mood", "bad"], "an option"), usual);
    assert_eq!(check(&env, &[], "no option"), usual);
    env.set("SEEN", "something");
    assert_ne!(check(&env, &[], "the environment of plugins"), usual);
    env.set("SEEN", "nothing");
    assert_eq!(check(&env, &[], "the environment as before"), usual);
    env.configure("projects:\n  pictured:\n    options:\n      mood: bad\n");
    assert_ne!(check(&env, &[], "the user's configuration"), usual);
    env.configure("");
    env.run(&["workspace", "open", "--directory", "work", "base.bst"]).success();
    let open = check(&env, &[], "a workspace");
    assert!(open.contains("(workspaced)"), "{open}");
    write(&env.project().join("work/new"), "new\n");
    assert_ne!(check(&env, &[], "a file in a workspace"), open);
    let none = env.run(&["show", "--deps", "none", "--format", "%{name}", "all.bst"]).success();
    assert_eq!(none.stdout, "all.bst\n");
}

#[test]
fn states_are_those_of_the_cache() {
    let env = env();
    env.files(
        "
=== project.conf
name: stated
min-version: 2.0
=== a.bst
kind: import
sources:
- kind: local
  path: file
=== b.bst
kind: stack
depends: [a.bst]
=== c.bst
kind: import
sources:
- kind: remote
  url: https://example.org/file
=== file
content
",
    );
    let states = |target: &str| {
        std::thread::sleep(Duration::from_millis(40));
        env.run(&["show", "--format", "%{name} %{state}", target]).success().stdout
    };
    let inodes = || -> Vec<u64> {
        let entries = fs::read_dir(env.cache().join("bourn/pictures")).expect("pictures").flatten();
        entries
            .map(|entry| std::os::unix::fs::MetadataExt::ino(&entry.metadata().expect("metadata")))
            .collect()
    };
    let [unbuilt, built] =
        ["buildable\nb.bst waiting", "cached\nb.bst cached"].map(|states| format!("a.bst {states}\n"));
    assert_eq!((states("b.bst"), states("b.bst")), (unbuilt.clone(), unbuilt.clone()));
    env.run(&["build", "b.bst"]).success();
    assert_eq!(states("b.bst"), built);
    // One that was taken within a second of an edit is written once more by whoever finds it good later than that.
    let is_written = || {
        let before = inodes();
        assert_eq!(states("b.bst"), built);
        inodes() != before
    };
    assert!(!is_written() || !is_written(), "the picture was not used");
    env.run(&["artifact", "delete", "b.bst"]).success();
    assert_eq!(states("b.bst"), "a.bst cached\nb.bst buildable\n");
    env.run(&["artifact", "delete", "a.bst"]).success();
    assert_eq!(states("b.bst"), unbuilt);
    assert_eq!(
        (states("c.bst"), states("c.bst")),
        ("c.bst no reference\n".into(), "c.bst no reference\n".into())
    );
}

#[test]
fn a_damaged_picture_is_none() {
    let env = project();
    let usual = show(&env, &[]).success().stdout;
    let pictures = env.cache().join("bourn/pictures");
    let path = fs::read_dir(&pictures).expect("pictures").next().expect("one").expect("an entry").path();
    let whole = fs::read(&path).expect("a picture");
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        write_bytes(&path, &damaged);
        assert_eq!(show(&env, &[]).success().stdout, usual, "byte {at}");
        write_bytes(&path, &whole[..at]);
        assert_eq!(show(&env, &[]).success().stdout, usual, "cut at {at}");
    }
    let newer = [b"bourn picture 4\n", &whole[16..]].concat();
    write_bytes(&path, &newer);
    assert_eq!(show(&env, &[]).success().stdout, usual, "another version");
    assert_eq!(fs::read_dir(&pictures).expect("pictures").count(), 1, "drafts are left");
}

fn write_bytes(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file written");
}
