//! How sandboxes end: nothing of them lives on, whatever they or their makers do.

use crate::bench::{Bench, eventually, is_running};
use bourn_reapi::Executor;
use bourn_reapi::services::{Cancel, ErrorKind};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A word that no other process has in its command line, and a valid time to sleep.
fn word() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}.{:06}{:03}", 86400, std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn background_processes_end_with_the_command() {
    let bench = Bench::new();
    let word = word();
    // One in the background that holds the output, one that has left the session, one that ignores signals.
    let script = format!(
        "sleep {word} & setsid sleep {word} > /dev/null & sh -c 'trap \"\" TERM HUP INT; while :; do sleep {word}; done' & \
         while ! grep -q . /proc/[5-9]*/cmdline; do :; done; echo done"
    );
    assert_eq!(bench.run(&script), (0, "done\n".into()));
    assert!(!is_running(&word));
}

#[test]
fn orphans_are_reaped() {
    // Whoever has just ended may be seen before it is reaped; who is not reaped at all is seen for good.
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0 & exit' ; done; rounds=0; \
                  while ps -e -o stat= | grep -q Z || ps -e -o comm= | grep -q sleep; do \
                  rounds=$((rounds + 1)); [ $rounds -lt 300 ] || { ps -e -o pid=,stat=,comm=; exit 1; }; sleep 0.1; done; echo none";
    assert_eq!(Bench::new().lines(script), ["none"]);
}

#[test]
fn a_cancelled_command_ends_at_once() {
    let bench = Bench::new();
    let word = word();
    let cancel = Cancel::default();
    let execution = bench.execution(&format!("trap '' TERM INT; setsid sleep {word} & sleep {word}"));
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| bench.executor.execute(&execution, &mut std::io::sink(), &cancel));
        eventually("the command runs", || is_running(&word));
        cancel.cancel();
        running.join().expect("no panic").expect_err("it was cancelled")
    });
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(!is_running(&word));
    assert_eq!(bench.run("ls -A . /out").1, ".:\n\n/out:\n");
}

#[test]
fn a_cancelled_execution_does_not_begin() {
    let bench = Bench::new();
    let cancel = Cancel::default();
    cancel.cancel();
    let error = bench.executor.execute(&bench.execution("true"), &mut std::io::sink(), &cancel);
    assert_eq!(error.expect_err("it was cancelled").kind, ErrorKind::Cancelled);
}

#[test]
fn a_log_that_cannot_be_written_ends_the_command() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let word = word();
    let execution = bench.execution(&format!("echo x; sleep {word}"));
    let error =
        bench.executor.execute(&execution, &mut Full, &Cancel::default()).expect_err("the log is full");
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert!(!is_running(&word));
}

#[test]
fn all_output_arrives() {
    let (status, log) = Bench::new().run("seq 200000; echo error >&2; (sleep 0.1; echo late) & wait");
    assert_eq!((status, log.len()), (0, 1_288_895 + 6 + 5));
    assert!(log.ends_with("200000\nerror\nlate\n"));
}

#[test]
fn suspended_commands_stand_still() {
    let bench = Bench::new();
    let word = word();
    let script = format!(
        "sleep {word} & while :; do echo; done > /dev/null & while [ ! -e go ]; do sleep 0.01; done; echo went"
    );
    let mut execution = bench.execution(&script);
    let shared = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    execution.mounts = vec![bourn_reapi::services::HostMount {
        host: shared.path().to_owned(),
        path: "/work/here/shared".into(),
        writable: true,
    }];
    execution.command.arguments[3] = script.replace("-e go", "-e shared/go");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| bench.execute(&execution).expect("the sandbox works"));
        eventually("the command runs", || is_running(&word));
        bench.executor.suspend(true);
        // Who waits for a child that is about to execute a program (`D`) cannot be stopped, but does not run either.
        eventually("all of it is stopped", || states(&word).iter().all(|state| ['T', 'D'].contains(state)));
        std::fs::write(shared.path().join("go"), "").expect("the sign to go on");
        std::thread::sleep(Duration::from_millis(50));
        assert!(!running.is_finished());
        bench.executor.suspend(false);
        assert_eq!(running.join().expect("no panic").1, "went\n");
    });
}

/// The states of all processes in the session of the one with that word.
fn states(word: &str) -> Vec<char> {
    let stats: Vec<(String, Vec<String>)> = std::fs::read_dir("/proc")
        .expect("/proc can be read")
        .flatten()
        .filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
            Some((String::from_utf8_lossy(&line).into_owned(), fields))
        })
        .collect();
    let session = stats
        .iter()
        .find(|(line, _)| line.split('\0').any(|argument| argument == word))
        .map(|(_, fields)| &fields[3]);
    stats
        .iter()
        .filter(|(_, fields)| Some(&fields[3]) == session)
        .filter_map(|(_, fields)| fields[0].chars().next())
        .collect()
}

#[test]
fn a_killed_maker_takes_its_sandboxes_along() {
    kill_a_maker(None);
}

/// With the maker ends whoever answers the kernel about the trees of its sandboxes.
#[test]
fn a_killed_maker_takes_its_served_trees_along() {
    match Bench::new().executor.facts().served {
        Ok(()) => kill_a_maker(Some("served")),
        Err(error) => println!("not tested, because trees cannot be served here: {error}"),
    }
}

/// Kills a process that has two sandboxes, in the way of another machine if one is named.
fn kill_a_maker(machine: Option<&str>) {
    let word = word();
    let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    let mut maker = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "end::maker_that_is_killed", "--ignored", "--nocapture"])
        .env("BOURN_SANDBOX_WORD", &word)
        .env("BOURN_SANDBOX_BUILD", directory.path().join("build"))
        .env("BOURN_SANDBOX_TESTS", directory.path().join("files"))
        .envs(machine.map(|machine| ("BOURN_SANDBOX_MACHINE", machine)))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .process_group(0)
        .spawn()
        .expect("this program runs");
    eventually("two sandboxes run", || running_with(&word) >= 8);
    maker.kill().expect("it is killed");
    maker.wait().expect("it has ended");
    eventually("nothing runs any more", || running_with(&word) == 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("what is mounted here");
    let place = directory.path().display().to_string();
    assert!(!mounts.contains(&place), "{mounts}");
    // Whoever comes next finds everything in order, and what was left is gone.
    let bench = Bench::in_directory(directory.path().join("build"));
    assert_eq!(bench.run("ls -A . /out /"), (0, bench.run("ls -A . /out /").1));
    let names = |bench: &Bench| {
        let entries = std::fs::read_dir(&bench.build).expect("readable").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert!(!names(&bench).iter().any(|name| name.starts_with("bourn-")), "{:?}", names(&bench));
}

/// How many processes have this word in their command lines.
fn running_with(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("/proc can be read");
    let has_it = |line: Vec<u8>| String::from_utf8_lossy(&line).contains(word);
    processes.flatten().filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(has_it)).count()
}

#[test]
#[ignore = "is started and killed by a test"]
fn maker_that_is_killed() {
    let word = std::env::var("BOURN_SANDBOX_WORD").expect("given by the test");
    let bench =
        Bench::in_directory(std::env::var_os("BOURN_SANDBOX_BUILD").expect("given by the test").into());
    // When the test itself is killed, nobody is left to kill this.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(1);
    });
    // Somebody is always at the tree that may be served, in ways that the kernel has not asked about yet.
    let script = format!(
        "echo x > f; mkdir d; chmod 000 d; mkdir -p /out; echo y > /out/g; \
         (number=0; while :; do number=$((number + 1)); test ! -e /bin/{word}.$number; done) & \
         setsid sleep {word} & sleep {word}; exit 1"
    );
    let mut everywhere = bench.execution(&script);
    everywhere.root_read_only = false;
    everywhere.writable = vec!["/".into()];
    std::thread::scope(|scope| {
        scope.spawn(|| bench.execute(&everywhere));
        scope.spawn(|| bench.run(&script));
    });
}

#[test]
fn a_killed_spawner_is_replaced() {
    let bench = Bench::new();
    assert_eq!(bench.run("echo one").1, "one\n");
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if stat.contains("(bourn-spawner)")
            && stat.split(") ").nth(1).and_then(|rest| rest.split(' ').nth(1)) == Some(&own)
        {
            // Those of other tests are hit too; they do not notice either.
            let name = entry.file_name().to_string_lossy().parse().expect("a number");
            let pid = rustix::process::Pid::from_raw(name).expect("a process");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    assert_eq!(bench.run("echo two").1, "two\n");
}

#[test]
fn many_sandboxes_at_once() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        let each = |number: u32| {
            let bench = &bench;
            move || {
                for round in 0..5 {
                    let text = format!("{number}-{round}");
                    let script = format!("ls -A . /out; echo {text} > /out/f; cp /out/f /tmp/f; cat /tmp/f");
                    let (executed, log) =
                        bench.execute(&bench.execution(&script)).expect("the sandbox works");
                    assert_eq!(log, format!(".:\n\n/out:\n{text}\n"));
                    assert_eq!(bench.list(executed.outputs[0]), [format!("f {text}")]);
                }
            }
        };
        (0..8).for_each(|number| {
            scope.spawn(each(number));
        });
    });
}
