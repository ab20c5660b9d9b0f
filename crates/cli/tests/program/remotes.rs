//! Servers that cannot be used.

use crate::env;
use bourn_testkit::TestEnv;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROJECT: &str = "
=== project.conf
name: lonely
min-version: 2.0
=== hello.bst
kind: import
sources:
- kind: local
  path: files
=== files/greeting
hello
";

#[test]
fn a_server_that_is_gone_costs_one_warning() {
    let env = env();
    env.files(PROJECT);
    // Nobody listens on the port of the first service that there was.
    let remote = ["--artifact-remote", "http://127.0.0.1:1", "--source-remote", "http://127.0.0.1:1"];
    let built = env.run(&[&["build"], &remote[..], &["hello.bst"]].concat()).success();
    assert_eq!(built.stderr.matches("WARNING").count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("Failed to initialize remote http://127.0.0.1:1"), "{}", built.stderr);
    for command in ["pull", "push"] {
        let words = ["artifact", command, "--artifact-remote", "http://127.0.0.1:1", "hello.bst"];
        env.run(&words).failure(255, "No artifact caches available");
    }
    let words = ["source", "push", "--source-remote", "http://127.0.0.1:1", "hello.bst"];
    env.run(&words).failure(255, "No source caches available");
}

#[test]
fn a_storage_service_that_is_gone_costs_one_warning() {
    let env = env();
    env.files(PROJECT);
    env.configure("cache: {reserved-disk-space: 0, storage-service: {url: 'http://127.0.0.1:1'}}\n");
    let built = env.run(&["build", "hello.bst"]).success();
    assert_eq!(built.stderr.matches("WARNING").count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("The storage service cannot be used"), "{}", built.stderr);
}

#[test]
fn a_url_that_is_none_is_told_of() {
    let env = env();
    env.files(PROJECT);
    let words = ["artifact", "pull", "--artifact-remote", "ftp://x", "hello.bst"];
    env.run(&words).failure(255, "begins with http://");
}

/// A server that takes connections and says nothing.
struct Silent {
    listener: TcpListener,
    url: String,
}

impl Silent {
    fn new() -> Silent {
        // Not the address of other tests: a program of theirs may still ask for a server that was at this port.
        let listener = TcpListener::bind("127.0.0.2:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Silent { listener, url }
    }

    /// Waits until this program connects.
    fn taken(&self, child: &mut Child) -> TcpStream {
        let begin = Instant::now();
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                return stream;
            }
            if child.try_wait().expect("a child").is_some() || begin.elapsed() > PATIENCE {
                let _ = child.kill();
                let mut said = String::new();
                let _ = child.stderr.take().expect("a pipe").read_to_string(&mut said);
                panic!("it does not connect: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// After this a test has failed; nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn whoever_waits_for_a_server_can_be_interrupted() {
    let env = env();
    env.files(PROJECT);
    env.files(
        "=== part.bst\nkind: junction\nsources:\n- kind: tar\n  url: file:///nowhere.tar\n  ref: '00'\n",
    );
    env.files("=== far.bst\nkind: stack\ndepends: ['part.bst:x.bst']\n");
    let caches = |url: &str| {
        let server = format!("{{url: '{url}', push: true, connection-config: {{request-timeout: 100000}}}}");
        format!("artifacts: {{servers: [{server}]}}\nsource-caches: {{servers: [{server}]}}\n")
    };
    let storage = |url: &str| {
        format!(
            "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{url}', connection-config: {{request-timeout: 100000}}}}}}\n"
        )
    };
    let cases: [(&dyn Fn(&str) -> String, &[&str]); 6] = [
        (&caches, &["build", "hello.bst"]),
        (&caches, &["artifact", "pull", "hello.bst"]),
        (&caches, &["artifact", "show", "hello.bst"]),
        (&caches, &["source", "push", "hello.bst"]),
        (&caches, &["show", "far.bst"]),
        (&storage, &["build", "hello.bst"]),
    ];
    for (configuration, words) in cases {
        let silent = Silent::new();
        env.configure(&configuration(&silent.url));
        check_interrupted(&env, &silent, words);
    }
}

/// Interrupts the program when it has come to a server that says nothing.
#[track_caller]
fn check_interrupted(env: &TestEnv, silent: &Silent, words: &[&str]) {
    let bourn = env.command(words);
    // Whoever starts the tests in the background of a script has the interruption ignored by all that they start.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(bourn.get_program()).args(bourn.get_args());
    command.env_clear().envs(bourn.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(env.project());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("bourn");
    let _connection = silent.taken(&mut child);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{words:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(!status.success(), "{words:?}: {status}");
}

#[test]
fn whoever_waits_for_a_file_can_be_interrupted() {
    let env = env();
    for scheme in ["http", "ftp"] {
        let silent = Silent::new();
        let url = silent.url.replace("http", scheme);
        let source = format!("kind: import\nsources:\n- kind: remote\n  url: {url}/x\n");
        let reference = "0".repeat(64);
        env.files(&format!(
            "=== project.conf\nname: far\nmin-version: 2.0\n=== track.bst\n{source}=== fetch.bst\n{source}  ref: {reference}\n"
        ));
        check_interrupted(&env, &silent, &["source", "track", "track.bst"]);
        check_interrupted(&env, &silent, &["source", "fetch", "fetch.bst"]);
    }
}
