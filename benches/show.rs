//! Figures of loading.

use crate::project::{Project, Side, many_files};
use crate::timing::{Row, Timed, timed};
use crate::{Bench, Measured};
use std::fs;

const FORMAT: &str = "%{name} %{full-key}";

/// Names and keys of synthetic projects, with nothing kept and when the picture is warm: of 1,000 elements beside the
/// reference, and of 10,000 beside eight times what 1,000 take, which is what they may cost. The reference takes minutes
/// on 10,000.
pub(crate) fn synthetic(bench: &Bench) -> Measured {
    let small = Show::of(bench, 1_000)?;
    let large = Show::of(bench, 10_000)?;
    let (mut small_times, mut large_times, mut bst) = (Times::default(), Times::default(), Timed::default());
    // In turn, so that whatever else the machine does touches all of them.
    for _ in 0..bench.runs {
        small.time(&mut small_times)?;
        large.time(&mut large_times)?;
        bst.0.push(timed(&mut small.project.call(Side::Bst, &ARGUMENTS))?);
    }
    let beside = |what: &str, bourn: Timed| Row {
        what: format!("show 1,000 elements, {what}"),
        bourn,
        peer: bst.clone(),
        peer_name: "bst",
    };
    let grown = |what: &str, bourn: Timed, of: &Timed| Row {
        what: format!("show 10,000 elements, {what}"),
        bourn,
        peer: Timed(of.0.iter().map(|time| *time * 8).collect()),
        peer_name: "8x1000",
    };
    Ok(vec![
        beside("nothing kept", small_times.cold.clone()),
        beside("picture warm", small_times.warm.clone()),
        grown("nothing kept", large_times.cold, &small_times.cold),
        grown("picture warm", large_times.warm, &small_times.warm),
    ])
}

const ARGUMENTS: [&str; 6] = ["show", "--deps", "all", "--format", FORMAT, "all.bst"];

/// A synthetic project.
struct Show<'a> {
    project: Project<'a>,
}

/// How long showing it took.
#[derive(Default)]
struct Times {
    cold: Timed,
    warm: Timed,
}

impl<'a> Show<'a> {
    fn of(bench: &'a Bench, count: usize) -> Result<Show<'a>, String> {
        let project = Project::new(bench, &format!("show-{count}"), "variables:\n  flags: -O2 -g\n")?;
        write_elements(&project, count)?;
        Ok(Show { project })
    }

    /// Shows it with nothing kept and again.
    fn time(&self, times: &mut Times) -> Result<(), String> {
        let kept = self.project.directory.with_file_name("bourn").join("cache/bourn");
        let _ = fs::remove_dir_all(&kept);
        times.cold.0.push(timed(&mut self.project.call(Side::Bourn, &ARGUMENTS))?);
        times.warm.0.push(timed(&mut self.project.call(Side::Bourn, &ARGUMENTS))?);
        Ok(())
    }
}

/// An element whose local source has 105,320 files.
pub(crate) fn local_source(bench: &Bench) -> Measured {
    let project = Project::new(bench, "local-source", "")?;
    many_files(&project.directory.join("files"), 105_320)?;
    project.write("elements/all.bst", "kind: import\nsources:\n- kind: local\n  path: files\n")?;
    let arguments = ["show", "--format", FORMAT, "all.bst"];
    let first = timed(&mut project.call(Side::Bourn, &arguments))?;
    let (mut bourn, mut bst) = (Timed::default(), Timed::default());
    for _ in 0..bench.runs.min(3) {
        bourn.0.push(timed(&mut project.call(Side::Bourn, &arguments))?);
        bst.0.push(timed(&mut project.call(Side::Bst, &arguments))?);
    }
    let row = |what: &str, bourn| Row { what: what.to_owned(), bourn, peer: bst.clone(), peer_name: "bst" };
    Ok(vec![
        row("local source of 105,320 files, first time", Timed(vec![first])),
        row("local source of 105,320 files, second time", bourn),
    ])
}

/// A stack over `count` elements that depend on a few earlier ones, as components of a desktop do.
fn write_elements(project: &Project<'_>, count: usize) -> Result<(), String> {
    let mut all = String::from("kind: stack\ndepends:\n");
    for index in 0..count {
        let mut text = String::from("kind: manual\nvariables:\n  conf-local: --enable-all %{flags}\n");
        let below: Vec<usize> = [index / 2, index.saturating_sub(7), index.saturating_sub(1)].into();
        if index > 0 {
            text.push_str("depends:\n");
            let mut below = below;
            below.sort_unstable();
            below.dedup();
            for dependency in below.into_iter().filter(|&dependency| dependency < index) {
                text.push_str(&format!("- group-{}/element-{dependency}.bst\n", dependency % 20));
            }
        }
        text.push_str(&format!(
            "environment:\n  LEVEL: '{}'\nconfig:\n  build-commands:\n  - make %{{conf-local}} {index}\n  \
             install-commands:\n  - make install DESTDIR=%{{install-root}}\n",
            index % 13
        ));
        project.write(&format!("elements/group-{}/element-{index}.bst", index % 20), &text)?;
        all.push_str(&format!("- group-{}/element-{index}.bst\n", index % 20));
    }
    project.write("elements/all.bst", &all)
}
