//! What is kept of what a command leaves: as `bst` keeps it, taken from artifacts of `bst` 2.8.1.

use crate::bench::Bench;
use bourn_reapi::Cas;
use bourn_reapi::services::{ErrorKind, Execution};

/// An execution that may write everywhere and of which everything is kept.
fn everywhere(bench: &Bench, script: &str, files: &[(&str, &str)]) -> Execution {
    let mut execution = bench.execution(script);
    execution.input_root = bench.tools_with(files);
    execution.writable = vec!["/".into()];
    execution.root_read_only = false;
    execution.command.output_paths = vec!["/".into()];
    execution.command.working_directory = "/".into();
    execution
}

/// Lines of the output tree that the input tree does not have, and, with a minus, the other way round.
fn difference(bench: &Bench, execution: &Execution) -> Vec<String> {
    let (executed, log) = bench.execute(execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0, "{log}");
    let before = bench.list(Some(execution.input_root));
    let after = bench.list(executed.outputs[0]);
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("-{line}"));
    let mut lines: Vec<String> =
        after.iter().filter(|line| !before.contains(line)).cloned().chain(gone).collect();
    lines.retain(|line| !["dev/", "proc/", "tmp/"].contains(&line.as_str()));
    lines.sort();
    lines
}

#[test]
fn permissions_come_down_to_one_bit() {
    let script = "cd /out; umask 0; mkdir d000 d700; for mode in 000 001 010 100 600 777 4755 2711; do \
                  echo $mode > f$mode; chmod $mode f$mode; done; chmod 1777 d700; mkdir d000/in; echo q > d000/in/f; \
                  chmod 000 d000/in d000; ln f777 hard; ln -s /abs/target abs; ln -s ../../.. up; ln -s . dot";
    let expected = [
        "abs -> /abs/target",
        "d000/",
        "d000/in/",
        "d000/in/f q",
        "d700/",
        "dot -> .",
        "f000 000",
        "f001 001",
        "f010 010",
        "f100* 100",
        "f2711* 2711",
        "f4755* 4755",
        "f600 600",
        "f777* 777",
        "hard* 777",
        "up -> ../../..",
    ];
    assert_eq!(Bench::new().outputs(script), expected);
}

#[test]
fn pipes_and_sockets_are_passed_over() {
    assert_eq!(
        Bench::new().outputs("mkfifo /out/pipe; mkdir /out/d; mkfifo /out/d/pipe; echo a > /out/a"),
        ["a a", "d/"]
    );
    let bench = Bench::new();
    bench.inside("capture::inside_a_socket_is_made", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_a_socket_is_made() {
    std::os::unix::net::UnixListener::bind("/out/socket").expect("a socket");
}

#[test]
fn outputs_are_where_they_are_said_to_be() {
    let bench = Bench::new();
    let mut execution = bench.execution(
        "echo a > /out/a; mkdir -p sub/deep; echo b > sub/deep/b; rmdir /out/gone || true; echo f > file",
    );
    execution.command.output_paths =
        ["../../out", "sub/deep", "/work/here/sub", "missing", "/bin", "/nowhere", "file", "/work"]
            .map(String::from)
            .to_vec();
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    let lists: Vec<Vec<String>> = executed.outputs.iter().map(|tree| bench.list(*tree)).collect();
    assert_eq!(lists[0], ["a a"]);
    assert_eq!(lists[1], ["b b"]);
    assert_eq!(lists[2], ["deep/", "deep/b b"]);
    assert_eq!(executed.outputs[3], None);
    let tools = bench.store.directory(&bench.tools).expect("the tools");
    assert_eq!(
        executed.outputs[4],
        Some(tools.directory("bin").expect("its programs").content().expect("a digest"))
    );
    assert_eq!(executed.outputs[5], None);
    assert_eq!(executed.outputs[6], None);
    assert_eq!(lists[7], ["here/", "here/file f", "here/sub/", "here/sub/deep/", "here/sub/deep/b b"]);
}

#[test]
fn only_what_changed_differs() {
    let bench = Bench::new();
    let files = [
        ("etc/kept", "kept"),
        ("etc/changed", "old"),
        ("etc/removed", "gone"),
        ("etc/emptied/a", "a"),
        ("etc/replaced/a", "a"),
        ("etc/turned", "a file"),
        ("etc/renamed", "moved"),
        ("var/deep/er/file", "deep"),
        ("var/deep/er/other", "other"),
    ];
    let script = "cd etc; echo new > changed; rm removed emptied/a; rm -rf replaced; mkdir replaced; echo b > replaced/b; \
                  rm turned; mkdir turned; mv renamed elsewhere; echo more >> ../var/deep/er/file; ln -s kept link; \
                  chmod 755 kept";
    let expected = [
        "-etc/changed old",
        "-etc/emptied/a a",
        "-etc/kept kept",
        "-etc/removed gone",
        "-etc/renamed moved",
        "-etc/replaced/a a",
        "-etc/turned a file",
        "-var/deep/er/file deep",
        "etc/changed new",
        "etc/elsewhere moved",
        "etc/kept* kept",
        "etc/link -> kept",
        "etc/replaced/b b",
        "etc/turned/",
        "var/deep/er/file deepmore",
    ];
    assert_eq!(difference(&bench, &everywhere(&bench, script, &files)), expected);
}

#[test]
fn a_command_that_changes_nothing_leaves_the_same_tree() {
    let bench = Bench::new();
    let files = [("dev/.keep", ""), ("proc/.keep", ""), ("tmp/.keep", ""), ("etc/a", "a")];
    let execution = everywhere(&bench, "cat etc/a; ls /bin > /dev/null; touch /tmp/x", &files);
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.outputs, [Some(execution.input_root)]);
}

#[test]
fn unchanged_sources_keep_their_nodes() {
    let bench = Bench::new();
    let files =
        [("work/here/a", "a"), ("work/here/sub/b", "b"), ("work/here/sub/c", "c"), ("work/here/x", "x")];
    // A file that is written to and given its old time again is still a changed one.
    let script = "echo B > sub/b; touch -d @1321009871 sub/b; mv x y; chmod 755 sub/c; cat a > /dev/null";
    let mut execution = bench.execution(script);
    execution.input_root = bench.tools_with(&files);
    execution.command.output_paths = vec!["/work/here".into()];
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(bench.list(executed.outputs[0]), ["a a", "sub/", "sub/b B", "sub/c* c", "y x"]);
    execution.command.arguments[3] = "true".into();
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    let sources = bench.store.directory(&execution.input_root).expect("the tree");
    let work = sources.directory("work").expect("a directory").content().expect("a digest");
    let here = bench.store.directory(&work).expect("a directory").directory("here").expect("it").content();
    assert_eq!(executed.outputs[0], here.ok());
}

#[test]
fn times_are_kept_when_asked_for() {
    let bench = Bench::new();
    let mut execution = bench.execution("touch -d @1234567890.5 /out/f; mkdir /out/d; echo > /out/d/g");
    execution.command.output_node_properties = vec!["mtime".into()];
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    let directory = bench.store.directory(&executed.outputs[0].expect("a tree")).expect("a directory");
    let time =
        directory.files[0].node_properties.as_ref().and_then(|properties| properties.mtime).expect("a time");
    assert_eq!((time.seconds, time.nanos), (1_234_567_890, 500_000_000));
}

#[test]
fn names_are_kept_as_they_are() {
    let bench = Bench::new();
    let long = "n".repeat(255);
    let script = format!(
        "cd /out; echo 1 > 'a b'; echo 2 > 'line\nbreak'; echo 3 > 'ü-ñ-猫'; echo 4 > {long}; echo 5 > '\\back'"
    );
    let expected = [
        "\\back 5".to_owned(),
        "a b 1".to_owned(),
        "line\nbreak 2".to_owned(),
        format!("{long} 4"),
        "ü-ñ-猫 3".to_owned(),
    ];
    assert_eq!(bench.outputs(&script), expected);
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let bench = Bench::new();
    let execution = bench.execution("cd /out; mkdir sub; echo a > \"sub/$(printf 'a\\377b')\"");
    let error = bench.execute(&execution).expect_err("such a name cannot be kept");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("/out/sub/a") && error.message.contains("UTF-8"), "{}", error.message);
    assert_eq!(bench.outputs("echo fine > /out/a"), ["a fine"]);
}

#[test]
fn deep_trees_are_kept_and_deeper_ones_are_removed() {
    let bench = Bench::new();
    let nest =
        |depth: u32| format!("i=0; while [ $i -lt {depth} ]; do mkdir d; cd d; i=$((i+1)); done; echo x > f");
    let lines = bench.outputs(&format!("cd /out; {}", nest(300)));
    assert_eq!(lines.len(), 301);
    // Beyond every limit of paths and open files; not captured, but it has to go away.
    let mut execution = bench.execution(&nest(5000));
    execution.command.output_paths.clear();
    bench.execute(&execution).expect("the sandbox works");
    let slots = bench.build.clone();
    drop(bench);
    for slot in std::fs::read_dir(slots).expect("the directory of the executor").flatten() {
        let left = slot.path().join("idle/work/here");
        assert!(!left.exists() || std::fs::read_dir(left).expect("readable").count() == 0);
    }
}

#[test]
fn large_and_many_files_arrive_whole() {
    let bench = Bench::new();
    let script = "cd /out; dd if=/dev/zero bs=1M count=20 of=big 2> /dev/null; mkdir many; cd many; \
                  for i in $(seq 500); do echo $i > f$i; done";
    let (executed, log) = bench.execute(&bench.execution(script)).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0, "{log}");
    let tree = bench.store.directory(&executed.outputs[0].expect("a tree")).expect("a directory");
    assert_eq!(tree.file("big").expect("the file").content().expect("a digest").size, 20 << 20);
    let many = tree.directory("many").expect("a directory").content().expect("a digest");
    assert_eq!(bench.store.directory(&many).expect("a directory").files.len(), 500);
}
