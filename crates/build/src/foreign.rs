//! The workbench as plugins outside of this program use it.

use crate::bench::Bench;
use crate::error::{BuildError, BuildResult, domain};
use crate::event::MessageKind;
use crate::integrate::{commands, integrate};
use crate::job::Activity;
use crate::sandbox::{Sandbox, Writable};
use crate::script::{Item, ScriptCommand};
use crate::session::Session;
use crate::stage::{Piece, Root};
use crate::workbench::{Done, assembly_error};
use bourn_plan::foreign::{Foreign, ForeignBench, ForeignBuild, ForeignCommand, ForeignItem, ImportFrom};
use bourn_plan::workbench::AssemblyError;
use bourn_project::ElementId;
use bourn_reapi::Digest;
use bourn_reapi::services::{Cancel, ImportOptions};
use bourn_reapi::tree::{ImportReport, Kind, Tree};
use std::collections::HashSet;

/// Sandboxes beside an element's own. The selected one and the own one have changed places.
#[derive(Default)]
pub(crate) struct Beside {
    sandboxes: Vec<Sandbox>,
    selected: usize,
}

impl<'s> Bench<'s> {
    /// Has a plugin set up the sandbox.
    pub(crate) fn configure_by_plugin(&mut self, foreign: &dyn Foreign) -> BuildResult<()> {
        let mut build = foreign.begin()?;
        self.sandbox.environment_is_set = Some(false);
        self.phase(|bench| build.configure(bench))?;
        self.foreign = Some(build);
        Ok(())
    }

    /// Has the plugin stage, where there is one.
    pub(crate) fn stage_by_plugin(&mut self) -> BuildResult<()> {
        self.by_plugin(|build, bench| build.stage(bench)).unwrap_or(Ok(()))
    }

    /// Has the plugin build: the directory that is collected, if any. `None` where there is no plugin.
    pub(crate) fn assemble_by_plugin(&mut self) -> Option<BuildResult<Option<String>>> {
        let done = self.by_plugin(|build, bench| build.assemble(bench));
        // The process is of no use any more, however it ended.
        self.foreign = None;
        done
    }

    fn by_plugin<T>(
        &mut self,
        work: impl FnOnce(&mut dyn ForeignBuild, &mut Bench<'s>) -> Done<T>,
    ) -> Option<BuildResult<T>> {
        let mut build = self.foreign.take()?;
        let done = self.phase(|bench| work(&mut *build, bench));
        self.foreign = Some(build);
        Some(done)
    }

    fn phase<T>(&mut self, work: impl FnOnce(&mut Bench<'s>) -> Done<T>) -> BuildResult<T> {
        let done = work(self);
        self.select_own();
        // Whoever is stopped fails in ways that nobody wants to read about.
        self.job.check_cancelled()?;
        let digests = self.beside.sandboxes.iter_mut().map(|sandbox| sandbox.root.tree.digest());
        self.sandbox.subsandboxes = digests.collect::<Result<_, _>>()?;
        Ok(done?)
    }

    fn select_own(&mut self) {
        if let Some(other) =
            self.beside.selected.checked_sub(1).and_then(|at| self.beside.sandboxes.get_mut(at))
        {
            std::mem::swap(&mut self.sandbox, other);
        }
        self.beside.selected = 0;
    }

    /// The tree of the sandbox of a number.
    fn tree_of(&self, sandbox: usize) -> Option<&Tree> {
        let selected = self.beside.selected;
        if sandbox == selected {
            return Some(&self.sandbox.root.tree);
        }
        let at = if sandbox == 0 { selected } else { sandbox };
        self.beside.sandboxes.get(at.checked_sub(1)?).map(|sandbox| &sandbox.root.tree)
    }

    fn source_of_import(&self, from: ImportFrom<'_>) -> BuildResult<Tree> {
        match from {
            ImportFrom::Host(path) => {
                let digest = self.session.cas().import_tree(path, &ImportOptions::default())?;
                Ok(Tree::open(self.session.cas(), digest))
            }
            ImportFrom::Sandbox(sandbox, path) => {
                let missing = || BuildError::new(domain::VIRTUAL_FS, format!("'{path}' not found"));
                let tree = self.tree_of(sandbox).ok_or_else(missing)?;
                let resolved = tree.resolve(path)?.ok_or_else(missing)?;
                tree.subtree(&resolved)?.ok_or_else(missing)
            }
        }
    }

    fn pieces_of(&self, items: &[ForeignItem]) -> BuildResult<Option<Vec<Piece>>> {
        let one = |item: &ForeignItem| match item {
            ForeignItem::Integrate(id) => Some(*id),
            _ => None,
        };
        let ids: Option<Vec<ElementId>> = items.iter().map(one).collect();
        ids.map(|ids| self.session.pieces(&ids)).transpose()
    }

    fn items(&self, items: &[ForeignItem]) -> BuildResult<Vec<Item>> {
        let mut lines = Vec::with_capacity(items.len());
        for item in items {
            match item {
                ForeignItem::Command(command) => lines.push(Item::Command(script_command(command))),
                ForeignItem::Integrate(id) => {
                    for piece in self.session.pieces(&[*id])? {
                        // What becomes of the root is known to the plugin alone: nothing is left out.
                        commands(self.session, &piece, false, &mut lines)?;
                    }
                }
                ForeignItem::EmptyFile(name) => lines.push(Item::EmptyFile(name.clone())),
                ForeignItem::Clean(path) if self.may_clean() => lines.push(Item::Clean(path.clone())),
                ForeignItem::Clean(_) => {}
            }
        }
        Ok(lines)
    }
}

fn script_command(command: &ForeignCommand) -> ScriptCommand {
    ScriptCommand {
        arguments: command.arguments.clone(),
        label: command.label.clone(),
        environment: command.environment.clone(),
        directory: command.directory.clone(),
    }
}

fn writable(root_read_only: bool) -> Writable {
    if root_read_only { Writable::Marked } else { Writable::All }
}

/// The files and links that an import takes, in the order of its report.
struct Written<'w> {
    keep: Option<&'w dyn Fn(&str) -> bool>,
    ignored: HashSet<&'w str>,
    paths: Vec<String>,
}

impl Written<'_> {
    fn add(&mut self, tree: &Tree, prefix: &str) -> BuildResult<()> {
        for kind in [Kind::Directory, Kind::File, Kind::Symlink] {
            for (name, _) in tree.entries()?.filter(|(_, entry)| entry.kind() == kind) {
                let path = format!("{prefix}{name}");
                if kind == Kind::Directory {
                    if let Some(directory) = tree.subtree(name)? {
                        self.add(&directory, &format!("{path}/"))?;
                    }
                } else if self.keep.is_none_or(|keep| keep(&path)) && !self.ignored.contains(path.as_str()) {
                    self.paths.push(path);
                }
            }
        }
        Ok(())
    }
}

impl ForeignBench for Bench<'_> {
    fn cancel(&self) -> &Cancel {
        self.job.cancel()
    }

    fn is_workspace(&self) -> bool {
        self.session.workspace(self.id).is_some()
    }

    fn say(&self, kind: &str, text: &str, detail: Option<&str>) {
        let kind = match kind {
            "debug" => MessageKind::Debug,
            "info" => MessageKind::Info,
            "log" => MessageKind::Log,
            "warn" => MessageKind::Warn,
            _ => MessageKind::Status,
        };
        self.job.say(kind, text, detail);
    }

    fn output(&self, text: &str) {
        self.job.append_to_log(text);
    }

    fn under(
        &mut self,
        name: &str,
        detail: Option<&str>,
        silent: bool,
        work: &mut dyn FnMut(&mut dyn ForeignBench) -> Done<()>,
    ) -> Done<()> {
        let job = self.job;
        let activity = Activity::new(name).silent(silent);
        let activity = match detail {
            Some(detail) => activity.detail(detail),
            None => activity,
        };
        job.activity(&activity, || Ok(work(self)?)).map_err(assembly_error)
    }

    fn select(&mut self, sandbox: usize) -> Done<()> {
        self.select_own();
        let Some(at) = sandbox.checked_sub(1) else { return Ok(()) };
        let Some(other) = self.beside.sandboxes.get_mut(at) else {
            return Err(AssemblyError::world(format!("There is no sandbox {sandbox}")));
        };
        std::mem::swap(&mut self.sandbox, other);
        self.beside.selected = sandbox;
        Ok(())
    }

    fn create_sandbox(&mut self) -> usize {
        self.select_own();
        let root = Root::empty(self.session);
        self.beside.sandboxes.push(Sandbox::new(root, self.sandbox.config.clone(), Vec::new()));
        self.beside.sandboxes.len()
    }

    fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.sandbox.environment = environment;
        self.sandbox.environment_is_set = Some(true);
    }

    fn set_directory(&mut self, directory: String) {
        self.sandbox.directory = Some(directory);
    }

    fn mark(&mut self, directory: String) {
        self.sandbox.marked.push(directory);
    }

    fn stage_sources(&mut self, into: &str) -> Done<()> {
        let job = self.job;
        let heading = Activity::new("Staging sources").silent(true);
        job.activity(&heading, || Bench::stage_sources(self, into)).map_err(assembly_error)
    }

    fn run_script(
        &mut self,
        items: &[ForeignItem],
        root_read_only: bool,
        collect_on_failure: Option<&str>,
    ) -> Done<()> {
        let (session, job): (&Session<'_>, _) = (self.session, self.job);
        let pieces = self.pieces_of(items).map_err(assembly_error)?;
        let run = match pieces.filter(|_| !root_read_only) {
            Some(pieces) => integrate(session, job, &mut self.sandbox, &pieces, false),
            None => {
                let items = self.items(items).map_err(assembly_error)?;
                self.sandbox.run(session, job, &items, writable(root_read_only))
            }
        };
        run.map_err(|error| {
            let mut error = assembly_error(error);
            error.collect = collect_on_failure.map(Box::from);
            error
        })
    }

    fn run_program(&mut self, command: &ForeignCommand, root_read_only: bool) -> Done<i32> {
        let (session, job, command) = (self.session, self.job, script_command(command));
        let run = self.sandbox.run_program(session, job, &command, writable(root_read_only));
        run.map_err(assembly_error)
    }

    fn resolve(&self, path: &str) -> Done<Option<String>> {
        self.sandbox.root.tree.resolve(path).map_err(assembly_error)
    }

    fn tree_digest(&self, path: &str) -> Done<Digest> {
        let from = ImportFrom::Sandbox(self.beside.selected, path);
        let tree = self.source_of_import(from).map_err(assembly_error)?;
        tree.digest().map_err(assembly_error)
    }

    fn import_tree(
        &mut self,
        from: ImportFrom<'_>,
        into: &str,
        keep: Option<&dyn Fn(&str) -> bool>,
    ) -> Done<(ImportReport, Vec<String>)> {
        let mut import = || -> BuildResult<_> {
            let source = self.source_of_import(from)?;
            let into = self.followed(into)?;
            let report = self.sandbox.root.tree_mut().import(&into, &source, keep)?;
            let ignored = report.ignored.iter().map(String::as_str).collect();
            let mut written = Written { keep, ignored, paths: Vec::new() };
            written.add(&source, "")?;
            let paths = written.paths;
            Ok((report, paths))
        };
        import().map_err(assembly_error)
    }
}
