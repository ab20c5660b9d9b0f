//! Figures of remote caches: the reference's own server on this machine, as far away as a delay makes it.

use crate::project::{Project, Side};
use crate::store::{LARGE_TREE, large_tree};
use crate::timing::{Processors, Row, Timed, timed};
use crate::{Bench, Measured};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The time that an answer takes at least, there and back.
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Elements of GNOME OS.
const ELEMENTS: usize = 1_321;

/// Artifacts that are pulled one by one.
const ARTIFACTS: usize = 200;

/// What it takes to find out which of many elements a remote cache has, and to pull many small artifacts.
pub(crate) fn far(bench: &Bench) -> Measured {
    let mut rows = Vec::new();
    let project = Project::new(bench, "remote-state", "")?;
    write_imports(&project, ELEMENTS)?;
    let server = CacheServer::start(bench, &project.directory.with_file_name("server"))?;
    let far = delayed(server.port)?;
    for side in [Side::Bourn, Side::Bst] {
        project.configure(side, &server_configuration(far, false))?;
    }
    let show = ["artifact", "show", "--deps", "all", "all.bst"];
    rows.push(beside(
        &format!("remote state of {ELEMENTS} elements at {} ms", ROUND_TRIP.as_millis()),
        || timed(&mut project.call(Side::Bourn, &show)),
        || timed(&mut project.call(Side::Bst, &show)),
    )?);
    drop(server);

    let project = Project::new(bench, "remote-pull", "")?;
    write_imports(&project, ARTIFACTS)?;
    let server = CacheServer::start(bench, &project.directory.with_file_name("server"))?;
    project.configure(Side::Bourn, &server_configuration(server.port, true))?;
    timed(&mut project.call(Side::Bourn, &["build", "all.bst"]))?;
    let far = delayed(server.port)?;
    for side in [Side::Bourn, Side::Bst] {
        project.set_aside(side)?;
        project.configure(side, &server_configuration(far, false))?;
    }
    let pull = ["artifact", "pull", "--deps", "all", "all.bst"];
    rows.push(beside(
        &format!("pull of {ARTIFACTS} small artifacts at {} ms", ROUND_TRIP.as_millis()),
        || timed(&mut project.call(Side::Bourn, &pull)),
        || timed(&mut project.call(Side::Bst, &pull)),
    )?);
    let mut servers = Vec::new();
    for (side, directory) in [(Side::Bourn, "server-bourn"), (Side::Bst, "server-bst")] {
        let server = CacheServer::start(bench, &project.directory.with_file_name(directory))?;
        project.configure(side, &server_configuration(delayed(server.port)?, true))?;
        servers.push(server);
    }
    let push = ["artifact", "push", "--deps", "all", "all.bst"];
    for what in ["push", "push with nothing to send"] {
        rows.push(beside(
            &format!("{what} of {ARTIFACTS} small artifacts at {} ms", ROUND_TRIP.as_millis()),
            || timed(&mut project.call(Side::Bourn, &push)),
            || timed(&mut project.call(Side::Bst, &push)),
        )?);
    }
    Ok(rows)
}

/// The artifact of a large tree there and back, with a server for each side.
///
/// It is pulled by its name: of an element whose sources are in the project, the reference takes every file that it
/// needs from them to compute the key, and next to nothing comes from the server. That the bytes did come is seen from
/// what the server read and wrote.
///
/// Client and server share the machine, so what the server takes for itself bounds what a client can reach: however
/// little that client does, the server's time divided by the number of processors is left. Hence the further rows.
pub(crate) fn large(bench: &Bench) -> Measured {
    let project = Project::new(bench, "remote-large", "")?;
    large_tree(&project.directory.join("files"))?;
    project.write("elements/large.bst", "kind: import\nsources:\n- kind: local\n  path: files\n")?;
    let name = artifact_name(&project)?;
    let mut times = Vec::new();
    for side in [Side::Bourn, Side::Bst] {
        let directory = if side == Side::Bourn { "server-bourn" } else { "server-bst" };
        let server = CacheServer::start(bench, &project.directory.with_file_name(directory))?;
        timed(&mut project.call(side, &["build", "large.bst"]))?;
        project.configure(side, &server_configuration(server.port, true))?;
        let push =
            server.moved("wchar", || timed(&mut project.call(side, &["artifact", "push", "large.bst"])))?;
        project.set_aside(side)?;
        let pull = server.moved("rchar", || timed(&mut project.call(side, &["artifact", "pull", &name])))?;
        times.push((push, pull));
        drop(server);
    }
    // Only now: a file system on which many files were just deleted takes long to make new ones.
    for name in ["server-bourn", "server-bst", "bourn", "bst"] {
        let _ = std::fs::remove_dir_all(project.directory.with_file_name(name));
    }
    let _ = std::fs::remove_dir_all(&project.directory);
    match times.as_slice() {
        [(push, pull), (peer_push, peer_pull)] => {
            Ok([push.beside(peer_push, "push"), pull.beside(peer_pull, "pull")].concat())
        }
        _ => Err("one side was not timed".to_owned()),
    }
}

/// What it took to move the large tree.
struct Moved {
    elapsed: Duration,
    /// Time of processors that the program took, and all that it started.
    client: Duration,
    /// The same of the server.
    server: Duration,
}

impl Moved {
    fn beside(&self, peer: &Moved, what: &str) -> Vec<Row> {
        let row = |more: &str, bourn, peer| Row {
            what: format!("2.3 GB in 105,320 files: {what}{more}"),
            bourn: Timed(vec![bourn]),
            peer: Timed(vec![peer]),
            peer_name: "bst",
        };
        vec![
            row("", self.elapsed, peer.elapsed),
            row(", CPU of the client", self.client, peer.client),
            row(", CPU of the server", self.server, peer.server),
        ]
    }
}

/// What the artifact of the large tree is called.
fn artifact_name(project: &Project<'_>) -> Result<String, String> {
    let words = ["show", "--deps", "none", "--format", "bench/large/%{full-key}", "large.bst"];
    let shown = project.call(Side::Bourn, &words).output().map_err(|error| format!("show: {error}"))?;
    match shown.status.success() {
        true => Ok(String::from_utf8_lossy(&shown.stdout).trim().to_owned()),
        false => Err(format!("show: {}", String::from_utf8_lossy(&shown.stderr))),
    }
}

/// One run of each side: nothing here varies by as much as it takes.
fn beside(
    what: &str,
    bourn: impl FnOnce() -> Result<Duration, String>,
    bst: impl FnOnce() -> Result<Duration, String>,
) -> Result<Row, String> {
    Ok(Row {
        what: what.to_owned(),
        bourn: Timed(vec![bourn()?]),
        peer: Timed(vec![bst()?]),
        peer_name: "bst",
    })
}

/// Elements with a file or two each, and one stack over all.
fn write_imports(project: &Project<'_>, count: usize) -> Result<(), String> {
    let mut all = String::from("kind: stack\ndepends:\n");
    for index in 0..count {
        project.write(&format!("files/{index}/share/doc/{index}.txt"), &format!("about {index}\n"))?;
        project.write(&format!("files/{index}/bin/{index}"), &"x".repeat(1000 + index))?;
        let element = format!("kind: import\nsources:\n- kind: local\n  path: files/{index}\n");
        project.write(&format!("elements/element-{index}.bst"), &element)?;
        all.push_str(&format!("- element-{index}.bst\n"));
    }
    project.write("elements/all.bst", &all)
}

fn server_configuration(port: u16, push: bool) -> String {
    format!("artifacts:\n  servers:\n  - url: http://127.0.0.1:{port}\n    push: {push}\n")
}

/// The server that comes with the reference; ends with this value.
struct CacheServer {
    child: Child,
    port: u16,
}

impl CacheServer {
    fn start(bench: &Bench, directory: &Path) -> Result<CacheServer, String> {
        let program = server_program(&bench.bst)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| format!("no port is free: {error}"))?.port();
        let child = Command::new(&program)
            .arg(format!("--bind=127.0.0.1:{port}"))
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let server = CacheServer { child, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begin.elapsed() > Duration::from_secs(30) {
                return Err(format!("{} does not answer", program.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl CacheServer {
    /// What it took to move the large tree through this server. Refused if less went over by a counter of
    /// [`CacheServer::traffic`].
    fn moved(&self, counter: &str, act: impl FnOnce() -> Result<Duration, String>) -> Result<Moved, String> {
        let counted = || -> Result<_, String> {
            let server = Processors::Of(&self.child).read()?;
            Ok((self.traffic(counter)?, Processors::OfEnded.read()?, server))
        };
        let before = counted()?;
        let elapsed = act()?;
        let after = counted()?;
        match after.0 - before.0 {
            enough if enough >= LARGE_TREE => {
                Ok(Moved { elapsed, client: after.1 - before.1, server: after.2 - before.2 })
            }
            bytes => Err(format!("the server moved {bytes} bytes of {LARGE_TREE} ({counter})")),
        }
    }

    /// Bytes that it read (`rchar`) or wrote (`wchar`) so far, as the kernel counts them: files, and pipes.
    fn traffic(&self, counter: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/io", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(counter)?.strip_prefix(": "));
        line.and_then(|count| count.parse().ok()).ok_or_else(|| format!("{path} has no {counter}"))
    }
}

impl Drop for CacheServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `buildbox-casd` in the reference's package.
fn server_program(bst: &Path) -> Result<PathBuf, String> {
    let library = bst.parent().and_then(Path::parent).unwrap_or(bst).join("lib");
    let versions = std::fs::read_dir(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let inside = "site-packages/buildstream/subprojects/buildbox/buildbox-casd";
    let mut found = versions.flatten().map(|version| version.path().join(inside));
    found.find(|path| path.exists()).ok_or_else(|| format!("no buildbox-casd below {}", library.display()))
}

/// A port behind which `port` is, half a round trip away. Served until this process ends.
fn delayed(port: u16) -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("no port is free: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let own = listener.local_addr().map_err(failed)?.port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                let _ = to.set_nodelay(true);
                forward(from, to);
            }
        }
    });
    Ok(own)
}

/// Hands on what comes, half a round trip later. As much as there is can be under way.
fn forward(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + ROUND_TRIP / 2, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        while let Some((at, data)) = waiting.pop_front().or_else(|| receiver.recv().ok()) {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            waiting.extend(receiver.try_iter());
            if to.write_all(&data).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
