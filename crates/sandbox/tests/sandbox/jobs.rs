//! The jobserver that all sandboxes share, with the `make` of this machine.

use crate::bench::{Bench, DIRECTORY};
use bourn_reapi::services::{Execution, HostMount};
use bourn_reapi::{Cas, EnvironmentVariable};

/// Twelve targets; each notes how many of all sandboxes are being made. Until there have been `NEED` at a time, each
/// waits for the others, for a minute at most, so that slow machines get there too.
const MAKEFILE: &str = "\
TARGETS = 1 2 3 4 5 6 7 8 9 10 11 12
all: $(TARGETS)
$(TARGETS):
\t@touch /shared/$(NAME)-$@; waited=0; \\
\twhile count=$$(ls /shared | grep -c .); [ $$count -lt $(NEED) ] && [ ! -e /shared/.seen ] && [ $$waited -lt 600 ]; do \\
\t\tsleep 0.1; waited=$$((waited + 1)); \\
\tdone; \\
\ttouch /shared/.seen; echo $$count; sleep 0.1; ls /shared | grep -c .; rm /shared/$(NAME)-$@
";

fn with_flags(mut execution: Execution, flags: &str) -> Execution {
    let flags = EnvironmentVariable { name: "MAKEFLAGS".into(), value: flags.into() };
    execution.command.environment_variables.push(flags);
    execution
}

/// Has two sandboxes make everything at a time, with eight processes each if they may; the most that were seen, which
/// ought to be `need` at least.
fn most(bench: &Bench, need: u32) -> u32 {
    let shared = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let mount = HostMount { host: shared.path().into(), path: "/shared".into(), writable: true };
    let make = |name: &str| {
        let script = format!("printf '%s' \"$FILE\" >Makefile; make NAME={name} NEED={need}");
        let mut execution = with_flags(bench.execution(&script), "-j8");
        let file = EnvironmentVariable { name: "FILE".into(), value: MAKEFILE.into() };
        execution.command.environment_variables.push(file);
        execution.mounts = vec![mount.clone()];
        let (executed, log) = bench.execute(&execution).expect("the sandbox works");
        assert_eq!(executed.exit_code, 0, "{log}");
        assert!(!log.contains("jobserver"), "make complains: {log}");
        let counts: Vec<u32> = log.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(counts.len(), 24, "{log}");
        counts.into_iter().max().expect("a count")
    };
    std::thread::scope(|scope| {
        let make = &make;
        let other = scope.spawn(move || make("a"));
        make("b").max(other.join().expect("the other sandbox"))
    })
}

#[test]
fn make_shares_jobs_with_other_sandboxes() {
    // A sandbox begins even where no byte is left for it, so there may be one more for each that came late.
    let limit = 3 + 1;
    let alone = most(&Bench::new(), limit + 1);
    assert!(alone > limit, "without a jobserver each makes eight at a time, but there were {alone} in all");
    let bench = Bench::sharing(3);
    for round in ["first", "when all were put back"] {
        let shared = most(&bench, 3);
        assert!((3..=limit).contains(&shared), "there were {shared} at a time, {round}");
    }
}

#[test]
fn what_knows_names_is_given_one() {
    let bench = Bench::sharing(2);
    let mut root = (*bench.store.directory(&bench.tools).expect("the tools")).clone();
    let node = root.directories.iter_mut().find(|node| node.name == "bin").expect("programs");
    let mut bin = (*bench.store.directory(&node.content().expect("a digest")).expect("programs")).clone();
    bin.files.retain(|node| node.name != "make");
    node.digest = Some(bench.store.write_directory(&bin).expect("programs").into());
    let script = "echo \"$MAKEFLAGS\"; exec 7<>/dev/jobserver; dd bs=1 count=1 status=none <&7";
    let mut execution = with_flags(bench.execution(script), "-j8");
    execution.input_root = bench.store.write_directory(&root).expect("a tree");
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!((executed.exit_code, log.as_str()), (0, "-j8 --jobserver-auth=fifo:/dev/jobserver\n+"));
    // What the command took with it is there again.
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!((executed.exit_code, log.lines().last()), (0, Some("+")));
}

#[test]
fn builds_that_are_not_parallel_are_left_alone() {
    let bench = Bench::sharing(2);
    let script = "echo \"$MAKEFLAGS\"; ls /dev | grep -c jobserver || true";
    let (_, log) = bench.execute(&with_flags(bench.execution(script), "-j1")).expect("the sandbox works");
    assert_eq!(log, "-j1\n0\n");
    assert_eq!(bench.lines(script), ["", "0"]);
    let bench = Bench::new();
    let (_, log) = bench.execute(&with_flags(bench.execution(script), "-j4")).expect("the sandbox works");
    assert_eq!(log, "-j4\n0\n");
}
