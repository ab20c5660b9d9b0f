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
    "buildstream/_pipe.py",
    "buildstream/_watch.py",
    "buildstream/buildelement.py",
    "buildstream/downloadablefilesource.py",
    "buildstream/element.py",
    "buildstream/exceptions.py",
    "buildstream/node.py",
    "buildstream/plugin.py",
    "buildstream/sandbox.py",
    "buildstream/scriptelement.py",
    "buildstream/source.py",
    "buildstream/sourcemirror.py",
    "buildstream/storage.py",
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
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    for (name, text) in FILES {
        let path = draft.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&draft))?;
        fs::File::create(path)?.write_all(text.as_bytes())?;
    }
    match fs::rename(&draft, &home) {
        Ok(()) => Ok(host),
        Err(_) if host.exists() => {
            fs::remove_dir_all(&draft)?;
            Ok(host)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
