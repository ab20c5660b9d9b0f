//! From the arguments to the command they name.

use crate::args::artifact::ArtifactCommand;
use crate::args::command::{Arguments, Command};
use crate::args::parse::Program;
use crate::args::source::SourceCommand;
use crate::args::value::MessageFormat;
use crate::args::workspace::WorkspaceCommand;
use crate::commands;
use crate::exit::{self, Failure, Outcome};
use crate::invocation::Invocation;
use crate::report::style::Painter;
use crate::settings::environment::Environment;
use crate::settings::resolve::{Settings, Terminal};
use bourn_yaml::Files;
use std::process::ExitCode;

/// Runs the command, reports what went wrong, and answers with the exit status.
pub(crate) fn run(program: Program, arguments: Arguments, environment: Environment) -> ExitCode {
    let terminal = Terminal::new(&arguments.general, &environment);
    let files = Files::default();
    match dispatch(program, &arguments, &environment, terminal, &files) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            let as_event = arguments.general.message_format == Some(MessageFormat::Json);
            exit::report(&failure, &files, Painter { colors: terminal.colors }, as_event, &environment)
        }
    }
}

fn dispatch(
    program: Program,
    arguments: &Arguments,
    environment: &Environment,
    terminal: Terminal,
    files: &Files,
) -> Outcome {
    if arguments.general.version {
        return commands::print::result(&format!("{}\n", program.version()));
    }
    check_streams()?;
    let general = &arguments.general;
    let Some(command) = &arguments.command else { return Ok(0) };
    match command {
        Command::Help(options) => commands::help::run(options, program),
        Command::Init(options) => commands::init::run(options, general, terminal),
        Command::Completions(options) => commands::completions::run(options, program),
        Command::Manual(options) => commands::manual::run(options, program),
        command => {
            let settings = Settings::load(general, environment.clone(), files)
                .map_err(|wrong| Failure::from(wrong).while_doing("Error loading user configuration"))?;
            with_settings(command, &Runner { settings: &settings, files, command })
        }
    }
}

/// Runs commands that settings mean something for.
struct Runner<'a> {
    settings: &'a Settings,
    files: &'a Files,
    command: &'a Command,
}

impl Runner<'_> {
    /// Runs a command within an invocation.
    fn plain(&self, work: impl FnOnce(&Invocation<'_>) -> Outcome) -> Outcome {
        self.run(None, work)
    }

    /// The same in a session of that name, which is told of at its beginning and end.
    fn session(&self, name: &str, work: impl FnOnce(&Invocation<'_>) -> Outcome) -> Outcome {
        self.run(Some(name), work)
    }

    fn run(&self, name: Option<&str>, work: impl FnOnce(&Invocation<'_>) -> Outcome) -> Outcome {
        let remotes = self.command.remotes();
        Invocation::run(self.settings, self.files, remotes, name, |invocation| work(invocation))
    }
}

fn with_settings(command: &Command, run: &Runner<'_>) -> Outcome {
    match command {
        Command::Artifact(command) => artifact(command, run),
        Command::Build(options) => {
            run.session("Build", |invocation| commands::build::run(invocation, options))
        }
        Command::Cache(command) => run.plain(|invocation| commands::cache::run(invocation, command)),
        Command::Doctor(options) => run.plain(|invocation| commands::doctor::run(invocation, options)),
        Command::Explain(options) => run.plain(|invocation| commands::explain::run(invocation, options)),
        Command::Graph(options) => run.plain(|invocation| commands::graph::run(invocation, options)),
        Command::Shell(options) => run.plain(|invocation| commands::shell::run(invocation, options)),
        Command::Show(options) => run.plain(|invocation| commands::show::run(invocation, options)),
        Command::Source(command) => source(command, run),
        Command::Workspace(command) => workspace(command, run),
        // Done before there were settings.
        Command::Completions(_) | Command::Help(_) | Command::Init(_) | Command::Manual(_) => Ok(0),
    }
}

fn artifact(command: &ArtifactCommand, run: &Runner<'_>) -> Outcome {
    use commands::artifact;
    match command {
        ArtifactCommand::Checkout(options) => match artifact::check_options(options) {
            Some(status) => Ok(status),
            None => run.plain(|invocation| artifact::checkout(invocation, options)),
        },
        ArtifactCommand::Delete(options) => run.plain(|invocation| artifact::delete(invocation, options)),
        ArtifactCommand::ListContents(options) => {
            run.plain(|invocation| artifact::list_contents(invocation, options))
        }
        ArtifactCommand::Log(options) => run.plain(|invocation| artifact::log(invocation, options)),
        ArtifactCommand::Pull(options) => {
            run.session("Pull", |invocation| artifact::pull(invocation, options))
        }
        ArtifactCommand::Push(options) => {
            run.session("Push", |invocation| artifact::push(invocation, options))
        }
        ArtifactCommand::Show(options) => run.plain(|invocation| artifact::show(invocation, options)),
    }
}

fn source(command: &SourceCommand, run: &Runner<'_>) -> Outcome {
    use commands::{source_checkout, source_fetch, source_mirror, source_push, track};
    match command {
        SourceCommand::Checkout(options) => match source_checkout::check_options(options) {
            Some(status) => Ok(status),
            None => run.plain(|invocation| source_checkout::run(invocation, options)),
        },
        SourceCommand::Fetch(options) => {
            run.session("Fetch", |invocation| source_fetch::run(invocation, options))
        }
        SourceCommand::Mirror(options) => {
            run.session("Mirror", |invocation| source_mirror::run(invocation, options))
        }
        SourceCommand::Push(options) => {
            run.session("Push", |invocation| source_push::run(invocation, options))
        }
        SourceCommand::Track(options) => run.session("Track", |invocation| track::run(invocation, options)),
    }
}

fn workspace(command: &WorkspaceCommand, run: &Runner<'_>) -> Outcome {
    use commands::workspace;
    match command {
        WorkspaceCommand::Close(options) => run.plain(|invocation| workspace::close(invocation, options)),
        WorkspaceCommand::List => run.plain(workspace::list),
        WorkspaceCommand::Open(options) => run.plain(|invocation| workspace::open(invocation, options)),
        WorkspaceCommand::Reset(options) => run.plain(|invocation| workspace::reset(invocation, options)),
    }
}

/// Output to a stream that does not wait for its reader would get lost.
fn check_streams() -> Result<(), Failure> {
    use rustix::fs::{OFlags, fcntl_getfl};
    let waits =
        |flags: rustix::io::Result<OFlags>| !flags.is_ok_and(|flags| flags.contains(OFlags::NONBLOCK));
    let name = match () {
        () if !waits(fcntl_getfl(std::io::stdout())) => "<stdout>",
        () if !waits(fcntl_getfl(std::io::stderr())) => "<stderr>",
        () => return Ok(()),
    };
    Err(Failure::app(format!("{name} is currently set to O_NONBLOCK, try opening a new shell")))
}
