//! The examples, as the documentation tells them.

use crate::env;
use std::path::Path;
use std::process::Command;

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
