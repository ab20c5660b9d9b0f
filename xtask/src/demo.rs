//! The main job on real input: a Debian sysroot, upstream releases built on it, a runtime tree checked out and run.

use crate::shell::{self, Outcome, release_binary, root, scratch, write};
use crate::{debian, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the sysroot holds beside the packages that every Debian has.
pub(crate) const SYSROOT_PACKAGES: &[&str] =
    &["gcc", "libc6-dev", "make", "cmake", "meson", "ninja-build", "pkg-config"];

/// Debian source packages whose upstream tarballs are built, and the names the project knows them by.
pub(crate) const UPSTREAM: &[(&str, &str)] = &[
    ("hello", "hello.tar.gz"),
    ("grep", "grep.tar.xz"),
    ("xz-utils", "xz.tar.xz"),
    ("fribidi", "fribidi.tar.bz2"),
    ("bzip2", "bzip2.tar.gz"),
];

/// A project with its tarballs and a cache of its own.
pub(crate) struct Stage {
    /// The project.
    pub(crate) project: PathBuf,
    /// The user configuration: cache, sources and logs below the scratch directory.
    pub(crate) configuration: PathBuf,
}

/// Lays `examples/debian-stack` out with its tarballs in `directory`; the cache starts empty.
///
/// # Errors
/// When the sysroot or the tarballs cannot be made.
pub(crate) fn stage(directory: &Path) -> Outcome<Stage> {
    setup::install(&[setup::SYSROOT])?;
    let tarballs = scratch("tarballs");
    fs::create_dir_all(&tarballs).map_err(|error| format!("{}: {error}", tarballs.display()))?;
    debian::sysroot(&tarballs.join("sysroot.tar"), SYSROOT_PACKAGES)?;
    debian::upstream(&tarballs, UPSTREAM)?;
    let project = directory.join("project");
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    shell::run(Command::new("cp").arg("-r").arg(root().join("examples/debian-stack")).arg(&project))?;
    std::os::unix::fs::symlink(&tarballs, project.join("tarballs"))
        .map_err(|error| format!("{}: {error}", project.display()))?;
    let configuration = directory.join("buildstream.conf");
    let place = directory.display();
    let text = format!("cachedir: {place}/cache\nsourcedir: {place}/sources\nlogdir: {place}/logs\n");
    write(&configuration, &text)?;
    Ok(Stage { project, configuration })
}

/// Runs the demonstration.
///
/// # Errors
/// The first step that failed.
pub(crate) fn run() -> Outcome {
    let bourn = release_binary()?;
    let mut phases = Phases::default();
    let here = scratch("demo");
    let stage = phases.time("sysroot and tarballs", || stage(&here))?;
    let bourn = |arguments: &[&str]| {
        let mut command = Command::new(&bourn);
        command.arg("-c").arg(&stage.configuration).args(arguments).current_dir(&stage.project);
        shell::run(&mut command)
    };
    phases.time("source track", || bourn(&["source", "track", "--deps", "all", "runtime.bst"]))?;
    phases.time("source fetch", || bourn(&["source", "fetch", "--deps", "all", "runtime.bst"]))?;
    phases.time("build", || bourn(&["build", "runtime.bst"]))?;
    phases.time("build again", || bourn(&["build", "runtime.bst"]))?;
    let tree = here.join("runtime");
    let into = tree.display().to_string();
    phases.time("artifact checkout", || {
        bourn(&["artifact", "checkout", "--directory", &into, "runtime.bst"])
    })?;
    if tree.join("usr/include/stdio.h").exists() {
        return Err("the runtime tree holds headers".to_owned());
    }
    phases.time("shell", || bourn(&["shell", "runtime.bst", "--", "hello"]))?;
    println!("\nThe tree is in {}.\n{phases}", tree.display());
    Ok(())
}

/// How long each phase took.
#[derive(Default)]
struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work()?;
        self.0.push((name, start.elapsed()));
        Ok(result)
    }
}

impl std::fmt::Display for Phases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, elapsed) in &self.0 {
            writeln!(f, "{name:<22} {:>9.3} s", elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}
