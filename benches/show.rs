//! Figures of loading.

use crate::project::{Project, Side, many_files};
use crate::timing::{Row, Timed, timed};
use crate::{Bench, Measured};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

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

    /// What bourn keeps of it.
    fn kept(&self) -> PathBuf {
        self.project.directory.with_file_name("bourn").join("cache/bourn")
    }

    /// Shows it with everything kept but pictures.
    fn time_without_picture(&self) -> Result<Duration, String> {
        let _ = fs::remove_dir_all(self.kept().join("pictures"));
        timed(&mut self.project.call(Side::Bourn, &ARGUMENTS))
    }

    /// Shows it with nothing kept and again.
    fn time(&self, times: &mut Times) -> Result<(), String> {
        let _ = fs::remove_dir_all(self.kept());
        times.cold.0.push(timed(&mut self.project.call(Side::Bourn, &ARGUMENTS))?);
        times.warm.0.push(timed(&mut self.project.call(Side::Bourn, &ARGUMENTS))?);
        Ok(())
    }
}

/// What a Python plugin costs that 100 elements use: the same project with it, and with a kind that is built in. It may
/// be 250 ms with nothing kept and 5 ms with the picture warm.
pub(crate) fn plugin(bench: &Bench) -> Measured {
    let with = Show { project: hundred(bench, "plugin-with", "greeting")? };
    let without = Show { project: hundred(bench, "plugin-without", "manual")? };
    let (mut python, mut plain, mut kept) = (Times::default(), Times::default(), Timed::default());
    let mut kept_plain = Timed::default();
    for _ in 0..bench.runs {
        with.time(&mut python)?;
        without.time(&mut plain)?;
        kept.0.push(with.time_without_picture()?);
        kept_plain.0.push(without.time_without_picture()?);
    }
    let row = |what: &str, bourn, peer| Row {
        what: format!("show 100 elements of a Python plugin, {what}"),
        bourn,
        peer,
        peer_name: "manual",
    };
    Ok(vec![
        row("nothing kept", python.cold, plain.cold),
        row("no picture", kept, kept_plain),
        row("picture warm", python.warm, plain.warm),
    ])
}

const GREETING: &str = r#"from buildstream import Element


class Greeting(Element):
    BST_MIN_VERSION = "2.0"

    def configure(self, node):
        node.validate_keys(["words", "number"])
        self.words = node.get_str_list("words")
        self.number = node.get_int("number")

    def preflight(self):
        pass

    def get_unique_key(self):
        return {"words": self.words, "number": self.number, "prefix": self.get_variable("prefix")}

    def configure_sandbox(self, sandbox):
        pass

    def stage(self, sandbox):
        pass

    def assemble(self, sandbox):
        return "/"


def setup():
    return Greeting
"#;

/// 100 elements of a kind, `greeting` or `manual`.
fn hundred<'a>(bench: &'a Bench, name: &str, kind: &str) -> Result<Project<'a>, String> {
    let plugins = "plugins:\n- origin: local\n  path: plugins\n  elements: [greeting]\n";
    let project = Project::new(bench, name, if kind == "greeting" { plugins } else { "" })?;
    project.write("plugins/greeting.py", GREETING)?;
    project.write("plugins/greeting.yaml", "config:\n  words: [hello, you]\n")?;
    let mut all = String::from("kind: stack\ndepends:\n");
    for index in 0..100 {
        let config = match kind {
            "greeting" => format!("  number: {index}\n"),
            _ => format!("  install-commands:\n  - echo hello you {index}\n"),
        };
        let below = if index == 0 { String::new() } else { format!("depends: [e{}.bst]\n", index / 2) };
        project
            .write(&format!("elements/e{index}.bst"), &format!("kind: {kind}\nconfig:\n{config}{below}"))?;
        all.push_str(&format!("- e{index}.bst\n"));
    }
    project.write("elements/all.bst", &all)?;
    Ok(project)
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
