//! The local cache as a cache of a storage (`cache: storage-service`), used by both programs, and how connections are
//! configured.

use crate::Both;
use crate::remote::{Server, assert_said, storage_daemon};
use bourn_testkit::Ran;
use std::path::{Path, PathBuf};

/// Removes all objects below a directory, of a cache or of a server, and says how many there were.
fn forget(cache: &Path) -> usize {
    let directories = std::fs::read_dir(cache.join("cas/objects")).expect("objects").flatten();
    let objects = directories.flat_map(|prefix| std::fs::read_dir(prefix.path()).expect("objects").flatten());
    objects.map(|object| std::fs::remove_file(object.path()).expect("an object removed")).count()
}

/// Where a storage daemon keeps its objects.
fn kept(both: &Both, server: &Server) -> PathBuf {
    let port = server.url.rsplit(':').next().expect("a port");
    both.bourn.path().join(format!("server-{port}"))
}

/// Runs one of the two.
fn run(both: &Both, is_bourn: bool, words: &[&str]) -> Ran {
    if is_bourn { both.bourn(words) } else { both.bst(words) }
}

/// What one of them built the other has, although all that is here of it are names.
#[test]
fn a_cache_that_both_use_and_that_holds_nothing_but_names() {
    let Some(both) = Both::shared("") else { return };
    let storage = storage_daemon(&both);
    // Whatever it is called, a storage it is.
    both.bourn.configure(&format!(
        "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{}', type: endpoint, \
         connection-config: {{request-timeout: 0, keepalive-time: 0}}}}}}\n",
        storage.url
    ));
    for is_bourn in [false, true] {
        let said = format!("By bourn: {is_bourn}\n");
        both.bourn.files(&format!("=== files/src/greeting\n{said}"));
        run(&both, is_bourn, &["--cache-buildtrees", "always", "build", "hello.bst"]).success();
        let read = |path: &str| std::fs::read_to_string(both.bourn.project().join(path)).expect("a file");
        let other = |words: &[&str]| {
            assert!(forget(&both.bourn.cache()) > 0, "{words:?}");
            run(&both, !is_bourn, words).success().stdout
        };
        assert_eq!(other(&["show", "--format", "%{state}", "hello.bst"]), "cached\ncached\n");
        let out = |what: &str| format!("{what}-{is_bourn}");
        other(&["artifact", "checkout", "--directory", &out("out"), "hello.bst"]);
        assert_eq!(read(&format!("{}/usr/share/greeting", out("out"))), "hello\n");
        other(&["source", "checkout", "--directory", &out("sources"), "hello.bst"]);
        assert_eq!(read(&format!("{}/hello/greeting", out("sources"))), said);
        assert_eq!(other(&["shell", "hello.bst", "--", "cat", "/usr/share/greeting"]), "hello\n");
        assert_eq!(
            other(&["shell", "--build", "--use-buildtree", "hello.bst", "--", "cat", "greeting"]),
            said
        );
        assert!(other(&["artifact", "list-contents", "hello.bst"]).contains("usr/share/doc/hello"));
        // Elsewhere it is whole.
        let server = storage_daemon(&both);
        other(&["artifact", "push", "--deps", "all", "--artifact-remote", &server.url, "hello.bst"]);
        let pull = ["artifact", "pull", "--deps", "all", "--artifact-remote", &server.url, "hello.bst"];
        assert_said(&run(&both.elsewhere(), is_bourn, &pull).success(), &["INFO    Pulled artifact"]);
    }
}

/// A storage that was started anew with nothing, one by one and in the end all at once: what neither has is built again.
#[test]
fn a_storage_that_loses_what_it_had() {
    let Some(both) = Both::shared("") else { return };
    let storage = storage_daemon(&both);
    both.bourn.configure(&format!(
        "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{}'}}}}\n",
        storage.url
    ));
    let states = |is_bourn| {
        run(&both, is_bourn, &["show", "--format", "%{name} %{state}", "hello.bst"]).success().stdout
    };
    let checkout = ["artifact", "checkout", "--force", "--directory", "out", "hello.bst"];
    both.bourn(&["build", "hello.bst"]).success();
    forget(&kept(&both, &storage));
    both.bourn(&checkout).success();
    forget(&both.bourn.cache());
    let nothing = states(true);
    assert_eq!(nothing, "base.bst buildable\nhello.bst waiting\n");
    assert_eq!(nothing, states(false));
    both.bourn(&checkout).failure(255, "has no artifact in the cache");
    both.bourn(&["build", "hello.bst"]).success();
    both.bourn(&checkout).success();
    // Each object is missing once, all others are with the storage alone.
    let directories =
        std::fs::read_dir(kept(&both, &storage).join("cas/objects")).expect("objects").flatten();
    let objects = directories.flat_map(|prefix| std::fs::read_dir(prefix.path()).expect("objects").flatten());
    let objects: Vec<PathBuf> = objects.map(|object| object.path()).collect();
    assert!(objects.len() > 10, "{objects:?}");
    for object in objects {
        std::fs::remove_file(&object).expect("an object removed");
        forget(&both.bourn.cache());
        both.bourn(&["build", "hello.bst"]).success();
        both.bourn(&checkout).success();
    }
}

/// Every key with every value, of all kinds of servers at once.
#[test]
fn connections_are_configured_alike() {
    let Some(both) = Both::new(PROJECT) else { return };
    let server = storage_daemon(&both);
    let keys = ["keepalive-time", "retry-limit", "retry-delay", "request-timeout"];
    let values = [
        ("0", true),
        ("-1", true),
        ("2147483647", true),
        ("' 1_0 '", true),
        ("1.5", false),
        ("many", false),
        ("'true'", false),
        ("[1]", false),
        ("2147483648", false),
    ];
    let check = |value: &str, is_taken: bool| {
        let place = both.elsewhere();
        let connection = keys.map(|key| format!("{key}: {value}")).join(", ");
        let declared = format!("{{url: '{}', push: true, connection-config: {{{connection}}}}}", server.url);
        place.bourn.configure(&format!(
            "artifacts: {{servers: [{declared}]}}\nsource-caches: {{servers: [{declared}]}}\n\
             cache: {{reserved-disk-space: 1M, storage-service: {declared}}}\n"
        ));
        let build = ["build", "base.bst"];
        let (ours, theirs) = (place.bourn(&build), place.bst(&build));
        assert_eq!(ours.status == 0, is_taken, "{value}: {}", ours.stderr);
        // Where numbers are too large, bst ends with an exception.
        assert_eq!(theirs.status == 0, is_taken, "bst, {value}: {}", theirs.stderr);
        for ran in [ours, theirs].iter().filter(|_| is_taken) {
            assert!(!ran.stderr.contains("WARN"), "{value}: {}", ran.stderr);
        }
    };
    for some in values.chunks(3) {
        std::thread::scope(|scope| {
            for (value, is_taken) in some {
                scope.spawn(|| check(value, *is_taken));
            }
        });
    }
}

const PROJECT: &str = "
=== project.conf
name: configured
min-version: 2.0
=== base.bst
kind: import
sources:
- kind: local
  path: files
=== files/greeting
hello
";
