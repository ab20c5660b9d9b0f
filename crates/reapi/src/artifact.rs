//! What BuildStream keeps of a build (`buildstream.v2`).

use crate::command::EnvironmentVariable;
use crate::digest::DigestMessage;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};
use std::fmt;

/// A build dependency as an [`Artifact`] records it.
#[derive(Clone, PartialEq, Message)]
pub struct ArtifactDependency {
    /// Project of the dependency.
    #[prost(string, tag = "1")]
    pub project_name: String,
    /// Element name with its `.bst` suffix.
    #[prost(string, tag = "2")]
    pub element_name: String,
    /// Its strong key.
    #[prost(string, tag = "3")]
    pub cache_key: String,
    /// Whether it was built from a workspace.
    #[prost(bool, tag = "4")]
    pub was_workspaced: bool,
}

/// What is read of an [`ArtifactDependency`] where only that matters.
#[derive(Clone, PartialEq, Message)]
struct DependencyOrigin {
    #[prost(bool, tag = "4")]
    was_workspaced: bool,
}

/// A log kept with an [`Artifact`].
#[derive(Clone, PartialEq, Message)]
pub struct LogFile {
    /// File name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
}

/// The state of the sandbox at the end of a build, kept with a build root so that a shell can enter it.
#[derive(Clone, PartialEq, Message)]
pub struct SandboxState {
    /// Its environment.
    #[prost(message, repeated, tag = "1")]
    pub environment: Vec<EnvironmentVariable>,
    /// Its working directory.
    #[prost(string, tag = "2")]
    pub working_directory: String,
    /// Roots of sandboxes within.
    #[prost(message, repeated, tag = "3")]
    pub subsandbox_digests: Vec<DigestMessage>,
    /// Directories that commands could write to.
    #[prost(string, repeated, tag = "4")]
    pub marked_directories: Vec<String>,
}

/// The result of a build, successful or not. Stored as `artifacts/refs/PROJECT/ELEMENT/KEY`.
#[derive(Clone, PartialEq, Message)]
pub struct Artifact {
    /// Version of the message.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// Whether the build succeeded.
    #[prost(bool, tag = "2")]
    pub build_success: bool,
    /// One line about a failure.
    #[prost(string, tag = "3")]
    pub build_error: String,
    /// More about a failure.
    #[prost(string, tag = "4")]
    pub build_error_details: String,
    /// Strong key.
    #[prost(string, tag = "5")]
    pub strong_key: String,
    /// Weak key.
    #[prost(string, tag = "6")]
    pub weak_key: String,
    /// Whether it was built from a workspace.
    #[prost(bool, tag = "7")]
    pub was_workspaced: bool,
    /// The files, a directory.
    #[prost(message, optional, tag = "8")]
    pub files: Option<DigestMessage>,
    /// What it was built upon, in staging order: each a serialized [`ArtifactDependency`]. There may be thousands, and
    /// hardly anybody looks at them, so that they are only read on demand: [`Artifact::dependencies`].
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub build_deps: Vec<Bytes>,
    /// Public data, a YAML blob.
    #[prost(message, optional, tag = "10")]
    pub public_data: Option<DigestMessage>,
    /// Logs.
    #[prost(message, repeated, tag = "11")]
    pub logs: Vec<LogFile>,
    /// The build directory after the build, a directory.
    #[prost(message, optional, tag = "12")]
    pub buildtree: Option<DigestMessage>,
    /// The staged sources, a directory.
    #[prost(message, optional, tag = "13")]
    pub sources: Option<DigestMessage>,
    /// Metadata that many artifacts share, a YAML blob.
    #[prost(message, optional, tag = "14")]
    pub low_diversity_meta: Option<DigestMessage>,
    /// Metadata of this artifact alone, a YAML blob.
    #[prost(message, optional, tag = "15")]
    pub high_diversity_meta: Option<DigestMessage>,
    /// Strict key.
    #[prost(string, tag = "16")]
    pub strict_key: String,
    /// The whole sandbox after the build, a directory.
    #[prost(message, optional, tag = "17")]
    pub buildroot: Option<DigestMessage>,
    /// State of that sandbox.
    #[prost(message, optional, tag = "18")]
    pub buildsandbox: Option<SandboxState>,
}

impl Artifact {
    /// What it was built upon, in staging order.
    ///
    /// # Errors
    /// One of them is malformed.
    pub fn dependencies(&self) -> Result<Vec<ArtifactDependency>, DecodeError> {
        self.build_deps.iter().map(|bytes| ArtifactDependency::decode(bytes.clone())).collect()
    }

    /// Whether anything that it was built upon was built from a workspace. Takes no memory: a large stack names thousands
    /// of elements.
    ///
    /// # Errors
    /// One of them is malformed.
    pub fn is_built_upon_workspaces(&self) -> Result<bool, DecodeError> {
        let mut any = false;
        for bytes in &self.build_deps {
            any |= DependencyOrigin::decode(bytes.clone())?.was_workspaced;
        }
        Ok(any)
    }

    /// Whether it, or anything that it was built upon, was built from a workspace: such an artifact is not for others.
    ///
    /// # Errors
    /// What it was built upon is malformed.
    pub fn is_tainted(&self) -> Result<bool, DecodeError> {
        Ok(self.was_workspaced || self.is_built_upon_workspaces()?)
    }

    /// The names that it is published under: by its strong key and by its weak one. `like` is one of its names.
    pub fn names(&self, like: &ArtifactName) -> Vec<ArtifactName> {
        let mut names: Vec<ArtifactName> = Vec::new();
        for key in [&self.strong_key, &self.weak_key] {
            let name = ArtifactName { key: key.clone(), ..like.clone() };
            if !key.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Sets what it was built upon.
    pub fn set_dependencies(&mut self, dependencies: impl IntoIterator<Item = ArtifactDependency>) {
        self.build_deps =
            dependencies.into_iter().map(|dependency| dependency.encode_to_vec().into()).collect();
    }
}

/// Staged sources, kept by their key.
#[derive(Clone, PartialEq, Message)]
pub struct Source {
    /// Version of the message.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// The files, a directory.
    #[prost(message, optional, tag = "2")]
    pub files: Option<DigestMessage>,
}

/// `PROJECT/ELEMENT/KEY`: the name under which an artifact is stored and shared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ArtifactName {
    /// Project name.
    pub project: String,
    /// Element name in its normal form (no suffix, slashes as dashes).
    pub element: String,
    /// Strong or weak key, 64 hexadecimal digits.
    pub key: String,
}

impl ArtifactName {
    /// Composes a name from an element's own name (`dir/name.bst`).
    pub fn new(project: &str, element_name: &str, key: &str) -> ArtifactName {
        ArtifactName { project: project.to_owned(), element: normal_name(element_name), key: key.to_owned() }
    }

    /// Reads `PROJECT/ELEMENT/KEY`. `None` when there are not three parts.
    pub fn parse(text: &str) -> Option<ArtifactName> {
        let mut parts = text.splitn(3, '/');
        let (project, element, key) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = !project.is_empty() && !element.is_empty() && !key.is_empty() && !key.contains('/');
        whole.then(|| ArtifactName { project: project.into(), element: element.into(), key: key.into() })
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.element, self.key)
    }
}

/// The normal form of an element name: no `.bst`, slashes as dashes, other odd characters as underscores.
pub fn normal_name(element_name: &str) -> String {
    let stem = element_name.strip_suffix(".bst").unwrap_or(element_name);
    let keep = |c: char| match c {
        '/' => '-',
        c if c.is_ascii_alphanumeric() || "-._".contains(c) => c,
        _ => '_',
    };
    stem.chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_below_are_noticed() {
        let on = |was_workspaced| ArtifactDependency {
            project_name: "demo".into(),
            element_name: "a.bst".into(),
            cache_key: "k".into(),
            was_workspaced,
        };
        let check = |dependencies: &[bool], expect: bool| {
            let mut artifact = Artifact::default();
            artifact.set_dependencies(dependencies.iter().map(|was| on(*was)));
            assert_eq!(artifact.is_built_upon_workspaces(), Ok(expect), "{dependencies:?}");
        };
        check(&[], false);
        check(&[false, false], false);
        check(&[false, true, false], true);
        let damaged = Artifact { build_deps: vec![Bytes::from_static(b"\x0a\x7f")], ..Artifact::default() };
        assert!(damaged.is_built_upon_workspaces().is_err());
    }

    #[test]
    fn names() {
        let name = ArtifactName::new("demo", "base/c++.bst", "k");
        assert_eq!(name.to_string(), "demo/base-c__/k");
        assert_eq!(ArtifactName::parse("demo/base-c__/k"), Some(name));
        assert_eq!(ArtifactName::parse("demo/x"), None);
    }
}
