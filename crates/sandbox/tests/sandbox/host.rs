//! Host files and the network, for those who ask for them.

use crate::bench::{Bench, DIRECTORY};
use bourn_reapi::services::{ErrorKind, HostMount};
use std::collections::BTreeMap;
use std::path::Path;

fn mount(host: &Path, path: &str, writable: bool) -> HostMount {
    HostMount { host: host.to_owned(), path: path.into(), writable }
}

#[test]
fn host_files_appear_where_they_are_wanted() {
    let bench = Bench::new();
    let host = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    std::fs::create_dir(host.path().join("sub")).expect("a directory");
    std::fs::write(host.path().join("file"), "from the host\n").expect("a file");
    std::fs::write(host.path().join("sub/inner"), "inner\n").expect("a file");
    let file = host.path().join("file");
    for path in [
        "/etc/file",
        "/file",
        "/new/deep/file",
        "/work/here/file",
        "/out/sub/file",
        "/bin/ls",
        "/tmp/file",
        "/tmp/new/deep/file",
        "/dev/file",
        "/dev/shm/file",
        "/dev/shm/new/deep/file",
        "/dev/new/file",
    ] {
        let mut execution =
            bench.execution(&format!("cat {path}; echo x 2> /dev/null > {path} || echo kept"));
        execution.mounts = vec![mount(&file, path, false)];
        let (_, log) = bench.execute(&execution).expect("the sandbox works");
        assert_eq!(log, "from the host\nkept\n", "{path}");
    }
    let mut execution =
        bench.execution("cat /data/inner; echo back > /data/out; echo no > /fixed/out || echo kept");
    execution.mounts = vec![
        mount(&host.path().join("sub"), "/data", true),
        mount(&host.path().join("sub"), "/tmp/a/data", true),
        mount(&host.path().join("sub"), "/fixed", false),
    ];
    let (_, log) = bench.execute(&execution).expect("the sandbox works");
    assert!(log.starts_with("inner\n") && log.ends_with("kept\n"), "{log}");
    assert_eq!(std::fs::read_to_string(host.path().join("sub/out")).expect("written"), "back\n");
}

/// The links in `/dev` lead to what the first process has open.
#[test]
fn host_files_go_through_no_links_of_devices() {
    let bench = Bench::new();
    let host = tempfile::tempdir_in(&*DIRECTORY).expect("a directory");
    std::fs::write(host.path().join("file"), "from the host\n").expect("a file");
    for path in (0..16).map(|number| format!("/dev/fd/{number}/new")).chain(["/dev/core/new".to_owned()]) {
        let mut execution = bench.execution("true");
        execution.mounts = vec![mount(&host.path().join("file"), &path, false)];
        let error = bench.execute(&execution).expect_err("it leads elsewhere");
        assert!(error.kind == ErrorKind::Sandbox && error.message.contains(&path), "{error:?}");
    }
    assert_eq!(std::fs::read_dir(host.path()).expect("a directory").count(), 1);
}

#[test]
fn a_missing_host_file_is_named() {
    let bench = Bench::new();
    let mut execution = bench.execution("true");
    execution.mounts = vec![mount(Path::new("/no/such/file"), "/x", false)];
    let error = bench.execute(&execution).expect_err("it is not there");
    assert_eq!(error.kind, ErrorKind::Sandbox);
    assert!(error.message.contains("/no/such/file") && error.hint.is_some(), "{error:?}");
}

#[test]
fn set_user_id_files_of_the_host_have_no_effect() {
    let bench = Bench::new();
    let mut execution = bench.execution("cat /proc/self/mounts | grep ' /data '");
    execution.mounts = vec![mount(&DIRECTORY, "/data", true)];
    assert!(bench.execute(&execution).expect("the sandbox works").1.contains("nosuid"));
}

#[test]
fn the_network_is_there_only_when_asked_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port().to_string();
    let bench = Bench::new();
    let variable =
        |name: &str, value: &str| bourn_reapi::EnvironmentVariable { name: name.into(), value: value.into() };
    for (network, expected) in [(false, "no"), (true, "yes")] {
        bench.inside("host::inside_a_port_is_reached", |execution| {
            execution.network = network;
            execution
                .command
                .environment_variables
                .extend([variable("PORT", &port), variable("EXPECTED", expected)]);
        });
    }
}

#[test]
#[ignore = "runs in a sandbox"]
fn inside_a_port_is_reached() {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("given by the test");
    let reached = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert_eq!(if reached { "yes" } else { "no" }, std::env::var("EXPECTED").expect("given by the test"));
    // Its own loopback works in any case.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of its own");
    std::net::TcpStream::connect(listener.local_addr().expect("its address")).expect("reached");
}

#[test]
fn what_is_mounted_within_a_directory_of_the_host_is_read_only_too() {
    let bench = Bench::new();
    let mut execution = bench.execution("grep ' /shown[/ ]' /proc/self/mountinfo");
    // Has more mounted in it on most machines.
    execution.mounts = vec![mount(Path::new("/dev"), "/shown", false)];
    let (executed, log) = bench.execute(&execution).expect("the sandbox works");
    assert_eq!(executed.exit_code, 0, "{log}");
    // Of several at one place only the last is in reach.
    let at = |line: &str| line.split(' ').nth(4).expect("a path").to_owned();
    let reachable: BTreeMap<String, &str> = log.lines().map(|line| (at(line), line)).collect();
    for line in reachable.values() {
        let options: Vec<&str> = line.split(' ').nth(5).expect("options").split(',').collect();
        assert!(options.contains(&"ro") && options.contains(&"nosuid"), "{line}");
    }
}
