//! What a command can do to its sandbox, tried: every one of these has to come to nothing.

use crate::bench::{Bench, DIRECTORY, eventually, is_running};
use bourn_reapi::Cas;
use bourn_reapi::services::{HostMount, ImportOptions};
use rustix::io::Errno;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

#[test]
fn files_of_the_host_are_out_of_reach() {
    let bench = Bench::new();
    let secret = tempfile::NamedTempFile::new_in(&*DIRECTORY).expect("a file");
    let path = secret.path().display();
    let script = format!(
        "for root in '' /proc/1/root /proc/self/root /proc/1/cwd /proc/$$/root/.. ../../../../../..; do \
         cat $root{path} 2> /dev/null && echo reached by $root; done; \
         ls /proc/1/root/ /proc/1/cwd/ 2> /dev/null && echo saw; for fd in 0 1 2 3 4 5 6 7 8; do readlink /proc/1/fd/$fd && echo saw $fd; done; cat /proc/1/environ 2>/dev/null && echo read; \
         echo done"
    );
    assert_eq!(bench.lines(&script), ["done"]);
    bench.inside("attack::inside_no_way_leads_out", |execution| {
        let path = path.to_string();
        let variable = bourn_reapi::EnvironmentVariable { name: "SECRET".into(), value: path };
        execution.command.environment_variables.push(variable);
        // As user 0, a command cannot make itself user 0 of an inner namespace: that takes a capability.
        (execution.uid, execution.gid) = (1000, 1000);
    });
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_no_way_leads_out() {
    let secret = PathBuf::from(std::env::var_os("SECRET").expect("given by the test"));
    // The old trick: leave a changed root by way of a directory outside of it. It takes a capability.
    assert_eq!(rustix::process::chroot("/tmp").err(), Some(Errno::PERM));
    for _ in 0..100 {
        std::env::set_current_dir("..").expect("the parent of / is /");
    }
    assert!(!Path::new(".").join(secret.strip_prefix("/").expect("absolute")).exists());
    // A namespace of its own gives capabilities in that, but nothing more to see: mounts that came from outside
    // cannot be taken apart, nor made writable.
    let status = std::process::Command::new("unshare")
        .args(["-Urm", "inside", "--exact", "attack::inside_twice_no_way_leads_out", "--ignored"])
        .status();
    assert!(status.expect("unshare runs").success());
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_twice_no_way_leads_out() {
    let secret = PathBuf::from(std::env::var_os("SECRET").expect("given by the test"));
    for place in ["/bin", "/proc", "/dev", "/tmp"] {
        let unmounted = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        assert_eq!(unmounted, Err(Errno::INVAL), "{place}");
    }
    let writable = rustix::mount::mount_remount("/bin", rustix::mount::MountFlags::BIND, "");
    assert_eq!(writable, Err(Errno::PERM));
    let moved = rustix::mount::mount_move("/proc", "/tmp");
    assert_eq!(moved, Err(Errno::INVAL));
    // Settings of the kernel are guarded by what is mounted upon them: a fresh `/proc` would have none of that. Whoever
    // is the superuser outside owns them.
    for kind in ["proc", "sysfs"] {
        let fresh = rustix::mount::mount(kind, "/tmp", kind, rustix::mount::MountFlags::empty(), None);
        assert!(matches!(fresh, Err(Errno::PERM | Errno::NODEV)), "{kind}: {fresh:?}");
    }
    // Where nothing had to be guarded, because whoever runs this may not write there, one of other processes can be had.
    let script = "mount -t proc x /tmp || exit 0; cd /tmp; for file in sys/kernel/core_pattern sys/kernel/modprobe \
                  sys/kernel/hostname sys/vm/drop_caches sysrq-trigger; do (: >> $file) && echo open: $file; done";
    let output = std::process::Command::new("unshare").args(["-pf", "sh", "-c", script]).output();
    let open = String::from_utf8_lossy(&output.expect("unshare runs").stdout).into_owned();
    assert!(!open.contains("open: "), "{open}");
    assert!(rustix::process::chroot("/tmp").is_ok());
    std::env::set_current_dir("../../../../..").expect("still inside");
    assert!(!Path::new(".").join(secret.strip_prefix("/").expect("absolute")).exists());
}

#[test]
fn settings_of_the_kernel_cannot_be_changed() {
    let script = "for file in kernel/core_pattern kernel/panic vm/drop_caches kernel/hostname user/max_user_namespaces; do \
                  (echo 1 > /proc/sys/$file) 2> /dev/null && echo changed $file; done; \
                  (echo h > /proc/sysrq-trigger) 2> /dev/null && echo pressed; \
                  for file in /proc/irq/*/smp_affinity /proc/mtrr /proc/acpi/wakeup; do \
                  (echo 1 > $file) 2> /dev/null && echo changed $file; done; echo done";
    assert_eq!(Bench::new().lines(script), ["done"]);
}

#[test]
fn processes_of_others_are_out_of_sight() {
    let bench = Bench::new();
    let word = format!("86399.{:06}", std::process::id());
    let (other, _) = (bench.execution(&format!("sleep {word}")), ());
    let cancel = bourn_reapi::services::Cancel::default();
    std::thread::scope(|scope| {
        let running = scope
            .spawn(|| bourn_reapi::Executor::execute(&bench.executor, &other, &mut std::io::sink(), &cancel));
        eventually("the other command runs", || is_running(&word));
        let lines = bench.lines(
            "ps -e -o pid=,comm= | grep -v ' ps$'; kill -9 -1 || true; echo alive; kill -9 1; echo alive",
        );
        cancel.cancel();
        assert!(running.join().expect("no panic").is_err());
        let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(words[..2], ["1", "init"]);
        assert_eq!(words[2..4], ["2", "sh"]);
        assert!(words.iter().filter(|word| **word == "alive").count() == 2, "{lines:?}");
        assert!(words.len() < 20, "{lines:?}");
    });
}

#[test]
fn the_first_process_is_out_of_reach() {
    Bench::new().inside("attack::inside_the_first_process_is_out_of_reach", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_the_first_process_is_out_of_reach() {
    for file in ["mem", "maps", "environ", "auxv", "stack", "syscall"] {
        let path = Path::new("/proc/1").join(file);
        let content = std::fs::read(&path).map(|content| content.len());
        assert!(!matches!(content, Ok(1..)), "{file}: {content:?}");
    }
    assert!(std::fs::OpenOptions::new().write(true).open("/proc/1/mem").is_err());
    let first = rustix::process::Pid::INIT;
    for signal in
        [rustix::process::Signal::KILL, rustix::process::Signal::STOP, rustix::process::Signal::SEGV]
    {
        let _ = rustix::process::kill_process(first, signal);
    }
    let pidfd =
        rustix::process::pidfd_open(first, rustix::process::PidfdFlags::empty()).expect("it can be watched");
    let stolen = rustix::process::pidfd_getfd(&pidfd, 3, rustix::process::PidfdGetfdFlags::empty());
    assert_eq!(stolen.err(), Some(Errno::PERM));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(Path::new("/proc/1").exists());
}

#[test]
fn sockets_without_a_file_are_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("bourn-sandbox-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
    let _listener = UnixListener::bind_addr(&address).expect("a socket");
    UnixStream::connect_addr(&address).expect("reached from here");
    Bench::new().inside("attack::inside_sockets_are_out_of_reach", |execution| {
        let variable = bourn_reapi::EnvironmentVariable { name: "NAME".into(), value: name };
        execution.command.environment_variables.push(variable);
    });
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_sockets_are_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    let name = std::env::var("NAME").expect("given by the test");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).expect("an address");
    assert!(UnixStream::connect_addr(&address).is_err());
    let outside = std::net::SocketAddr::from(([192, 0, 2, 1], 9));
    let error = std::net::TcpStream::connect(outside).expect_err("there is no network");
    assert_eq!(error.kind(), std::io::ErrorKind::NetworkUnreachable);
}

#[test]
fn shared_memory_is_not_shared_with_others() {
    let bench = Bench::new();
    bench.inside("attack::inside_shared_memory_is_empty", |_| {});
    bench.inside("attack::inside_shared_memory_is_empty", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_shared_memory_is_empty() {
    for list in ["shm", "msg", "sem"] {
        let lines = std::fs::read_to_string(Path::new("/proc/sysvipc").join(list)).expect("a list");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
    assert_eq!(std::fs::read_dir("/dev/shm").expect("a directory").count(), 0);
    assert_eq!(std::fs::read_dir("/tmp").expect("a directory").count(), 0);
    std::fs::write("/dev/shm/left", "x").expect("written");
    std::fs::write("/tmp/left", "x").expect("written");
}

#[test]
fn devices_and_mounts_cannot_be_made() {
    let script = "for device in 'b 8 0' 'c 1 1' 'c 5 1'; do mknod /out/d $device 2> /dev/null && echo made $device; done; \
                  mount -t tmpfs none /tmp 2> /dev/null && echo mounted; mount --bind / /tmp 2> /dev/null && echo bound; \
                  mount -o remount,rw /bin 2> /dev/null && echo remounted; echo done";
    assert_eq!(Bench::new().lines(script), ["done"]);
}

#[test]
fn set_user_id_files_do_not_work_anywhere() {
    let bench = Bench::new();
    let script = "cp /bin/id /out/id; chmod 6755 /out/id; cp /bin/id x; chmod 4755 x; cat /proc/self/mounts | grep ' / '; touch ready; \
                  while [ ! -e /shared/go ]; do sleep 0.01; done";
    let shared = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let mut execution = bench.execution(script);
    execution.mounts =
        vec![HostMount { host: shared.path().to_owned(), path: "/shared".into(), writable: false }];
    let (executed, log) = std::thread::scope(|scope| {
        let running = scope.spawn(|| bench.execute(&execution).expect("the sandbox works"));
        let slot = || {
            let slots =
                std::fs::read_dir(&bench.build).expect("readable").flatten().map(|entry| entry.path());
            slots.into_iter().find(|slot| slot.join("root/work/here/ready").exists())
        };
        eventually("the command got so far", || slot().is_some());
        let slot = slot().expect("just seen");
        // While it runs, the file is there, but nobody else gets to it.
        assert_eq!(slot.join("root/work/here/x").metadata().expect("the file").mode() & 0o7777, 0o4755);
        assert_eq!(slot.metadata().expect("the slot").permissions().mode() & 0o7777, 0o700);
        std::fs::write(shared.path().join("go"), "").expect("the sign to go on");
        running.join().expect("no panic")
    });
    assert!(log.contains("nosuid"), "{log}");
    // What is kept has lost the bits: in the store, in layers, in copies.
    let tree = bench.store.directory(&executed.outputs[0].expect("a tree")).expect("a directory");
    let object = bench.store.object_path(&tree.file("id").expect("the file").content().expect("a digest"));
    assert_eq!(object.metadata().expect("the object").mode() & 0o7000, 0);
    let copy = DIRECTORY.join("suid-copy");
    bench
        .store
        .export_tree(&executed.outputs[0].expect("a tree"), &copy, &Default::default())
        .expect("copied");
    assert_eq!(copy.join("id").metadata().expect("the copy").mode() & 0o7000, 0);
}

#[test]
fn objects_of_the_store_cannot_be_written_to() {
    let bench = Bench::new();
    let content = "precious\n";
    let files = [("etc/precious", content), ("work/here/precious", content)];
    let tree = bench.tools_with(&files);
    let digest = bourn_reapi::Digest::of(content.as_bytes());
    let intact = || {
        let object = bench.store.object_path(&digest);
        std::fs::read_to_string(object).is_ok_and(|found| found == content)
    };
    let script = "chmod 777 precious; echo bad >> precious; ln precious /out/linked; echo bad >> /out/linked; \
                  ln /etc/precious /out/stolen 2> /dev/null && echo bad >> /out/stolen; \
                  chmod 777 /etc/precious 2> /dev/null; echo bad >> /etc/precious; echo end";
    let mut execution = bench.execution(&format!("set +e; {script}"));
    execution.input_root = tree;
    bench.execute(&execution).expect("the sandbox works");
    assert!(intact());
    (execution.root_read_only, execution.writable) = (false, vec![]);
    bench.execute(&execution).expect("the sandbox works");
    assert!(intact());
    // The next command sees the layer as it was.
    let mut next = bench.execution("cat /etc/precious precious");
    next.input_root = tree;
    assert_eq!(bench.execute(&next).expect("the sandbox works").1, content.repeat(2));
    // An output that was moved into the store can no longer be changed by whoever made it.
    let (executed, _) =
        bench.execute(&bench.execution("echo one > /out/a; ln /out/a b; ln b c")).expect("works");
    let (second, log) = bench.execute(&bench.execution("ls -A; echo two > /out/a")).expect("works");
    assert_eq!((log.as_str(), bench.list(executed.outputs[0])), ("", vec!["a one".to_owned()]));
    assert_eq!(bench.list(second.outputs[0]), ["a two"]);
}

#[test]
fn a_tampered_skeleton_is_thrown_away() {
    let bench = Bench::new();
    for script in [
        "chmod u+w /; mkdir /planted; touch /planted/x",
        "chmod u+w /; touch /planted; chmod u-w /",
        "chmod u+w /work; mv /work/here /work/moved; chmod u-w /work",
        "chmod u+w /work; mkdir /work/planted; chmod u-w /work",
        "chmod u+w /; ln -s /bin /planted; chmod u-w /; touch -d @1321009871 /",
        "chmod 777 /work/here /; mkfifo /planted",
        "chmod 000 /work/here /work /",
    ] {
        let (executed, log) = bench.execute(&bench.execution(script)).expect("the sandbox works");
        assert_eq!(executed.exit_code, 0, "{script}: {log}");
        let clean = bench.lines("ls -A / /work; ls -ld / /work /work/here /out | cut -c1-10 || true");
        assert!(
            !clean.iter().any(|line| line.contains("planted") || line.contains("moved")),
            "{script}: {clean:?}"
        );
        assert_eq!(
            bench.lines("stat -c '%a %Y' / /work /work/here /out"),
            ["555 1321009871", "555 1321009871", "755 1321009871", "755 1321009871"],
            "{script}"
        );
    }
    assert_eq!(bench.outputs("chmod u+w /; mv /out /gone; mkdir /out; echo late > /out/f"), ["f late"]);
}

#[test]
fn attributes_do_not_stay() {
    let bench = Bench::new();
    bench.inside("attack::inside_attributes_are_set", |_| {});
    bench.inside("attack::inside_attributes_are_set", |_| {});
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_attributes_are_set() {
    use rustix::fs::{IFlags, XattrFlags};
    for path in ["/out", "/work/here"] {
        let mut list = [0; 100];
        assert!(matches!(rustix::fs::listxattr(path, &mut list), Ok(0) | Err(Errno::OPNOTSUPP)));
        let _ = rustix::fs::setxattr(path, "user.left", b"x", XattrFlags::empty());
        let directory = std::fs::File::open(path).expect("the directory");
        if let Ok(flags) = rustix::fs::ioctl_getflags(&directory) {
            assert!(!flags.contains(IFlags::NODUMP));
            let _ = rustix::fs::ioctl_setflags(&directory, flags | IFlags::NODUMP);
        }
    }
}

#[test]
fn links_that_lead_out_are_taken_as_they_are() {
    let bench = Bench::new();
    let secret = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    std::fs::write(secret.path().join("file"), "secret").expect("a file");
    let target = secret.path().display().to_string();
    // A link to the host's place, then the output directory itself as a link to it.
    assert_eq!(
        bench.outputs(&format!("ln -s {target} /out/link; ln -s {target}/file /out/file")),
        [format!("file -> {target}/file"), format!("link -> {target}")]
    );
    let swap = format!("chmod u+w /; rmdir /out; ln -s {target} /out");
    let (executed, _) = bench.execute(&bench.execution(&swap)).expect("the sandbox works");
    assert_eq!(executed.outputs, [None]);
    let within = format!("mkdir sub; rmdir sub; ln -s {target} sub");
    let mut execution = bench.execution(&within);
    execution.command.output_paths = vec!["sub".into(), "sub/file".into()];
    assert_eq!(bench.execute(&execution).expect("the sandbox works").0.outputs, [None, None]);
    assert_eq!(std::fs::read_to_string(secret.path().join("file")).expect("still there"), "secret");
}

#[test]
fn a_tree_with_links_in_the_places_of_mounts_leads_nowhere() {
    let bench = Bench::new();
    let tree = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let host = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    let all = bench.store.directory(&bench.tools).expect("the tools");
    bench
        .store
        .export_tree(
            &bench.tools,
            tree.path(),
            &bourn_reapi::services::ExportOptions { merge: true, ..Default::default() },
        )
        .expect("copied");
    for name in ["tmp", "proc", "dev", "work"] {
        std::os::unix::fs::symlink(host.path(), tree.path().join(name)).expect("a link");
    }
    let input = bench.store.import_tree(tree.path(), &ImportOptions::default()).expect("imported");
    let mut execution = bench.execution("echo ran");
    execution.input_root = input;
    // Whatever comes of it, nothing of it is seen on the host.
    let _ = bench.execute(&execution);
    execution.writable = vec!["/out".into()];
    execution.command.working_directory = "/".into();
    let _ = bench.execute(&execution);
    (execution.root_read_only, execution.writable) = (false, vec![]);
    let _ = bench.execute(&execution);
    assert_eq!(std::fs::read_dir(host.path()).expect("readable").count(), 0);
    assert!(!all.is_empty());
}

#[test]
fn keys_of_the_host_are_out_of_reach() {
    let Some(key) = add_key("bourn-sandbox-secret") else {
        return println!("SKIPPED: no key can be made here");
    };
    assert!(is_found("bourn-sandbox-secret") && is_readable(key), "they are in reach from here");
    Bench::new().inside("attack::inside_keys_are_out_of_reach", |execution| {
        let variable = bourn_reapi::EnvironmentVariable { name: "KEY".into(), value: key.to_string() };
        execution.command.environment_variables.push(variable);
    });
    assert!(is_readable(key));
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_keys_are_out_of_reach() {
    let key = std::env::var("KEY").expect("given by the test").parse().expect("a number");
    assert!(!is_found("bourn-sandbox-secret"), "it is found by name");
    assert!(!is_readable(key), "it is read by number");
}

/// Puts a key into the session keyring of this thread, as `keyctl add user NAME` does.
#[allow(unsafe_code)]
fn add_key(name: &str) -> Option<libc::c_long> {
    const SESSION: i32 = -3;
    let name = std::ffi::CString::new(name).expect("no zero byte");
    // SAFETY: both texts are terminated, the payload has the length that is told.
    let key = unsafe {
        libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), c"x".as_ptr(), 1usize, SESSION)
    };
    (key > 0).then_some(key)
}

/// Whether a key of that name is found in the keyrings of this process.
#[allow(unsafe_code)]
fn is_found(name: &str) -> bool {
    let name = std::ffi::CString::new(name).expect("no zero byte");
    // SAFETY: the texts are terminated; nothing is called upon to make the key, and it is linked nowhere.
    unsafe { libc::syscall(libc::SYS_request_key, c"user".as_ptr(), name.as_ptr(), 0usize, 0) > 0 }
}

/// Whether the content of a key can be read.
#[allow(unsafe_code)]
fn is_readable(key: libc::c_long) -> bool {
    const READ: i32 = 11;
    let mut content = [0_u8; 16];
    // SAFETY: the buffer has the length that is told.
    unsafe { libc::syscall(libc::SYS_keyctl, READ, key, content.as_mut_ptr(), content.len()) >= 0 }
}
