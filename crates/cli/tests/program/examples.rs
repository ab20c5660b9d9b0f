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
