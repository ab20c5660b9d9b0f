//! Keeping a picture of what was loaded.

use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::picture::request::{Request, environment};
use crate::picture::stored::{self, Stored, StoredElement, StoredWarning, store_local, store_look};
use crate::watch::Watch;
use crate::world::{Remark, World};
use bourn_build::event::MessageKind;
use bourn_project::{DependencyKind, ElementId};
use bourn_yaml::Look;
use bourn_yaml::look::Stamp;
use rayon::prelude::*;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Clocks of file systems tick only every few milliseconds.
const TICK: Duration = Duration::from_millis(20);

/// Keeps a picture of what was loaded since `began`. That it cannot be written is no error.
///
/// # Errors
/// There is no project.
pub(crate) fn keep(
    invocation: &Invocation<'_>,
    request: &Request<'_>,
    world: &World,
    elements: &[ElementId],
    began: SystemTime,
) -> Result<(), Failure> {
    // In a plan that is not strict, the cache decides upon keys.
    if !world.options.strict {
        return Ok(());
    }
    let Some(path) = request.path(invocation, &world.workspaces)? else { return Ok(()) };
    let Some(looks) = invocation.files.looks() else { return Ok(()) };
    if looks.par_iter().with_min_len(64).any(|(path, look)| is_newer(path, look, began)) {
        return Ok(());
    }
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let states = session.states();
    let graph = world.graph();
    let (long, printer) = (request.long(), world.printer(invocation, &states));
    let texts =
        |id| long.iter().map(|symbol| Ok(printer.value(id, *symbol)?.0)).collect::<Result<_, Failure>>();
    let since = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let environment = world.kinds.runs_python().then(|| environment(invocation.settings).to_vec());
    let stored = Stored {
        seconds: since.as_secs(),
        nanos: since.subsec_nanos(),
        environment,
        looks: looks.into_par_iter().with_min_len(64).map(|(path, look)| store_look(path, &look)).collect(),
        locals: world.local.found().iter().map(store_local).collect(),
        warnings: world
            .remarks(invocation)
            .into_iter()
            .map(|Remark { kind, text, detail, speaker }| {
                let informs = kind == MessageKind::Info;
                StoredWarning { text, detail, informs, speaker }
            })
            .collect(),
        names: (0..graph.elements.len())
            .into_par_iter()
            .with_min_len(64)
            .map(|at| graph.full_name(ElementId(at as u32)))
            .collect(),
        elements: elements
            .par_iter()
            .with_min_len(64)
            .map(|&id| -> Result<StoredElement, Failure> {
                let element = graph.element(id);
                let key = states.display_key(&world.plan, id);
                let description: Vec<&str> =
                    element.description.as_deref().unwrap_or_default().lines().collect();
                Ok(StoredElement {
                    name: id.0,
                    kind: element.kind.to_string(),
                    description: description.join(" "),
                    key: key.full.to_string(),
                    strict: key.strict,
                    dependencies: element
                        .dependencies
                        .iter()
                        .map(|dependency| dependency.element.0 * 3 + number(dependency.kind))
                        .collect(),
                    texts: texts(id)?,
                    artifact: match &world.plan.element(id).strict_key {
                        Some(key) => session.artifact_name(id, &key.0).to_string(),
                        None => String::new(),
                    },
                    resolved: world.plan.element(id).sources.iter().all(|source| source.source.is_resolved()),
                })
            })
            .collect::<Result<_, Failure>>()?,
    };
    stored::write(&path, &stored);
    // As with the plan: the process is about to end.
    std::mem::forget(stored);
    Ok(())
}

fn number(kind: DependencyKind) -> u32 {
    match kind {
        DependencyKind::Build => 0,
        DependencyKind::Runtime => 1,
        DependencyKind::All => 2,
    }
}

/// Whether a file may have changed after the load began: then it is not known which content was seen.
fn is_newer(path: &Path, look: &Look, began: SystemTime) -> bool {
    let limit = began.checked_sub(TICK).and_then(|limit| limit.duration_since(SystemTime::UNIX_EPOCH).ok());
    let limit = limit.map_or(0, |limit| i128::try_from(limit.as_nanos()).unwrap_or(0));
    let stamp = match look {
        Look::File { stamp, .. } | Look::Names { stamp, .. } => *stamp,
        Look::Place { to, .. } => match to.symlink_metadata() {
            Ok(found) => Stamp::of(&found),
            Err(_) => return true,
        },
        Look::Nothing => return path.exists(),
    };
    stamp.changed >= limit || stamp.modified >= limit
}
