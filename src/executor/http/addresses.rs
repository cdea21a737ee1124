//! Which addresses a request may go to. A name is looked up once, its addresses are looked at, and the connection is
//! made to exactly these: a name that means something else a moment later changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Looks names up, and refuses those that lead where a request must not go.
pub(in crate::executor) struct Checked {
    /// Whether private addresses are declared to be right.
    pub(in crate::executor) private: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                refuse(address.ip(), private)?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Looks at an address that stands in the URL itself, which nobody looks up.
pub(in crate::executor) fn check(url: &Url, private: bool) -> Result<(), String> {
    match url.host() {
        Some(Host::Ipv4(address)) => refuse(address.into(), private),
        Some(Host::Ipv6(address)) => refuse(address.into(), private),
        _ => Ok(()),
    }
}

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Of the whole world.
    Public,
    /// Of this host or network.
    Private,
    /// Of no service: link-local (where clouds keep credentials), multicast, unspecified, reserved.
    Never,
}

fn refuse(address: IpAddr, private: bool) -> Result<(), String> {
    match of(address) {
        Reach::Public => Ok(()),
        Reach::Private if private => Ok(()),
        Reach::Private => Err(format!(
            "{address} is a private address: write private = true if that is where the service is"
        )),
        Reach::Never => Err(format!("{address} is no address of a service")),
    }
}

fn of(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

/// The registries of special addresses (RFC 6890).
fn of_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0 | 224..=255, ..) | (169, 254, _) => Reach::Never,
        (10 | 127, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        | (100, 64..=127, _)
        | (192, 0, 0)
        | (198, 18 | 19, _) => Reach::Private,
        _ => Reach::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Never,
        [0, 0, 0, 0, 0, 0, 0, 1] | [0x64, 0xff9b, 1, ..] => Reach::Private,
        // Those that stand for an IPv4 address: mapped, compatible, of a translator, of a tunnel.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        [first, ..] => match first {
            0xfe80..=0xfebf | 0xff00..=0xffff => Reach::Never,
            0xfc00..=0xfdff | 0xfec0..=0xfeff => Reach::Private,
            _ => Reach::Public,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_private_in_whatever_way_it_is_written() {
        for (text, expected) in [
            ("93.184.216.34", Reach::Public),
            ("2606:2800:220:1::1", Reach::Public),
            ("::ffff:93.184.216.34", Reach::Public),
            ("127.0.0.1", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("::1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("::10.0.0.1", Reach::Private),
            ("64:ff9b::a00:1", Reach::Private),
            ("2002:a00:1::1", Reach::Private),
            ("169.254.169.254", Reach::Never),
            ("::ffff:169.254.169.254", Reach::Never),
            ("fe80::1", Reach::Never),
            ("0.0.0.0", Reach::Never),
            ("::", Reach::Never),
            ("224.0.0.1", Reach::Never),
            ("255.255.255.255", Reach::Never),
            ("ff02::1", Reach::Never),
        ] {
            assert_eq!(of(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_an_address_is_looked_at_as_one() {
        // The URL's own reading of hosts makes all of these 127.0.0.1.
        for text in ["http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://[::ffff:7f00:1]/"] {
            let url: Url = text.parse().expect("a URL");
            assert!(check(&url, false).expect_err("refused").contains("private"), "{text}");
            assert_eq!(check(&url, true), Ok(()), "{text}");
        }
    }
}
