//! Checkouts, shells and states.

use crate::project::{Spec, World, import, manual};
use bourn_build::checkout::{assert_sources_cached, checkout, sources};
use bourn_build::fetch::Fetch;
use bourn_build::order::{Scope, closure};
use bourn_build::run;
use bourn_build::session::Query;
use bourn_build::shell::{
    Openness, ShellCommand, ShellMount, build_sandbox, enter, left_sandbox, runtime_sandbox,
};
use bourn_reapi::ArtifactName;
use bourn_testkit::memory::listing;

fn specs() -> Vec<Spec> {
    let commands = ["take etc/cache", "put /install/bin/hello world"];
    vec![
        import("base.bst", &["bin/sh*=shell"])
            .public("bst:\n  integration-commands:\n  - put /etc/cache integrated\n"),
        import("lib.bst", &["lib/x=1"]),
        Spec {
            files: vec!["main.c=int"],
            ..manual("hello.bst", &["build:base.bst", "run:lib.bst"], &commands)
        },
    ]
}

#[test]
fn checkouts() {
    let world = World::new(&specs());
    assert!(world.build().outcome.is_success());
    let check = |scope: Scope, integrated: bool, expected: &[&str]| {
        world.session(|session| {
            let id = world.id("hello.bst");
            let elements = closure(&world.plan, id, scope);
            session.query(&[elements.clone(), vec![id]].concat(), Query::Artifacts).expect("asked");
            let about = &session.pieces(&[id]).expect("cached")[0];
            let pieces = session.pieces(&elements).expect("cached");
            let tree =
                checkout(session, &session.main_job(id), about.into(), &pieces, integrated).expect("staged");
            assert_eq!(listing(&world.cas, &tree), expected, "{scope:?}");
        });
    };
    check(Scope::None, true, &["bin/hello=world"]);
    check(Scope::Run, true, &["bin/hello=world", "lib/x=1"]);
    check(Scope::Build, false, &["bin/sh*=shell"]);
    check(Scope::Build, true, &["bin/sh*=shell", "dev/", "etc/cache=integrated", "proc/", "tmp/"]);
    check(Scope::All, false, &["bin/hello=world", "bin/sh*=shell", "lib/x=1"]);
}

#[test]
fn artifacts_by_name() {
    let world = World::new(&specs());
    world.build();
    let strong = world.artifact("hello.bst").expect("an artifact").strong_key;
    world.session(|session| {
        let name = ArtifactName::new("demo", "hello.bst", &strong);
        let piece = session.named_piece(&name).expect("asked").expect("there");
        let below = session.built_upon(&name).expect("asked");
        let below: Vec<_> =
            below.iter().map(|name| session.named_piece(name).expect("asked").expect("there")).collect();
        let tree = checkout(session, &session.program_job(), (&piece).into(), &below, true).expect("staged");
        assert_eq!(
            listing(&world.cas, &tree),
            ["bin/sh*=shell", "dev/", "etc/cache=integrated", "proc/", "tmp/"]
        );
    });
}

#[test]
fn sources_are_checked_out_once_fetched() {
    let world = World::new(&specs());
    world.session(|session| {
        let id = world.id("hello.bst");
        assert_eq!(
            sources(session, id).expect_err("not staged").failure.reason.as_deref(),
            Some("uncached-sources")
        );
        assert!(run::fetch(session, &[id], Fetch::Staged).expect("asked").is_success());
        assert_sources_cached(session, &session.program_job(), &[id]).expect("there");
        assert_eq!(listing(&world.cas, &sources(session, id).expect("staged")), ["main.c=int"]);
    });
}

#[test]
fn states() {
    let world = World::new(&specs());
    let check = |cached: [bool; 3], buildable: [bool; 3]| {
        world.session(|session| {
            let all = [world.id("base.bst"), world.id("lib.bst"), world.id("hello.bst")];
            session.require(&all, true, Query::Artifacts).expect("asked");
            let states = session.states();
            assert_eq!(all.map(|id| states.get(id).artifact.success().is_some()), cached);
            assert_eq!(all.map(|id| states.is_buildable(id)), buildable);
        });
    };
    check([false; 3], [true, true, false]);
    world.build_all(&[world.id("base.bst")], run::BuildScope::Run);
    check([true, false, false], [false, true, true]);
    world.build();
    check([true; 3], [false; 3]);
}

fn command(open: Option<Openness>) -> ShellCommand {
    ShellCommand {
        arguments: ["sh", "-c", "-e", "(set -ex; take lib/x) || (echo"].map(str::to_owned).to_vec(),
        prompt: Some("$ ".into()),
        open,
    }
}

#[test]
fn shells() {
    let world = World::new(&specs());
    world.session(|session| {
        let id = world.id("hello.bst");
        let error =
            runtime_sandbox(session, &session.main_job(id), &[id]).map(drop).expect_err("nothing is built");
        assert_eq!(error.failure.reason.as_deref(), Some("shell-missing-deps"));
        assert_eq!(error.failure.detail.as_deref(), Some("lib.bst\nhello.bst"));
    });
    world.build();
    world.session(|session| {
        let (id, base) = (world.id("hello.bst"), world.id("base.bst"));
        session.query(&[base, world.id("lib.bst"), id], Query::All).expect("asked");
        let job = session.main_job(id);
        let sandbox = runtime_sandbox(session, &job, &[id]).expect("staged");
        let error = enter(session, &job, sandbox, &command(None)).expect_err("no shell");
        assert_eq!(error.failure.message, "Staged artifacts do not provide command 'sh'");
        let sandbox = runtime_sandbox(session, &job, &[id, base]).expect("staged");
        assert_eq!(enter(session, &job, sandbox, &command(None)).expect("entered"), 0);
        let sandbox = build_sandbox(session, &job, id).expect("staged");
        assert!(sandbox.root.tree.entry("build/demo/main.c").expect("asked").is_some());
        assert_eq!(enter(session, &job, sandbox, &command(None)).expect("entered"), 1, "no library there");
        let error = left_sandbox(session, &job, &session.pieces(&[id]).expect("cached")[0])
            .map(drop)
            .expect_err("none");
        assert_eq!(
            error.failure.reason.as_deref(),
            Some("missing-buildtree-artifact-created-without-buildtree")
        );
    });
}

#[test]
fn open_shells_see_the_host() {
    let mut world = World::new(&specs());
    world.options.cache_build_trees = bourn_build::options::CacheBuildTrees::Always;
    world.build();
    world.session(|session| {
        let id = world.id("hello.bst");
        session.query(&[id], Query::Artifacts).expect("asked");
        let job = session.main_job(id);
        let sandbox =
            left_sandbox(session, &job, &session.pieces(&[id]).expect("cached")[0]).expect("staged");
        assert_eq!(sandbox.marked, ["/build/demo", "/install"]);
        assert_eq!(sandbox.working_directory(), "/build/demo");
        let mount =
            |host: &str, path: &str| ShellMount { host: host.into(), path: path.into(), optional: true };
        let open = Openness {
            mounts: vec![mount("/dev/null", "/lib/x"), mount("/does/not/exist", "/y")],
            environment: vec![("A".into(), "2".into())],
            user: (7, 8),
        };
        assert_eq!(enter(session, &job, sandbox, &command(Some(open))).expect("entered"), 0);
    });
}
