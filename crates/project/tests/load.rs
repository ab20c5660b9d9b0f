//! Loads small projects and compares what comes of it with what BuildStream 2.8.1 makes of them.
//!
//! A file of `tests/cases` holds cases. Each begins with `==== NAME`, lays out files with `---- FILE PATH` and ends
//! with `---- LOAD TARGETS` (`-o NAME=VALUE`, `--deps SELECTION` and `--except NAME` among them), below which the
//! outcome stands: for each element its name and, where lines of the form `? NAME.bst variables.KEY` ask for them,
//! values; or what is wrong, as `! CODE PLACE` for each error, the first one being BuildStream's. Where BuildStream
//! gives no place or that of a whole section, ours is the exact one.

#[path = "cases/kinds.rs"]
mod kinds;

use bourn_project::selection::{Selection, except, select};
use bourn_project::{
    Element, ElementGraph, ElementId, Extent, JunctionNeed, LoadOptions, Loaded, Locate, Workspace, load,
};
use bourn_yaml::{Diagnostics, Files, Node, dump};
use kinds::Core;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

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

fn wanted<'a>(root: &Path, locate: Option<&'a Locate<'a>>) -> LoadOptions<'a> {
    LoadOptions {
        directory: root.to_owned(),
        targets: Vec::new(),
        except: Vec::new(),
        extent: Extent::Whole,
        options: Vec::new(),
        default_mirror: None,
        project_overrides: Default::default(),
        max_jobs: 4,
        host_arch: "x86_64".to_owned(),
        host_os: "Linux".to_owned(),
        kinds: &Core,
        junctions: Default::default(),
        locate,
        workspaces: Default::default(),
    }
}

fn outcome(case: &Case<'_>, root: &Path) -> String {
    let staged = |need: &JunctionNeed| -> Option<PathBuf> {
        let parent = &need.projects[need.project.0 as usize].directory;
        Some(parent.join("staged").join(&need.element)).filter(|path| path.is_dir())
    };
    let asked = asked(case.load);
    let mut wanted = wanted(root, Some(&staged));
    (wanted.targets, wanted.except, wanted.options) = (asked.targets, asked.except, asked.options);
    let files = Files::default();
    match load(&files, &wanted) {
        Ok(Loaded::Graph(graph)) => {
            let selected = select(&graph, &graph.targets, asked.selection.unwrap_or(Selection::All));
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

case_files!(dependencies, errors, includes, junctions, options, projects, selection, staging, variables);

/// Loads a project of some files with all options at hand.
fn loaded(files: &[(&str, &str)], set: impl FnOnce(&mut LoadOptions<'_>)) -> Result<ElementGraph, String> {
    let root = tempfile::tempdir().expect("a directory");
    let files = files.iter().map(|(path, content)| (*path, (*content).to_owned())).collect();
    lay_out(&Case { name: "", files, load: "", asked: Vec::new(), expected: String::new() }, root.path());
    let mut wanted = wanted(root.path(), None);
    set(&mut wanted);
    let files = Files::default();
    match load(&files, &wanted) {
        Ok(Loaded::Graph(graph)) => Ok(graph),
        Ok(Loaded::NeedsJunctions(_)) => Err("needs junctions".to_owned()),
        Err(wrong) => Err(told(&files, &wrong)),
    }
}

fn yaml(text: &str) -> Node {
    let files = Files::default();
    let file = files.add(Path::new("user.conf"), "user.conf", None, text.into());
    bourn_yaml::parse(&files, file).expect("good YAML")
}

const WITH_OPTION: &str = "
name: test
min-version: 2.0
options:
  o: {type: enum, description: x, values: [a, b, c], default: a, variable: o}
aliases: {up: 'https://example.com/'}
mirrors:
- name: m
  aliases: {up: ['https://mirror.example.com/%{o}/']}
";

#[test]
fn the_user_configuration_sets_options_before_the_command_line() {
    let files = [("project.conf", WITH_OPTION), ("a.bst", "kind: manual\n")];
    let value = |user: Option<&str>, command_line: Option<&str>| {
        let graph = loaded(&files, |wanted| {
            if let Some(user) = user {
                wanted.project_overrides.insert("test".to_owned(), yaml(user));
            }
            wanted.options.extend(command_line.map(|value| ("o".to_owned(), value.to_owned())));
        });
        graph.map(|graph| graph.elements[0].variables.get("o").map(str::to_owned).unwrap_or_default())
    };
    assert_eq!(value(None, None), Ok("a".to_owned()));
    assert_eq!(value(Some("options: {o: b}"), None), Ok("b".to_owned()));
    assert_eq!(value(Some("options: {o: b}"), Some("c")), Ok("c".to_owned()));
    assert!(value(Some("options: {o: d}"), None).is_err());
    assert!(value(Some("options: {nosuch: d}"), None).is_err());
}

#[test]
fn mirrors_of_the_user_replace_those_of_the_project() {
    let files = [("project.conf", WITH_OPTION), ("a.bst", "kind: manual\n")];
    let names = |user: &str, command_line: Option<&str>| {
        let graph = loaded(&files, |wanted| {
            wanted.project_overrides.insert("test".to_owned(), yaml(user));
            wanted.default_mirror = command_line.map(str::to_owned);
        });
        let project = &graph.expect("a graph").projects[0];
        let names: Vec<&str> =
            project.mirrors.iter().filter_map(|mirror| mirror.get("name")?.text()).collect();
        (names.join(" "), project.user_mirrors, project.default_mirror.clone().unwrap_or_default())
    };
    let expect = |names: &str, user, default: &str| (names.to_owned(), user, default.to_owned());
    assert_eq!(names("{}", None), expect("m", false, "m"));
    assert_eq!(names("default-mirror: x", None), expect("m", false, "x"));
    assert_eq!(names("default-mirror: x", Some("y")), expect("m", false, "y"));
    assert_eq!(names("mirrors: []", None), expect("", true, ""));
    let own = "mirrors: [{name: n, aliases: {up: ['https://%{project-name}/']}}]";
    assert_eq!(names(own, None), expect("n", true, "n"));
    let graph = loaded(&files, |_| {}).expect("a graph");
    let mirror = graph.projects[0].mirrors[0].get("aliases").and_then(|aliases| aliases.get("up")?.items());
    assert_eq!(mirror.and_then(|urls| urls[0].text()), Some("https://mirror.example.com/a/"));
}

#[test]
fn an_open_workspace_stands_for_all_sources() {
    let element = "kind: manual\nsources:\n- {kind: local, path: a.bst}\n- {kind: local, path: a.bst}\n";
    let graph = loaded(&[("a.bst", element), ("b.bst", element)], |wanted| {
        wanted.targets = vec!["a.bst".to_owned(), "b.bst".to_owned()];
        let workspace = Workspace { directory: "/work space".into(), last_build: "abc".to_owned() };
        wanted.workspaces.insert("a.bst".to_owned(), workspace);
    });
    let graph = graph.expect("a graph");
    let [source] = &graph.elements[0].sources[..] else { panic!("one source") };
    assert_eq!(source.kind.as_ref(), "workspace");
    assert_eq!(source.config.get("path").and_then(Node::text), Some("/work space"));
    assert_eq!(graph.elements[1].sources.len(), 2);
}

#[test]
fn a_directory_without_project() {
    let root = tempfile::tempdir().expect("a directory");
    let files = Files::default();
    let wrong = load(&files, &wanted(root.path(), None)).expect_err("no project");
    assert_eq!(told(&files, &wrong), "! missing-project-conf nowhere\n");
}

#[test]
fn files_that_grow_without_bound_are_refused() {
    let doubling = |from: u32, to: u32, line: &dyn Fn(u32) -> String| {
        (from..to).map(line).collect::<Vec<_>>().join("\n")
    };
    // A text that doubles with every variable.
    let variables = doubling(1, 60, &|i| format!("  v{i}: '%{{v{}}}%{{v{}}}'", i - 1, i - 1));
    let element = format!("kind: manual\nvariables:\n  v0: x\n{variables}\n");
    assert_eq!(loaded(&[("a.bst", &element)], |_| {}).err(), Some("! invalid-data nowhere\n".to_owned()));
    // A list that doubles with every file.
    let mut files: Vec<(String, String)> = (1..60)
        .map(|i| {
            let include = format!("(@): [i{}.yml, i{}.yml]\n", i - 1, i - 1);
            (format!("i{i}.yml"), include)
        })
        .collect();
    files.push(("i0.yml".to_owned(), "public: {x: {(>): [a, b]}}\n".to_owned()));
    files.push(("a.bst".to_owned(), "kind: manual\n(@): i59.yml\n".to_owned()));
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(loaded(&borrowed, |_| {}).err().map(|e| e.starts_with("! invalid-data i")), Some(true));
    // Files that lie deep in each other.
    let mut files: Vec<(String, String)> = (0..50)
        .map(|i| {
            let deep = format!("{}(@): i{}.yml{}", "{a: ".repeat(100), i + 1, "}".repeat(100));
            (format!("i{i}.yml"), deep.replacen("(@)", "{(@)", 1) + "\n")
        })
        .collect();
    files.iter_mut().for_each(|(_, text)| *text = text.trim().to_owned() + "}\n");
    files.push(("i50.yml".to_owned(), "a: b\n".to_owned()));
    files.push(("a.bst".to_owned(), "kind: manual\npublic:\n  (@): i0.yml\n".to_owned()));
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(loaded(&borrowed, |_| {}).err().map(|e| e.starts_with("! invalid-data i")), Some(true));
}

#[test]
fn long_chains_are_no_trouble() {
    let chain = 5_000;
    let mut files: Vec<(String, String)> = (0..chain)
        .map(|i| (format!("e{i}.bst"), format!("kind: stack\ndepends: [e{}.bst]\n", i + 1)))
        .collect();
    files.push((format!("e{chain}.bst"), "kind: stack\n".to_owned()));
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let graph = loaded(&borrowed, |wanted| wanted.targets = vec!["e0.bst".to_owned()]).expect("a graph");
    assert_eq!(graph.elements.len(), chain + 1);
    assert_eq!(graph.elements[0].name.as_ref(), format!("e{chain}.bst"));
    let variables: String = (1..chain).map(|i| format!("  v{i}: '%{{v{}}}'\n", i - 1)).collect();
    let element = format!("kind: manual\nvariables:\n{variables}  v0: end\n");
    let graph = loaded(&[("a.bst", &element)], |_| {}).expect("a graph");
    assert_eq!(graph.elements[0].variables.get(&format!("v{}", chain - 1)), Some("end"));
}
