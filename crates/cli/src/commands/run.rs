//! From the arguments to the command they name.

use crate::args::command::{Arguments, Command};
use crate::args::parse::Program;
use crate::args::source::SourceCommand;
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
        Err(failure) => exit::report(&failure, &files, Painter { colors: terminal.colors }, &environment),
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
        command => {
            let settings = Settings::load(program, general, environment.clone(), files)
                .map_err(|wrong| Failure::from(wrong).while_doing("Error loading user configuration"))?;
            with_settings(command, &settings, files)
        }
    }
}

/// The commands that settings mean something for.
fn with_settings(command: &Command, settings: &Settings, files: &Files) -> Outcome {
    let run = |name, work: &dyn Fn(&Invocation<'_>) -> Outcome| {
        Invocation::run(settings, files, name, |invocation| work(invocation))
    };
    match command {
        Command::Build(options) => {
            run(Some("Build"), &|invocation| commands::build::run(invocation, options))
        }
        Command::Source(SourceCommand::Fetch(options)) => {
            run(Some("Fetch"), &|invocation| commands::fetch::run(invocation, options))
        }
        Command::Show(options) => run(None, &|invocation| commands::show::run(invocation, options)),
        _ => Err(Failure::app("This command does not work yet")),
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
