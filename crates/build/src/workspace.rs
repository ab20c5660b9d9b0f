//! Open workspaces: building on what the last build in them left.

use crate::cache::Cached;
use crate::error::BuildResult;
use crate::event::MessageKind;
use crate::job::Job;
use crate::session::Session;
use bourn_project::ElementId;
use bourn_reapi::artifact::normal_name;
use bourn_reapi::services::ServiceResult;
use bourn_reapi::tree::Tree;
use std::sync::Arc;

/// The sources to be staged: in a workspace whose last build can be gone on from, its build directory with the changes
/// made to the sources since; the sources themselves otherwise.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn over_last_build(
    session: &Session<'_>,
    job: &Job<'_>,
    id: ElementId,
    sources: Tree,
) -> BuildResult<Tree> {
    let Some(last) = last_build(session, id)? else { return Ok(sources) };
    let (Some(old), Some(built)) = (last.sources(), last.build_tree()) else { return Ok(sources) };
    job.say(MessageKind::Info, "Incremental build", None);
    let mut tree = Tree::open(session.cas(), built);
    tree.apply_changes(&Tree::open(session.cas(), old), &sources)?;
    Ok(tree)
}

/// The artifact of the last build in the workspace of an element, if it was built upon the same and all of it is here.
fn last_build(session: &Session<'_>, id: ElementId) -> ServiceResult<Option<Arc<Cached>>> {
    let Some(key) = session.workspace(id).and_then(|workspace| workspace.last_build.as_ref()) else {
        return Ok(None);
    };
    let Some(last) = session.cached(id, key)? else { return Ok(None) };
    for tree in [last.build_tree(), last.sources()] {
        match tree {
            Some(tree) if session.cas().contains_tree(&tree)? => {}
            _ => return Ok(None),
        }
    }
    let Some(message) = session.assets().artifact(&session.artifact_name(id, key))? else { return Ok(None) };
    let Ok(dependencies) = message.dependencies() else { return Ok(None) };
    let name = |project: &str, element: &str, key: &str| format!("{project}/{}/{key}", normal_name(element));
    let old: Vec<String> =
        dependencies.iter().map(|d| name(&d.project_name, &d.element_name, &d.cache_key)).collect();
    let new: Vec<String> = session
        .build_closure(id)
        .into_iter()
        .map(|id| {
            let key = session.strong_key(id).map(|key| key.0).unwrap_or_default();
            name(&session.project(id).name, &session.element(id).name, &key)
        })
        .collect();
    Ok((old == new).then_some(last))
}
