//! What is between two machines, for tests: it hands on bytes, and does harm to them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What happens to one direction of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Harm {
    /// The connection breaks after so many bytes.
    Cut(u64),
    /// The byte at that place is another one.
    Flip(u64),
    /// Nothing more is handed on after so many bytes, and the connection stays.
    Stall(u64),
    /// Every byte is handed on alone.
    Crumble,
}

/// Which direction is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// A port behind which a server is. Its threads end with the connections.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// Connections so far.
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Way {
    /// Harms the first `times` connections.
    pub(crate) fn start(server: SocketAddr, direction: Direction, harm: Harm, times: usize) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { return };
                let harmed = count.fetch_add(1, Ordering::SeqCst) < times;
                for (own, from, to) in
                    [(Direction::Up, &client, &server), (Direction::Down, &server, &client)]
                {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let _ = to.set_nodelay(true);
                    let harm = (harmed && own == direction).then_some(harm);
                    std::thread::spawn(move || forward(from, to, harm));
                }
            }
        });
        Way { address, connections }
    }
}

/// Hands on what comes, until the connection ends or is to be broken.
fn forward(mut from: TcpStream, mut to: TcpStream, harm: Option<Harm>) {
    let mut buffer = vec![0; 64 << 10];
    let mut before = 0_u64;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let data = &mut buffer[..count];
        let left = |at: u64| usize::try_from(at.saturating_sub(before)).unwrap().min(count);
        let sent = match harm {
            Some(Harm::Cut(at)) => {
                let is_over = to.write_all(&data[..left(at)]).is_err() || left(at) < count;
                if is_over { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
            }
            Some(Harm::Flip(at)) => {
                if at >= before && left(at) < count {
                    data[left(at)] ^= 0x11;
                }
                to.write_all(data)
            }
            Some(Harm::Stall(at)) => to.write_all(&data[..left(at)]),
            Some(Harm::Crumble) => data.chunks(1).try_for_each(|byte| to.write_all(byte)),
            None => to.write_all(data),
        };
        before += count as u64;
        if sent.is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
