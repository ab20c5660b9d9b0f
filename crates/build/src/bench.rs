//! The workbench of one element: where the steps of its assembly are carried out.

use crate::error::{BuildError, BuildResult, domain};
use crate::event::MessageKind;
use crate::foreign::Beside;
use crate::integrate::integrate;
use crate::job::{Activity, Job};
use crate::options::CacheBuildTrees;
use crate::sandbox::{Sandbox, Writable};
use crate::script::{Item, ScriptCommand};
use crate::session::Session;
use crate::stage::Root;
use bourn_plan::Step;
use bourn_plan::assembly::{Assembly, Command, Compose, Integrate, Run, Split, Stage};
use bourn_plan::foreign::ForeignBuild;
use bourn_plan::workbench::Workbench;
use bourn_project::ElementId;
use bourn_reapi::tree::{self, Tree};
use bourn_yaml::{Mapping, Node};
use std::collections::HashSet;

/// The file in a build directory that says that the commands to be run once were run.
const PREPARED: &str = ".bst-prepared";

/// Where compose gathers the files it selects.
const COMPOSITION: &str = "/buildstream/install";

/// The workbench of one element.
pub struct Bench<'s> {
    pub(crate) session: &'s Session<'s>,
    pub(crate) job: &'s Job<'s>,
    pub(crate) id: ElementId,
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Public data as it will be kept.
    pub public: Node,
    /// Sandboxes beside the own one, and which of all is selected.
    pub(crate) beside: Beside,
    /// The plugin that builds it, where one does.
    pub(crate) foreign: Option<Box<dyn ForeignBuild>>,
}

impl<'s> Bench<'s> {
    /// A workbench with an empty sandbox.
    pub fn new(session: &'s Session<'s>, job: &'s Job<'s>, id: ElementId) -> Bench<'s> {
        let element = session.element(id);
        let environment = environment(session, id);
        let mut sandbox = Sandbox::new(Root::empty(session), element.sandbox.clone(), environment);
        sandbox.record_times = session.workspace(id).is_some();
        let (public, beside) = (element.public.clone(), Beside::default());
        Bench { session, job, id, sandbox, public, beside, foreign: None }
    }

    /// Sets directory, marked directories and environment.
    ///
    /// # Errors
    /// What staging for digests in the environment finds wrong.
    pub fn configure(&mut self, assembly: &Assembly) -> BuildResult<()> {
        self.sandbox.directory.clone_from(&assembly.directory);
        self.sandbox.marked.clone_from(&assembly.marked);
        for (variable, from) in &assembly.digest_environment {
            let name = format!("Staging dependencies for '{variable}' in subsandbox");
            let mut root = Root::empty(self.session);
            let stage = Stage { from: from.clone(), into: "/".into(), ..Stage::default() };
            self.job.activity(&Activity::new(&name).silent(true), || {
                root.stage(self.session, self.job, &stage)
            })?;
            let digest = root.tree.digest()?;
            self.sandbox.subsandboxes.push(digest);
            let environment = &mut self.sandbox.environment;
            environment.retain(|(name, _)| name != variable);
            environment.push((variable.clone(), digest.to_string()));
        }
        Ok(())
    }

    /// Carries out steps in order.
    ///
    /// # Errors
    /// The first that fails.
    pub fn steps(&mut self, steps: &[Step]) -> BuildResult<()> {
        steps.iter().try_for_each(|step| {
            self.job.check_cancelled()?;
            self.step(step)
        })
    }

    fn step(&mut self, step: &Step) -> BuildResult<()> {
        let job = self.job;
        match step {
            Step::Activity { name, silent, steps } => {
                job.activity(&Activity::new(name).silent(*silent), || self.steps(steps))
            }
            Step::Stage(stage) => self.sandbox.root.stage(self.session, job, stage),
            Step::Integrate(integrate) => self.integrate(integrate),
            Step::StageSources { into } => {
                job.activity(&Activity::new("Staging sources").silent(true), || self.stage_sources(into))
            }
            Step::CreateDirectory { path } => Ok(self.sandbox.root.tree_mut().create_directory(path)?),
            Step::Run(run) => self.run_commands(run),
            Step::Import { from, into, empty } => self.import_directory(from, into, empty),
            Step::Compose(compose) => self.compose(compose),
            Step::PassIntegration { from } => self.pass_integration(*from),
            Step::Compute(compute) => Ok(compute.compute(self)?),
            Step::Refuse { message, hint } => {
                let mut error = BuildError::new(domain::ELEMENT, message.clone());
                error.failure.hint.clone_from(hint);
                Err(error)
            }
        }
    }

    fn integrate(&mut self, step: &Integrate) -> BuildResult<()> {
        let elements = self.session.runtime_closure(step.from.iter().copied());
        let pieces = self.session.pieces(&elements)?;
        if step.apart {
            return pieces.chunks(1).try_for_each(|one| {
                integrate(self.session, self.job, &mut self.sandbox, one, step.building)
            });
        }
        integrate(self.session, self.job, &mut self.sandbox, &pieces, step.building)
    }

    /// Stages the element's sources; in a workspace that was built before, over what that build left.
    pub(crate) fn stage_sources(&mut self, into: &str) -> BuildResult<()> {
        let cas = self.session.cas();
        let there = self.sandbox.root.tree.subtree(into)?;
        if there.is_some_and(|there| !there.is_empty().unwrap_or(false)) {
            let message = format!("Staging directory '/{}' is not empty", into.trim_start_matches('/'));
            return Err(BuildError::new(domain::ELEMENT, message).of_element(None));
        }
        let staged = self.session.states().get(self.id).sources.staged();
        let Some(sources) = staged.map(|digest| Tree::open(cas, digest)) else {
            return Err(BuildError::new(domain::SOURCE, "The sources of the element are not staged"));
        };
        let sources = crate::workspace::over_last_build(self.session, self.job, self.id, sources)?;
        let tree = self.sandbox.root.tree_mut();
        tree.create_directory(into)?;
        tree.import(into, &sources, None)?;
        Ok(())
    }

    /// Runs commands in the sandbox.
    pub(crate) fn run_commands(&mut self, run: &Run) -> BuildResult<()> {
        let mut items = Vec::new();
        for group in &run.groups {
            let once = group.once_in_workspace && self.session.workspace(self.id).is_some();
            if once && !group.commands.is_empty() && self.is_prepared()? {
                continue;
            }
            items.extend(group.commands.iter().map(|command| Item::Command(self.own_command(command))));
            if once {
                items.push(Item::EmptyFile(PREPARED.into()));
            }
        }
        if let Some(path) = run.clean.as_ref().filter(|_| self.may_clean()) {
            items.push(Item::Clean(path.clone()));
        }
        let writable = if run.root_read_only { Writable::Marked } else { Writable::All };
        self.sandbox.run(self.session, self.job, &items, writable).map_err(|mut error| {
            error.collect.clone_from(&run.collect_on_failure);
            error
        })
    }

    fn own_command(&self, command: &Command) -> ScriptCommand {
        ScriptCommand {
            arguments: command.arguments(),
            label: command.label().map(str::to_owned),
            environment: self.sandbox.environment.clone(),
            directory: self.sandbox.working_directory().to_owned(),
        }
    }

    fn is_prepared(&self) -> BuildResult<bool> {
        let Some(build_root) = self.session.element(self.id).variables.get("build-root") else {
            return Ok(false);
        };
        Ok(self.sandbox.root.tree.entry(&format!("{build_root}/{PREPARED}"))?.is_some())
    }

    /// Whether the build directory may be emptied after success.
    pub(crate) fn may_clean(&self) -> bool {
        let kept = self.session.options.cache_build_trees == CacheBuildTrees::Always;
        !kept && self.session.workspace(self.id).is_none()
    }

    fn import_directory(&mut self, from: &str, into: &str, empty: &str) -> BuildResult<()> {
        let tree = self.sandbox.root.tree_mut();
        let Some(source) = tree.subtree(from)? else {
            return Err(tree::TreeError::Missing(from.trim_start_matches('/').to_owned()).into());
        };
        tree.create_directory(into)?;
        if source.is_empty()? {
            return Err(BuildError::new(domain::ELEMENT, empty).of_element(None));
        }
        tree.import(into, &source, None)?;
        Ok(())
    }

    fn pass_integration(&mut self, from: ElementId) -> BuildResult<()> {
        let Some(cached) = self.session.artifact(from) else { return Ok(()) };
        let public = self.session.public(&cached)?;
        let own = self.own_public("bst");
        let own_commands = own.as_ref().and_then(|bst| bst.get("integration-commands")).and_then(Node::items);
        let passed = public.integration_commands()?.into_iter().map(Node::scalar);
        let commands = passed.chain(own_commands.into_iter().flatten().cloned()).collect();
        let mut bst = own.unwrap_or_else(|| Node::mapping(Mapping::new()));
        if let Some(entries) = bst.entries_mut() {
            entries.insert("integration-commands", Node::sequence(commands));
        }
        self.set_public("bst", bst);
        Ok(())
    }

    fn compose(&mut self, compose: &Compose) -> BuildResult<()> {
        let job = self.job;
        let selective = !compose.split.is_all();
        let elements = self.session.runtime_closure(compose.from.iter().copied());
        let mut manifest: HashSet<String> = HashSet::new();
        if selective {
            job.activity(&Activity::new("Computing split").silent(true), || {
                for &element in &elements {
                    manifest.extend(self.manifest_of(element, &compose.split)?);
                }
                Ok(())
            })?;
        }
        if compose.integrate {
            let from = Integrate { from: compose.from.clone(), apart: false, building: false };
            job.activity(&Activity::new("Integrating sandbox"), || match selective {
                true => self.integrate_and_compare(&from, &mut manifest),
                false => self.integrate(&from),
            })?;
        }
        if !selective {
            return Ok(());
        }
        let root = self.sandbox.root.tree.clone();
        self.sandbox.root.tree_mut().create_directory(COMPOSITION)?;
        let detail = describe(&compose.split);
        job.activity(&Activity::new("Creating composition").detail(&detail).silent(true), || {
            job.say(MessageKind::Info, &format!("Composing {} files", manifest.len()), None);
            let keep = |path: &str| manifest.contains(path);
            self.sandbox.root.tree_mut().import(COMPOSITION, &root, Some(&keep))?;
            Ok(())
        })
    }

    /// Integrates, and brings the manifest up to date with what that added and removed.
    fn integrate_and_compare(&mut self, step: &Integrate, manifest: &mut HashSet<String>) -> BuildResult<()> {
        let before: HashSet<String> = self.sandbox.root.tree.paths()?.into_iter().collect();
        self.integrate(step)?;
        let after: HashSet<String> = self.sandbox.root.tree.paths()?.into_iter().collect();
        let count = manifest.len();
        manifest.retain(|path| !before.contains(path) || after.contains(path));
        let removed = count - manifest.len();
        let mut added = 0;
        for path in after {
            if !before.contains(&path) {
                added += 1;
                manifest.insert(path);
            }
        }
        let text = format!("Integration added {added} and removed {removed} files");
        self.job.say(MessageKind::Info, &text, None);
        Ok(())
    }

    /// What of the artifact of an element a split takes.
    pub(crate) fn manifest_of(&self, element: ElementId, split: &Split) -> BuildResult<Vec<String>> {
        let cached = self.session.artifact(element).ok_or_else(|| {
            let name = self.session.plan.graph.full_name(element);
            BuildError::new(domain::ELEMENT, format!("The artifact of {name} is not cached"))
        })?;
        let paths = cached.tree(self.session.cas()).paths()?;
        let public = self.session.public(&cached)?;
        Ok(match public.split_rules()?.filter(split) {
            Some(filter) => paths.into_iter().filter(|path| filter.takes(path)).collect(),
            None => paths,
        })
    }

    /// The path with symbolic links in its middle followed; as it is when its directory is not there.
    pub(crate) fn followed(&self, path: &str) -> BuildResult<String> {
        let path = path.trim_matches('/');
        let Some((directory, name)) = path.rsplit_once('/') else { return Ok(path.to_owned()) };
        Ok(match self.sandbox.root.tree.resolve(directory)? {
            Some(directory) => format!("{directory}/{name}"),
            None => path.to_owned(),
        })
    }
}

/// The environment of an element, in order.
fn environment(session: &Session<'_>, id: ElementId) -> Vec<(String, String)> {
    let variables = session.element(id).environment.iter();
    variables.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What a composition takes, for people.
fn describe(split: &Split) -> String {
    let mut lines = vec![match split.include.is_empty() {
        true => "Including files from all domains".to_owned(),
        false => format!("Including files from domains: {}", split.include.join(", ")),
    }];
    if !split.exclude.is_empty() {
        lines.push(format!("Excluding files from domains: {}", split.exclude.join(", ")));
    }
    lines.push(match split.orphans {
        true => "Including orphaned files".to_owned(),
        false => "Excluding orphaned files".to_owned(),
    });
    lines.join("\n")
}
