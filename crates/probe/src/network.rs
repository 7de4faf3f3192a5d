//! Reads what hosts print about their addresses and listeners.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses in the output of `ip -o addr`, `ifconfig` or `hostname -I`: every
/// word that is an address, with its prefix length or label cut off.
pub(crate) fn addresses(text: &str) -> BTreeSet<IpAddr> {
    let mut out = BTreeSet::new();
    for line in text.lines() {
        let mut skip = false;
        for word in line.split_whitespace() {
            // Neither broadcast addresses nor peers are the host's own.
            if matches!(word, "brd" | "peer" | "broadcast" | "netmask") {
                skip = true;
                continue;
            }
            let word = word.trim_start_matches("addr:");
            let word = word.split(['/', '%']).next().unwrap_or(word);
            if let Ok(ip) = word.parse::<IpAddr>()
                && !skip
            {
                out.insert(ip);
            }
            skip = false;
        }
    }
    out
}

/// Addresses in lines of `/proc/net/fib_trie`: those that the line below calls local to the host.
pub(crate) fn local(text: &str) -> BTreeSet<IpAddr> {
    let mut last: Option<IpAddr> = None;
    let mut out = BTreeSet::new();
    for line in text.lines() {
        let line = line.trim();
        match line.strip_prefix("|-- ") {
            Some(address) => last = address.parse().ok(),
            None if line == "/32 host LOCAL" => out.extend(last.take()),
            None => {}
        }
    }
    out
}

/// The address in a line of `/proc/net/if_inet6`: 32 hexadecimal digits.
pub(crate) fn ipv6(line: &str) -> Option<IpAddr> {
    let digits = line.split(' ').next().filter(|word| word.len() == 32)?;
    let bits = u128::from_str_radix(digits, 16).ok()?;
    Some(Ipv6Addr::from_bits(bits).into())
}

/// A listening TCP socket; the address is unspecified for any.
pub(crate) type Listener = (IpAddr, u16);

/// Reads lines of `/proc/net/tcp` and `tcp6`. The kernel prints addresses as 32-bit
/// words in its own byte order; every host that Tars supports is little-endian.
pub(crate) fn listeners(text: &str) -> BTreeSet<Listener> {
    text.lines()
        .filter_map(|line| listener(line.split_whitespace().nth(1)?))
        .collect()
}

/// Reads lines of `ss -Hltn`.
pub(crate) fn listeners_of_ss(text: &str) -> BTreeSet<Listener> {
    text.lines()
        .filter_map(|line| {
            let word = line.split_whitespace().nth(3)?;
            let (address, port) = word.rsplit_once(':')?;
            let address = address.split('%').next().unwrap_or(address);
            let address = match address.trim_matches(['[', ']']) {
                "*" => Ipv6Addr::UNSPECIFIED.into(),
                address => address.parse::<IpAddr>().ok()?,
            };
            Some((address.to_canonical(), port.parse().ok()?))
        })
        .collect()
}

fn listener(word: &str) -> Option<Listener> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let quad = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::swap_bytes);
    match address.len() {
        8 => Some((Ipv4Addr::from(quad(address)?).into(), port)),
        32 => {
            let mut bytes = [0u8; 16];
            for i in 0..4 {
                let part = quad(address.get(8 * i..8 * i + 8)?)?;
                bytes[4 * i..4 * i + 4].copy_from_slice(&part.to_be_bytes());
            }
            let ip = Ipv6Addr::from(bytes);
            Some((ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4), port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_every_program() {
        let ip: IpAddr = "10.0.0.7".parse().unwrap();
        let not: IpAddr = "10.0.0.255".parse().unwrap();
        for text in [
            "2: eth0    inet 10.0.0.7/24 brd 10.0.0.255 scope global eth0\\  valid_lft forever",
            "          inet addr:10.0.0.7  Bcast:10.0.0.255x  Mask:255.255.255.0",
            "        inet 10.0.0.7  netmask 255.255.255.0  broadcast 10.0.0.255",
            "127.0.0.1 10.0.0.7 fd00::7",
        ] {
            assert!(addresses(text).contains(&ip), "{text}");
            assert!(!addresses(text).contains(&not), "{text}");
        }
    }

    #[test]
    fn local_addresses_are_those_that_the_kernel_calls_so() {
        let text = "     |-- 0.0.0.0\n           |-- 127.0.0.0\n              /8 host LOCAL\n\
            |-- 10.0.0.7\n              /32 host LOCAL\n     |-- 10.0.0.255\n  |-- x\n /32 host LOCAL\n";
        let want: BTreeSet<IpAddr> = ["10.0.0.7".parse().unwrap()].into();
        assert_eq!(local(text), want);
        let ip = ipv6("fd000000000000000000000000000002 04 40 00 82     eth0");
        assert_eq!(ip, "fd00::2".parse().ok());
        assert_eq!(ipv6("x"), None);
    }

    #[test]
    fn listeners_are_read_from_the_kernel_tables() {
        let got = listeners(
            "  0: 0100007F:4BBB 0 0A\n 1: 00000000:4BBA 0 0A\n 10: 0000000000000000FFFF00000700000A:0016\nx\n x :\n",
        );
        let want: BTreeSet<Listener> = [
            ("127.0.0.1".parse().unwrap(), 19387),
            ("0.0.0.0".parse().unwrap(), 19386),
            ("10.0.0.7".parse().unwrap(), 22),
        ]
        .into();
        assert_eq!(got, want);
        let got = listeners_of_ss(
            "LISTEN 0 128 127.0.0.1:19387 0.0.0.0:*\nLISTEN 0 5 0.0.0.0:19386 0.0.0.0:*\n\
             LISTEN 0 5 [::ffff:10.0.0.7]:22 *:*\nLISTEN\nLISTEN 0 5 x:y z\n",
        );
        assert_eq!(got, want);
        let got = listeners_of_ss(
            "LISTEN 0 5 *:22 *:*\nLISTEN 0 5 [fe80::1%eth0]:80 *:*\nLISTEN 0 5 127.0.0.53%lo:53 0.0.0.0:*\n",
        );
        let want: BTreeSet<Listener> = [
            ("::".parse().unwrap(), 22),
            ("fe80::1".parse().unwrap(), 80),
            ("127.0.0.53".parse().unwrap(), 53),
        ]
        .into();
        assert_eq!(got, want);
    }
}
