//! A message as a line, in the format that `logging.message-format` gives; the very lines of bst, since programs
//! read them.

use crate::report::style::{CONTENT, DETAIL, ERROR, FORMAT, PLAIN, Painter, Style};
use crate::report::tail;
use bourn_build::event::{Action, Issuer, MessageKind};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Four spaces before everything that belongs to a line above.
pub(crate) const INDENT: &str = "    ";

/// What a line is made of.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    /// What kind of message.
    pub(crate) kind: MessageKind,
    /// What is being done.
    pub(crate) action: Action,
    /// Whom it is about.
    pub(crate) element: Option<&'a Issuer>,
    /// What is said.
    pub(crate) text: Cow<'a, str>,
    /// More lines.
    pub(crate) detail: Option<Cow<'a, str>>,
    /// How long it took.
    pub(crate) elapsed: Option<Duration>,
    /// The log of the job, where this line is about the job as a whole.
    pub(crate) job_log: Option<&'a Path>,
}

/// How lines are written.
#[derive(Clone, Debug)]
pub(crate) struct LineFormat {
    columns: Vec<Column>,
    /// How many digits of keys are shown.
    pub(crate) key_length: usize,
    /// Whether everything is shown, and the log of failed jobs quoted.
    pub(crate) verbose: bool,
    /// How many lines of a failed job's log are quoted.
    pub(crate) error_lines: usize,
    /// How many lines of a long message are shown.
    pub(crate) message_lines: usize,
    /// Where logs are: left out of their names.
    pub(crate) log_directory: PathBuf,
    /// Colours.
    pub(crate) painter: Painter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Text(String),
    Elapsed { microseconds: bool },
    Wallclock { microseconds: bool },
    Key,
    Element,
    Action,
    Message,
    Debug,
}

/// A `message-format` that cannot be used; the sentence says why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadFormat(pub(crate) String);

impl LineFormat {
    /// Reads `logging.message-format`; with `debug`, every line begins with process and element.
    ///
    /// # Errors
    /// Unknown symbols, a lone `%`.
    pub(crate) fn new(
        format: &str,
        debug: bool,
        logging: &crate::settings::user::Logging,
        log_directory: &Path,
        painter: Painter,
    ) -> Result<LineFormat, BadFormat> {
        let mut columns = parse(format)?;
        if debug {
            columns.insert(0, Column::Debug);
        }
        Ok(LineFormat {
            columns,
            key_length: logging.key_length,
            verbose: logging.verbose,
            error_lines: logging.error_lines,
            message_lines: logging.message_lines,
            log_directory: log_directory.to_path_buf(),
            painter,
        })
    }

    /// The line, its details and, for failed jobs, the end of their log; each ends with a newline.
    pub(crate) fn render(&self, line: &Line<'_>) -> String {
        let mut out = String::with_capacity(128);
        for column in &self.columns {
            self.push_column(&mut out, column, line);
        }
        out.push('\n');
        let detail = line.detail.as_deref().is_some_and(|detail| self.push_detail(&mut out, line, detail));
        let log = match line.job_log {
            Some(log) if line.kind == MessageKind::Failure => self.push_log(&mut out, log),
            _ => false,
        };
        if detail || log {
            out.push('\n');
        }
        out
    }

    fn push_column(&self, out: &mut String, column: &Column, line: &Line<'_>) {
        let painter = self.painter;
        match column {
            Column::Text(text) => painter.push(out, text, FORMAT),
            Column::Elapsed { microseconds } => self.push_elapsed(out, line.elapsed, *microseconds),
            Column::Wallclock { microseconds } => self.push_wallclock(out, *microseconds),
            Column::Key => self.push_key(out, line),
            Column::Element => {
                let action = line.action.name().to_ascii_lowercase();
                painter.push(out, &format!("{action: >8}"), CONTENT);
                painter.push(out, ":", FORMAT);
                let name = line.element.map_or("core activity", |issuer| &issuer.element);
                painter.push(out, &format!("{name: <30}"), CONTENT);
            }
            Column::Action => {
                painter.push(out, &format!("{: <7}", line.kind.name()), kind_style(line.kind));
            }
            Column::Message => self.push_message(out, line),
            Column::Debug => {
                let name = line.element.map_or("n/a", |issuer| &issuer.element);
                painter.push(out, "pid:", FORMAT);
                painter.push(out, &format!("{: <5}", std::process::id()), CONTENT);
                painter.push(out, "element name:", FORMAT);
                painter.push(out, &format!("{name: <30}"), CONTENT);
            }
        }
    }

    /// Appends `HH:MM:SS`, or dashes.
    pub(crate) fn push_elapsed(&self, out: &mut String, elapsed: Option<Duration>, microseconds: bool) {
        let parts = match elapsed {
            None => ["--".to_owned(), "--".to_owned(), "--".to_owned()],
            Some(elapsed) => {
                let seconds = elapsed.as_secs();
                [seconds / 3600, seconds / 60 % 60, seconds % 60].map(|part| format!("{part:02}"))
            }
        };
        self.push_time(out, &parts);
        if microseconds {
            let fraction = match elapsed {
                Some(elapsed) => format!(".{:06}", elapsed.subsec_micros()),
                None => ".------".to_owned(),
            };
            self.painter.push(out, &fraction, CONTENT);
        }
    }

    fn push_wallclock(&self, out: &mut String, microseconds: bool) {
        let now = jiff::Zoned::now();
        self.push_time(out, &[now.hour(), now.minute(), now.second()].map(|part| format!("{part:02}")));
        if microseconds {
            self.painter.push(out, &format!(".{:06}", now.subsec_nanosecond() / 1000), CONTENT);
        }
    }

    fn push_time(&self, out: &mut String, parts: &[String; 3]) {
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.painter.push(out, ":", FORMAT);
            }
            self.painter.push(out, part, CONTENT);
        }
    }

    fn push_key(&self, out: &mut String, line: &Line<'_>) {
        let Some(key) = line.element.and_then(|issuer| issuer.key.as_ref()) else {
            out.extend(std::iter::repeat_n(' ', self.key_length));
            return;
        };
        let brief = &key.full[..self.key_length.min(key.full.len())];
        let style = if is_error(line.kind) { ERROR } else { CONTENT.dim_if(!key.strict) };
        self.painter.push(out, brief, style);
    }

    fn push_message(&self, out: &mut String, line: &Line<'_>) {
        match line.job_log {
            Some(log) if matches!(line.kind, MessageKind::Start | MessageKind::Success) => {
                self.painter.push(out, &self.short_log(log), CONTENT.dim());
            }
            _ => out.push_str(&line.text),
        }
    }

    /// The name of a log file below the directory of logs.
    fn short_log(&self, log: &Path) -> String {
        log.strip_prefix(&self.log_directory).unwrap_or(log).to_string_lossy().into_owned()
    }

    /// Appends the details, shortened. Whether there is anything.
    fn push_detail(&self, out: &mut String, line: &Line<'_>, detail: &str) -> bool {
        let lines: Vec<&str> = detail.lines().collect();
        if lines.is_empty() {
            return false;
        }
        let keeps_all = is_error(line.kind) || line.element.is_none() || lines.len() <= self.message_lines;
        let shown = if keeps_all { &lines[..] } else { &lines[..self.message_lines] };
        let mut text = String::with_capacity(detail.len() + 4 * lines.len());
        for (i, line) in shown.iter().enumerate() {
            text.push_str(INDENT);
            text.push_str(line);
            if !keeps_all || i + 1 < shown.len() {
                text.push('\n');
            }
        }
        if shown.is_empty() {
            text.push_str(INDENT);
        }
        out.push('\n');
        self.painter.push(out, &text, if is_error(line.kind) { ERROR.bold() } else { DETAIL });
        if !keeps_all && self.message_lines > 0 {
            out.push_str(INDENT);
            let more = lines.len() - shown.len();
            self.painter.push(out, &format!("Message contains {more} additional lines"), CONTENT.dim());
        }
        out.push('\n');
        true
    }

    /// Appends the end of a failed job's log, or its name.
    fn push_log(&self, out: &mut String, log: &Path) -> bool {
        let painter = self.painter;
        out.push('\n');
        if !self.verbose {
            out.push_str(INDENT);
            painter.push(out, "Log file: ", ERROR);
            out.push_str(INDENT);
            painter.push(out, &self.short_log(log), ERROR);
            out.push('\n');
        } else if self.error_lines > 0 {
            out.push_str(INDENT);
            let title = format!("Printing the last {} lines from log file:", self.error_lines);
            painter.push(out, &title, ERROR);
            out.push_str(&format!("\n{INDENT}"));
            painter.push(out, &log.to_string_lossy(), ERROR);
            let rule = "=".repeat(70);
            out.push_str(&format!("\n{INDENT}"));
            painter.push(out, &rule, ERROR);
            out.push('\n');
            painter.push(out, &indent(&tail::last_lines(log, self.error_lines), INDENT), DETAIL);
            out.push_str(&format!("\n{INDENT}"));
            painter.push(out, &rule, ERROR);
            out.push('\n');
        }
        true
    }
}

/// Puts `prefix` before every line that holds more than white space.
pub(crate) fn indent(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            out.push_str(prefix);
        }
        out.push_str(line);
    }
    out
}

/// Whether messages of that kind are failures.
pub(crate) fn is_error(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::Failure | MessageKind::Error | MessageKind::Bug)
}

fn kind_style(kind: MessageKind) -> Style {
    let color = match kind {
        MessageKind::Debug | MessageKind::Status => 36,
        MessageKind::Info => 35,
        MessageKind::Warn | MessageKind::Skipped => 33,
        MessageKind::Start => 34,
        MessageKind::Success => 32,
        MessageKind::Failure | MessageKind::Error | MessageKind::Bug => 31,
        MessageKind::Log => return PLAIN,
    };
    Style::color(color).bold().dim()
}

fn parse(format: &str) -> Result<Vec<Column>, BadFormat> {
    let mut columns = Vec::new();
    let mut rest = format;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("%%") {
            columns.push(Column::Text("%".to_owned()));
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("%{").and_then(|inner| inner.split_once('}')) {
            columns.push(column(name)?);
            rest = after;
        } else if rest.starts_with('%') {
            return Err(BadFormat(format!("'{rest}' could not be parsed into a valid logging format.")));
        } else {
            let end = rest.find('%').unwrap_or(rest.len());
            columns.push(Column::Text(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(columns)
}

fn column(name: &str) -> Result<Column, BadFormat> {
    Ok(match name {
        "elapsed" => Column::Elapsed { microseconds: false },
        "elapsed-us" => Column::Elapsed { microseconds: true },
        "wallclock" => Column::Wallclock { microseconds: false },
        "wallclock-us" => Column::Wallclock { microseconds: true },
        "key" => Column::Key,
        "element" => Column::Element,
        "action" => Column::Action,
        "message" => Column::Message,
        _ => return Err(BadFormat(format!("'{name}' is not a valid log variable name."))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::user::Logging;
    use bourn_build::event::DisplayKey;

    fn logging() -> Logging {
        Logging {
            key_length: 8,
            verbose: true,
            verbose_is_explicit: false,
            debug: false,
            error_lines: 2,
            message_lines: 2,
            element_format: String::new(),
            message_format: String::new(),
        }
    }

    fn format(text: &str) -> Result<LineFormat, BadFormat> {
        LineFormat::new(text, false, &logging(), Path::new("/logs"), Painter { colors: false })
    }

    fn line(kind: MessageKind, text: &'static str) -> Line<'static> {
        Line {
            kind,
            action: Action::Main,
            element: None,
            text: text.into(),
            detail: None,
            elapsed: None,
            job_log: None,
        }
    }

    fn check(line: &Line<'_>, expect: &str) {
        let format = format("[%{elapsed}][%{key}][%{element}] %{action} %{message}").expect("a good format");
        assert_eq!(format.render(line), expect);
    }

    fn issuer() -> Issuer {
        let key = DisplayKey { full: "8c2df410b1151bcd".into(), strict: true };
        Issuer { element: "hello.bst".into(), key: Some(key) }
    }

    // What bst 2.8.1 printed for the same messages.
    #[test]
    fn lines_of_the_reference() {
        let hello = issuer();
        let build = |kind, text| Line { action: Action::Build, element: Some(&hello), ..line(kind, text) };
        check(
            &line(MessageKind::Start, "Build"),
            "[--:--:--][        ][    main:core activity                 ] START   Build\n",
        );
        let elapsed = Some(Duration::from_millis(3_723_400));
        check(
            &Line { elapsed, ..build(MessageKind::Success, "Staging sources") },
            "[01:02:03][8c2df410][   build:hello.bst                     ] SUCCESS Staging sources\n",
        );
        check(
            &Line {
                job_log: Some(Path::new("/logs/test/hello/8c2df410-build.20261120-232332.log")),
                ..build(MessageKind::Start, "Build")
            },
            "[--:--:--][8c2df410][   build:hello.bst                     ] START   \
             test/hello/8c2df410-build.20261120-232332.log\n",
        );
        check(
            &Line {
                detail: Some("echo one\necho two\n".into()),
                ..build(MessageKind::Start, "Running commands")
            },
            "[--:--:--][8c2df410][   build:hello.bst                     ] START   Running commands\n\n    \
             echo one\n    echo two\n\n",
        );
        check(
            &Line { detail: Some("1\n2\n3\n4".into()), ..build(MessageKind::Info, "Long") },
            "[--:--:--][8c2df410][   build:hello.bst                     ] INFO    Long\n\n    \
             1\n    2\n    Message contains 2 additional lines\n\n",
        );
    }

    #[test]
    fn failed_jobs_quote_their_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("x.log");
        std::fs::write(&log, "one\ntwo\n  three\n").expect("written");
        let hello = issuer();
        let failure = Line {
            action: Action::Build,
            element: Some(&hello),
            job_log: Some(&log),
            elapsed: Some(Duration::ZERO),
            ..line(MessageKind::Failure, "It broke")
        };
        let rule = "=".repeat(70);
        check(
            &failure,
            &format!(
                "[00:00:00][8c2df410][   build:hello.bst                     ] FAILURE It broke\n\n    \
                 Printing the last 2 lines from log file:\n    {}\n    {rule}\n    two\n      three\n    {rule}\n\n",
                log.display()
            ),
        );
    }

    #[test]
    fn formats() {
        let custom =
            format("%{elapsed-us},%{key},%{element},%{action},%{message},100%%").expect("a good format");
        assert_eq!(
            custom.render(&line(MessageKind::Info, "Hi")),
            "--:--:--.------,        ,    main:core activity                 ,INFO   ,Hi,100%\n"
        );
        assert_eq!(
            format("%{pony}").err(),
            Some(BadFormat("'pony' is not a valid log variable name.".into()))
        );
        assert!(format("a % b").is_err());
    }
}
