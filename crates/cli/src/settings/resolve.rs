//! The meaning of everything together: the command line over the user's configuration over the defaults.

use crate::args::general::General;
use crate::args::value::{MessageFormat, OnError};
use crate::settings::environment::Environment;
use crate::settings::user::UserConfig;
use bourn_yaml::{Diagnostics, Files};
use std::io::IsTerminal;
use std::path::PathBuf;

/// How messages reach the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    /// bst's lines.
    Lines,
    /// A live region on a terminal.
    Live,
    /// JSON, a line per event.
    Json,
}

/// What the terminal allows, known before any configuration is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Whether both output streams are terminals.
    pub(crate) is_terminal: bool,
    /// Whether text may be coloured.
    pub(crate) colors: bool,
    /// Whether questions may be asked.
    pub(crate) interactive: bool,
}

impl Terminal {
    /// Looks at the standard streams.
    pub(crate) fn new(general: &General, environment: &Environment) -> Terminal {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let wanted = is_terminal && environment.get("NO_COLOR").is_none();
        Terminal {
            is_terminal,
            colors: general.colors().unwrap_or(wanted),
            interactive: is_terminal && !general.no_interactive,
        }
    }
}

/// Everything that is settled before a project is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The environment.
    pub(crate) environment: Environment,
    /// What the terminal allows.
    pub(crate) terminal: Terminal,
    /// How messages reach the user.
    pub(crate) display: Display,
    /// The user's configuration, options of the command line already in it.
    pub(crate) user: UserConfig,
    /// Whether failures are asked about: not when the command line says what to do.
    pub(crate) ask_on_failure: bool,
    /// `--strict` or `--no-strict`.
    pub(crate) strict: Option<bool>,
    /// `--option`.
    pub(crate) options: Vec<(String, String)>,
    /// `--default-mirror`.
    pub(crate) default_mirror: Option<String>,
    /// `--directory`.
    pub(crate) directory: Option<PathBuf>,
    /// `--log-file`.
    pub(crate) log_file: Option<PathBuf>,
}

impl Settings {
    /// Puts everything together.
    ///
    /// # Errors
    /// What is wrong with the user's configuration.
    pub(crate) fn load(
        general: &General,
        environment: Environment,
        files: &Files,
    ) -> Result<Settings, Diagnostics> {
        let mut user = UserConfig::load(files, general.config.as_deref(), &environment)?;
        override_with(&mut user, general);
        let terminal = Terminal::new(general, &environment);
        let display = match general.message_format {
            Some(MessageFormat::Json) => Display::Json,
            _ if terminal.is_terminal && environment.get("TERM") != Some("dumb") => Display::Live,
            _ => Display::Lines,
        };
        Ok(Settings {
            terminal,
            display,
            user,
            ask_on_failure: terminal.interactive && general.on_error.is_none(),
            strict: general.strict(),
            options: general.options(),
            default_mirror: general.default_mirror.clone(),
            directory: general.directory.as_ref().map(PathBuf::from),
            log_file: general.log_file.as_ref().map(PathBuf::from),
            environment,
        })
    }

    /// Whether the build plan of a project is strict: the command line, else what the configuration says of the
    /// project, else yes.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn strict_for(&self, project: &str) -> Result<bool, Diagnostics> {
        if let Some(strict) = self.strict {
            return Ok(strict);
        }
        match self.user.project(project) {
            Some(node) => Ok(node.opt_bool("strict")?.unwrap_or(true)),
            None => Ok(true),
        }
    }

    /// `max-jobs` as a number: the cores of this process, at most 8, where none is configured.
    pub(crate) fn max_jobs(&self) -> u32 {
        match u32::try_from(self.user.max_jobs) {
            Ok(jobs) if jobs > 0 => jobs,
            _ => cores().min(8),
        }
    }

    /// What to do when a job fails and nobody is asked.
    pub(crate) fn on_error(&self) -> OnError {
        self.user.on_error
    }

    /// Where builds are prepared.
    pub(crate) fn build_directory(&self) -> PathBuf {
        self.user.cachedir.join("build")
    }

    /// Where things are written that are then moved elsewhere.
    pub(crate) fn tmp_directory(&self) -> PathBuf {
        self.user.cachedir.join("tmp")
    }

    /// Where this program keeps what bst does not know of.
    pub(crate) fn own_directory(&self) -> PathBuf {
        self.user.cachedir.join("bourn")
    }
}

fn override_with(user: &mut UserConfig, general: &General) {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    let count = |number: Option<i32>| number.map(|number| usize::try_from(number).unwrap_or(0));
    set(&mut user.logging.debug, general.debug());
    user.logging.verbose_is_explicit |= general.verbose().is_some();
    set(&mut user.logging.verbose, general.verbose());
    set(&mut user.logging.error_lines, count(general.error_lines));
    set(&mut user.logging.message_lines, count(general.message_lines));
    set(&mut user.on_error, general.on_error);
    set(&mut user.fetchers, general.fetchers);
    set(&mut user.builders, general.builders);
    set(&mut user.pushers, general.pushers);
    set(&mut user.max_jobs, general.max_jobs);
    set(&mut user.network_retries, general.network_retries);
    set(&mut user.cache_buildtrees, general.cache_buildtrees);
    user.pull_buildtrees |= general.pull_buildtrees;
}

/// The cores that this process may run on. What a container allows it of their time is not asked, as bst does not: the
/// number can get into keys.
fn cores() -> u32 {
    rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count().max(1))
}
