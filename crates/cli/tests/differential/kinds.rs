//! An element of every kind built by both, each in a cache of its own: the same artifacts, and the same failures; and a
//! third time by bourn where Python runs the plugins of the packages.
//!
//! Tools that a base system would have are stand-ins that write down how they were called, so the artifacts hold the
//! commands, working directories and environments. Kinds left out: `oci`, which the reference cannot build, and
//! `x86image`, which makes images of several gigabytes with new identifiers each time.

use crate::Both;
use crate::hosted::{copy_plugins, hosted, installed, python_ran};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;

const PROJECT: &str = include_str!("kinds.txt");

/// What the stand-in is called.
const TOOLS: &[&str] = &[
    "autoreconf",
    "bazel",
    "cargo",
    "cmake",
    "dh_listpackages",
    "dpkg-buildpackage",
    "dtbTool",
    "flatpak",
    "ldconfig",
    "make",
    "make_ext4fs",
    "meson",
    "mkbootimg",
    "ninja",
    "objcopy",
    "ostree",
    "perl",
    "pip",
    "pip3",
    "python",
    "python3",
    "qmake",
    "strip",
    "systemd-firstboot",
];

/// Elements that are to fail, and do with both: something forbidden was found; busybox has no such `dpkg-deb`.
const FAILING: &[&str] = &["check_forbidden-found.bst", "dpkg_deploy.bst"];

/// A gzip header holds the time, so only what is in the archive is the same.
const TIMED: &str = "tar_plain.bst";

/// Puts the stand-ins and the copied kinds into a project; with `changed`, so that none of these is recognised.
fn prepared(both: Both, changed: bool) -> Both {
    let bin = both.bourn.project().join("files/base/bin");
    std::fs::copy("/bin/busybox", bin.join("busybox"))
        .expect("busybox-static, which `cargo xtask test` installs");
    let applets = Command::new("/bin/busybox").arg("--list").output().expect("busybox").stdout;
    for name in
        String::from_utf8_lossy(&applets).lines().filter(|name| *name != "busybox" && !TOOLS.contains(name))
    {
        symlink("busybox", bin.join(name)).expect("a link");
    }
    for name in TOOLS {
        symlink("fake", bin.join(name)).expect("a link");
    }
    let kinds = installed(&both).join("buildstream_plugins_community/elements");
    copy_plugins(&kinds, &both.bourn.project().join("plugins"), changed);
    both
}

fn targets(both: &Both) -> Vec<String> {
    let entries = std::fs::read_dir(both.bourn.project().join("elements")).expect("the elements");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// State, keys and digest of each element.
fn artifacts(stdout: &str) -> BTreeMap<String, String> {
    stdout
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.into(), rest.into()))
        .collect()
}

#[test]
fn every_kind_is_built_alike() {
    let (Some(ours), Some(theirs), Some(python)) =
        (Both::new(PROJECT), Both::new(PROJECT), hosted(PROJECT, "elements"))
    else {
        return;
    };
    let (ours, theirs, python) = (prepared(ours, false), prepared(theirs, false), prepared(python, true));
    let names = targets(&ours);
    let words = |first: &[&'static str]| {
        first.iter().copied().chain(names.iter().map(String::as_str)).collect::<Vec<_>>()
    };
    let build = words(&["--on-error", "continue", "build"]);
    ours.bourn(&build).failure(255, "");
    theirs.bst(&build).failure(255, "");
    python.bourn(&build).failure(255, "");
    python_ran(&python);
    let show =
        words(&["show", "--deps", "all", "--format", "%{name} %{full-key} %{state} %{artifact-cas-digest}"]);
    let mut built = artifacts(&ours.bourn(&show).success().stdout);
    let mut expected = artifacts(&theirs.bst(&show).success().stdout);
    assert_eq!(built.len(), names.len(), "{built:?}");
    for name in FAILING {
        assert!(built[*name].contains(" failed"), "{name}: {}", built[*name]);
    }
    let good = built.iter().filter(|(_, rest)| rest.contains(" cached ")).count();
    assert_eq!(good, names.len() - FAILING.len(), "{built:#?}");
    let mut hosted = artifacts(&python.bourn(&show).success().stdout);
    assert!(hosted.remove(TIMED).is_some());
    assert!(built.remove(TIMED).is_some() && expected.remove(TIMED).is_some());
    assert_eq!(built, expected);
    assert_eq!(hosted, expected, "through Python (left) and bst (right)");
    let listed = unpacked(&theirs, Both::bst);
    assert_eq!(unpacked(&ours, Both::bourn), listed);
    assert_eq!(unpacked(&python, Both::bourn), listed);
}

/// What is in the archive whose header holds the time.
fn unpacked(both: &Both, run: fn(&Both, &[&str]) -> bourn_testkit::Ran) -> String {
    run(both, &["artifact", "checkout", "--directory", "out", TIMED]).success();
    let archive = both.bourn.project().join("out/all.tar.gz");
    let output = Command::new("tar").arg("--numeric-owner").arg("-tvzf").arg(archive).output().expect("tar");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
