//! Which Python runs plugins: what `python3` in `PATH` is.
//!
//! With pyenv that is a *shim*, a shell script that takes longer to find the Python that it stands for than bourn takes to
//! load a project. Where it plainly stands for one installed version, that one is taken at once; everything else is left
//! to the shim. The environment stays the user's, as it does for plugins of the reference: a shim would put the directory
//! of its version first in `PATH`, where programs that have a Python inside look for its modules.

use crate::settings::environment::{Environment, is_program};
use std::fs;
use std::path::{Path, PathBuf};

/// The Python of the user of this process.
pub(crate) fn interpreter(environment: &Environment) -> PathBuf {
    // As shells do: the name that the user has for the directory, if it is one of it.
    let directory =
        std::env::current_dir().ok().map(|directory| match environment.get("PWD").map(Path::new) {
            Some(named) if named.canonicalize().is_ok_and(|real| real == directory) => named.to_owned(),
            _ => directory,
        });
    interpreter_in(environment, directory.as_deref())
}

/// The Python of a user who is in `directory`.
fn interpreter_in(environment: &Environment, directory: Option<&Path>) -> PathBuf {
    let program = environment.find_program("python3").unwrap_or_else(|| PathBuf::from("python3"));
    let chosen = directory.and_then(|directory| Shim::read(&program)?.choice(environment, directory));
    chosen.unwrap_or(program)
}

/// A script of pyenv's in place of a program.
struct Shim {
    /// Where pyenv has its versions.
    root: PathBuf,
}

impl Shim {
    /// `None` when the program is no shim.
    fn read(program: &Path) -> Option<Shim> {
        let shims = program.parent().filter(|parent| parent.ends_with("shims"))?;
        let root = shims.parent()?;
        let length = fs::metadata(program).ok()?.len();
        // Programs are not read as a whole to find out that they are no scripts.
        let text = if length < 4096 { fs::read_to_string(program).ok()? } else { return None };
        let is_of_pyenv =
            text.starts_with("#!") && text.contains(&format!("PYENV_ROOT=\"{}\"", root.display()));
        is_of_pyenv.then(|| Shim { root: root.to_owned() })
    }

    /// The version that is chosen by `PYENV_VERSION`, a file `.python-version` in `directory` or above it, or for the
    /// user. `None` where that is not one version that is installed, or anything else may have its say.
    fn choice(self, environment: &Environment, directory: &Path) -> Option<PathBuf> {
        if ["PYENV_DIR", "PYENV_DEBUG", "PYENV_HOOK_PATH"].iter().any(|name| environment.has(name)) {
            return None;
        }
        let version = match environment.get("PYENV_VERSION") {
            Some(version) => version.to_owned(),
            None => {
                let local = directory.ancestors().map(|above| above.join(".python-version"));
                let file = local.into_iter().find(|file| file.is_file());
                only_word(&fs::read_to_string(file.unwrap_or_else(|| self.root.join("version"))).ok()?)?
            }
        };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._+-".contains(letter);
        if version == "system" || version.starts_with('.') || !version.chars().all(is_name) {
            return None;
        }
        let program = self.root.join("versions").join(&version).join("bin/python3");
        is_program(&program).then_some(program)
    }
}

/// The first word of the only line that is neither empty nor a remark.
fn only_word(text: &str) -> Option<String> {
    let mut words =
        text.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| !word.starts_with('#'));
    let word = words.next()?;
    words.next().is_none().then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Environment, interpreter_in, only_word};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn script(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn environment(root: &Path, more: &[(&str, &str)]) -> Environment {
        let path = format!("{}:/usr/bin:/bin", root.join("shims").display());
        let own = [("PATH".to_owned(), path), ("HOME".to_owned(), "/nowhere".to_owned())];
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Environment::with(own.into_iter().chain(more))
    }

    #[test]
    fn shims_are_seen_through_where_they_are_plain() {
        let home = tempfile::tempdir().unwrap();
        let (root, below) = (home.path().join("pyenv"), home.path().join("project/elements"));
        fs::create_dir_all(&below).unwrap();
        let shim = root.join("shims/python3");
        let text = format!(
            "#!/usr/bin/env bash\nexport PYENV_ROOT=\"{}\"\nexec pyenv exec python3 \"$@\"\n",
            root.display()
        );
        script(&shim, &text);
        for version in ["3.11.7", "3.12.1"] {
            script(&root.join(format!("versions/{version}/bin/python3")), "#!/bin/sh\n");
        }
        let of = |version: &str| root.join(format!("versions/{version}/bin/python3"));
        let program = |more: &[(&str, &str)]| interpreter_in(&environment(&root, more), Some(&below));
        // Nothing is chosen: the system's, which is for the shim to find.
        assert_eq!(program(&[]), shim);
        fs::write(root.join("version"), "# of mine\n3.11.7\n").unwrap();
        assert_eq!(program(&[]), of("3.11.7"));
        fs::write(home.path().join("project/.python-version"), "3.12.1  \n").unwrap();
        assert_eq!(program(&[]), of("3.12.1"));
        assert_eq!(program(&[("PYENV_VERSION", "3.11.7")]), of("3.11.7"));
        for (name, value) in
            [("PYENV_VERSION", "3.11"), ("PYENV_VERSION", "3.11.7:3.12.1"), ("PYENV_VERSION", "../x")]
        {
            assert_eq!(program(&[(name, value)]), shim, "{value}");
        }
        for name in ["PYENV_DIR", "PYENV_HOOK_PATH"] {
            assert_eq!(program(&[(name, "/")]), shim, "{name}");
        }
        fs::write(home.path().join("project/.python-version"), "3.12.1\n3.11.7\n").unwrap();
        assert_eq!(program(&[]), shim);
        // Where it is unknown in which directory the user is, it is unknown which files hold.
        assert_eq!(interpreter_in(&environment(&root, &[]), None), shim);
    }

    #[test]
    fn other_programs_are_taken_as_they_are() {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("shims/python3");
        script(&program, "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n");
        fs::write(home.path().join("version"), "3.11.7\n").unwrap();
        script(&home.path().join("versions/3.11.7/bin/python3"), "#!/bin/sh\n");
        let found = interpreter_in(&environment(home.path(), &[]), Some(home.path()));
        assert_eq!(found, program);
    }

    #[test]
    fn a_version_stands_alone() {
        assert_eq!(only_word("\n# x\n 3.11.7 remark\n").as_deref(), Some("3.11.7"));
        assert_eq!(only_word("3.11.7\n3.12.1\n"), None);
        assert_eq!(only_word("# none\n"), None);
    }
}
