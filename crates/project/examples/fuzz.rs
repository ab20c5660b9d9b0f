//! Looks for projects that break what holds for all projects: `cargo run --release --example fuzz -- SECONDS [SEED]`.
//!
//! Projects are mutated from the cases of the tests: pieces that mean something to the loader are put into their files,
//! lines move, are repeated, indented and exchanged with those of other projects. Loading has to end in time, never
//! panics, says the same when it is asked again, places every dependency before what needs it, and has something to
//! say where it refuses. The first project that breaks this is printed; then it belongs into `tests/cases`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

#[path = "../tests/cases/kinds.rs"]
mod kinds;

use bourn_project::selection::{Selection, select};
use bourn_project::{ElementGraph, Extent, JunctionNeed, LoadOptions, Loaded, load};
use bourn_yaml::{Files, RenderOptions, render_all};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What means something to the loader.
const PIECES: &[&str] = &[
    "(?):\n- o == 'a':\n    ",
    "(?):\n- not o: {variables: {a: '%{b}'}}\n",
    "(@): i.yml\n",
    "(@):\n- i.yml\n- j.yml\n",
    "(@): sub.bst:i.yml\n",
    "(>):\n- x\n",
    "(<): [y]\n",
    "(=): []\n",
    "(!): stop\n",
    "%{prefix}",
    "%{a}",
    "%{b}%{b}%{b}%{b}%{b}%{b}%{b}%{b}",
    "%{",
    "%{element-name}",
    "variables:\n  a: '%{b}'\n  b: '%{a}'\n",
    "variables: {b: '%{c}%{c}%{c}%{c}', c: '%{d}%{d}%{d}%{d}', d: '%{e}%{e}%{e}%{e}', e: '%{f}%{f}', f: x}\n",
    "depends:\n- a.bst\n- b.bst\n",
    "build-depends: [b.bst]\n",
    "runtime-depends:\n- filename: [a.bst, c.bst]\n  strict: true\n",
    "- filename: b.bst\n  type: build\n  config: {location: /x}\n",
    "- sub.bst:b.bst\n",
    "kind: junction\n",
    "kind: link\nconfig: {target: a.bst}\n",
    "kind: stack\n",
    "config:\n  overrides: {sub.bst: own.bst}\n  options: {o: '%{a}'}\n",
    "sources:\n- kind: local\n  path: sub\n",
    "options:\n  o: {type: enum, description: x, values: [a, b], default: a, variable: o}\n",
    "options:\n  o: {type: flags, description: x, values: [a, b], default: [a]}\n",
    "junctions:\n  duplicates: {sub: [sub.bst]}\n  internal: [sub.bst]\n",
    "- \"a\" in o and not (o == \"b\" or o != \"c\"): {}\n",
    "- '((((((((((((((((o))))))))))))))))': {}\n",
    "- '\"a\" * 9 ** 9 ** 9': {}\n",
    "elements:\n  manual: {variables: {a: b}}\n",
    "public: {bst: {split-rules: {x: [/y]}}}\n",
    "environment: {A: '%{a}'}\n",
    "ref-storage: project.refs\n",
    "aliases: {x: 'https://example.com/'}\n",
    "plugins:\n- origin: pip\n  package-name: p>=1,<2\n  elements: [x]\n",
    "mirrors:\n- name: m\n  aliases: {x: [y]}\n",
    "element-path: sub\n",
    "name: ",
    "min-version: 2.0\n",
    ":",
    "  ",
    "\n",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "'",
];

/// Longer than this for one project is a finding.
const SLOW: Duration = Duration::from_millis(2500);

/// Files of a project by their paths.
type Project = BTreeMap<String, String>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(seconds) = arguments.first().and_then(|seconds| seconds.parse().ok()) else {
        eprintln!("usage: fuzz SECONDS [SEED]");
        return Ok(ExitCode::from(2));
    };
    let seed = arguments.get(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    hunt(Duration::from_secs(seconds), Chance(seed))
}

fn hunt(time: Duration, mut chance: Chance) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let mut pool = corpus()?;
    let (mut count, mut good) = (0_u64, 0_u64);
    while start.elapsed() < time {
        let project = invent(&mut chance, &pool);
        // Kept should the whole program end: a stack that overflows cannot be caught.
        let root = std::env::temp_dir().join(format!("bourn-fuzz-{}", std::process::id()));
        lay_out(&project, &root)?;
        count += 1;
        let (verdict, is_good) = try_out(&root);
        if let Some(verdict) = verdict {
            println!("{verdict} after {count} projects:");
            project.iter().for_each(|(path, text)| println!("---- FILE {path}\n{text}"));
            return Ok(ExitCode::FAILURE);
        }
        std::fs::remove_dir_all(&root)?;
        good += u64::from(is_good);
        // Good projects breed: what is refused at once leads nowhere.
        if is_good && project.values().map(String::len).sum::<usize>() < 6000 {
            if pool.len() >= 3000 {
                pool.truncate(600);
            }
            pool.push(project);
        }
    }
    println!("{count} projects, {good} of them good, in {} s: nothing found", start.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with how a project loads, and whether it does. On a busy machine anything is slow once.
fn try_out(root: &Path) -> (Option<&'static str>, bool) {
    for _ in 0..4 {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (outcome(root), outcome(root))));
        let fast = begun.elapsed() < SLOW;
        match outcome {
            Err(_) => return (Some("broken"), false),
            Ok((first, second)) if first != second => return (Some("said different things"), false),
            Ok((Ok(_), _)) if fast => return (None, true),
            Ok((Err(_), _)) if fast => return (None, false),
            Ok(_) => {}
        }
    }
    (Some("slow"), false)
}

/// Loads a project: its elements in staging order, or what is wrong.
fn outcome(root: &Path) -> Result<String, String> {
    let files = Files::default();
    let staged = |need: &JunctionNeed| -> Option<PathBuf> {
        let parent = &need.projects[need.project.0 as usize].directory;
        Some(parent.join("staged").join(&need.element)).filter(|path| path.is_dir())
    };
    let options = LoadOptions {
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
        kinds: &kinds::Core,
        junctions: Default::default(),
        locate: Some(&staged),
        workspaces: Default::default(),
    };
    match load(&files, &options) {
        Ok(Loaded::Graph(graph)) => Ok(in_order(&graph)),
        Ok(Loaded::NeedsJunctions(needs)) => {
            assert!(!needs.is_empty(), "nothing is needed");
            Err(needs.iter().map(|need| format!("{} {}\n", need.key, need.name)).collect())
        }
        Err(wrong) => {
            assert!(!wrong.0.is_empty() && wrong.0.iter().all(|one| !one.message.is_empty()));
            Err(render_all(&wrong, &files, RenderOptions::default()))
        }
    }
}

/// Names and variables in staging order, in which nothing stands before what it depends on.
fn in_order(graph: &ElementGraph) -> String {
    let selected = select(graph, &graph.targets, Selection::All);
    let places: HashMap<_, _> = selected.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut text = String::new();
    for (at, id) in selected.iter().enumerate() {
        let element = graph.element(*id);
        for dependency in &element.dependencies {
            assert!(places[&dependency.element] < at, "{} before its dependency", graph.full_name(*id));
        }
        let variables: Vec<String> =
            element.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("{} {}\n", graph.full_name(*id), variables.join(" ")));
    }
    text
}

/// The projects to begin with.
fn corpus() -> Result<Vec<Project>, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut projects = Vec::new();
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = std::fs::read_to_string(path)?;
            projects.extend(text.split("==== ").skip(1).map(project));
        }
    }
    Ok(projects)
}

fn project(case: &str) -> Project {
    let text = case.split("---- LOAD").next().unwrap_or_default();
    let mut files: Project = text
        .split("---- FILE ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .map(|(path, content)| (path.to_owned(), content.to_owned()))
        .collect();
    files.entry("project.conf".to_owned()).or_insert_with(|| "name: test\nmin-version: 2.0\n".to_owned());
    files
}

fn lay_out(project: &Project, root: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(root)?;
    for (path, text) in project {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(root))?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// A new project from those of the pool.
fn invent(chance: &mut Chance, pool: &[Project]) -> Project {
    let mut project = pool[chance.below(pool.len())].clone();
    for _ in 0..=chance.below(4) {
        let Some(path) = project.keys().nth(chance.below(project.len())).cloned() else { continue };
        let other = pool[chance.below(pool.len())].values().next().cloned().unwrap_or_default();
        let Some(text) = project.get_mut(&path) else { continue };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = chance.below(lines.len() + 1);
        let to = chance.below(lines.len() + 1);
        match chance.below(9) {
            0..=2 => lines.insert(at, PIECES[chance.below(PIECES.len())].trim_end_matches('\n').to_owned()),
            3 if at < lines.len() => drop(lines.remove(at)),
            4 if at < lines.len() => {
                let line = lines.remove(at);
                lines.insert(to.min(lines.len()), line);
            }
            5 if at < lines.len() => lines.insert(to, lines[at].clone()),
            6 if at < lines.len() => lines[at].insert_str(0, "  "),
            7 => lines.splice(at..at, other.lines().map(str::to_owned)).for_each(drop),
            _ if at < lines.len() => within(chance, &mut lines[at]),
            _ => {}
        }
        *text = lines.join("\n");
        text.push('\n');
    }
    project
}

/// Puts a piece somewhere into a line.
fn within(chance: &mut Chance, line: &mut String) {
    let mut characters: Vec<char> = line.chars().collect();
    let at = chance.below(characters.len() + 1);
    let end = (at + chance.below(3)).min(characters.len());
    characters.splice(at..end, PIECES[chance.below(PIECES.len())].chars());
    *line = characters.into_iter().collect();
}

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}
