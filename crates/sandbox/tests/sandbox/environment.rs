//! What a command finds around itself: what `bst` gives it, taken from runs of `bst` 2.8.1.

use crate::bench::Bench;
use bourn_reapi::EnvironmentVariable;

#[test]
fn a_command_runs_and_its_output_is_collected() {
    let bench = Bench::new();
    let script = "id -u; id -g; pwd; mkdir /out/bin; echo hello > /out/bin/a; ln -s a /out/bin/b; chmod 755 /out/bin/a";
    let (executed, log) = bench.execute(&bench.execution(script)).expect("the sandbox works");
    assert_eq!((executed.exit_code, log.as_str()), (0, "0\n0\n/work/here\n"));
    assert_eq!(bench.list(executed.outputs[0]), ["bin/", "bin/a* hello", "bin/b -> a"]);
}

#[test]
fn the_status_of_the_command_is_passed_on() {
    let bench = Bench::new();
    assert_eq!(bench.run("exit 7"), (7, String::new()));
    assert_eq!(bench.run("kill -TERM $$").0, 128 + 15);
}

#[test]
fn a_command_that_cannot_be_executed_fails_as_in_a_shell() {
    let bench = Bench::new();
    let mut execution = bench.execution("");
    for (program, status, reason) in [
        ("nothing-like-that", 127, "No such file"),
        ("/nothing/like/that", 127, "No such file"),
        ("/bin", 126, "Permission denied"),
    ] {
        execution.command.arguments = vec![program.into()];
        let (executed, log) = bench.execute(&execution).expect("the sandbox works");
        assert_eq!(executed.exit_code, status, "{log}");
        assert!(log.contains(program.trim_start_matches("/nothing")) && log.contains(reason), "{log}");
    }
}

#[test]
fn a_script_without_interpreter_is_run_by_the_shell() {
    let bench = Bench::new();
    let mut execution = bench.execution("printf 'echo got $1 $2' > s; chmod 755 s; ./s a b; exec ./s c d");
    assert_eq!(bench.execute(&execution).expect("the sandbox works").1, "got a b\ngot c d\n");
    execution.input_root = bench.tools_with(&[("bin/unmarked", "echo unmarked $1\n")]);
    execution.command.arguments =
        ["sh", "-c", "cp /bin/unmarked /out/x; chmod 755 /out/x; exec env /out/x y"].map(String::from).into();
    assert_eq!(bench.execute(&execution).expect("the sandbox works").1, "unmarked y\n");
}

#[test]
fn the_environment_is_the_declared_one_and_nothing_else() {
    let bench = Bench::new();
    let mut execution = bench.execution("");
    execution.command.arguments = vec!["env".into()];
    let odd = EnvironmentVariable { name: "ODD".into(), value: "a=b \n c".into() };
    execution.command.environment_variables.push(odd);
    let (_, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(log, "PATH=/bin\nHOME=/tmp\nODD=a=b \n c\n");
}

#[test]
fn ids_are_as_configured() {
    let bench = Bench::new();
    for (uid, gid) in [(0, 0), (1000, 100), (65534, 65534), (4_000_000_000, 7)] {
        let mut execution = bench.execution("id -u; id -g; touch /out/f; stat -c %u:%g /out/f /bin /");
        (execution.uid, execution.gid) = (uid, gid);
        let (_, log) = bench.execute(&execution).expect("the sandbox works");
        assert_eq!(log, format!("{uid}\n{gid}\n{}", format!("{uid}:{gid}\n").repeat(3)));
    }
}

#[test]
fn no_privilege_is_left() {
    let status = Bench::new().lines("cat /proc/self/status");
    let value = |name: &str| {
        let line = status.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), "0".repeat(16), "{set}");
    }
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Umask:"), "0022");
    for set in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(value(set), "0".repeat(16), "{set}");
    }
}

#[test]
fn streams_and_session_are_its_own() {
    let bench = Bench::new();
    let lines = bench.lines("readlink /proc/self/fd/0; tty || true; read x || echo end");
    assert_eq!(lines, ["/dev/null", "not a tty", "end"]);
    // The fourth is the directory that is being listed.
    let mut listing = bench.execution("");
    listing.command.arguments = ["ls", "/proc/self/fd"].map(String::from).to_vec();
    assert_eq!(bench.execute(&listing).expect("the sandbox works").1, "0\n1\n2\n3\n");
    // pid 2, child of 1, leading its own session and process group, without terminal
    let (_, stat) = bench.run("read stat < /proc/$$/stat; echo \"$stat\"");
    let fields: Vec<&str> = stat.split(' ').collect();
    assert_eq!(fields[..2], ["2", "(sh)"]);
    assert_eq!(fields[3..7], ["1", "2", "2", "0"]);
}

#[test]
fn the_machine_has_the_name_that_bst_gives_it() {
    let bench = Bench::new();
    assert_eq!(bench.lines("uname -n"), ["buildbox"]);
    let mut execution = bench.execution("uname -n");
    execution.hostname = Some("other".into());
    assert_eq!(bench.execute(&execution).expect("the sandbox works").1, "other\n");
}

#[test]
fn devices_are_the_harmless_ones() {
    let bench = Bench::new();
    let lines = bench.lines("cd /dev; stat -c '%A %n %N' * | tr -d \"'\"; ls /dev/pts /dev/shm");
    let expected = [
        "lrwxrwxrwx core core -> /proc/kcore",
        "lrwxrwxrwx fd fd -> /proc/self/fd",
        "crw-rw-rw- full full",
        "crw-rw-rw- null null",
        "lrwxrwxrwx ptmx ptmx -> pts/ptmx",
        "drwxr-xr-x pts pts",
        "crw-rw-rw- random random",
        "drwxr-xr-x shm shm",
        "lrwxrwxrwx stderr stderr -> /proc/self/fd/2",
        "lrwxrwxrwx stdin stdin -> /proc/self/fd/0",
        "lrwxrwxrwx stdout stdout -> /proc/self/fd/1",
        "crw-rw-rw- tty tty",
        "crw-rw-rw- urandom urandom",
        "crw-rw-rw- zero zero",
        "/dev/pts:",
        "ptmx",
        "",
        "/dev/shm:",
    ];
    assert_eq!(lines, expected);
    let used = "echo x > /dev/null; echo y > /dev/stdout; head -c 3 /dev/zero | tr '\\0' z; head -c 1 /dev/urandom > /out/r; \
                echo x > /dev/full || echo full; echo s > /dev/shm/f; cat /dev/shm/f; echo t > /tmp/f; cat /tmp/f";
    assert_eq!(bench.lines(&format!("{{ {used}; }} 2> /dev/null")), ["y", "zzzfull", "s", "t"]);
}

#[test]
fn terminals_can_be_made() {
    Bench::new().inside("environment::inside_a_terminal_can_be_made", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_a_terminal_can_be_made() {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("its name").into_string().expect("a text");
    assert_eq!(name, "/dev/pts/0");
    // Without the flag it would become the terminal of this session, and its end that of this process.
    rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the other end");
}

#[test]
fn file_systems_are_mounted_as_bst_mounts_them() {
    let mounts = Bench::new().lines("cat /proc/self/mounts");
    let options = |place: &str| {
        let line = mounts.iter().rfind(|line| line.split(' ').nth(1) == Some(place));
        line.and_then(|line| line.split(' ').nth(3)).unwrap_or_default().split(',').collect::<Vec<_>>()
    };
    for (place, expected) in [
        ("/", &["rw", "nosuid", "nodev"] as &[&str]),
        ("/bin", &["ro", "nosuid", "nodev"]),
        ("/proc", &["rw", "nosuid", "nodev", "noexec"]),
        ("/tmp", &["rw", "nosuid", "nodev", "mode=755"]),
        ("/dev", &["rw", "nosuid", "nodev", "mode=755"]),
        ("/dev/null", &["rw", "nosuid"]),
        ("/dev/pts", &["rw", "nosuid", "noexec", "mode=620", "ptmxmode=666"]),
    ] {
        let found = options(place);
        assert!(expected.iter().all(|option| found.contains(option)), "{place}: {found:?}");
    }
    assert!(!options("/dev/pts").contains(&"nodev") && !options("/dev/null").contains(&"nodev"));
}

#[test]
fn what_is_not_writable_is_read_only() {
    let bench = Bench::new();
    let script = "for path in /x /bin/x /work/x /new/x; do mkdir -p $path 2>&1 || true; done; rm /bin/ls 2>&1 || true; \
                  chmod 700 /bin/ls 2>&1 || true; echo x >> /bin/ls || true; ls /; ls /work";
    let log = bench.run(script).1;
    assert!(log.contains("cannot remove '/bin/ls': Read-only file system"), "{log}");
    assert!(!log.lines().any(|line| line == "x" || line == "new"), "{log}");
    assert_eq!(bench.lines("ls /work; ls -A /work/here /out"), ["here", "/out:", "", "/work/here:"]);
}

#[test]
fn what_is_writable_is_one_file_system() {
    let script = "mkdir -p d/e; echo a > d/e/a; echo b > b; mv d /out/d; ln b /out/b; mv /out/d/e e; ls -d e";
    let bench = Bench::new();
    assert_eq!(bench.outputs(script), ["b b", "d/"]);
    // By the system call itself, which does not fall back to copying.
    bench.inside("environment::inside_directories_move_across", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_directories_move_across() {
    std::fs::create_dir_all("/work/here/d/e").expect("made");
    std::fs::rename("/work/here/d", "/out/d").expect("moved");
    std::fs::write("/out/f", "").expect("written");
    std::fs::hard_link("/out/f", "/work/here/f").expect("linked");
}

#[test]
fn staged_sources_are_files_like_any_other() {
    let bench = Bench::new();
    let files = [("work/here/src/lib/a.c", "a"), ("work/here/src/b.c", "b"), ("work/here/run", "r")];
    let mut execution = bench.execution(
        "cat src/b.c; stat -c '%Y %a %n' src src/b.c .; mv src moved; echo more >> moved/b.c; rm run; ls; \
         cat moved/lib/a.c",
    );
    execution.input_root = bench.tools_with(&files);
    execution.command.output_paths = vec!["/work/here".into(), "/out".into()];
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(log, "b1321009871 755 src\n1321009871 644 src/b.c\n1321009871 755 .\nmoved\na");
    assert_eq!(
        bench.list(executed.outputs[0]),
        ["moved/", "moved/b.c bmore", "moved/lib/", "moved/lib/a.c a"]
    );
    assert_eq!(bench.list(executed.outputs[1]), Vec::<String>::new());
}

#[test]
fn a_slot_is_as_good_as_new() {
    let bench = Bench::new();
    for name in ["one", "two", "three"] {
        let mut execution = bench.execution("ls -A . /out /; touch a /out/b; chmod 000 . /out; echo");
        let place = format!("/work/{name}");
        execution.command.working_directory = place.clone();
        execution.writable = vec![place, "/out".into()];
        execution.command.output_paths = vec!["/out".into()];
        let (executed, log) = bench.execute(&execution).expect("the sandbox works");
        assert!(log.starts_with(".:\n\n/:\n"), "{log}");
        assert!(log.ends_with("work\n\n/out:\n\n"), "{log}");
        assert_eq!(bench.list(executed.outputs[0]), ["b "]);
    }
}

/// A tree that differs little from one that has a layer lies upon that.
#[test]
fn a_tree_upon_another_shows_both() {
    let bench = Bench::new();
    bench.lines("true");
    let mut execution = bench.execution("cat /extra/file /bin/new; ls /bin/sh; cat /proc/self/mountinfo");
    execution.input_root = bench.tools_with(&[("extra/file", "1\n"), ("bin/new", "2\n")]);
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0, "{log}");
    assert!(log.starts_with("1\n2\n/bin/sh\n"), "{log}");
    // The kernel says `lowerdir+` once for each layer, or `lowerdir` with a colon between two.
    let layers = |line: &str| -> usize {
        let named = line.split(',').filter(|option| option.starts_with("lowerdir"));
        named.map(|option| 1 + option.matches(':').count()).sum()
    };
    let overlaid = log.lines().any(|line| line.contains(" /bin ") && layers(line) >= 2);
    let machine = std::env::var("BOURN_SANDBOX_MACHINE");
    let possible = !matches!(machine.as_deref(), Ok("none" | "served"));
    assert_eq!(overlaid, possible, "{log}");
}

#[test]
fn the_mask_of_whoever_asks_does_not_matter() {
    for mask in ["0", "077"] {
        let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
        let script = format!("umask {mask}; exec \"$0\" --exact environment::modes_are_usual --ignored");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().expect("this program"))
            .env("BOURN_SANDBOX_TESTS", directory.path())
            .output()
            .expect("this program runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("1 passed"), "{mask}: {printed}");
    }
}

#[test]
#[ignore = "runs with unusual masks of permissions"]
fn modes_are_usual() {
    let bench = Bench::new();
    let shared = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    let script =
        "umask; touch /out/f; mkdir /out/d; stat -c '%a %n' /work/here /out /dev/shm /tmp/a/b /out/f /out/d";
    let mut execution = bench.execution(script);
    execution.mounts = vec![bourn_reapi::services::HostMount {
        host: shared.path().to_owned(),
        path: "/tmp/a/b/c".into(),
        writable: false,
    }];
    let (_, log) = bench.execute(&execution).expect("the sandbox works");
    let expected = "0022\n755 /work/here\n755 /out\n755 /dev/shm\n755 /tmp/a/b\n644 /out/f\n755 /out/d\n";
    assert_eq!(log, expected);
}
