//! Integration: commands of artifacts that make of many staged files one system (`ldconfig` and the like).

use crate::cache::metadata;
use crate::checkout::About;
use crate::error::BuildResult;
use crate::job::Job;
use crate::sandbox::{Sandbox, Writable};
use crate::script::{Item, ScriptCommand};
use crate::session::Session;
use crate::stage::Piece;

/// Runs the integration commands of pieces in the order given, as one script over a root that may be written to. Each
/// piece's commands have the environment of its own element. The result is shared by all that integrate the same.
/// When the root is only for `building`, commands are left out that their element lists once more as
/// `public.bourn.run-time-integration-commands`.
///
/// # Errors
/// A command fails; the sandbox cannot be set up.
pub fn integrate(
    session: &Session<'_>,
    job: &Job<'_>,
    sandbox: &mut Sandbox,
    pieces: &[Piece],
    building: bool,
) -> BuildResult<()> {
    let mut items = Vec::new();
    for piece in pieces {
        commands(session, piece, building, &mut items)?;
    }
    sandbox.run(session, job, &items, Writable::Shared)
}

/// The integration commands in the public data of an artifact, with the environment of its element.
pub(crate) fn commands(
    session: &Session<'_>,
    piece: &Piece,
    building: bool,
    items: &mut Vec<Item>,
) -> BuildResult<()> {
    let public = session.public(&piece.cached)?;
    let mut commands = public.integration_commands()?;
    if building {
        let left_out = public.run_time_integration_commands()?;
        commands.retain(|command| !left_out.contains(command));
    }
    if commands.is_empty() {
        return Ok(());
    }
    let environment = environment(session, piece.into())?;
    items.extend(commands.into_iter().map(|text| {
        Item::Command(ScriptCommand {
            arguments: ["sh", "-e", "-c", text].map(str::to_owned).to_vec(),
            label: Some(text.to_owned()),
            environment: environment.clone(),
            directory: "/".into(),
        })
    }));
    Ok(())
}

/// The environment of a sandbox.
pub(crate) fn environment(session: &Session<'_>, about: About<'_>) -> BuildResult<Vec<(String, String)>> {
    let id = match about {
        About::Element(id) => id,
        About::Artifact(piece) => return Ok(metadata::Setting::read(session, &piece.cached)?.environment),
    };
    let variables = session.element(id).environment.iter();
    Ok(variables.map(|(name, value)| (name.to_string(), value.to_string())).collect())
}
