//! What is asked of a picture, and which one answers it.

use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::report::element::{ElementFormat, Symbol};
use crate::settings::resolve::Settings;
use crate::workspaces::Workspaces;
use bourn_project::selection::Selection as Scope;
use bourn_reapi::Digest;
use bourn_yaml::look::{Stamp, Sum, sum_of};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Symbols that stand for long texts: a picture has those that were asked for, as they were printed.
pub(crate) const LONG: [Symbol; 4] = [Symbol::Config, Symbol::Vars, Symbol::Env, Symbol::Public];

/// What is asked.
pub(crate) struct Request<'a> {
    /// Elements, as named on the command line.
    pub(crate) targets: &'a [String],
    /// Elements to leave out.
    pub(crate) except: &'a [String],
    /// Which of their dependencies.
    pub(crate) scope: Scope,
    /// Whether sorted by name.
    pub(crate) sorted: bool,
    /// What is printed of each.
    pub(crate) format: &'a ElementFormat,
}

impl Request<'_> {
    /// The symbols asked for that stand for long texts.
    pub(crate) fn long(&self) -> Vec<Symbol> {
        LONG.into_iter().filter(|symbol| self.format.uses(&[*symbol])).collect()
    }

    /// Where the picture of this request is; `None` where a program that cannot be told from others runs.
    pub(crate) fn path(
        &self,
        invocation: &Invocation<'_>,
        workspaces: &Workspaces,
    ) -> Result<Option<PathBuf>, Failure> {
        let settings = invocation.settings;
        let directory = invocation.project("Unable to load elements")?;
        let Ok(program) = std::env::current_exe() else { return Ok(None) };
        let Ok(found) = program.metadata() else { return Ok(None) };
        let machine = rustix::system::uname();
        let mut text = format!(
            "{program:?} {:?}\n{:?}\n{:?} {:?} {:?} {} {:?}\n{:?} {:?}\n",
            Stamp::of(&found),
            directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf()),
            self.targets,
            self.except,
            self.scope,
            self.sorted,
            self.long(),
            machine.machine(),
            machine.sysname(),
        );
        let Settings { user, strict, options, default_mirror, .. } = settings;
        let _ = writeln!(text, "{user:?} {strict:?} {options:?} {default_mirror:?} {}", settings.max_jobs());
        // Where credentials are looked for.
        let _ = writeln!(text, "{:?}", settings.environment.home());
        for (element, workspace) in workspaces.iter() {
            let exists = workspaces.directory(element).is_some_and(|directory| directory.exists());
            let _ = writeln!(text, "{element:?} {workspace:?} {exists}");
        }
        let name = Digest { hash: sum_of(text.as_bytes()), size: 0 }.hex();
        Ok(Some(pictures(settings).join(name)))
    }
}

/// The sum of the environment that plugins see, without what only counts how a shell came to run this.
pub(crate) fn environment(settings: &Settings) -> Sum {
    let mut variables: Vec<String> = settings
        .environment
        .all()
        .filter(|(name, _)| !["_", "SHLVL", "OLDPWD"].contains(name))
        .map(|variable| format!("{variable:?}"))
        .collect();
    variables.sort();
    sum_of(variables.join("\n").as_bytes())
}

fn pictures(settings: &Settings) -> PathBuf {
    settings.own_directory().join("pictures")
}
