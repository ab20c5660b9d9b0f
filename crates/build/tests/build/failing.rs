//! Failures and what is kept of them.

use crate::project::{LOST, Spec, World, import, manual};
use bourn_build::event::{Action, Decision, Event, MessageKind};
use bourn_build::fetch::Fetch;
use bourn_build::run;
use bourn_build::session::Query;
use bourn_build::state::SourceState;
use bourn_plan::SourceError;
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::tree::Tree;
use bourn_testkit::memory::listing;

fn base() -> Spec {
    import("base.bst", &["bin/sh*=shell"])
}

fn broken() -> Spec {
    let commands = ["log trying", "put /build/demo/out o", "fail", "log never"];
    Spec { files: vec!["main.c=int"], ..manual("broken.bst", &["build:base.bst"], &commands) }
}

#[test]
fn failures_are_kept_with_log_and_build_tree() {
    let world = World::new(&[base(), broken()]);
    let built = world.build();
    assert_eq!(built.builds(), ["build base.bst done", "build broken.bst failed: Command failed"]);
    let failure = built.outcome.last_failure.expect("a failure");
    assert_eq!((failure.domain, failure.reason.as_deref()), ("sandbox", Some("command-failed")));
    assert!(failure.sandbox);
    let artifact = world.artifact("broken.bst").expect("an artifact");
    assert!(!artifact.build_success);
    assert_eq!(
        (artifact.build_error.as_str(), artifact.build_error_details.as_str()),
        ("Command failed", "")
    );
    assert!(artifact.files.is_none());
    let tree = |digest| listing(&world.cas, &Tree::open(&world.cas, digest));
    let digest =
        |field: &Option<DigestMessage>| field.as_ref().and_then(|d| d.try_into().ok()).expect("a digest");
    assert_eq!(tree(digest(&artifact.buildtree)), ["main.c=int", "out=o"]);
    assert_eq!(tree(digest(&artifact.sources)), ["main.c=int"]);
    assert_eq!(
        tree(digest(&artifact.buildroot)),
        ["bin/sh*=shell", "build/demo/main.c=int", "build/demo/out=o", "dev/", "install/", "proc/", "tmp/"]
    );
    let sandbox = artifact.buildsandbox.expect("a sandbox");
    assert_eq!(sandbox.working_directory, "/build/demo");
    assert_eq!(sandbox.marked_directories, ["/build/demo", "/install"]);
    let names: Vec<&str> = sandbox.environment.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["A", "PATH"]);
}

#[test]
fn a_known_failure_is_told_again_without_building() {
    let world = World::new(&[base(), broken()]);
    world.build();
    world.take_runs();
    let again = world.build();
    assert_eq!(again.builds(), ["build broken.bst failed: Command failed"]);
    assert_eq!(world.take_runs(), Vec::<String>::new());
    assert_eq!(again.outcome.last_failure.expect("a failure").reason, None);
}

#[test]
fn known_failures_are_tried_again_on_demand() {
    let mut world = World::new(&[base(), broken()]);
    world.build();
    world.take_runs();
    world.options.retry_failed = true;
    let again = world.build();
    assert_eq!(again.builds(), ["build broken.bst failed: Command failed"]);
    assert_eq!(world.take_runs().len(), 1);
    let said = again.messages(MessageKind::Info);
    assert_eq!(said[0].0, "Discarded failed build");
    assert!(said[0].1.ends_with("'\nbecause retrying failed builds is enabled."), "{}", said[0].1);
}

#[test]
fn others_go_on_unless_told_otherwise() {
    let apart = manual("apart.bst", &["build:base.bst"], &["put /install/x y"]);
    let above = manual("above.bst", &["build:broken.bst"], &["true"]);
    let last = Spec { name: "all.bst", kind: "stack", ..Spec::default() }.depends(&[
        "broken.bst",
        "above.bst",
        "apart.bst",
    ]);
    let world = World::new(&[base(), broken(), above, apart, last]);
    let built = world.build();
    let mut builds = built.builds();
    builds.sort();
    assert_eq!(
        builds,
        ["build apart.bst done", "build base.bst done", "build broken.bst failed: Command failed"]
    );
    assert_eq!(built.outcome.failed.len(), 1);
}

#[test]
fn a_job_can_be_tried_again() {
    let world = World::new(&[base(), broken()]);
    world.heard.answers.lock().expect("not poisoned").push(Decision::Retry);
    let built = world.build();
    let failed = "build broken.bst failed: Command failed";
    assert_eq!(built.builds(), ["build base.bst done", failed, failed]);
    assert_eq!(built.outcome.failed.len(), 1);
}

#[test]
fn without_a_shell_nothing_runs() {
    let world =
        World::new(&[import("base.bst", &["etc/x=1"]), manual("a.bst", &["build:base.bst"], &["true"])]);
    let built = world.build();
    assert_eq!(
        built.builds(),
        ["build base.bst done", "build a.bst failed: Staged artifacts do not provide command 'sh'"]
    );
    assert_eq!(built.outcome.last_failure.expect("a failure").reason.as_deref(), Some("missing-command"));
}

#[test]
fn an_import_of_nothing_fails() {
    let nothing = import("nothing.bst", &["a/x=1"]).config("source: /b");
    let world = World::new(&[nothing]);
    assert_eq!(world.build().builds(), ["build nothing.bst failed: 'input/b' not found"]);
    assert!(world.artifact("nothing.bst").is_none());
    let world = World::new(&[import("empty.bst", &["a/"]).config("source: /a")]);
    assert_eq!(world.build().builds(), ["build empty.bst failed: No files were found inside directory '/a'"]);
    assert!(world.artifact("empty.bst").is_some_and(|artifact| !artifact.build_success));
}

#[test]
fn sources_that_cannot_be_looked_up_are_missing_for_those_who_only_look() {
    let mut world = World::new(&[base(), manual("other.bst", &[], &["true"])]);
    world.options.source_directory = LOST.into();
    let ids = [world.id("base.bst"), world.id("other.bst")];
    let states = world.session(|session| {
        session.query(&ids, Query::Artifacts).expect("answered");
        let states = session.states();
        ids.map(|id| states.get(id).sources)
    });
    assert_eq!(states[0], SourceState::Missing);
    assert!(matches!(states[1], SourceState::Fetched), "{states:?}");
    let events = std::mem::take(&mut *world.heard.events.lock().expect("not poisoned"));
    let warned: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Message(message) if message.kind == MessageKind::Warn => Some(message.text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(warned, ["Sources taken as not fetched: no tool to tell"]);
}

#[test]
fn sources_that_cannot_be_looked_up_fail_the_job_that_fetches_them() {
    let mut world = World::new(&[base(), manual("other.bst", &[], &["true"])]);
    world.options.source_directory = LOST.into();
    let ids = [world.id("base.bst"), world.id("other.bst")];
    let outcome = world.session(|session| run::fetch(session, &ids, Fetch::Staged)).expect("asked");
    let failure = outcome.last_failure.expect("one failed");
    assert_eq!((failure.domain, failure.message.as_str()), ("source", "no tool to tell"));
    assert_eq!(outcome.failed, [(Action::Fetch, ids[0])]);
}

#[test]
fn a_transfer_that_is_stopped_did_not_fail() {
    let world = World::new(&[base()]);
    let ids = [world.id("base.bst")];
    let outcome = world.session(|session| {
        run::mirror(session, &ids, &|_, _, _| {
            session.control.terminate();
            Err(SourceError::new("the line is dead"))
        })
    });
    let outcome = outcome.expect("asked");
    assert!(outcome.terminated);
    assert_eq!(outcome.failed, []);
}
