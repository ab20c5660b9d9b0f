//! What builds leave.

use crate::project::{Spec, World, import, manual};
use bourn_build::event::{Action, MessageKind};
use bourn_build::run::BuildScope;

fn base() -> Spec {
    import("base.bst", &["bin/sh*=shell", "include/x.h=header", "etc/conf=1"])
        .public("bst:\n  integration-commands:\n  - put /etc/cache integrated\n")
}

fn hello() -> Spec {
    let commands = [
        "take bin/sh",
        "take etc/cache",
        "take build/demo/main.c",
        "log built",
        "put /install/bin/hello world",
    ];
    Spec { files: vec!["main.c=int"], ..manual("hello.bst", &["build:base.bst"], &commands) }
}

#[test]
fn a_stack_of_elements() {
    let stack =
        Spec { name: "all.bst", kind: "stack", ..Spec::default() }.depends(&["base.bst", "hello.bst"]);
    let world = World::new(&[base(), hello(), stack]);
    let built = world.build();
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    assert_eq!(built.builds(), ["build base.bst done", "build hello.bst done", "build all.bst done"]);
    assert_eq!(world.files("base.bst"), ["bin/sh*=shell", "etc/conf=1", "include/x.h=header"]);
    assert_eq!(world.files("hello.bst"), ["bin/hello=world"]);
    assert_eq!(world.files("all.bst"), Vec::<String>::new());
    let artifact = world.artifact("hello.bst").expect("an artifact");
    assert!(artifact.build_success && artifact.version == 2);
    assert_eq!(artifact.build_error, "succeeded");
    let dependencies = artifact.dependencies().expect("well-formed");
    assert_eq!(dependencies.len(), 1);
    assert_eq!(dependencies[0].element_name, "base.bst");
    assert!(artifact.buildtree.is_none() && artifact.buildroot.is_none() && artifact.buildsandbox.is_none());
}

#[test]
fn built_again_nothing_is_done() {
    let world = World::new(&[base(), hello()]);
    world.build();
    let again = world.build();
    assert!(again.outcome.is_success());
    assert_eq!(again.jobs(), Vec::<String>::new());
    assert_eq!(again.passed(Action::Fetch), ["hello.bst"]);
    assert_eq!(again.passed(Action::Build), ["hello.bst"]);
}

#[test]
fn the_log_tells_what_happened() {
    let world = World::new(&[base(), hello()]);
    world.build();
    let log = world.log("hello.bst");
    let lines: Vec<&str> = log.lines().collect();
    let key = &world.artifact("hello.bst").expect("an artifact").strong_key[..8];
    let below = &world.artifact("base.bst").expect("an artifact").strong_key[..8];
    let start = |text: &str| format!("[--:--:--] START   [{key}] hello.bst: {text}");
    let end = |text: &str| format!("[00:00:00] SUCCESS [{key}] hello.bst: {text}");
    let expected = [
        start("Build"),
        format!("[--:--:--] LOG     [{key}] hello.bst: Build environment for element hello.bst"),
        String::new(),
        "    PATH: /bin".into(),
        "    A: 1".into(),
        start("Staging dependencies at: /"),
        format!("[--:--:--] STATUS  [{below}] base.bst: Staging base.bst/{below}"),
        end("Staging dependencies at: /"),
        start("Integrating sandbox"),
        "[--:--:--] START   hello.bst: Running commands".into(),
        String::new(),
        "    put /etc/cache integrated".into(),
        "[00:00:00] SUCCESS hello.bst: Running commands".into(),
        end("Integrating sandbox"),
        start("Staging sources"),
        end("Staging sources"),
        "[--:--:--] START   hello.bst: Running commands".into(),
        String::new(),
        "    take bin/sh".into(),
        "    take etc/cache".into(),
        "    take build/demo/main.c".into(),
        "    log built".into(),
        "    put /install/bin/hello world".into(),
        "built".into(),
        "[00:00:00] SUCCESS hello.bst: Running commands".into(),
        start("Caching artifact"),
    ];
    assert!(lines[0].starts_with("bourn "), "{}", lines[0]);
    assert_eq!(lines[1..], expected);
}

#[test]
fn integration_is_done_once_for_many() {
    let other = |name| manual(name, &["build:base.bst"], &["take etc/cache", "put /install/x y"]);
    let world = World::new(&[base(), other("a.bst"), other("b.bst"), hello()]);
    let all = [world.id("a.bst"), world.id("b.bst"), world.id("hello.bst")];
    let built = world.build_all(&all, BuildScope::Run);
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    let runs = world.take_runs();
    assert_eq!(runs.iter().filter(|script| script.contains("put /etc/cache")).count(), 1);
    assert_eq!(runs.len(), 4);
}

#[test]
fn commands_for_running_are_left_out_of_builds() {
    let base = base().public(
        "bst:\n  integration-commands:\n  - put /etc/cache integrated\n  - put /etc/icons integrated\n\
         bourn:\n  run-time-integration-commands:\n  - put /etc/icons integrated\n",
    );
    let compose =
        Spec { name: "composed.bst", kind: "compose", ..Spec::default() }.depends(&["build:base.bst"]);
    let world = World::new(&[base, hello(), compose]);
    let built = world.build_all(&[world.id("hello.bst"), world.id("composed.bst")], BuildScope::Run);
    assert!(built.outcome.is_success(), "{:?}", built.jobs());
    let composed = world.files("composed.bst");
    assert!(composed.iter().any(|file| file == "etc/icons=integrated"), "{composed:?}");
    let runs = world.take_runs();
    let icons = |script: &&String| script.contains("/etc/icons");
    assert_eq!(runs.iter().filter(|script| script.contains("/etc/cache")).count(), 2, "{runs:?}");
    assert_eq!(runs.iter().filter(icons).count(), 1, "{runs:?}");
}

#[test]
fn compositions() {
    let compose = |config: &str| {
        Spec { name: "composed.bst", kind: "compose", ..Spec::default() }
            .depends(&["build:base.bst", "build:hello.bst"])
            .config(config)
    };
    let check = |config: &str, files: &[&str]| {
        let world = World::new(&[base(), hello(), compose(config)]);
        let built = world.build();
        assert!(built.outcome.is_success(), "{:?}", built.jobs());
        assert_eq!(world.files("composed.bst"), files);
        built
    };
    check(
        "{}",
        &[
            "bin/hello=world",
            "bin/sh*=shell",
            "dev/",
            "etc/cache=integrated",
            "etc/conf=1",
            "include/x.h=header",
            "proc/",
            "tmp/",
        ],
    );
    let built = check(
        "include: [runtime]\ninclude-orphans: False",
        &["bin/hello=world", "bin/sh*=shell", "dev/", "etc/cache=integrated", "proc/", "tmp/"],
    );
    let said: Vec<String> = built.messages(MessageKind::Info).into_iter().map(|(text, _)| text).collect();
    assert_eq!(said, ["Integration added 4 and removed 0 files", "Composing 6 files"]);
    // `/bin` itself is claimed by no domain: an orphan that stays.
    check("integrate: False\nexclude: [runtime]", &["bin/", "etc/conf=1", "include/x.h=header"]);
}

#[test]
fn filters() {
    let filter = |config: &str| {
        Spec { name: "filtered.bst", kind: "filter", ..Spec::default() }
            .depends(&["build:base.bst"])
            .config(config)
    };
    let world = World::new(&[base(), filter("include: [devel]\npass-integration: True")]);
    assert!(world.build().outcome.is_success());
    assert_eq!(world.files("filtered.bst"), ["include/x.h=header"]);
    let public =
        world.artifact("filtered.bst").and_then(|artifact| artifact.public_data).expect("public data");
    let public = world.cas.read(&(&public).try_into().expect("a digest")).expect("there");
    assert!(String::from_utf8_lossy(&public).contains("- put /etc/cache integrated"));
    let world = World::new(&[base(), filter("include: [devel, unheard-of]")]);
    let built = world.build();
    assert_eq!(
        built.builds(),
        ["build base.bst done", "build filtered.bst failed: Unknown domains declared."]
    );
}
