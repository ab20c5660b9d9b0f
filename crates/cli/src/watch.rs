//! What listens to the jobs of a run: it reports what they say, and answers when they fail.

use crate::args::value::OnError;
use crate::commands::prompt;
use crate::invocation::Invocation;
use crate::report::reporter::write_stderr;
use bourn_build::event::{Decision, Event, Failure, JobId, MessageKind, Sink, Subject};

/// The sink of a run.
pub(crate) struct Watch<'a> {
    invocation: &'a Invocation<'a>,
    /// What to offer when a build failed: entering what it left.
    shell: Option<&'a (dyn Fn(&Subject) + Sync)>,
}

impl<'a> Watch<'a> {
    /// For the jobs of a command.
    pub(crate) fn new(invocation: &'a Invocation<'a>) -> Watch<'a> {
        Watch { invocation, shell: None }
    }

    /// Offers a shell in what failed builds left.
    pub(crate) fn with_shell(self, shell: &'a (dyn Fn(&Subject) + Sync)) -> Watch<'a> {
        Watch { shell: Some(shell), ..self }
    }
}

impl Sink for Watch<'_> {
    fn event(&self, event: Event) {
        self.invocation.reporter.event(&event);
        if let Event::WorkspaceBuilt { element, key } = &event {
            self.note_build(element, key);
        }
    }

    fn failed(&self, job: JobId, subject: &Subject, failure: &Failure) -> Decision {
        let settings = self.invocation.settings;
        if !settings.ask_on_failure {
            return match settings.on_error() {
                OnError::Continue => Decision::Continue,
                OnError::Quit => Decision::Quit,
                OnError::Terminate => Decision::Terminate,
            };
        }
        self.invocation.reporter.aside(|| self.ask(job, subject, failure))
    }
}

impl Watch<'_> {
    /// Keeps the key of the last build in a workspace, so that the next goes on from there.
    fn note_build(&self, element: &str, key: &str) {
        let kept = self.invocation.workspaces().and_then(|mut workspaces| {
            match workspaces.set_last_build(element, Some(key)) {
                true => workspaces.save(),
                false => Ok(()),
            }
        });
        if let Err(failure) = kept {
            let text = format!("Error saving workspaces: {}", failure.message);
            self.invocation.reporter.message(MessageKind::Error, &text, None, None);
        }
    }

    /// Asks what to do, until the answer is one that ends the question.
    fn ask(&self, job: JobId, subject: &Subject, failure: &Failure) -> Decision {
        let log = self.invocation.reporter.log_of(job);
        let shell = self.shell.filter(|_| failure.sandbox);
        let element = subject.element.as_ref().map_or("", |issuer| &issuer.element);
        let mut menu = format!(
            "\n{} failure on element: {element}\n\n\
             Choose one of the following options:\n  \
             (c)ontinue  - Go on with all that does not need this element\n  \
             (q)uit      - Finish what runs and stop\n  \
             (t)erminate - Stop what runs\n  \
             (r)etry     - Try this job again\n",
            subject.action.name()
        );
        let mut choices = vec!["continue", "quit", "terminate", "retry"];
        if log.is_some() {
            menu.push_str("  (l)og       - Read the whole log\n");
            choices.push("log");
        }
        if shell.is_some() {
            menu.push_str("  (s)hell     - Enter the sandbox that the build left\n");
            choices.push("shell");
        }
        menu.push_str("\nPressing ^C stops everything\n\n");
        loop {
            write_stderr(&menu);
            let answer = prompt::ask("Choice:", Some("continue"), |answer| prompt::choice(answer, &choices));
            match (answer, &log, shell) {
                (Some("continue"), ..) => return said("Continuing with other elements", Decision::Continue),
                (Some("quit"), ..) => return said("Finishing what runs", Decision::Quit),
                (Some("retry"), ..) => return said("Trying the job again", Decision::Retry),
                (Some("log"), Some(log), _) => {
                    crate::pager::show_file(log, &self.invocation.settings.environment)
                }
                (Some("shell"), _, Some(shell)) => {
                    write_stderr("\nEntering the sandbox that the build left\n\n");
                    shell(subject);
                }
                _ => return said("Stopping all jobs", Decision::Terminate),
            }
        }
    }
}

fn said(text: &str, decision: Decision) -> Decision {
    write_stderr(&format!("\n{text}\n\n"));
    decision
}
