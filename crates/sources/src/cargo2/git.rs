//! Crates of git repositories, staged one directory each, as `cargo vendor` lays them out.

use super::workspace;
use crate::declared::{Declared, Origin};
use crate::download::{activity, first};
use crate::manifest;
use crate::release::Release;
use crate::repository::{self, Conversion, Depth, GitDirectory, Head, Mirror, Oid, Wanted};
use crate::trees;
use bourn_plan::*;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Mapping, Node};
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::path::Path;

/// A crate of a git repository.
#[derive(Clone, Debug)]
pub(super) struct GitCrate {
    pub(super) name: String,
    pub(super) version: String,
    /// URL of the repository, with its alias.
    pub(super) repo: String,
    pub(super) commit: String,
    /// `branch`, `tag` or `rev`, as `Cargo.lock` has it.
    pub(super) query: IndexMap<String, String>,
    /// The repository by `git-mirrors`, with its alias: where it is fetched from.
    pub(super) mirrored: String,
    /// The same by the project's aliases.
    pub(super) url: String,
    /// Attributes of its own.
    pub(super) provenance: Option<Node>,
}

/// What stands for a git URL: the longest beginning that `git-mirrors` knows counts.
pub(super) fn mirrored(url: &str, mirrors: &IndexMap<String, String>) -> String {
    let fitting = mirrors.iter().filter(|(beginning, _)| url.starts_with(beginning.as_str()));
    // Of equally long ones the first counts, as keys are unique there is none.
    match fitting.max_by_key(|(beginning, _)| beginning.len()) {
        Some((beginning, mirror)) => url.replace(beginning.as_str(), mirror),
        None => url.to_owned(),
    }
}

impl GitCrate {
    /// Reads one entry of a ref.
    pub(super) fn read(node: &Node, mirrors: &IndexMap<String, String>) -> Result<GitCrate, Diagnostic> {
        let repo = node.get_str("repo")?.to_owned();
        let mirrored = mirrored(&repo, mirrors);
        Ok(GitCrate {
            name: node.get_str("name")?.to_owned(),
            version: node.get_str("version")?.to_owned(),
            url: mirrored.clone(),
            mirrored,
            repo,
            commit: node.get_str("commit")?.to_owned(),
            query: super::read_texts(node.opt_mapping("query")?)?,
            provenance: node.opt_mapping("provenance")?.cloned(),
        })
    }

    /// The entry of a ref.
    pub(super) fn node(&self) -> Mapping {
        let mut entries = Mapping::new();
        for (name, text) in [("kind", "git"), ("commit", &self.commit), ("repo", &self.repo)] {
            entries.insert(name, Node::scalar(text));
        }
        if !self.query.is_empty() {
            let query: Mapping =
                self.query.iter().map(|(name, value)| (&**name, Node::scalar(&**value))).collect();
            entries.insert("query", Node::mapping(query));
        }
        entries.insert("name", Node::scalar(&*self.name));
        entries.insert("version", Node::scalar(&*self.version));
        entries
    }

    /// The directory that it is staged in.
    pub(super) fn directory(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn mirror(&self, kind: &str, source_directory: &Path) -> Mirror {
        Mirror::dulwich(source_directory, kind, &self.repo)
    }

    /// Whether its commit is kept.
    pub(super) fn is_kept(&self, kind: &str, source_directory: &Path) -> bool {
        let mirror = self.mirror(kind, source_directory);
        mirror.exists() && mirror.contains(&self.commit) && mirror.is_settled()
    }

    /// Fetches its commit.
    ///
    /// # Errors
    /// No server has it, the disk.
    pub(super) fn fetch(&self, kind: &str, context: &FetchContext<'_>) -> Result<(), SourceError> {
        self.oid()?;
        if self.is_kept(kind, context.source_directory) {
            return Ok(());
        }
        let mirror = self.mirror(kind, context.source_directory);
        let candidates = context.urls.fetch(&self.mirrored);
        let wanted = Wanted { commit: &self.commit, tag: None, depth: Depth::Commits(1), track: None };
        activity(context.progress, &format!("Fetching from {}", first(&candidates)), || {
            let is_there = || wanted.is_there(&mirror);
            mirror
                .change(context, kind, &self.commit, is_there, || wanted.fetch(context, &mirror, &candidates))
        })
    }

    fn oid(&self) -> Result<Oid, SourceError> {
        let not_one = || SourceError::new(format!("'{}' of crate {} is no commit", self.commit, self.name));
        Oid::parse(&self.commit).ok_or_else(not_one)
    }

    /// Stages the directory of the crate out of its repository.
    ///
    /// # Errors
    /// It was not fetched, or the repository has no such crate; the store.
    pub(super) fn stage(&self, kind: &str, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let cas = context.cas;
        let mirror = self.mirror(kind, context.source_directory);
        context.progress.status(&format!("Checking out {}", self.commit));
        let oid = self.oid()?;
        let repository = repository::stage(context, kind, &mirror, oid, Conversion::Lines)?;
        let found = workspace::find(cas, &repository, &self.name)?;
        let mut tree = if found.path.is_empty() {
            // The repository itself is the crate, and keeps a `.git` that knows the commit.
            let git = commit_alone(oid).store(&mirror, cas)?;
            trees::put(cas, &repository, ".git", trees::Entry::Directory(git))?
        } else {
            trees::directory(cas, &repository, &found.path)?.unwrap_or_default()
        };
        if let Some(manifest) = found.manifest {
            let executable = trees::file(cas, &tree, "Cargo.toml")?.is_some_and(|file| file.is_executable);
            let digest = cas.write(manifest::write(&manifest).as_bytes())?;
            tree = trees::put(cas, &tree, "Cargo.toml", trees::Entry::File { digest, executable })?;
        }
        let sum = cas.write(b"{\"files\": {}, \"package\": null}")?;
        let sum = trees::Entry::File { digest: sum, executable: false };
        trees::put(cas, &tree, ".cargo-checksum.json", sum)
    }

    /// What the configuration of cargo has to say of its repository: a name for it, and its entries.
    ///
    /// # Errors
    /// Its alias is not known.
    pub(super) fn replacement(&self, urls: &dyn UrlTable) -> Result<(String, toml::Table), SourceError> {
        let url = urls.translate(&self.repo).map_err(|error| SourceError::new(error.message))?;
        let mut entries = toml::Table::new();
        entries.insert("git".to_owned(), url.clone().into());
        entries.insert("replace-with".to_owned(), "vendored-sources".into());
        let mut name = format!("git+{url}");
        for (at, (key, value)) in self.query.iter().enumerate() {
            entries.insert(key.clone(), value.clone().into());
            let encode = |text: &str| crate::url::quote(text).replace("%20", "+");
            let separator = if at == 0 { '?' } else { '&' };
            name.push_str(&format!("{separator}{}={}", encode(key), encode(value)));
        }
        Ok((name, entries))
    }

    /// Where it comes from.
    pub(super) fn provenance(
        &self,
        declared: &Declared,
        context: &ProvenanceContext<'_>,
    ) -> Result<SourceProvenance, SourceError> {
        let mut origin =
            Origin::git(&self.url, &self.commit, Some(self.version.clone())).extra("crate-name", &*self.name);
        if declared.release >= Release(2, 3, 2) {
            origin = origin.extra("ecosystem", "GIT");
        }
        declared.provenance_of(origin, self.provenance.as_ref(), context)
    }
}

fn commit_alone(commit: Oid) -> GitDirectory {
    GitDirectory {
        commit,
        head: Head::Master,
        commits: BTreeSet::from([commit]),
        trees: false,
        tags: Vec::new(),
        tag_objects: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mirror_counts() {
        let mirrors = [("https://h/", "git:"), ("https://h/special/", "up:sp/")];
        let mirrors = mirrors.map(|(from, to)| (from.to_owned(), to.to_owned())).into_iter().collect();
        for (url, expect) in [
            ("https://h/special/x", "up:sp/x"),
            ("https://h/x", "git:x"),
            ("https://other/x", "https://other/x"),
        ] {
            assert_eq!(mirrored(url, &mirrors), expect);
        }
    }
}
