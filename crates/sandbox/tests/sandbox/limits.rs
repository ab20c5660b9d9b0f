//! What happens when something runs out, or is not allowed: an error that says so, and nothing lost.

use crate::bench::Bench;
use bourn_reapi::Executor;
use bourn_reapi::services::{Cancel, ErrorKind};
use std::process::Command;

/// Runs a function of this program, an ignored test, in a user namespace where a shell has first run `before`.
fn in_a_namespace(test: &str, before: &str) {
    in_namespaces(&["-Urm"], test, before);
}

/// The same in those namespaces that `unshare` makes with these options.
fn in_namespaces(options: &[&str], test: &str, before: &str) {
    let program = std::env::current_exe().expect("this program");
    let script = format!("{before}; exec \"$0\" --exact {test} --ignored --nocapture --test-threads=1");
    let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    let output = Command::new("unshare")
        .args(options)
        .args(["sh", "-e", "-c", &script])
        .arg(program)
        .env("BOURN_SANDBOX_TESTS", directory.path())
        .output()
        .expect("unshare runs");
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
fn without_user_namespaces_there_is_a_cure() {
    in_a_namespace("limits::no_more_user_namespaces", "echo 0 > /proc/sys/user/max_user_namespaces");
}

#[test]
#[ignore = "runs where user namespaces are switched off"]
fn no_more_user_namespaces() {
    let bench = Bench::new();
    let error = bench.execute(&bench.execution("true")).expect_err("there are no user namespaces");
    assert_eq!(error.kind, ErrorKind::Sandbox);
    assert!(error.message.contains("user.max_user_namespaces"), "{error:?}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("sysctl")), "{error:?}");
    assert_eq!(bench.executor.facts().sandboxes.expect_err("it is known").message, error.message);
}

#[test]
fn the_machine_is_known() {
    let facts = Bench::new().executor.facts();
    facts.sandboxes.expect("sandboxes work here, or else the other tests fail too");
    facts.overlays.expect("overlays work here");
    assert!(facts.kernel.contains('.'));
}

#[test]
fn other_limits_of_namespaces_are_named() {
    for name in ["net", "mnt", "pid", "cgroup"] {
        let before = format!("echo 0 > /proc/sys/user/max_{name}_namespaces");
        in_a_namespace("limits::a_kind_of_namespaces_is_used_up", &before);
    }
}

#[test]
#[ignore = "runs where a kind of namespaces is switched off"]
fn a_kind_of_namespaces_is_used_up() {
    let bench = Bench::new();
    let error = bench.execute(&bench.execution("true")).expect_err("there are no such namespaces");
    assert_eq!(error.kind, ErrorKind::Sandbox);
    assert!(error.message.contains("limit of namespaces"), "{error:?}");
}

#[test]
fn a_full_disk_is_named() {
    in_a_namespace(
        "limits::the_disk_is_small",
        "mkdir -p \"$BOURN_SANDBOX_TESTS\"/small; mount -t tmpfs -o size=64k,nr_inodes=400 small \"$BOURN_SANDBOX_TESTS\"/small",
    );
}

#[test]
#[ignore = "runs where a small disk is mounted"]
fn the_disk_is_small() {
    let bench = Bench::in_directory(crate::bench::DIRECTORY.join("small/build"));
    // The command sees it and fails; who asked for it is told too.
    let (status, log) = bench.run("dd if=/dev/zero of=/out/big bs=4k count=100");
    assert_ne!(status, 0);
    assert!(log.contains("No space left on device"), "{log}");
    assert!(log.contains("bourn: ") && log.contains("small/build"), "{log}");
    // And there is room again afterwards.
    bench.executor.suspend(false);
    let mut tries = 0;
    while bench.run("dd if=/dev/zero of=/out/small bs=4k count=4").0 != 0 {
        tries += 1;
        assert!(tries < 100);
    }
    // Sources that do not fit.
    let content = "x".repeat(100 << 10);
    let mut execution = bench.execution("true");
    execution.input_root = bench.tools_with(&[("work/here/big", &content)]);
    let error = bench.execute(&execution).expect_err("they do not fit");
    assert_eq!(error.kind, ErrorKind::NoSpace, "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
    assert_eq!(bench.run("echo fine").1, "fine\n");
}

#[test]
fn too_many_processes_are_named() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: the superuser has no such limit; `again` tries this as another user");
    }
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", "limits::processes_run_out", "--ignored", "--nocapture", "--test-threads=1"];
    let output = Command::new(program).args(arguments).output().expect("this program runs");
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "limits itself"]
fn processes_run_out() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Nproc, Rlimit { current: Some(300), maximum: Some(300) }).expect("a limit");
    let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    let bench = Bench::in_directory(directory.path().join("build"));
    let (status, log) = bench.run("while :; do sleep 100 & done");
    assert_ne!(status, 0);
    assert!(log.contains("Cannot fork") || log.contains("esource temporarily unavailable"), "{log}");
    assert!(log.contains("bourn: ") && log.contains("limit of processes"), "{log}");
    assert_eq!(bench.run("echo fine").1, "fine\n");
}

/// Whoever is not limited, as the superuser, uses up the numbers that processes can have. Here they are those of a pid
/// namespace, which has its own limit since Linux 6.14.
#[test]
fn too_many_processes_are_named_where_nobody_is_limited() {
    // Before that the superuser would change it for the whole machine.
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    if (numbers.next().unwrap_or(0_u32), numbers.next().unwrap_or(0_u32)) < (6, 14) {
        return println!("not tested: this kernel has one limit for the whole machine");
    }
    let few = "echo 400 > /proc/sys/kernel/pid_max";
    in_namespaces(&["-Urmpf", "--mount-proc"], "limits::numbers_of_processes_run_out", few);
}

#[test]
#[ignore = "runs where there are few numbers for processes"]
fn numbers_of_processes_run_out() {
    let bench = Bench::new();
    let (status, log) = bench.run("while :; do sleep 100 & done");
    assert_ne!(status, 0);
    assert!(log.contains("Cannot fork") || log.contains("esource temporarily unavailable"), "{log}");
    assert!(log.contains("bourn: ") && log.contains("limit of processes"), "{log}");
    assert_eq!(bench.run("echo fine").1, "fine\n");
}

#[test]
fn a_broken_layout_is_an_error_and_no_more() {
    let bench = Bench::new();
    let mut execution = bench.execution("true");
    execution.writable.push("/bin/sh".into());
    let error = bench.execute(&execution).expect_err("a file cannot be a directory");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("`sh`"), "{error:?}");
    let mut execution = bench.execution("true");
    execution.command.arguments.clear();
    assert_eq!(bench.execute(&execution).expect_err("nothing to do").kind, ErrorKind::Invalid);
    for text in ["a\0b", "\0"] {
        let mut execution = bench.execution("true");
        execution.command.arguments.push(text.into());
        assert_eq!(bench.execute(&execution).expect_err("a zero byte").kind, ErrorKind::Invalid);
        let mut execution = bench.execution("true");
        execution.writable.push(format!("/{text}"));
        assert_eq!(bench.execute(&execution).expect_err("a zero byte").kind, ErrorKind::Invalid);
    }
    let mut execution = bench.execution("true");
    execution.input_root = bourn_reapi::Digest::of(b"nothing that is in the store");
    assert_eq!(bench.execute(&execution).expect_err("no such tree").kind, ErrorKind::Missing);
    assert_eq!(bench.run("echo fine").1, "fine\n");
    assert!(
        bench.executor.execute(&bench.execution("true"), &mut std::io::sink(), &Cancel::default()).is_ok()
    );
}

#[test]
fn long_arguments_are_passed_or_refused_by_the_kernel() {
    let bench = Bench::new();
    let mut execution = bench.execution("echo ${#1} $#");
    execution.command.arguments.extend(["sh".into(), "x".repeat(100_000)]);
    execution.command.arguments.extend(std::iter::repeat_n("y".into(), 10_000));
    assert_eq!(bench.execute(&execution).expect("the sandbox works").1, "100000 10001\n");
    execution.command.arguments.push("z".repeat(200_000));
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 126);
    assert!(log.contains("rgument list too long"), "{log}");
}
