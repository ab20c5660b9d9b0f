//! `bourn source push`.

use crate::args::source::Push;
use crate::exit::{Failure, Outcome};
use crate::invocation::Invocation;
use crate::jobs;
use crate::settings::servers::Contact;
use crate::world::World;

/// Uploads sources to source servers.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Push) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load(invocation, &named, &options.except)?;
    let servers = jobs::servers(invocation, &world, &options.remotes(), Contact::Sources)?;
    match servers.has_sources(true) {
        false => Err(Failure::stream("No source caches available for pushing sources")),
        true => Err(jobs::no_servers_yet()),
    }
}
