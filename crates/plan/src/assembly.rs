//! What is done to build an element, as a closed list of steps.
//!
//! Kinds answer with these and nothing else, so that `show`, keys, explanations, dry runs and remote execution
//! need nothing more of a kind, and a kind's tests need neither disk nor sandbox.
//!
//! # How an assembly is carried out
//!
//! The steps work on one tree, the root of the sandbox, which is empty at first. A path in a step is a path in
//! that tree; a leading slash means nothing (`input` and `/input` are the same). There are three phases, as in bst:
//!
//! 1. **configure**: [`directory`](Assembly::directory), [`marked`](Assembly::marked) and the environment. For
//!    each of [`digest_environment`](Assembly::digest_environment), under the activity `Staging dependencies for
//!    'NAME' in subsandbox` (nested messages silenced), the named elements with their runtime closure are staged
//!    into an empty tree of its own; the variable becomes `HASH/SIZE` of that tree's directory message.
//!    Afterwards, the log of the job gets `Build environment for element NAME` with the environment as YAML.
//! 2. **stage**: the steps of [`stage`](Assembly::stage). `shell --build` ends here. An error here fails the job
//!    and leaves no artifact.
//! 3. **assemble**: the steps of [`assemble`](Assembly::assemble), then [`collect`](Assembly::collect). An error of
//!    the element or of a command here leaves a failed artifact (with the files of
//!    [`Run::collect_on_failure`], if that says so); other errors leave none.
//!
//! A result may be reached in any shorter way that leaves the same tree.

use crate::foreign::Foreign;
use crate::workbench::Compute;
use bourn_project::ElementId;
use bourn_yaml::{Provenance, Text};
use std::fmt;
use std::sync::Arc;

/// What turns sources and dependencies into files.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    /// Variables whose value is the digest (`HASH/SIZE`) of the named dependencies, each with its runtime closure,
    /// staged alone (`digest-environment`); sorted by name. They are added to the element's own environment.
    pub digest_environment: Vec<(String, Vec<ElementId>)>,
    /// Directory that commands are run in, absolute; `/` when the kind sets none. Created when missing.
    pub directory: Option<String>,
    /// Directories, absolute, that exist in the sandbox and that commands may write to even when the rest is
    /// read-only, in the order the kind marks them.
    pub marked: Vec<String>,
    /// What is staged, in order.
    pub stage: Vec<Step>,
    /// What is done with it, in order.
    pub assemble: Vec<Step>,
    /// The plugin that does all of this in place of the steps, and says what is collected.
    pub foreign: Option<Arc<dyn Foreign>>,
    /// The directory whose content becomes the artifact's files. When it does not exist at the end, the artifact is
    /// kept without files and the job fails with `Directory 'PATH' was not found inside the sandbox, unable to
    /// collect artifact contents`.
    pub collect: String,
}

/// Which files of an artifact, by the split rules in its own public data.
///
/// With `orphans` set and both lists empty: all files, whatever the rules say. Otherwise, domains that the
/// artifact does not know are dropped from both lists; an empty `include` then means all domains it knows; a file
/// is taken when a domain of `include` claims it, or none claims it and `orphans` is set, and no domain of
/// `exclude` claims it. (The test for an empty `include` comes before unknown domains are dropped.)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// Domains included; empty means all.
    pub include: Vec<String>,
    /// Domains excluded.
    pub exclude: Vec<String>,
    /// Whether files that no domain claims are included.
    pub orphans: bool,
}

impl Split {
    /// All files.
    pub const ALL: Split = Split { include: Vec::new(), exclude: Vec::new(), orphans: true };

    /// Whether this is all files, whatever an artifact's rules say.
    pub fn is_all(&self) -> bool {
        self.orphans && self.include.is_empty() && self.exclude.is_empty()
    }
}

impl Default for Split {
    fn default() -> Split {
        Split::ALL
    }
}

/// What it leads to when a file staged now replaces one of an earlier [`Stage`] of the same element.
///
/// Files that elements of *one* stage step replace of each other are always a warning (`overlaps`) unless
/// whitelisted by the element that comes later; files not staged because a directory that is not empty stands in
/// their place are always a warning (`unstaged-files`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overlaps {
    /// A warning (`overlaps`); no whitelist applies.
    #[default]
    Warn,
    /// Never mind.
    Ignore,
    /// An error (`overlaps`).
    Error,
}

/// How far staging and integrating reach from the elements named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// Each with everything it needs to run: [`Edges::runtime`](crate::closure::Edges::runtime) of the list, in
    /// staging order, none twice.
    #[default]
    Runtime,
    /// The elements named alone.
    Alone,
}

/// Stages artifacts at a place of the sandbox, as one session for overlaps.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stage {
    /// Elements to start from, in order.
    pub from: Vec<ElementId>,
    /// How far to reach.
    pub reach: Reach,
    /// Where; created when missing. `/` for the root.
    pub into: String,
    /// Which files of each.
    pub split: Split,
    /// What overlaps with earlier steps lead to.
    pub overlaps: Overlaps,
    /// When set, the split may name only domains that every staged artifact knows; otherwise the job fails with
    /// `Unknown domains declared.` and, for each of the two lists with unknown domains, the detail `Unknown domains
    /// were used in PLACE` and a line ` - DOMAIN` for each. These are the places of the lists (kind `filter`).
    pub known_domains: Option<(Provenance, Provenance)>,
}

/// Runs the integration commands in the public data of artifacts, each as `sh -e -c COMMAND` in `/` with the
/// environment of the element it belongs to, labelled with its own text; the root is writable.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Integrate {
    /// Elements to start from, in order; their runtime closure is integrated in staging order.
    pub from: Vec<ElementId>,
    /// Whether every element's commands are a run of their own (`ostree`) instead of one for all.
    pub apart: bool,
    /// Whether it is for building only, so that commands are left out which are said to matter only to what runs.
    pub building: bool,
}

/// One command in the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// `sh -c -e TEXT`, with a line end after the text, labelled with the text: what build and script elements do.
    Shell(Text),
    /// A program with arguments, without a label.
    Program(Vec<String>),
}

impl Command {
    /// A program with arguments.
    pub fn program(arguments: &[&str]) -> Command {
        Command::Program(arguments.iter().map(|&argument| argument.to_owned()).collect())
    }

    /// Program and arguments.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Command::Shell(text) => vec!["sh".into(), "-c".into(), "-e".into(), format!("{text}\n")],
            Command::Program(arguments) => arguments.clone(),
        }
    }

    /// What messages call it; its command line, quoted for a shell, when there is none.
    pub fn label(&self) -> Option<&str> {
        match self {
            Command::Shell(text) => Some(text),
            Command::Program(_) => None,
        }
    }
}

/// Commands that a workspace may skip together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandGroup {
    /// The commands.
    pub commands: Vec<Command>,
    /// Whether a workspace that ran these once with success skips them from then on (configure): in a workspace,
    /// the group is skipped when it has commands and `.bst-prepared` exists in the build directory; otherwise an
    /// empty file of that name is made in the working directory after them, even if there are none.
    pub once_in_workspace: bool,
}

/// Runs all commands as one script: the first that fails ends it. Heading in the log: `Running commands`, with the
/// labels of all commands, one below the other, as the detail; a run without commands does nothing at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// The commands, in order.
    pub groups: Vec<CommandGroup>,
    /// Whether all but the marked directories is read-only.
    pub root_read_only: bool,
    /// Directory that is collected even when a command fails.
    pub collect_on_failure: Option<String>,
    /// The build directory, when it is to be emptied after success: not for a workspace, and not when build trees
    /// are always cached.
    pub clean: Option<String>,
}

/// Takes what the dependencies staged, and integration changed, in the named domains (kind `compose`).
///
/// The files wanted are those of each dependency's artifact by its own split rules: the *manifest*, made under the
/// silenced activity `Computing split`. Integration (activity `Integrating sandbox`, nested messages shown) runs all
/// commands as one; paths it added are added to the manifest, paths of the manifest it removed are removed (message
/// `Integration added N and removed M files`). Then, under the silenced activity `Creating composition` (detail:
/// which domains) with the message `Composing N files`, the manifest's files are imported from the root to
/// `/buildstream/install`. When the split is all files, only integration happens and the root is collected.
#[derive(Clone, PartialEq, Debug)]
pub struct Compose {
    /// Direct build dependencies, in order; their closure is what was staged before.
    pub from: Vec<ElementId>,
    /// Whether integration commands are run.
    pub integrate: bool,
    /// Which files.
    pub split: Split,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A heading in the log over further steps, with the time they took.
    Activity {
        /// The heading.
        name: String,
        /// Whether messages of the steps within are not shown (warnings and failures are).
        silent: bool,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Stages artifacts. For each, the message `Staging NAME/KEY`.
    Stage(Stage),
    /// Runs integration commands.
    Integrate(Integrate),
    /// Stages the element's own sources (or its workspace) under the silenced activity `Staging sources`. The
    /// directory is created when missing and must be empty: `Staging directory 'PATH' is not empty`.
    StageSources {
        /// Where.
        into: String,
    },
    /// Creates a directory unless it exists.
    CreateDirectory {
        /// Where.
        path: String,
    },
    /// Runs commands.
    Run(Run),
    /// Imports one directory of the tree into another (kind `import`). A missing `from` is an error, an empty one is
    /// the error `empty`; `into` is created.
    Import {
        /// The directory whose content is taken.
        from: String,
        /// Where its content goes.
        into: String,
        /// What to say when there is nothing in `from`.
        empty: String,
    },
    /// Selects from what was staged.
    Compose(Compose),
    /// Puts the integration commands in the public data of an artifact before the element's own (kind `filter`).
    PassIntegration {
        /// Whose.
        from: ElementId,
    },
    /// Computes files and public data from the tree and the artifacts of dependencies.
    Compute(Arc<dyn Compute>),
    /// Fails: the kind cannot be built.
    Refuse {
        /// One sentence for the user.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
}

impl Step {
    /// A silenced heading over steps.
    pub fn silent(name: impl Into<String>, steps: Vec<Step>) -> Step {
        Step::Activity { name: name.into(), silent: true, steps }
    }
}

impl Assembly {
    /// Whether any step runs commands of the element itself, so that `sh` or a program has to be staged.
    pub fn runs(&self) -> bool {
        fn any(steps: &[Step]) -> bool {
            steps.iter().any(|step| match step {
                Step::Run(_) => true,
                Step::Activity { steps, .. } => any(steps),
                _ => false,
            })
        }
        any(&self.assemble)
    }
}

/// The assembly as lines for people, one per step: what `explain` and tests show. Elements are named by number.
impl fmt::Display for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(foreign) = &self.foreign {
            return writeln!(f, "let {foreign:?} do it");
        }
        for (name, from) in &self.digest_environment {
            writeln!(f, "environment {name} = digest of {}", ids(from))?;
        }
        if let Some(directory) = &self.directory {
            writeln!(f, "directory {directory}")?;
        }
        for path in &self.marked {
            writeln!(f, "mark {path}")?;
        }
        for step in self.stage.iter().chain(&self.assemble) {
            show(f, step, 0)?;
        }
        writeln!(f, "collect {}", self.collect)
    }
}

fn ids(elements: &[ElementId]) -> String {
    let names: Vec<String> = elements.iter().map(|id| format!("#{}", id.0)).collect();
    if names.is_empty() { "nothing".into() } else { names.join(" ") }
}

fn show(f: &mut fmt::Formatter<'_>, step: &Step, depth: usize) -> fmt::Result {
    write!(f, "{:1$}", "", depth * 2)?;
    match step {
        Step::Activity { name, silent, steps } => {
            writeln!(f, "[{name}]{}", if *silent { "" } else { " aloud" })?;
            steps.iter().try_for_each(|step| show(f, step, depth + 1))
        }
        Step::Stage(stage) => {
            write!(f, "stage {}", ids(&stage.from))?;
            if stage.reach == Reach::Alone {
                write!(f, " alone")?;
            }
            writeln!(f, " at {}{}", stage.into, Shown(&stage.split))
        }
        Step::Integrate(integrate) => {
            writeln!(f, "integrate {}{}", ids(&integrate.from), if integrate.apart { " apart" } else { "" })
        }
        Step::StageSources { into } => writeln!(f, "stage sources at {into}"),
        Step::CreateDirectory { path } => writeln!(f, "create {path}"),
        Step::Run(run) => show_run(f, run, depth),
        Step::Import { from, into, .. } => writeln!(f, "import {from} into {into}"),
        Step::Compose(compose) => {
            let integrate = if compose.integrate { " with integration" } else { "" };
            writeln!(f, "compose {}{}{integrate}", ids(&compose.from), Shown(&compose.split))
        }
        Step::PassIntegration { from } => writeln!(f, "pass integration commands of #{}", from.0),
        Step::Compute(compute) => writeln!(f, "compute {compute:?}"),
        Step::Refuse { message, .. } => writeln!(f, "refuse: {message}"),
    }
}

fn show_run(f: &mut fmt::Formatter<'_>, run: &Run, depth: usize) -> fmt::Result {
    write!(f, "run{}", if run.root_read_only { " read-only" } else { "" })?;
    if let Some(path) = &run.collect_on_failure {
        write!(f, ", on failure collect {path}")?;
    }
    if let Some(path) = &run.clean {
        write!(f, ", then clean {path}")?;
    }
    writeln!(f)?;
    for group in &run.groups {
        for command in &group.commands {
            let once = if group.once_in_workspace { "once: " } else { "" };
            let text = command.label().map_or_else(|| command.arguments().join(" "), str::to_owned);
            writeln!(f, "{:1$}{once}{2}", "", depth * 2 + 2, text.replace('\n', "\\n"))?;
        }
    }
    Ok(())
}

struct Shown<'a>(&'a Split);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.include.is_empty() {
            write!(f, ", domains {}", self.0.include.join(" "))?;
        }
        if !self.0.exclude.is_empty() {
            write!(f, ", without {}", self.0.exclude.join(" "))?;
        }
        if !self.0.orphans {
            write!(f, ", without orphans")?;
        }
        Ok(())
    }
}
