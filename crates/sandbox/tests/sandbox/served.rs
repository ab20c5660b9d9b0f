//! Trees that are shown without being laid out.

use crate::again::layers_in;
use crate::bench::{Bench, DIRECTORY, eventually};
use bourn_cas::Store;
use bourn_reapi::services::{Cancel, ErrorKind, Execution, HostMount};
use bourn_reapi::{Cas, Digest, Executor};
use bourn_sandbox::LocalExecutor;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A bench with a cache of its own that serves everything. `None`, said aloud, where trees cannot be served.
struct Scene {
    bench: Bench,
    cache: PathBuf,
}

impl Scene {
    fn new(name: &str, after: Duration) -> Option<Scene> {
        let shared = Bench::new();
        if let Err(error) = shared.executor.facts().served {
            println!("not tested, because trees cannot be served here: {error}");
            return None;
        }
        let cache = DIRECTORY.join(format!("cache-{name}"));
        let store = Arc::new(Store::open(&cache).expect("a store"));
        let tools = copy_tree(&shared.store, &store, &shared.tools);
        let build = DIRECTORY.join(format!("build-{name}"));
        let executor = LocalExecutor::new(store.clone(), &build).expect("an executor").laying_out(0, after);
        Some(Scene { bench: Bench { store, executor, tools, build }, cache })
    }
}

/// Brings a tree from one store into another.
fn copy_tree(from: &Store, to: &Store, tree: &Digest) -> Digest {
    for blob in from.tree_blobs(tree).expect("a whole tree") {
        let content = from.read(&blob).expect("a blob");
        assert_eq!(to.write(&content).expect("a store that can be written to"), blob);
    }
    *tree
}

/// Everything that can be seen of a tree but the numbers of inodes, and when directories were read: those of layers are
/// read by whoever lays another layer upon them.
fn look(bench: &Bench, tree: Digest) -> String {
    let script = "for at in /bin /bin/* /lib /lib/* /lib64 /extra /extra/* /extra/*/*; do \
                  times='%X %Y'; test ! -d $at || times=%Y; stat -c \"%n %F %a %u %g %s %b %h $times\" $at; done; ls -laR /bin /extra; \
                  for at in /extra/* /extra/*/*; do readlink $at || test -d $at || cat $at; done; \
                  stat -c %d / /bin /bin/. /bin/sh /extra /extra/one | while read device; do \
                  test -z $before || test $device = $before || echo another device; before=$device; done; \
                  cat /bin/none || echo none; echo x > /bin/sh || echo refused";
    let mut execution = bench.execution(script);
    execution.input_root = tree;
    // All of it in one overlay, so that there is one device.
    execution.root_read_only = false;
    execution.writable.clear();
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0, "{log}");
    log
}

#[test]
fn a_served_tree_looks_like_one_that_is_laid_out() {
    let Some(scene) = Scene::new("looks", Duration::MAX) else { return };
    let plain = Bench::new();
    let files = [("extra/one", "1\n"), ("extra/empty", ""), ("extra/deep/er", "2\n")];
    let tree = plain.tools_with(&files);
    copy_tree(&plain.store, &scene.bench.store, &tree);
    let served = look(&scene.bench, tree);
    let laid_out = look(&plain, tree);
    assert!(served.contains("/extra/deep/er regular file 644 0 0 2 8 1"), "{served}");
    assert_eq!(served, laid_out);
    assert_eq!(layers_in(&scene.cache), 0);
    // Those above saw the same device wherever they looked.
    assert!(!served.contains("another device"), "{served}");
}

/// A tree in which programs find something to do all that can be done to files.
fn tree_to_work_with(bench: &Bench) -> Digest {
    let long = format!("extra/{}", "n".repeat(255));
    let content = "0123456789".repeat(1000);
    let mut files: Vec<(String, &str)> = vec![
        ("extra/file".into(), content.as_str()),
        ("extra/empty".into(), ""),
        ("extra/moved/inner".into(), "inner\n"),
        (long, "long\n"),
    ];
    files.extend((0..1000).map(|number| (format!("many/entry-with-a-rather-long-name-{number}"), "")));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    bench.tools_with(&files)
}

/// What a function of this program finds in a tree, each finding a line that begins with `found`.
fn findings(bench: &Bench, tree: Digest, writable: bool) -> Vec<String> {
    let script =
        "exec inside --exact served::inside_files_do_what_files_do --ignored --nocapture --test-threads=1";
    let mut execution = bench.execution(script);
    execution.input_root = tree;
    if writable {
        execution.root_read_only = false;
        execution.writable.clear();
    }
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert!(executed.exit_code == 0 && log.contains("1 passed"), "{log}");
    // The harness begins the line with the name of the test.
    log.lines().filter_map(|line| line.split_once("found ")).map(|(_, found)| found.to_owned()).collect()
}

#[test]
fn files_of_a_served_tree_do_what_files_do() {
    let Some(scene) = Scene::new("does", Duration::MAX) else { return };
    let plain = Bench::new();
    let tree = tree_to_work_with(&plain);
    copy_tree(&plain.store, &scene.bench.store, &tree);
    for writable in [false, true] {
        let served = findings(&scene.bench, tree, writable);
        assert!(served.len() > 25, "{served:?}");
        assert_eq!(served, findings(&plain, tree, writable), "writable: {writable}");
    }
    assert_eq!(layers_in(&scene.cache), 0);
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_files_do_what_files_do() {
    crate::files::read("/extra/file");
    crate::files::read("/extra/empty");
    crate::files::list("/many");
    crate::files::change("/extra");
    crate::files::watch("/extra");
    let disk = rustix::fs::statvfs("/extra").expect("a disk");
    println!(
        "found a disk: {} {}",
        disk.f_blocks > 0 && disk.f_bavail > 0 && disk.f_files > 0,
        disk.f_namemax
    );
    println!("found blocks of {} and {}", disk.f_bsize, disk.f_frsize);
}

/// Runs `inside_small_programs_see_files` in a tree that may be written to everywhere, with one more file. Whether all
/// went well there.
fn small_programs_see_files(scene: &Scene, file: &str) -> bool {
    let script = "exec inside --exact served::inside_small_programs_see_files --ignored --nocapture";
    let mut execution = scene.bench.execution(script);
    execution.input_root = scene.bench.tools_with(&[(file, "")]);
    execution.root_read_only = false;
    execution.writable.clear();
    let (executed, log) = scene.bench.execute(&execution).expect("the sandbox works");
    println!("{log}");
    executed.exit_code == 0 && log.contains("1 passed")
}

#[test]
fn numbers_of_files_suit_programs_of_32_bits() {
    let Some(scene) = Scene::new("small", Duration::MAX) else { return };
    if rustix::fs::stat(&scene.cache).expect("the cache").st_ino >= 1 << 32 {
        return println!("not tested, because this file system has larger numbers itself");
    }
    small_programs_see_files(&scene, "lib/ld-linux-of-another-machine");
    assert_eq!(layers_in(&scene.cache), 0);
    assert!(small_programs_see_files(&scene, "lib/ld-linux.so.2"));
    assert_eq!(layers_in(&scene.cache), 1);
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_small_programs_see_files() {
    for path in ["/bin/sh", "/bin", "/lib", "/work/here", "/", "/proc/self/exe"] {
        let number = rustix::fs::stat(path).unwrap_or_else(|error| panic!("{path}: {error}")).st_ino;
        assert!(number < 1 << 32, "{path}: {number}");
    }
}

#[test]
fn what_is_missing_is_said_and_not_taken_for_absent() {
    let Some(scene) = Scene::new("missing", Duration::MAX) else { return };
    let bench = &scene.bench;
    let tree = bench.tools_with(&[("extra/gone", "a file that will be gone\n")]);
    let digest = Digest::of(b"a file that will be gone\n");
    std::fs::remove_file(bench.store.object_path(&digest)).expect("it was there");
    let run = |script: &str| {
        let mut execution: Execution = bench.execution(script);
        execution.input_root = tree;
        bench.executor.execute(&execution, &mut Vec::new(), &Cancel::default())
    };
    // Whatever the command makes of it.
    let error = run("cat /extra/gone || true").map(drop).expect_err("an error");
    assert_eq!(error.kind, ErrorKind::Missing, "{error:?}");
    assert!(error.message.contains(&digest.hex()), "{error:?}");
    // Nobody else is harmed.
    run("true").expect("a command that does not look at it");
}

/// The engine of bst expires by age what it likes; it is known by its socket.
#[test]
fn another_engine_takes_nothing_away() {
    let Some(scene) = Scene::new("engine", Duration::MAX) else { return };
    let bench = &scene.bench;
    let files: Vec<(String, String)> =
        (0..20).map(|number| (format!("extra/{number}"), format!("content {number}\n"))).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    let shared = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let script = "while [ ! -e /shared/go ]; do sleep 0.01; done; cat /extra/* > /dev/null; cat /extra/7";
    let mut execution = bench.execution(script);
    execution.input_root = bench.tools_with(&files);
    execution.mounts =
        vec![HostMount { host: shared.path().to_owned(), path: "/shared".into(), writable: false }];
    let _engine = UnixListener::bind(scene.cache.join("casserver-test.sock")).expect("a socket");
    let log = std::thread::scope(|scope| {
        let running = scope.spawn(|| bench.execute(&execution).expect("the sandbox works").1);
        for (_, content) in &files {
            let object = bench.store.object_path(&Digest::of(content.as_bytes()));
            eventually("its content is held", || object.metadata().is_ok_and(|object| object.nlink() == 2));
            std::fs::remove_file(object).expect("it was there");
        }
        std::fs::write(shared.path().join("go"), "").expect("the sign to go on");
        running.join().expect("no panic")
    });
    assert_eq!(log, "content 7\n");
    assert_eq!(layers_in(&scene.cache), 0);
}

#[test]
fn what_is_in_use_for_long_is_laid_out() {
    let Some(scene) = Scene::new("long", Duration::ZERO) else { return };
    let laid_out = (0..1000).any(|_| {
        scene.bench.lines("cat /bin/sh > /dev/null");
        layers_in(&scene.cache) > 0
    });
    assert!(laid_out);
    // And used from then on: nothing else is laid out.
    scene.bench.lines("cat /bin/sh > /dev/null");
    assert_eq!(layers_in(&scene.cache), 1);
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    for round in 0..4 {
        let Some(scene) = Scene::new("unfinished", Duration::ZERO) else { return };
        let Scene { bench: Bench { store, executor, tools, build }, cache } = scene;
        let bench = Bench { store, executor, tools, build };
        bench.lines("true");
        drop(bench);
        let store = Store::open(&cache).expect("a store");
        let damage = store.fsck(true, false).expect("it can be checked").damage;
        assert!(damage.is_empty(), "round {round}: {damage:?}");
        let drafts = |path: PathBuf| {
            std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("layer"))
                .count()
        };
        let sessions = std::fs::read_dir(cache.join("bourn/tmp")).expect("sessions").flatten();
        assert_eq!(sessions.map(|session| drafts(session.path())).sum::<usize>(), 0);
    }
}
