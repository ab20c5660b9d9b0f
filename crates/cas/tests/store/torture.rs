//! Processes are killed at any moment, disks fill up, and nothing is ever half there.
//!
//! The workers are this test binary itself, started once more with one of the ignored tests below.

use crate::scene::write_tree;
use bourn_cas::{Quota, Store};
use bourn_reapi::artifact::{Artifact, ArtifactName, Source};
use bourn_reapi::services::{ErrorKind, ExportOptions, ImportOptions, ServiceResult, SourceName};
use bourn_reapi::{Assets, Cas, Digest};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tells a worker where the cache is.
const PLACE: &str = "BOURN_TEST_PLACE";

/// Tells a worker where its random numbers begin.
const SEED: &str = "BOURN_TEST_SEED";

/// Rounds of killing; more with the variable of that name.
const ROUNDS: &str = "BOURN_TEST_ROUNDS";

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A tree of some dozen files, of which many occur in other trees too.
fn random_tree(random: &mut Random) -> String {
    let mut text = String::new();
    for number in 0..random.below(40) + 5 {
        let directory = random.below(6);
        let size = if random.below(10) == 0 { 200_000 } else { random.below(3000) };
        let letter = char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0));
        let star = if random.below(4) == 0 { "*" } else { "" };
        let _ = writeln!(
            text,
            "d{directory}/f{number}{star} {}",
            letter.to_string().repeat(usize::try_from(size).unwrap_or(1))
        );
    }
    text + "link -> d1\nempty/\n"
}

/// One random thing that a build does to a cache.
fn step(store: &Store, place: &Path, random: &mut Random, known: &mut Vec<Digest>) -> ServiceResult<()> {
    let scratch = place.join(format!("scratch-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&scratch);
    let pick = |random: &mut Random, known: &[Digest]| {
        let at = usize::try_from(random.below(known.len().max(1) as u64)).unwrap_or(0);
        known.get(at).copied()
    };
    match random.below(8) {
        0..3 => {
            write_tree(&scratch, &random_tree(random));
            let options = ImportOptions { consume: random.below(2) == 0, ..ImportOptions::default() };
            let tree = store.import_tree(&scratch, &options)?;
            let artifact = Artifact {
                version: 1,
                files: Some(tree.into()),
                public_data: Some(store.write(b"public")?.into()),
                ..Artifact::default()
            };
            let names = ["s", "w"].map(|key| ArtifactName::new("demo", &format!("e{}", random.0 % 20), key));
            store.publish_artifact(&names, &artifact)?;
            store.publish_source(
                &SourceName::Element(format!("k{}", random.0 % 20)),
                &Source { version: 1, files: Some(tree.into()) },
            )?;
            known.push(tree);
        }
        3 => {
            let content = vec![u8::try_from(random.below(256)).unwrap_or(0); 5 << 20];
            store.write_from(&mut content.as_slice())?;
        }
        4..6 => {
            if let Some(tree) = pick(random, known) {
                let prefixes: Vec<Digest> = pick(random, known).into_iter().collect();
                drop(store.layer(&tree, &prefixes)?);
            }
        }
        6 => {
            if let Some(tree) = pick(random, known) {
                let options = ExportOptions { hardlinks: random.below(2) == 0, ..ExportOptions::default() };
                store.export_tree(&tree, &scratch, &options)?;
            }
        }
        _ => {
            let quota = Quota { bytes: Some(3 << 20), reserved: 0, low_watermark: 0.5 };
            store.expire(&quota)?;
        }
    }
    Ok(())
}

/// Errors that are fine where several expire what others have made: a session that has ended holds nothing any more.
fn is_expired(kind: ErrorKind) -> bool {
    kind == ErrorKind::Missing
}

#[test]
#[ignore = "a worker of the tests below"]
fn worker() {
    let Some(place) = place() else { return };
    let mut random = Random(variable(SEED).unwrap_or(1));
    loop {
        // A new session every now and then, so that there is something to expire.
        let store = Store::open(&place.join("cache")).expect("a cache");
        let mut known = Vec::new();
        for _ in 0..30 {
            if let Err(error) = step(&store, &place, &mut random, &mut known) {
                assert!(is_expired(error.kind), "{error:?}");
            }
        }
    }
}

/// Starts this test binary with one of its ignored tests.
fn start(test: &str, place: &Path, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(PLACE, place).env(SEED, seed.to_string()).stdin(Stdio::null());
    command.stdout(Stdio::null());
    command
}

fn end(mut worker: Child) {
    let status = worker.try_wait().expect("a status");
    assert!(status.is_none(), "a worker failed by itself: {status:?}");
    worker.kill().expect("a signal");
    worker.wait().expect("an end");
}

#[test]
fn killed_processes_leave_nothing_half() {
    let place = tempfile::tempdir().expect("a directory");
    let cache = place.path().join("cache");
    let mut random = Random(42);
    for round in 0..variable(ROUNDS).unwrap_or(12) {
        let workers: Vec<Child> = (0..3)
            .map(|number| {
                start("torture::worker", place.path(), 1000 * round + number + 1).spawn().expect("a worker")
            })
            .collect();
        for worker in workers {
            std::thread::sleep(Duration::from_millis(20 + random.below(150)));
            end(worker);
        }
        let store = Store::open(&cache).expect("a cache");
        let checked = store.fsck(true, false).expect("a check");
        assert_eq!(checked.damage, [], "round {round}");
        let left = std::fs::read_dir(cache.join("bourn/tmp")).expect("a directory").count();
        assert_eq!(left, 1, "round {round}: only our own session should be left");
        damage(&cache, &mut random);
        store.fsck(true, false).expect("a check");
        assert_eq!(store.fsck(true, false).expect("a check").damage, [], "round {round}: not all was healed");
    }
}

/// Flips, truncates or deletes some objects behind the back of everybody.
fn damage(cache: &Path, random: &mut Random) {
    let mut objects = Vec::new();
    for prefix in std::fs::read_dir(cache.join("cas/objects")).expect("a directory") {
        let prefix = prefix.expect("an entry").path();
        objects.extend(
            std::fs::read_dir(prefix).expect("a directory").map(|entry| entry.expect("an entry").path()),
        );
    }
    objects.sort();
    for _ in 0..random.below(6) {
        let at = usize::try_from(random.below(objects.len().max(1) as u64)).unwrap_or(0);
        let Some(path) = objects.get(at) else { return };
        let Ok(mut content) = std::fs::read(path) else { continue };
        if random.below(3) == 0 {
            std::fs::remove_file(path).expect("a removal");
            continue;
        }
        match content.first_mut() {
            Some(first) if random.below(2) == 0 => *first ^= 1,
            _ => content.truncate(content.len() / 2),
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("a mode");
        std::fs::write(path, content).expect("a file");
    }
}

/// Runs one of the ignored tests on a small file system of its own.
fn on_small_disk(test: &str) {
    on_disk("-t tmpfs -o size=24m", test);
}

/// Runs one of the ignored tests on a file system of its own that is mounted with these options, and tells it where
/// (see [`place`]); says so loudly where that is impossible.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn on_disk(options: &str, test: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let binary = start(test, place.path(), 1);
    let mut command = Command::new("unshare");
    let script = format!(r#"mount {options} bourn-test "$0" && exec "$@""#);
    command.args(["-Urm", "sh", "-c", &script]);
    command.arg(place.path()).arg(binary.get_program()).args(binary.get_args());
    command.env(PLACE, place.path()).stdin(Stdio::null());
    match Command::new("unshare").args(["-Urm", "true"]).status() {
        Ok(status) if status.success() => {
            let output = command.output().expect("a process");
            let printed = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && printed.contains("1 passed"), "{printed}{complained}");
        }
        _ => eprintln!("SKIPPED: there are no user namespaces here, so {test} has no file system of its own"),
    }
}

/// Where a worker finds the file system of its own; `None` in one that nobody has started as such.
pub(crate) fn place() -> Option<PathBuf> {
    std::env::var(PLACE).ok().map(PathBuf::from)
}

#[test]
fn a_full_disk_leaves_nothing_half() {
    on_small_disk("torture::fill");
}

#[test]
fn a_read_only_cache_can_be_read() {
    on_small_disk("torture::read_only");
}

#[test]
#[ignore = "a worker of the tests above"]
fn fill() {
    let Some(place) = place() else { return };
    let elsewhere = tempfile::tempdir().expect("a directory on another disk");
    let mut random = Random(7);
    let mut full = 0;
    for round in 0..40_u64 {
        // The less is free, the earlier it hits.
        let filler = place.join("filler");
        let free = rustix::fs::statvfs(&place).expect("a status");
        let free = free.f_bavail * free.f_frsize;
        std::fs::write(&filler, vec![0; usize::try_from(free.saturating_sub(round * 60_000)).unwrap_or(0)])
            .expect("a file");
        let store = Store::open(&place.join("cache"));
        if let Ok(store) = &store {
            let mut known = Vec::new();
            for _ in 0..20 {
                match step(store, elsewhere.path(), &mut random, &mut known) {
                    Ok(()) => {}
                    Err(error) if error.kind == ErrorKind::NoSpace => {
                        assert!(error.hint.is_some() && error.message.contains('/'), "{error:?}");
                        full += 1;
                    }
                    Err(error) => assert!(is_expired(error.kind), "{error:?}"),
                }
            }
        }
        drop(store);
        std::fs::remove_file(&filler).expect("a removal");
        let store = Store::open(&place.join("cache")).expect("a cache");
        assert_eq!(store.fsck(true, false).expect("a check").damage, [], "round {round}");
        // And it works again.
        store.write(format!("round {round}").as_bytes()).expect("a digest");
        store.expire(&Quota { bytes: Some(0), reserved: 0, low_watermark: 0.5 }).expect("an expiry");
    }
    assert!(full > 0, "the disk never was full");
}

#[test]
#[ignore = "a worker of the tests above"]
fn read_only() {
    let Some(place) = place() else { return };
    let cache = place.join("cache");
    let name = ArtifactName::new("demo", "e", "k");
    let tree = {
        let store = Store::open(&cache).expect("a cache");
        write_tree(&place.join("in"), "a one\nsub/b two\n");
        let tree = store.import_tree(&place.join("in"), &ImportOptions::default()).expect("an import");
        let artifact = Artifact { version: 1, files: Some(tree.into()), ..Artifact::default() };
        store.publish_artifact(std::slice::from_ref(&name), &artifact).expect("a name");
        tree
    };
    let remounted =
        Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&place).status().expect("a process");
    assert!(remounted.success());
    let store = Store::open(&cache).expect("a cache");
    assert!(store.contains_tree(&tree).expect("an answer"));
    assert!(store.artifact(&name).expect("an answer").is_some());
    assert_eq!(store.read(&Digest::of(b"one")).expect("a blob"), b"one");
    assert_eq!(store.write(b"one").expect("what is there needs no writing"), Digest::of(b"one"));
    let refused = [
        store.write(b"new").err(),
        store.write_from(&mut vec![0_u8; 5 << 20].as_slice()).err(),
        store.publish_artifact(std::slice::from_ref(&name), &Artifact::default()).err(),
        store.remove_artifact(&name).err(),
        store.layer(&tree, &[]).err(),
        store.expire(&Quota { bytes: Some(0), reserved: 0, low_watermark: 0.5 }).err(),
        store.fsck(false, false).err(),
    ];
    for error in refused {
        let error = error.expect("an error");
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.is_some() && error.message.contains(&*place.to_string_lossy()), "{error:?}");
    }
    Store::open(&place.join("another")).map(drop).expect_err("a cache cannot be created");
}
