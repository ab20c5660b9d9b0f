//! Downloads over HTTPS: certificates that are right, and all that are not.

use crate::server::{Said, Server};
use bourn_testkit::{Ran, TestEnv};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const CONTENT: &[u8] = b"what is behind the lock";

/// An HTTPS server that has the same for every path.
struct TlsServer {
    port: u16,
    /// Connections that were made.
    reached: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsServer {
    fn start(certificate: &'static [u8]) -> TlsServer {
        let key = include_bytes!("certificates/key.der");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certificate)], key)
            .expect("a certificate");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (served, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stopped) = (served.clone(), stop.clone());
        let reached = Arc::<AtomicUsize>::default();
        let connections = reached.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                // Who hangs up is not served.
                let _ = serve(&config, stream, &count);
            }
        });
        TlsServer { port, reached, served, stop, thread: Some(thread) }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().map(JoinHandle::join);
    }
}

/// Answers one request. It is counted before the answer: whoever has that may look at the count.
fn serve(config: &Arc<ServerConfig>, stream: TcpStream, served: &AtomicUsize) -> std::io::Result<()> {
    let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    served.fetch_add(1, Ordering::SeqCst);
    let length = CONTENT.len();
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(CONTENT)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Tracks and fetches a file of a server that shows a certificate; how often the server could answer.
fn fetch(certificate: &'static [u8], trusts: bool) -> (Ran, usize) {
    let server = TlsServer::start(certificate);
    fetch_from(&server, &format!("https://127.0.0.1:{}/", server.port), trusts)
}

fn fetch_from(server: &TlsServer, url: &str, trusts: bool) -> (Ran, usize) {
    let mut env: TestEnv = crate::env();
    if trusts {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/certificates");
        env.set("SSL_CERT_FILE", &format!("{directory}/authority.pem"));
    }
    let sum = bourn_reapi::Digest::of(CONTENT).hex();
    env.files(&format!(
        "=== project.conf\nname: locked\nmin-version: 2.0\naliases:\n  up: {url}\n\
         === it.bst\nkind: import\nsources:\n- kind: remote\n  url: up:file\n  ref: {sum}\n"
    ));
    let ran = env.run(&["source", "fetch", "it.bst"]);
    // A certificate will not be another one soon: besides the two retries of the configuration nobody tries again.
    assert!((1..=3).contains(&server.reached.load(Ordering::SeqCst)), "{}", ran.stderr);
    (ran, server.served.load(Ordering::SeqCst))
}

#[track_caller]
fn check_refused(certificate: &'static [u8], trusts: bool, expect: &str) {
    let (ran, served) = fetch(certificate, trusts);
    let ran = ran.failure(255, expect);
    assert!(ran.stderr.contains("Error mirroring https://127.0.0.1:"), "{}", ran.stderr);
    assert_eq!(served, 0, "something was said to a server that is not trusted");
}

#[test]
fn servers_that_are_trusted() {
    let (ran, served) = fetch(include_bytes!("certificates/good.der"), true);
    ran.success();
    assert_eq!(served, 1);
}

#[test]
fn certificates_that_are_expired() {
    check_refused(include_bytes!("certificates/expired.der"), true, "expired");
}

#[test]
fn certificates_that_nobody_signed() {
    check_refused(include_bytes!("certificates/own.der"), true, "UnknownIssuer");
    check_refused(include_bytes!("certificates/good.der"), false, "UnknownIssuer");
}

#[test]
fn certificates_of_others() {
    check_refused(include_bytes!("certificates/other.der"), true, "not valid for");
}

/// Who is led to an encrypted server looks at its certificate as any other.
#[test]
fn servers_that_others_lead_to() {
    for trusts in [true, false] {
        let server = TlsServer::start(include_bytes!("certificates/good.der"));
        let to = format!("https://127.0.0.1:{}/file", server.port);
        let plain = Server::start(move |_, _| Said::status(301).header("Location", to.clone()));
        let (ran, served) = fetch_from(&server, &plain.url(""), trusts);
        assert_eq!(served, usize::from(trusts));
        match trusts {
            true => drop(ran.success()),
            false => drop(ran.failure(255, "UnknownIssuer")),
        }
    }
}
