//! Addresses for servers that are told where to listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// An address of this machine that nobody listens at, for a program that cannot find a port itself.
///
/// Between this answer and its listening another process could be given the port. So each call of each process has an
/// IP address of its own out of the loopback network, and none that is usual.
///
/// # Panics
/// There is no port to be had.
pub fn address() -> SocketAddr {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(61).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
    let [_, second, third, fourth] = number.to_be_bytes();
    // Not 127.0.x.x, where other servers are, nor the address of the whole network.
    let ip = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
    let listener = TcpListener::bind((IpAddr::V4(ip), 0));
    listener.and_then(|listener| listener.local_addr()).expect("a port on loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_free() {
        let [one, two] = [address(), address()];
        assert_ne!(one, two);
        for address in [one, two] {
            assert!(address.ip().is_loopback() && !address.to_string().starts_with("127.0."), "{address}");
            TcpListener::bind(address).expect("nobody listens there");
        }
    }
}
