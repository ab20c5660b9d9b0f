//! The chores of the project. `cargo xtask` alone prints what there is.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod debian;
mod demo;
mod docs;
mod peers;
mod setup;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  demo     sets everything up, then builds real Debian packages from source and runs one
  test     sets everything up, then runs every test (what CI runs)
  bench    times bourn beside bst on the same inputs; a figure's name selects it
  tidy     checks the rules of the house that a machine can check
  docs     makes the documentation a site, with all manuals, and the manual pages
  peers    installs the reference (bst) for comparisons and prints its path
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("demo") => demo::run(),
        Some("test") => test::run(rest),
        Some("bench") => bench::run(rest),
        Some("tidy") => tidy::run(),
        Some("docs") => docs::run_chore(),
        Some("peers") => peers::install().map(|bst| println!("{}", bst.display())),
        _ => {
            print!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
