//! A terminal for programs that talk to people: what they write is waited for, and answers are typed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// How long something may take to appear before a test gives up, in seconds. Nothing waits that long when all is well.
const PATIENCE: i64 = 60;

/// A terminal in which a program runs, in a session of its own and in the foreground.
pub struct Terminal {
    ours: File,
    child: Child,
    seen: String,
    whole: String,
}

impl Terminal {
    /// Starts a program in a new terminal of 80 columns and 24 rows. Arguments, environment and directory are taken
    /// from `command`.
    ///
    /// # Panics
    /// There is no terminal to be had, or the program cannot be started.
    pub fn start(command: &Command) -> Terminal {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs: OwnedFd = rustix::fs::open(&name, flags, Mode::empty()).expect("opened");
        let copy = || theirs.try_clone().expect("another descriptor");
        let mut started = Command::new("setsid");
        started.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args()).env_clear();
        started.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            started.current_dir(directory);
        }
        started.stdin(copy()).stdout(copy()).stderr(copy()).process_group(0);
        // Before anybody can look: what begins with one size and is told of another draws twice.
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("a size");
        let child = started.spawn().expect("setsid, of util-linux");
        Terminal { ours: ours.into(), child, seen: String::new(), whole: String::new() }
    }

    /// Makes the terminal as large as that, and says so to what runs in it.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).expect("a size");
    }

    /// Types something: `\r` is the return key, `\x03` ^C, `\x1a` ^Z.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn send(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).expect("typed");
    }

    /// Reads on until the text appears, and answers with what came before it. What was read is not looked at again.
    ///
    /// # Panics
    /// It does not appear.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        while !self.seen.contains(text) {
            assert!(self.read(), "`{text}` did not appear in:\n{}", self.whole);
        }
        let start = self.seen.find(text).unwrap_or_default();
        let before = self.seen[..start].to_owned();
        self.seen.drain(..start + text.len());
        before
    }

    /// Waits for the program to end. Answers with its status and everything that was written.
    ///
    /// # Panics
    /// It does not end.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        while self.read() {}
        let status = self.child.wait().expect("it ends");
        (status.code().unwrap_or(-1), std::mem::take(&mut self.whole))
    }

    /// Everything that was written so far.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Reads some more. `false` when nobody has the terminal any more, or nothing came for very long.
    fn read(&mut self) -> bool {
        let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let mut waited = [PollFd::new(&self.ours, PollFlags::IN)];
        match poll(&mut waited, Some(&patience)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => assert_eq!(error, rustix::io::Errno::INTR, "waiting for the terminal"),
        }
        let mut buffer = [0; 4096];
        let Ok(length @ 1..) = self.ours.read(&mut buffer) else { return false };
        let text = String::from_utf8_lossy(&buffer[..length]);
        self.seen.push_str(&text);
        self.whole.push_str(&text);
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal hangs up when it is closed, which ends whatever is left in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
