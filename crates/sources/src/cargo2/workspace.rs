//! Finding a crate in a repository, and giving it what its manifest inherits: a crate that is taken out of its
//! workspace has to say itself what the workspace said for it.

use crate::glob::Glob;
use crate::trees;
use bourn_plan::SourceError;
use bourn_reapi::{Cas, Digest};
use indexmap::IndexMap;
use toml::{Table, Value};

/// Members may name each other by path; deeper than this is a circle or an attack.
const DEEPEST: usize = 256;

/// A crate of a repository.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// Its directory; empty for the root.
    pub(super) path: String,
    /// Its manifest with all that it inherits; `None` when it stays as it is.
    pub(super) manifest: Option<Table>,
}

/// Finds the crate of a name.
///
/// # Errors
/// There is none; a manifest that is malformed, or inherits what the workspace does not have.
pub(super) fn find(cas: &dyn Cas, repository: &Digest, name: &str) -> Result<Found, SourceError> {
    let root = manifest(cas, repository, "")?
        .ok_or_else(|| SourceError::new(format!("The repository of crate '{name}' has no Cargo.toml")))?;
    let is_root = package_name(&root) == Some(name);
    let Some(workspace) = root.get("workspace").and_then(Value::as_table) else {
        if is_root {
            return Ok(Found { path: String::new(), manifest: None });
        }
        let message = format!("Crate '{name}' not found in root manifest, which has no workspace");
        return Err(SourceError::new(message));
    };
    let mut members = Members { cas, repository, workspace, found: IndexMap::new() };
    let listed = workspace.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for pattern in listed.iter().filter_map(Value::as_str).chain(is_root.then_some(".")) {
        for path in expand(cas, repository, pattern)? {
            members.add(&path)?;
        }
    }
    let known: Vec<&str> = members.found.keys().map(String::as_str).collect();
    let missing = || {
        let message = format!("Crate '{name}' neither found in root nor workspace manifests");
        SourceError::new(message).detail(format!("The workspace has: {}", known.join(", ")))
    };
    let (path, mut manifest) = members.found.get(name).cloned().ok_or_else(missing)?;
    inherit(&mut manifest, workspace)?;
    Ok(Found { path, manifest: Some(manifest) })
}

fn package_name(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

/// The manifest in a directory, if there is one.
fn manifest(cas: &dyn Cas, repository: &Digest, path: &str) -> Result<Option<Table>, SourceError> {
    let file = format!("{path}/Cargo.toml");
    let Some(content) = trees::read(cas, repository, &file)? else { return Ok(None) };
    let malformed = |error: &dyn std::fmt::Display| {
        SourceError::new(format!("Malformed {file} in the repository: {error}"))
    };
    let text = String::from_utf8(content).map_err(|error| malformed(&error))?;
    text.parse().map(Some).map_err(|error: toml::de::Error| malformed(&error.message()))
}

/// A path of a path, without dots; `None` when it leads out.
fn join(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = trees::parts(base).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in trees::parts(path) {
        if part == ".." { parts.pop().map(drop)? } else { parts.push(part) }
    }
    Some(parts.join("/"))
}

/// The directories with a manifest that a pattern of `workspace.members` names.
fn expand(cas: &dyn Cas, repository: &Digest, pattern: &str) -> Result<Vec<String>, SourceError> {
    let mut found = vec![String::new()];
    for part in trees::parts(pattern) {
        let mut next = Vec::new();
        for base in &found {
            if !part.contains(['*', '?', '[']) {
                next.extend(join(base, part));
                continue;
            }
            let Some(directory) = trees::directory(cas, repository, base)? else { continue };
            // A wildcard never means a hidden directory; two stars are but one.
            let glob = Glob::new(&part.replace("**", "*"));
            let directory = cas.directory(&directory)?;
            let names = directory.directories.iter().map(|node| node.name.as_str());
            let names = names.filter(|name| part.starts_with('.') || !name.starts_with('.'));
            next.extend(names.filter(|name| glob.matches(name)).filter_map(|name| join(base, name)));
        }
        found = next;
    }
    let mut listed = Vec::new();
    for path in found {
        if trees::file(cas, repository, &format!("{path}/Cargo.toml"))?.is_some() {
            listed.push(path);
        }
    }
    Ok(listed)
}

/// The members of a workspace.
struct Members<'a> {
    cas: &'a dyn Cas,
    repository: &'a Digest,
    workspace: &'a Table,
    /// Directories and manifests, by name.
    found: IndexMap<String, (String, Table)>,
}

impl Members<'_> {
    /// Adds a crate, and those that it names by path.
    fn add(&mut self, path: &str) -> Result<(), SourceError> {
        let Some(manifest) = manifest(self.cas, self.repository, path)? else { return Ok(()) };
        let name = package_name(&manifest).ok_or_else(|| {
            SourceError::new(format!(
                "The manifest {path}/Cargo.toml of a workspace's member names no package"
            ))
        })?;
        self.found.insert(name.to_owned(), (path.to_owned(), manifest.clone()));
        self.add_named(path, &manifest, 0)
    }

    fn add_named(&mut self, path: &str, manifest: &Table, depth: usize) -> Result<(), SourceError> {
        if depth > DEEPEST {
            return Err(SourceError::new("The crates of the repository name each other too deeply"));
        }
        let Some(dependencies) = manifest.get("dependencies").and_then(Value::as_table) else {
            return Ok(());
        };
        let paths = dependencies.values().filter_map(|details| details.get("path")?.as_str());
        for path in paths.filter_map(|named| join(path, named)) {
            let Some(mut manifest) = self::manifest(self.cas, self.repository, &path)? else { continue };
            inherit(&mut manifest, self.workspace)?;
            let Some(name) = package_name(&manifest).map(str::to_owned) else { continue };
            if !self.found.contains_key(&name) {
                self.found.insert(name, (path.clone(), manifest.clone()));
                self.add_named(&path, &manifest, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Replaces all that a manifest inherits by what the workspace says.
fn inherit(manifest: &mut Table, workspace: &Table) -> Result<(), SourceError> {
    if let Some(shared) = workspace.get("dependencies").and_then(Value::as_table) {
        for name in ["dependencies", "dev-dependencies", "build-dependencies"] {
            inherit_dependencies(manifest.get_mut(name), shared)?;
        }
        if let Some(Value::Table(targets)) = manifest.get_mut("target") {
            for (_, target) in targets.iter_mut() {
                inherit_dependencies(target.get_mut("dependencies"), shared)?;
            }
        }
    }
    inherit_package(manifest, workspace.get("package").and_then(Value::as_table))?;
    let inherits =
        manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true));
    if let Some(lints) = workspace.get("lints").filter(|_| inherits)
        && lints.as_table().is_some_and(|lints| !lints.is_empty())
    {
        manifest.insert("lints".to_owned(), lints.clone());
    }
    Ok(())
}

fn inherit_package(manifest: &mut Table, shared: Option<&Table>) -> Result<(), SourceError> {
    let Some(Value::Table(package)) = manifest.get_mut("package") else { return Ok(()) };
    for (name, value) in package.iter_mut() {
        if value.as_table().is_some_and(|value| value.contains_key("workspace")) {
            let shared = shared.and_then(|shared| shared.get(name));
            *value = shared.cloned().ok_or_else(|| lacks(&format!("package.{name}")))?;
        }
    }
    Ok(())
}

fn lacks(what: &str) -> SourceError {
    SourceError::new(format!(
        "A crate inherits '{what}', which the Cargo.toml of its workspace does not have"
    ))
}

fn inherit_dependencies(dependencies: Option<&mut Value>, shared: &Table) -> Result<(), SourceError> {
    let Some(Value::Table(dependencies)) = dependencies else { return Ok(()) };
    for (name, details) in dependencies.iter_mut() {
        let Value::Table(details) = details else { continue };
        if !details.contains_key("workspace") {
            continue;
        }
        let shared = shared.get(name).ok_or_else(|| lacks(&format!("dependencies.{name}")))?;
        details.remove("workspace");
        let Value::Table(shared) = shared else {
            details.insert("version".to_owned(), shared.clone());
            continue;
        };
        let features =
            |table: &Table| table.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
        let features = [features(shared), features(details)].concat();
        details.extend(shared.iter().map(|(name, value)| (name.clone(), value.clone())));
        if !features.is_empty() {
            details.insert("features".to_owned(), Value::Array(features));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str, workspace: &str, expect: &str) {
        let mut manifest: Table = manifest.parse().expect("TOML");
        let workspace: Table = workspace.parse().expect("TOML");
        match inherit(&mut manifest, &workspace) {
            Ok(()) => assert_eq!(crate::manifest::write(&manifest), expect),
            Err(error) => assert!(error.message.contains(expect), "{error}"),
        }
    }

    #[test]
    fn what_is_inherited() {
        let workspace = "package.edition = '2024'\ndependencies.a = '1'\n\
            dependencies.b = { version = '2', features = ['x'] }\nlints.rust.unsafe_code = 'deny'";
        check(
            "package.name = 'n'\npackage.edition.workspace = true",
            workspace,
            "[package]\nname = \"n\"\nedition = \"2024\"\n",
        );
        check(
            "dependencies.a.workspace = true\n[target.u.dependencies]\nb = { workspace = true, features = ['y'] }",
            workspace,
            "[dependencies.a]\nversion = \"1\"\n\n[target.u.dependencies.b]\nfeatures = [\"x\", \"y\"]\nversion = \"2\"\n",
        );
        check("lints.workspace = true", workspace, "[lints.rust]\nunsafe_code = \"deny\"\n");
        check("dependencies.c.workspace = true", workspace, "inherits 'dependencies.c'");
        check("package.license.workspace = true", workspace, "inherits 'package.license'");
    }

    #[test]
    fn paths_stay_within() {
        assert_eq!(join("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(join("", ".").as_deref(), Some(""));
        assert_eq!(join("a", "../../x"), None);
        assert_eq!(join("a", "/etc"), None);
    }
}
