//! An HTTP proxy that makes connections where it is asked to with `CONNECT`, or does something else instead.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What a proxy does when it is asked.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// It connects to this server, whatever it is asked for.
    Connects(SocketAddr),
    /// The same, and its answer comes together with the first bytes of the server.
    ConnectsAtOnce(SocketAddr),
    /// This is its answer, and it hangs up.
    Answers(&'static str),
    /// It says nothing.
    IsSilent,
}

/// A proxy on this machine. It ends with this value; connections that it made stay until one side ends them.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one.
    ///
    /// # Panics
    /// There is no port to be had.
    pub fn start(manner: Manner) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("the address of a port");
        let (asked, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, end) = (asked.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let log = log.clone();
                std::thread::spawn(move || {
                    // Whoever hangs up has what it wanted.
                    let _ = serve(client, manner, &log);
                });
            }
        });
        Proxy { address, asked, ends, thread: Some(thread) }
    }

    /// Its URL, with `USER:PASSWORD@` or whatever else stands before the host.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.address)
    }

    /// What it was asked so far: requests with their headers, lines ended by `\r\n`.
    pub fn asked(&self) -> Vec<String> {
        locked(&self.asked).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It waits for somebody.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked(asked: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut client: TcpStream, manner: Manner, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    locked(log).push(head);
    let mut answer = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    let mut server = match manner {
        Manner::Answers(answer) => return client.write_all(answer.as_bytes()),
        Manner::IsSilent => return client.read(&mut [0]).map(drop),
        Manner::Connects(server) | Manner::ConnectsAtOnce(server) => TcpStream::connect(server)?,
    };
    if let Manner::ConnectsAtOnce(_) = manner {
        let mut first = [0; 4096];
        let count = server.read(&mut first)?;
        answer.extend_from_slice(&first[..count]);
    }
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    client.write_all(&answer)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || hand_on(from, to));
    hand_on(server, client);
    Ok(())
}

/// Hands on bytes until one side ends.
fn hand_on(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
