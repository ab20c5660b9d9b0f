//! A place of its own for one test of the program: directories that nobody else uses, an environment with nothing in
//! it but what is said here.

use crate::fixture;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A home, a cache and a place for projects; all gone with it.
pub struct TestEnv {
    directory: TempDir,
    program: PathBuf,
    variables: Vec<(String, String)>,
}

/// What a run of the program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; 128 and the number of the signal when one ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl TestEnv {
    /// For the program at `program`.
    ///
    /// # Panics
    /// There is no room for temporary files.
    pub fn new(program: impl Into<PathBuf>) -> TestEnv {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let env = TestEnv { directory, program: program.into(), variables: Vec::new() };
        std::fs::create_dir_all(env.home()).expect("a home directory");
        env.configure("");
        env
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The project's directory.
    pub fn project(&self) -> PathBuf {
        self.path().join("project")
    }

    /// The cache directory.
    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Adds a variable to the environment of later runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the user's configuration; the directories are set already, and that tests also run where the disk is
    /// nearly full, unless `text` says something of its own about the cache.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn configure(&self, text: &str) {
        let at = self.path().display();
        let has_own = text.lines().any(|line| line.starts_with("cache:"));
        let cache = if has_own { "" } else { "cache:\n  reserved-disk-space: 1M\n" };
        let text = format!("cachedir: {at}/cache\nsourcedir: {at}/sources\nlogdir: {at}/logs\n{cache}{text}");
        let config = self.home().join(".config");
        std::fs::create_dir_all(&config).expect("a directory for the configuration");
        std::fs::write(config.join("buildstream.conf"), text).expect("the configuration written");
    }

    /// Writes files of the project, as [`fixture::write`] reads them.
    pub fn files(&self, fixture: &str) {
        fixture::write(&self.project(), fixture);
    }

    /// Runs the program in the project's directory.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let directory = self.project();
        std::fs::create_dir_all(&directory).expect("a project directory");
        self.run_in(&directory, arguments)
    }

    /// Runs the program in another directory.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run_in(&self, directory: &Path, arguments: &[&str]) -> Ran {
        let output = self
            .command(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .expect("the program started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { status: status(output.status), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The program with these arguments, in this environment, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear();
        command.env("HOME", self.home()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TZ", "UTC").env("TMPDIR", self.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Ran {
    /// The same, after checking that it went well.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn success(self) -> Ran {
        assert_eq!(self.status, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The same, after checking the status and that standard error contains `part`.
    ///
    /// # Panics
    /// It is another status, or the part is missing.
    #[track_caller]
    pub fn failure(self, status: i32, part: &str) -> Ran {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        self
    }
}

fn status(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
