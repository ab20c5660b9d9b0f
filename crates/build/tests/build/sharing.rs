//! Pulling from and pushing to remote caches.

use crate::project::{Built, Spec, World, import, manual};
use bourn_build::event::{Action, MessageKind};
use bourn_build::fetch::Fetch;
use bourn_build::run;
use bourn_reapi::{ArtifactName, Assets};
use bourn_testkit::memory::{MemoryRemote, MemoryStore};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

fn specs() -> Vec<Spec> {
    vec![
        import("base.bst", &["bin/sh*=shell"]),
        manual("lib.bst", &["build:base.bst"], &["put /install/lib l"]),
        Spec {
            files: vec!["main.c=int"],
            ..manual("app.bst", &["lib.bst"], &["take lib", "put /install/app a"])
        },
    ]
}

/// A world beside a remote cache.
fn world(remote: &Arc<MemoryStore>, pushes: bool, failures: u32) -> World {
    let mut specs = specs();
    specs[2].depends = vec!["build:base.bst", "lib.bst"];
    let mut world = World::new(&specs);
    world.services.remotes = Some(Arc::new(MemoryRemote {
        local: world.store.clone(),
        remote: remote.clone(),
        pushes,
        failures: AtomicU32::new(failures),
    }));
    world
}

fn said(built: &Built) -> Vec<String> {
    built
        .messages(MessageKind::Info)
        .into_iter()
        .map(|(text, _)| text)
        .filter(|text| text.starts_with('P'))
        .collect()
}

#[test]
fn what_is_built_is_pushed() {
    let remote = MemoryStore::new();
    let world = world(&remote, true, 0);
    let built = world.build();
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    let mut said = said(&built);
    said.sort();
    let expected = ["Pushed artifact app", "Pushed artifact base", "Pushed artifact lib"];
    assert_eq!(said[..3], expected);
    assert!(said[3..].iter().all(|text| text == "Pushed source") && said.len() > 3, "{said:?}");
    let artifact = world.artifact("app.bst").expect("an artifact");
    for key in [&artifact.strong_key, &artifact.weak_key] {
        assert!(remote.artifact(&ArtifactName::new("demo", "app.bst", key)).expect("asked").is_some());
    }
    let again = world.build();
    let jobs = again.jobs();
    assert!(jobs.contains(&"push app.bst skipped: Push".to_owned()), "{jobs:?}");
    assert!(jobs.contains(&"src-push app.bst skipped: Src-push".to_owned()), "{jobs:?}");
}

#[test]
fn what_others_built_is_pulled_and_nothing_below_it() {
    let remote = MemoryStore::new();
    assert!(world(&remote, true, 0).build().outcome.is_success());
    let fresh = world(&remote, false, 0);
    let built = fresh.build();
    let mut jobs = built.jobs();
    jobs.sort();
    assert_eq!(
        jobs,
        ["pull app.bst done", "pull lib.bst done"],
        "lib.bst runs with app.bst, base.bst does not"
    );
    assert_eq!(fresh.files("app.bst"), ["app=a"]);
    assert_eq!(built.passed(Action::Build).len(), 2);
    assert_eq!(fresh.take_runs(), Vec::<String>::new());
}

#[test]
fn what_nobody_has_is_built() {
    let remote = MemoryStore::new();
    let fresh = world(&remote, false, 0);
    let built = fresh.build();
    assert!(built.outcome.is_success());
    let mut jobs = built.jobs();
    jobs.retain(|line| !line.starts_with("fetch"));
    jobs.sort();
    let pulls = |name: &str| format!("pull {name} skipped: Pull");
    assert_eq!(jobs[..3], ["build app.bst done", "build base.bst done", "build lib.bst done"]);
    assert_eq!(jobs[3..], [pulls("app.bst"), pulls("base.bst"), pulls("lib.bst")]);
}

#[test]
fn passing_failures_are_tried_again() {
    let remote = MemoryStore::new();
    assert!(world(&remote, true, 0).build().outcome.is_success());
    for (retries, success) in [(2, true), (1, false)] {
        let mut fresh = world(&remote, false, 2);
        fresh.options.network_retries = retries;
        fresh.options.fetchers = 1;
        let id = fresh.id("app.bst");
        let outcome = fresh.session(|session| run::pull(session, &[id]).expect("asked"));
        assert_eq!(outcome.is_success(), success);
    }
}

#[test]
fn what_no_remote_gives_is_built_instead() {
    let remote = MemoryStore::new();
    assert!(world(&remote, true, 0).build().outcome.is_success());
    let mut fresh = world(&remote, false, u32::MAX);
    fresh.options.network_retries = 0;
    let built = fresh.build();
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    for name in ["app.bst", "lib.bst", "base.bst"] {
        assert!(built.jobs().contains(&format!("build {name} done")), "{:?}", built.jobs());
    }
}

#[test]
fn sources_are_pulled_where_somebody_staged_them() {
    let remote = MemoryStore::new();
    assert!(world(&remote, true, 0).build().outcome.is_success());
    let fresh = world(&remote, false, 0);
    let id = fresh.id("app.bst");
    let outcome = fresh.session(|session| run::fetch(session, &[id], Fetch::Staged).expect("asked"));
    assert!(outcome.is_success());
    let events = std::mem::take(&mut *fresh.heard.events.lock().expect("not poisoned"));
    assert_eq!(said(&Built { outcome, events }), ["Pulled source"]);
}

#[test]
fn pulling_and_pushing_on_demand() {
    let (one, two) = (MemoryStore::new(), MemoryStore::new());
    assert!(world(&one, true, 0).build().outcome.is_success());
    let fresh = world(&one, false, 0);
    let all = [fresh.id("lib.bst"), fresh.id("app.bst")];
    assert!(fresh.session(|session| run::pull(session, &all).expect("asked")).is_success());
    assert_eq!(fresh.files("lib.bst"), ["lib=l"]);
    let mut onward = world(&two, true, 0);
    onward.store = fresh.store.clone();
    onward.services = fresh.services.clone();
    onward.services.remotes = Some(Arc::new(MemoryRemote {
        local: fresh.store.clone(),
        remote: two.clone(),
        pushes: true,
        failures: AtomicU32::new(0),
    }));
    assert!(onward.session(|session| run::push(session, &all).expect("asked")).is_success());
    assert_eq!(two.artifact_names().expect("asked").len(), 4);
    let base = [onward.id("base.bst")];
    let outcome = onward.session(|session| run::push(session, &base).expect("asked"));
    assert_eq!(outcome.last_failure.expect("a failure").message, "Push failed: base.bst is not cached");
}
