//! Programs that are interrupted or killed while they move things to and from a server that others use: nobody gets
//! what is not whole, and no result is lost.

use crate::Both;
use crate::remote::{assert_said, storage_daemon};
use bourn_testkit::running::{PATIENCE, ended, interruptible, send};
use bourn_testkit::{Random, TestEnv};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Two elements that need no sandbox; one has a large file.
const PROJECT: &str = "
=== project.conf
name: turmoil
min-version: 2.0
=== small.bst
kind: import
sources:
- kind: local
  path: files/small
=== large.bst
kind: import
depends: [small.bst]
sources:
- kind: local
  path: files/large
=== all.bst
kind: stack
depends: [large.bst]
=== files/small/one
1
=== files/small/two
2
=== files/large/note
see beside
";

fn project() -> Option<Both> {
    let both = Both::new(PROJECT)?;
    let bytes: Vec<u8> = (0..12_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(both.bourn.project().join("files/large/large"), bytes).expect("a file");
    Some(both)
}

/// A way to a server that hands on so many bytes in each direction, and then holds what comes.
struct Gate {
    url: String,
    moved: Arc<[AtomicU64; 2]>,
    limits: [u64; 2],
}

impl Gate {
    /// Up, and down.
    fn start(server: SocketAddr, limits: [u64; 2]) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let moved = Arc::<[AtomicU64; 2]>::default();
        let counts = moved.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { return };
                for (which, from, to) in [(0, &client, &server), (1, &server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let counts = counts.clone();
                    std::thread::spawn(move || forward(from, to, &counts[which], limits[which]));
                }
            }
        });
        Gate { url, moved, limits }
    }

    /// Whether it holds something.
    fn holds(&self) -> bool {
        self.moved.iter().zip(self.limits).any(|(moved, limit)| moved.load(Ordering::SeqCst) >= limit)
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, moved: &AtomicU64, limit: u64) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // Who lets go of the connection is noticed by reading on.
        let is_over = moved.fetch_add(count as u64, Ordering::SeqCst) + count as u64 >= limit;
        if !is_over && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// A program that is running.
fn start(command: &Command, directory: &std::path::Path) -> Child {
    let mut started = interruptible(command);
    started.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    started.spawn().expect("the program started")
}

/// Runs bourn until the gate holds something, and then sends it a signal.
#[track_caller]
fn interrupt(env: &TestEnv, gate: &Gate, words: &[&str], signal: &str) {
    let about = format!("{words:?} {signal}");
    let mut child = start(&env.command(words), &env.project());
    let begin = Instant::now();
    while !gate.holds() {
        let status = child.try_wait().expect("a child");
        assert!(status.is_none() && begin.elapsed() < PATIENCE, "{about}: {status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, signal);
    assert!(!ended(&mut child, &about).success(), "{about}");
}

/// With a server that holds back, for ever, whoever is told to end does so; nothing is half there then.
#[test]
fn whoever_moves_something_can_be_interrupted() {
    let Some(both) = project() else { return };
    both.bourn(&["build", "all.bst"]).success();
    let full = storage_daemon(&both);
    let push = |url: &str| {
        ["artifact", "push", "--deps", "all", "--artifact-remote", url, "all.bst"].map(str::to_owned)
    };
    let run =
        |place: &Both, words: &[String]| place.bourn(&words.iter().map(String::as_str).collect::<Vec<_>>());
    run(&both, &push(&full.url)).success();
    let show = |place: &Both, url: &str| {
        place.bourn(&["artifact", "show", "--artifact-remote", url, "large.bst"]).success().stdout
    };
    let address =
        |url: &str| -> SocketAddr { url.trim_start_matches("http://").parse().expect("an address") };
    for signal in ["INT", "TERM"] {
        let server = storage_daemon(&both);
        let gate = Gate::start(address(&server.url), [4 << 20, u64::MAX]);
        let config = format!(
            "artifacts: {{servers: [{{url: '{}', push: true, connection-config: {{request-timeout: 100000}}}}]}}\n",
            gate.url
        );
        both.bourn.configure(&config);
        interrupt(&both.bourn, &gate, &["artifact", "push", "--deps", "all", "all.bst"], signal);
        both.bourn.configure("");
        let elsewhere = both.elsewhere();
        assert!(!show(&elsewhere, &server.url).contains("available"), "{signal}");
        run(&both, &push(&server.url)).success();
        assert!(show(&elsewhere, &server.url).contains("available"), "{signal}");

        for commands in [&["artifact", "pull", "large.bst"][..], &["build", "large.bst"]] {
            let gate = Gate::start(address(&full.url), [u64::MAX, 4 << 20]);
            let place = both.elsewhere();
            place.bourn.configure(&format!(
                "artifacts: {{servers: [{{url: '{}', connection-config: {{request-timeout: 100000}}}}]}}\n",
                gate.url
            ));
            interrupt(&place.bourn, &gate, commands, signal);
            place.bourn.configure("");
            let shown = place.bourn(&["artifact", "show", "large.bst"]).success().stdout;
            assert!(shown.contains("not cached"), "{signal} {commands:?}: {shown}");
            place.bourn(&["cache", "fsck"]).success();
            let pull = ["artifact", "pull", "--artifact-remote", &full.url, "large.bst"];
            assert_said(&place.bourn(&pull).success(), &["INFO    Pulled artifact"]);
        }
    }
}

/// Further rounds; more with this variable.
const ROUNDS: &str = "BOURN_TEST_ROUNDS";

/// Several programs of both kinds push and pull the same at once, and are killed at any moment, again and again.
#[test]
fn a_mixed_fleet_that_is_killed() {
    let Some(both) = project() else { return };
    let rounds = std::env::var(ROUNDS).ok().and_then(|count| count.parse().ok()).unwrap_or(2_u32);
    let mut random = Random(2020);
    for round in 0..rounds {
        let server = storage_daemon(&both);
        let build = [
            "--no-interactive",
            "build",
            "--artifact-remote",
            &server.url,
            "--source-remote",
            &server.url,
            "all.bst",
        ];
        let places: Vec<Both> = (0..4).map(|_| both.elsewhere()).collect();
        for _ in 0..3 {
            let mut running: Vec<(usize, Child)> = Vec::new();
            for (at, place) in places.iter().enumerate() {
                let mut command = place.bourn.command(&build);
                if at % 2 == 1 {
                    let mut other = Command::new(&place.bst);
                    other.args(command.get_args());
                    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
                    command = other;
                }
                running.push((at, start(&command, &place.bourn.project())));
            }
            for (at, child) in &mut running {
                std::thread::sleep(Duration::from_millis(random.below(500) as u64));
                if child.try_wait().expect("a child").is_none() {
                    // bst has a server of its own, which would stay.
                    send(child, if *at % 2 == 0 { "KILL" } else { "TERM" });
                }
                ended(child, "a killed program");
            }
        }
        for (at, place) in places.iter().enumerate() {
            let ran = if at % 2 == 0 { place.bourn(&build) } else { place.bst(&build[1..]) };
            ran.success();
            place.bourn(&["cache", "fsck"]).success();
        }
        for is_bourn in [true, false] {
            let after = both.elsewhere();
            let pull = ["artifact", "pull", "--deps", "all", "--artifact-remote", &server.url, "all.bst"];
            let pulled = if is_bourn { after.bourn(&pull) } else { after.bst(&pull) }.success();
            assert_eq!(
                pulled.stderr.matches("INFO    Pulled artifact").count(),
                3,
                "{round}: {}",
                pulled.stderr
            );
            let out = ["artifact", "checkout", "--directory", "out", "all.bst"];
            after.bourn(&out).success();
            let content = |path: &str| std::fs::read(after.bourn.project().join(path)).expect("a file");
            assert_eq!(content("out/large"), content("files/large/large"));
            let fetch = ["source", "fetch", "--source-remote", &server.url, "large.bst"];
            if is_bourn { after.bourn(&fetch) } else { after.bst(&fetch) }.success();
        }
    }
}
