//! Figures of loading.

use crate::project::{Project, Side, many_files};
use crate::timing::{Row, Timed, timed};
use crate::{Bench, Measured};
use std::fs;

const FORMAT: &str = "%{name} %{full-key}";

/// Names and keys of synthetic projects, with nothing kept and when the picture is warm.
pub(crate) fn synthetic(bench: &Bench) -> Measured {
    let mut rows = Vec::new();
    for count in [1_000, 10_000] {
        let project = Project::new(bench, "show", "variables:\n  flags: -O2 -g\n")?;
        write_elements(&project, count)?;
        let arguments = ["show", "--deps", "all", "--format", FORMAT, "all.bst"];
        let (mut cold, mut warm, mut bst) = (Timed::default(), Timed::default(), Timed::default());
        let kept = project.directory.with_file_name("bourn").join("cache/bourn");
        for _ in 0..bench.runs.min(5) {
            let _ = fs::remove_dir_all(&kept);
            cold.0.push(timed(&mut project.call(Side::Bourn, &arguments))?);
            warm.0.push(timed(&mut project.call(Side::Bourn, &arguments))?);
            bst.0.push(timed(&mut project.call(Side::Bst, &arguments))?);
        }
        let row = |what: &str, bourn| Row {
            what: format!("show {count} elements, {what}"),
            bourn,
            peer: bst.clone(),
            peer_name: "bst",
        };
        rows.push(row("nothing kept", cold));
        rows.push(row("picture warm", warm));
    }
    Ok(rows)
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
