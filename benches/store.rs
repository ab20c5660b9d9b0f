//! Figures of the store: what comes in, what goes out, and what is built where it lies.

use crate::builds::{on_sysroot, run_in_chroot, unpack, write_trivial};
use crate::project::{Project, Side};
use crate::timing::{Row, Timed, measured, timed};
use crate::{Bench, Measured};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Files in the large tarball.
const FILES: usize = 105_320;

/// Bytes in a file of the large tarball, on average: 2.3 GB in all.
const SIZE: usize = 21_800;

/// Bytes in all files of the large tree, at least.
pub(crate) const LARGE_TREE: u64 = FILES as u64 / 10 * (SIZE as u64 * 31 / 4 + SIZE as u64 / 4 * 9);

/// Files in the C project.
const UNITS: usize = 500;

/// A tarball as large as the sources of a browser, through every stage.
pub(crate) fn large_source(bench: &Bench) -> Measured {
    let aliases = format!("aliases:\n  tarballs: file://{}/\n", bench.scratch.display());
    let project = Project::new(bench, "large-source", &aliases)?;
    let tarball = bench.scratch.join("large.tar");
    large_tarball(&project.directory.with_file_name("tree"), &tarball)?;
    let sysroot = bench.scratch.join("sysroot.tar");
    fs::copy(&bench.sysroot, &sysroot).map_err(|error| format!("{}: {error}", sysroot.display()))?;
    project.write("elements/base.bst", "kind: stack\ndepends: [sysroot.bst, large.bst]\n")?;
    write_trivial(&project, 1, 0, "base.bst")?;
    // Not tracked, which would import the tree: fetching would profit from that, or suffer from its removal.
    for (name, path) in [("large", &tarball), ("sysroot", &sysroot)] {
        let checksum = checksum(path)?;
        let text =
            format!("kind: import\nsources:\n- kind: tar\n  url: tarballs:{name}.tar\n  ref: {checksum}\n");
        project.write(&format!("elements/{name}.bst"), &text)?;
    }

    let check_out = ["artifact", "checkout", "--deps", "none", "large.bst", "--directory"];
    let link = ["artifact", "checkout", "--deps", "none", "--hardlinks", "large.bst", "--directory"];
    let steps: [(&str, &[&str]); 6] = [
        ("fetch", &["source", "fetch", "large.bst"]),
        ("import", &["build", "large.bst", "sysroot.bst"]),
        ("check out as copies", &check_out),
        ("check out as hardlinks", &link),
        ("a trivial element on it, the layer not known", &["build", "all.bst"]),
        ("a trivial element on it, the layer known", &["build", "all.bst"]),
    ];
    let mut rows = Vec::new();
    for (number, (what, arguments)) in steps.iter().enumerate() {
        write_trivial(&project, 1, number, "base.bst")?;
        // Each check-out stays until the end: where many files were just deleted, making new ones takes long.
        let out = |side: &str, run| project.directory.with_file_name(format!("out-{number}-{side}-{run}"));
        let call = |side, out: &Path| {
            let mut call = project.call(side, arguments);
            if arguments.ends_with(&["--directory"]) {
                call.arg(out);
            }
            call
        };
        let (mut bourn, mut peer, mut memory) = (Timed::default(), Timed::default(), 0);
        // What is over soon and can be done again is done several times, as in other benchmarks.
        for run in 0..if *arguments == link { bench.runs } else { 1 } {
            let (time, most) = measured(&mut call(Side::Bourn, &out("bourn", run)))?;
            bourn.0.push(time);
            memory = memory.max(most);
            peer.0.push(timed(&mut call(Side::Bst, &out("bst", run)))?);
        }
        let what = format!("2.3 GB: {what} (peak {} MB)", memory / 1_000_000);
        rows.push(Row { what, bourn, peer, peer_name: "bst" });
    }
    for path in [tarball, sysroot] {
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    remove(project.directory.parent().unwrap_or(&project.directory))?;
    Ok(rows)
}

/// One of many C files edited and all built again: in a workspace, and with `make` alone.
pub(crate) fn workspace(bench: &Bench) -> Measured {
    let project = on_sysroot(bench, "workspace")?;
    write_c_project(&project)?;
    project.write(
        "elements/program.bst",
        "kind: manual\nbuild-depends: [sysroot.bst]\nsources:\n- kind: local\n  path: files\n\
         environment:\n  MAKEFLAGS: -j%{max-jobs}\nenvironment-nocache: [MAKEFLAGS]\n\
         config:\n  build-commands: [make]\n  install-commands: ['install -D program %{install-root}/program']\n",
    )?;
    let chroot = project.directory.with_file_name("chroot");
    unpack(&bench.sysroot, &chroot, 0)?;
    let plain = chroot.join("program");
    let mut copy = Command::new("cp");
    timed(copy.arg("-r").arg(project.directory.join("files")).arg(&plain))?;
    let again = "cd /program && make && install -D program /program-install/program";
    run_in_chroot(&chroot, again)?;
    let mut sides = [(Side::Bourn, Timed::default()), (Side::Bst, Timed::default())];
    let mut alone = Timed::default();
    for (side, _) in &sides {
        // Each side has its own state in the project, so the other one's is out of the way meanwhile.
        let directory = workspace_directory(&project, *side);
        let directory = directory.to_string_lossy();
        project.with_state(*side, || {
            timed(
                &mut project.call(*side, &["workspace", "open", "--directory", &directory, "program.bst"]),
            )?;
            timed(&mut project.call(*side, &["build", "program.bst"])).map(drop)
        })?;
    }
    for run in 0..bench.runs {
        for (side, times) in &mut sides {
            edit(&workspace_directory(&project, *side), run)?;
            project.with_state(*side, || {
                times.0.push(timed(&mut project.call(*side, &["build", "program.bst"]))?);
                Ok(())
            })?;
        }
        edit(&plain, run)?;
        alone.0.push(run_in_chroot(&chroot, again)?);
    }
    let [(_, bourn), (_, bst)] = sides;
    let row = |peer, peer_name| Row {
        what: format!("one of {UNITS} C files edited in a workspace"),
        bourn: bourn.clone(),
        peer,
        peer_name,
    };
    Ok(vec![row(alone, "make"), row(bst, "bst")])
}

fn workspace_directory(project: &Project<'_>, side: Side) -> std::path::PathBuf {
    project.directory.with_file_name(if side == Side::Bourn { "workspace-bourn" } else { "workspace-bst" })
}

/// Changes one C file so that it has to be compiled again.
fn edit(sources: &Path, run: usize) -> Result<(), String> {
    let path = sources.join("unit7.c");
    let text = format!("{}static const int edited = {run};\n", unit(7));
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A C file of some length, so that compiling all of them takes a while.
fn unit(index: usize) -> String {
    let mut text = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
    for function in 0..20 {
        text.push_str(&format!(
            "int unit{index}_{function}(int x)\n{{\n  char line[64];\n  \
             snprintf(line, sizeof line, \"%d %d\", x, {function});\n  return (int) strlen(line) + x * {index};\n}}\n"
        ));
    }
    text
}

fn write_c_project(project: &Project<'_>) -> Result<(), String> {
    let mut main = String::from("int main(void)\n{\n  int sum = 0;\n");
    let mut declared = String::new();
    for index in 0..UNITS {
        project.write(&format!("files/unit{index}.c"), &unit(index))?;
        declared.push_str(&format!("int unit{index}_0(int);\n"));
        main.push_str(&format!("  sum += unit{index}_0(sum);\n"));
    }
    project.write("files/main.c", &format!("{declared}{main}  return sum == 0;\n}}\n"))?;
    let objects: Vec<String> = (0..UNITS).map(|index| format!("unit{index}.o")).collect();
    let makefile = format!(
        "program: main.o {}\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) -O1 -c -o $@ $<\n",
        objects.join(" ")
    );
    project.write("files/Makefile", &makefile)
}

/// The SHA-256 checksum of a file, in hexadecimal digits.
fn checksum(path: &Path) -> Result<String, String> {
    let output = Command::new("sha256sum").arg(path).output();
    let output = output.map_err(|error| format!("sha256sum: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.split(' ').next() {
        Some(checksum) if output.status.success() && checksum.len() == 64 => Ok(checksum.to_owned()),
        _ => Err(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr))),
    }
}

/// A tarball of a large tree.
fn large_tarball(tree: &Path, tarball: &Path) -> Result<(), String> {
    large_tree(tree)?;
    let mut tar = Command::new("tar");
    timed(tar.arg("-cf").arg(tarball).arg("-C").arg(tree).arg("large")).map(drop)
}

/// A tree of files that no two are alike and that do not compress, most small and some large.
pub(crate) fn large_tree(tree: &Path) -> Result<(), String> {
    let mut random = 88_172_645_463_325_252_u64;
    let mut content = Vec::new();
    for index in 0..FILES {
        // Nine of ten have a quarter of the average, the tenth has the rest.
        let size = if index % 10 == 0 { SIZE * 31 / 4 } else { SIZE / 4 };
        content.clear();
        while content.len() < size {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            content.extend_from_slice(&random.to_le_bytes());
        }
        let path = tree.join(format!("large/d{:04}/f{index:06}", index / 100));
        if index % 100 == 0 {
            let parent = path.parent().unwrap_or(tree);
            fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        }
        let written = fs::File::create(&path).and_then(|mut file| file.write_all(&content));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<(), String> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
