//! The Python side, carried in the binary and laid out on disk where Python can import it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../python/", $name)))),*]
    };
}

/// Every file of the module, by its path below the directory that goes into Python's search path.
const FILES: &[(&str, &str)] = files![
    "host.py",
    "buildstream/__init__.py",
    "buildstream/_exceptions.py",
    "buildstream/_host.py",
    "buildstream/_pipe.py",
    "buildstream/_start.py",
    "buildstream/_watch.py",
    "buildstream/buildelement.py",
    "buildstream/downloadablefilesource.py",
    "buildstream/element.py",
    "buildstream/exceptions.py",
    "buildstream/node.py",
    "buildstream/plugin.py",
    "buildstream/sandbox/__init__.py",
    "buildstream/sandbox/sandbox.py",
    "buildstream/scriptelement.py",
    "buildstream/source.py",
    "buildstream/sourcemirror.py",
    "buildstream/storage/__init__.py",
    "buildstream/storage/directory.py",
    "buildstream/types.py",
    "buildstream/utils.py",
];

/// Lays the module out below `directory` unless this very version is there, and returns the path of `host.py`.
///
/// The directory is named after the content, and appears whole: several processes may do this at once.
///
/// # Errors
/// When `directory` cannot be written to.
pub fn lay_out(directory: &Path) -> io::Result<PathBuf> {
    let content: Vec<u8> =
        FILES.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()].concat()).collect();
    let name = bourn_reapi::Digest::of(&content).hex();
    let home = directory.join(&name);
    let host = home.join("host.py");
    if host.exists() {
        return Ok(host);
    }
    fs::create_dir_all(directory)?;
    // Two versions of a package may be started at once, so a name per process would not do.
    let draft = tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(directory)?;
    let whole = draft.path().join("module");
    for (name, text) in FILES {
        let path = whole.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&whole))?;
        fs::File::create(path)?.write_all(text.as_bytes())?;
    }
    match fs::rename(&whole, &home) {
        Err(error) if !host.exists() => Err(error),
        _ => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_lay_out_one() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let place = directory.path().join(round.to_string());
            let hosts: Vec<_> = std::thread::scope(|scope| {
                let started: Vec<_> = (0..8).map(|_| scope.spawn(|| lay_out(&place))).collect();
                started.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
            });
            assert!(hosts.iter().all(|host| *host == hosts[0] && host.is_file()));
            assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "nothing but the module");
        }
    }

    #[test]
    fn every_file_of_the_module_is_carried() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut found = Vec::new();
        let mut pending = vec![directory.clone()];
        while let Some(next) = pending.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    pending.push(path);
                } else if path.extension().is_some_and(|extension| extension == "py") {
                    found.push(path.strip_prefix(&directory).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        let mut carried: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        carried.sort_unstable();
        assert_eq!(carried, found);
    }
}
