//! Loads small projects and compares what comes of it with what BuildStream 2.8.1 makes of them.
//!
//! A file of `tests/cases` holds cases. Each begins with `==== NAME`, lays out files with `---- FILE PATH` and ends
//! with `---- LOAD TARGETS` (`-o NAME=VALUE`, `--deps SELECTION` and `--except NAME` among them), below which the
//! outcome stands: for each element its name and, where lines of the form `? NAME.bst variables.KEY` ask for them,
//! values; or what is wrong, as `! CODE PLACE` for each error, the first one being BuildStream's. Where BuildStream
//! gives no place or that of a whole section, ours is the exact one.

use bourn_project::selection::{Selection, except, select};
use bourn_project::{
    Element, ElementGraph, ElementId, JunctionNeed, KindOrigin, KindTraits, Kinds, LoadOptions, Loaded, load,
};
use bourn_yaml::{Diagnostics, Files, Node, dump};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The kinds of the core, as far as loading knows them.
struct Core;

impl Kinds for Core {
    fn element_defaults(&self, kind: &str, _: &KindOrigin) -> Option<String> {
        let text = match kind {
            "stack" => "",
            "manual" => {
                "config:\n  configure-commands: []\n  build-commands: []\n  install-commands: []\n  strip-commands:\n  \
                 - \"%{strip-binaries}\"\n"
            }
            "script" => "variables:\n  cwd: /\nconfig:\n  root-read-only: False\n  commands: []\n",
            "import" => "config:\n  source: /\n  target: /\n",
            "compose" => {
                "config:\n  integrate: True\n  include: []\n  exclude: []\n  include-orphans: True\n"
            }
            "filter" => {
                "config:\n  include: []\n  exclude: []\n  include-orphans: False\n  pass-integration: False\n"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn source_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        *origin == KindOrigin::Core && matches!(kind, "local" | "remote" | "tar")
    }

    fn source_ref_keys(&self, kind: &str, _: &KindOrigin) -> &'static [&'static str] {
        if kind == "local" { &[] } else { &["ref"] }
    }

    fn source_mirror_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        *origin == KindOrigin::Core && kind == "default"
    }

    fn element_traits(&self, kind: &str, _: &KindOrigin) -> Option<KindTraits> {
        Some(KindTraits {
            forbids_runtime_dependencies: matches!(kind, "compose" | "script"),
            forbids_build_dependencies: false,
            forbids_sources: matches!(kind, "compose" | "filter" | "script" | "stack"),
            takes_dependency_config: matches!(kind, "manual" | "script"),
            deprecated: None,
        })
    }

    fn package_versions(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// One case of a file.
struct Case<'t> {
    name: &'t str,
    files: Vec<(&'t str, String)>,
    load: &'t str,
    asked: Vec<(&'t str, &'t str)>,
    expected: String,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    let mut in_file = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("==== ") {
            cases.push(Case {
                name,
                files: Vec::new(),
                load: "",
                asked: Vec::new(),
                expected: String::new(),
            });
            in_file = false;
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(path) = line.strip_prefix("---- FILE ") {
            case.files.push((path, String::new()));
            in_file = true;
        } else if let Some(targets) = line.strip_prefix("---- LOAD") {
            case.load = targets.trim();
            in_file = false;
        } else if in_file {
            let (_, content) = case.files.last_mut().expect("a file");
            content.push_str(line);
            content.push('\n');
        } else if let Some(question) = line.strip_prefix("? ") {
            case.asked.push(question.split_once(' ').expect("an element and a path"));
        } else if !line.is_empty() {
            case.expected.push_str(line);
            case.expected.push('\n');
        }
    }
    cases
}

fn lay_out(case: &Case<'_>, root: &Path) {
    for (path, content) in &case.files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
    if !case.files.iter().any(|(path, _)| *path == "project.conf") {
        std::fs::write(root.join("project.conf"), "name: test\nmin-version: 2.0\n").expect("a file");
    }
}

/// What a `---- LOAD` line says.
#[derive(Default)]
struct Asked {
    targets: Vec<String>,
    except: Vec<String>,
    options: Vec<(String, String)>,
    selection: Option<Selection>,
}

fn asked(line: &str) -> Asked {
    let mut words = line.split_whitespace();
    let mut asked = Asked::default();
    while let Some(word) = words.next() {
        match word {
            "-o" => {
                let (name, value) = words.next().and_then(|pair| pair.split_once('=')).expect("NAME=VALUE");
                asked.options.push((name.to_owned(), value.to_owned()));
            }
            "--except" => asked.except.extend(words.next().map(str::to_owned)),
            "--deps" => {
                asked.selection = match words.next() {
                    Some("none") => Some(Selection::None),
                    Some("run") => Some(Selection::Run),
                    Some("build") => Some(Selection::Build),
                    _ => None,
                }
            }
            _ => asked.targets.push(word.to_owned()),
        }
    }
    asked
}

fn outcome(case: &Case<'_>, root: &Path) -> String {
    let staged = |need: &JunctionNeed| -> Option<PathBuf> {
        let parent = &need.projects[need.project.0 as usize].directory;
        Some(parent.join("staged").join(&need.element)).filter(|path| path.is_dir())
    };
    let Asked { targets, except: excepted, options, selection } = asked(case.load);
    let options = LoadOptions {
        directory: root.to_owned(),
        targets,
        except: excepted,
        project_only: false,
        options,
        default_mirror: None,
        project_overrides: Default::default(),
        max_jobs: 4,
        host_arch: "x86_64".to_owned(),
        host_os: "Linux".to_owned(),
        kinds: &Core,
        junctions: Default::default(),
        locate: Some(&staged),
        workspaces: Default::default(),
    };
    let files = Files::default();
    match load(&files, &options) {
        Ok(Loaded::Graph(graph)) => {
            let selected = select(&graph, &graph.targets, selection.unwrap_or(Selection::All));
            let selected = except(&graph, &graph.targets, selected, &graph.excepted);
            shown(&graph, &selected, &case.asked)
        }
        Ok(Loaded::NeedsJunctions(needs)) => {
            needs.iter().map(|need| format!("needs {}\n", need.key)).collect()
        }
        Err(wrong) => told(&files, &wrong),
    }
}

fn told(files: &Files, wrong: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in &wrong.0 {
        let place = diagnostic.at.and_then(|at| files.position(at));
        let place = place.map_or_else(|| "nowhere".to_owned(), |place| place.to_string());
        let _ = writeln!(text, "! {} {place}", diagnostic.code);
    }
    text
}

fn shown(graph: &ElementGraph, selected: &[ElementId], asked: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for id in selected {
        let name = graph.full_name(*id);
        let _ = writeln!(text, "{name}");
        for (_, path) in asked.iter().filter(|(of, _)| *of == name) {
            let _ = writeln!(text, "  {path}: {}", value(graph.element(*id), path));
        }
    }
    text
}

fn value(element: &Element, path: &str) -> String {
    let (section, rest) = path.split_once('.').unwrap_or((path, ""));
    let below = |node: &Node| {
        let found = rest
            .split('.')
            .try_fold(node, |node, key| if key.is_empty() { Some(node) } else { node.get(key) });
        found.map(|found| {
            found.text().map_or_else(|| dump(found).trim_end().replace('\n', "; "), str::to_owned)
        })
    };
    let found = match section {
        "variables" => element.variables.get(rest).map(str::to_owned),
        "environment" => element.environment.get(rest).map(ToString::to_string),
        "config" => below(&element.config),
        "public" => below(&element.public),
        "depends" => Some(
            element
                .dependencies
                .iter()
                .map(|d| format!("{} {:?}", d.path, d.kind))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        "sources" => {
            let (index, key) = rest.split_once('.').unwrap_or((rest, ""));
            let source = index.parse::<usize>().ok().and_then(|index| element.sources.get(index));
            source.and_then(|source| source.config.get(key)?.text().map(str::to_owned))
        }
        _ => None,
    };
    found.unwrap_or_else(|| "(none)".to_owned())
}

/// Runs all cases of a file.
fn check(text: &str) {
    let mut failures = String::new();
    for case in cases(text) {
        let root = tempfile::tempdir().expect("a directory");
        lay_out(&case, root.path());
        let outcome = outcome(&case, root.path());
        if outcome != case.expected {
            let _ = write!(failures, "==== {}\nexpected:\n{}got:\n{outcome}", case.name, case.expected);
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

macro_rules! case_files {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(include_str!(concat!("cases/", stringify!($name), ".txt")));
            }
        )*
    };
}

case_files!(dependencies, errors, includes, junctions, options, projects, selection, variables);
