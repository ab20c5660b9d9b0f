//! Real input from Debian: sysroots made by mmdebstrap, upstream tarballs out of source packages. Everything comes
//! through the machine's own package sources, so no archive is named here.

use crate::shell::{Outcome, capture, run, write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a tarball of a Debian tree with `packages` in it, without privileges, unless it is there already.
///
/// # Errors
/// When mmdebstrap fails.
pub(crate) fn sysroot(tarball: &Path, packages: &[&str]) -> Outcome {
    let stamp = tarball.with_extension("packages");
    let wanted = packages.join(",");
    if tarball.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let sources = tarball.with_extension("sources");
    write(&sources, &package_sources()?)?;
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--quiet", "--mode=unshare", "--variant=apt", "--skip=output/dev"]);
    mmdebstrap.arg(format!("--include={wanted}")).arg(codename()?).arg(tarball).arg(&sources);
    run(&mut mmdebstrap)?;
    write(&stamp, &wanted)
}

/// Brings the upstream tarballs of Debian source packages: `(package, file name it gets)`.
///
/// # Errors
/// When apt-get fails or a package has no upstream tarball.
pub(crate) fn upstream(directory: &Path, wanted: &[(&str, &str)]) -> Outcome {
    let missing: Vec<_> = wanted.iter().filter(|(_, file)| !directory.join(file).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = Apt::with_source_packages(&directory.join("apt"))?;
    for (package, file) in missing {
        let landing = directory.join("apt").join(package);
        fs::create_dir_all(&landing).map_err(|error| format!("{}: {error}", landing.display()))?;
        run(apt.command(&["source", "--tar-only", "--download-only", "-qq", package]).current_dir(&landing))?;
        let tarball = upstream_tarball(&landing).ok_or(format!("{package} has no upstream tarball"))?;
        fs::rename(&tarball, directory.join(file))
            .map_err(|error| format!("{}: {error}", tarball.display()))?;
    }
    Ok(())
}

fn upstream_tarball(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.contains(".orig.tar.") && !name.ends_with(".asc")
    })
}

/// An apt of our own that knows the machine's source packages, so that nobody's configuration is touched.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn with_source_packages(directory: &Path) -> Outcome<Apt> {
        let parts = directory.join("parts");
        for needed in ["lists/partial", "archives/partial", "parts"] {
            let path = directory.join(needed);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let text = package_sources()?;
        let extension = if text.contains("Types:") { "sources" } else { "list" };
        write(&parts.join(format!("source-packages.{extension}")), &source_packages(&text))?;
        let directory = directory.display();
        let options = [
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            format!("Dir::Etc::SourceParts={}", parts.display()),
            format!("Dir::State::Lists={directory}/lists"),
            format!("Dir::Cache={directory}"),
            "APT::Sandbox::User=".to_owned(),
        ];
        let apt = Apt { options: options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect() };
        run(&mut apt.command(&["update", "-qq"]))?;
        Ok(apt)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        command.args(&self.options).args(arguments);
        command
    }
}

/// The package sources of this machine that are Debian's own, in either of apt's two formats.
fn package_sources() -> Outcome<String> {
    let parts = Path::new("/etc/apt/sources.list.d");
    let mut deb822 = String::new();
    let mut lines = String::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(parts).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.push("/etc/apt/sources.list".into());
    files.sort();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") if text.contains("debian-archive-keyring") => {
                deb822.push_str(&without_comments(&text))
            }
            Some("list") => {
                lines.extend(text.lines().filter(|line| line.starts_with("deb ")).map(|l| format!("{l}\n")))
            }
            _ => {}
        }
    }
    match (deb822.is_empty(), lines.is_empty()) {
        (false, _) => Ok(deb822),
        (true, false) => Ok(lines),
        (true, true) => Err("apt knows no package sources of Debian on this machine".to_owned()),
    }
}

fn without_comments(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with('#'));
    kept.map(|line| format!("{line}\n")).chain(["\n".to_owned()]).collect()
}

fn source_packages(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("deb ") {
        Some(rest) => format!("deb-src {rest}\n"),
        None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn codename() -> Outcome<String> {
    let script = ". /etc/os-release && echo \"$VERSION_CODENAME\"";
    let name = capture(Command::new("sh").args(["-c", script]))?;
    let name = name.trim();
    if name.is_empty() {
        Err("this machine's Debian has no code name".to_owned())
    } else {
        Ok(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_package_sources_become_source_packages() {
        assert_eq!(source_packages("deb [a=b] x y main\n"), "deb-src [a=b] x y main\n");
        assert_eq!(source_packages("Types: deb\nURIs: x\n"), "Types: deb-src\nURIs: x\n");
    }
}
