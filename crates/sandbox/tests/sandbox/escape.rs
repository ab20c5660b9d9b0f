//! Ways out of a sandbox that take a call of the kernel rather than a path: the processes, objects, namespaces and
//! file handles of the host. The tests first make sure that each way is open to those who are not in a sandbox.

use crate::bench::{Bench, DIRECTORY};
use bourn_reapi::EnvironmentVariable;
use bourn_reapi::services::Execution;
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn give(execution: &mut Execution, name: &str, value: impl ToString) {
    let variable = EnvironmentVariable { name: name.into(), value: value.to_string() };
    execution.command.environment_variables.push(variable);
}

fn given<T: std::str::FromStr>(name: &str) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).expect("given by the test")
}

/// A process of the host, ended with the test.
struct Victim(Child);

impl Victim {
    /// One whose number no process in a sandbox will have, as these are counted from 1.
    fn new() -> Victim {
        const MOST: u32 = 200;
        loop {
            let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let victim = Victim(child.expect("cat runs"));
            if victim.0.id() > MOST {
                return victim;
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_of_the_host_cannot_be_traced_or_read() {
    let victim = Victim::new();
    let pid = victim.0.id();
    assert!(File::open(format!("/proc/{pid}/mem")).is_ok(), "it is in reach from here");
    for user in [0, 1000] {
        Bench::new().inside("escape::inside_processes_cannot_be_traced", |execution| {
            (execution.uid, execution.gid) = (user, user);
            give(execution, "VICTIM", pid);
        });
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_processes_cannot_be_traced() {
    let victim: libc::pid_t = given("VICTIM");
    assert_eq!(attach(victim), Some(Errno::SRCH));
    assert_eq!(read_memory(victim), Some(Errno::SRCH));
    for file in ["mem", "root", "cwd", "fd", "environ", "ns/mnt"] {
        assert!(!Path::new(&format!("/proc/{victim}/{file}")).exists(), "{file}");
    }
    let pid = rustix::process::Pid::from_raw(victim).expect("a number");
    assert_eq!(rustix::process::test_kill_process(pid), Err(Errno::SRCH));
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    assert_eq!(handle.err(), Some(Errno::SRCH));
    // The first process is the only one of ours in here, and it does not belong to the command.
    assert_eq!(attach(1), Some(Errno::PERM));
    assert_eq!(read_memory(1), Some(Errno::PERM));
}

/// Tries to trace a process without stopping it; what the kernel says to that.
#[allow(unsafe_code)]
fn attach(pid: libc::pid_t) -> Option<Errno> {
    let (nowhere, nothing) = (std::ptr::null_mut::<u8>(), std::ptr::null_mut::<u8>());
    // SAFETY: the operation uses neither address nor data.
    refused(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nowhere, nothing) })
}

/// Tries to read memory of a process; what the kernel says to that.
#[allow(unsafe_code)]
fn read_memory(pid: libc::pid_t) -> Option<Errno> {
    let mut buffer = [0_u8; 8];
    let ours = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let theirs = libc::iovec { iov_base: 0x1000 as *mut _, iov_len: buffer.len() };
    // SAFETY: `ours` is a buffer of that length; `theirs` is only an address in the other process.
    refused(unsafe { libc::process_vm_readv(pid, &ours, 1, &theirs, 1, 0) } as libc::c_long)
}

fn refused(answer: libc::c_long) -> Option<Errno> {
    let error = || Errno::from_io_error(&std::io::Error::last_os_error());
    if answer < 0 { error() } else { None }
}

#[test]
#[allow(unsafe_code)]
fn shared_memory_and_queues_of_the_host_are_out_of_reach() {
    let key = 0x626f_0000 | (std::process::id() & 0xffff) as libc::key_t;
    let queue = format!("/bourn-sandbox-{}", std::process::id());
    let name = CString::new(queue.as_str()).expect("no zero byte");
    // SAFETY: the name is terminated; without attributes the queue gets the usual ones.
    let (segment, opened) = unsafe {
        let flags = libc::O_CREAT | libc::O_RDWR;
        let attributes = std::ptr::null_mut::<libc::mq_attr>();
        (
            libc::shmget(key, 4096, libc::IPC_CREAT | 0o666),
            libc::mq_open(name.as_ptr(), flags, 0o666 as libc::mode_t, attributes),
        )
    };
    assert!(segment >= 0, "{}", std::io::Error::last_os_error());
    let queues = opened >= 0 && has_queue(&queue);
    Bench::new().inside("escape::inside_shared_memory_is_out_of_reach", |execution| {
        give(execution, "KEY", key);
        give(execution, "SEGMENT", segment);
        give(execution, "QUEUE", &queue);
    });
    assert!(has_segment(key));
    // SAFETY: both were made above.
    unsafe {
        libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut());
        libc::mq_unlink(name.as_ptr());
    }
    if !queues {
        println!("not tested, because there are no message queues here");
    }
}

#[test]
#[ignore = "runs in a sandbox"]
#[allow(unsafe_code)]
fn inside_shared_memory_is_out_of_reach() {
    assert!(!has_segment(given("KEY")), "it is found by its key");
    // SAFETY: it is attached nowhere in particular; should that go well, nobody looks at it.
    let attached = unsafe { libc::shmat(given("SEGMENT"), std::ptr::null(), libc::SHM_RDONLY) };
    assert_eq!(attached as isize, -1, "it is found by its number");
    assert!(!has_queue(&given::<String>("QUEUE")), "the queue is found");
}

#[allow(unsafe_code)]
fn has_segment(key: libc::key_t) -> bool {
    // SAFETY: plain numbers; nothing is made.
    unsafe { libc::shmget(key, 0, 0) >= 0 }
}

#[allow(unsafe_code)]
fn has_queue(name: &str) -> bool {
    let name = CString::new(name).expect("no zero byte");
    // SAFETY: the name is terminated; nothing is made.
    let queue = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY) };
    // SAFETY: opened just now.
    queue >= 0 && unsafe { libc::mq_close(queue) } == 0
}

#[test]
fn open_files_of_the_host_are_not_passed_on() {
    let secret = tempfile::NamedTempFile::new_in(&*DIRECTORY).expect("a file");
    let open = File::open(secret.path()).expect("the file");
    // Whoever starts bourn may leave it files that a program would inherit. The executor is made after that: its
    // spawner has them too.
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).expect("no longer closed on exec");
    assert!(open.as_raw_fd() > 2);
    let bench = Bench::new();
    // Asked one by one, because who lists a directory has that open too.
    let lines = bench.lines("for fd in $(seq 0 999); do readlink /proc/$$/fd/$fd && echo $fd || true; done");
    let numbers: Vec<&String> = lines.iter().skip(1).step_by(2).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{lines:?}");
    let secret = secret.path().display().to_string();
    assert!(lines.iter().all(|line| !line.contains(&secret)), "{lines:?}");
}

/// A handle by which the kernel finds a file, whatever its path.
#[repr(C)]
#[derive(Clone, Copy)]
struct Handle {
    bytes: u32,
    kind: i32,
    content: [u8; 128],
}

#[allow(unsafe_code)]
fn handle_of(path: &Path) -> Option<Handle> {
    let mut handle = Handle { bytes: 128, kind: 0, content: [0; 128] };
    let mut mount = 0;
    let path = CString::new(path.to_str().expect("text")).expect("no zero byte");
    // SAFETY: the handle has the room that it tells, the path is terminated.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    (answer == 0).then_some(handle)
}

/// Opens what a handle stands for, on the file system of `beside`.
#[allow(unsafe_code)]
fn open_handle(mut handle: Handle, beside: &Path) -> Result<String, Errno> {
    let directory = File::open(beside).expect("a directory");
    // SAFETY: the handle is as the kernel has given it, or at worst one that means nothing.
    let opened = unsafe {
        let at = directory.as_raw_fd();
        libc::syscall(libc::SYS_open_by_handle_at, at, &raw mut handle, libc::O_RDONLY)
    };
    if let Some(error) = refused(opened) {
        return Err(error);
    }
    // SAFETY: it was opened just now, and nobody else has it.
    let mut file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(opened as i32) };
    let mut content = String::new();
    file.read_to_string(&mut content).expect("it can be read");
    Ok(content)
}

#[test]
fn handles_of_files_lead_nowhere() {
    let secret = tempfile::NamedTempFile::new_in(&*DIRECTORY).expect("a file");
    std::fs::write(secret.path(), "secret").expect("written");
    let Some(handle) = handle_of(secret.path()) else {
        return println!("not tested, because there are no handles of files here");
    };
    if rustix::process::geteuid().is_root() {
        // It leads somewhere from here, if whoever runs this has all of a superuser's privileges.
        let found = open_handle(handle, &DIRECTORY);
        assert!(matches!(found.as_deref(), Ok("secret") | Err(&Errno::PERM)), "{found:?}");
    }
    let bytes = &handle.content[..handle.bytes as usize];
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for user in [0, 1000] {
        Bench::new().inside("escape::inside_handles_lead_nowhere", |execution| {
            (execution.uid, execution.gid) = (user, user);
            give(execution, "KIND", handle.kind);
            give(execution, "HANDLE", &text);
        });
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_handles_lead_nowhere() {
    try_handle();
    if rustix::process::getuid().is_root() {
        return; // who is user 0 in here cannot become that once more
    }
    let status = Command::new("unshare")
        .args(["-Urm", "inside", "--exact", "escape::inside_twice_handles_lead_nowhere", "--ignored"])
        .status();
    assert!(status.expect("unshare runs").success());
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_twice_handles_lead_nowhere() {
    try_handle();
    // Nor where the whole file system is mounted once more, as far as that is possible.
    let again = rustix::mount::mount_bind("/out", "/tmp");
    assert!(again.is_ok(), "{again:?}");
    try_handle();
}

fn try_handle() {
    let text: String = given("HANDLE");
    let mut handle = Handle { bytes: (text.len() / 2) as u32, kind: given("KIND"), content: [0; 128] };
    for (at, byte) in handle.content.iter_mut().take(text.len() / 2).enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("two digits");
    }
    for beside in ["/out", "/work/here", "/bin", "/tmp", "/"] {
        let opened = open_handle(handle, Path::new(beside));
        assert!(opened.is_err(), "{beside}: {opened:?}");
    }
}

#[test]
fn namespaces_cannot_be_left() {
    for user in [0, 1000] {
        Bench::new().inside("escape::inside_namespaces_cannot_be_left", |execution| {
            (execution.uid, execution.gid) = (user, user);
        });
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_namespaces_cannot_be_left() {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        // That of the first process is our own; the kernel does not even say which it is.
        assert!(join(&format!("/proc/1/ns/{kind}")).is_err(), "{kind}");
        // To enter one's own takes a capability as well.
        assert!(join(&format!("/proc/self/ns/{kind}")).is_err(), "{kind}");
    }
    // The user namespace of the host is the parent of ours.
    let own = File::open("/proc/self/ns/user").expect("our own");
    for question in [0xb701, 0xb702] {
        assert_eq!(related(&own, question).err(), Some(Errno::PERM), "{question:x}");
    }
    assert_eq!(rustix::process::pivot_root("/work/here", "/work/here"), Err(Errno::PERM));
    assert_eq!(rustix::mount::mount_move("/proc", "/tmp"), Err(Errno::PERM));
    let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, "/", flags);
    assert_eq!(tree.err(), Some(Errno::PERM));
}

fn join(path: &str) -> Result<(), Errno> {
    let file = File::open(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), None)
}

/// The namespace that owns one, or in which it is.
#[allow(unsafe_code)]
fn related(namespace: &File, question: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: these two questions take no argument and answer with a descriptor.
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), question as _) };
    if answer >= 0 {
        // SAFETY: it was opened just now.
        unsafe { libc::close(answer) };
        return Ok(());
    }
    Err(refused(-1).unwrap_or(Errno::IO))
}

/// The groups of processes of the host can be seen, and some of them changed, by whoever has a namespace of them.
#[test]
fn groups_of_processes_of_the_host_cannot_be_had() {
    for uid in [0, 1000] {
        Bench::new().inside("escape::inside_groups_cannot_be_had", |execution| execution.uid = uid);
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_groups_cannot_be_had() {
    assert_eq!(mount_groups(), vec![Errno::PERM; 2], "without capabilities");
    for namespaces in ["-Um", "-UmC"] {
        // Nobody in particular in there, so the next program would have no capabilities.
        let arguments = [
            "--keep-caps",
            namespaces,
            "inside",
            "--exact",
            "escape::inside_twice_groups_cannot_be_had",
            "--ignored",
        ];
        let output = Command::new("unshare").args(arguments).output().expect("unshare runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_refused = !output.status.success() && said.contains("No space left");
        assert!(is_refused || printed.contains("1 passed"), "{namespaces}: {printed}{said}");
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_twice_groups_cannot_be_had() {
    assert_eq!(mount_groups(), vec![Errno::PERM; 2]);
}

/// Tries to mount both versions; those that went wrong.
fn mount_groups() -> Vec<Errno> {
    let none = rustix::mount::MountFlags::empty();
    let tries = [("cgroup2", None), ("cgroup", Some(c"cpu"))];
    tries
        .iter()
        .filter_map(|(kind, data)| rustix::mount::mount("x", "/tmp", *kind, none, *data).err())
        .collect()
}
