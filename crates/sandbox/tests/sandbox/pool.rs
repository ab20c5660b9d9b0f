//! The directories that roots are laid out in again and again: shared by threads and by processes.

use crate::bench::{Bench, DIRECTORY};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Names the directory of the slots to workers.
const SLOTS: &str = "BOURN_SANDBOX_SLOTS";

/// The slots of a directory with the inodes of their roots.
fn slots(directory: &Path) -> BTreeMap<String, u64> {
    let mut slots = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("slots").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("slot-") {
            let root = entry.path().join("idle").metadata().map_or(0, |root| root.ino());
            slots.insert(name, root);
        }
    }
    slots
}

/// Runs scripts one after the other; some leave their sandbox in a state in which it cannot be used again.
fn work(bench: &Bench, worker: usize, rounds: usize) {
    for round in 0..rounds {
        let spoil = match (worker + round) % 4 {
            0 => "chmod 777 /work; mkdir /work/more; mkdir /work/here/deep; chmod 0 /work/here/deep;",
            1 => "touch left; ln -s / link; mkdir -p a/b/c; chmod 555 a/b;",
            _ => "",
        };
        let script =
            format!("{spoil} ls /out /work >/tmp/seen; echo {worker}-{round} >/out/file; cat /tmp/seen");
        let (executed, log) = bench.execute(&bench.execution(&script)).expect("the sandbox works");
        assert_eq!(executed.exit_code, 0, "{log}");
        assert_eq!(bench.list(executed.outputs[0]), [format!("file {worker}-{round}")]);
        let seen: Vec<&str> = log.lines().collect();
        let more: &[&str] = if spoil.contains("more") { &["more"] } else { &[] };
        assert_eq!(seen, [&["/out:", "", "/work:", "here"][..], more].concat(), "what others left");
    }
}

#[test]
fn a_root_is_used_again() {
    let bench = Bench::new();
    let mut before = BTreeMap::new();
    for _ in 0..6 {
        bench.lines("touch left; mkdir -p a/b; echo x >/out/file");
        crate::bench::eventually("all slots are tidy", || {
            slots(&bench.build).values().all(|root| *root != 0)
        });
        let now = slots(&bench.build);
        assert!(before.iter().all(|(name, root)| now.get(name) == Some(root)), "{before:?}, then {now:?}");
        before = now;
    }
    // Whoever comes just between the tidying of one and its being given back takes another.
    assert!((1..=2).contains(&before.len()), "{before:?}");
    // What a command did to the skeleton is not handed on, but the slot's number is.
    bench.lines("chmod 755 /work; mkdir /work/more");
    assert_eq!(bench.lines("ls /work"), ["here"]);
}

#[test]
fn threads_share_slots() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let bench = &bench;
            scope.spawn(move || work(bench, worker, 10));
        }
    });
    let Bench { build, executor, .. } = bench;
    drop(executor);
    let slots = slots(&build);
    assert!(slots.values().all(|root| *root != 0), "all are ready for the next process: {slots:?}");
}

#[test]
fn processes_share_slots() {
    let shared = DIRECTORY.join("shared-slots");
    let start = |number: usize| {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "pool::worker", "--ignored", "--nocapture", "--test-threads=1"])
            .env("BOURN_SANDBOX_TESTS", DIRECTORY.join(format!("worker-{number}")))
            .env(SLOTS, &shared)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program runs")
    };
    let workers: Vec<_> = (0..3).map(start).collect();
    for worker in workers {
        let output = worker.wait_with_output().expect("a worker ends");
        let printed = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.contains("1 passed"), "{printed}{complained}");
    }
    let slots = slots(&shared);
    assert!(slots.values().all(|root| *root != 0), "all are ready for the next process: {slots:?}");
}

#[test]
#[ignore = "a worker of the test above"]
fn worker() {
    let directory = std::env::var_os(SLOTS).expect("the directory of the slots");
    for _ in 0..2 {
        let bench = Bench::in_directory((&directory).into());
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let bench = &bench;
                scope.spawn(move || work(bench, worker, 6));
            }
        });
    }
}

/// Users remove caches with `rm -rf`, which does not open what is closed.
#[test]
fn what_lies_idle_can_be_removed_by_anybody_who_owns_it() {
    fn check(directory: &Path, seen: &mut usize) {
        let mode = directory.metadata().expect("a directory").mode();
        assert_eq!(mode & 0o300, 0o300, "{}", directory.display());
        *seen += 1;
        for entry in std::fs::read_dir(directory).expect("readable").flatten() {
            if entry.file_type().expect("a type").is_dir() {
                check(&entry.path(), seen);
            }
        }
    }
    let bench = Bench::new();
    bench.lines("echo x >/out/file");
    bench.lines("echo y >/out/file");
    let slots = bench.build.clone();
    drop(bench);
    let mut seen = 0;
    check(&slots, &mut seen);
    assert!(seen > 5, "there is a slot with a root");
}
