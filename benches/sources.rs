//! Figures of tracking and fetching.

use crate::project::{Project, Side};
use crate::timing::{Row, Timed, timed};
use crate::{Bench, Measured};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Elements of the project, and repositories that they share.
const ELEMENTS: usize = 500;
const REPOSITORIES: usize = 50;

/// Tracking and fetching of many elements that share git repositories, with nothing kept.
pub(crate) fn git(bench: &Bench) -> Measured {
    let scratch = bench.scratch.join("sources-git");
    let _ = fs::remove_dir_all(&scratch);
    let upstream = scratch.join("upstream");
    for index in 0..REPOSITORIES {
        repository(&upstream.join(format!("repository-{index}")), index)?;
    }
    let conf = format!(
        "aliases:\n  upstream: file://{}/\nplugins:\n- origin: pip\n  package-name: buildstream-plugins\n  sources: [git]\n",
        upstream.display()
    );
    let project = Project::new(bench, "sources-git/work", &conf)?;
    let mut times: [Timed; 4] = Default::default();
    for _ in 0..bench.runs {
        for (side, at) in [(Side::Bourn, 0), (Side::Bst, 1)] {
            project.set_aside(side)?;
            write_elements(&project)?;
            let track = ["source", "track", "--deps", "all", "all.bst"];
            times[at].0.push(timed(&mut project.call(side, &track))?);
            project.set_aside(side)?;
            let fetch = ["source", "fetch", "--deps", "all", "all.bst"];
            times[at + 2].0.push(timed(&mut project.call(side, &fetch))?);
        }
    }
    let [track, peer_track, fetch, peer_fetch] = times;
    let row = |what: &str, bourn, peer| Row {
        what: format!("{what} {ELEMENTS} elements of {REPOSITORIES} git repositories"),
        bourn,
        peer,
        peer_name: "bst",
    };
    let _ = fs::remove_dir_all(&scratch);
    Ok(vec![row("track", track, peer_track), row("fetch", fetch, peer_fetch)])
}

/// A repository with a branch of ten commits.
fn repository(directory: &Path, index: usize) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    run(directory, &["init", "-q", "-b", "main"])?;
    for commit in 0..10 {
        for file in 0..20 {
            let path = directory.join(format!("file-{file}"));
            let line = format!("{file} of repository {index} at commit {commit}\n");
            fs::write(&path, line.repeat(20)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        run(directory, &["add", "."])?;
        run(directory, &["commit", "-q", "-m", "more"])?;
    }
    Ok(())
}

fn run(directory: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut git = Command::new("git");
    git.current_dir(directory).args(["-c", "user.name=Somebody", "-c", "user.email=somebody@localhost"]);
    timed(git.args(arguments)).map(drop)
}

/// The elements, without refs.
fn write_elements(project: &Project<'_>) -> Result<(), String> {
    let mut all = String::from("kind: stack\ndepends:\n");
    for index in 0..ELEMENTS {
        let repository = index % REPOSITORIES;
        let element = format!(
            "kind: import\nsources:\n- kind: git\n  url: upstream:repository-{repository}\n  track: main\n  directory: at-{index}\n"
        );
        project.write(&format!("elements/element-{index}.bst"), &element)?;
        all.push_str(&format!("- element-{index}.bst\n"));
    }
    project.write("elements/all.bst", &all)
}
