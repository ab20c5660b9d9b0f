//! One cache for both: what one built the other finds.

use crate::Both;

/// More of what is shared: a part of it, and all.
const MORE: &str = "
=== slim.bst
kind: compose
build-depends: [base.bst, hello.bst]
config:
  exclude: [doc]
=== all.bst
kind: stack
depends: [slim.bst, hello.bst]
";

const STATES: &[&str] =
    &["show", "--deps", "all", "--format", "%{name} %{full-key} %{state} %{artifact-cas-digest}", "all.bst"];

fn project() -> Option<Both> {
    Both::shared(MORE)
}

#[test]
fn bst_finds_what_bourn_built() {
    let Some(both) = project() else { return };
    both.bourn(&["build", "all.bst"]).success();
    let states = both.same(STATES);
    assert_eq!(states.matches(" cached ").count(), 4, "{states}");
    both.bst(&["artifact", "checkout", "--directory", "by-bst", "all.bst"]).success();
    both.bourn(&["artifact", "checkout", "--directory", "by-bourn", "all.bst"]).success();
    same_trees(&both);
    let log = both.bst(&["artifact", "log", "hello.bst"]).success().stdout;
    assert!(log.contains("Good morning"), "{log}");
    let built = both.bst(&["build", "all.bst"]).success();
    assert!(!built.stderr.contains("Running commands"), "{}", built.stderr);
}

#[test]
fn bourn_finds_what_bst_built() {
    let Some(both) = project() else { return };
    both.bst(&["build", "all.bst"]).success();
    let states = both.same(STATES);
    assert_eq!(states.matches(" cached ").count(), 4, "{states}");
    both.bourn(&["artifact", "checkout", "--directory", "by-bourn", "all.bst"]).success();
    both.bst(&["artifact", "checkout", "--directory", "by-bst", "all.bst"]).success();
    same_trees(&both);
    let log = both.bourn(&["artifact", "log", "hello.bst"]).success().stdout;
    assert!(log.contains("Good morning"), "{log}");
    let built = both.bourn(&["build", "all.bst"]).success();
    assert!(!built.stderr.contains("Running commands"), "{}", built.stderr);
}

#[test]
fn both_build_the_same() {
    let (Some(ours), Some(theirs)) = (project(), project()) else { return };
    ours.bourn(&["build", "all.bst"]).success();
    theirs.bst(&["build", "all.bst"]).success();
    assert_eq!(ours.bourn(STATES).success().stdout, theirs.bst(STATES).success().stdout);
}

#[test]
fn failures_are_kept_for_both() {
    let Some(both) = project() else { return };
    let show = ["show", "--deps", "none", "--format", "%{state}", "broken.bst"];
    both.bourn(&["build", "broken.bst"]).failure(255, "about to fail");
    assert_eq!(both.same(&show), "failed\n");
    let log = both.bst(&["artifact", "log", "broken.bst"]).success().stdout;
    assert!(log.contains("about to fail"), "{log}");
}

#[test]
fn a_failure_of_bst_is_known_to_bourn() {
    let Some(both) = project() else { return };
    both.bst(&["build", "broken.bst"]).failure(255, "about to fail");
    let show = ["show", "--deps", "none", "--format", "%{state}", "broken.bst"];
    assert_eq!(both.same(&show), "failed\n");
    let log = both.bourn(&["artifact", "log", "broken.bst"]).success().stdout;
    assert!(log.contains("about to fail"), "{log}");
}

/// The trees that both checked out: paths, permissions, content and links.
fn same_trees(both: &Both) {
    let list = |name: &str| {
        let directory = both.bourn.project().join(name);
        let script = "find . -printf '%p %m %l\\n' | sort; find . -type f | sort | xargs sha256sum";
        let output = std::process::Command::new("sh").args(["-c", script]).current_dir(directory).output();
        String::from_utf8_lossy(&output.expect("find and sort").stdout).into_owned()
    };
    let (ours, theirs) = (list("by-bourn"), list("by-bst"));
    assert!(ours.contains("./integrated"), "{ours}");
    assert_eq!(ours, theirs);
}

#[test]
fn both_read_the_limits_of_the_cache_alike() {
    let Some(both) = Both::new("=== project.conf\nname: limits\nmin-version: 2.0\n=== a.bst\nkind: stack\n")
    else {
        return;
    };
    let sizes = ["0", "infinity", "99999999T", "5.%"];
    let bad_sizes = ["101%", "1k", ".5%", ""];
    let shares = ["80.5%", "80 %", "8_0%"];
    let bad_shares = ["80", "100.1%", "8__0%"];
    let keys = [
        ("quota", &sizes[..], &bad_sizes[..]),
        ("reserved-disk-space", &sizes[..1], &["infinity", "pony"]),
        ("low-watermark", &shares[..], &bad_shares[..]),
    ];
    for (key, good, bad) in keys {
        for (value, is_good) in good.iter().map(|v| (v, true)).chain(bad.iter().map(|v| (v, false))) {
            both.bourn.configure(&format!("cache:\n  {key}: '{value}'\n"));
            let arguments = ["show", "--format", "%{name}", "a.bst"];
            let (ours, theirs) = (both.bourn(&arguments), both.bst(&arguments));
            let expected = if is_good { 0 } else { 255 };
            assert_eq!((ours.status, theirs.status), (expected, expected), "{key}: {value}: {}", ours.stderr);
            assert!(is_good || ours.stderr.contains(key), "{key}: {value}: {}", ours.stderr);
        }
    }
}

/// What does not fit is refused by both, and what was used longest ago makes room for what is new.
#[test]
fn both_keep_within_their_quota() {
    let Some(both) = Both::new("=== project.conf\nname: limits\nmin-version: 2.0\n") else { return };
    let names = ["a", "b", "c"];
    for name in names {
        let sources = both.bourn.project().join(format!("files/{name}"));
        std::fs::create_dir_all(&sources).expect("a directory");
        std::fs::write(sources.join("large"), name.repeat(3 << 20)).expect("a file");
        let element = format!("kind: import\nsources:\n- kind: local\n  path: files/{name}\n");
        std::fs::write(both.bourn.project().join(format!("{name}.bst")), element).expect("an element");
    }
    both.bourn.configure("cache: {quota: 2M, reserved-disk-space: 0}\n");
    both.bourn(&["build", "a.bst"]).failure(255, "quota");
    both.bst(&["build", "a.bst"]).failure(255, "full");
    both.bourn.configure("cache: {quota: 8M, reserved-disk-space: 0, low-watermark: '90%'}\n");
    for name in names {
        both.bourn(&["build", &format!("{name}.bst")]).success();
        // The times of use are told apart by whole ticks of the clock of the file system.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let states = ["show", "--format", "%{name} %{state}", "a.bst", "b.bst", "c.bst"];
    assert_eq!(both.bourn(&states).success().stdout, "a.bst buildable\nb.bst cached\nc.bst cached\n");
    // To show more than one bst would have to make room itself: it stores local sources to find their keys.
    both.same(&["show", "--format", "%{name} %{state}", "c.bst"]);
}
