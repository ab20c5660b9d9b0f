//! What ^C, ^Z and a request to end mean while jobs run.

use crate::commands::prompt;
use crate::invocation::Invocation;
use crate::report::reporter::write_stderr;
use bourn_build::control::Control;
use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::{Handle, Signals};

/// Runs `work` while signals steer it: ^C asks what to do (or ends it where nobody can be asked), ^Z stops everything
/// in the sandboxes with the program, a request to end ends it.
pub(crate) fn steered<T>(invocation: &Invocation<'_>, control: &Control, work: impl FnOnce() -> T) -> T {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGTSTP]) else { return work() };
    let handle = signals.handle();
    std::thread::scope(|scope| {
        // However the work ends, the thread that listens has to.
        let _closed = Closed(handle);
        scope.spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGTSTP => suspend(invocation, control),
                    SIGINT if prompt::is_open() => prompt::interrupt(),
                    SIGINT if invocation.settings.terminal.interactive && !control.is_terminated() => {
                        // In a thread of its own, so that the next ^C is heard.
                        scope.spawn(|| interrupted(invocation, control));
                    }
                    _ => control.terminate(),
                }
            }
        });
        work()
    })
}

struct Closed(Handle);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Stops with everything that runs, as the shell expects of ^Z, and goes on when told to.
fn suspend(invocation: &Invocation<'_>, control: &Control) {
    invocation.reporter.aside(|| {
        control.suspend(true);
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
        control.suspend(false);
    });
}

const MENU: &str = "
User interrupted with ^C

Choose one of the following options:
  (c)ontinue  - Go on as if nothing had been
  (q)uit      - Finish what runs and stop
  (t)erminate - Stop what runs

Pressing ^C again stops everything

";

fn interrupted(invocation: &Invocation<'_>, control: &Control) {
    invocation.reporter.aside(|| {
        control.suspend(true);
        write_stderr(MENU);
        let choices = ["continue", "quit", "terminate"];
        let answer = prompt::ask("Choice:", Some("continue"), |answer| prompt::choice(answer, &choices));
        control.suspend(false);
        match answer {
            Some("continue") => write_stderr("\nContinuing\n\n"),
            Some("quit") => {
                write_stderr("\nFinishing what runs\n\n");
                control.quit();
            }
            _ => {
                write_stderr("\nStopping all jobs\n\n");
                control.terminate();
            }
        }
    });
}
