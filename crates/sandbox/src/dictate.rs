//! From an execution to the orders for the first process of its sandbox.

use crate::orders::{Bind, Orders};
use crate::root::{Root, c_path, c_text, components};
use bourn_reapi::ServiceError;
use bourn_reapi::command::EnvironmentVariable;
use bourn_reapi::services::{ErrorKind, Execution, HostMount, ServiceResult, Streams};
use std::ffi::CString;

/// The name of the machine inside a sandbox, the one that `bst` builds see too.
const HOSTNAME: &str = "buildbox";

/// Writes down what the first process has to do.
pub(crate) fn orders(execution: &Execution, root: &Root, guarded: &[CString]) -> ServiceResult<Orders> {
    let command = &execution.command;
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let inherit = execution.streams == Streams::Inherit;
    Ok(Orders {
        remounts: false,
        uid_map: c_text(format!("{} {user} 1", execution.uid).as_bytes())?,
        gid_map: c_text(format!("{} {group} 1", execution.gid).as_bytes())?,
        hostname: c_text(execution.hostname.as_deref().unwrap_or(HOSTNAME).as_bytes())?,
        loopback: !execution.network,
        session: !inherit,
        foreground: false,
        base: root.base.clone(),
        terminal: if inherit { terminal() } else { None },
        jobserver: None,
        descriptors: false,
        binds: binds(execution)?,
        guarded: guarded.to_vec(),
        freeze: root.freeze.clone(),
        programs: programs(execution)?,
        arguments: command
            .arguments
            .iter()
            .map(|argument| c_text(argument.as_bytes()))
            .collect::<Result<_, _>>()?,
        environment: environment(&command.environment_variables)?,
        directory: c_text(format!("/{}", components(&command.working_directory)?.join("/")).as_bytes())?,
    })
}

/// `NAME=value` each.
pub(crate) fn environment(variables: &[EnvironmentVariable]) -> ServiceResult<Vec<CString>> {
    let text =
        |variable: &EnvironmentVariable| c_text(format!("{}={}", variable.name, variable.value).as_bytes());
    variables.iter().map(text).collect()
}

fn binds(execution: &Execution) -> ServiceResult<Vec<Bind>> {
    let bind = |mount: &HostMount| {
        let path = format!("/{}", components(&mount.path)?.join("/"));
        Ok(Bind { host: c_path(&mount.host)?, path: c_text(path.as_bytes())?, writable: mount.writable })
    };
    execution.mounts.iter().map(bind).collect()
}

/// The terminal of this process, if it has one.
fn terminal() -> Option<CString> {
    rustix::termios::ttyname(rustix::stdio::stdin(), Vec::new()).ok()
}

/// The files that may be the program, in the order in which a shell would try them.
fn programs(execution: &Execution) -> ServiceResult<Vec<CString>> {
    let command = &execution.command;
    let Some(name) = command.arguments.first() else {
        return Err(ServiceError::new(
            ErrorKind::Invalid,
            "a command without a single argument cannot be executed",
        ));
    };
    if name.contains('/') {
        return Ok(vec![c_text(name.as_bytes())?]);
    }
    let path = command.environment_variables.iter().find(|variable| variable.name == "PATH");
    let path = path.map_or("/bin:/usr/bin", |variable| variable.value.as_str());
    let file = |directory: &str| match directory {
        "" => c_text(name.as_bytes()),
        directory => c_text(format!("{directory}/{name}").as_bytes()),
    };
    path.split(':').map(file).collect()
}
