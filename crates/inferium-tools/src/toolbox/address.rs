//! Which addresses are asked: a stranger's manifest must not reach what only this machine can.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A client that asks public addresses alone, or all if `private` is true: no redirects, no proxy, `timeout` for a whole
/// exchange. Names are resolved and judged for every connection, so that a name can't change to another address later.
///
/// # Errors
/// In words, if TLS can't be set up.
pub(super) fn client(private: bool, timeout: Duration) -> Result<Client, String> {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(timeout);
    let builder = if private { builder } else { builder.dns_resolver(PublicOnly) };
    builder.build().map_err(|error| error.to_string())
}

/// Reads an address, and refuses those that can be refused without asking for a name.
///
/// # Errors
/// In words.
pub(super) fn read(text: &str, private: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{text:?} is no http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address is published with its manifest and holds no password".to_owned());
    }
    // Numbers never reach the resolver.
    let host = url.host_str().unwrap_or_default();
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match number {
        Ok(address) if !private && !is_public(address) => Err(not_public(host)),
        _ => Ok(url),
    }
}

fn not_public(host: &str) -> String {
    format!("{host} is not a public address, and this host asks no others for agents")
}

#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address is enough to refuse: whoever answers for the name chooses the order.
            if found.iter().any(|address| !is_public(address.ip())) {
                return Err(not_public(name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// True if an address is of the public internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Addresses that a version 4 address is packed into lead where that one does.
    let [first, second, third, .., seventh, eighth] = address.segments();
    let packed = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    match (first, second) {
        (0x64, 0xff9b) => is_public_v4(packed(seventh, eighth)) && third == 0,
        (0x2002, _) => is_public_v4(packed(second, third)),
        // Tunnels, benchmarks, identifiers without a place, and documentation.
        (0x2001, 0..0x200 | 0xdb8) | (0x3fff, _) => false,
        // What is given out today; loopback, local and multicast addresses are outside of it.
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{client, is_public, read};
    use std::time::Duration;

    #[test]
    fn public_addresses_are_told_from_others() {
        for address in
            ["1.1.1.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "::ffff:1.1.1.1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address} is public");
        }
        let private = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::101:101",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address} is not public");
        }
    }

    #[test]
    fn addresses_are_refused_by_what_is_wrong_with_them() {
        let refused = [
            ("mcp", "is no address"),
            ("ftp://example.com/", "no http or https"),
            ("http://user:pass@example.com/", "holds no password"),
            ("http://127.0.0.1/mcp", "not a public address"),
            ("http://[::1]:80/mcp", "not a public address"),
            // Other ways to write the same number.
            ("http://0x7f.1/", "not a public address"),
            ("http://2130706433/", "not a public address"),
        ];
        for (text, expected) in refused {
            let reason = read(text, false).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
        assert!(read("http://127.0.0.1/mcp", true).is_ok(), "a host may allow its own");
        assert!(read("https://example.com/mcp", false).is_ok());
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_refused_when_they_are_resolved() {
        let client = client(false, Duration::from_secs(10)).unwrap();
        let error = client.get("http://localhost:1/").send().await.unwrap_err();
        assert!(format!("{error:?}").contains("not a public address"), "{error:?}");
    }
}
