//! The live region at the bottom of a terminal: what runs, for how long, and what is left.

use crate::report::estimate::Estimate;
use crate::report::rate::Rate;
use crate::report::style::{CONTENT, ERROR, FORMAT, PLAIN, Painter, SUCCESS, Style};
use crate::report::tally::Tally;
use bourn_build::event::{Action, Event, JobId, MessageKind};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The most jobs shown, however high the terminal.
const MOST_JOBS: usize = 16;
/// Columns of the bar.
const BAR: usize = 24;

/// What the region shows, and how much of it stands on the screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    jobs: BTreeMap<JobId, Running>,
    /// Activities of the program itself, the innermost last.
    activities: Vec<(String, Instant)>,
    estimate: Estimate,
    /// Lines that are on the screen now.
    drawn: usize,
    /// Whether the terminal belongs to somebody else (a question, a shell).
    paused: bool,
}

#[derive(Debug)]
struct Running {
    action: Action,
    element: String,
    since: Instant,
    doing: String,
    transferred: Option<(u64, Option<u64>)>,
    rate: Rate,
}

impl Screen {
    /// Takes an event into account.
    pub(crate) fn note(&mut self, event: &Event) {
        self.estimate.note(event);
        match event {
            Event::JobStarted { job, subject, .. } => {
                let element = subject.element.as_ref().map(|issuer| issuer.element.to_string());
                let running = Running {
                    action: subject.action,
                    element: element.unwrap_or_default(),
                    since: Instant::now(),
                    doing: String::new(),
                    transferred: None,
                    rate: Rate::default(),
                };
                self.jobs.insert(*job, running);
            }
            Event::JobFinished { job, .. } => {
                self.jobs.remove(job);
            }
            Event::Progress { job, done, total } => {
                if let Some(running) = self.jobs.get_mut(job) {
                    running.transferred = Some((*done, *total));
                    running.rate.note(Instant::now(), *done);
                }
            }
            Event::Message(message) => match message.subject.job {
                Some(job) => {
                    let doing = matches!(message.kind, MessageKind::Start | MessageKind::Status);
                    if let Some(running) = self.jobs.get_mut(&job).filter(|_| doing) {
                        running.doing.clone_from(&message.text);
                        running.transferred = None;
                        running.rate = Rate::default();
                    }
                }
                None => self.note_activity(message.kind, &message.text),
            },
            Event::Planned { .. }
            | Event::JobRetried { .. }
            | Event::Passed { .. }
            | Event::WorkspaceBuilt { .. } => {}
        }
    }

    /// Sets how much there is to do.
    pub(crate) fn expect(&mut self, estimate: Estimate) {
        self.estimate = estimate;
    }

    fn note_activity(&mut self, kind: MessageKind, text: &str) {
        match kind {
            MessageKind::Start => self.activities.push((text.to_owned(), Instant::now())),
            MessageKind::Success | MessageKind::Failure => {
                if let Some(at) = self.activities.iter().rposition(|(name, _)| name == text) {
                    self.activities.truncate(at);
                }
            }
            _ => {}
        }
    }

    /// Leaves the terminal to somebody else (`true`), or takes it back. Appends what that takes.
    pub(crate) fn pause(&mut self, out: &mut String, paused: bool) {
        self.erase(out);
        self.paused = paused;
    }

    /// Takes the region off the screen.
    pub(crate) fn erase(&mut self, out: &mut String) {
        if self.drawn > 0 {
            // Up, to the first column, and everything below away.
            let _ = write!(out, "\x1b[{}A\r\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    /// Draws the region anew.
    pub(crate) fn draw(&mut self, out: &mut String, view: &View<'_>) {
        if self.paused {
            return;
        }
        self.erase(out);
        for line in self.lines(view) {
            out.push_str(&line);
            out.push('\n');
            self.drawn += 1;
        }
    }

    fn lines(&self, view: &View<'_>) -> Vec<String> {
        let room = view.rows.saturating_sub(4).clamp(1, MOST_JOBS);
        let mut lines: Vec<String> = self.jobs.values().take(room).map(|job| job.line(view)).collect();
        if self.jobs.len() > room {
            lines.push(Cells::new(view).add(&format!("  and {} more", self.jobs.len() - room), FORMAT).line);
        }
        if !view.tally.queues.is_empty() && self.activities.len() <= 1 {
            lines.push(bar(view, self.left()));
        } else if let Some((activity, since)) = self.activities.last() {
            let time = clock(since.elapsed());
            lines.push(Cells::new(view).add(&time, CONTENT).add(&format!(" {activity}"), PLAIN).line);
        }
        lines
    }

    fn left(&self) -> Option<Duration> {
        let running = self.jobs.values().filter(|job| job.action == Action::Build);
        let running: HashMap<&str, Duration> =
            running.map(|job| (job.element.as_str(), job.since.elapsed())).collect();
        self.estimate.left(|element| running.get(element).copied())
    }
}

/// What drawing needs to know.
pub(crate) struct View<'a> {
    /// Counts.
    pub(crate) tally: &'a Tally,
    /// Time since the program began.
    pub(crate) elapsed: Duration,
    /// Columns of the terminal.
    pub(crate) columns: usize,
    /// Its rows.
    pub(crate) rows: usize,
    /// Colours.
    pub(crate) painter: Painter,
}

impl Running {
    fn line(&self, view: &View<'_>) -> String {
        let action = self.action.name().to_ascii_lowercase();
        let cells = Cells::new(view)
            .add(&clock(self.since.elapsed()), CONTENT)
            .add(&format!(" {action: <6}"), FORMAT)
            .add(&format!(" {}", self.element), CONTENT.bold());
        let doing = match self.transferred {
            Some((done, Some(total))) => format!("  {} of {}", size(done), size(total)),
            Some((done, None)) => format!("  {}", size(done)),
            None => format!("  {}", self.doing),
        };
        let rate = self.rate.per_second(Instant::now()).map(|rate| format!("  {}/s", size(rate)));
        cells.add(&doing, PLAIN).add(&rate.unwrap_or_default(), FORMAT).line
    }
}

/// The line that counts.
fn bar(view: &View<'_>, left: Option<Duration>) -> String {
    let queues = &view.tally.queues;
    let last = queues.values().next_back();
    let total = queues.values().map(|queue| queue.total).max().unwrap_or(0);
    let done = last.map_or(0, |queue| queue.processed + queue.skipped + queue.failed.len()).min(total);
    let filled = (BAR * done).checked_div(total).unwrap_or(BAR);
    let mut cells = Cells::new(view)
        .add(&clock(view.elapsed), CONTENT)
        .add(" ", PLAIN)
        .add(&"━".repeat(filled), SUCCESS)
        .add(&"─".repeat(BAR - filled), FORMAT)
        .add(&format!(" {done}/{total}"), CONTENT);
    for (action, queue) in queues {
        if queue.processed > 0 {
            cells = cells.add(&format!("  {} {}", past(*action), queue.processed), SUCCESS);
        }
    }
    let cached = queues.get(&Action::Build).map_or(0, |queue| queue.skipped);
    if cached > 0 {
        cells = cells.add(&format!("  cached {cached}"), FORMAT);
    }
    let failed: usize = queues.values().map(|queue| queue.failed.len()).sum();
    if failed > 0 {
        cells = cells.add(&format!("  failed {failed}"), ERROR.bold());
    }
    if let Some(left) = left {
        cells = cells.add(&format!("  about {} left", roughly(left)), FORMAT);
    }
    cells.line
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Track => "tracked",
        Action::Fetch => "fetched",
        Action::Pull => "pulled",
        Action::Build => "built",
        Action::Push | Action::SourcePush => "pushed",
        Action::Mirror => "mirrored",
        Action::Main | Action::Query => "done",
    }
}

/// A line that ends where the terminal does.
struct Cells {
    line: String,
    room: usize,
    painter: Painter,
}

impl Cells {
    fn new(view: &View<'_>) -> Cells {
        Cells { line: String::new(), room: view.columns.saturating_sub(1), painter: view.painter }
    }

    fn add(mut self, text: &str, style: Style) -> Cells {
        let end = text.char_indices().nth(self.room).map_or(text.len(), |(at, _)| at);
        let shown: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.room -= shown.chars().count();
        self.painter.push(&mut self.line, &shown, style);
        self
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A time as one would say it.
fn roughly(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=90 => format!("{} s", seconds.max(1)),
        seconds @ 91..=5400 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

fn size(bytes: u64) -> String {
    crate::settings::size::pretty(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::estimate::Expected;
    use bourn_build::event::{Issuer, Subject};

    fn started(job: u64, element: &str) -> Event {
        let subject = Subject {
            job: Some(JobId(job)),
            action: Action::Build,
            element: Some(Issuer { element: element.into(), key: None }),
            speaker: None,
        };
        Event::JobStarted { job: JobId(job), subject, log: None }
    }

    fn draw(screen: &mut Screen, tally: &Tally, columns: usize, rows: usize) -> String {
        let elapsed = Duration::from_secs(75);
        let painter = Painter { colors: false };
        let view = View { tally, elapsed, columns, rows, painter };
        let mut out = String::new();
        screen.draw(&mut out, &view);
        out
    }

    #[test]
    fn jobs_and_counts() {
        let mut screen = Screen::default();
        let expected = Expected { alone: Duration::from_secs(120), chain: Duration::from_secs(120) };
        screen.expect(Estimate::new([("other.bst".to_owned(), expected)].into(), 1));
        let mut tally = Tally::default();
        tally.count(&Event::Planned { queues: vec![(Action::Fetch, 4), (Action::Build, 4)] });
        tally.count(&Event::Passed { queue: Action::Build, element: "x.bst".into() });
        for job in 0..3 {
            screen.note(&started(job, &format!("e{job}.bst")));
        }
        let bar = "━━━━━━──────────────────";
        assert_eq!(
            draw(&mut screen, &tally, 100, 50),
            format!(
                "00:00 build  e0.bst  \n00:00 build  e1.bst  \n00:00 build  e2.bst  \n\
                 01:15 {bar} 1/4  cached 1  about 2 min left\n"
            )
        );
        // Few rows and columns: fewer jobs, shorter lines; what was drawn before goes away first.
        assert_eq!(
            draw(&mut screen, &tally, 18, 6),
            "\x1b[4A\r\x1b[J00:00 build  e0.b\n00:00 build  e1.b\n  and 1 more\n01:15 ━━━━━━─────\n"
        );
        let mut out = String::new();
        screen.pause(&mut out, true);
        assert_eq!(out, "\x1b[4A\r\x1b[J");
        assert_eq!(draw(&mut screen, &tally, 80, 24), "");
    }

    #[test]
    fn times() {
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
        for (seconds, expect) in [(0, "1 s"), (45, "45 s"), (600, "10 min"), (9000, "2.5 h")] {
            assert_eq!(roughly(Duration::from_secs(seconds)), expect);
        }
    }
}
