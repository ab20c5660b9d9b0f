//! The commands and their options.

use crate::args::artifact::ArtifactCommand;
use crate::args::cache::CacheCommand;
use crate::args::general::General;
use crate::args::remote;
use crate::args::source::SourceCommand;
use crate::args::value::{Order, Selection, Shell as CompletionShell};
use crate::args::workspace::WorkspaceCommand;
use crate::settings::remote::RemoteSpec;
use clap::builder::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

/// Build software stacks from source, every step in a sandbox, every result under a key of what went into it
#[derive(Parser, Clone, Debug)]
#[command(name = "bourn", disable_help_subcommand = true, disable_version_flag = true)]
#[command(after_help = "Example: bourn build hello.bst")]
pub(crate) struct Arguments {
    /// Options before the command.
    #[command(flatten)]
    pub(crate) general: General,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// A command.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Work with what was built
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example: bourn artifact checkout --directory tree hello.bst"
    )]
    Artifact(ArtifactCommand),
    /// Build elements
    #[command(after_help = "Example: bourn build hello.bst")]
    Build(Build),
    /// Look after the local cache
    #[command(subcommand, arg_required_else_help = true, after_help = "Example: bourn cache show")]
    Cache(CacheCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example: source <(bourn completions bash)")]
    Completions(Completions),
    /// Check what this machine offers and what is missing
    #[command(after_help = "Example: bourn doctor")]
    Doctor(Doctor),
    /// Say why an element would be built
    #[command(after_help = "Example: bourn explain hello.bst")]
    Explain(Explain),
    /// Print what depends on what
    #[command(after_help = "Example: bourn graph hello.bst | dot -Tsvg > graph.svg")]
    Graph(Graph),
    /// Explain a command, or a kind of element or source
    #[command(disable_help_flag = true, after_help = "Example: bourn help kind autotools")]
    Help(Help),
    /// Begin a new project
    #[command(after_help = "Example: bourn init --project-name demo ./demo")]
    Init(Init),
    /// Write manual pages, one for each command
    #[command(after_help = "Example: bourn manual ~/.local/share/man/man1")]
    Manual(Manual),
    /// Enter the sandbox of an element, or run a command in it
    #[command(after_help = "Example: bourn shell hello.bst -- hello --version")]
    Shell(Shell),
    /// Show elements and their state
    #[command(after_help = SHOW_HELP)]
    Show(Show),
    /// Work with sources
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example: bourn source track hello.bst"
    )]
    Source(SourceCommand),
    /// Edit the sources of elements in place
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example: bourn workspace open hello.bst --directory work"
    )]
    Workspace(WorkspaceCommand),
}

/// Symbols of `show --format`.
const SHOW_HELP: &str = "\
Symbols in FORMAT, written %{symbol} or with Python's padding %{symbol: >12}:
  name                 name of the element
  kind                 its kind
  description          its description, on one line
  key, full-key        its cache key, shortened or whole (question marks while a ref is missing)
  state                cached, failed, buildable, waiting, fetch needed, no reference or junction
  config, vars, env    its configuration, variables and environment, as YAML
  public               its public data, as YAML
  workspaced           whether it has an open workspace
  workspace-dirs       the directory of its workspace
  deps                 its direct dependencies, as YAML; also build-deps and runtime-deps
  source-info          where its sources come from, as YAML
  artifact-cas-digest  digest of its files in the store

Example: bourn show --deps none --format '%{name: <20} %{state}' hello.bst";

/// Parser of `--deps` that admits only `names`, in that order.
pub(crate) fn deps(names: &'static [&'static str]) -> impl TypedValueParser<Value = Selection> {
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "build" => Selection::Build,
        "run" => Selection::Run,
        "all" => Selection::All,
        _ => Selection::None,
    })
}

/// Which servers a command speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Contact {
    /// None.
    #[default]
    Nobody,
    /// Artifact servers.
    Artifacts,
    /// Source servers.
    Sources,
    /// Both.
    Both,
}

/// Which servers a command speaks to, and those named on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remotes {
    /// Which it speaks to.
    pub(crate) contact: Contact,
    /// Artifact servers.
    pub(crate) artifacts: Vec<RemoteSpec>,
    /// Source servers.
    pub(crate) sources: Vec<RemoteSpec>,
    /// Whether artifact servers that projects recommend are left out.
    pub(crate) ignore_project_artifacts: bool,
    /// Whether source servers that projects recommend are left out.
    pub(crate) ignore_project_sources: bool,
}

impl Remotes {
    /// Of a command that deals with artifacts only.
    pub(crate) fn of_artifacts(remotes: &[RemoteSpec], ignore: bool) -> Remotes {
        Remotes {
            contact: Contact::Artifacts,
            artifacts: remotes.to_vec(),
            ignore_project_artifacts: ignore,
            ..Remotes::default()
        }
    }

    /// Of a command that deals with sources only.
    pub(crate) fn of_sources(remotes: &[RemoteSpec], ignore: bool) -> Remotes {
        Remotes {
            contact: Contact::Sources,
            sources: remotes.to_vec(),
            ignore_project_sources: ignore,
            ..Remotes::default()
        }
    }
}

/// `build`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Build {
    /// Which elements to build (default: as configured, else `run`)
    #[arg(long, short, value_name = "WHICH", value_parser = deps(&["none", "build", "run", "all"]))]
    pub(crate) deps: Option<Selection>,
    /// A remote to download artifacts from and upload them to
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::both)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// A remote to download sources from and upload them to
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::both)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Build elements again whose build is cached as failed
    #[arg(long, short)]
    pub(crate) retry_failed: bool,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

/// `show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Which elements to show
    #[arg(long, short, value_name = "WHICH", default_value = "all", value_parser = deps(&["none", "run", "build", "all"]))]
    pub(crate) deps: Selection,
    /// In which order
    #[arg(long, value_name = "ORDER", default_value = "stage")]
    pub(crate) order: Order,
    /// What to print of each element: a format string, or `json`
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

/// `shell`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shell {
    /// Enter the sandbox in which the element is built
    #[arg(long, short)]
    pub(crate) build: bool,
    /// Make a file or directory of the host visible
    #[arg(long, num_args = 2, value_names = ["HOSTPATH", "PATH"])]
    pub(crate) mount: Vec<String>,
    /// Keep network, host files and user id away, as in a build
    #[arg(long)]
    pub(crate) isolate: bool,
    /// Enter the build directory kept with the artifact, of a failed build for example
    #[arg(long, short = 't')]
    pub(crate) use_buildtree: bool,
    /// A remote to download artifacts from and upload them to
    #[arg(long = "artifact-remote", value_name = "REMOTE", value_parser = remote::both)]
    pub(crate) artifact_remotes: Vec<RemoteSpec>,
    /// A remote to download sources from and upload them to
    #[arg(long = "source-remote", value_name = "REMOTE", value_parser = remote::both)]
    pub(crate) source_remotes: Vec<RemoteSpec>,
    /// Leave out the artifact servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_artifact_remotes: bool,
    /// Leave out the source servers that projects recommend
    #[arg(long)]
    pub(crate) ignore_project_source_remotes: bool,
    /// Element, further elements to stage with it, then the command
    #[arg(value_name = "ELEMENT")]
    pub(crate) words: Vec<String>,
    /// The command to run instead of a shell
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

impl Shell {
    /// The elements to stage and the command to run. Words after the first that do not name elements begin the
    /// command, as bst has it; everything after `--` belongs to it.
    pub(crate) fn split(&self) -> (Vec<String>, Vec<String>) {
        let is_more = |(i, word): &(usize, &String)| *i > 0 && !word.ends_with(".bst");
        let begin = self.words.iter().enumerate().find(is_more).map_or(self.words.len(), |(i, _)| i);
        let command = self.words[begin..].iter().chain(&self.command).cloned().collect();
        (self.words[..begin].to_vec(), command)
    }
}

/// `init`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Init {
    /// Name of the project
    #[arg(long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Oldest version of BuildStream that the project may be used with
    #[arg(long, value_name = "VERSION", default_value = "2.8")]
    pub(crate) min_version: String,
    /// Directory for element files
    #[arg(long, value_name = "PATH", default_value = "elements", value_hint = ValueHint::AnyPath)]
    pub(crate) element_path: String,
    /// Overwrite a project.conf that exists
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Directory of the project (default: the current directory)
    #[arg(value_name = "TARGET_DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) target_directory: Option<String>,
}

/// `help`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Help {
    /// The command, or `kind` and the name of a kind
    pub(crate) command: Vec<String>,
}

/// `completions`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: CompletionShell,
}

/// `manual`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Manual {
    /// Where to write them; made if it is not there
    #[arg(value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) directory: String,
}

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Ask the configured servers what they can do
    #[arg(long)]
    pub(crate) remote: bool,
}

/// `explain`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Explain {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Elements
    #[arg(required = true)]
    pub(crate) elements: Vec<String>,
}

/// `graph`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Graph {
    /// Which dependencies to follow
    #[arg(long, short, value_name = "WHICH", default_value = "all", value_parser = deps(&["none", "run", "build", "all"]))]
    pub(crate) deps: Selection,
    /// Leave out an element and what only it needs
    #[arg(long = "except", value_name = "ELEMENT")]
    pub(crate) except: Vec<String>,
    /// Draw it as SVG instead of Graphviz's language
    #[arg(long)]
    pub(crate) svg: bool,
    /// Elements (default: the project's targets)
    pub(crate) elements: Vec<String>,
}

impl Command {
    /// Which servers this speaks to.
    pub(crate) fn remotes(&self) -> Remotes {
        match self {
            Command::Artifact(ArtifactCommand::Checkout(options)) => options.remotes(),
            Command::Artifact(ArtifactCommand::Pull(options)) => options.remotes(),
            Command::Artifact(ArtifactCommand::Push(options)) => options.remotes(),
            Command::Artifact(ArtifactCommand::Show(options)) => options.remotes(),
            Command::Build(options) => options.remotes(),
            Command::Shell(options) => options.remotes(),
            Command::Source(SourceCommand::Checkout(options)) => options.remotes(),
            Command::Source(SourceCommand::Fetch(options)) => options.remotes(),
            Command::Source(SourceCommand::Push(options)) => options.remotes(),
            Command::Workspace(WorkspaceCommand::Open(options)) => options.remotes(),
            _ => Remotes::default(),
        }
    }
}

impl Build {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes {
            contact: Contact::Both,
            artifacts: self.artifact_remotes.clone(),
            sources: self.source_remotes.clone(),
            ignore_project_artifacts: self.ignore_project_artifact_remotes,
            ignore_project_sources: self.ignore_project_source_remotes,
        }
    }
}

impl Shell {
    /// The remotes this names.
    pub(crate) fn remotes(&self) -> Remotes {
        Remotes {
            contact: Contact::Both,
            artifacts: self.artifact_remotes.clone(),
            sources: self.source_remotes.clone(),
            ignore_project_artifacts: self.ignore_project_artifact_remotes,
            ignore_project_sources: self.ignore_project_source_remotes,
        }
    }
}
