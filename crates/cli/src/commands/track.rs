//! `bourn source track`: newest refs into the project.

use crate::args::source::Track;
use crate::args::value::Selection;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::refs;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::run;
use bourn_project::selection::{self, Selection as Scope};
use bourn_project::{ElementId, ProjectId, RefStorage};
use indexmap::IndexMap;

/// Tracks sources and writes what was found into the project's files.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Track) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load_needed(invocation, &named, &options.except)?;
    let elements = selected(invocation, &world, options)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    let mut save = |id, found: Vec<_>| refs::save(&world.plan, invocation.files, id, &found);
    let ran = jobs::steered(invocation, &world, || run::track(&session, &elements, &mut save))?;
    conclude(&ran)?;
    Ok(0)
}

/// The elements to track: project by project, as each is asked about its own.
fn selected(invocation: &Invocation<'_>, world: &World, options: &Track) -> Result<Vec<ElementId>, Failure> {
    let graph = world.graph();
    let mut by_project: IndexMap<ProjectId, Vec<ElementId>> = IndexMap::new();
    for &target in &graph.targets {
        by_project.entry(graph.element(target).project).or_default().push(target);
    }
    let mut all = Vec::new();
    for (project, targets) in by_project {
        let mut found = match options.deps {
            Selection::None => redirected(invocation, world, &targets),
            deps => selection::select(graph, &targets, Scope::from(deps)),
        };
        if !options.cross_junctions {
            found.retain(|id| graph.element(*id).project == project);
        }
        all.extend(found);
    }
    let kept_apart = graph.projects.first().is_some_and(|top| top.ref_storage == RefStorage::ProjectRefs);
    if !kept_apart && all.iter().any(|id| graph.element(*id).project != ProjectId(0)) {
        return Err(Failure::stream("Untrackable sources")
            .reason("untrackable-sources")
            .detail("Sources of other projects are to be tracked, but this project keeps no refs for them.")
            .hint("set `ref-storage: project.refs` in project.conf"));
    }
    Ok(selection::except(graph, &graph.targets, all, &graph.excepted))
}

fn redirected(invocation: &Invocation<'_>, world: &World, targets: &[ElementId]) -> Vec<ElementId> {
    let mut found = Vec::new();
    for &target in targets {
        let id = world.source_element(invocation, target);
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}
