//! Loads a project and prints the full names of all elements in staging order.
//!
//! `PROJECT` is the directory of project.conf, `KINDS` a directory with the defaults of kinds as
//! `PACKAGE/elements/KIND.yaml`, those of the core in `core`, `TARGETS` a file with names of elements (all without
//! it). Junctions are looked for where bst stages them. `OPTIONS` holds `NAME=VALUE` with spaces in between. With
//! `DUMP` set, everything is printed that the elements resolve to. `REPEAT` times the load several times before.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use bourn_project::{
    Element, Extent, JunctionNeed, KindOrigin, KindTraits, Kinds, LoadOptions, Loaded, load,
};
use bourn_yaml::{Diagnostics, Files, Node, Text, Value};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Kinds as files of a directory.
struct Directory(PathBuf);

impl Directory {
    fn of(&self, origin: &KindOrigin, sort: &str) -> PathBuf {
        let package = match origin {
            KindOrigin::Pip { package, .. } => package.as_str(),
            _ => "core",
        };
        self.0.join(package).join(sort)
    }

    fn known(&self, kind: &str, origin: &KindOrigin, sort: &str) -> bool {
        let directory = self.of(origin, sort);
        ["py", "yaml"].iter().any(|suffix| directory.join(format!("{kind}.{suffix}")).exists())
    }
}

impl Kinds for Directory {
    fn element_defaults(&self, kind: &str, origin: &KindOrigin) -> Option<String> {
        let text = std::fs::read_to_string(self.of(origin, "elements").join(format!("{kind}.yaml")));
        text.ok().or_else(|| self.known(kind, origin, "elements").then(String::new))
    }

    fn source_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        self.known(kind, origin, "sources")
    }

    fn source_ref_keys(&self, _: &str, _: &KindOrigin) -> &'static [&'static str] {
        &["ref"]
    }

    fn source_mirror_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        self.known(kind, origin, "sourcemirrors")
    }

    fn element_traits(&self, kind: &str, origin: &KindOrigin) -> Option<KindTraits> {
        let directory = match origin {
            KindOrigin::File { directory, .. } => directory.clone(),
            _ => self.of(origin, "elements"),
        };
        let text = std::fs::read_to_string(directory.join(format!("{kind}.py"))).ok()?;
        let script = text.contains("(ScriptElement)");
        Some(KindTraits {
            forbids_runtime_dependencies: script || text.contains("BST_FORBID_RDEPENDS = True"),
            forbids_build_dependencies: text.contains("BST_FORBID_BDEPENDS = True"),
            forbids_sources: script || text.contains("BST_FORBID_SOURCES = True"),
            takes_dependency_config: script
                || text.contains("(BuildElement)")
                || text.contains("def configure_dependencies"),
            deprecated: None,
        })
    }

    fn package_versions(&self, package: &str) -> Vec<String> {
        let known = self.0.join(package).is_dir();
        if known { vec!["2.8.0".to_owned()] } else { Vec::new() }
    }
}

fn staged(need: &JunctionNeed) -> Option<PathBuf> {
    let parent = &need.projects[need.project.0 as usize].directory;
    let directory = parent.join(".bst/staged-junctions").join(&need.element);
    Some(std::fs::read_dir(directory).ok()?.next()?.ok()?.path())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|_| format!("set {name}").into())
}

/// What `show` prints of an element with `%{vars}%{env}%{config}%{public}`.
fn shown(element: &Element) -> String {
    let texts = |values: Vec<(&str, &str)>| {
        let entries = values
            .into_iter()
            .map(|(name, value)| (Text::new(name), Node::from(Value::Scalar(Text::new(value)))));
        Node::mapping(entries.collect())
    };
    let variables = texts(element.variables.iter().collect());
    let environment =
        texts(element.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect());
    [&variables, &environment, &element.config, &element.public].map(bourn_yaml::dump).concat()
}

fn print(files: &Files, wrong: &Diagnostics) {
    for diagnostic in &wrong.0 {
        let place = diagnostic.at.and_then(|at| files.position(at));
        let place = place.map(|place| place.to_string()).unwrap_or_default();
        eprintln!("{place}: {} [{:?}/{}]", diagnostic.message, diagnostic.domain, diagnostic.code);
        diagnostic.detail.iter().for_each(|detail| eprintln!("{detail}"));
        diagnostic.hint.iter().for_each(|hint| eprintln!("  hint: {hint}"));
        for (at, note) in &diagnostic.notes {
            let place = at.and_then(|at| files.position(at)).map(|place| place.to_string());
            eprintln!("  note: {note} {}", place.unwrap_or_default());
        }
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let kinds = Directory(PathBuf::from(variable("KINDS")?));
    let targets = match std::env::var_os("TARGETS") {
        Some(file) => {
            std::fs::read_to_string(Path::new(&file))?.split_whitespace().map(str::to_owned).collect()
        }
        None => std::env::args().skip(1).collect(),
    };
    let set = std::env::var("OPTIONS").unwrap_or_default();
    let set = set.split_whitespace().filter_map(|pair| pair.split_once('='));
    let options = LoadOptions {
        directory: PathBuf::from(variable("PROJECT")?),
        targets,
        except: Vec::new(),
        extent: Extent::Whole,
        options: set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        default_mirror: None,
        project_overrides: Default::default(),
        max_jobs: 4,
        host_arch: std::env::consts::ARCH.to_owned(),
        host_os: "Linux".to_owned(),
        kinds: &kinds,
        junctions: Default::default(),
        locate: Some(&staged),
        workspaces: Default::default(),
    };
    // The shortest of some loads says what loading costs on a busy machine.
    let repeats = std::env::var("REPEAT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let shortest = (0..repeats).map(|_| {
        let start = Instant::now();
        let _ = load(&Files::default(), &options);
        start.elapsed()
    });
    shortest.min().into_iter().for_each(|took| eprintln!("shortest of {repeats}: {took:?}"));
    let files = Files::default();
    let start = Instant::now();
    let loaded = load(&files, &options);
    let took = start.elapsed();
    match loaded {
        Ok(Loaded::Graph(graph)) => {
            for (at, element) in graph.elements.iter().enumerate() {
                println!("{}", graph.full_name(bourn_project::ElementId(at as u32)));
                match std::env::var("DUMP").as_deref() {
                    Ok("yaml") => print!("{}", shown(element)),
                    Ok(_) => println!("{element:#?}"),
                    Err(_) => {}
                }
            }
            for warning in &graph.warnings {
                print(&files, &Diagnostics(vec![warning.clone()]));
            }
            eprintln!("{} elements of {} projects in {took:?}", graph.elements.len(), graph.projects.len());
            Ok(ExitCode::SUCCESS)
        }
        Ok(Loaded::NeedsJunctions(needs)) => {
            needs.iter().for_each(|need| eprintln!("needs {}", need.key));
            Ok(ExitCode::FAILURE)
        }
        Err(wrong) => {
            print(&files, &wrong);
            Ok(ExitCode::FAILURE)
        }
    }
}
