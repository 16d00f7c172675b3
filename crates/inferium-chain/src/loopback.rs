//! Addresses for validators that share a machine.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the ports that operating systems give to outgoing connections (Linux from 32,768, others from
/// 49,152). Between the look at a port and the validator's own bind a connection may begin, the other
/// validators' first dials among them: out of that range it could be given the very port that was free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Loopback addresses that nobody listens on now, for the `listen` of validators whose peers must know them
/// beforehand. They begin at random, so that networks that start at once look at different ones.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`]: there are not so many free ones.
pub fn free_loopback(count: usize) -> io::Result<Vec<SocketAddr>> {
    let ports = u64::from(PORTS.end - PORTS.start);
    let begin = RandomState::new().hash_one(std::process::id()) % ports;
    let addresses: Vec<SocketAddr> = (0..ports)
        .filter_map(|step| u16::try_from((begin + step) % ports).ok())
        .map(|offset| SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset)))
        .filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect();
    if addresses.len() == count { Ok(addresses) } else { Err(io::ErrorKind::AddrInUse.into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn free_addresses_are_different_ones_that_no_outgoing_connection_is_given() {
        let addresses = free_loopback(16).unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 16);
        for address in &addresses {
            assert!(address.ip().is_loopback() && PORTS.contains(&address.port()));
        }
        let listeners: Vec<_> = addresses.iter().map(|address| TcpListener::bind(address).unwrap()).collect();
        let others = free_loopback(16).unwrap();
        assert!(others.iter().all(|address| !addresses.contains(address)), "taken ones are passed over");
        drop(listeners);
    }

    #[test]
    fn more_than_there_are_is_an_error() {
        assert_eq!(free_loopback(20_000).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
