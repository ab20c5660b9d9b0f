//! Kind `dpkg_build`: software packaged for Debian, built by its own rules.

use crate::commands::{self, Build};
use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Command, Run, Step};
use bourn_plan::{AssemblyError, Compute, Description, ElementContext, ElementKind, Entry, Workbench};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostics, Mapping, Node, Text};
use regex::Regex;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of all kinds that run commands.
pub fn traits(version: Version) -> KindTraits {
    commands::traits(version)
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let mut description = Build::read(element)?.describe(element);
        let build_root = element.variable("build-root").unwrap_or_default().to_owned();
        for step in &mut description.assembly.assemble {
            if let Step::Run(run) = step {
                // What the build left behind is looked at afterwards.
                let run = Run { clean: None, ..run.clone() };
                *step = Step::Compute(Arc::new(Package { run, build_root: build_root.clone() }));
            }
        }
        Ok(description)
    }

    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        commands::Commands.build_script(element)
    }
}

/// Runs the commands for the packages that `debian/control` names, then records what each package holds.
struct Package {
    run: Run,
    build_root: String,
}

/// Stands for the packages in commands.
const PACKAGES: &str = "<PACKAGES>";

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Package {{ build_root: {:?}, ", self.build_root)?;
        layout::debug_run(f, &self.run)
    }
}

impl Compute for Package {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let debian = layout::join(&self.build_root, "debian");
        let packages = packages(&read(bench, &layout::join(&debian, "control"))?)?;
        bench.run(&for_packages(&self.run, &packages.join(" ")))?;

        let (mut splits, mut data, mut scripts) = (Mapping::new(), Mapping::new(), Mapping::new());
        for package in &packages {
            let directory = layout::join(&debian, package);
            let name = Text::new(package);
            splits.insert(name.clone(), Node::sequence(contents(bench, &directory)?));
            data.insert(name.clone(), control(bench, &directory, package)?);
            if let Some(found) = maintainer_scripts(bench, &directory)? {
                scripts.insert(name, found);
            }
        }
        let mut public = bench.own_public("bst").unwrap_or_else(|| Node::mapping(Mapping::new()));
        if let Some(entries) = public.entries_mut() {
            entries.assign("split-rules", Node::mapping(splits));
            entries.assign("dpkg-data", Node::mapping(data));
            if !scripts.is_empty() {
                entries.assign("package-scripts", Node::mapping(scripts));
            }
        }
        bench.set_public("bst", public);
        Ok(())
    }
}

/// The names in `Package:` lines.
fn packages(control: &str) -> Result<Vec<String>, AssemblyError> {
    let pattern =
        Regex::new(r"Package:\s*(.+)\n").map_err(|error| AssemblyError::world(error.to_string()))?;
    Ok(pattern.captures_iter(control).map(|found| found[1].to_owned()).collect())
}

/// The commands with the packages filled in.
fn for_packages(run: &Run, packages: &str) -> Run {
    let mut run = run.clone();
    for command in run.groups.iter_mut().flat_map(|group| &mut group.commands) {
        if let Command::Shell(text) = command {
            *text = text.replace(PACKAGES, packages).into();
        }
    }
    run
}

fn read(bench: &dyn Workbench, path: &str) -> Result<String, AssemblyError> {
    let mut text = String::new();
    let read = bench.open(path)?.read_to_string(&mut text);
    read.map_err(|error| AssemblyError::element(format!("{path}: {error}")))?;
    Ok(text)
}

/// What a package installs: all but its control files.
fn contents(bench: &dyn Workbench, directory: &str) -> Result<Vec<Node>, AssemblyError> {
    let paths = bench.paths(directory)?.ok_or_else(|| {
        AssemblyError::element(format!("The build left no directory '{directory}' for a package"))
    })?;
    let installed = paths.into_iter().filter(|path| path != "." && !path.starts_with("DEBIAN"));
    Ok(installed.map(|path| Node::scalar(format!("/{path}"))).collect())
}

fn control(bench: &dyn Workbench, directory: &str, package: &str) -> Result<Node, AssemblyError> {
    let path = layout::join(directory, "DEBIAN/control");
    if bench.entry(&path)?.is_none() {
        let name = &bench.graph().element(bench.element()).name;
        let message = format!("{name}: package {package} doesn't have a DEBIAN/control in {directory}!");
        return Err(AssemblyError::element(message));
    }
    let text = read(bench, &path)?;
    let entries = [("name", Node::scalar(package)), ("control", Node::scalar(text))];
    Ok(Node::mapping(entries.into_iter().collect()))
}

fn maintainer_scripts(bench: &dyn Workbench, directory: &str) -> Result<Option<Node>, AssemblyError> {
    let mut scripts = Mapping::new();
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        let path = layout::join(directory, &format!("DEBIAN/{script}"));
        if matches!(bench.entry(&path)?, Some(Entry::File { .. })) {
            scripts.insert(script, Node::scalar(read(bench, &path)?));
        }
    }
    Ok((!scripts.is_empty()).then(|| Node::mapping(scripts)))
}
