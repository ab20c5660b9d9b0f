//! Builds are killed at any moment, two at a time on one cache that is too small for what they make, and objects are
//! damaged in between: what is built at last is what a fresh cache has.

use crate::env;
use bourn_testkit::{Random, TestEnv};
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Rounds of killing; more with the variable of that name.
const ROUNDS: &str = "BOURN_TEST_ROUNDS";

/// Elements that each make a few files of their own, and one that collects them.
const ELEMENTS: usize = 8;

/// The project, and a cache that may hold only half of what a few rounds make.
fn project() -> TestEnv {
    let env = env();
    env.configure("cache:\n  quota: 24M\n  reserved-disk-space: 1M\n  low-watermark: 50%\n");
    let mut files = String::from(
        "=== project.conf\nname: torture\nmin-version: 2.0\n(@): salt.yml\n=== base.bst\nkind: import\nsources:\n\
         - kind: local\n  path: files/base\n",
    );
    let mut names = Vec::new();
    for index in 0..ELEMENTS {
        // Every second element needs the one before it, so both layers and bare bases are staged.
        let below =
            if index % 2 == 1 { format!("base.bst, e{}.bst", index - 1) } else { "base.bst".to_owned() };
        files.push_str(&format!(
            "=== e{index}.bst\nkind: manual\nbuild-depends: [{below}]\nconfig:\n  install-commands:\n  \
             - mkdir -p %{{install-root}}/e{index}/sub\n  \
             - for i in $(seq 1 60); do echo %{{salt}} {index} $i > %{{install-root}}/e{index}/sub/$i; done\n  \
             - seq {index} 60000 > %{{install-root}}/e{index}/large-%{{salt}}\n  \
             - ln -s sub/1 %{{install-root}}/e{index}/link\n"
        ));
        names.push(format!("e{index}.bst"));
    }
    files.push_str(&format!("=== all.bst\nkind: compose\nbuild-depends: [{}]\n", names.join(", ")));
    env.files(&files);
    salt(&env, 0);
    tools(&env);
    env
}

/// A directory `files/base` of the project with what commands need.
pub(crate) fn tools(env: &TestEnv) {
    let bin = env.project().join("files/base/bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    std::fs::copy("/bin/busybox", bin.join("busybox"))
        .expect("busybox-static, which `cargo xtask test` installs");
    for name in ["sh", "echo", "seq", "mkdir", "ln", "sleep", "setsid"] {
        symlink("busybox", bin.join(name)).expect("a link");
    }
}

/// Makes all but the base new.
fn salt(env: &TestEnv, salt: u64) {
    std::fs::write(env.project().join("salt.yml"), format!("variables:\n  salt: round-{salt}\n"))
        .expect("a file");
}

fn start(env: &TestEnv) -> Child {
    let mut command = env.command(&["build", "all.bst"]);
    command.current_dir(env.project()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the program started")
}

/// Flips, truncates or deletes some objects behind the back of everybody.
fn damage(cache: &Path, random: &mut Random) -> usize {
    let mut objects = Vec::new();
    for prefix in std::fs::read_dir(cache.join("cas/objects")).expect("a directory").flatten() {
        objects.extend(
            std::fs::read_dir(prefix.path()).expect("a directory").flatten().map(|entry| entry.path()),
        );
    }
    objects.sort();
    let mut damaged = 0;
    for _ in 0..random.below(4) {
        let at = random.below(objects.len().max(1));
        let Some(path) = objects.get(at) else { break };
        let Ok(mut content) = std::fs::read(path) else { continue };
        damaged += 1;
        if random.below(3) == 0 {
            std::fs::remove_file(path).expect("a removal");
            continue;
        }
        match content.first_mut() {
            Some(first) if random.below(2) == 0 => *first ^= 1,
            _ => content.truncate(content.len() / 2),
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("a mode");
        std::fs::write(path, content).expect("a file");
    }
    damaged
}

/// What each element is, and the tree it made.
fn built(env: &TestEnv) -> BTreeSet<String> {
    env.run(&["build", "all.bst"]).success();
    let format = "%{name} %{full-key} %{state} %{artifact-cas-digest}";
    let names: Vec<String> = (0..ELEMENTS).map(|index| format!("e{index}.bst")).collect();
    // What all.bst needed may have gone again, for the cache is small; each on its own is there.
    let mut lines = BTreeSet::new();
    for name in names.iter().map(String::as_str).chain(["all.bst"]) {
        env.run(&["build", name]).success();
        let shown = env.run(&["show", "--deps", "none", "--format", format, name]).success().stdout;
        assert!(shown.contains(" cached "), "{shown}");
        lines.insert(shown);
    }
    lines
}

#[test]
#[expect(clippy::print_stderr, reason = "says how often something happened, for the notes of a release")]
fn killed_builds_lose_nothing() {
    let env = project();
    let mut random = Random(4711);
    let rounds = std::env::var(ROUNDS).ok().and_then(|count| count.parse().ok()).unwrap_or(8_u64);
    let (mut killed, mut damaged) = (0, 0);
    for round in 1..=rounds {
        salt(&env, round / 2);
        let builds = [start(&env), start(&env)];
        for mut build in builds {
            std::thread::sleep(Duration::from_millis(random.below(250) as u64));
            killed += usize::from(build.try_wait().expect("a status").is_none());
            let _ = build.kill();
            let output = build.wait_with_output().expect("an end");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_none_or(|status| status == 0), "round {round}: {said}");
        }
        damaged += damage(&env.cache(), &mut random);
        env.run(&["cache", "fsck"]);
        env.run(&["cache", "fsck"]).success();
    }
    assert!(killed > 0, "no build was killed");
    salt(&env, rounds / 2);
    let last = built(&env);
    assert_eq!(last, {
        let fresh = project();
        salt(&fresh, rounds / 2);
        built(&fresh)
    });
    env.run(&["cache", "fsck"]).success();
    let build = env.cache().join("build");
    let left: Vec<_> =
        std::fs::read_dir(&build).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let mounts = Command::new("cat").arg("/proc/self/mountinfo").output().expect("cat").stdout;
    let mounts = String::from_utf8_lossy(&mounts).into_owned();
    assert!(!mounts.contains(&*env.path().to_string_lossy()), "{mounts}");
    eprintln!("{rounds} rounds, {killed} builds killed, {damaged} objects damaged");
}
