//! The program as its users meet it: arguments in, output and status out.

#[path = "program/bad_input.rs"]
mod bad_input;
#[path = "program/basics.rs"]
mod basics;
#[path = "program/downloads.rs"]
mod downloads;
#[path = "program/edits.rs"]
mod edits;
#[path = "program/encrypted.rs"]
mod encrypted;
#[path = "program/examples.rs"]
mod examples;
#[path = "program/explain.rs"]
mod explain;
#[path = "program/fuzz.rs"]
mod fuzz;
#[path = "program/git.rs"]
mod git;
#[path = "program/interactive.rs"]
mod interactive;
#[path = "program/kills.rs"]
mod kills;
#[path = "program/machine.rs"]
mod machine;
#[path = "program/picture.rs"]
mod picture;
#[path = "program/plugins.rs"]
mod plugins;
#[path = "program/projects.rs"]
mod projects;
#[expect(dead_code, reason = "shared with the tests of the sources, which use more of it")]
#[path = "../../sources/tests/sources/registry.rs"]
mod registry;
#[path = "program/remotes.rs"]
mod remotes;
#[expect(dead_code, reason = "shared with the tests of the sources, which use more of it")]
#[path = "../../sources/tests/sources/server.rs"]
mod server;
#[path = "../../sources/tests/sources/smart.rs"]
mod smart;
#[path = "program/tools.rs"]
mod tools;
#[path = "program/torture.rs"]
mod torture;

use bourn_testkit::TestEnv;

/// A place for one test.
fn env() -> TestEnv {
    TestEnv::new(env!("CARGO_BIN_EXE_bourn"))
}
