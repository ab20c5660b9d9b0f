//! The program `bourn`, which is also `bst`.

#![allow(clippy::result_large_err, reason = "a failure is made once and ends the run")]

mod args;
mod commands;
mod complete;
mod contact;
mod exit;
mod expiry;
mod inputs;
mod invocation;
mod items;
mod jobs;
mod junctions;
mod location;
mod pager;
mod picture;
mod refs;
mod render;
mod report;
mod settings;
mod signals;
mod tarball;
mod targets;
mod tree;
mod watch;
mod wire;
mod workspaces;
mod world;

use args::parse::{self, Program};
use mimalloc::MiMalloc;
use settings::environment::Environment;
use std::process::ExitCode;

/// Loading is millions of small allocations on all cores. The allocator of glibc gives every thread a heap that it lets
/// grow by a page at a time, for which the kernel stops all others.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The version of BuildStream whose behaviour this is.
const COMPATIBLE_VERSION: &str = "2.8.1";

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    let program = Program::called_as(argv.first());
    let environment = Environment::of_process();
    if let Some(answers) = complete::answers(program, &argv, &environment) {
        return commands::completions::answer(&answers);
    }
    match parse::parse(program, &argv) {
        Ok(arguments) => commands::run::run(program, arguments, environment),
        Err(stop) => stop.print(),
    }
}
