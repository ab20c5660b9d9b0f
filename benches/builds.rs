//! Figures of building.

use crate::project::{Project, Side, many_files};
use crate::timing::{Row, Timed, timed};
use crate::{Bench, Measured};
use std::fs;
use std::path::Path;
use std::process::Command;

const SYSROOT: &str = "kind: import\nsources:\n- kind: tar\n  url: tarballs:sysroot.tar\n  base-dir: ''\n";

/// 50 trivial elements, each with a sandbox of its own.
pub(crate) fn trivial(bench: &Bench) -> Measured {
    many_trivial(bench, 50, bench.runs)
}

/// 1,000 of them, once for each side.
pub(crate) fn thousand(bench: &Bench) -> Measured {
    many_trivial(bench, 1000, 1)
}

fn many_trivial(bench: &Bench, count: usize, runs: usize) -> Measured {
    let project = on_sysroot(bench, "trivial")?;
    let (mut bourn, mut bst) = (Timed::default(), Timed::default());
    for run in 0..runs {
        write_trivial(&project, count, run, "sysroot.bst")?;
        bourn.0.push(timed(&mut project.call(Side::Bourn, &["build", "all.bst"]))?);
        bst.0.push(timed(&mut project.call(Side::Bst, &["build", "all.bst"]))?);
    }
    let what = format!("{count} trivial elements on a Debian sysroot");
    Ok(vec![Row { what, bourn, peer: bst, peer_name: "bst" }])
}

/// Building again when all is cached.
pub(crate) fn null(bench: &Bench) -> Measured {
    let project = on_sysroot(bench, "null")?;
    write_trivial(&project, 50, 0, "sysroot.bst")?;
    let (mut bourn, mut bst) = (Timed::default(), Timed::default());
    for side in [Side::Bourn, Side::Bst] {
        timed(&mut project.call(side, &["build", "all.bst"]))?;
    }
    for _ in 0..bench.runs.max(5) {
        bourn.0.push(timed(&mut project.call(Side::Bourn, &["build", "all.bst"]))?);
        bst.0.push(timed(&mut project.call(Side::Bst, &["build", "all.bst"]))?);
    }
    let what = "52 elements, all cached".to_owned();
    Ok(vec![Row { what, bourn, peer: bst, peer_name: "bst" }])
}

/// One trivial element on a sysroot with 105,000 more files, when the base was staged before. The files come from a
/// tarball: those of a local source would be looked at each time, which `local-source` measures.
pub(crate) fn large_base(bench: &Bench) -> Measured {
    let project = on_sysroot(bench, "large-base")?;
    let tree = project.directory.with_file_name("tree");
    many_files(&tree.join("files/share/many"), 105_000)?;
    let tarball = bench.tarballs.join("many.tar");
    timed(Command::new("tar").arg("-cf").arg(&tarball).arg("-C").arg(&tree).arg("files"))?;
    project.write("elements/files.bst", "kind: import\nsources:\n- kind: tar\n  url: tarballs:many.tar\n")?;
    timed(&mut project.call(Side::Bourn, &["source", "track", "files.bst"]))?;
    project.write("elements/base.bst", "kind: stack\ndepends:\n- sysroot.bst\n- files.bst\n")?;
    let (mut small, mut bourn, mut bst) = (Timed::default(), Timed::default(), Timed::default());
    for run in 0..=bench.runs {
        for (base, side) in [("sysroot.bst", Side::Bourn), ("base.bst", Side::Bourn), ("base.bst", Side::Bst)]
        {
            write_trivial(&project, 1, run, base)?;
            let elapsed = timed(&mut project.call(side, &["build", "all.bst"]))?;
            match (run, base, side) {
                // The first run fetches and imports the base.
                (0, ..) => {}
                (_, "sysroot.bst", _) => small.0.push(elapsed),
                (_, _, Side::Bourn) => bourn.0.push(elapsed),
                (_, _, Side::Bst) => bst.0.push(elapsed),
            }
        }
    }
    let large = |peer, peer_name| Row {
        what: "a trivial element on a base of 119,000 files".to_owned(),
        bourn: bourn.clone(),
        peer,
        peer_name,
    };
    Ok(vec![large(bst, "bst"), large(small, "small")])
}

/// configure, make and install of real packages, beside the same commands in a plain chroot.
pub(crate) fn native(bench: &Bench) -> Measured {
    let plugins = "plugins:\n- origin: pip\n  package-name: buildstream-plugins\n  elements: [autotools]\n";
    let mut rows = Vec::new();
    for (package, tarball) in [("hello", "hello.tar.gz"), ("xz", "xz.tar.xz"), ("grep", "grep.tar.xz")] {
        let project = on_sysroot_with(bench, &format!("native-{package}"), plugins)?;
        let chroot = project.directory.with_file_name("chroot");
        unpack(&bench.sysroot, &chroot, 0)?;
        let element = |salt: usize| {
            format!(
                "kind: autotools\nbuild-depends: [sysroot.bst]\nsources:\n- kind: tar\n  url: tarballs:{tarball}\n\
                 environment:\n  SALT: '{salt}'\n"
            )
        };
        let (mut bourn, mut bst, mut plain) = (Timed::default(), Timed::default(), Timed::default());
        for run in 0..=bench.runs {
            let name = format!("elements/{package}.bst");
            project.write(&name, &element(run))?;
            let target = format!("{package}.bst");
            timed(&mut project.call(Side::Bourn, &["source", "track", &target]))?;
            let ours = timed(&mut project.call(Side::Bourn, &["build", &target]))?;
            let theirs = timed(&mut project.call(Side::Bst, &["build", &target]))?;
            let alone = in_chroot(&chroot, &bench.tarballs.join(tarball))?;
            if run > 0 {
                // The first run fetched and staged; the figure is about the commands.
                bourn.0.push(ours);
                bst.0.push(theirs);
                plain.0.push(alone);
            }
        }
        let what = format!("{package}: configure, make, install");
        rows.push(Row { what: what.clone(), bourn: bourn.clone(), peer: plain, peer_name: "chroot" });
        rows.push(Row { what, bourn, peer: bst, peer_name: "bst" });
        let _ = fs::remove_dir_all(chroot);
    }
    Ok(rows)
}

/// The commands of kind `autotools` in a plain chroot, with the environment of a build and the host's devices.
fn in_chroot(chroot: &Path, tarball: &Path) -> Result<std::time::Duration, String> {
    let source = chroot.join("buildstream/source");
    let _ = fs::remove_dir_all(chroot.join("buildstream"));
    let _ = fs::remove_dir_all(chroot.join("buildstream-install"));
    unpack(tarball, &source, 1)?;
    let build = "cd /buildstream/source && ./configure --prefix=/usr --exec-prefix=/usr --bindir=/usr/bin \
        --sbindir=/usr/sbin --sysconfdir=/etc --datadir=/usr/share --includedir=/usr/include --libdir=/usr/lib \
        --libexecdir=/usr/libexec --localstatedir=/var --sharedstatedir=/usr/com --mandir=/usr/share/man \
        --infodir=/usr/share/info && make && make -j1 DESTDIR=/buildstream-install install";
    run_in_chroot(chroot, build)
}

/// A script in a plain chroot, with the environment of a build and the host's devices.
pub(crate) fn run_in_chroot(chroot: &Path, script: &str) -> Result<std::time::Duration, String> {
    let devices = chroot.join("dev");
    fs::create_dir_all(&devices).map_err(|error| format!("{}: {error}", devices.display()))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    // A user namespace cannot make devices, so those of the host are mounted, which needs a mount namespace first.
    let enter = "mount --rbind /dev \"$0/dev\" && mount -t proc proc \"$0/proc\" && exec chroot \"$0\" sh -e -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", enter]);
    command.arg(chroot).arg(script).env_clear().envs([
        ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("HOME", "/tmp".to_owned()),
        ("V", "1".to_owned()),
        ("MAKEFLAGS", format!("-j{jobs}")),
        ("SOURCE_DATE_EPOCH", "1321009871".to_owned()),
    ]);
    timed(&mut command)
}

pub(crate) fn unpack(tarball: &Path, into: &Path, strip: usize) -> Result<(), String> {
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(tarball).arg("-C").arg(into).arg(format!("--strip-components={strip}"));
    timed(tar.arg("--no-same-owner")).map(|_| ())
}

pub(crate) fn on_sysroot<'a>(bench: &'a Bench, name: &str) -> Result<Project<'a>, String> {
    on_sysroot_with(bench, name, "")
}

/// A project whose `sysroot.bst` both sides have built already.
fn on_sysroot_with<'a>(bench: &'a Bench, name: &str, conf: &str) -> Result<Project<'a>, String> {
    let aliases = format!("aliases:\n  tarballs: file://{}/\n{conf}", bench.tarballs.display());
    let project = Project::new(bench, name, &aliases)?;
    project.write("elements/sysroot.bst", SYSROOT)?;
    timed(&mut project.call(Side::Bourn, &["source", "track", "sysroot.bst"]))?;
    for side in [Side::Bourn, Side::Bst] {
        timed(&mut project.call(side, &["build", "sysroot.bst"]))?;
    }
    Ok(project)
}

/// `count` elements that write one file each; `salt` makes them new.
pub(crate) fn write_trivial(
    project: &Project<'_>,
    count: usize,
    salt: usize,
    base: &str,
) -> Result<(), String> {
    let mut all = String::from("kind: stack\ndepends:\n");
    for index in 0..count {
        let text = format!(
            "kind: manual\nbuild-depends: [{base}]\nconfig:\n  install-commands:\n  \
             - mkdir -p %{{install-root}}/share && echo {salt} > %{{install-root}}/share/{index}\n"
        );
        project.write(&format!("elements/trivial-{index}.bst"), &text)?;
        all.push_str(&format!("- trivial-{index}.bst\n"));
    }
    project.write("elements/all.bst", &all)
}
