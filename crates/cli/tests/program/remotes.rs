//! Servers that cannot be used.

use crate::env;
use bourn_testkit::TestEnv;
use bourn_testkit::running::{PATIENCE, ended, interruptible, send};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
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
    // What is here needs nobody else, however long he would think about it.
    let silent = Silent::new();
    env.configure(&format!(
        "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{}', connection-config: {{request-timeout: 100000}}}}}}\n",
        silent.url
    ));
    for words in [
        &["build", "hello.bst"][..],
        &["show", "hello.bst"],
        &["artifact", "checkout", "--directory", "out", "hello.bst"],
        &["source", "checkout", "--directory", "sources", "hello.bst"],
    ] {
        let ran = env.run(words).success();
        assert_eq!(ran.stderr.matches("WARNING").count(), 0, "{words:?}: {}", ran.stderr);
    }
}

/// A port to which nobody can connect, although somebody listens: all places in the queue are taken.
struct Full {
    url: String,
    _listener: std::os::fd::OwnedFd,
    _waiting: Vec<TcpStream>,
}

impl Full {
    fn new() -> Full {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 2], 0))).expect("a port");
        listen(&listener, 0).expect("a listener");
        let address = getsockname(&listener).expect("an address");
        let address = std::net::SocketAddr::try_from(address).expect("an address of the internet");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        Full { url: format!("http://{address}"), _listener: listener, _waiting: waiting }
    }
}

/// However a server is gone, it costs one warning, and everything is done without it.
#[test]
fn servers_that_are_gone_in_every_way() {
    let silent = Silent::new();
    let full = Full::new();
    let hanging_up = TcpListener::bind("127.0.0.2:0").expect("a port");
    let hung_up = format!("http://{}", hanging_up.local_addr().expect("an address"));
    std::thread::spawn(move || hanging_up.incoming().for_each(drop));
    let urls = [
        silent.url.clone(),
        silent.url.replace("http:", "https:"),
        full.url.clone(),
        full.url.replace("http:", "https:"),
        hung_up.clone(),
        hung_up.replace("http:", "https:"),
        "http://nowhere.invalid:1".to_owned(),
        "unix:/nowhere/socket".to_owned(),
        // Known at once, before anybody could need it.
        "ftp://nowhere:1".to_owned(),
        "https://nowhere.invalid:1".to_owned(),
    ];
    for (at, url) in urls.iter().enumerate() {
        let env = env();
        env.files(PROJECT);
        let auth = if at + 1 == urls.len() { ", auth: {server-cert: nowhere}" } else { "" };
        let server = format!("{{url: '{url}', push: true, connection-config: {{request-timeout: 1}}{auth}}}");
        env.configure(&format!(
            "artifacts: {{servers: [{server}]}}\nsource-caches: {{servers: [{server}]}}\n"
        ));
        let built = env.run(&["build", "hello.bst"]).success();
        assert_eq!(built.stderr.matches("WARNING").count(), 1, "{}", built.stderr);
        let expect = format!("Failed to initialize remote {url}: ");
        assert!(built.stderr.contains(&expect), "{}", built.stderr);
        env.run(&["artifact", "pull", "hello.bst"]).failure(255, "No artifact caches available");
        let shown = env.run(&["artifact", "show", "hello.bst"]).success();
        // It was built, and not only said that all went well.
        assert!(!shown.stdout.contains("not cached"), "{}", shown.stdout);
    }
}

/// Whoever has everything that is needed does not wait for servers that could have more.
#[test]
fn servers_that_are_not_needed_keep_nobody_waiting() {
    let env = env();
    env.files(PROJECT);
    env.run(&["build", "hello.bst"]).success();
    let silent = Silent::new();
    let server = format!("{{url: '{}', connection-config: {{request-timeout: 100000}}}}", silent.url);
    env.configure(&format!("artifacts: {{servers: [{server}]}}\nsource-caches: {{servers: [{server}]}}\n"));
    let commands: [&[&str]; 7] = [
        &["build", "hello.bst"],
        &["show", "hello.bst"],
        &["artifact", "show", "hello.bst"],
        &["artifact", "checkout", "--directory", "out", "hello.bst"],
        &["artifact", "log", "hello.bst"],
        &["source", "fetch", "hello.bst"],
        &["source", "checkout", "--directory", "sources", "hello.bst"],
    ];
    for words in commands {
        let ran = env.run(words).success();
        assert_eq!(ran.stderr.matches("WARNING").count(), 0, "{words:?}: {}", ran.stderr);
    }
}

#[test]
fn a_url_that_is_none_is_told_of() {
    let env = env();
    env.files(PROJECT);
    let words = ["artifact", "pull", "--artifact-remote", "ftp://x", "hello.bst"];
    env.run(&words).failure(255, "begins with http://");
}

/// What `doctor --remote` finds about servers.
fn surveyed(env: &TestEnv, status: i32) -> Vec<serde_json::Value> {
    let ran = env.run(&["doctor", "--remote", "--json"]);
    assert_eq!(ran.status, status, "{}{}", ran.stdout, ran.stderr);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    checks
        .into_iter()
        .filter(|check| ["server", "servers"].map(Into::into).contains(&check["check"]))
        .collect()
}

#[test]
fn doctor_asks_the_servers_of_the_project_and_of_the_user() {
    let env = env();
    assert_eq!(surveyed(&env, 0)[0]["found"], "none configured");
    env.files(&PROJECT.replace(
        "min-version: 2.0\n",
        "min-version: 2.0\nsource-caches: [{url: 'http://127.0.0.1:1', push: true, connection-config: {retry-limit: 0}}]\n",
    ));
    env.configure(
        "projects:\n  lonely:\n    artifacts:\n      servers:\n      - url: http://127.0.0.1:1\n        \
         push: true\n        connection-config: {retry-limit: 0}\n      - url: http://127.0.0.1:2\n        type: endpoint\n        \
         connection-config: {timeout: 5}\n",
    );
    let found = surveyed(&env, 255);
    assert_eq!(found.len(), 3, "{found:?}");
    // Nothing comes of this key, nor of a server of this type.
    for (at, part) in [(0, "`timeout`"), (1, "type endpoint")] {
        assert_eq!(found[at]["verdict"], "missing", "{found:?}");
        assert!(found[at]["found"].to_string().contains(part), "{found:?}");
    }
    // Named twice, asked once.
    assert_eq!(found[2]["verdict"], "broken", "{found:?}");
    let server = &found[2]["server"];
    assert_eq!(server["uses"], serde_json::json!(["artifacts of lonely", "sources of lonely"]));
    assert_eq!((&server["answers"], &server["push"]), (&false.into(), &true.into()));
    assert!(
        server["declared"].as_str().is_some_and(|place| place.contains("buildstream.conf [line 10")),
        "{server}"
    );
    let text = env.run(&["doctor", "--remote"]).stdout;
    assert!(text.contains("broken  server") && text.contains("Connection refused"), "{text}");
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
    type Configuration<'c> = &'c dyn Fn(&str) -> String;
    let cases: [(Configuration<'_>, &[&str]); 6] = [
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

/// Starts the program so that an interruption reaches it.
fn start(env: &TestEnv, words: &[&str]) -> Child {
    let mut command = interruptible(&env.command(words));
    command.current_dir(env.project());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("bourn")
}

/// Interrupts the program when it has come to a server that says nothing.
#[track_caller]
fn check_interrupted(env: &TestEnv, silent: &Silent, words: &[&str]) {
    let mut child = start(env, words);
    let _connection = silent.taken(&mut child);
    send(&child, "INT");
    let status = ended(&mut child, &format!("{words:?}"));
    assert!(!status.success(), "{words:?}: {status}");
}

/// Where nobody reads what the program says it cannot come to its end; whoever asks twice is not kept by that.
#[test]
fn a_second_interruption_waits_for_nothing() {
    let env = env();
    env.files(PROJECT);
    let names: Vec<String> = (0..60).map(|number| format!("other{number}.bst")).collect();
    for (number, name) in names.iter().enumerate() {
        let source = "kind: import\nsources:\n- kind: local\n  path: files\n";
        env.files(&format!("=== {name}\n{source}config: {{target: /{number}}}\n"));
    }
    let words: Vec<&str> = ["build"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut child = start(&env, &words);
    let mut said = child.stderr.take().expect("a pipe");
    let mut read = Vec::new();
    let read_on = |said: &mut ChildStderr, read: &mut Vec<u8>| {
        let mut part = [0; 512];
        let count = said.read(&mut part).expect("a pipe");
        assert_ne!(count, 0, "it has ended: {}", String::from_utf8_lossy(read));
        read.extend_from_slice(&part[..count]);
    };
    // It may have said more already than there is room for in a smaller pipe.
    while rustix::pipe::fcntl_setpipe_size(&said, 4096).is_err() {
        read_on(&mut said, &mut read);
    }
    // Jobs run, and will have more to say than there is room for.
    while !String::from_utf8_lossy(&read).contains("START   lonely/other") {
        read_on(&mut said, &mut read);
    }
    let unread = || rustix::io::ioctl_fionread(&said).expect("a pipe");
    let mut before = u64::MAX;
    while before != unread() {
        before = unread();
        std::thread::sleep(Duration::from_millis(500));
    }
    // Which of them is heard as the second depends on how busy the machine is.
    let begin = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it does not end");
        }
        send(&child, "INT");
        std::thread::sleep(Duration::from_millis(50));
    }
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
