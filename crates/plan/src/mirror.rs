//! What a mirror of a project can be asked.

use crate::source::Candidate;
use bourn_project::{KindOrigin, Project};
use bourn_yaml::{Diagnostic, Node};

/// A mirror of a project.
pub trait Mirror: Send + Sync {
    /// What stands for an aliased URL on this mirror, best first; nothing when it does not serve the alias. How many
    /// there are depends on the alias alone.
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate>;

    /// Whether it serves the alias.
    fn serves(&self, alias: &str) -> bool;
}

/// An aliased URL that a mirror may serve.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The alias, in the project that has the mirror.
    pub alias: &'a str,
    /// What the alias stands for in the project that wrote the URL.
    pub alias_url: &'a str,
    /// The URL after its alias.
    pub body: &'a str,
}

/// Kinds of mirrors that are not built in.
pub trait ForeignMirrors: Sync {
    /// Reads the `config:` of a mirror; `None` when the kind is not known.
    fn mirror(
        &self,
        kind: &str,
        origin: &KindOrigin,
        node: &Node,
        project: &Project,
    ) -> Option<Result<Box<dyn Mirror>, Diagnostic>>;
}

/// No kinds but those built in.
#[derive(Clone, Copy, Debug)]
pub struct NoForeignMirrors;

impl ForeignMirrors for NoForeignMirrors {
    fn mirror(
        &self,
        _: &str,
        _: &KindOrigin,
        _: &Node,
        _: &Project,
    ) -> Option<Result<Box<dyn Mirror>, Diagnostic>> {
        None
    }
}
