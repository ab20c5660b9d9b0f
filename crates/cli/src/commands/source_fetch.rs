//! `bourn source fetch`.

use crate::args::source::Fetch;
use crate::exit::Outcome;
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::fetch::Fetch as What;
use bourn_build::run;
use bourn_project::selection::Selection as Scope;

/// Fetches sources.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Fetch) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    jobs::warn_of_storage(invocation, "Sources");
    let world = World::load(invocation, &named, &options.except)?;
    let elements = world.select(Scope::from(options.deps));
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    jobs::query_sources(invocation, &session, &elements)?;
    jobs::assert_refs(&session, &elements)?;
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    let ran = jobs::steered(invocation, &world, || run::fetch(&session, &elements, What::Staged))?;
    conclude(&ran)?;
    Ok(0)
}
