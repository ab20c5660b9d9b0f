//! What people see and type at a terminal, recorded through one.

use crate::env;
use bourn_testkit::{Terminal, TestEnv};
use std::os::unix::fs::symlink;

/// An element that fails until somebody makes it succeed from outside, one that needs it, one that does not, one that
/// takes as long as somebody wants, and a sandbox with a shell for all of them.
const PROJECT: &str = "
=== project.conf
name: talk
min-version: 2.0
variables:
  flag: \"\"
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== broken.bst
kind: manual
build-depends: [base.bst]
config:
  build-commands:
  - echo left by the build > left
  - echo about to fail
  - exit 3
=== needs.bst
kind: manual
build-depends: [base.bst, broken.bst]
=== fine.bst
kind: manual
build-depends: [base.bst]
config:
  install-commands:
  - echo fine > %{install-root}/fine
=== all.bst
kind: stack
depends: [broken.bst, fine.bst]
=== slow.bst
kind: manual
build-depends: [base.bst]
config:
  build-commands:
  - sleep 86400
=== long.bst
kind: stack
depends: [slow.bst]
";

fn project() -> TestEnv {
    let env = env();
    env.files(PROJECT);
    let bin = env.project().join("files/base/bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    std::fs::copy("/bin/busybox", bin.join("busybox"))
        .expect("busybox-static, which `cargo xtask test` installs");
    for name in ["sh", "echo", "cat", "sleep", "mkdir", "ls", "stty", "ps", "tty"] {
        symlink("busybox", bin.join(name)).expect("a link");
    }
    env
}

/// Starts the program in a terminal.
fn start(env: &TestEnv, arguments: &[&str]) -> Terminal {
    let mut command = env.command(arguments);
    command.current_dir(env.project()).env("TERM", "xterm").env("PAGER", "cat");
    Terminal::start(&command)
}

/// Starts a shell with job control in a terminal, in which `bourn` is the program.
fn shell(env: &TestEnv) -> Terminal {
    let program = env.command(&[]).get_program().to_owned();
    let bin = env.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    symlink(program, bin.join("bourn")).expect("a link");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = env.command(&[]);
    command.env("PATH", path).env("TERM", "xterm").env("PS1", "outer> ").current_dir(env.project());
    let mut outer = std::process::Command::new("sh");
    outer.args(["-i", "-m"]).current_dir(env.project());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal = Terminal::start(&outer);
    terminal.expect("outer> ");
    terminal
}

/// Where the question is that stands behind every menu.
const QUESTION: &str = "Choice: [continue]: ";

#[test]
fn a_failure_and_going_on() {
    let env = project();
    let mut terminal = start(&env, &["build", "all.bst"]);
    let before = terminal.expect(QUESTION);
    assert!(before.contains("broken.bst"), "{before}");
    for choice in ["(c)ontinue", "(q)uit", "(t)erminate", "(r)etry", "(l)og", "(s)hell"] {
        assert!(before.contains(choice), "{choice} in {before}");
    }
    terminal.send("continue\r");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 255, "{whole}");
    env.run(&["artifact", "checkout", "--directory", "out", "fine.bst"]).success();
}

#[test]
fn a_failure_and_ending() {
    for answer in ["quit\r", "t\r", "\x03", "\x04"] {
        let env = project();
        let mut terminal = start(&env, &["--builders", "1", "build", "broken.bst"]);
        terminal.expect(QUESTION);
        terminal.send(answer);
        let (status, whole) = terminal.finish();
        assert_eq!(status, 255, "{answer:?}: {whole}");
    }
}

#[test]
fn a_wrong_answer_is_asked_again() {
    let env = project();
    let mut terminal = start(&env, &["build", "broken.bst"]);
    terminal.expect(QUESTION);
    terminal.send("perhaps\r");
    terminal.expect("Error: `perhaps` is none of");
    terminal.expect(QUESTION);
    terminal.send("q\r");
    assert_eq!(terminal.finish().0, 255);
}

#[test]
fn a_failure_tried_again() {
    let env = project();
    let mut terminal = start(&env, &["build", "broken.bst"]);
    terminal.expect(QUESTION);
    terminal.send("retry\r");
    terminal.expect("Trying the job again");
    terminal.expect(QUESTION);
    terminal.send("quit\r");
    assert_eq!(terminal.finish().0, 255);
}

#[test]
fn the_log_of_a_failure() {
    let env = project();
    let mut terminal = start(&env, &["build", "broken.bst"]);
    terminal.expect(QUESTION);
    terminal.send("log\r");
    terminal.expect("about to fail");
    terminal.expect(QUESTION);
    terminal.send("quit\r");
    assert_eq!(terminal.finish().0, 255);
}

#[test]
fn a_shell_in_what_failed() {
    let env = project();
    let mut terminal = start(&env, &["--no-colors", "build", "broken.bst"]);
    terminal.expect(QUESTION);
    terminal.send("shell\r");
    terminal.expect("@broken.bst:/buildstream/talk/broken.bst]$ ");
    terminal.send("cat le''ft; echo $((6 * 7))\r");
    terminal.expect("left by the build");
    terminal.expect("42");
    terminal.send("exit\r");
    terminal.expect(QUESTION);
    terminal.send("terminate\r");
    assert_eq!(terminal.finish().0, 255);
}

#[test]
fn nobody_is_asked_who_does_not_want_to_be() {
    let env = project();
    for arguments in
        [&["--no-interactive", "build", "broken.bst"][..], &["--on-error", "quit", "build", "broken.bst"]]
    {
        let (status, whole) = start(&env, arguments).finish();
        assert_eq!(status, 255, "{whole}");
        assert!(!whole.contains("Choice:"), "{whole}");
        env.run(&["artifact", "delete", "broken.bst"]).success();
    }
    let ran = env.run(&["build", "broken.bst"]);
    assert!(!ran.stderr.contains("Choice:"), "{}", ran.stderr);
    assert_eq!(ran.status, 255);
}

#[test]
fn an_interrupt_asks() {
    let env = project();
    let mut terminal = start(&env, &["build", "slow.bst"]);
    terminal.expect("Running commands");
    terminal.send("\x03");
    terminal.expect("(t)erminate");
    terminal.expect(QUESTION);
    terminal.send("continue\r");
    terminal.expect("Continuing");
    terminal.send("\x03");
    terminal.expect(QUESTION);
    terminal.send("terminate\r");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 255, "{whole}");
    assert!(!whole.contains("panicked"), "{whole}");
}

#[test]
fn two_interrupts_end_everything() {
    let env = project();
    let mut terminal = start(&env, &["build", "slow.bst"]);
    terminal.expect("Running commands");
    terminal.send("\x03");
    terminal.expect(QUESTION);
    terminal.send("\x03");
    assert_eq!(terminal.finish().0, 255);
}

#[test]
fn an_interrupt_ends_what_may_not_ask() {
    let env = project();
    let mut terminal = start(&env, &["--no-interactive", "build", "slow.bst"]);
    terminal.expect("Running commands");
    terminal.send("\x03");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 255, "{whole}");
    assert!(!whole.contains("Choice:"), "{whole}");
}

#[test]
fn a_build_is_suspended_and_resumed() {
    let env = project();
    // No other process sleeps for as long; it goes on when this one is ended.
    let word = (3_000_000 + u64::from(std::process::id())).to_string();
    env.files(&format!(
        "=== brief.bst\nkind: manual\nbuild-depends: [base.bst]\nconfig:\n  build-commands:\n  - sleep {word} || true\n"
    ));
    let mut terminal = shell(&env);
    terminal.send("bourn build brief.bst; echo en''ded $?\r");
    terminal.expect("Running commands");
    terminal.send("\x1a");
    terminal.expect("outer> ");
    terminal.send("jobs; echo sa''w\r");
    terminal.expect("topped");
    terminal.expect("saw");
    terminal.send("fg; echo en''ded $?\r");
    // Whoever is still stopped then ends when it is continued.
    crate::downloads::wait_until("the command", || !crate::machine::sleeping(&word).is_empty());
    let sent = std::process::Command::new("kill").args(crate::machine::sleeping(&word)).status();
    assert!(sent.expect("kill").success());
    terminal.expect("ended 0");
    terminal.send("exit 0\r");
    terminal.finish();
    let shown = env.run(&["show", "--deps", "none", "--format", "%{state}", "brief.bst"]).success().stdout;
    assert_eq!(shown, "cached\n");
}

#[test]
fn a_shell_has_job_control_and_the_size_of_the_terminal() {
    let env = project();
    env.run(&["build", "base.bst"]).success();
    let mut terminal = start(&env, &["--no-colors", "shell", "base.bst"]);
    terminal.expect("@base.bst:/]$ ");
    terminal.send("stty size\r");
    terminal.expect("24 80");
    terminal.resize(132, 50);
    terminal.send("stty size\r");
    terminal.expect("50 132");
    // Only what it prints itself shows that it has the terminal.
    terminal.send("sh -c 'echo re\"\"ady; exec sleep 86400'\r");
    terminal.expect("ready");
    terminal.send("\x1a");
    terminal.expect("topped");
    terminal.send("jobs; echo sa''w\r");
    terminal.expect("topped");
    terminal.expect("saw");
    terminal.send("kill -9 %1\rexit 7\rexit 7\r");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 7, "{whole}");
}

#[test]
fn the_live_region_follows_the_size_of_the_terminal() {
    let env = project();
    let mut terminal = start(&env, &["build", "slow.bst"]);
    terminal.expect("Running commands");
    terminal.resize(20, 5);
    terminal.send("\x03");
    terminal.expect(QUESTION);
    terminal.resize(200, 60);
    terminal.send("terminate\r");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 255, "{whole}");
    assert!(!whole.contains("panicked"), "{whole}");
}

#[test]
fn a_project_is_made_by_answering() {
    let env = env();
    let directory = env.path().join("new");
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut command = env.command(&["init"]);
    command.current_dir(&directory);
    let mut terminal = Terminal::start(&command);
    terminal.expect("Project name");
    terminal.expect(": ");
    terminal.send("fresh\r");
    terminal.expect("[2.8]: ");
    terminal.send("\r");
    terminal.expect("[elements]: ");
    terminal.send("\r");
    let (status, whole) = terminal.finish();
    assert_eq!(status, 0, "{whole}");
    assert!(whole.contains("Created project.conf"), "{whole}");
    let text = std::fs::read_to_string(directory.join("project.conf")).expect("project.conf");
    assert!(text.contains("name: fresh"), "{text}");
    env.run_in(&directory, &["show"]).success();
}
