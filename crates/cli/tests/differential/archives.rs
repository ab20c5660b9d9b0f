//! Odd archives: both stage the same tree, or both refuse. What only one of them refuses is listed here, with the reason.

use crate::Both;
use crate::mirror::staged;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const ZSTD: &str = "the reference knows zstd from Python 3.14 on, and its `deb` never";
const LZMA: &str = "what has no signature is told by its first bytes";

/// Archives that bourn stages and the reference does not.
const MORE: &[(&str, &str)] = &[
    ("deb-data.zst", ZSTD),
    ("tar-almost.zst", ZSTD),
    ("tar-garbage.zst", ZSTD),
    ("tar-misnamed.gz-zst", ZSTD),
    ("tar-parts.zst", ZSTD),
    ("tar-plain.zst", ZSTD),
    ("tar-zeros.zst", ZSTD),
    ("tar-damaged.lzma", LZMA),
    ("zip-odd-comment", "the reference takes a part of the comment for the end of the archive"),
];
/// Archives that the reference stages and bourn does not.
const LESS: &[(&str, &str)] = &[
    ("tar-damaged.lz", "the reference does not look at how lzip ended, and stages what came before"),
    ("tar-half.lz", "the same"),
    ("tar-parts.lzma", "several streams of this format in one file, which xz itself refuses"),
    ("zip-smaller-than-said", "a member says that it is larger than it is"),
];
/// Archives of which both stage something, and not the same.
const OTHER: &[(&str, &str)] =
    &[("zip-unicode-path", "the reference looks at the field with the better name from Python 3.12 on")];
/// Archives of which bourn stages the same, however they are compressed.
const ALIKE: [(&str, &str); 3] =
    [("tar-plain.zst", "tar-plain"), ("tar-parts.zst", "tar-plain"), ("deb-data.zst", "deb-data.xz")];

/// What the project is called, and how its elements are staged.
const PROJECT: &str = "=== project.conf
name: odd
min-version: 2.5
aliases:
  up: file://PLACE/
plugins:
- origin: pip
  package-name: buildstream-plugins-community
  sources: [zip, deb]
";

/// Archives of which the first directory is staged, too; of all others all that is in them.
const WITH_BASE: &[&str] = &[
    "deb-data.xz",
    "tar-pax.gz",
    "tar-plain",
    "zip-absolute",
    "zip-backslashes",
    "zip-dot-dot",
    "zip-dots",
    "zip-empty-name",
    "zip-filled-directory",
    "zip-no-top",
    "zip-plain",
    "zip-two-tops",
    "zip-utf-8",
];

/// The archives, and the elements that import them.
fn elements(place: &Path) -> (String, Vec<String>) {
    let mut project = PROJECT.replace("PLACE", &place.display().to_string());
    let mut elements = Vec::new();
    let entries = place.read_dir().expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        let sum = bourn_reapi::Digest::of(&std::fs::read(place.join(&name)).expect("a file")).hex();
        let kind = name.split('-').next().expect("a kind");
        let with_base = WITH_BASE.contains(&&*name);
        for (ending, base) in [("", "''"), ("-base", "'*'")].iter().take(1 + usize::from(with_base)) {
            let source = format!("- kind: {kind}\n  url: up:{name}\n  ref: {sum}\n  base-dir: {base}\n");
            project.push_str(&format!("=== {name}{ending}.bst\nkind: import\nsources:\n{source}"));
            elements.push(format!("{name}{ending}.bst"));
        }
    }
    (project, elements)
}

/// What bourn staged of each, by the key that it is kept by: each is fetched alone.
fn ours(both: &Both, elements: &[String]) -> HashMap<String, (PathBuf, Vec<u8>)> {
    let (mut known, mut by_name) = (BTreeMap::new(), HashMap::new());
    for element in elements {
        let ran = both.bourn(&["source", "fetch", element]);
        let now = staged(&both.bourn.cache());
        let mut new = now.iter().filter(|(key, _)| !known.contains_key(*key));
        let found = new.next().map(|(key, digest)| (key.clone(), digest.clone()));
        assert_eq!(ran.status == 0, found.is_some(), "{element}: {}", ran.stderr);
        by_name.extend(found.map(|found| (element.clone(), found)));
        known = now;
    }
    by_name
}

/// What the reference staged by key, and which elements it fetched.
fn theirs(both: &Both, elements: &[String]) -> (BTreeMap<PathBuf, Vec<u8>>, HashSet<String>) {
    let names: Vec<&str> = elements.iter().map(String::as_str).collect();
    both.bourn.configure("scheduler:\n  network-retries: 0\n");
    let ran = both.bst(&[&["--on-error", "continue", "source", "fetch"], &names[..]].concat());
    let said = ran.failure(255, "").stderr;
    let failed = |element: &str| {
        let job = format!("fetch:{element} ");
        said.lines()
            .any(|line| line.contains(&job) && (line.contains("] FAILURE ") || line.contains("] BUG ")))
    };
    let fetched: HashSet<String> = elements.iter().filter(|element| !failed(element)).cloned().collect();
    let staged = staged(&both.bourn.cache());
    assert_eq!(staged.len(), fetched.len(), "{said}");
    (staged, fetched)
}

#[test]
fn odd_archives() {
    let Some(bourn) = Both::new("") else { return };
    let place = bourn.bourn.path().join("archives");
    std::fs::create_dir(&place).expect("a directory");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/archives.py");
    let mut made = Command::new(bourn.bst.with_file_name("python3"));
    made.args(["-W", "ignore", script]).arg(&place);
    assert!(made.status().expect("Python").success());
    let (project, elements) = elements(&place);
    bourn.bourn.files(&project);
    let (ours, bst) = (ours(&bourn, &elements), Both::new(&project).expect("as before"));
    let (theirs, fetched) = theirs(&bst, &elements);
    let is_in = |list: &[(&str, &str)], name: &str| list.iter().any(|(known, _)| *known == name);
    let mut wrong = Vec::new();
    for element in &elements {
        let name = element.trim_end_matches(".bst");
        let what = match (ours.get(element), fetched.contains(element)) {
            (Some((key, digest)), true) if theirs.get(key) == Some(digest) => "the same",
            (Some(_), true) => "another tree",
            (Some(_), false) => "staged by bourn alone",
            (None, true) => "staged by bst alone",
            (None, false) => "refused by both",
        };
        let expected = match what {
            "another tree" => is_in(OTHER, name),
            "staged by bourn alone" => is_in(MORE, name),
            "staged by bst alone" => is_in(LESS, name),
            _ => ![OTHER, MORE, LESS].iter().any(|list| is_in(list, name)),
        };
        if !expected {
            wrong.push(format!("{name}: {what}"));
        }
    }
    for (left, right) in ALIKE {
        let [left, right] = [left, right].map(|name| ours.get(&format!("{name}.bst")).map(|found| &found.1));
        assert!(left.is_some() && left == right, "{left:?} {right:?}");
    }
    assert!(wrong.is_empty(), "of {}:\n{}", elements.len(), wrong.join("\n"));
}
