//! The sandbox of one element: its root, its settings, and running commands in it.

use crate::error::{BuildError, BuildResult, domain};
use crate::job::{Activity, Job, locked};
use crate::script::{Item, Script, ScriptCommand};
use crate::session::Session;
use crate::stage::Root;
use bourn_project::SandboxConfig;
use bourn_reapi::action::{Action, ActionResult, OutputDirectory};
use bourn_reapi::services::{Execution, RemoteApis, ServiceResult, Streams};
use bourn_reapi::tree::Tree;
use bourn_reapi::{Command, Digest, EnvironmentVariable, Platform, Property};
use prost::Message;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Directories that every sandbox has.
pub(crate) const SYSTEM_DIRECTORIES: [&str; 3] = ["dev", "proc", "tmp"];

/// The sandbox of one element.
pub struct Sandbox {
    /// Its root.
    pub root: Root,
    /// What of the machine is asked.
    pub config: Arc<SandboxConfig>,
    /// The environment that the kind set, in order.
    pub environment: Vec<(String, String)>,
    /// Whether a plugin set the environment; `None` where none was asked, and the kind sets it with the directories.
    pub environment_is_set: Option<bool>,
    /// Directory that commands start in, absolute.
    pub directory: Option<String>,
    /// Directories that commands may write to when the rest is read-only, absolute.
    pub marked: Vec<String>,
    /// Digests of trees that variables of the environment name.
    pub subsandboxes: Vec<Digest>,
    /// Whether modification times of outputs are recorded (workspaces).
    pub record_times: bool,
    /// Whether the last commands found the root read-only.
    pub was_read_only: bool,
}

/// What commands may write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writable {
    /// The marked directories.
    Marked,
    /// Everything.
    All,
    /// Everything, in a root that is not the element's own yet: what comes of it is shared by all elements that are
    /// built upon the same. Directories that the element marks are not there.
    Shared,
}

impl Sandbox {
    /// An empty sandbox with an environment.
    pub fn new(root: Root, config: Arc<SandboxConfig>, environment: Vec<(String, String)>) -> Sandbox {
        Sandbox {
            root,
            config,
            environment,
            environment_is_set: None,
            directory: None,
            marked: Vec::new(),
            subsandboxes: Vec::new(),
            record_times: false,
            was_read_only: false,
        }
    }

    /// Whether the environment is one that was set for commands.
    pub fn has_environment(&self) -> bool {
        self.environment_is_set.unwrap_or(self.directory.is_some() || !self.marked.is_empty())
    }

    /// The directory that commands start in.
    pub fn working_directory(&self) -> &str {
        self.directory.as_deref().unwrap_or("/")
    }

    /// Creates what commands need: the working directory, `/dev`, `/proc`, `/tmp` and the marked directories.
    ///
    /// # Errors
    /// Something else stands in the way.
    pub fn prepare(&mut self, directory: &str, writable: Writable) -> BuildResult<()> {
        let tree = self.root.tree_mut();
        tree.create_directory(directory)?;
        for path in SYSTEM_DIRECTORIES {
            tree.create_directory(path)?;
        }
        let marked = if writable == Writable::Shared { &[][..] } else { &self.marked };
        for path in marked {
            tree.create_directory(path)?;
        }
        Ok(())
    }

    /// Whether a program that the environment's `PATH` finds was staged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn has_command(&self, program: &str, environment: &[(String, String)]) -> ServiceResult<bool> {
        if program.starts_with('/') {
            return Ok(self.root.tree.resolve(program)?.is_some());
        }
        if program.contains('/') {
            return Ok(false);
        }
        let path = environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
        for directory in path.split(':') {
            if self.root.tree.resolve(&format!("{directory}/{program}"))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs commands as one script under the heading `Running commands`. Nothing happens when there are none.
    ///
    /// # Errors
    /// A command fails; there is no shell; the sandbox cannot be set up.
    pub fn run(
        &mut self,
        session: &Session<'_>,
        job: &Job<'_>,
        items: &[Item],
        writable: Writable,
    ) -> BuildResult<()> {
        let Some(script) = Script::compose(items) else { return Ok(()) };
        let heading = Activity::new("Running commands").detail(&script.labels).keyless();
        job.activity(&heading, || self.run_script(session, job, &script, writable))
    }

    fn run_script(
        &mut self,
        session: &Session<'_>,
        job: &Job<'_>,
        script: &Script,
        writable: Writable,
    ) -> BuildResult<()> {
        self.check(session, "sh", &script.environment)?;
        self.prepare(&script.directory, writable)?;
        let command = self.command(script, writable);
        let execution = self.execution(command, writable)?;
        self.was_read_only = writable == Writable::Marked;
        let status = match writable {
            Writable::Shared => self.integrate(session, job, &execution)?,
            _ => self.execute(session, job, &execution, &mut *job.output()?)?,
        };
        if status == 0 { Ok(()) } else { Err(command_failed()) }
    }

    /// Refuses what cannot be run here.
    pub(crate) fn check(
        &self,
        session: &Session<'_>,
        program: &str,
        environment: &[(String, String)],
    ) -> BuildResult<()> {
        if !self.has_command(program, environment)? {
            let message = format!("Staged artifacts do not provide command '{program}'");
            return Err(BuildError::new(domain::SANDBOX, message).reason("missing-command").of_element(None));
        }
        let (config, machine) = (&self.config, &session.options.machine);
        let unsupported = if config.build_os != machine.os {
            format!("OS '{}' is not supported here", config.build_os)
        } else if !machine.architectures.contains(&config.build_arch) {
            format!("ISA '{}' is not supported here", config.build_arch)
        } else {
            return Ok(());
        };
        let message = format!("This platform does not support local builds: {unsupported}");
        Err(BuildError::new(domain::SANDBOX, message).reason("unavailable-local-sandbox"))
    }

    /// Runs one program, which is no script: its exit status.
    ///
    /// # Errors
    /// The program was not staged; the sandbox cannot be set up.
    pub(crate) fn run_program(
        &mut self,
        session: &Session<'_>,
        job: &Job<'_>,
        program: &ScriptCommand,
        writable: Writable,
    ) -> BuildResult<i32> {
        let name = program.arguments.first().map_or("", String::as_str);
        self.check(session, name, &program.environment)?;
        self.prepare(&program.directory, writable)?;
        let mut environment = program.environment.clone();
        match environment.iter_mut().find(|(name, _)| name == "PWD") {
            Some((_, value)) => value.clone_from(&program.directory),
            None => environment.push(("PWD".into(), program.directory.clone())),
        }
        let script = Script {
            text: String::new(),
            environment,
            directory: program.directory.clone(),
            labels: String::new(),
        };
        let command = Command { arguments: program.arguments.clone(), ..self.command(&script, writable) };
        let execution = self.execution(command, writable)?;
        self.was_read_only = writable == Writable::Marked;
        self.execute(session, job, &execution, &mut *job.output()?)
    }

    fn command(&self, script: &Script, writable: Writable) -> Command {
        let outputs = match writable {
            Writable::Marked => self.marked.clone(),
            Writable::All | Writable::Shared => vec!["/".to_owned()],
        };
        Command {
            arguments: ["sh", "-c", "-e", &script.text].map(str::to_owned).to_vec(),
            environment_variables: variables(&script.environment),
            platform: Some(platform(&self.config)),
            working_directory: script.directory.clone(),
            output_paths: outputs,
            output_node_properties: if self.record_times && writable != Writable::Shared {
                vec!["mtime".into()]
            } else {
                Vec::new()
            },
            output_directory_format: 1,
            ..Command::default()
        }
    }

    fn execution(&self, command: Command, writable: Writable) -> BuildResult<Execution> {
        Ok(Execution {
            input_root: self.root.tree.digest()?,
            prefixes: self.root.prefixes.clone(),
            writable: match writable {
                Writable::Marked => self.marked.clone(),
                Writable::All | Writable::Shared => Vec::new(),
            },
            root_read_only: writable == Writable::Marked,
            command,
            network: false,
            uid: self.config.build_uid.unwrap_or(0),
            gid: self.config.build_gid.unwrap_or(0),
            mounts: Vec::new(),
            streams: Streams::Log,
            hostname: None,
            remote_apis: remote_apis(&self.config),
        })
    }

    fn execute(
        &mut self,
        session: &Session<'_>,
        job: &Job<'_>,
        execution: &Execution,
        log: &mut dyn Write,
    ) -> BuildResult<i32> {
        let executed = session.services.executor.execute(execution, log, job.cancel())?;
        let cas = session.cas();
        for (path, output) in execution.command.output_paths.iter().zip(&executed.outputs) {
            if let Some(digest) = output {
                self.root.tree_mut().replace(path, &Tree::open(cas, *digest))?;
            }
        }
        Ok(executed.exit_code)
    }

    /// Runs commands that change a root which many elements share. Equal commands over an equal root are run once; the
    /// result is kept, in this session and in the cache of actions.
    fn integrate(&mut self, session: &Session<'_>, job: &Job<'_>, execution: &Execution) -> BuildResult<i32> {
        let action = action(execution);
        let slot = session.integrations.slot(action);
        let mut kept = locked(&slot);
        if kept.is_none() {
            *kept = recall(session, action)?;
        }
        if let Some(known) = &*kept {
            job.output()?.write_all(&known.log).map_err(|error| log_failed(&error))?;
            *self.root.tree_mut() = Tree::open(session.cas(), known.root);
            self.root.mark_prefix()?;
            return Ok(0);
        }
        let mut log = Tee { to: job.output()?, copy: Vec::new() };
        let status = self.execute(session, job, execution, &mut log)?;
        self.root.mark_prefix()?;
        if status == 0 {
            let known = Integrated { root: self.root.tree.digest()?, log: log.copy };
            keep(session, action, &known)?;
            *kept = Some(known);
        }
        Ok(status)
    }
}

fn command_failed() -> BuildError {
    BuildError::new(domain::SANDBOX, "Command failed").reason("command-failed").of_element(None)
}

fn log_failed(error: &std::io::Error) -> BuildError {
    BuildError::new(domain::CAS, format!("Writing the log failed: {error}"))
}

fn variables(environment: &[(String, String)]) -> Vec<EnvironmentVariable> {
    let variable =
        |(name, value): &(String, String)| EnvironmentVariable { name: name.clone(), value: value.clone() };
    environment.iter().map(variable).collect()
}

/// The requirements on the machine, sorted by name.
pub(crate) fn platform(config: &SandboxConfig) -> Platform {
    let mut properties = vec![("ISA", config.build_arch.clone()), ("OSFamily", config.build_os.clone())];
    if let Some(path) = &config.remote_apis_socket {
        properties.push(("remoteApisSocketPath", path.trim_start_matches('/').to_owned()));
    }
    if let Some(gid) = config.build_gid {
        properties.push(("unixGID", gid.to_string()));
    }
    if let Some(uid) = config.build_uid {
        properties.push(("unixUID", uid.to_string()));
    }
    let property = |(name, value): (&str, String)| Property { name: name.into(), value };
    Platform { properties: properties.into_iter().map(property).collect() }
}

/// The services that commands want to find, as `remote-apis-socket` says.
pub(crate) fn remote_apis(config: &SandboxConfig) -> Option<RemoteApis> {
    let path = config.remote_apis_socket.clone()?;
    Some(RemoteApis { path, may_update: config.remote_apis_socket_update })
}

/// The root that integration commands left, and what they said.
#[derive(Clone, Debug)]
struct Integrated {
    root: Digest,
    log: Vec<u8>,
}

type Slot = Arc<Mutex<Option<Integrated>>>;

/// Results of integration, by action. Whoever comes second waits for the first.
#[derive(Default)]
pub(crate) struct Integrations(Mutex<HashMap<Digest, Slot>>);

impl Integrations {
    fn slot(&self, action: Digest) -> Slot {
        locked(&self.0).entry(action).or_default().clone()
    }
}

/// The digest of the action that an execution is.
fn action(execution: &Execution) -> Digest {
    let command = Digest::of(&execution.command.encode_to_vec());
    let action = Action {
        command_digest: Some(command.into()),
        input_root_digest: Some(execution.input_root.into()),
        platform: execution.command.platform.clone(),
        ..Action::default()
    };
    Digest::of(&action.encode_to_vec())
}

/// The result that an earlier run left, if it is still whole.
fn recall(session: &Session<'_>, action: Digest) -> ServiceResult<Option<Integrated>> {
    let Some(actions) = &session.services.action_cache else { return Ok(None) };
    let Some(result) = actions.action_result(&action)? else { return Ok(None) };
    let output = result.output_directories.first().and_then(|output| output.root_directory_digest.as_ref());
    let Some(root) = output.and_then(|digest| Digest::try_from(digest).ok()) else { return Ok(None) };
    if result.exit_code != 0 || !session.cas().contains_tree(&root)? {
        return Ok(None);
    }
    let log = match result.stdout_digest.as_ref().and_then(|digest| Digest::try_from(digest).ok()) {
        Some(digest) if session.cas().missing_blobs(&[digest])?.is_empty() => session.cas().read(&digest)?,
        Some(_) => return Ok(None),
        None => result.stdout_raw,
    };
    Ok(Some(Integrated { root, log }))
}

fn keep(session: &Session<'_>, action: Digest, known: &Integrated) -> ServiceResult<()> {
    let Some(actions) = &session.services.action_cache else { return Ok(()) };
    let output = OutputDirectory {
        path: String::new(),
        root_directory_digest: Some(known.root.into()),
        ..OutputDirectory::default()
    };
    let result = ActionResult {
        output_directories: vec![output],
        stdout_digest: Some(session.cas().write(&known.log)?.into()),
        ..ActionResult::default()
    };
    actions.update_action_result(&action, &result)
}

/// Writes to a log and keeps a copy.
struct Tee {
    to: Box<dyn Write + Send>,
    copy: Vec<u8>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.copy.extend(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
