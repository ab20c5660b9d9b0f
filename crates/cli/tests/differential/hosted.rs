//! The host and the kinds that are built in check each other: the same elements of every kind, their plugins once those
//! that are built in and once copies that bourn does not recognise, so that Python runs them.

use crate::Both;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROJECT: &str = include_str!("kinds.txt");

/// Where the reference has the element kinds of its packages.
fn packages(both: &Both) -> Vec<PathBuf> {
    let library = both.bst.parent().and_then(Path::parent).expect("an environment").join("lib");
    let python =
        library.read_dir().expect("a library").next().expect("a Python").expect("a directory").path();
    let packages = ["buildstream_plugins", "buildstream_plugins_community"];
    packages.iter().map(|name| python.join("site-packages").join(name).join("elements")).collect()
}

/// Copies the plugins of a directory; with `changed`, so that none is recognised by its code.
fn copy_plugins(from: &Path, to: &Path, changed: bool) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in from.read_dir().expect("the plugins").flatten().filter(|entry| entry.path().is_file()) {
        let mut text = std::fs::read(entry.path()).expect("a plugin");
        if changed && entry.path().extension().is_some_and(|extension| extension == "py") {
            text.extend(b"\n# Not the code that is known.\n");
        }
        std::fs::write(to.join(entry.file_name()), text).expect("a plugin");
    }
}

/// `plugins:` with each package replaced by a directory of the project.
fn local(fixture: &str) -> String {
    fixture
        .replace(
            "origin: pip\n  package-name: buildstream-plugins-community",
            "origin: local\n  path: community",
        )
        .replace("origin: pip\n  package-name: buildstream-plugins\n", "origin: local\n  path: official\n")
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
    let (Some(native), Some(mut hosted)) = (Both::new(PROJECT), Both::new(&local(PROJECT))) else { return };
    let found = packages(&native);
    copy_plugins(&found[1], &native.bourn.project().join("plugins"), false);
    for (from, to) in [(&found[0], "official"), (&found[1], "community"), (&found[1], "plugins")] {
        copy_plugins(from, &hosted.bourn.project().join(to), true);
    }
    // The reference's Python has what some of them import, and the real BuildStream, which bourn's must win over.
    let programs = hosted.bst.parent().expect("a directory").display().to_string();
    hosted.bourn.set("PATH", &format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()));
    let expected = keys(&native);
    assert_eq!(expected.len(), PROJECT.matches("\n=== elements/").count(), "{expected:?}");
    assert_eq!(keys(&hosted), expected, "through the host (left) and built in (right)");
    let started = |both: &Both| both.bourn.cache().join("bourn/pyhost").exists();
    assert!(started(&hosted), "Python ran the plugins");
}
