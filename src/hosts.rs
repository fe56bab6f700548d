//! Which hosts a post may go to: those of the open internet, and those that whoever runs the job allows.
//! Knows nothing of how anything is sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host that may be posted to although it is not on the open internet, or a network of such hosts.
///
/// ```
/// use jobrun::hosts::Host;
///
/// for good in ["hooks.lan", "10.1.2.3", "10.0.0.0/8", "::1", "fd00::/8"] {
///     good.parse::<Host>()?;
/// }
/// assert!("http://hooks.lan/".parse::<Host>().is_err());
/// assert!("10.0.0.0/33".parse::<Host>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Allowed);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// A name, wherever it leads.
    Name(String),
    /// All addresses that begin with so many bits of this one.
    Network(IpAddr, u8),
}

impl FromStr for Host {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{word}` is no host; write a name, an address, or a network such as 10.0.0.0/8, \
                 without a port"
            )
        };
        let (host, bits) = match word.split_once('/') {
            Some((host, bits)) => (host, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (word, None),
        };
        if let Some(address) = written(host) {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(most);
            return if bits <= most {
                Ok(Self(Allowed::Network(address, bits)))
            } else {
                Err(wrong())
            };
        }
        let is_name = |c: char| c.is_alphanumeric() || "-._".contains(c);
        if bits.is_some() || host.is_empty() || !host.chars().all(is_name) {
            return Err(wrong());
        }
        Ok(Self(Allowed::Name(plain(host))))
    }
}

/// Which hosts may be posted to; of itself, those of the open internet alone.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<Host>);

impl FromIterator<Host> for Hosts {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        Self(hosts.into_iter().collect())
    }
}

impl Hosts {
    /// Whether a host may be posted to whatever its address is.
    pub fn allow_name(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.iter().any(|it| matches!(&it.0, Allowed::Name(name) if *name == host))
    }

    /// Why an address may not be posted to, if so.
    pub fn refusal(&self, address: IpAddr) -> Option<Refusal> {
        let kind = kind(address)?;
        let meant = embedded(address).map_or(address, IpAddr::V4);
        let allows = |it: &Host| match it.0 {
            Allowed::Network(network, bits) => {
                within(network, bits, address) || within(network, bits, meant)
            }
            Allowed::Name(_) => false,
        };
        (!self.0.iter().any(allows)).then_some(Refusal { address, kind })
    }
}

/// Why an address may not be posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    address: IpAddr,
    kind: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is a {} address", self.address, self.kind)
    }
}

/// The address that a host of a URL is known to be: one that is written in the usual way, or that of
/// `localhost`.
pub fn literal(host: &str) -> Option<IpAddr> {
    let is_here = plain(host) == "localhost";
    if is_here { Some(Ipv4Addr::LOCALHOST.into()) } else { written(host) }
}

/// The address that is written here, as it is in a URL or without its brackets.
fn written(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_lowercase()
}

/// Whether two addresses have as many first bits in common.
fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let same = |one: u128, other: u128, width: u8| {
        let rest = u32::from(width - bits);
        one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    };
    match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            same(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

/// What an address is if it is not one of the open internet.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => {
            embedded(address.into()).map_or_else(|| kind_of_v6(address), kind_of_v4)
        }
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "nameless",
        [127, ..] => "loopback",
        [169, 254, ..] => "link-local",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        // What a provider shares among its customers.
        [100, 64..=127, ..] => "shared",
        [224..=239, ..] => "multicast",
        // For protocols, documents, benchmarks, and the future.
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "nameless",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => "private",
        [0xff00..=0xffff, ..] => "multicast",
        // For protocols (tunnels among them) and documents.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "reserved",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

/// The address of the old internet to which one of the new leads: as it is written there (mapped), or
/// by way of a translator (NAT64) or a tunnel (6to4).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}
