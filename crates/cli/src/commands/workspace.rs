//! `bourn workspace …`

use crate::args::workspace::{Close, Open, Reset};
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::tree;
use crate::watch::Watch;
use crate::workspaces::Workspaces;
use crate::world::World;
use bourn_build::fetch::Fetch;
use bourn_build::job::Job;
use bourn_build::run;
use bourn_build::session::Session;
use bourn_plan::{FetchContext, PlannedSource, StageContext};
use bourn_project::ElementId;
use bourn_reapi::services::{ExportOptions, ImportOptions};
use bourn_yaml::{Mapping, Node};
use std::path::{Path, PathBuf};

/// `workspace list`.
pub(crate) fn list(invocation: &Invocation<'_>) -> Outcome {
    invocation.check_project()?;
    let workspaces = invocation.workspaces()?;
    let entries = workspaces.iter().map(|(element, _)| {
        let directory = workspaces.directory(element).unwrap_or_default();
        let mut entry = Mapping::new();
        entry.insert("element", Node::scalar(element));
        entry.insert("directory", Node::scalar(directory.to_string_lossy().into_owned()));
        Node::mapping(entry)
    });
    let mut top = Mapping::new();
    top.insert("workspaces", Node::sequence(entries.collect()));
    print::result(&bourn_yaml::dump(&Node::mapping(top)))
}

/// `workspace open`.
pub(crate) fn open(invocation: &Invocation<'_>, options: &Open) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let directory = options.directory.as_deref().map(|path| invocation.absolute(path)).transpose()?;
    let (world, targets) = originals(invocation, &named)?;
    let opening = Opening {
        invocation,
        world: &world,
        checkout: !options.no_checkout,
        force: options.force,
        directory,
    };
    opening.run(&targets)?;
    Ok(0)
}

/// `workspace close`.
pub(crate) fn close(invocation: &Invocation<'_>, options: &Close) -> Outcome {
    invocation.check_project()?;
    let mut workspaces = invocation.workspaces()?;
    let names = match options.all {
        true if workspaces.is_empty() => {
            crate::report::reporter::write_stderr("No open workspaces to close\n");
            return Ok(0);
        }
        true => workspaces.iter().map(|(element, _)| element.to_owned()).collect(),
        false => chosen(invocation, &options.elements, "No elements specified")?,
    };
    let names = redirected_names(invocation, names)?;
    check_open(&workspaces, &names).map_err(|missing| missing_workspaces("app", &missing))?;
    for name in names {
        close_one(invocation, &mut workspaces, &name, options.remove_dir)?;
    }
    Ok(0)
}

/// `workspace reset`.
pub(crate) fn reset(invocation: &Invocation<'_>, options: &Reset) -> Outcome {
    if options.all && !options.elements.is_empty() {
        return Err(Failure::app("Specify either --all or elements, not both"));
    }
    let mut workspaces = invocation.workspaces()?;
    let names = match options.all {
        true if workspaces.is_empty() => return Err(Failure::app("No open workspaces to reset")),
        true => workspaces.iter().map(|(element, _)| element.to_owned()).collect(),
        false => chosen(invocation, &options.elements, "No elements specified to reset")?,
    };
    let (world, targets) = originals(invocation, &names)?;
    let full: Vec<String> = targets.iter().map(|id| world.graph().full_name(*id)).collect();
    check_open(&workspaces, &full).map_err(|missing| missing_workspaces("stream", &missing))?;
    for (id, name) in targets.into_iter().zip(full) {
        let Some(directory) = workspaces.directory(&name) else { continue };
        if options.soft {
            workspaces.set_last_build(&name, None);
            workspaces.save()?;
            let short = &world.graph().element(id).name;
            let text = format!("Reset workspace state for {short} at: {}", directory.display());
            invocation.reporter.info(&text);
            continue;
        }
        close_one(invocation, &mut workspaces, &name, true)?;
        let directory = Some(directory);
        let opening = Opening { invocation, world: &world, checkout: true, force: true, directory };
        opening.run(&[id])?;
        workspaces = invocation.workspaces()?;
    }
    Ok(0)
}

/// The elements named, or that of the workspace this is run in.
fn chosen(invocation: &Invocation<'_>, words: &[String], missing: &str) -> Result<Vec<String>, Failure> {
    match (&words, &invocation.location.workspace_element) {
        ([], Some(element)) => Ok(vec![element.clone()]),
        ([], None) => Err(Failure::app(missing)),
        _ => Ok(words.to_vec()),
    }
}

/// The elements whose sources stand for those of the named ones, and the project as if they had no workspaces.
fn originals(invocation: &Invocation<'_>, names: &[String]) -> Result<(World, Vec<ElementId>), Failure> {
    let world = World::load_without_workspaces(invocation, names, names)?;
    let targets = redirected(invocation, &world);
    let full: Vec<String> = targets.iter().map(|id| world.graph().full_name(*id)).collect();
    if !full.iter().any(|name| world.workspaces.get(name).is_some()) {
        return Ok((world, targets));
    }
    // Only now is it known that others stand for them, which have workspaces.
    let world = World::load_without_workspaces(invocation, &full, &full)?;
    let targets = world.graph().targets.clone();
    Ok((world, targets))
}

/// The elements whose sources stand for the targets'.
fn redirected(invocation: &Invocation<'_>, world: &World) -> Vec<ElementId> {
    let mut found = Vec::new();
    for &target in &world.graph().targets {
        let id = world.source_element(invocation, target);
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// The same by name; names of elements that are no more stay as they are, so that their workspaces can be closed.
fn redirected_names(invocation: &Invocation<'_>, names: Vec<String>) -> Result<Vec<String>, Failure> {
    let Some(directory) = invocation.element_path()? else { return Ok(names) };
    let (there, mut gone): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| directory.join(name).exists());
    if !there.is_empty() {
        let world = World::load(invocation, &there, &[])?;
        gone.extend(redirected(invocation, &world).into_iter().map(|id| world.graph().full_name(id)));
    }
    gone.sort();
    gone.dedup();
    Ok(gone)
}

fn check_open(workspaces: &Workspaces, names: &[String]) -> Result<(), String> {
    let missing: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| workspaces.get(name).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

fn missing_workspaces(domain: &'static str, names: &str) -> Failure {
    Failure::new(domain, "Workspace does not exist").detail(names)
}

fn close_one(
    invocation: &Invocation<'_>,
    workspaces: &mut Workspaces,
    name: &str,
    remove: bool,
) -> Result<(), Failure> {
    if let Some(directory) = workspaces.directory(name).filter(|_| remove) {
        let doing = format!("Removing workspace directory {}", directory.display());
        invocation.reporter.timed(&doing, || {
            tree::remove(&directory).map_err(|error| {
                Failure::stream(format!("Could not remove '{}': {error}", directory.display()))
            })
        })?;
    }
    workspaces.close(name)?;
    workspaces.save()?;
    invocation.reporter.info(&format!("Closed workspace for {name}"));
    Ok(())
}

/// What `open` was asked to do.
struct Opening<'a> {
    invocation: &'a Invocation<'a>,
    world: &'a World,
    checkout: bool,
    force: bool,
    directory: Option<PathBuf>,
}

impl Opening<'_> {
    /// Opens workspaces for elements. Everything that can be found wrong is found before anything is changed.
    fn run(&self, targets: &[ElementId]) -> Result<(), Failure> {
        let invocation = self.invocation;
        let watch = Watch::new(invocation);
        let session = self.world.session(invocation, &watch);
        if self.checkout {
            jobs::query_sources(invocation, &session, targets)?;
            jobs::assert_refs(&session, targets)?;
            let ran =
                jobs::steered(invocation, self.world, || run::fetch(&session, targets, Fetch::Original))?;
            conclude(&ran)?;
        }
        let mut workspaces = invocation.workspaces()?;
        for &id in targets {
            self.check_sources(id)?;
            self.replace(&mut workspaces, id)?;
        }
        let directories = self.directories(targets)?;
        for (&id, directory) in targets.iter().zip(&directories) {
            self.check_directory(id, directory)?;
        }
        for (at, (&id, directory)) in targets.iter().zip(&directories).enumerate() {
            self.open_one(&session, &mut workspaces, id, directory).map_err(|failure| {
                let rest: Vec<&str> = targets[at + 1..].iter().map(|id| self.short(*id)).collect();
                match rest.is_empty() {
                    true => failure,
                    false => failure.hint(format!("no workspaces were opened for {}", rest.join(" "))),
                }
            })?;
        }
        Ok(())
    }

    fn short(&self, id: ElementId) -> &str {
        &self.world.graph().element(id).name
    }

    fn check_sources(&self, id: ElementId) -> Result<(), Failure> {
        if !self.world.plan.element(id).sources.is_empty() {
            return Ok(());
        }
        let failure = Failure::stream(format!("The element {} has no sources", self.short(id)));
        let below: Vec<String> =
            self.world.plan.edges.direct_build(id).map(|id| self.world.graph().full_name(id)).collect();
        Err(match below.is_empty() {
            true => failure,
            false => failure
                .hint(format!("open a workspace on what it is built upon instead: {}", below.join(", "))),
        })
    }

    /// Closes a workspace that the element has already, if that may be.
    fn replace(&self, workspaces: &mut Workspaces, id: ElementId) -> Result<(), Failure> {
        let name = self.world.graph().full_name(id);
        let Some(directory) = workspaces.directory(&name) else { return Ok(()) };
        let (short, at) = (self.short(id), directory.display());
        if !self.force {
            let text = format!("Element '{short}' already has an open workspace defined at: {at}");
            return Err(Failure::stream(text).hint("use --force to replace it"));
        }
        if self.checkout {
            let text = format!("Replacing existing workspace for element '{short}' defined at: {at}");
            self.invocation.reporter.warn(&text);
        }
        close_one(self.invocation, workspaces, &name, self.checkout)
    }

    fn directories(&self, targets: &[ElementId]) -> Result<Vec<PathBuf>, Failure> {
        if let Some(directory) = &self.directory {
            if targets.len() != 1 {
                return Err(Failure::stream("Exactly one element can be given if --directory is used")
                    .reason("directory-with-multiple-elements"));
            }
            return Ok(vec![directory.clone()]);
        }
        let below = &self.invocation.settings.user.workspacedir;
        let named = targets.iter().map(|id| {
            let name = self.short(*id);
            let path = below.join(name.strip_suffix(".bst").unwrap_or(name));
            self.invocation.absolute(&path.to_string_lossy())
        });
        named.collect()
    }

    fn check_directory(&self, id: ElementId, directory: &Path) -> Result<(), Failure> {
        if !directory.exists() {
            return Ok(());
        }
        let wrong = |what: &str| {
            let text = format!(
                "For element '{}', Directory path is not {what}: {}",
                self.short(id),
                directory.display()
            );
            let force = if directory.is_dir() { ", or --force" } else { "" };
            let hint = format!("name another with --directory{force}");
            Err(Failure::stream(text).reason("bad-directory").hint(hint))
        };
        if !directory.is_dir() {
            return wrong("a directory");
        }
        if tree::is_empty(directory) || !self.checkout {
            return Ok(());
        }
        if !self.force {
            return wrong("empty");
        }
        tree::remove(directory).map_err(|error| Failure::io(&error, "removing", directory))
    }

    fn open_one(
        &self,
        session: &Session<'_>,
        workspaces: &mut Workspaces,
        id: ElementId,
        directory: &Path,
    ) -> Result<(), Failure> {
        let name = self.world.graph().full_name(id);
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::stream(format!("Failed to create workspace directory: {}: {error}", directory.display()))
                .reason("workspace-directory-failure")
        })?;
        if self.checkout {
            let job = session.main_job(id);
            let doing = format!("Staging sources to {}", directory.display());
            self.invocation.reporter.timed(&doing, || {
                for source in &session.planned(id).sources {
                    self.fill(session, &job, id, source, directory)?;
                }
                Ok(())
            })?;
        }
        workspaces.open(&name, directory);
        if directory.join(crate::location::WORKSPACE_FILE).exists() && self.checkout {
            let text = format!("{} was staged from this element's sources", crate::location::WORKSPACE_FILE);
            self.invocation.reporter.warn(&text);
        }
        workspaces.mark(&name, directory, self.invocation.files)?;
        workspaces.save()?;
        self.invocation.reporter.info(&format!("Created a workspace for element {name}"));
        Ok(())
    }

    /// Puts one source into the directory.
    fn fill(
        &self,
        session: &Session<'_>,
        job: &Job<'_>,
        id: ElementId,
        source: &PlannedSource,
        directory: &Path,
    ) -> Result<(), Failure> {
        let place = match &source.declaration.directory {
            Some(below) => directory.join(below.trim_start_matches('/')),
            None => directory.to_path_buf(),
        };
        std::fs::create_dir_all(&place).map_err(|error| Failure::io(&error, "creating", &place))?;
        let cas = session.cas();
        let works_on_others = source.source.previous().stage;
        let previous = match works_on_others {
            true => Some(cas.import_tree(&place, &ImportOptions::default())?),
            false => None,
        };
        let project = session.element(id).project;
        let context: StageContext<'_> = FetchContext {
            source_directory: &session.options.source_directory,
            cas: &**cas,
            previous,
            urls: &*session.plan.urls[project.0 as usize],
            progress: job,
            cancel: session.control.cancel(),
        };
        if !works_on_others {
            return Ok(source
                .source
                .init_workspace(&place, &context)
                .map_err(bourn_build::error::BuildError::from)?);
        }
        let changed = source.source.stage(&context).map_err(bourn_build::error::BuildError::from)?;
        tree::clear(&place).map_err(|error| Failure::io(&error, "emptying", &place))?;
        Ok(cas.export_tree(
            &changed,
            &place,
            &ExportOptions { hardlinks: false, merge: true, ..ExportOptions::default() },
        )?)
    }
}
