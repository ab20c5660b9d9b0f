//! What ^C, ^Z and a request to end mean while jobs run.

use crate::commands::prompt;
use crate::invocation::Invocation;
use crate::report::reporter::write_stderr;
use bourn_build::control::Control;
use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::Scope;
use std::time::Duration;

/// Runs `work` while signals steer it: ^C asks what to do (or ends it where nobody can be asked), ^Z stops everything
/// in the sandboxes with the program, a request to end ends it, and another one does not wait for anything.
pub(crate) fn steered<T>(invocation: &Invocation<'_>, control: &Control, work: impl FnOnce() -> T) -> T {
    let Ok(mut signals) = Signals::new(HEARD) else { return work() };
    let handle = signals.handle();
    std::thread::scope(|scope| {
        // However the work ends, the thread that listens has to.
        let flag = unheard();
        let before = flag.swap(false, Ordering::SeqCst);
        let _closed = Closed { handle, flag, before };
        scope.spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGTSTP => suspend(invocation, control),
                    SIGINT if prompt::is_open() => prompt::interrupt(),
                    SIGINT if invocation.settings.terminal.interactive && !control.is_terminated() => {
                        // In a thread of its own, so that the next ^C is heard.
                        scope.spawn(|| interrupted(invocation, control));
                    }
                    _ if control.is_terminated() => give_up(scope, invocation, signal),
                    _ => control.terminate(),
                }
            }
        });
        work()
    })
}

/// What is listened to.
const HEARD: [i32; 3] = [SIGINT, SIGTERM, SIGTSTP];

struct Closed {
    handle: Handle,
    flag: Arc<AtomicBool>,
    before: bool,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.flag.store(self.before, Ordering::SeqCst);
        self.handle.close();
    }
}

/// Whether nobody listens, and signals mean what they mean to any program. A handler that was installed once stays, and
/// would lose them between one piece of work and the next.
fn unheard() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(true));
        for signal in HEARD {
            // Where this fails the signal is lost in between, no worse.
            let _ = register_conditional_default(signal, flag.clone());
        }
        flag
    });
    flag.clone()
}

/// How long the live region may take to be taken away: whoever reads what is said may have stopped to.
const FAREWELL: Duration = Duration::from_millis(200);

/// Ends at once, as programs end that know nothing of signals: something keeps the jobs from stopping. The kernel ends the
/// sandboxes with this process, and the next one sweeps up what it leaves.
fn give_up<'s>(scope: &'s Scope<'s, '_>, invocation: &'s Invocation<'_>, signal: i32) {
    let (tell, told) = mpsc::channel();
    scope.spawn(move || {
        invocation.reporter.finish();
        // Nobody listens any more where it took too long.
        let _ = tell.send(());
    });
    let _ = told.recv_timeout(FAREWELL);
    if emulate_default_handler(signal).is_err() {
        std::process::abort();
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
