//! Trees that are shown without being laid out.

use crate::again::layers_in;
use crate::bench::{Bench, DIRECTORY};
use bourn_cas::Store;
use bourn_reapi::services::{Cancel, ErrorKind, Execution};
use bourn_reapi::{Cas, Digest, Executor};
use bourn_sandbox::LocalExecutor;
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

/// Everything that can be seen of a tree but the numbers of inodes.
fn look(bench: &Bench, tree: Digest) -> String {
    let script = "for at in /bin /bin/* /lib /lib/* /lib64 /extra /extra/* /extra/*/*; do \
                  stat -c '%n %F %a %u %g %s %b %h %X %Y' $at; done; ls -laR /bin /extra; \
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
