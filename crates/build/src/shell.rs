//! Shells in staged sandboxes.

use crate::assemble;
use crate::checkout::{self, About, stage_artifacts};
use crate::error::{BuildError, BuildResult, domain};
use crate::event::MessageKind;
use crate::job::Job;
use crate::sandbox::{Sandbox, Writable, platform, remote_apis};
use crate::session::Session;
use crate::stage::{Piece, Root};
use bourn_project::ElementId;
use bourn_reapi::services::{Execution, HostMount, Streams};
use bourn_reapi::tree::{Entry, File, Tree};
use bourn_reapi::{Command, Digest, EnvironmentVariable, Property};
use std::path::PathBuf;

/// A file or directory of the host that a shell is to see.
#[derive(Clone, Debug)]
pub struct ShellMount {
    /// Path on the host.
    pub host: PathBuf,
    /// Absolute path in the sandbox.
    pub path: String,
    /// Whether it does not matter that it is not there.
    pub optional: bool,
}

/// How a shell differs from a build.
#[derive(Clone, Debug, Default)]
pub struct Openness {
    /// Files of the host.
    pub mounts: Vec<ShellMount>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
    /// User and group id of the caller, which the shell keeps.
    pub user: (u32, u32),
}

/// A command to be run in a staged sandbox, connected to the caller's terminal.
#[derive(Clone, Debug)]
pub struct ShellCommand {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// The prompt (`PS1`).
    pub prompt: Option<String>,
    /// What of the host the shell sees; `None` isolates it as a build.
    pub open: Option<Openness>,
}

/// Prepares what `shell` enters: an artifact with what it needs to run, integrated.
///
/// # Errors
/// What staging and integrating find wrong.
pub fn runtime_sandbox(session: &Session<'_>, job: &Job<'_>, ids: &[ElementId]) -> BuildResult<Sandbox> {
    let Some(&first) = ids.first() else {
        return Err(BuildError::new(domain::STREAM, "There is no element to stage a shell for"));
    };
    let elements = session.runtime_closure(ids.iter().copied());
    assert_cached(session, &elements)?;
    stage_artifacts(session, job, About::Element(first), &session.pieces(&elements)?, true)
}

/// Prepares what `shell --build` enters: the sandbox as the build of an element finds it.
///
/// # Errors
/// What staging finds wrong.
pub fn build_sandbox(session: &Session<'_>, job: &Job<'_>, id: ElementId) -> BuildResult<Sandbox> {
    assert_cached(session, &session.build_closure(id))?;
    Ok(assemble::stage(session, job, id)?.sandbox)
}

/// Prepares what `shell --use-buildtree` enters: the sandbox as a build, also a failed one, left it.
///
/// # Errors
/// The artifact was kept without its build tree, or that is not here.
pub fn left_sandbox(session: &Session<'_>, job: &Job<'_>, piece: &Piece) -> BuildResult<Sandbox> {
    let cached = &piece.cached;
    let missing = |message: &str, reason: &str| Err(BuildError::new(domain::STREAM, message).reason(reason));
    let Some(root) = cached.build_root() else {
        return missing(
            "Artifact was created without buildtree",
            "missing-buildtree-artifact-created-without-buildtree",
        );
    };
    if !session.cas().contains_tree(&root)? {
        return missing(
            "Buildtree is not cached locally or in available remotes",
            "missing-buildtree-artifact-buildtree-not-cached",
        );
    }
    if !cached.is_success() {
        job.warn(None, "using a buildtree from a failed build.", None)?;
    }
    let tree = Tree::open(session.cas(), root);
    let state = cached.sandbox();
    let kept = state.map(|state| state.environment.as_slice()).unwrap_or_default();
    let environment = match kept {
        [] => crate::integrate::environment(session, piece.into())?,
        kept => kept.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect(),
    };
    let mut sandbox = Sandbox::new(Root::open(tree), checkout::config(session, piece.into())?, environment);
    if let Some(state) = state {
        sandbox.marked.clone_from(&state.marked_directories);
        sandbox.directory = Some(state.working_directory.clone()).filter(|path| !path.is_empty());
    }
    Ok(sandbox)
}

fn assert_cached(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<()> {
    let missing: Vec<String> = elements
        .iter()
        .filter(|&&id| session.artifact(id).is_none())
        .map(|&id| session.plan.graph.full_name(id))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = "Elements need to be built or downloaded before staging a shell environment";
    Err(BuildError::new(domain::STREAM, message).detail(missing.join("\n")).reason("shell-missing-deps"))
}

/// Runs a command in a sandbox, connected to the caller's terminal: its exit status.
///
/// # Errors
/// The program was not staged; the sandbox cannot be set up.
pub fn enter(
    session: &Session<'_>,
    job: &Job<'_>,
    mut sandbox: Sandbox,
    command: &ShellCommand,
) -> BuildResult<i32> {
    let mut environment = sandbox.environment.clone();
    if let Some(prompt) = &command.prompt {
        set(&mut environment, "PS1", prompt);
    }
    let mut mounts = Vec::new();
    if let Some(open) = &command.open {
        for (name, value) in &open.environment {
            set(&mut environment, name, value);
        }
        mounts = prepare_mounts(job, &mut sandbox, &open.mounts)?;
    }
    job.say(MessageKind::Status, "Running command", Some(&command.arguments.join(" ")));
    let directory = sandbox.working_directory().to_owned();
    set(&mut environment, "PWD", &directory);
    let program = command.arguments.first().map_or("", String::as_str);
    sandbox.check(session, program, &environment)?;
    sandbox.prepare(&directory, Writable::Marked)?;
    let execution = execution(&sandbox, command, &environment, &directory, mounts)?;
    let executed = session.services.executor.execute(&execution, &mut std::io::sink(), job.cancel())?;
    Ok(executed.exit_code)
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    match environment.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => value.clone_into(old),
        None => environment.push((name.to_owned(), value.to_owned())),
    }
}

/// Makes places for mounts; those whose host file is not there are left out.
fn prepare_mounts(
    job: &Job<'_>,
    sandbox: &mut Sandbox,
    wanted: &[ShellMount],
) -> BuildResult<Vec<HostMount>> {
    let mut mounts = Vec::new();
    for mount in wanted {
        let Ok(found) = std::fs::metadata(&mount.host) else {
            if !mount.optional {
                let text = format!("Not mounting non-existing host file: {}", mount.host.display());
                job.warn(None, &text, None)?;
            }
            continue;
        };
        let tree = sandbox.root.tree_mut();
        if tree.entry(&mount.path)?.is_none() {
            match found.is_dir() {
                true => tree.create_directory(&mount.path)?,
                false => {
                    let empty = File { digest: Digest::empty(), executable: false, properties: None };
                    tree.put(&mount.path, Entry::File(empty))?;
                }
            }
        }
        mounts.push(HostMount { host: mount.host.clone(), path: mount.path.clone(), writable: true });
    }
    Ok(mounts)
}

fn execution(
    sandbox: &Sandbox,
    command: &ShellCommand,
    environment: &[(String, String)],
    directory: &str,
    mounts: Vec<HostMount>,
) -> BuildResult<Execution> {
    let variable =
        |(name, value): &(String, String)| EnvironmentVariable { name: name.clone(), value: value.clone() };
    let mut platform = platform(&sandbox.config);
    if command.open.is_some() {
        platform.properties.push(Property { name: "network".into(), value: "on".into() });
        platform.properties.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let own = (sandbox.config.build_uid.unwrap_or(0), sandbox.config.build_gid.unwrap_or(0));
    let (uid, gid) = command.open.as_ref().map_or(own, |open| open.user);
    Ok(Execution {
        input_root: sandbox.root.tree.digest()?,
        prefixes: sandbox.root.prefixes.clone(),
        command: Command {
            arguments: command.arguments.clone(),
            environment_variables: environment.iter().map(variable).collect(),
            platform: Some(platform),
            working_directory: directory.to_owned(),
            ..Command::default()
        },
        writable: sandbox.marked.clone(),
        root_read_only: true,
        network: command.open.is_some(),
        uid,
        gid,
        mounts,
        streams: Streams::Inherit,
        hostname: None,
        remote_apis: remote_apis(&sandbox.config),
    })
}
