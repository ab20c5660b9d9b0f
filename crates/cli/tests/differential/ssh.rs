//! Repositories over SSH, from OpenSSH's own server: the same refs and trees by both, and what is said where the server
//! or the user is not known to the other.

use crate::Both;
use crate::mirror::git;
use crate::sources::{project, same_in};
use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The server's program, and where it finds libraries that are not installed; it wants to be started by its whole name.
/// `None`, loudly, where it is not there.
fn program() -> Option<(PathBuf, OsString)> {
    let path = std::env::var_os("BOURN_SSHD").map_or_else(|| PathBuf::from("/usr/sbin/sshd"), PathBuf::from);
    if !path.exists() {
        eprintln!("SKIPPED: there is no {} (`cargo xtask test` brings one)", path.display());
        return None;
    }
    Some((path, std::env::var_os("BOURN_SSHD_LIBRARIES").unwrap_or_default()))
}

/// A server of SSH on loopback that lets in whoever runs this test, with one key. The port is open before anybody asks,
/// and each connection has a process of its own.
struct SshServer {
    directory: tempfile::TempDir,
    port: u16,
    stop: Arc<AtomicBool>,
    children: Arc<Mutex<Vec<Child>>>,
    thread: Option<JoinHandle<()>>,
}

impl SshServer {
    fn start() -> Option<SshServer> {
        let program = program()?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = directory.path();
        for name in ["host", "other-host", "key", "other-key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(place.join(name));
            assert!(keygen.status().expect("ssh-keygen").success());
        }
        std::fs::copy(place.join("key.pub"), place.join("authorized")).expect("a key");
        let path = std::env::var("PATH").expect("a PATH");
        let at = place.display();
        let mut configuration = format!(
            "HostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AcceptEnv GIT_PROTOCOL\nSetEnv PATH={path}\n"
        );
        // From release 9.8 on it starts programs of its own, which are looked for where they would be installed.
        for (name, option) in [("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")] {
            let part = program.0.with_file_name("../lib/openssh").join(name);
            if part.exists() {
                configuration.push_str(&format!("{option} {}\n", part.display()));
            }
        }
        std::fs::write(place.join("sshd_config"), configuration).expect("a file");
        // What a machine that starts the server as a service makes: only root's server wants it, and only root can.
        let _ = std::fs::create_dir_all("/run/sshd");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (stop, children) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Child>>>::default());
        let (stopped, started, configuration) = (stop.clone(), children.clone(), place.join("sshd_config"));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                started.lock().expect("no panic").push(answer(&program, stream, &configuration));
            }
        });
        Some(SshServer { directory, port, stop, children, thread: Some(thread) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, directory: &Path) -> String {
        let user = Command::new("id").arg("-un").output().expect("id").stdout;
        let user = String::from_utf8_lossy(&user).trim().to_owned();
        format!("ssh://{user}@127.0.0.1:{}{}/", self.port, directory.display())
    }

    /// Lets a user know one key of a host and have one of their own.
    fn introduce(&self, both: &mut Both, host: &str, key: &str) {
        let home = both.bourn.home();
        let known = std::fs::read_to_string(self.path(&format!("{host}.pub"))).expect("a key");
        std::fs::write(home.join("known"), format!("[127.0.0.1]:{} {known}", self.port)).expect("a file");
        // The client looks for the home of the user who runs it, whatever the environment says, and git by way of
        // dulwich is told of no other client.
        let bin = home.join("bin");
        std::fs::create_dir_all(&bin).expect("a directory");
        let client = String::from_utf8(
            Command::new("sh").args(["-c", "command -v ssh"]).output().expect("a shell").stdout,
        );
        let script = format!(
            "#!/bin/sh\nexec {} -F /dev/null -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null \
             -o IdentitiesOnly=yes -o IdentityAgent=none -o IdentityFile={} \"$@\"\n",
            client.expect("a path").trim(),
            home.join("known").display(),
            self.path(key).display()
        );
        bourn_testkit::fixture::program(&bin.join("ssh"), &script);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a PATH"));
        both.bourn.set("PATH", &path);
    }
}

/// Has one connection served as `inetd` would.
fn answer((program, libraries): &(PathBuf, OsString), stream: TcpStream, configuration: &Path) -> Child {
    let input = OwnedFd::from(stream.try_clone().expect("a socket"));
    let mut sshd = Command::new(program);
    if !libraries.is_empty() {
        sshd.env("LD_LIBRARY_PATH", libraries);
    }
    sshd.arg("-i").arg("-f").arg(configuration).stdin(input).stdout(OwnedFd::from(stream));
    sshd.stderr(Stdio::null()).spawn().expect("a server of SSH")
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().map(JoinHandle::join);
        for child in self.children.lock().iter_mut().flat_map(|children| children.iter_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Repositories `one`, with a tag and a submodule `two`.
fn repositories(directory: &Path, url: &str) {
    for name in ["two", "one"] {
        let repository = directory.join(name);
        std::fs::create_dir_all(repository.join("d")).expect("a directory");
        std::fs::write(repository.join("d/file"), name).expect("a file");
        git(&repository, &["init", "-q"]);
        git(&repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-q", "-m", "first"]);
    }
    let one = directory.join("one");
    git(&one, &["tag", "-a", "-m", "A release", "v1.0"]);
    let modules = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {url}two\n");
    std::fs::write(one.join(".gitmodules"), modules).expect("a file");
    let inner = git(&directory.join("two"), &["rev-parse", "HEAD"]);
    git(&one, &["add", "."]);
    git(&one, &["update-index", "--add", "--cacheinfo", &format!("160000,{inner},sub")]);
    git(&one, &["commit", "-q", "-m", "with a submodule"]);
}

const KINDS: [(&str, &str, &str); 3] = [
    ("buildstream-plugins", "git", "track: main\n  ref-format: git-describe"),
    ("buildstream-plugins-community", "git_repo", "track: main\n  ref-format: git-describe"),
    ("buildstream-plugins-community", "git_tag", "track: main\n  submodules: {sub: {url: 'up:two'}}"),
];

/// What both tests work with: the repositories, their server, and a project for each kind.
struct Scene {
    _upstream: tempfile::TempDir,
    server: SshServer,
    projects: Vec<(&'static str, String)>,
}

impl Scene {
    fn new() -> Option<Scene> {
        let upstream = tempfile::tempdir().expect("a temporary directory");
        let server = SshServer::start()?;
        let url = server.url(upstream.path());
        repositories(upstream.path(), &url);
        let text = |(package, kind, options): (&str, &'static str, &str)| {
            let source = format!("- kind: {kind}\n  url: up:one\n  {options}\n");
            (kind, project(package, kind, &url, &source))
        };
        Some(Scene { _upstream: upstream, server, projects: KINDS.map(text).into() })
    }
}

#[test]
fn repositories_over_ssh() {
    let Some(Scene { server, projects, _upstream }) = Scene::new() else { return };
    for (kind, text) in projects {
        let (Some(mut ours), Some(mut theirs)) = (Both::new(&text), Both::new(&text)) else { return };
        server.introduce(&mut ours, "host", "key");
        server.introduce(&mut theirs, "host", "key");
        let (tree, element) = same_in(&ours, &theirs, true);
        assert!(element.contains("v1.0-1-g") && tree.contains("./it/d/file f"), "{element}{tree}");
        assert_eq!(tree.contains("./it/sub/d/file f"), kind != "git_repo", "{kind}: {tree}");
    }
}

/// Nobody is asked anything; what is wrong is said, with what helps.
#[test]
fn strangers_over_ssh() {
    let Some(Scene { server, projects, _upstream }) = Scene::new() else { return };
    for (kind, text) in projects {
        for (host, key, words) in [
            ("other-host", "key", ["Host key verification failed", "known_hosts"]),
            ("host", "other-key", ["Permission denied (publickey)", "ssh-add"]),
        ] {
            let Some(mut both) = Both::new(&text) else { return };
            server.introduce(&mut both, host, key);
            let before = server.children.lock().expect("no panic").len();
            let said = both.bourn(&["source", "track", "it.bst"]).failure(255, words[0]).stderr;
            assert!(said.contains(words[1]), "{kind}: {said}");
            // It is not tried again: that would not help, and a server may close its doors.
            let tried = server.children.lock().expect("no panic").len() - before;
            assert_eq!(tried, 1, "{kind}: {said}");
            both.bourn.configure("scheduler:\n  network-retries: 0\n");
            both.bst(&["source", "track", "it.bst"]).failure(255, "");
        }
    }
}
