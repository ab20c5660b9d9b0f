//! The directory `vendor/` of a Go project, and its `modules.txt`, as far as `go build -mod=vendor` reads it.

use crate::trees;
use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest};
use std::collections::{HashMap, HashSet};

/// Puts a module into the tree of a project: path and version, and its files.
///
/// # Errors
/// The project has no `go.mod`, or one that is not understood; the store.
pub(super) fn add(
    cas: &dyn Cas,
    project: &Digest,
    (module, version): (&str, &str),
    files: &Digest,
) -> Result<Digest, SourceError> {
    let place = format!("vendor/{module}");
    let known = trees::directory(cas, project, &place)?.unwrap_or_default();
    let merged = trees::overlay(cas, &known, files)?;
    let tree = trees::put(cas, project, &place, trees::Entry::Directory(merged))?;
    let go_mod = trees::read(cas, &tree, "go.mod")?.ok_or_else(|| {
        let hint = "a source before this one in the list has to stage the project";
        SourceError::new("Failed to find go.mod at the top of the staged sources").hint(hint)
    })?;
    let wanted = Wanted::parse(&String::from_utf8_lossy(&go_mod))?;
    let mut list = trees::read(cas, &tree, "vendor/modules.txt")?.unwrap_or_default();
    list.extend(wanted.entry(cas, &tree, module, version)?.bytes());
    let executable = trees::file(cas, &tree, "vendor/modules.txt")?.is_some_and(|file| file.is_executable);
    let list = trees::Entry::File { digest: cas.write(&list)?, executable };
    trees::put(cas, &tree, "vendor/modules.txt", list)
}

/// What a `go.mod` says of other modules.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Those it names itself.
    explicit: HashSet<String>,
    /// What a module and version stand in for.
    replaced: HashMap<(String, String), (String, String)>,
}

impl Wanted {
    fn parse(go_mod: &str) -> Result<Wanted, SourceError> {
        let mut wanted = Wanted::default();
        for line in go_mod.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [module, version, ..] = words[..]
                && version.starts_with('v')
            {
                wanted.explicit.insert(module.to_owned());
            }
            if words.len() > 3 && words[0] == "replace" {
                let [_, from, from_version, _, to, to_version] = words[..] else {
                    let message =
                        format!("This form of replacement in go.mod is not supported: {}", line.trim());
                    let hint = "only `replace MODULE VERSION => MODULE VERSION` is";
                    return Err(SourceError::new(message).hint(hint));
                };
                let owned = |module: &str, version: &str| (module.to_owned(), version.to_owned());
                wanted.replaced.insert(owned(to, to_version), owned(from, from_version));
            }
        }
        Ok(wanted)
    }

    /// What `modules.txt` says of a module.
    fn entry(
        &self,
        cas: &dyn Cas,
        tree: &Digest,
        module: &str,
        version: &str,
    ) -> Result<String, SourceError> {
        let staged = (module.to_owned(), version.to_owned());
        let (name, as_version) = self.replaced.get(&staged).unwrap_or(&staged);
        let place = format!("vendor/{name}");
        let mut text = format!("# {module}");
        if self.explicit.contains(name) {
            text = if *name == staged.0 && *as_version == staged.1 {
                format!("# {module} {version}")
            } else {
                format!("# {name} {as_version} => {module} {version}")
            };
            text.push_str("\n## explicit");
            if let Some(directive) = directive(cas, tree, &place)? {
                text.push_str(&format!("; {directive}"));
            }
        }
        text.push('\n');
        if let Some(directory) = trees::directory(cas, tree, &place)? {
            packages(cas, &directory, &trees::parts(name).collect::<Vec<_>>().join("/"), &mut text)?;
        }
        Ok(text)
    }
}

/// The line of a module's `go.mod` that says which Go it is written for.
fn directive(cas: &dyn Cas, tree: &Digest, place: &str) -> Result<Option<String>, SourceError> {
    let go_mod = trees::read(cas, tree, &format!("{place}/go.mod"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&go_mod);
    Ok(text.lines().find(|line| line.starts_with("go ")).map(str::to_owned))
}

/// All directories with Go files, each after the one it is in, in the order of their names.
fn packages(cas: &dyn Cas, directory: &Digest, path: &str, text: &mut String) -> Result<(), SourceError> {
    let listing = trees::listing(cas, directory)?;
    let files = listing.files.iter().map(|file| &file.name);
    let links = listing.symlinks.iter().filter(|link| !leads_to_directory(&listing, &link.target));
    let mut names = files.chain(links.map(|link| &link.name));
    if names.any(|name| name == "go.mod" || name.ends_with(".go")) {
        text.push_str(&format!("{path}\n"));
    }
    for below in listing.directories.iter().filter(|below| below.name != ".git") {
        let digest = trees::digest(below.digest.as_ref(), &below.name)?;
        packages(cas, &digest, &format!("{path}/{}", below.name), text)?;
    }
    Ok(())
}

fn leads_to_directory(listing: &bourn_reapi::Directory, target: &str) -> bool {
    listing.directories.iter().any(|below| below.name == target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_project_wants() {
        let wanted = Wanted::parse(
            "module x\ngo 1.20\nrequire (\n\ta.b/c v1.2.3\n\td v0.1.0 // indirect\n)\nreplace a v1 => b v2\n",
        );
        let wanted = wanted.expect("understood");
        assert!(wanted.explicit.contains("a.b/c") && wanted.explicit.contains("d"));
        let owned = |module: &str, version: &str| (module.to_owned(), version.to_owned());
        assert_eq!(wanted.replaced[&owned("b", "v2")], owned("a", "v1"));
        let error = Wanted::parse("replace a => ../b\n").expect_err("an error");
        assert!(error.message.contains("not supported"), "{error}");
    }
}
