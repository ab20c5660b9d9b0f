//! A store with a tree of tools, and executors upon it.

use bourn_cas::{LayerKind, Store};
use bourn_reapi::services::{Cancel, Executed, Execution, ImportOptions, ServiceError, Streams};
use bourn_reapi::{Cas, Command, Digest, EnvironmentVariable, Executor};
use bourn_sandbox::{LocalExecutor, Overlays};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What the commands of the tests use.
const TOOLS: [&str; 33] = [
    "sh", "cat", "ls", "id", "env", "mkdir", "mkfifo", "mknod", "chmod", "chown", "ln", "mv", "rm", "touch",
    "stat", "sleep", "dd", "mount", "unshare", "readlink", "rmdir", "tty", "tr", "setsid", "cp", "ps",
    "grep", "head", "make", "nproc", "seq", "uname", "kill",
];

/// Where all files of this run are. Set by `again` for the run that it starts.
pub(crate) static DIRECTORY: LazyLock<PathBuf> =
    LazyLock::new(|| match std::env::var_os("BOURN_SANDBOX_TESTS") {
        Some(given) => {
            std::fs::create_dir_all(&given).expect("a directory for the tests");
            given.into()
        }
        None => fresh_directory(Path::new(env!("CARGO_TARGET_TMPDIR"))),
    });

/// What the machine is to be like; set by `again`.
static MACHINE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("BOURN_SANDBOX_MACHINE").ok());

/// A store with the tools in it, shared by all tests.
static TOOLS_IN_STORE: LazyLock<(Arc<Store>, Digest)> = LazyLock::new(|| {
    let store = Arc::new(Store::open(&DIRECTORY.join("cache")).expect("a store"));
    let tree = DIRECTORY.join("tree");
    lay_out_tools(&tree);
    let tools = store.import_tree(&tree, &ImportOptions::default()).expect("the tools go into the store");
    (store, tools)
});

/// A directory for this process, in place of those of processes that have ended.
fn fresh_directory(parent: &Path) -> PathBuf {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(owner) = name.strip_prefix("sandbox-")
            && !Path::new("/proc").join(owner).exists()
        {
            // A test that was killed may have left directories that cannot be read.
            let _ = std::process::Command::new("chmod").arg("-R").arg("u+rwX").arg(entry.path()).output();
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let directory = parent.join(format!("sandbox-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the tests");
    directory
}

/// An executor of its own on the shared store.
pub(crate) struct Bench {
    pub(crate) store: Arc<Store>,
    pub(crate) executor: LocalExecutor,
    pub(crate) tools: Digest,
    /// Where the executor keeps its files.
    pub(crate) build: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let build = DIRECTORY.join(format!("build-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        Bench::in_directory(build)
    }

    /// One whose commands together run at most so many processes at a time.
    pub(crate) fn sharing(jobs: u32) -> Bench {
        let Bench { store, executor, tools, build } = Bench::new();
        Bench { executor: executor.sharing(jobs).expect("a jobserver"), store, tools, build }
    }

    pub(crate) fn in_directory(build: PathBuf) -> Bench {
        let (store, tools) = TOOLS_IN_STORE.clone();
        let executor = LocalExecutor::new(store.clone(), &build).expect("an executor");
        let executor = match MACHINE.as_deref() {
            None => executor,
            Some("served") => executor.laying_out(0, Duration::MAX),
            Some("copies") => executor.limited_to(Overlays::Appended, Some(LayerKind::Copy)),
            Some("old") => executor.limited_to(Overlays::Joined, None).without_setattr(),
            Some("none") => executor.limited_to(Overlays::Never, None),
            Some(other) => panic!("there is no machine `{other}`"),
        };
        Bench { store, executor, tools, build }
    }

    /// A script to be run in the tree of tools, which may write to `/work/here` and `/out`.
    pub(crate) fn execution(&self, script: &str) -> Execution {
        let variable =
            |name: &str, value: &str| EnvironmentVariable { name: name.into(), value: value.into() };
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
            remote_apis: None,
        }
    }

    pub(crate) fn execute(&self, execution: &Execution) -> Result<(Executed, String), ServiceError> {
        let mut log = Vec::new();
        let executed = self.executor.execute(execution, &mut log, &Cancel::default())?;
        Ok((executed, String::from_utf8_lossy(&log).into_owned()))
    }

    /// Runs a script; its status and what it printed.
    pub(crate) fn run(&self, script: &str) -> (i32, String) {
        let (executed, log) = self.execute(&self.execution(script)).expect("the sandbox works");
        (executed.exit_code, log)
    }

    /// Runs a script that has to succeed; the lines that it printed.
    #[track_caller]
    pub(crate) fn lines(&self, script: &str) -> Vec<String> {
        let (status, log) = self.run(script);
        assert_eq!(status, 0, "{log}");
        log.lines().map(str::to_owned).collect()
    }

    /// Runs a script that has to succeed; what it left in `/out`.
    #[track_caller]
    pub(crate) fn outputs(&self, script: &str) -> Vec<String> {
        let (executed, log) = self.execute(&self.execution(script)).expect("the sandbox works");
        assert_eq!(executed.exit_code, 0, "{log}");
        self.list(executed.outputs[0])
    }

    /// Runs a function of this very program in a sandbox, an ignored test; it has to pass there.
    #[track_caller]
    pub(crate) fn inside(&self, test: &str, change: impl FnOnce(&mut Execution)) {
        let script = format!("exec inside --exact {test} --ignored --nocapture --test-threads=1");
        let mut execution = self.execution(&script);
        change(&mut execution);
        let (executed, log) = self.execute(&execution).expect("the sandbox works");
        assert!(executed.exit_code == 0 && log.contains("1 passed"), "{} {log}", executed.exit_code);
    }

    /// The entries of a tree, one line each, sorted.
    pub(crate) fn list(&self, tree: Option<Digest>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(tree) = tree {
            self.list_into(&tree, "", &mut lines);
        }
        lines.sort();
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

    /// The tree of tools with files added: path and content each.
    pub(crate) fn tools_with(&self, files: &[(&str, &str)]) -> Digest {
        let tree = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
        lay_out_tools(tree.path());
        for (path, content) in files {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, content).expect("a file");
        }
        self.store.import_tree(tree.path(), &ImportOptions::default()).expect("the tree goes into the store")
    }
}

/// Copies the tools and their libraries, the libraries to where the dynamic linker looks for them.
fn lay_out_tools(tree: &Path) {
    let bin = tree.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let mut programs: Vec<(PathBuf, &str)> = TOOLS.iter().map(|tool| (find(tool), *tool)).collect();
    programs.push((std::env::current_exe().expect("this program"), "inside"));
    let mut libraries = BTreeSet::new();
    for (program, name) in programs {
        std::fs::copy(&program, bin.join(name)).expect("a copy of a program");
        let listed = std::process::Command::new("ldd").arg(&program).output().expect("ldd is there");
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

/// Whether a process whose command line has this word in it runs on this machine.
pub(crate) fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc can be read");
    processes.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    })
}

/// Waits until something is so; fails when it takes suspiciously long.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came true that {what}");
}

/// Pushes a character into the terminal, as if it was typed.
#[allow(unsafe_code)]
pub(crate) fn type_into_terminal() -> std::io::Result<()> {
    struct Typed(u8);
    // SAFETY: the operation reads one byte through the pointer, which points into `self`.
    unsafe impl rustix::ioctl::Ioctl for Typed {
        type Output = ();
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> rustix::ioctl::Opcode {
            0x5412 // TIOCSTI
        }
        fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
            (&raw mut self.0).cast()
        }
        unsafe fn output_from_ptr(
            _: rustix::ioctl::IoctlOutput,
            _: *mut rustix::ffi::c_void,
        ) -> rustix::io::Result<()> {
            Ok(())
        }
    }
    // SAFETY: as above.
    Ok(unsafe { rustix::ioctl::ioctl(std::io::stdin(), Typed(b'x')) }?)
}
