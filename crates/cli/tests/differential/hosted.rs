//! The host and the kinds that are built in check each other: the same elements of every kind, their plugins once those
//! that are built in and once copies that bourn does not recognise, so that Python runs them.

use crate::Both;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
