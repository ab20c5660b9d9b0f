//! A project's own Python source and mirror plugins, run by both.

use crate::Both;
use bourn_reapi::artifact::Artifact;
use prost::Message;
use std::path::Path;

const PROJECT: &str = include_str!("python.txt");
const KEYS: &str = "%{name} %{full-key} %{state} %{source-info}";

/// The project of one of the two, its mirror pointing into itself.
fn project() -> Option<Both> {
    let both = Both::new(PROJECT)?;
    both.bourn.configure("track:\n  source: mirrors\n");
    let conf = both.bourn.project().join("project.conf");
    let text = std::fs::read_to_string(&conf).expect("project.conf");
    let shelf = both.bourn.project().join("shelf");
    std::fs::write(&conf, text.replace("SHELF", &shelf.display().to_string())).expect("project.conf");
    Some(both)
}

fn elements(project: &Path) -> Vec<(String, String)> {
    let names = ["copied", "parts", "stamp", "blob"];
    let read = |name: &str| std::fs::read_to_string(project.join(format!("elements/{name}.bst")));
    names.iter().map(|name| ((*name).to_owned(), read(name).expect("an element"))).collect()
}

/// Forgets what was downloaded and built.
fn forget(both: &Both) {
    let cache = both.bourn.cache();
    for name in ["sources", "cas", "artifacts", "source_protos", "elementsources", "bourn"] {
        let path = cache.join(name);
        if path.exists() {
            std::fs::remove_dir_all(path).expect("the cache is removed");
        }
    }
}

#[test]
fn sources_are_tracked_fetched_and_staged_alike() {
    let Some(both) = project() else { return };
    let before = elements(&both.bourn.project());
    let track = ["source", "track", "--deps", "all", "all.bst"];
    both.bst(&track).success();
    let theirs = elements(&both.bourn.project());
    assert_ne!(before, theirs, "the reference found refs");
    for (name, text) in &before {
        std::fs::write(both.bourn.project().join(format!("elements/{name}.bst")), text).expect("an element");
    }
    let said = both.bourn(&track).success().stderr;
    assert_eq!(elements(&both.bourn.project()), theirs, "refs found by bourn (left) and bst (right)");
    assert!(said.contains("This is said"), "what plugins say is shown: {said}");
    both.same(&["show", "--deps", "all", "--format", KEYS, "all.bst"]);

    forget(&both);
    both.bst(&["source", "fetch", "--deps", "all", "all.bst"]).success();
    both.same(&["show", "--deps", "all", "--format", KEYS, "all.bst"]);
    both.bst(&["build", "all.bst"]).success();
    let listed = ["artifact", "list-contents", "--long", "copied.bst", "parts.bst", "stamp.bst", "blob.bst"];
    let theirs = both.bst(&listed).success().stdout;
    let digests = ["artifact", "show", "--deps", "all", "all.bst"];
    let shown = both.bst(&digests).success().stdout;

    forget(&both);
    both.bourn(&["source", "fetch", "--deps", "all", "all.bst"]).success();
    both.same(&["show", "--deps", "all", "--format", KEYS, "all.bst"]);
    both.bourn(&["build", "all.bst"]).success();
    assert_eq!(both.bourn(&listed).success().stdout, theirs, "bourn (left) and bst (right)");
    assert_eq!(both.bourn(&digests).success().stdout, shown, "bourn (left) and bst (right)");
    for name in ["copied", "parts", "stamp", "blob"] {
        let directory = both.bourn.path().join(format!("out-{name}"));
        let arguments =
            ["artifact", "checkout", "--directory", &directory.display().to_string(), &format!("{name}.bst")];
        both.bst(&arguments).success();
    }
    let read = |name: &str| std::fs::read_to_string(both.bourn.path().join(name)).expect("a file");
    assert_eq!(read("out-copied/here:one.txt"), "one\n");
    assert_eq!(read("out-blob/renamed"), "two\n");
    assert!(read("out-stamp/STAMP").ends_with(" here:two.txt\n"), "{}", read("out-stamp/STAMP"));
}

const ELEMENTS: &str = include_str!("python_elements.txt");
const BUILT: &str = "%{name} %{full-key} %{state} %{artifact-cas-digest}";

/// What both make of elements whose plugins build, each in a cache of its own.
#[test]
fn elements_are_built_alike() {
    let (Some(ours), Some(theirs)) = (Both::new(ELEMENTS), Both::new(ELEMENTS)) else { return };
    let (ours, theirs) = (ours.with_shell(), theirs.with_shell());
    let good = ["probe.bst", "commanded.bst", "located.bst", "scripted.bst", "readme.bst"];
    let build = |names: &[&'static str]| [&["--on-error", "continue", "build"], names].concat();
    theirs.bst(&build(&good)).success();
    let said = ours.bourn(&build(&good)).success().stderr;
    for part in ["Probing", "with a detail", "a warning"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let show = |names: &[&'static str]| [&["show", "--deps", "all", "--format", BUILT], names].concat();
    for name in good {
        let directory = format!("out-{name}");
        let checkout = ["artifact", "checkout", "--directory", &directory, name];
        ours.bourn(&checkout).success();
        theirs.bst(&checkout).success();
        let diff = std::process::Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([ours.bourn.project().join(&directory), theirs.bourn.project().join(&directory)])
            .output()
            .expect("diff");
        assert!(diff.status.success(), "{name}:\n{}", String::from_utf8_lossy(&diff.stdout));
    }
    assert_eq!(ours.bourn(&show(&good)).success().stdout, theirs.bst(&show(&good)).success().stdout);

    let bad = [
        "fails-element.bst",
        "fails-command.bst",
        "fails-stage.bst",
        "fails-exception.bst",
        "fails-collect.bst",
        "fails-empty.bst",
    ];
    let failed = theirs.bst(&build(&bad)).failure(255, "").stderr;
    let said = ours.bourn(&build(&bad)).failure(255, "").stderr;
    for part in ["failed on purpose", "failed while staging", "something of Python's", "/nowhere"] {
        assert!(failed.contains(part), "{part}: {failed}");
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("Traceback (most recent call last)"), "{said}");
    assert_eq!(ours.bourn(&show(&bad)).success().stdout, theirs.bst(&show(&bad)).success().stdout);
    for name in ["fails-element", "fails-command", "fails-collect", "fails-empty"] {
        assert_eq!(kept(&ours, name), kept(&theirs, name), "{name}, bourn (left) and bst (right)");
    }
}

/// What is kept of a build that failed, but for its log and what says which program made it.
fn kept(both: &Both, element: &str) -> String {
    let directory = both.bourn.cache().join("artifacts/refs/python").join(element);
    let entries = directory.read_dir().expect("an artifact was kept").flatten();
    let entry = entries.min_by_key(std::fs::DirEntry::file_name).expect("an artifact");
    let content = std::fs::read(entry.path()).expect("an artifact");
    let mut artifact = Artifact::decode(content.as_slice()).expect("an artifact");
    artifact.logs.clear();
    artifact.low_diversity_meta = None;
    format!("{artifact:#?}")
}

const DIRECTORIES: &str = include_str!("python_directories.txt");

/// Directories of sandboxes, and those that sources are staged into.
#[test]
fn directories_are_alike() {
    let (Some(ours), Some(theirs)) = (Both::new(DIRECTORIES), Both::new(DIRECTORIES)) else { return };
    for name in ["sandboxed", "staged"] {
        let element = format!("{name}.bst");
        let said = |both: &Both| {
            let path = both.bourn.project().join(name).join("result/said");
            std::fs::read_to_string(path).expect("what the plugin wrote")
        };
        let checkout = ["artifact", "checkout", "--directory", name, &element];
        theirs.bst(&["build", &element]).success();
        theirs.bst(&checkout).success();
        ours.bourn(&["build", &element]).success();
        ours.bourn(&checkout).success();
        let (ours, theirs) = (said(&ours), said(&theirs));
        assert!(theirs.lines().count() > 300, "the plugin tried something");
        let differences: Vec<_> =
            ours.lines().zip(theirs.lines()).filter(|(ours, theirs)| ours != theirs).collect();
        assert!(differences.is_empty(), "{name}, bourn (left) and bst (right): {differences:#?}");
        assert_eq!(ours.lines().count(), theirs.lines().count());
    }
}

/// What plugins import and call without a project: the module of each says the same.
#[test]
fn the_module_is_alike() {
    let Some(both) = Both::new("=== project.conf\nname: none\n") else { return };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = |path: &str| {
        let output = std::process::Command::new(both.bst.with_file_name("python3"))
            .arg(here.join("tests/differential/python_api.py"))
            .env("PYTHONPATH", path)
            .output()
            .expect("the reference's Python");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let ours = run(&here.join("../pyhost/python").display().to_string());
    let theirs = run("");
    assert!(theirs.lines().count() > 800, "the script tried something");
    let differences: Vec<_> =
        ours.lines().zip(theirs.lines()).filter(|(ours, theirs)| ours != theirs).collect();
    assert!(differences.is_empty(), "bourn (left) and bst (right): {differences:#?}");
    assert_eq!(ours.lines().count(), theirs.lines().count());
}

const TALK: &str = include_str!("python_talk.txt");

/// The lines of jobs without times. What tools print is left out: it comes by another way, at any time.
fn spoken(said: &str) -> Vec<String> {
    let timeless = |line: &str| {
        let line = line.strip_prefix('[').and_then(|line| line.get(8..)).unwrap_or(line);
        match line.strip_suffix(".log") {
            // The name of a log ends in a date.
            Some(log) => log.get(..log.len() - "20200101-000000".len()).unwrap_or(log).to_owned(),
            None => line.to_owned(),
        }
    };
    let from = said.find("=====").unwrap_or_default();
    let lines =
        said[from..].lines().filter(|line| line.starts_with('[') && !line.contains("main:core activity"));
    lines.map(timeless).collect()
}

#[test]
fn what_plugins_say_is_told_alike() {
    let (Some(ours), Some(theirs)) = (Both::new(TALK), Both::new(TALK)) else { return };
    let mut lines = 0;
    for (command, elements) in [
        (&["build"][..], &["t-well", "t-fatal", "t-call", "t-raise"][..]),
        (&["build"], &["s-within", "s-tool", "s-failing", "s-unstaged", "s-well"]),
        (&["source", "track"], &["s-untracked", "s-well"]),
    ] {
        for element in elements {
            let name = format!("{element}.bst");
            let words: Vec<&str> = command.iter().copied().chain([name.as_str()]).collect();
            let (ours, theirs) = (spoken(&ours.bourn(&words).stderr), spoken(&theirs.bst(&words).stderr));
            assert_eq!(ours, theirs, "{name}, bourn (left) and bst (right)");
            lines += theirs.len();
        }
    }
    assert!(lines > 100, "{lines}");
    // What is told while the project is loaded, with the element that it is of.
    let said = ours.bourn(&["show", "t-well.bst"]).success().stderr;
    let told = |said: &str| {
        let lines = said.lines().filter(|line| line.contains("main:t-well.bst"));
        lines.map(|line| line.get(10..).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let expected = told(&theirs.bst(&["show", "t-well.bst"]).success().stderr);
    assert_eq!(expected.len(), 2, "{expected:?}");
    assert_eq!(told(&said), expected);
    // Again, from what is kept.
    assert_eq!(told(&ours.bourn(&["show", "t-well.bst"]).success().stderr), expected);
}

const CACHED: &str = include_str!("python_cached.txt");

/// Lays out what files in a text cannot say.
fn furnish(project: &Path) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::write(project.join("long.txt"), "0123456789abcdef".repeat(5000)).expect("a file of many blocks");
    std::fs::write(project.join("tree/nothing"), "").expect("an empty file");
    std::fs::create_dir_all(project.join("tree/a/b")).expect("a directory with nothing in it");
    std::fs::create_dir_all(project.join("empty")).expect("an empty directory");
    std::os::unix::fs::symlink("one.txt", project.join("tree/link")).expect("a link");
    std::os::unix::fs::symlink("nowhere", project.join("tree/Zed/broken")).expect("a link to nothing");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(project.join("tool.sh"), executable).expect("a program");
}

/// Sources that began as a copy of `local`: what they put into a directory of the cache is their key.
#[test]
fn cached_directories_are_alike() {
    let (Some(ours), Some(theirs)) = (Both::new(CACHED), Both::new(CACHED)) else { return };
    let show = ["show", "--deps", "all", "--format", KEYS, "all.bst"];
    let shown = || {
        let (ours, theirs) = (ours.bourn(&show).success().stdout, theirs.bst(&show).success().stdout);
        assert_eq!(ours, theirs, "bourn (left) and bst (right)");
        ours
    };
    furnish(&ours.bourn.project());
    furnish(&theirs.bourn.project());
    let first = shown();
    assert_eq!(shown(), first, "from what is kept");
    for both in [&ours, &theirs] {
        std::fs::write(both.bourn.project().join("tree/Zed/deep/two.txt"), "changed\n").expect("a file");
    }
    assert_ne!(shown(), first, "a file was edited");

    let built = ["show", "--deps", "all", "--format", BUILT, "all.bst"];
    theirs.bst(&["build", "all.bst"]).success();
    ours.bourn(&["build", "all.bst"]).success();
    assert_eq!(ours.bourn(&built).success().stdout, theirs.bst(&built).success().stdout);
    let list = ["artifact", "list-contents", "--long", "tree.bst", "file.bst", "empty.bst"];
    assert_eq!(ours.bourn(&list).success().stdout, theirs.bst(&list).success().stdout);

    // Nothing is kept under a key that was made of something else.
    let said = ours.bourn(&["build", "unsteady.bst"]).failure(255, "").stderr;
    assert!(said.contains("is not what its cache key was made of"), "{said}");

    let open = ["workspace", "open", "--directory", "opened", "file.bst"];
    ours.bourn(&open).success();
    let opened = ours.bourn.project().join("opened/one.txt");
    assert_eq!(std::fs::read_to_string(opened).expect("a file of the workspace"), "one\n");
    let left = ours.bourn.path().join("sources/shelved").read_dir().expect("a directory of the plugin");
    assert_eq!(left.count(), 0, "what was cached is removed");
}
