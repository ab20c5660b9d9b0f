//! What is built, and when.

use crate::project::{Spec, World, import, manual};
use bourn_build::event::{Action, Decision, Event, Failure, JobId, Sink, Subject};
use bourn_build::fetch::Fetch;
use bourn_build::run::{BuildScope, build, fetch};
use bourn_build::session::Session;
use bourn_reapi::services::{Cancel, Executed, Execution, ServiceResult};
use bourn_reapi::{ArtifactName, Assets, Executor};
use bourn_yaml::Files;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

fn chain() -> Vec<Spec> {
    vec![
        import("base.bst", &["bin/sh*=shell"]),
        manual("lib.bst", &["build:base.bst"], &["put /install/lib l"]),
        manual("app.bst", &["build:base.bst", "lib.bst"], &["take lib", "put /install/app a"]),
    ]
}

#[test]
fn only_what_is_needed_is_built() {
    let world = World::new(&chain());
    world.build();
    for name in ["base.bst", "lib.bst"] {
        for key in [
            &world.artifact(name).expect("an artifact").strong_key,
            &world.artifact(name).expect("there").weak_key,
        ] {
            world.store.remove_artifact(&ArtifactName::new("demo", name, key)).expect("removed");
        }
    }
    let again = world.build();
    assert!(again.outcome.is_success());
    assert_eq!(again.builds(), ["build base.bst done", "build lib.bst done"], "app.bst needs lib.bst to run");
    assert_eq!(again.passed(Action::Build), ["app.bst"]);
}

#[test]
fn scopes() {
    let check = |scope: BuildScope, expected: &[&str]| {
        let world = World::new(&chain());
        let built = world.build_all(&[world.id("lib.bst")], scope);
        let expected: Vec<String> = expected.iter().map(|name| format!("build {name} done")).collect();
        assert_eq!(built.builds(), expected, "{scope:?}");
    };
    check(BuildScope::None, &["base.bst", "lib.bst"]);
    check(BuildScope::Run, &["base.bst", "lib.bst"]);
    check(BuildScope::Build, &["base.bst"]);
    check(BuildScope::All, &["base.bst", "lib.bst"]);
}

#[test]
fn a_lax_build_takes_what_was_built_upon_something_older() {
    let mut world = World::new(&chain());
    world.build();
    world.options.strict = false;
    let mut changed = chain();
    changed[1] = manual("lib.bst", &["build:base.bst"], &["put /install/lib new"]);
    world.replan(&changed);
    let built = world.build();
    assert_eq!(built.builds(), ["build lib.bst done"]);
    assert!(built.outcome.is_success());
    assert!(world.artifact("app.bst").is_none(), "not built upon the new library");
    world.options.strict = true;
    let built = world.build();
    assert_eq!(built.builds(), ["build app.bst done"]);
}

#[test]
fn strong_keys_of_lax_builds_say_what_was_really_used() {
    let mut world = World::new(&chain());
    world.build();
    world.options.strict = false;
    let mut changed = chain();
    changed[0] = import("base.bst", &["bin/sh*=shell", "etc/new=1"]);
    changed[2] = manual("app.bst", &["build:base.bst", "lib.bst"], &["take lib", "put /install/app b"]);
    world.replan(&changed);
    let built = world.build();
    let mut builds = built.builds();
    builds.sort();
    assert_eq!(builds, ["build app.bst done", "build base.bst done"]);
    let planned = world.plan.element(world.id("app.bst"));
    let weak = &planned.weak_key.as_ref().expect("a key").0;
    let artifact =
        world.store.artifact(&ArtifactName::new("demo", "app.bst", weak)).expect("asked").expect("there");
    assert_ne!(artifact.strong_key, artifact.strict_key);
    assert_eq!(artifact.strict_key, planned.strict_key.as_ref().expect("a key").0);
    let again = world.build();
    assert_eq!(again.jobs(), Vec::<String>::new());
}

fn two_failures() -> Vec<Spec> {
    vec![
        import("base.bst", &["bin/sh*=shell"]),
        manual("bad.bst", &["build:base.bst"], &["fail"]),
        manual("good.bst", &["build:base.bst"], &["true"]),
        manual("later.bst", &["build:good.bst"], &["true"]),
    ]
}

#[test]
fn quitting_and_terminating() {
    for (decision, terminated) in [(Decision::Quit, false), (Decision::Terminate, true)] {
        let mut world = World::new(&two_failures());
        world.options.builders = 1;
        world.heard.answers.lock().expect("not poisoned").push(decision);
        let all = [world.id("bad.bst"), world.id("later.bst")];
        let built = world.build_all(&all, BuildScope::All);
        let builds = built.builds();
        assert!(!builds.contains(&"build later.bst done".to_owned()), "{decision:?}: {builds:?}");
        assert_eq!(built.outcome.terminated, terminated);
        assert_eq!(built.outcome.failed.len(), 1);
    }
}

#[test]
fn many_elements() {
    let names: Vec<&'static str> =
        (0..200).map(|n| &*Box::leak(format!("e{n}.bst").into_boxed_str())).collect();
    let mut specs = vec![import("base.bst", &["bin/sh*=shell"])];
    specs.extend(names.iter().map(|&name| manual(name, &["build:base.bst"], &["put /install/x y"])));
    let world = World::new(&specs);
    let all: Vec<_> = names.iter().map(|name| world.id(name)).collect();
    let built = world.build_all(&all, BuildScope::Run);
    assert!(built.outcome.is_success());
    assert_eq!(built.builds().len(), 201);
    let again = world.build_all(&all, BuildScope::Run);
    assert_eq!(again.jobs(), Vec::<String>::new());
}

#[test]
fn what_takes_longest_goes_first() {
    let shell = || import("base.bst", &["bin/sh*=shell"]);
    let leaf = |name| manual(name, &["build:base.bst"], &["true"]);
    let specs = vec![
        shell(),
        leaf("a.bst"),
        leaf("b.bst"),
        leaf("c.bst"),
        manual("z.bst", &["build:base.bst", "build:c.bst"], &["true"]),
    ];
    let check = |known: &[(&str, u64)], expected: &[&str]| {
        let mut world = World::new(&specs);
        world.options.builders = 1;
        let seconds = |&(name, seconds): &(&str, u64)| (format!("demo/{name}"), Duration::from_secs(seconds));
        world.options.durations.remember(known.iter().map(seconds));
        let all = ["a.bst", "b.bst", "z.bst"].map(|name| world.id(name));
        // Otherwise it depends on the fetchers what can be built when.
        let every: Vec<_> = specs.iter().map(|spec| world.id(spec.name)).collect();
        assert!(world.session(|session| fetch(session, &every, Fetch::Staged).expect("asked")).is_success());
        let built = world.build_all(&all, BuildScope::Run);
        let expected: Vec<String> = expected.iter().map(|name| format!("build {name} done")).collect();
        assert_eq!(built.builds(), expected);
        assert_eq!(built.outcome.durations.len(), specs.len());
    };
    check(&[], &["base.bst", "c.bst", "a.bst", "b.bst", "z.bst"]);
    check(
        &[("b.bst", 9), ("c.bst", 1), ("z.bst", 2), ("a.bst", 1)],
        &["base.bst", "b.bst", "c.bst", "z.bst", "a.bst"],
    );
}

/// After this a test has failed that waits for others.
const PATIENCE: Duration = Duration::from_secs(120);

/// Commands that wait for each other: each goes on when `together` of them have begun, again and again.
struct Meeting {
    inner: Arc<dyn Executor>,
    together: usize,
    seen: Mutex<Seen>,
    begun: Condvar,
}

/// How many commands have begun, how many run, and how many ever did at a time.
#[derive(Default)]
struct Seen {
    begun: usize,
    running: usize,
    most: usize,
}

impl Executor for Meeting {
    fn execute(
        &self,
        execution: &Execution,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> ServiceResult<Executed> {
        let mut seen = self.seen.lock().expect("not poisoned");
        let turn = seen.begun / self.together + 1;
        (seen.begun, seen.running) = (seen.begun + 1, seen.running + 1);
        seen.most = seen.most.max(seen.running);
        self.begun.notify_all();
        let is_alone = |seen: &mut Seen| seen.begun < turn * self.together;
        let (mut seen, waited) =
            self.begun.wait_timeout_while(seen, PATIENCE, is_alone).expect("not poisoned");
        assert!(!waited.timed_out(), "{} commands have begun", seen.begun);
        seen.running -= 1;
        drop(seen);
        self.inner.execute(execution, log, cancel)
    }

    fn suspend(&self, _: bool) {}
}

#[test]
fn as_many_jobs_run_at_a_time_as_there_are_places() {
    const NAMES: [&str; 9] =
        ["a.bst", "b.bst", "c.bst", "d.bst", "e.bst", "f.bst", "g.bst", "h.bst", "i.bst"];
    let mut specs = vec![import("base.bst", &["bin/sh*=shell"])];
    specs.extend(NAMES.map(|name| manual(name, &["build:base.bst"], &["true"])));
    let mut world = World::new(&specs);
    let (inner, together) = (world.services.executor.clone(), 3);
    let meeting = Arc::new(Meeting { inner, together, seen: Mutex::default(), begun: Condvar::new() });
    world.services.executor = meeting.clone();
    world.options.builders = together;
    let built = world.build_all(&NAMES.map(|name| world.id(name)), BuildScope::Run);
    assert!(built.outcome.is_success());
    let seen = meeting.seen.lock().expect("not poisoned");
    assert_eq!((seen.begun, seen.running, seen.most), (NAMES.len(), 0, together));
}

#[test]
fn a_job_that_panics_fails_alone() {
    let mut specs = two_failures();
    specs[1] = manual("bad.bst", &["build:base.bst"], &["panic"]);
    specs[3] = manual("later.bst", &["build:base.bst", "build:good.bst"], &["true"]);
    let mut world = World::new(&specs);
    // Whoever does the others is the one who panicked.
    world.options.builders = 1;
    let built = world.build_all(&[world.id("bad.bst"), world.id("later.bst")], BuildScope::All);
    let mut builds = built.builds();
    builds.sort();
    let failed =
        builds.iter().position(|line| line.starts_with("build bad.bst failed: ")).expect("a failure");
    builds.remove(failed);
    assert_eq!(builds, ["build base.bst done", "build good.bst done", "build later.bst done"]);
    assert_eq!(built.outcome.failed.len(), 1);
}

/// Cannot stand that a job begins that is not the first.
struct Fragile;

impl Sink for Fragile {
    fn event(&self, event: Event) {
        assert!(!matches!(event, Event::JobStarted { job, .. } if job != JobId(1)), "no more");
    }

    fn failed(&self, _: JobId, _: &Subject, _: &Failure) -> Decision {
        Decision::Continue
    }
}

#[test]
fn a_run_ends_also_when_nobody_can_be_told_of_it() {
    let world = World::new(&two_failures());
    let files = Files::default();
    let (services, options) = (&world.services, &world.options);
    let session = Session::new(&world.plan, &files, services, options, &Fragile, &world.control);
    let all = ["bad.bst", "good.bst"].map(|name| world.id(name));
    let outcome = build(&session, &all, BuildScope::Run).expect("an outcome");
    let failure = outcome.last_failure.expect("a failure");
    assert_eq!(failure.detail.as_deref(), Some("no more"));
}
