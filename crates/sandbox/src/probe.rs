//! What this machine allows, and what to do about what it does not.

use crate::child::{Failure, Step};
use bourn_reapi::ServiceError;
use bourn_reapi::services::ErrorKind;
use rustix::io::Errno;
use std::path::Path;

/// Reads a number that the kernel shows as a file; `None` when this kernel has no such file.
fn setting(name: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

/// Why user namespaces cannot be made here, with a cure, as far as the kernel's settings tell.
fn namespaces_denied() -> Option<(&'static str, &'static str)> {
    if setting("user/max_user_namespaces") == Some(0) {
        return Some((
            "user namespaces are switched off on this machine (user.max_user_namespaces is 0)",
            "let the administrator run `sysctl user.max_user_namespaces=10000`",
        ));
    }
    if setting("kernel/unprivileged_userns_clone") == Some(0) {
        return Some((
            "user namespaces are reserved to the superuser on this machine (kernel.unprivileged_userns_clone is 0)",
            "let the administrator run `sysctl kernel.unprivileged_userns_clone=1`",
        ));
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Some((
            "AppArmor forbids user namespaces to programs without a profile \
             (kernel.apparmor_restrict_unprivileged_userns is 1)",
            "let the administrator give bourn an AppArmor profile with `userns,`, or run \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
        ));
    }
    None
}

/// The first process of a sandbox could not be made.
pub(crate) fn not_split(error: Errno) -> ServiceError {
    let denied = namespaces_denied();
    let (message, hint) = match error {
        Errno::AGAIN => (
            "cannot start a sandbox: this user, or this machine, runs as many processes as it may",
            "end some processes, or raise the limit (`ulimit -u`, kernel.pid_max, the pids limit of the container)",
        ),
        Errno::NOMEM => {
            ("cannot start a sandbox: the machine is out of memory", "run fewer builders at a time")
        }
        Errno::MFILE | Errno::NFILE => {
            ("cannot start a sandbox: too many open files", "raise the limit of open files (`ulimit -n`)")
        }
        _ if denied.is_some() => denied.unwrap_or_default(),
        Errno::NOSPC | Errno::USERS => (
            "cannot start a sandbox: the limit of namespaces is reached",
            "let the administrator raise the limits that `sysctl user` lists (user.max_user_namespaces and the like)",
        ),
        Errno::PERM => (
            "user namespaces are not permitted here, most likely by the container that this runs in",
            "start the container with `--security-opt seccomp=unconfined` (docker, podman), \
             or run outside of a chroot",
        ),
        Errno::NOSYS => (
            "the system call `clone3` is blocked here, most likely by the container that this runs in",
            "start the container with `--security-opt seccomp=unconfined` (docker, podman)",
        ),
        Errno::INVAL => (
            "this kernel lacks one of the namespaces user, mount, pid, network, ipc, uts, cgroup",
            "use a kernel that was built with CONFIG_USER_NS and the other CONFIG_*_NS",
        ),
        _ => ("cannot start a sandbox", "`bourn doctor` tells what this machine allows"),
    };
    with_reason(message, error).hint(hint)
}

/// The first process of a sandbox could not prepare it.
pub(crate) fn not_prepared(failure: &Failure) -> ServiceError {
    let subject = failure.subject().to_string_lossy();
    let doing = match failure.step {
        Step::Orders => "understand its orders (a fault of bourn)".to_owned(),
        Step::Identity => format!("take on its user and group (writing {subject})"),
        Step::Network => format!("set up its network ({subject})"),
        Step::Layer => format!("use {subject} as a layer of its root"),
        Step::Overlay => format!("mount its root (an overlay over {subject})"),
        Step::Serve => format!("mount the files of its root (by {subject})"),
        Step::Root => format!("mount its root ({subject})"),
        Step::Part => format!("mount /{subject}"),
        Step::Enter => "enter its root".to_owned(),
        Step::Proc => format!("mount {subject}"),
        Step::Device => format!("provide the device {subject}"),
        Step::Temporary => format!("mount {subject}"),
        Step::Freeze => format!("make {subject} read-only"),
        Step::Bind => format!("show the host file {subject}"),
        Step::Privilege => "give up its privileges".to_owned(),
        Step::Process => format!("start the command ({subject})"),
        Step::Directory => format!("enter the working directory {subject}"),
        Step::Streams => "connect the command".to_owned(),
        Step::Program => format!("execute {subject}"),
    };
    let mut error = with_reason(&format!("a sandbox could not {doing}"), failure.error);
    let note = failure.note().to_string_lossy();
    if !note.is_empty() {
        error.detail = Some(note.trim_end().to_owned());
    }
    match cure(failure) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn cure(failure: &Failure) -> Option<&'static str> {
    match (failure.step, failure.error) {
        (Step::Identity | Step::Network | Step::Overlay | Step::Enter, Errno::PERM | Errno::ACCESS) => Some(
            namespaces_denied().map_or("`bourn doctor` tells what this machine allows", |(_, cure)| cure),
        ),
        (Step::Proc, Errno::PERM) => Some(
            "the container that this runs in hides parts of /proc; start it with \
             `--security-opt unmask=ALL` (podman) or `--security-opt systempaths=unconfined` (docker)",
        ),
        (Step::Bind | Step::Directory, Errno::NOENT) => Some("make sure that this path exists"),
        (Step::Process, Errno::AGAIN) => Some("end some processes, or raise their limit (`ulimit -u`)"),
        (_, Errno::NOSPC) => Some("a limit that `sysctl user` or `sysctl fs.mount-max` lists is reached"),
        _ => None,
    }
}

fn with_reason(message: &str, error: Errno) -> ServiceError {
    let reason = std::io::Error::from(error);
    ServiceError::new(ErrorKind::Sandbox, format!("{message}: {reason}"))
}
