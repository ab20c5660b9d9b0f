//! The log file of a job: `LOGDIR/PROJECT/ELEMENT/KEY-ACTION.YYYYMMDD-HHMMSS.log`.
//!
//! It holds the messages of the job and the output of its commands as they come:
//!
//! ```text
//! bourn 0.1.0 - Friday, 20-11-2026 at 23:26:32
//! [--:--:--] START   [cfe42829] hello.bst: Build
//! [00:00:00] SUCCESS [cfe42829] hello.bst: Build
//! ```

use crate::event::{Issuer, MessageKind};
use bourn_reapi::services::{ServiceError, ServiceResult};
use jiff::{Timestamp, tz::TimeZone};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where log files go and how they write time and keys.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// `logdir`.
    pub directory: PathBuf,
    /// How many characters of a key are shown (`logging.key-length`).
    pub key_length: usize,
    /// Whether messages for debugging are kept (`logging.debug`).
    pub debug: bool,
    /// The time zone of the dates in names and headings.
    pub time_zone: TimeZone,
}

impl LogOptions {
    /// A key as it is shown: its first characters, question marks when it is not known.
    pub fn brief<'k>(&self, key: &'k str) -> &'k str {
        key.get(..self.key_length).unwrap_or(key)
    }
}

/// The open log file of one job.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    key_length: usize,
}

/// One message as a log file shows it.
pub struct Line<'a> {
    /// What kind.
    pub kind: MessageKind,
    /// Who speaks.
    pub issuer: Option<&'a Issuer>,
    /// One line.
    pub text: &'a str,
    /// More lines.
    pub detail: Option<&'a str>,
    /// How long the activity took.
    pub elapsed: Option<Duration>,
}

impl LogFile {
    /// Creates the log file `NAME.DATE-TIME.log`, with `name` relative to the log directory. A file that is there
    /// already, from a job of the same second, is continued.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub fn create(options: &LogOptions, name: &str) -> ServiceResult<LogFile> {
        let now = Timestamp::now().to_zoned(options.time_zone.clone());
        let path = options.directory.join(format!("{name}.{}.log", now.strftime("%Y%m%d-%H%M%S")));
        let mut file = open(&path)?;
        let heading =
            format!("bourn {} - {}\n", env!("CARGO_PKG_VERSION"), now.strftime("%A, %d-%m-%Y at %H:%M:%S"));
        let failed = |error| ServiceError::io(&error, "writing", &path);
        file.write_all(heading.as_bytes()).map_err(failed)?;
        Ok(LogFile { path, file, key_length: options.key_length })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a message.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&mut self, line: &Line<'_>) -> ServiceResult<()> {
        self.append(line.render(self.key_length).as_bytes())
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, text: &[u8]) -> ServiceResult<()> {
        self.file.write_all(text).map_err(|error| ServiceError::io(&error, "writing", &self.path))
    }

    /// A second handle on the file, for the output of commands.
    ///
    /// # Errors
    /// No more files can be opened.
    pub fn output(&self) -> ServiceResult<File> {
        self.file.try_clone().map_err(|error| ServiceError::io(&error, "opening", &self.path))
    }
}

fn open(path: &Path) -> ServiceResult<File> {
    let options = || OpenOptions::new().append(true).create(true).open(path);
    options()
        .or_else(|error| match path.parent() {
            Some(directory) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(directory).and_then(|()| options())
            }
            _ => Err(error),
        })
        .map_err(|error| ServiceError::io(&error, "opening the log file", path))
}

impl Line<'_> {
    fn render(&self, key_length: usize) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = match self.elapsed {
            Some(elapsed) if matches!(self.kind, MessageKind::Success | MessageKind::Failure) => {
                let seconds = elapsed.as_secs();
                write!(out, "[{:02}:{:02}:{:02}]", seconds / 3600, seconds / 60 % 60, seconds % 60)
            }
            _ => write!(out, "[--:--:--]"),
        };
        let _ = write!(out, " {:<7}", self.kind.name());
        if let Some(issuer) = self.issuer {
            if let Some(key) = &issuer.key {
                let _ = write!(out, " [{}]", key.full.get(..key_length).unwrap_or(&key.full));
            }
            let _ = write!(out, " {}", issuer.element);
        }
        let _ = writeln!(out, ": {}", self.text);
        if let Some(detail) = self.detail {
            out.push('\n');
            for line in detail.trim_end_matches('\n').split('\n') {
                let _ = writeln!(out, "    {line}");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DisplayKey;

    #[track_caller]
    fn check(
        kind: MessageKind,
        key: Option<&str>,
        detail: Option<&str>,
        elapsed: Option<u64>,
        expected: &str,
    ) {
        let key = key.map(|key| DisplayKey { full: key.into(), strict: true });
        let issuer = Issuer { element: "hello.bst".into(), key };
        let elapsed = elapsed.map(Duration::from_secs);
        let line = Line { kind, issuer: Some(&issuer), text: "Build", detail, elapsed };
        assert_eq!(line.render(8), expected);
    }

    /// Compared with log files of bst 2.8.1.
    #[test]
    fn lines() {
        use MessageKind::*;
        check(
            Start,
            Some("cfe4282974370df2"),
            None,
            None,
            "[--:--:--] START   [cfe42829] hello.bst: Build\n",
        );
        check(Success, None, None, Some(3723), "[01:02:03] SUCCESS hello.bst: Build\n");
        check(Skipped, None, None, Some(1), "[--:--:--] SKIPPED hello.bst: Build\n");
        check(
            Log,
            Some("????????????"),
            Some("a: b\n\nc: d\n\n"),
            None,
            "[--:--:--] LOG     [????????] hello.bst: Build\n\n    a: b\n    \n    c: d\n",
        );
        check(Failure, None, Some(""), Some(0), "[00:00:00] FAILURE hello.bst: Build\n\n    \n");
    }
}
