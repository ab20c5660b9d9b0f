//! Processes as other crates start them: who answers, who is refused, and which Pythons the module runs on.

use bourn_pyhost::host::{Heading, Host, HostError, Listener, Python, Within};
use bourn_yaml::Files;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const PIPE: &str = include_str!("../python/buildstream/_pipe.py");

/// Says nothing and answers nothing.
struct Nobody;

impl Listener for Nobody {
    fn note(&mut self, _: &str, _: &str, _: Option<&str>) {}

    fn ask(&mut self, question: &str, _: &Json) -> Result<Json, HostError> {
        panic!("{question} was asked")
    }

    fn activity(&mut self, _: Heading<'_>, within: Within<'_>) -> Result<(), HostError> {
        within(self)
    }
}

/// Where programs are.
fn path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn find(name: &str) -> Option<PathBuf> {
    path().into_iter().map(|directory| directory.join(name)).find(|program| program.is_file())
}

fn host(program: &Path, directory: &Path) -> Host {
    let python = Python {
        program: program.to_owned(),
        environment: std::env::vars_os().collect(),
        directory: directory.join("pyhost"),
        source_directory: directory.join("sources"),
        temporary_directory: directory.join("tmp"),
    };
    Host::new(python, Files::default())
}

fn greet(host: &Host) -> Result<Json, HostError> {
    host.ask(&json!({"call": "hello"}), &mut Nobody)
}

/// The user's Python, and every other one that is found.
fn pythons() -> Vec<PathBuf> {
    let named = (9..30).filter_map(|minor| find(&format!("python3.{minor}")));
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions =
        root.and_then(|root| root.join("versions").read_dir().ok()).into_iter().flatten().flatten();
    let kept = versions.map(|version| version.path().join("bin/python3")).filter(|python| python.is_file());
    let all = find("python3").into_iter().chain(named).chain(kept);
    // Programs that only choose another one may find none.
    all.filter(|python| version(python).is_some()).collect()
}

fn version(python: &Path) -> Option<(u32, u32)> {
    let script = "import sys; print(*sys.version_info[:2])";
    let output = Command::new(python).args(["-c", script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn a_host_of_another_version_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let host = host(&find("python3").expect("Python"), directory.path());
    greet(&host).expect("an answer");
    let laid_out = bourn_pyhost::module::lay_out(&directory.path().join("pyhost")).expect("the module");
    let line = PIPE.lines().find(|line| line.starts_with("VERSION = ")).expect("a version");
    let pipe = laid_out.with_file_name("buildstream").join("_pipe.py");
    std::fs::write(&pipe, PIPE.replace(line, "VERSION = 1000000")).expect("another version");
    let again = self::host(&find("python3").expect("Python"), directory.path());
    let refused = greet(&again).expect_err("another version");
    assert!(refused.message.contains("speaks version 1000000 of bourn's pipe"), "{refused:?}");
    assert!(refused.message.contains(&directory.path().display().to_string()), "{refused:?}");
    assert!(refused.detail.expect("a hint").contains("Remove that directory"));
}

#[test]
fn a_python_that_is_too_old_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("python3");
    let script = "#!/bin/sh\nread -r line\necho '{\"done\": {\"python\": \"3.8.18\"}}'\nread -r line\n";
    bourn_testkit::fixture::program(&program, script);
    let refused = greet(&host(&program, directory.path())).expect_err("an old one");
    assert!(refused.message.contains("it is 3.8.18, plugins need 3.9 or later"), "{refused:?}");
}

#[test]
fn every_python_that_is_here_serves_or_is_too_old() {
    let found = pythons();
    assert!(!found.is_empty(), "there is no python3");
    for python in found {
        let directory = tempfile::tempdir().expect("a directory");
        let version = version(&python).expect("a version");
        let greeted = greet(&host(&python, directory.path()));
        if version < (3, 9) {
            let message = greeted.expect_err("too old").message;
            assert!(message.contains("plugins need 3.9 or later"), "{}: {message}", python.display());
            continue;
        }
        greeted.unwrap_or_else(|error| panic!("{}: {error:?}", python.display()));
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let script = "import buildstream, sys; all = [getattr(buildstream, name) for name in dir(buildstream)]; \
                      from buildstream import *; print(Element.__name__, buildstream.utils.__name__)";
        let output = Command::new(&python).args(["-B", "-c", script]).env("PYTHONPATH", &module).output();
        let output = output.expect("started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.trim(), "Element buildstream.utils", "{}: {failed}", python.display());
    }
}

/// Reads every file as the oldest Python that is supported would, and refuses names that came later.
const CHECK: &str = r#"
import ast, pathlib, sys

LATER = {
    "pairwise", "bit_count", "aclosing", "packages_distributions", "orig_argv", "get_annotations", "KW_ONLY",  # 3.10
    "StrEnum", "ReprEnum", "nonmember", "file_digest", "tomllib", "UTC", "ExceptionGroup", "TaskGroup", "add_note",  # 3.11
    "batched", "walk_up", "is_junction", "onexc", "get_original_bases",  # 3.12
}
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))
    for node in ast.walk(tree):
        where = "{}:{}".format(path, getattr(node, "lineno", 0))
        if type(node).__name__ in ("Match", "TryStar", "TypeAlias"):
            print(where, "statement", type(node).__name__)
        name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "module", None)
        if name in LATER:
            print(where, "name", name)
        if isinstance(node, ast.Call):
            for word in node.keywords:
                if (getattr(node.func, "id", None), word.arg) in (("zip", "strict"), ("dataclass", "slots")):
                    print(where, "argument", word.arg)
        for part in ("annotation", "returns"):
            found = getattr(node, part, None)
            if isinstance(found, ast.BinOp) and isinstance(found.op, ast.BitOr):
                print(where, "union of types")
"#;

#[test]
fn the_module_is_written_for_the_oldest_python() {
    let check = |directory: &Path| {
        let python = find("python3").expect("Python");
        let output = Command::new(python).args(["-c", CHECK]).arg(directory).output().expect("Python");
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{}{failed}", String::from_utf8_lossy(&output.stdout))
    };
    assert_eq!(check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("python")), "");
    // And it would tell.
    let directory = tempfile::tempdir().expect("a directory");
    for newer in ["match a:\n    case 1:\n        pass\n", "for a, b in pairwise(c):\n    pass\n"] {
        std::fs::write(directory.path().join("newer.py"), newer).expect("a file");
        assert!(check(directory.path()).contains("newer.py"), "{newer}");
    }
}

/// What stands between quotation marks after `before`, anywhere in the Python files.
fn quoted(before: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("python/buildstream")];
    while let Some(next) = pending.pop() {
        for path in next.read_dir().expect("a directory").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                let text = std::fs::read_to_string(&path).expect("a file");
                let all = text.split(before).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                found.extend(all.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn what_goes_over_the_pipe_is_described() {
    let line = PIPE.lines().find_map(|line| line.strip_prefix("VERSION = ")).expect("a version");
    assert!(README.contains(&format!("# The pipe, version {line}\n")), "version {line} is described");
    let questions = quoted("ask(");
    assert!(questions.len() > 25, "{questions:?}");
    let host = include_str!("../python/buildstream/_host.py");
    let calls = host.split_once("\nCALLS = {").and_then(|(_, rest)| rest.split_once("\n}")).expect("calls").0;
    let operations = calls.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    let all: Vec<String> = operations.map(str::to_owned).chain(questions).collect();
    for name in &all {
        assert!(README.contains(&format!("`{name}`")), "`{name}` is not described in README.md");
    }
}
