//! `bourn source push`.

use crate::args::source::Push;
use crate::exit::Outcome;
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::run;
use bourn_project::selection::Selection as Scope;

/// Uploads sources to source servers; those that are not here are fetched first.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Push) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load(invocation, &named, &options.except)?;
    let elements = world.select(Scope::from(options.deps));
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    jobs::query_sources(invocation, &session, &elements)?;
    world.connected.assert_source_pushes(invocation, &world.control)?;
    jobs::assert_refs(&session, &elements)?;
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    conclude(&jobs::steered(invocation, &world, || run::push_sources(&session, &elements))?)?;
    Ok(0)
}
