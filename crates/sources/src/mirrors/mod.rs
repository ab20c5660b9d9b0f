//! Aliases and mirrors: which URLs stand behind the one that a source names.
//!
//! One [`Aliases`] per project answers all questions. A subproject's table asks its parent's where the junction
//! maps an alias (`aliases`, `map-aliases`). The kinds of mirrors stand in [`MIRRORS`].

mod aliases;
mod fake_mirror;
mod gitlab_lfs_mirror;
mod listed;
mod netrc;
mod proxies;
mod simple_mirror;

use crate::table::{Package, package};
use bourn_plan::mirror::{ForeignMirrors, Mirror, Request};
use bourn_plan::{Patience, UrlTable};
use bourn_project::{KindOrigin, Project};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Node};
use std::sync::Arc;

pub use netrc::{Netrc, NetrcError};
pub use proxies::Proxies;

/// A kind of mirror.
pub struct MirrorEntry {
    /// Its name.
    pub name: &'static str,
    /// The packages that have it.
    pub packages: &'static [Package],
    /// Reads the `config:` of one.
    read: fn(&Node) -> Result<Box<dyn Mirror>, Diagnostic>,
}

/// Every kind of mirror.
pub const MIRRORS: &[MirrorEntry] = &[
    MirrorEntry { name: "default", packages: &[Package::Core], read: listed::read },
    MirrorEntry { name: "fake_mirror", packages: &[Package::Community], read: fake_mirror::read },
    MirrorEntry {
        name: "gitlab_lfs_mirror",
        packages: &[Package::Plugins, Package::Community],
        read: gitlab_lfs_mirror::read,
    },
    MirrorEntry {
        name: "simple_mirror",
        packages: &[Package::Plugins, Package::Community],
        read: simple_mirror::read,
    },
];

/// Which URLs the user wants to be asked (`fetch.source`, `track.source`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UrlPolicy {
    /// Mirrors and aliases.
    #[default]
    All,
    /// What aliases stand for, no mirrors.
    Aliases,
    /// Mirrors only.
    Mirrors,
    /// Mirrors of the user configuration only.
    User,
}

/// What the user configuration says about URLs.
#[derive(Clone, Debug, Default)]
pub struct UrlSettings {
    /// `fetch.source`.
    pub fetch: UrlPolicy,
    /// `track.source`.
    pub track: UrlPolicy,
    /// The user's `.netrc`.
    pub netrc: Netrc,
    /// The proxies of the user's environment.
    pub proxies: Proxies,
    /// How long servers are waited for.
    pub patience: Patience,
}

/// Makes the tables of all projects. A parent stands before its subprojects. `foreign` knows mirrors that are not
/// built in.
///
/// # Errors
/// What is wrong with `aliases:` and `mirrors:`.
pub fn url_tables(
    projects: &[Project],
    settings: &UrlSettings,
    foreign: &dyn ForeignMirrors,
) -> Result<Vec<Arc<dyn UrlTable>>, Diagnostics> {
    let settings = Arc::new(settings.clone());
    let answers = Arc::<aliases::Answers>::default();
    let mut tables: Vec<Arc<aliases::Aliases>> = Vec::with_capacity(projects.len());
    let mut wrong = Vec::new();
    for project in projects {
        let parent = project.parent.and_then(|id| tables.get(id.0 as usize).cloned());
        let (table, errors) =
            aliases::Aliases::of(project, parent, settings.clone(), answers.clone(), foreign);
        tables.push(Arc::new(table));
        wrong.extend(errors);
    }
    if !wrong.is_empty() {
        return Err(Diagnostics(wrong));
    }
    Ok(tables.into_iter().map(|table| table as Arc<dyn UrlTable>).collect())
}

/// Whether a kind of mirror is known.
pub fn known(kind: &str, origin: &KindOrigin) -> bool {
    find(kind, origin).is_some()
}

fn find(kind: &str, origin: &KindOrigin) -> Option<&'static MirrorEntry> {
    let package = package(origin)?;
    MIRRORS.iter().find(|entry| entry.name == kind && entry.packages.contains(&package))
}

/// Reads one entry of `mirrors:`: its name and itself.
fn read(
    node: &Node,
    project: &Project,
    foreign: &dyn ForeignMirrors,
) -> Result<(String, Box<dyn Mirror>), Diagnostic> {
    let kind = node.opt_str("kind")?.unwrap_or("default");
    let origin = project.mirror_origins.get(kind).unwrap_or(&KindOrigin::Core);
    let Some(entry) = find(kind, origin) else {
        if let Some(read) = foreign.mirror(kind, origin, node, project) {
            return Ok((node.get_str("name")?.to_owned(), read?));
        }
        let message = format!("No source mirror of kind '{kind}' is known");
        return Err(Diagnostic::new(Domain::Plugin, "plugin-not-found", message).at(node.at));
    };
    let empty = Node::mapping(bourn_yaml::Mapping::new());
    let config = if kind == "default" {
        node
    } else {
        node.validate_keys(&["name", "kind", "config"])?;
        node.opt_mapping("config")?.unwrap_or(&empty)
    };
    let name = node.get_str("name")?.to_owned();
    Ok((name, (entry.read)(config)?))
}
