//! Timed runs of bourn beside bst on the same inputs; the figures themselves are in `benches/`.

use crate::shell::{Outcome, release_binary, scratch};
use crate::{debian, demo, peers, setup};
use bourn_benches::{Bench, FIGURES};
use std::fs;

/// Runs the figures whose names are among `wanted`, all without any. `--runs N` sets how often each side runs.
///
/// # Errors
/// When setting up failed, a name is unknown, or a figure could not be measured.
pub(crate) fn run(wanted: &[String]) -> Outcome {
    let mut names: Vec<&str> = Vec::new();
    let mut runs = 5;
    let mut words = wanted.iter();
    while let Some(word) = words.next() {
        if word == "--runs" {
            let count = words.next().and_then(|count| count.parse().ok());
            runs = count.filter(|count| *count > 0).ok_or("--runs takes a number from 1")?;
        } else if FIGURES.iter().any(|(name, ..)| name == word) {
            names.push(word);
        } else {
            let known: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
            return Err(format!("there is no figure `{word}`; there are: {}", known.join(", ")));
        }
    }
    let bare = !names.is_empty() && names.iter().all(|name| BARE.contains(name));
    let bench = set_up(runs, bare)?;
    let mut failed = Vec::new();
    for (name, what, figure) in FIGURES.iter().filter(|(name, ..)| names.is_empty() || names.contains(name)) {
        println!("\n== {name}: {what}");
        match figure(&bench) {
            Ok(rows) => rows.iter().for_each(|row| println!("{row}")),
            Err(message) => {
                println!("not measured: {message}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

/// Figures that build nothing, and need neither a sysroot nor tarballs.
const BARE: [&str; 4] = ["show", "local-source", "plugin", "sources"];

fn set_up(runs: usize, bare: bool) -> Outcome<Bench> {
    let tarballs = scratch("tarballs");
    let sysroot = tarballs.join("sysroot.tar");
    if !bare {
        setup::install(&[setup::SYSROOT, setup::TOOLS])?;
    }
    let bst = peers::install()?;
    let bourn = release_binary()?;
    if !bare {
        fs::create_dir_all(&tarballs).map_err(|error| format!("{}: {error}", tarballs.display()))?;
        debian::sysroot(&sysroot, demo::SYSROOT_PACKAGES)?;
        debian::upstream(&tarballs, demo::UPSTREAM)?;
    }
    Ok(Bench { bourn, bst, scratch: scratch("bench"), sysroot, tarballs, runs })
}
