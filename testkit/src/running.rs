//! Programs that run beside a test, and are told to end.

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// After this a test has failed that waits for something: nothing takes so long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A command that signals reach as they do any program. Whoever starts the tests in the background of a script has the
/// interruption ignored by all that they start.
pub fn interruptible(command: &Command) -> Command {
    let mut started = Command::new("env");
    started.arg("--default-signal=INT,TERM").arg(command.get_program()).args(command.get_args());
    started.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    started
}

/// Sends a signal, given by its name without `SIG`.
///
/// # Panics
/// When there is no such signal or no such process any more.
#[track_caller]
pub fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Waits for the end of a program, which is called `about` if it does not come.
///
/// # Panics
/// When it does not end.
#[track_caller]
pub fn ended(child: &mut Child, about: &str) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{about}: it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
