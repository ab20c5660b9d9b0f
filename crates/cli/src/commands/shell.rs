//! `bourn shell`: into a sandbox.

use crate::args::command::Shell;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::items::{self, Item};
use crate::jobs;
use crate::report::reporter::write_stderr;
use crate::report::style::{CONTENT, FORMAT, Painter};
use crate::watch::Watch;
use crate::world::World;
use bourn_build::checkout;
use bourn_build::error::BuildResult;
use bourn_build::event::Subject;
use bourn_build::fetch::Fetch;
use bourn_build::run;
use bourn_build::sandbox::Sandbox;
use bourn_build::session::{Query, Session};
use bourn_build::shell::{self, Openness, ShellCommand, ShellMount};
use bourn_project::ElementId;
use bourn_project::selection::{self, Selection as Scope};
use bourn_reapi::ArtifactName;
use bourn_yaml::{Diagnostic, Node};
use std::path::{Path, PathBuf};

/// Enters a sandbox, or runs a command in it. The status is that of the command.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Shell) -> Outcome {
    let (mut words, command) = options.split();
    if words.is_empty() {
        let element = invocation.location.workspace_element.clone();
        words.push(element.ok_or_else(missing_target)?);
    }
    launch(invocation, options, &words, command)
        .map_err(|failure| Failure { domain: "app", ..failure }.while_doing("Error launching shell"))
}

fn missing_target() -> Failure {
    Failure::app("Missing argument \"TARGET\".").hint("name an element: shell ELEMENT -- COMMAND")
}

fn launch(invocation: &Invocation<'_>, options: &Shell, words: &[String], command: Vec<String>) -> Outcome {
    let (world, artifacts) = items::load(invocation, words)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let prepared = Prepared { invocation, world: &world, session: &session };
    let (sandbox, about) = match (options.use_buildtree, options.build) {
        (true, _) => prepared.left(&artifacts)?,
        (false, build) => prepared.staged(&artifacts, build)?,
    };
    let wanted = prepared.command(&about, command, &mounts(options)?, options.isolate)?;
    prepared.enter(&about, sandbox, &wanted)
}

/// Enters what the failed build of an element left, while other jobs wait. What goes wrong is told, and nothing else.
pub(crate) fn enter_failed(invocation: &Invocation<'_>, world: &World, subject: &Subject) {
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let enter = || -> Result<(), Failure> {
        let name = subject.element.as_ref().map_or("", |issuer| &issuer.element);
        let ids = (0..world.graph().elements.len()).map(|at| ElementId(at as u32));
        let id = ids.into_iter().find(|id| world.graph().full_name(*id) == name);
        let id = id.ok_or_else(|| Failure::stream(format!("{name} is not part of this build")))?;
        session.require(&[id], false, Query::Artifacts)?;
        let about = Item::Element(id);
        let piece =
            about.piece(&session)?.ok_or_else(|| Failure::stream("The build left nothing to enter"))?;
        let sandbox = shell::left_sandbox(&session, &session.main_job(id), &piece)?;
        let prepared = Prepared { invocation, world, session: &session };
        let command = prepared.command(&about, Vec::new(), &[], true)?;
        shell::enter(&session, &session.main_job(id), sandbox, &command)?;
        Ok(())
    };
    if let Err(failure) = enter() {
        write_stderr(&format!("Error while entering the sandbox: {}\n", failure.message));
    }
}

/// `--mount`, checked.
fn mounts(options: &Shell) -> Result<Vec<ShellMount>, Failure> {
    let pairs = options.mount.chunks_exact(2);
    Ok(pairs
        .map(|pair| ShellMount { host: PathBuf::from(&pair[0]), path: pair[1].clone(), optional: false })
        .collect())
}

/// What entering needs.
struct Prepared<'a> {
    invocation: &'a Invocation<'a>,
    world: &'a World,
    session: &'a Session<'a>,
}

impl Prepared<'_> {
    /// The sandbox that a build left.
    fn left(&self, artifacts: &[ArtifactName]) -> Result<(Sandbox, Item), Failure> {
        let targets = &self.world.graph().targets;
        self.invocation.query(self.session, targets, false, Query::Artifacts)?;
        jobs::pull_missing(self.invocation, self.world, self.session, targets)?;
        jobs::pull_named(self.invocation, self.world, self.session, artifacts)?;
        let about = self.only(artifacts)?;
        let piece = about.piece(self.session)?.ok_or_else(|| {
            Failure::stream("Artifact not cached locally or in available remotes")
                .reason("missing-buildtree-artifact-not-cached")
        })?;
        let job = self.session.program_job();
        Ok((shell::left_sandbox(self.session, &job, &piece)?, about))
    }

    /// The sandbox in which an element is built, or in which elements run.
    fn staged(&self, artifacts: &[ArtifactName], build: bool) -> Result<(Sandbox, Item), Failure> {
        if !artifacts.is_empty() {
            return Err(Failure::stream("Only buildtrees are supported with artifact names")
                .reason("only-buildtrees-supported")
                .hint("use --use-buildtree to enter what a build left"));
        }
        let (world, session) = (self.world, self.session);
        let targets = &world.graph().targets;
        let scope = if build { Scope::Build } else { Scope::Run };
        let elements = selection::select(world.graph(), targets, scope);
        self.invocation.query(session, &elements, true, Query::Artifacts)?;
        jobs::pull_missing(self.invocation, world, session, &elements)?;
        let about = self.only_of(targets)?;
        let assert = |ids: &[ElementId]| {
            let missing: Vec<String> = ids
                .iter()
                .filter(|id| session.artifact(**id).is_none())
                .map(|id| world.graph().full_name(*id))
                .collect();
            match missing.is_empty() {
                true => Ok(()),
                false => Err(Failure::stream(
                    "Elements need to be built or downloaded before staging a shell environment",
                )
                .reason("shell-missing-deps")
                .detail(missing.join("\n"))
                .hint("build them first")),
            }
        };
        assert(&elements)?;
        if build {
            jobs::query_sources(self.invocation, session, &[about])?;
            jobs::assert_refs(session, &[about])?;
            let fetched =
                jobs::steered(self.invocation, world, || run::fetch(session, &[about], Fetch::Staged))?;
            conclude(&fetched)?;
            checkout::assert_sources_cached(session, &session.program_job(), &[about])?;
        }
        let job = session.main_job(about);
        let sandbox = jobs::steered(self.invocation, world, || -> BuildResult<Sandbox> {
            match build {
                true => shell::build_sandbox(session, &job, about),
                false => shell::runtime_sandbox(session, &job, targets),
            }
        })?;
        Ok((sandbox, Item::Element(about)))
    }

    fn only(&self, artifacts: &[ArtifactName]) -> Result<Item, Failure> {
        match (&self.world.graph().targets[..], artifacts) {
            ([id], []) => Ok(Item::Element(*id)),
            ([], [name]) => Ok(Item::Artifact(name.clone())),
            _ => Err(Failure::stream("One build tree can be entered at a time")),
        }
    }

    fn only_of(&self, targets: &[ElementId]) -> Result<ElementId, Failure> {
        targets.first().copied().ok_or_else(|| Failure::stream("No elements are named"))
    }

    /// What is to be run, and how much of the host it sees.
    fn command(
        &self,
        about: &Item,
        command: Vec<String>,
        mounts: &[ShellMount],
        isolate: bool,
    ) -> Result<ShellCommand, Failure> {
        let project = self.world.graph().projects.first();
        let config = ShellConfig::read(self.invocation, project.map(|project| &project.shell))?;
        let arguments = if command.is_empty() { config.command } else { command };
        let open = (!isolate).then(|| Openness {
            mounts: config.mounts.into_iter().chain(mounts.iter().cloned()).collect(),
            environment: config.environment,
            user: (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
        });
        Ok(ShellCommand { arguments, prompt: Some(self.prompt(about)), open })
    }

    /// The prompt of a shell: key, element and directory.
    fn prompt(&self, about: &Item) -> String {
        let settings = self.invocation.settings;
        let (full, strict) = match about {
            Item::Element(id) => {
                let key = self.session.states().display_key(&self.world.plan, *id);
                (key.full.to_string(), key.strict)
            }
            Item::Artifact(name) => (name.key.clone(), true),
        };
        let key = &full[..settings.user.logging.key_length.min(full.len())];
        let name = about.full_name(self.world);
        if !settings.terminal.colors {
            return format!("[{key}@{name}:${{PWD}}]$ ");
        }
        let painter = Painter { colors: true };
        let parts = [
            ("[", FORMAT),
            (key, CONTENT.dim_if(!strict)),
            ("@", FORMAT),
            (&name, CONTENT),
            (":", FORMAT),
            ("$PWD", CONTENT),
            ("]$", FORMAT),
        ];
        let mut prompt: String = parts.into_iter().map(|(text, style)| painter.paint(text, style)).collect();
        prompt.push(' ');
        prompt
    }

    /// Runs the command. The terminal belongs to it meanwhile.
    fn enter(&self, about: &Item, sandbox: Sandbox, command: &ShellCommand) -> Outcome {
        let job = match about {
            Item::Element(id) => self.session.main_job(*id),
            Item::Artifact(_) => self.session.program_job(),
        };
        let ran = self.invocation.reporter.aside(|| shell::enter(self.session, &job, sandbox, command));
        Ok(u8::try_from(ran?).unwrap_or(crate::exit::ERROR))
    }
}

/// `shell:` of project.conf.
struct ShellConfig {
    command: Vec<String>,
    environment: Vec<(String, String)>,
    mounts: Vec<ShellMount>,
}

impl ShellConfig {
    fn read(invocation: &Invocation<'_>, node: Option<&Node>) -> Result<ShellConfig, Diagnostic> {
        let host = &invocation.settings.environment;
        let mut config = ShellConfig {
            command: vec!["sh".to_owned(), "-i".to_owned()],
            environment: Vec::new(),
            mounts: Vec::new(),
        };
        let Some(node) = node.filter(|node| node.entries().is_some()) else { return Ok(config) };
        node.validate_keys(&["command", "environment", "host-files"])?;
        if let Some(command) = node.opt_str_list("command")? {
            config.command = command.into_iter().map(str::to_owned).collect();
        }
        if let Some(environment) = node.opt_mapping("environment")? {
            for (name, value) in environment.as_mapping()?.iter() {
                config.environment.push((name.to_string(), host.expand_variables(value.as_str()?)));
            }
        }
        for file in node.opt_sequence("host-files")?.unwrap_or_default() {
            let (path, host_path, optional) = match file.text() {
                Some(path) => (path, None, false),
                None => {
                    file.validate_keys(&["path", "host_path", "optional"])?;
                    let optional = file.opt_bool("optional")?.unwrap_or(false);
                    (file.get_str("path")?, file.opt_str("host_path")?, optional)
                }
            };
            let path = host.expand_variables(path);
            let host_path = host_path.map_or_else(|| path.clone(), |path| host.expand_variables(path));
            config.mounts.push(ShellMount { host: Path::new(&host_path).to_path_buf(), path, optional });
        }
        Ok(config)
    }
}
