//! Kind `bazelize`: dependencies as a Bazel project, with a target for each.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Reach, Split, Stage, Step};
use bourn_plan::{AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Workbench};
use bourn_project::{ElementId, KindOrigin, KindTraits};
use bourn_yaml::{Diagnostics, Node};
use regex::Regex;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Its output *is* its dependencies.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

/// From this version on, targets without files are kept where others depend on them.
const EMPTY_TARGETS: Version = Version(2, 4, 0);

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["include", "exclude", "include-orphans"])?;
        let include = layout::texts(config.get_str_list("include")?);
        let exclude = layout::texts(config.get_str_list("exclude")?);
        let orphans = config.get_bool("include-orphans")?;
        let keeps_empty = Version::of(&element.element().origin) >= EMPTY_TARGETS;

        let mut description = Description::new(KeyValue::object([
            ("include", layout::sorted(&include)),
            ("exclude", layout::sorted(&exclude)),
            ("include-orphans", orphans.into()),
        ]));
        description.artifact_version = if keeps_empty { 4 } else { 3 };
        description.strict_rebuild = true;
        description.runs_commands = false;
        let directories = layout::directory(element, "build-root")
            .and_then(|build_root| Ok((build_root, layout::directory(element, "install-root")?)));
        description.assembly = match directories {
            Ok((build_root, install_root)) => {
                let split =
                    Split { include: layout::strings(&include), exclude: layout::strings(&exclude), orphans };
                let (build_root, install_root) = (build_root.to_owned(), install_root.to_owned());
                let place =
                    Place { build_root: build_root.clone(), install_root: install_root.clone(), split };
                Assembly {
                    stage: vec![Step::Compute(Arc::new(place))],
                    assemble: vec![Step::Compute(Arc::new(Project {
                        build_root,
                        install_root: install_root.clone(),
                        keeps_empty,
                    }))],
                    collect: install_root,
                    ..Assembly::default()
                }
            }
            Err(reason) => layout::refused(reason),
        };
        Ok(description)
    }
}

/// Stages each dependency alone, to be looked at, and all of them together, to be collected.
#[derive(Debug)]
struct Place {
    build_root: String,
    install_root: String,
    split: Split,
}

impl Compute for Place {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        for dependency in direct(bench) {
            for into in [alone(&self.build_root, bench, dependency), self.install_root.clone()] {
                bench.stage(&Stage {
                    from: vec![dependency],
                    reach: Reach::Alone,
                    into,
                    split: self.split.clone(),
                    ..Stage::default()
                })?;
            }
        }
        Ok(())
    }
}

fn direct(bench: &dyn Workbench) -> Vec<ElementId> {
    let mut direct = Vec::new();
    for dependency in bench.edges().direct_build(bench.element()) {
        if !direct.contains(&dependency) {
            direct.push(dependency);
        }
    }
    direct
}

/// Where a dependency is staged alone.
fn alone(build_root: &str, bench: &dyn Workbench, dependency: ElementId) -> String {
    layout::join(build_root, &bench.artifact_name(dependency))
}

/// Writes the project files.
#[derive(Debug)]
struct Project {
    build_root: String,
    install_root: String,
    keeps_empty: bool,
}

impl Compute for Project {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let mut targets = Vec::new();
        for dependency in direct(bench) {
            let mut manifest = files(bench, &alone(&self.build_root, bench, dependency))?;
            manifest.sort_unstable();
            targets.extend(rules(bench, dependency, manifest, self.keeps_empty)?);
        }
        let targets = if self.keeps_empty { without_empty(targets) } else { bound(targets, |_| true) };
        let text = project_text(&targets);
        bench.write(&layout::join(&self.install_root, "WORKSPACE"), false, &mut |_| Ok(()))?;
        let path = layout::join(&self.install_root, "BUILD.bazel");
        bench.write(&path, false, &mut |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}

/// The files and links below a directory. Bazel cannot take names with spaces.
fn files(bench: &dyn Workbench, root: &str) -> Result<Vec<String>, AssemblyError> {
    let mut found = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let path = layout::join(root, &directory);
        for (name, entry) in bench.list(&path)?.unwrap_or_default() {
            if name.contains(' ') {
                continue;
            }
            let path = layout::join(&directory, &name);
            match entry {
                bourn_plan::Entry::Directory => directories.push(path),
                _ => found.push(path),
            }
        }
    }
    Ok(found)
}

/// A target.
#[derive(Debug)]
struct Target {
    rule: &'static str,
    name: String,
    sources: Vec<String>,
    headers: Vec<String>,
    data: Vec<String>,
    imports: Vec<String>,
    includes: Option<Node>,
    dependencies: Vec<String>,
}

impl Target {
    fn new(rule: &'static str, name: String) -> Target {
        Target {
            rule,
            name,
            sources: Vec::new(),
            headers: Vec::new(),
            data: Vec::new(),
            imports: Vec::new(),
            includes: None,
            dependencies: Vec::new(),
        }
    }

    fn has_files(&self) -> bool {
        !(self.imports.is_empty() && self.sources.is_empty() && self.headers.is_empty())
    }

    fn text(&self) -> String {
        let mut text = format!("\n{}(\n    name = \"{}\",\n", self.rule, self.name);
        list_text(&mut text, "srcs", &self.sources);
        list_text(&mut text, "hdrs", &self.headers);
        list_text(&mut text, "data", &self.data);
        list_text(&mut text, "imports", &self.imports);
        match self.includes.as_ref().map(|node| (node.text(), node.as_str_list())) {
            Some((Some(one), _)) if !one.is_empty() => {
                let _ = writeln!(text, "    includes = \"{one}\",");
            }
            Some((None, Ok(several))) => {
                let several: Vec<String> = several.into_iter().map(str::to_owned).collect();
                list_text(&mut text, "includes", &several);
            }
            _ => {}
        }
        list_text(&mut text, "deps", &self.dependencies);
        text.push(')');
        text
    }
}

/// A list as Bazel's formatter writes it: sorted by the parts between dots, one on a line of its own unless alone.
fn list_text(text: &mut String, name: &str, values: &[String]) {
    match values {
        [] => {}
        [one] => {
            let _ = writeln!(text, "    {name} = [\"{one}\"],");
        }
        several => {
            let mut several: Vec<&String> = several.iter().collect();
            several.sort_by(|a, b| a.split('.').cmp(b.split('.')));
            let _ = writeln!(text, "    {name} = [");
            for value in several {
                let _ = writeln!(text, "        \"{value}\",");
            }
            let _ = writeln!(text, "    ],");
        }
    }
}

fn project_text(targets: &[Target]) -> String {
    let loads: BTreeSet<&str> = targets.iter().filter_map(|target| load(target.rule)).collect();
    let mut text = String::new();
    for load in loads {
        text.push_str(load);
        text.push('\n');
    }
    text.push_str("\npackage(default_visibility = [\"//visibility:public\"])\n");
    for target in targets {
        text.push_str(&target.text());
        text.push('\n');
    }
    text
}

fn load(rule: &str) -> Option<&'static str> {
    match rule {
        "cc_library" => Some(r#"load("@rules_cc//cc:defs.bzl", "cc_library")"#),
        "py_library" => Some(r#"load("@rules_python//python:defs.bzl", "py_library")"#),
        _ => None,
    }
}

/// The targets of one dependency.
fn rules(
    bench: &dyn Workbench,
    dependency: ElementId,
    manifest: Vec<String>,
    keeps_empty: bool,
) -> Result<Vec<Target>, AssemblyError> {
    let includes = match bench.public(dependency, "bazelize-data")? {
        None => None,
        Some(data) => {
            data.validate_keys(&["includes"]).map_err(|wrong| AssemblyError::element(&wrong.message))?;
            data.get("includes").cloned()
        }
    };
    let name = layout::normal_name(&bench.graph().element(dependency).name);
    let mut needed = BTreeSet::new();
    needs(bench, dependency, &mut needed);
    let suffixed = |suffix: &str| needed.iter().map(|name| format!("{name}{suffix}")).collect::<Vec<_>>();

    let mut libraries = Target::new("cc_library", format!("{name}_cc"));
    libraries.dependencies = suffixed("_cc");
    libraries.data = vec![name.clone()];
    libraries.includes = includes;
    let mut modules = Target::new("py_library", format!("{name}_py"));
    modules.dependencies = suffixed("_py");
    modules.data = vec![name.clone()];
    sort_files(&manifest, &mut libraries, &mut modules);
    let mut group = Target::new("filegroup", name);
    group.data = suffixed("");
    group.sources = manifest;

    let mut targets = vec![group];
    if keeps_empty || !(libraries.sources.is_empty() && libraries.headers.is_empty()) {
        targets.push(libraries);
    }
    if keeps_empty || !modules.imports.is_empty() {
        targets.push(modules);
    }
    Ok(targets)
}

/// The names of what an element needs to run, directly or through stacks.
fn needs(bench: &dyn Workbench, element: ElementId, found: &mut BTreeSet<String>) {
    let mut stacks = vec![element];
    let mut seen = BTreeSet::new();
    while let Some(element) = stacks.pop() {
        for dependency in bench.edges().direct_runtime(element) {
            let it = bench.graph().element(dependency);
            if &*it.kind == "stack" && it.origin == KindOrigin::Core {
                if seen.insert(dependency) {
                    stacks.push(dependency);
                }
            } else {
                found.insert(layout::normal_name(&it.name));
            }
        }
    }
}

static LIBRARY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\.(pic\.(lo|a|o)|a|lo|o|so(\.\d+)*)$").ok());
static HEADER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\.(h(x{2}|p{2})?|h{2}|H|in(c|l))$").ok());

/// Sorts libraries and headers into one target and Python modules into the other.
fn sort_files(manifest: &[String], libraries: &mut Target, modules: &mut Target) {
    let matches =
        |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
    for file in manifest {
        let base = file.rsplit('/').next().unwrap_or(file);
        let suffixes = suffixes(base);
        if base.starts_with("lib") && matches(&LIBRARY, suffixes) {
            libraries.sources.push(file.clone());
        } else if matches(&HEADER, suffixes) {
            libraries.headers.push(file.clone());
        }
        if let Some(at) = file.find("site-packages/") {
            let import = format!("{}site-packages/", &file[..at]);
            if !modules.imports.contains(&import) {
                modules.imports.push(import);
            }
            if file.ends_with(".py") {
                modules.sources.push(file.clone());
            }
        }
    }
}

/// All suffixes of a file name together (Python's `Path.suffixes`).
fn suffixes(name: &str) -> &str {
    let bare = name.trim_start_matches('.');
    match bare.find('.') {
        Some(dot) if !name.ends_with('.') => &bare[dot..],
        _ => "",
    }
}

/// Drops targets without files that lead to none with files either.
fn without_empty(targets: Vec<Target>) -> Vec<Target> {
    let mut kept: BTreeSet<String> = targets.iter().map(|target| target.name.clone()).collect();
    loop {
        let before = kept.len();
        for target in targets.iter().filter(|target| !target.has_files()) {
            if !target.dependencies.iter().any(|name| kept.contains(name)) {
                kept.remove(&target.name);
            }
        }
        if kept.len() == before {
            return bound(targets, |name| kept.contains(name));
        }
    }
}

/// The targets kept, by name, with what they need of each other.
fn bound(targets: Vec<Target>, keep: impl Fn(&str) -> bool) -> Vec<Target> {
    let mut targets: Vec<Target> = targets.into_iter().filter(|target| keep(&target.name)).collect();
    let names: BTreeSet<String> = targets.iter().map(|target| target.name.clone()).collect();
    let known = |list: &mut Vec<String>| {
        list.retain(|name| names.contains(name));
        list.sort_unstable();
        list.dedup();
    };
    for target in &mut targets {
        known(&mut target.dependencies);
        known(&mut target.data);
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    targets
}
