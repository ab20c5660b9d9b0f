//! Servers that cannot be used.

use crate::env;

const PROJECT: &str = "
=== project.conf
name: lonely
min-version: 2.0
=== hello.bst
kind: import
sources:
- kind: local
  path: files
=== files/greeting
hello
";

#[test]
fn a_server_that_is_gone_costs_one_warning() {
    let env = env();
    env.files(PROJECT);
    // Nobody listens on the port of the first service that there was.
    let remote = ["--artifact-remote", "http://127.0.0.1:1", "--source-remote", "http://127.0.0.1:1"];
    let built = env.run(&[&["build"], &remote[..], &["hello.bst"]].concat()).success();
    assert_eq!(built.stderr.matches("WARNING").count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("Failed to initialize remote http://127.0.0.1:1"), "{}", built.stderr);
    for command in ["pull", "push"] {
        let words = ["artifact", command, "--artifact-remote", "http://127.0.0.1:1", "hello.bst"];
        env.run(&words).failure(255, "No artifact caches available");
    }
    let words = ["source", "push", "--source-remote", "http://127.0.0.1:1", "hello.bst"];
    env.run(&words).failure(255, "No source caches available");
}

#[test]
fn a_storage_service_that_is_gone_costs_one_warning() {
    let env = env();
    env.files(PROJECT);
    env.configure("cache: {reserved-disk-space: 0, storage-service: {url: 'http://127.0.0.1:1'}}\n");
    let built = env.run(&["build", "hello.bst"]).success();
    assert_eq!(built.stderr.matches("WARNING").count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("The storage service cannot be used"), "{}", built.stderr);
}

#[test]
fn a_url_that_is_none_is_told_of() {
    let env = env();
    env.files(PROJECT);
    let words = ["artifact", "pull", "--artifact-remote", "ftp://x", "hello.bst"];
    env.run(&words).failure(255, "begins with http://");
}
