//! What the words of an artifact command name: elements of the project and artifacts of the cache.

use crate::args::value::Selection;
use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::targets::Targets;
use crate::world::World;
use bourn_build::session::{Query, Session};
use bourn_build::stage::Piece;
use bourn_project::ElementId;
use bourn_project::selection::Selection as Scope;
use bourn_reapi::{ArtifactName, Assets};

/// An element or an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// An element of the plan.
    Element(ElementId),
    /// An artifact by its name.
    Artifact(ArtifactName),
}

/// Finds out what words name, and loads the project if elements are among it.
///
/// # Errors
/// Words that name nothing; what is wrong with the project.
pub(crate) fn load(
    invocation: &Invocation<'_>,
    words: &[String],
) -> Result<(World, Vec<ArtifactName>), Failure> {
    let cached = || Ok(crate::wire::store(invocation.settings)?.artifact_names()?);
    let Targets { elements, artifacts, .. } = invocation.classify(words, true, &cached)?;
    let world = match elements.is_empty() {
        true => {
            invocation.check_project()?;
            World::without_project(invocation)?
        }
        false => World::load(invocation, &elements, &[])?,
    };
    Ok((world, artifacts))
}

/// Makes sure that artifacts can be asked for a scope: they know what they were built upon, but not what they need to
/// run.
///
/// # Errors
/// `deps-not-supported`.
pub(crate) fn assert_scope(artifacts: &[ArtifactName], deps: Selection) -> Result<(), Failure> {
    if artifacts.is_empty() || !matches!(deps, Selection::Run | Selection::All) {
        return Ok(());
    }
    let text = format!("Error: '--deps {deps}' is not supported for artifact names");
    Err(Failure::stream(text).reason("deps-not-supported"))
}

/// The items in the scope of what was named. Elements are looked up in the cache.
///
/// # Errors
/// A scope that artifacts cannot be asked for; the cache cannot be read.
pub(crate) fn select(
    invocation: &Invocation<'_>,
    world: &World,
    session: &Session<'_>,
    artifacts: &[ArtifactName],
    deps: Selection,
) -> Result<Vec<Item>, Failure> {
    assert_scope(artifacts, deps)?;
    let elements = world.select(Scope::from(deps));
    invocation.query(session, &elements, deps != Selection::None, Query::Artifacts)?;
    let mut items: Vec<Item> = elements.into_iter().map(Item::Element).collect();
    for name in artifacts {
        match deps {
            Selection::Build => {
                if session.named_piece(name)?.is_some() {
                    items.extend(session.built_upon(name)?.into_iter().map(Item::Artifact));
                }
            }
            _ => items.push(Item::Artifact(by_strong_key(session, name)?)),
        }
    }
    let mut unique = Vec::with_capacity(items.len());
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    Ok(unique)
}

/// The name that an artifact has by its strong key: the same one, whichever of its names was asked for.
fn by_strong_key(session: &Session<'_>, name: &ArtifactName) -> Result<ArtifactName, Failure> {
    let strong = session.assets().artifact(name)?.map(|message| message.strong_key);
    Ok(ArtifactName { key: strong.unwrap_or_else(|| name.key.clone()), ..name.clone() })
}

impl Item {
    /// How lists call it: the full name of the element, or that of the artifact.
    pub(crate) fn full_name(&self, world: &World) -> String {
        match self {
            Item::Element(id) => world.graph().full_name(*id),
            Item::Artifact(name) => name.to_string(),
        }
    }

    /// The name of the element.
    pub(crate) fn element_name<'a>(&'a self, world: &'a World) -> &'a str {
        match self {
            Item::Element(id) => &world.graph().element(*id).name,
            Item::Artifact(name) => &name.element,
        }
    }

    /// The name of its artifact; question marks for a key that is not known.
    pub(crate) fn artifact_name(&self, session: &Session<'_>) -> ArtifactName {
        match self {
            Item::Element(id) => {
                let key = session.strong_key(*id).map_or_else(|| "?".repeat(64), |key| key.0);
                session.artifact_name(*id, &key)
            }
            Item::Artifact(name) => name.clone(),
        }
    }

    /// Its artifact, if it is in the cache.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub(crate) fn piece(&self, session: &Session<'_>) -> Result<Option<Piece>, Failure> {
        Ok(match self {
            Item::Element(id) if session.artifact(*id).is_some() => session.pieces(&[*id])?.pop(),
            Item::Element(_) => None,
            Item::Artifact(name) => session.named_piece(name)?,
        })
    }
}
