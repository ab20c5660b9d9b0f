//! The host and the kinds that are built in check each other: the same elements of every kind, their plugins once those
//! that are built in and once copies that bourn does not recognise, so that Python runs them.

use crate::Both;
use crate::sources::{TAR, project, same_hosted, serve};
use crate::tracking::Place;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROJECT: &str = include_str!("kinds.txt");

const PACKAGES: [&str; 2] = ["buildstream-plugins", "buildstream-plugins-community"];

/// Directory of the reference's installed Python packages.
pub(crate) fn installed(both: &Both) -> PathBuf {
    let library = both.bst.parent().and_then(Path::parent).expect("an environment").join("lib");
    let python = library.read_dir().expect("a library").next().expect("a Python").expect("a directory");
    python.path().join("site-packages")
}

/// Copies what is in a directory, and below it; with `changed`, so that no plugin is recognised by its code.
pub(crate) fn copy_plugins(from: &Path, to: &Path, changed: bool) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in from.read_dir().expect("the plugins").flatten() {
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            if entry.file_name() != "__pycache__" {
                copy_plugins(&path, &into, changed);
            }
            continue;
        }
        let mut text = std::fs::read(&path).expect("a plugin");
        if changed && path.extension().is_some_and(|extension| extension == "py") {
            text.extend(b"\n# Not the code that is known.\n");
        }
        std::fs::write(into, text).expect("a plugin");
    }
}

/// A project with each package of plugins, and the kinds of bst's own that others could write, replaced by a copy in the
/// project that is not known, so that Python runs its plugins; `group` says of which directory of the packages. `None`, loudly, where the reference is not installed.
pub(crate) fn hosted(fixture: &str, group: &str) -> Option<Both> {
    let local = |text: &str, package: &str| {
        let module = package.replace('-', "_");
        text.replace(
            &format!("origin: pip\n  package-name: {package}\n"),
            &format!("origin: local\n  path: hosted/{module}/{group}\n"),
        )
    };
    let kinds = match group {
        "elements" => "[compose, filter, import, manual, script, stack]",
        _ => "[remote, tar]",
    };
    let own = format!(
        "plugins:\n- origin: local\n  path: hosted/buildstream/plugins/{group}\n  {group}: {kinds}\n"
    );
    let fixture = fixture.replacen("plugins:\n", &own, 1);
    let mut both = Both::new(&PACKAGES.iter().fold(fixture, |text, package| local(&text, package)))?;
    let (from, project) = (installed(&both), both.bourn.project());
    for package in PACKAGES.map(|package| package.replace('-', "_")) {
        copy_plugins(&from.join(&package), &project.join("hosted").join(&package), true);
    }
    // A kind of bst's own gives way to one of a project.
    copy_plugins(&from.join("buildstream/plugins"), &project.join("hosted/buildstream/plugins"), true);
    // Projects that carry plugins say whose they are by this file.
    let _ = std::fs::remove_file(project.join("plugins/PKG-INFO"));
    // The reference's Python has what some of them import, and the real BuildStream, which bourn's must win over.
    let programs = both.bst.parent().expect("a directory").display().to_string();
    both.bourn.set("PATH", &format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()));
    Some(both)
}

/// Checks that Python ran plugins.
#[track_caller]
pub(crate) fn python_ran(both: &Both) {
    assert!(both.bourn.cache().join("bourn/pyhost").exists(), "no Python was started");
}

/// Key of each element, by name.
fn keys(both: &Both) -> BTreeMap<String, String> {
    let entries = both.bourn.project().join("elements").read_dir().expect("the elements");
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let words = ["show", "--deps", "all", "--format", "%{name} %{full-key}"];
    let words: Vec<&str> = words.into_iter().chain(names.iter().map(String::as_str)).collect();
    let shown = both.bourn(&words).success().stdout;
    let pairs = shown.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, key)| (name.to_owned(), key.to_owned())).collect()
}

#[test]
fn every_element_kind_has_the_same_key_through_the_host() {
    let (Some(native), Some(hosted)) = (Both::new(PROJECT), hosted(PROJECT, "elements")) else { return };
    let community = installed(&native).join("buildstream_plugins_community/elements");
    copy_plugins(&community, &native.bourn.project().join("plugins"), false);
    copy_plugins(&community, &hosted.bourn.project().join("plugins"), true);
    let expected = keys(&native);
    assert_eq!(expected.len(), PROJECT.matches("\n=== elements/").count(), "{expected:?}");
    assert_eq!(keys(&hosted), expected, "through the host (left) and built in (right)");
    python_ran(&hosted);
}

/// A source in a project with the kind built in, and in one where Python runs its plugin, whose file is changed by
/// `change`; both with `environment`.
fn two(
    kind: &str,
    text: &str,
    change: &dyn Fn(String) -> String,
    environment: &[(&str, String)],
) -> Option<[Both; 2]> {
    let (mut native, mut python) = (Both::new(text)?, hosted(text, "sources")?);
    for package in PACKAGES.map(|package| package.replace('-', "_")) {
        let path = python.bourn.project().join(format!("hosted/{package}/sources/{kind}.py"));
        if let Ok(code) = std::fs::read_to_string(&path) {
            std::fs::write(path, change(code)).expect("a plugin");
        }
    }
    for (name, value) in environment {
        native.bourn.set(name, value);
        python.bourn.set(name, value);
    }
    Some([native, python])
}

/// The file that `cargo` makes is the ref.
#[test]
fn locks_of_cargo() {
    let fake = tempfile::tempdir().expect("a directory");
    let cargo = fake.path().join("cargo");
    let script = "#!/bin/sh\necho \"# $*\" > Cargo.lock\ncat Cargo.toml >> Cargo.lock\n";
    bourn_testkit::fixture::program(&cargo, script);
    let source =
        "- kind: local\n  path: app\n- kind: gen_cargo_lock\n=== app/Cargo.toml\n[package]\nname = \"app\"\n";
    let text = project(PACKAGES[1], "gen_cargo_lock", "http://unused/", source);
    let path = format!("{}:{}", fake.path().display(), std::env::var("PATH").unwrap_or_default());
    let Some([native, python]) = two("gen_cargo_lock", &text, &|code| code, &[("PATH", path)]) else {
        return;
    };
    let (tree, element) = same_hosted(&native, &python, true);
    assert!(tree.contains("Cargo.lock") && element.contains("ref: "), "{tree}{element}");
}

/// Sets an attribute of a class: the address of an index is in the code of the plugin.
fn with_attribute(code: &str, name: &str, value: &str) -> String {
    let lines = code.lines().map(|line| match line.trim_start().starts_with(&format!("{name} = ")) {
        true => format!("    {name} = \"{value}\"\n"),
        false => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn index_of_python_packages() {
    let server = Place::start();
    let file = |name: &str| {
        let url = server.url(&format!("packages/aa/{name}"));
        let sum = bourn_reapi::Digest::of(TAR).hex();
        format!(r#"{{"filename":"{name}","url":"{url}","hashes":{{"sha256":"{sum}"}},"yanked":false}}"#)
    };
    let answer =
        format!(r#"{{"name":"foo","files":[{},{}]}}"#, file("foo-1.0.tar.gz"), file("foo-1.1.tar.gz"));
    server.add("simple/foo/", "application/vnd.pypi.simple.v1+json", answer);
    server.add("packages/aa/foo-1.1.tar.gz", "application/gzip", TAR);
    let text =
        project(PACKAGES[1], "pypi", &server.url(""), "- kind: pypi\n  url: up:packages/\n  name: foo\n");
    let change = |code: String| {
        let code = with_attribute(&code, "REST_API", &server.url("simple/{name}/"));
        with_attribute(&code, "STORAGE_ROOT", &server.url("packages/"))
    };
    let environment = [("PIP_INDEX_URL", server.url("simple/"))];
    let Some([native, python]) = two("pypi", &text, &change, &environment) else { return };
    let (_, element) = same_hosted(&native, &python, true);
    assert!(element.contains("suffix: aa/foo-1.1.tar.gz"), "{element}");
}

/// The plugin refuses its ref in an element, and without one asks for attributes that it does not have.
#[test]
fn archives_of_gnu() {
    let server = serve(&[("foo/foo-1.0.tar.gz", TAR)]);
    let sum = bourn_reapi::Digest::of(TAR).hex();
    let source = format!(
        "- kind: gnu\n  mirror: 'up:'\n  name: foo\n=== project.refs\nprojects:\n  sources:\n    it.bst:\n    - ref:\n        \
         sha256sum: {sum}\n        suffix: foo/foo-1.0.tar.gz\n"
    );
    let text = project(PACKAGES[1], "gnu", &server.url(""), &source);
    let text = text.replace("min-version: 2.5\n", "min-version: 2.5\nref-storage: project.refs\n");
    let class = "class GnuSource(Source):\n";
    let change =
        |code: String| code.replace(class, &format!("{class}    suffix = None\n    sha256sum = None\n"));
    let Some([native, python]) = two("gnu", &text, &change, &[]) else { return };
    let (tree, _) = same_hosted(&native, &python, false);
    assert!(tree.contains("src/lib.rs"), "{tree}");
}

#[test]
fn downloads_of_bazel() {
    let server = serve(&[("a/foo-1.0.tar.gz", TAR)]);
    let (url, sum) = (server.url("a/foo-1.0.tar.gz"), bourn_reapi::Digest::of(TAR).hex());
    let resolved = format!(
        "resolved = [{{\"original_attributes\": {{\"name\": \"foo\", \"urls\": [\"{url}\"], \"sha256\": \"{sum}\"}}}},\n\
         {{\"original_attributes\": {{\"name\": \"here\"}}}}]\n"
    );
    let source =
        format!("- kind: local\n  path: app\n- kind: bazel_source\n=== app/.bst-sources\n{resolved}");
    let text = project(PACKAGES[1], "bazel_source", &server.url(""), &source);
    let Some([native, python]) = two("bazel_source", &text, &|code| code, &[]) else { return };
    let (tree, element) = same_hosted(&native, &python, true);
    assert!(tree.contains("_bst_distdir/foo-1.0.tar.gz") && element.contains("ref: "), "{tree}{element}");
}

const TREE: &str = "=== README\nhello\n=== bin/tool\na tool\n";

/// Runs a program in a directory, with a home of its own.
#[track_caller]
fn run(directory: &Path, words: &[&str]) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(directory).env("BRZ_EMAIL", "a <a@b>").env("HOME", directory);
    let output = command.output().expect(words[0]);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn branches_of_bazaar() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let trunk = upstream.path().join("repo/trunk");
    bourn_testkit::fixture::write(&trunk, TREE);
    run(&trunk, &["brz", "init", "-q"]);
    run(&trunk, &["brz", "add", "-q"]);
    run(&trunk, &["brz", "commit", "-q", "-m", "first"]);
    std::fs::write(trunk.join("later"), "a file").expect("a file");
    run(&trunk, &["brz", "add", "-q"]);
    run(&trunk, &["brz", "commit", "-q", "-m", "second"]);
    let url = format!("file://{}/", upstream.path().display());
    let source = "- kind: bzr\n  url: up:repo\n  track: trunk\n";
    for (source, track) in
        [(source.to_owned(), true), (format!("{source}  ref: 1\n  version: '1.5'\n"), false)]
    {
        let text = project(PACKAGES[0], "bzr", &url, &source);
        // Breezy looks for the Python of the PATH, and is not known to that of the reference.
        let path = std::env::var("PATH").unwrap_or_default();
        let Some([native, python]) = two("bzr", &text, &|code| code, &[("PATH", path)]) else { return };
        let (tree, _) = same_hosted(&native, &python, track);
        assert_eq!(tree.contains("later"), track, "{tree}");
    }
}

#[test]
fn repositories_of_ostree() {
    let upstream = tempfile::tempdir().expect("a temporary directory");
    let tree = upstream.path().join("tree");
    bourn_testkit::fixture::write(&tree, TREE);
    std::os::unix::fs::symlink("bin/tool", tree.join("link")).expect("a link");
    run(upstream.path(), &["ostree", "init", "--mode=archive", "--repo=repo"]);
    let commit = ["ostree", "commit", "--repo=repo", "--branch=main", "--tree=dir=tree", "--subject=first"];
    run(upstream.path(), &commit);
    let url = format!("file://{}/", upstream.path().display());
    let text = project(PACKAGES[1], "ostree", &url, "- kind: ostree\n  url: up:repo\n  track: main\n");
    let Some([native, python]) = two("ostree", &text, &|code| code, &[]) else { return };
    let (tree, element) = same_hosted(&native, &python, true);
    assert!(element.contains("ref: ") && tree.contains("./it/link l bin/tool"), "{element}{tree}");
}

/// Loads every plugin below a directory with bourn's module, as the host does, and counts them.
const LOAD: &str = r#"
import os
import sys

from buildstream import _host

loaded = 0
for group in ("elements", "sources", "source-mirrors"):
    directory = os.path.join(sys.argv[1], group.replace("-", ""))
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        kind, end = os.path.splitext(name)
        # Nobody writes junctions: they are a part of bst's loader.
        if end == ".py" and not kind.startswith("_") and kind != "junction":
            found = _host.load_class({"directory": directory, "kind": kind, "group": group})
            assert found.__module__.endswith(kind), found
            loaded += 1
print(loaded)
"#;

#[test]
fn every_plugin_finds_what_it_imports() {
    let Some(both) = Both::new("=== project.conf\nname: none\n") else { return };
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pyhost/python");
    for (package, least) in
        [("buildstream_plugins", 14), ("buildstream_plugins_community", 35), ("buildstream/plugins", 9)]
    {
        let output = Command::new(both.bst.with_file_name("python3"))
            .args(["-c", LOAD])
            .arg(installed(&both).join(package))
            .env("PYTHONPATH", &module)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .expect("the reference's Python");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{package}: {said}");
        let loaded: usize = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        assert!(loaded >= least, "{package}: {loaded}");
    }
}
