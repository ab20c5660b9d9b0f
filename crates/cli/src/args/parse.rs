//! From the words of the command line to [`Arguments`].

use crate::args::command::Arguments;
use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::error::ErrorKind;
use clap::{ColorChoice, Command, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The program as it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// By its own name.
    Bourn,
    /// As `bst`: what it prints about itself is what BuildStream would print.
    Bst,
}

impl Program {
    /// Looks at the name that the program was called by.
    pub(crate) fn called_as(argv0: Option<&OsString>) -> Program {
        match argv0.and_then(|path| Path::new(path).file_name()) {
            Some(name) if name == "bst" => Program::Bst,
            _ => Program::Bourn,
        }
    }

    /// The name, for usage lines and hints.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Bourn => "bourn",
            Program::Bst => "bst",
        }
    }

    /// What `--version` prints.
    pub(crate) fn version(self) -> String {
        match self {
            Program::Bourn => {
                format!("bourn {} (as BuildStream {})", env!("CARGO_PKG_VERSION"), crate::COMPATIBLE_VERSION)
            }
            Program::Bst => crate::COMPATIBLE_VERSION.to_owned(),
        }
    }
}

/// Why there are no arguments to go on with: help was asked for, or something was wrong with them.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What to print.
    pub(crate) text: clap::builder::StyledStr,
    /// Whether to print it on standard error.
    pub(crate) to_stderr: bool,
    /// The exit status.
    pub(crate) status: u8,
}

impl Stop {
    /// Prints the text where it belongs and answers with the status.
    pub(crate) fn print(&self) -> ExitCode {
        use std::io::{IsTerminal, Write};
        let colors = match self.to_stderr {
            true => std::io::stderr().is_terminal(),
            false => std::io::stdout().is_terminal(),
        };
        let colors = colors && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let text = if colors { self.text.ansi().to_string() } else { self.text.to_string() };
        // When the stream is closed there is nobody to tell.
        let _ = match self.to_stderr {
            true => std::io::stderr().lock().write_all(text.as_bytes()),
            false => std::io::stdout().lock().write_all(text.as_bytes()),
        };
        ExitCode::from(self.status)
    }
}

/// Commands and options that bst does not have: called as `bst` they work, but are not shown.
const OWN_COMMANDS: [&str; 7] = ["cache", "completions", "doctor", "explain", "graph", "manual", "mirror"];
const OWN_OPTIONS: [&str; 1] = ["message_format"];

const TEMPLATE: &str = "{usage-heading} {usage}\n\n{about-with-newline}\n{all-args}{after-help}";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Yellow.on_default())
    .placeholder(AnsiColor::Blue.on_default())
    .error(AnsiColor::Red.on_default().effects(Effects::BOLD))
    .invalid(AnsiColor::Red.on_default());

/// Reads the command line.
///
/// # Errors
/// Help that was asked for, and every mistake in usage (status 2).
pub(crate) fn parse(program: Program, argv: &[OsString]) -> Result<Arguments, Stop> {
    let mut command = command(program);
    let words = std::iter::once(OsString::from(program.name())).chain(argv.iter().skip(1).cloned());
    let matches = command.try_get_matches_from_mut(words).map_err(|error| stop(&error))?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(|error| stop(&error))?;
    if arguments.command.is_none() && !arguments.general.version {
        return Err(Stop { text: command.render_help(), to_stderr: true, status: 2 });
    }
    check_paths(&arguments).map_err(|text| stop(&command.error(ErrorKind::ValueValidation, text)))?;
    Ok(arguments)
}

/// The whole tree of commands, as this program is called.
pub(crate) fn command(program: Program) -> Command {
    prepare(Arguments::command().name(program.name()).bin_name(program.name()).styles(STYLES), program)
}

/// What every command has in common: the last of two equal options wins, values may begin with a dash.
fn prepare(command: Command, program: Program) -> Command {
    let command = command.args_override_self(true).help_template(TEMPLATE).color(ColorChoice::Auto);
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.after_help(help.replace("bourn", program.name())),
        None => command,
    };
    let as_bst = program == Program::Bst;
    let command = command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values() && !arg.is_positional();
        let arg = if takes_value { arg.allow_hyphen_values(true) } else { arg };
        if as_bst && OWN_OPTIONS.contains(&arg.get_id().as_str()) { arg.hide(true) } else { arg }
    });
    command.mut_subcommands(|sub| {
        let hidden = as_bst && OWN_COMMANDS.contains(&sub.get_name());
        prepare(sub, program).hide(hidden)
    })
}

fn stop(error: &clap::Error) -> Stop {
    Stop {
        text: error.render(),
        to_stderr: error.use_stderr(),
        status: u8::try_from(error.exit_code()).unwrap_or(2),
    }
}

/// The options before the command that name paths are checked as usage, before anything is done.
fn check_paths(arguments: &Arguments) -> Result<(), String> {
    if let Some(config) = &arguments.general.config {
        let path = Path::new(config);
        if path.is_dir() {
            return Err(format!("Invalid value for '--config' / '-c': File '{config}' is a directory."));
        }
        if !path.exists() {
            return Err(format!("Invalid value for '--config' / '-c': File '{config}' does not exist."));
        }
    }
    match &arguments.general.directory {
        Some(directory) if Path::new(directory).is_file() => {
            Err(format!("Invalid value for '--directory' / '-C': Directory '{directory}' is a file."))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::command::Command as Chosen;
    use crate::args::value::Selection;

    fn read(line: &str) -> Result<Arguments, Stop> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(Program::Bst, &words)
    }

    /// Checks the status that the line ends with, and a part of what it prints.
    fn check_stop(line: &str, status: u8, part: &str) {
        let stop = read(line).expect_err(line);
        assert_eq!(stop.status, status, "{line}");
        let text = stop.text.to_string();
        assert!(text.contains(part), "{line}: {text}");
    }

    #[test]
    fn the_tree_of_commands_is_consistent() {
        command(Program::Bourn).debug_assert();
    }

    #[test]
    fn usage_errors() {
        check_stop("bst", 2, "Usage: bst");
        check_stop("bst artifact", 2, "Usage: bst artifact");
        check_stop("bst build --pony", 2, "--pony");
        check_stop("bst buil", 2, "build");
        check_stop("bst --fetchers x build", 2, "'x'");
        check_stop("bst show --deps pony", 2, "pony");
        check_stop("bst workspace open", 2, "ELEMENTS");
        check_stop("bst -c /nonexistent build", 2, "does not exist");
        check_stop("bst -C /etc/passwd build", 2, "is a file");
        check_stop("bst build --artifact-remote pony=1,url=2", 2, "Unexpected key 'pony'");
    }

    #[test]
    fn help_is_no_error() {
        for line in ["bst --help", "bst -h", "bst build --help", "bst workspace open -h"] {
            let stop = read(line).expect_err(line);
            assert_eq!((stop.status, stop.to_stderr), (0, false), "{line}");
            assert!(stop.text.to_string().starts_with("Usage: bst"), "{line}");
        }
    }

    #[test]
    fn the_last_of_two_options_wins() {
        let arguments =
            read("bst --verbose --no-verbose --builders 1 --builders 2 show --deps run --deps none")
                .expect("a good line");
        assert_eq!(arguments.general.verbose(), Some(false));
        assert_eq!(arguments.general.builders, Some(2));
        let Some(Chosen::Show(show)) = arguments.command else { panic!("not `show`") };
        assert_eq!(show.deps, Selection::None);
    }

    #[test]
    fn options_take_two_words() {
        let arguments = read("bst -o arch -x --option debug True show").expect("a good line");
        let pairs = [("arch", "-x"), ("debug", "True")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(arguments.general.options(), pairs);
    }

    #[test]
    fn shells_take_elements_and_a_command() {
        for (line, elements, command) in [
            ("bst shell a.bst", "a.bst", ""),
            ("bst shell a.bst -- df -h", "a.bst", "df -h"),
            ("bst shell a.bst sh -- -c true", "a.bst", "sh -c true"),
            ("bst shell a.bst b.bst -- ls", "a.bst b.bst", "ls"),
            ("bst shell test/a/key ls x.bst", "test/a/key", "ls x.bst"),
        ] {
            let Some(Chosen::Shell(shell)) = read(line).expect("a good line").command else {
                panic!("{line}")
            };
            let (targets, words) = shell.split();
            assert_eq!((targets.join(" ").as_str(), words.join(" ").as_str()), (elements, command), "{line}");
        }
    }
}
