//! The examples, as the documentation tells them.

use crate::env;
use bourn_testkit::TestEnv;
use std::path::Path;
use std::process::Command;

/// Writes a file of the project.
fn write(env: &TestEnv, path: &str, text: &str) {
    let path = env.project().join(path);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// The blocks of a page that are files: their first line is a comment with the path.
fn files_of(page: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    blocks
        .filter_map(|(block, _)| {
            let path = block.lines().next()?.strip_prefix("# ")?;
            (!path.contains(' ')).then(|| (path.to_owned(), block.to_owned()))
        })
        .collect()
}

#[test]
fn format_reference() {
    let env = env();
    let files = files_of("format.md");
    assert_eq!(files.len(), 3, "project.conf, an element and what it includes");
    for (path, text) in files {
        write(&env, &path, &text);
    }
    for name in ["base", "lib", "data", "more"] {
        write(&env, &format!("elements/{name}.bst"), "kind: stack\n");
    }
    write(&env, "plugins/.keep", "");
    write(&env, "files/app/main.c", "");
    let format = ["show", "--deps", "none", "--format", "%{env}%{public}", "app.bst"];
    let plain = env.run(&format).success().stdout;
    assert!(plain.contains("CFLAGS: -O2") && plain.contains("test -f /usr/share/greeting"), "{plain}");
    let debug = env.run(&[&["--option", "debug", "true"][..], &format].concat()).success().stdout;
    assert!(debug.contains("CFLAGS: -O0"), "{debug}");
}

#[test]
fn configuration_reference() {
    let env = env();
    write(&env, "project.conf", "name: demo\nmin-version: 2.0\n");
    write(&env, "stack.bst", "kind: stack\n");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let all: Vec<&str> = blocks.map(|(block, _)| block).collect();
    write(&env, "all.conf", &all.join("\n"));
    let told =
        env.run(&["--config", "all.conf", "show", "--deps", "none", "--format", "%{name}", "stack.bst"]);
    assert_eq!(told.success().stdout, "stack.bst\n");
}

#[test]
fn hello() {
    let env = env();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello");
    let copied = Command::new("cp").arg("-r").arg(example).arg(env.project()).status().expect("cp");
    assert!(copied.success());
    let show = ["show", "--deps", "all", "--format", "%{name} %{state}", "all.bst"];
    assert_eq!(env.run(&show).success().stdout, "greeting.bst buildable\nall.bst waiting\n");
    env.run(&["build", "all.bst"]).success();
    assert_eq!(env.run(&show).success().stdout, "greeting.bst cached\nall.bst cached\n");
    env.run(&["artifact", "checkout", "--directory", "tree", "all.bst"]).success();
    let greeting = std::fs::read_to_string(env.project().join("tree/greeting.txt")).expect("a greeting");
    assert_eq!(greeting, "Hello from an element.\n");
}

/// What a page tells its readers to do.
enum Step {
    /// To write a file, named in the first line of the block.
    File(String, String),
    /// To run a command, and what it prints among other things.
    Command(String, Vec<String>),
}

/// The steps of a page: blocks of `yaml` and `sh` that name a file, and blocks of `console`.
fn steps_of(page: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page");
    let mut steps = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, lines) = block.split_once('\n').expect("a block");
        if language == "console" {
            for line in lines.lines() {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => steps.push(Step::Command(command.to_owned(), Vec::new())),
                    (None, Some(Step::Command(_, printed))) => printed.push(line.to_owned()),
                    _ => panic!("a block begins with {line}"),
                }
            }
        } else if let Some((path, file)) = lines.strip_prefix("# ").and_then(|rest| rest.split_once('\n')) {
            steps.push(Step::File(path.to_owned(), format!("{file}\n")));
        }
    }
    steps
}

/// Runs a command as a reader at a shell would.
fn typed(env: &TestEnv, directory: &Path, command: &str) -> (bool, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_bourn")).parent().expect("its directory");
    let search = std::env::var("PATH").expect("a search path");
    // An empty command line, for its environment.
    let like = env.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(directory).env_clear();
    shell.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:{search}", program.display()));
    let output = shell.stdin(std::process::Stdio::null()).output().expect("sh");
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), printed.concat())
}

#[test]
fn getting_started() {
    let env = env();
    let mut directory = env.path().to_path_buf();
    let steps = steps_of("getting-started.md");
    let commands = steps.iter().filter(|step| matches!(step, Step::Command(..))).count();
    assert!(commands > 20 && steps.len() > commands + 4, "{commands} commands of {} steps", steps.len());
    for step in steps {
        match step {
            Step::File(path, text) => {
                let path = directory.join(path);
                std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
                std::fs::write(path, text).expect("written");
            }
            Step::Command(command, expect) => {
                if let Some(into) = command.strip_prefix("cd ") {
                    directory = directory.join(into);
                    continue;
                }
                let (well, printed) = typed(&env, &directory, &command);
                assert_eq!(well, !command.ends_with("# fails"), "{command}\n{printed}");
                for part in expect {
                    assert!(printed.contains(&part), "{command} does not print {part}:\n{printed}");
                }
            }
        }
    }
}

/// Collects the names of all fields of a value, and the events.
fn fields(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (name, value) in entries {
                found.insert(name.clone());
                fields(value, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

/// The lines that a run writes with `--message-format json`, and the report on its failure.
fn events(env: &mut TestEnv, arguments: &[&str]) -> (Vec<serde_json::Value>, serde_json::Value) {
    let report = env.path().join("report.json");
    env.set("BOURN_ERROR_REPORT", &report.to_string_lossy());
    let ran = env.run(&[&["--message-format", "json"][..], arguments].concat()).failure(255, "");
    let lines = ran.stderr.lines();
    let lines =
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|wrong| panic!("{line}: {wrong}")));
    let report = std::fs::read(report).expect("a report");
    (lines.collect(), serde_json::from_slice(&report).expect("JSON"))
}

#[test]
fn events_are_as_told_for_programs() {
    let mut env = env();
    env.files(
        "=== project.conf\nname: loud\nmin-version: 2.0\n=== base.bst\nkind: import\nsources:\n- kind: local\n  path: \
         base\n=== base/file\nx\n=== bad.bst\nkind: manual\nbuild-depends: [base.bst]\nconfig:\n  build-commands: \
         ['false']\n=== worse.bst\nkind: stack\ndepends:\n- bad.bst\n- nowhere.bst\n",
    );
    let (built, report) = events(&mut env, &["build", "bad.bst"]);
    assert_eq!(report["main"]["domain"], "stream");
    assert_eq!(report["task"]["domain"], "sandbox");
    let last = built.last().expect("events");
    assert_eq!((&last["event"], &last["task"]), (&"failed".into(), &report["task"]));
    let (loaded, report) = events(&mut env, &["show", "worse.bst"]);
    assert_eq!(
        (&report["main"]["reason"], &report["task"]),
        (&"missing-file".into(), &serde_json::Value::Null)
    );
    let place = &loaded.last().expect("events")["diagnostics"][0]["at"];
    assert_eq!(*place, serde_json::json!({"file": "worse.bst", "line": 4, "column": 2}));

    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/programs.md"));
    let page = page.expect("the page");
    let mut names = std::collections::BTreeSet::new();
    for event in built.iter().chain(&loaded) {
        fields(event, &mut names);
        names.extend(
            ["event", "kind", "result"].iter().filter_map(|name| event[name].as_str()).map(str::to_owned),
        );
    }
    for name in ["job-started", "job-finished", "planned", "failed", "took", "speaker", "diagnostics"] {
        assert!(names.contains(name), "no {name} in {names:?}");
    }
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not told of");
    }
}
