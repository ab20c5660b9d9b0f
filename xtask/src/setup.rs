//! Installing what the chores need from Debian, as root or through sudo; else saying exactly what to type.

use crate::shell::{Outcome, run, scratch};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Debian package and a file that shows that it is there.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: &'static str,
    /// A file it installs.
    pub(crate) witness: &'static str,
}

const fn package(name: &'static str, witness: &'static str) -> Package {
    Package { name, witness }
}

/// What building the demo's sysroot and fetching its sources need.
pub(crate) const SYSROOT: &[Package] = &[
    package("mmdebstrap", "/usr/bin/mmdebstrap"),
    package("uidmap", "/usr/bin/newuidmap"),
    package("dpkg-dev", "/usr/bin/dpkg-source"),
];

/// What the reference needs to run.
pub(crate) const REFERENCE: &[Package] = &[
    package("python3-venv", "/usr/share/doc/python3-venv"),
    package("bubblewrap", "/usr/bin/bwrap"),
    package("fuse3", "/usr/bin/fusermount3"),
];

/// Tools that some source kinds run, and the C compiler that crates and test programs are built with.
pub(crate) const TOOLS: &[Package] = &[
    package("gcc", "/usr/bin/gcc"),
    package("libc6-dev", "/usr/share/doc/libc6-dev"),
    package("git", "/usr/bin/git"),
    package("patch", "/usr/bin/patch"),
    package("quilt", "/usr/bin/quilt"),
    package("lzip", "/usr/bin/lzip"),
    package("xz-utils", "/usr/bin/xz"),
    package("zstd", "/usr/bin/zstd"),
    package("bzip2", "/usr/bin/bzip2"),
    package("make", "/usr/bin/make"),
    package("python3-pip", "/usr/share/doc/python3-pip"),
    package("openssh-client", "/usr/bin/ssh"),
    package("ostree", "/usr/bin/ostree"),
    package("brz", "/usr/bin/brz"),
    package("gpg", "/usr/bin/gpg"),
    package("openssl", "/usr/bin/openssl"),
    package("gpg-agent", "/usr/bin/gpg-agent"),
    package("busybox-static", "/bin/busybox"),
];

/// Unpacks a Debian package below `target` unless it is there, and returns the path of its program. For programs that
/// tests start themselves: installing them would start a service.
///
/// # Errors
/// When apt-get knows no such package, or the archive cannot be reached.
pub(crate) fn unpack(package: &str, program: &str) -> Outcome<PathBuf> {
    let directory = scratch(package);
    let program = directory.join(program);
    if program.exists() {
        return Ok(program);
    }
    // Another worktree may do the same: whoever is last replaces what is the same anyway.
    let landing = directory.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&landing).map_err(|error| format!("{}: {error}", landing.display()))?;
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.args(["download", "-qq", package]).current_dir(&landing).stderr(Stdio::null());
        run(&mut apt)
    };
    if download().is_err() {
        as_root("apt-get update -qq")?;
        download()?;
    }
    let script = "dpkg-deb -x ./*.deb tree && mkdir -p \"$1\" && cp -a tree/. \"$1\"";
    let mut unpack = Command::new("sh");
    unpack.args(["-c", script, "sh"]).arg(&directory).current_dir(&landing);
    let unpacked = run(&mut unpack);
    let removed = std::fs::remove_dir_all(&landing);
    unpacked?;
    removed.map_err(|error| format!("{}: {error}", landing.display()))?;
    Ok(program)
}

/// A server of SSH for tests to start themselves, and where a library of its is that few machines have. `None` where it
/// could only be had by having the machine run it as a service: for that nobody asked.
///
/// # Errors
/// Those of [`unpack`] and [`install`].
pub(crate) fn ssh_server() -> Outcome<Option<(PathBuf, PathBuf)>> {
    let installed = Path::new("/usr/sbin/sshd");
    let is_root = matches!(privilege(), Privilege::Root);
    let has_services = Path::new("/run/systemd/system").exists();
    if !installed.exists() && is_root && !has_services {
        install(&[&[package("openssh-server", "/usr/sbin/sshd")]])?;
    }
    if installed.exists() {
        return Ok(Some((installed.to_owned(), PathBuf::new())));
    }
    if is_root {
        // Run by root it looks for a user of its own, whom only installing makes.
        eprintln!("xtask: tests of SSH are skipped: install openssh-server for them");
        return Ok(None);
    }
    let program = unpack("openssh-server", "usr/sbin/sshd")?;
    let library = unpack("libwrap0", "usr/lib")?;
    let found = std::fs::read_dir(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let below = found.flatten().map(|entry| entry.path()).find(|path| path.is_dir());
    Ok(Some((program, below.unwrap_or(library))))
}

/// Installs what is missing of `wanted`.
///
/// # Errors
/// When something is missing and neither root nor sudo without a password is at hand: the message is the command.
pub(crate) fn install(wanted: &[&[Package]]) -> Outcome {
    let missing: Vec<&str> = wanted
        .iter()
        .flat_map(|list| list.iter())
        .filter(|package| !Path::new(package.witness).exists())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let script = format!("apt-get update -qq && apt-get install --yes --no-install-recommends -qq {list}");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("this needs Debian's packages: {list}"));
    }
    eprintln!("xtask: installing {list}");
    as_root(&script)
}

/// Runs a script of apt-get as root.
fn as_root(script: &str) -> Outcome {
    let mut command = match privilege() {
        Privilege::Root => Command::new("sh"),
        Privilege::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "sh"]);
            sudo
        }
        Privilege::Neither => {
            return Err(format!("please run this once as root, then start again:\n  {script}"));
        }
    };
    run(command.args(["-c", script]).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
}

enum Privilege {
    Root,
    Sudo,
    Neither,
}

fn privilege() -> Privilege {
    let id = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    if id.trim_ascii() == b"0" {
        return Privilege::Root;
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
    if sudo.is_ok_and(|status| status.success()) { Privilege::Sudo } else { Privilege::Neither }
}
