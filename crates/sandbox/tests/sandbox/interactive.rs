//! Shells: with the caller's terminal and job control, but without a way to type into it.

use crate::bench::Bench;
use bourn_reapi::services::Streams;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// A terminal with this program on the other side.
struct Terminal {
    ours: std::fs::File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Runs a function of this program, an ignored test, in a new terminal, as a shell would: in the foreground.
    fn run(test: &str) -> Terminal {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let theirs: OwnedFd =
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
                .expect("opened");
        let copy = || theirs.try_clone().expect("another descriptor");
        let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory").keep();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env("BOURN_SANDBOX_TESTS", directory)
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .process_group(0);
        let child = command.spawn().expect("this program runs");
        Terminal { ours: ours.into(), child, seen: String::new() }
    }

    fn send(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).expect("typed");
    }

    /// Reads until the text appears.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        let patience = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        while !self.seen.contains(text) {
            let mut waited = [rustix::event::PollFd::new(&self.ours, rustix::event::PollFlags::IN)];
            if rustix::event::poll(&mut waited, Some(&patience)) == Ok(0) {
                let _ = self.child.kill();
                panic!("`{text}` did not appear in:\n{}", self.seen);
            }
            match self.ours.read(&mut buffer) {
                Ok(length @ 1..) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..length])),
                _ => panic!("`{text}` never appeared in:\n{}", self.seen),
            }
        }
        let end = self.seen.find(text).unwrap_or_default() + text.len();
        self.seen.drain(..end);
    }

    #[track_caller]
    fn finish(mut self) {
        self.expect("1 passed");
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn a_shell_has_the_terminal() {
    let mut terminal = Terminal::run("interactive::a_shell_in_a_terminal");
    terminal.expect("ready> ");
    terminal.send("tty; echo $((6*7)); stat -c %A /dev/console\r");
    terminal.expect("/dev/console");
    terminal.expect("42");
    terminal.expect("crw");
    // An interrupt ends what runs in the foreground, and nothing else. Only what it prints itself shows that it is there.
    terminal.send("sh -c 'echo r\"\"uns; exec sleep 86400'; echo st''atus $?\r");
    terminal.expect("runs");
    terminal.send("\x03");
    terminal.expect("ready> ");
    terminal.send("echo af''ter\r");
    terminal.expect("after");
    terminal.send("exit 5\r");
    terminal.expect("the shell ended with 5");
    terminal.finish();
}

#[test]
#[ignore = "runs in a terminal"]
fn a_shell_in_a_terminal() {
    let bench = Bench::new();
    let mut execution = bench.execution("");
    execution.command.arguments = vec!["sh".into(), "-i".into()];
    let prompt = bourn_reapi::EnvironmentVariable { name: "PS1".into(), value: "ready> ".into() };
    execution.command.environment_variables.push(prompt);
    execution.streams = Streams::Inherit;
    let before = rustix::termios::tcgetpgrp(std::io::stdin()).expect("a terminal");
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(log, "");
    println!("the shell ended with {}", executed.exit_code);
    assert_eq!(rustix::termios::tcgetpgrp(std::io::stdin()), Ok(before));
}

#[test]
fn a_command_can_be_stopped_and_continued() {
    let mut terminal = Terminal::run("interactive::a_shell_of_a_user");
    terminal.expect("outer> ");
    terminal.send("\"$BOURN_TESTS\" --exact interactive::a_command_in_a_terminal --ignored --nocapture\r");
    terminal.expect("inner is up");
    terminal.send("\x1a");
    terminal.expect("outer> ");
    terminal.send("jobs; echo sa''w\r");
    terminal.expect("topped");
    terminal.expect("saw");
    terminal.send("fg\r");
    terminal.expect("--exact");
    terminal.send("a line\r");
    terminal.expect("got a line");
    terminal.expect("1 passed");
    terminal.expect("outer> ");
    terminal.send("exit\r");
    terminal.finish();
}

#[test]
#[ignore = "runs in a terminal"]
fn a_shell_of_a_user() {
    let status = Command::new("sh")
        .args(["-i", "+m", "-m"])
        .env("PS1", "outer> ")
        .env("BOURN_TESTS", std::env::current_exe().expect("this program"))
        .status();
    let _ = status.expect("a shell runs");
    let _blocked = (); // the shell leaves the terminal to its own group, which is ours
}

#[test]
#[ignore = "runs in a terminal"]
fn a_command_in_a_terminal() {
    let bench = Bench::new();
    let mut execution = bench.execution("echo inner is up; read line; echo got $line");
    execution.streams = Streams::Inherit;
    assert_eq!(bench.execute(&execution).expect("the sandbox works").0.exit_code, 0);
}

#[test]
fn nothing_can_be_typed_into_the_terminal() {
    let mut terminal = Terminal::run("interactive::a_terminal_that_is_typed_into");
    terminal.expect("refused");
    terminal.finish();
}

#[test]
#[ignore = "runs in a terminal"]
fn a_terminal_that_is_typed_into() {
    let bench = Bench::new();
    let script =
        "exec inside --exact interactive::inside_nothing_can_be_typed --ignored --nocapture --test-threads=1";
    let mut execution = bench.execution(script);
    execution.streams = Streams::Inherit;
    let (executed, _) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0);
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_nothing_can_be_typed() {
    let error = crate::bench::type_into_terminal().expect_err("it must not work");
    assert_eq!(error.raw_os_error(), Some(1), "{error}");
    println!("refused");
}

#[test]
fn streams_are_passed_on_without_a_terminal() {
    let program = std::env::current_exe().expect("this program");
    let directory = tempfile::tempdir_in(&*crate::bench::DIRECTORY).expect("a directory");
    let mut child = Command::new(program)
        .args(["--exact", "interactive::a_pipe", "--ignored", "--nocapture", "--test-threads=1"])
        .env("BOURN_SANDBOX_TESTS", directory.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("this program runs");
    child.stdin.take().expect("a pipe").write_all(b"hello\nworld\n").expect("written");
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("got hello and world\n"), "{printed}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("to error\n"));
    assert!(output.status.success(), "{printed}");
}

#[test]
#[ignore = "is given pipes"]
fn a_pipe() {
    let bench = Bench::new();
    let mut execution = bench.execution("read a; read b; echo got $a and $b; echo to error >&2; tty || true");
    execution.streams = Streams::Inherit;
    assert_eq!(bench.execute(&execution).expect("the sandbox works").0.exit_code, 0);
}
