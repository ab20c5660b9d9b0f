//! Real sandboxes, as whoever runs the tests; `as_an_unprivileged_user` repeats all of them when that is the superuser.
//!
//! The tree that the commands run in is made of tools of this machine and the libraries that they need.

use bourn_cas::Store;
use bourn_reapi::services::{Cancel, Executed, Execution, ImportOptions, ServiceError, Streams};
use bourn_reapi::{Cas, Command, Digest, EnvironmentVariable, Executor};
use bourn_sandbox::LocalExecutor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the commands of the tests use.
const TOOLS: [&str; 20] = [
    "sh", "cat", "ls", "id", "env", "mkdir", "mkfifo", "mknod", "chmod", "ln", "mv", "rm", "touch", "stat", "sleep",
    "dd", "mount", "unshare", "readlink", "rmdir",
];

/// A store with a tree of tools, and an executor upon it.
struct Bench {
    store: Arc<Store>,
    executor: LocalExecutor,
    tools: Digest,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Arc::new(Store::open(&directory.path().join("cache")).expect("a store"));
        let tree = directory.path().join("tree");
        lay_out_tools(&tree);
        let tools = store.import_tree(&tree, &ImportOptions::default()).expect("the tools go into the store");
        let executor = LocalExecutor::new(store.clone(), &directory.path().join("cache/build")).expect("an executor");
        Bench { store, executor, tools, directory }
    }

    fn execution(&self, script: &str) -> Execution {
        let variable = |name: &str, value: &str| EnvironmentVariable { name: name.into(), value: value.into() };
        Execution {
            input_root: self.tools,
            prefixes: Vec::new(),
            command: Command {
                arguments: ["sh", "-c", "-e", script].map(String::from).to_vec(),
                environment_variables: vec![variable("PATH", "/bin"), variable("HOME", "/tmp")],
                working_directory: "/work/here".into(),
                output_paths: vec!["/out".into()],
                ..Command::default()
            },
            writable: vec!["/work/here".into(), "/out".into()],
            root_read_only: true,
            network: false,
            uid: 0,
            gid: 0,
            mounts: Vec::new(),
            streams: Streams::Log,
            hostname: None,
        }
    }

    fn execute(&self, execution: &Execution) -> Result<(Executed, String), ServiceError> {
        let mut log = Vec::new();
        let executed = self.executor.execute(execution, &mut log, &Cancel::default())?;
        Ok((executed, String::from_utf8_lossy(&log).into_owned()))
    }

    /// Runs a script; its status and what it printed.
    fn run(&self, script: &str) -> (i32, String) {
        let (executed, log) = self.execute(&self.execution(script)).expect("the sandbox works");
        (executed.exit_code, log)
    }

    /// The entries of a tree, one line each.
    fn list(&self, tree: Option<Digest>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(tree) = tree {
            self.list_into(&tree, "", &mut lines);
        }
        lines
    }

    fn list_into(&self, tree: &Digest, path: &str, lines: &mut Vec<String>) {
        let directory = self.store.directory(tree).expect("a directory of the store");
        for node in &directory.files {
            let content = self.store.read(&node.content().expect("a digest")).expect("a blob of the store");
            let mark = if node.is_executable { "*" } else { "" };
            lines.push(format!("{path}{}{mark} {}", node.name, String::from_utf8_lossy(&content).trim_end()));
        }
        for node in &directory.symlinks {
            lines.push(format!("{path}{} -> {}", node.name, node.target));
        }
        for node in &directory.directories {
            lines.push(format!("{path}{}/", node.name));
            self.list_into(&node.content().expect("a digest"), &format!("{path}{}/", node.name), lines);
        }
    }
}

/// Copies the tools and their libraries, the libraries to where the dynamic linker looks for them.
fn lay_out_tools(tree: &Path) {
    let bin = tree.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let mut libraries = BTreeSet::new();
    for tool in TOOLS {
        let path = find(tool);
        std::fs::copy(&path, bin.join(tool)).expect("a copy of a tool");
        let listed = std::process::Command::new("ldd").arg(&path).output().expect("ldd is there");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        libraries.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for library in libraries {
        let target = tree.join(library.strip_prefix("/").expect("an absolute path"));
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        std::fs::copy(&library, &target).expect("a copy of a library");
    }
}

fn find(tool: &str) -> PathBuf {
    let places = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"];
    let found = places.map(|place| Path::new(place).join(tool)).into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("the tests of the sandbox need the program `{tool}`"))
}

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
    let mut missing = bench.execution("");
    missing.command.arguments = vec!["nothing-like-that".into()];
    let (executed, log) = bench.execute(&missing).expect("the sandbox works");
    assert_eq!(executed.exit_code, 127);
    assert!(log.contains("nothing-like-that"), "{log}");
}

#[test]
fn nothing_is_left_behind() {
    let bench = Bench::new();
    assert_eq!(bench.run("sleep 1000 & mkdir -p /out/a/b; chmod 000 /out/a; exit 0").0, 0);
    let build = bench.directory.path().join("cache/build");
    drop(bench.executor);
    assert_eq!(std::fs::read_dir(build).expect("the directory stays").count(), 0);
}
