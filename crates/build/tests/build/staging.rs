//! Overlaps and files that are not staged.

use crate::project::{Spec, World, import, manual};
use bourn_build::event::MessageKind;

fn over(public: &str) -> Vec<Spec> {
    vec![
        import("base.bst", &["bin/sh*=shell", "etc/a=1", "etc/b=1", "d/x=1"]),
        import("over.bst", &["etc/a=2", "etc/b=2", "etc/c=2"]).depends(&["run:base.bst"]).public(public),
        manual("top.bst", &["build:over.bst"], &["true"]),
    ]
}

#[test]
fn overlaps_are_warned_of() {
    let built = World::new(&over("")).build();
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    let line = |path: &str| {
        format!(
            "/etc/{path}: over.bst is not permitted to overlap other elements, order over.bst above base.bst \n"
        )
    };
    let detail =
        format!("Staged files overwrite existing files in staging area: /\n{}{}", line("a"), line("b"));
    assert_eq!(
        built.messages(MessageKind::Warn),
        [("[overlaps]: Non-whitelisted overlaps detected".to_owned(), detail)]
    );
}

#[test]
fn whitelisted_overlaps_are_not() {
    let built = World::new(&over("bst:\n  overlap-whitelist:\n  - /etc/a\n  - /etc/*\n")).build();
    assert_eq!(built.messages(MessageKind::Warn), []);
    let built = World::new(&over("bst:\n  overlap-whitelist: [/etc/a]")).build();
    let warnings = built.messages(MessageKind::Warn);
    assert!(warnings[0].1.contains("/etc/b:") && !warnings[0].1.contains("/etc/a:"), "{}", warnings[0].1);
}

#[test]
fn fatal_overlaps_fail_the_build() {
    let built = World::with(&over(""), &["overlaps"]).build();
    let last = built.builds().pop().expect("a build");
    assert!(
        last.starts_with("build top.bst failed: [overlaps]: Non-whitelisted overlaps detected\n"),
        "{last}"
    );
    let failure = built.outcome.last_failure.expect("a failure");
    assert_eq!((failure.domain, failure.reason.as_deref()), ("plugin", Some("overlaps")));
}

#[test]
fn files_never_replace_directories_that_hold_something() {
    let world = World::new(&[
        import("base.bst", &["bin/sh*=shell", "d/x=1", "e/"]),
        import("over.bst", &["d=2", "e=3"]).depends(&["run:base.bst"]),
        manual("top.bst", &["build:over.bst"], &["take d/x", "take e"]),
    ]);
    let built = world.build();
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    let warnings = built.messages(MessageKind::Warn);
    let text = "[unstaged-files]: Not staging files which would have replaced non-empty directories";
    let detail = "Not staging files which would replace non-empty directories in staging area: /\n\nFrom over.bst:\n  /d\n";
    assert_eq!(warnings.last(), Some(&(text.to_owned(), detail.to_owned())));
}

#[test]
fn what_was_merged_once_is_told_of_again() {
    let mut specs = over("");
    specs.push(manual("other.bst", &["build:over.bst", "build:top.bst"], &["true"]));
    let built = World::new(&specs).build();
    assert_eq!(built.messages(MessageKind::Warn).len(), 2);
}

#[test]
fn a_directory_over_a_link_is_an_error() {
    let world = World::new(&[
        import("base.bst", &["bin/sh*=shell", "lib->usr/lib"]),
        import("over.bst", &["lib/x=1"]).depends(&["run:base.bst"]),
        manual("top.bst", &["build:over.bst"], &["true"]),
    ]);
    let last = world.build().builds().pop().expect("a build");
    assert_eq!(last, "build top.bst failed: Destination is a symlink, not a directory: /lib");
}
