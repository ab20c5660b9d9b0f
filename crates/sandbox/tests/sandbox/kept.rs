//! Build directories of workspaces, which are kept on the disk: what the next command finds in one is what it would
//! find in a new one.

use crate::bench::{Bench, DIRECTORY, eventually};
use bourn_reapi::services::{Execution, ImportOptions, STAGED_TIME};
use bourn_reapi::tree::Tree;
use bourn_reapi::{Cas, Digest};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Prints all there is to know of everything in the working directory, but not the inodes.
const SHOW: &str = "show() { for f in \"$1\"/*; do [ -e \"$f\" ] || [ -h \"$f\" ] || continue; stat -c '%n %F %a %Y %h' \"$f\"; if [ -h \"$f\" ]; then readlink \"$f\"; \
                    elif [ -d \"$f\" ]; then show \"$f\"; else cat \"$f\"; fi; done; }; stat -c '%a %Y' .; show .";

/// Ends a command when the clock that stamps files has ticked: what changed in the last tick of a command may have
/// changed after it as well, so it is written again.
const A_TICK_LATER: &str = "sleep 0.5";

/// A workspace at a path of its own, so that no other test takes what it keeps.
struct Workspace {
    bench: Bench,
    path: String,
}

impl Workspace {
    fn new(name: &str) -> Workspace {
        Workspace { bench: Bench::new(), path: format!("work/{name}") }
    }

    /// A command in the workspace whose build directory holds that tree.
    fn execution(&self, content: Digest, script: &str) -> Execution {
        let mut execution = self.bench.execution(script);
        let cas: Arc<dyn Cas> = self.bench.store.clone();
        let mut root = Tree::open(&cas, execution.input_root);
        root.create_directory(&self.path).expect("a directory");
        root.replace(&self.path, &Tree::open(&cas, content)).expect("replaced");
        execution.input_root = root.digest().expect("a digest");
        let path = format!("/{}", self.path);
        execution.writable = vec![path.clone(), "/out".into()];
        execution.command.working_directory.clone_from(&path);
        execution.command.output_paths = vec![path, "/out".into()];
        execution.command.output_node_properties = vec!["mtime".into()];
        execution
    }

    /// Runs it and waits until its directory is kept; what it leaves, and what it said.
    #[track_caller]
    fn build(&self, content: Digest, script: &str) -> (Digest, String) {
        let built = self.run(content, script);
        self.kept();
        built
    }

    #[track_caller]
    fn run(&self, content: Digest, script: &str) -> (Digest, String) {
        let (executed, log) =
            self.bench.execute(&self.execution(content, script)).expect("the sandbox works");
        assert_eq!(executed.exit_code, 0, "{log}");
        (executed.outputs[0].expect("the directory is there"), log)
    }

    /// The directory that is kept, once it is.
    fn kept(&self) -> PathBuf {
        let root = self.bench.store.kept().expect("a directory");
        let hash = Digest::of(self.path.as_bytes()).hex()[..32].to_owned();
        let find = || {
            let entries = std::fs::read_dir(&root).expect("readable").flatten();
            entries.map(|entry| entry.path()).find(|path| path.file_stem().is_some_and(|stem| *stem == *hash))
        };
        eventually("the directory is kept", || find().is_some());
        find().expect("just seen").join("tree")
    }

    /// What `SHOW` shows of a tree: where it was kept, and in a sandbox that has nothing kept.
    #[track_caller]
    fn check(&self, content: Digest) {
        let (_, seen) = self.build(content, SHOW);
        std::fs::remove_dir_all(self.kept().parent().expect("a parent")).expect("removed");
        let (_, anew) = self.build(content, SHOW);
        assert_eq!(seen, anew);
    }

    /// A tree of files, path and content each, and of a link to the second of them.
    fn files(&self, files: &[(&str, &str)]) -> Digest {
        let tree = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
        for (path, content) in files {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, content).expect("a file");
        }
        std::os::unix::fs::symlink("b", tree.path().join("link")).expect("a link");
        self.bench.store.import_tree(tree.path(), &ImportOptions::default()).expect("imported")
    }
}

#[test]
fn files_that_stay_are_not_written_again() {
    let workspace = Workspace::new("stay");
    let sources = workspace.files(&[("a.c", "a"), ("b.c", "b"), ("sub/c.c", "c")]);
    let later = |script: &str| format!("{script}; {A_TICK_LATER}");
    let (built, _) = workspace.build(sources, &later("for f in a b sub/c; do cat $f.c > $f.o; done"));
    let (built, _) = workspace.build(built, &later("echo changed > b.o"));
    let before = workspace.kept();
    let inode = |name: &str| before.join(name).metadata().map(|found| found.ino()).expect("kept");
    let all = ["a.c", "a.o", "b.c", "sub/c.c", "sub/c.o"];
    let inodes = all.map(inode);
    let script = format!("for f in {}; do stat -c %i $f; done; cat b.o; stat -c '%Y %a' a.c", all.join(" "));
    let (_, log) = workspace.build(built, &script);
    let expected: Vec<String> = inodes.iter().map(ToString::to_string).collect();
    assert_eq!(log, format!("{}\nchanged\n{STAGED_TIME} 644\n", expected.join("\n")));
    workspace.check(built);
}

#[test]
fn the_next_command_finds_its_tree_whatever_the_last_one_left() {
    let workspace = Workspace::new("left");
    for script in [
        "rm a; echo other > b; mkdir more; echo x > more/x; touch -d @77 sub/c",
        "chmod 000 a; chmod 4755 b; chmod 700 sub; chmod 0 sub/c",
        "ln a hard; ln -s b soft; ln sub/c sub/d; mkfifo pipe",
        "rm -r sub; ln -s /tmp sub; rm link; mkdir link; rm a; mkdir a",
        "mv sub moved; mv moved/c moved/e; rm link; ln -s elsewhere link",
        "chmod 500 sub; chmod 500 .; touch -d @5 .",
        "rm -r a b sub link",
    ] {
        let sources = workspace.files(&[("a", "1"), ("b", "2"), ("sub/c", "3"), ("z", "4")]);
        let (built, _) = workspace.build(sources, script);
        // On to what it left, and back to what it began with.
        workspace.check(built);
        workspace.build(sources, script);
        workspace.check(sources);
    }
}

#[test]
fn files_that_were_changed_meanwhile_are_not_used() {
    let workspace = Workspace::new("meanwhile");
    let sources = workspace.files(&[("a", "good\n"), ("b", "good\n")]);
    workspace.build(sources, "true");
    let file = workspace.kept().join("a");
    let times = file.metadata().expect("kept").modified().expect("a time");
    std::fs::write(&file, "evil\n").expect("written");
    std::fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(times)).expect("set");
    let (_, log) = workspace.build(sources, "cat a b");
    assert_eq!(log, "good\ngood\n");
    // Nor is anything after the machine was started again, or without a record that can be read.
    for record in ["", "nonsense", "abc/1 0 0 0"] {
        let kept = workspace.kept();
        std::fs::write(kept.join("b"), "evil\n").expect("written");
        std::fs::write(kept.with_file_name("record"), record).expect("written");
        assert_eq!(workspace.build(sources, "cat a b").1, "good\ngood\n");
    }
}

#[test]
fn what_is_kept_is_closed_to_others_and_says_its_size() {
    let workspace = Workspace::new("closed");
    let sources = workspace.files(&[("a", "content")]);
    workspace.build(sources, "chmod 4755 a");
    let kept = workspace.kept();
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(kept.parent().expect("a parent")), 0o700);
    assert_eq!(mode(&workspace.bench.store.kept().expect("a directory")), 0o700);
    assert_eq!(kept.parent().and_then(|kept| kept.extension()).expect("a size"), "7");
}

#[test]
fn two_commands_at_a_time_each_have_their_own() {
    let workspace = Workspace::new("two");
    let sources = workspace.files(&[("a", "1")]);
    workspace.build(sources, "true");
    std::thread::scope(|scope| {
        let run = |mark: &'static str| {
            let workspace = &workspace;
            scope.spawn(move || {
                for _ in 0..5 {
                    let (built, log) =
                        workspace.run(sources, &format!("ls; echo {mark} > b; sleep 0.02; cat b"));
                    assert_eq!(log, format!("a\nlink\n{mark}\n"));
                    assert_eq!(
                        workspace.bench.list(Some(built)),
                        ["a 1".to_owned(), format!("b {mark}"), "link -> b".to_owned()]
                    );
                }
            })
        };
        for thread in [run("x"), run("y")] {
            thread.join().expect("no panic");
        }
    });
}
