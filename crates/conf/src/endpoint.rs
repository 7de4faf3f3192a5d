//! Tars endpoints and locators.
//!
//! An endpoint is `tcp -h 10.0.0.1 -p 17890 -t 60000` (TarsCpp `util/src/tc_clientsocket.cpp`,
//! `TC_Endpoint::parse`), a locator is the name of an object, `@`, and endpoints joined by `:`
//! (`servant/libservant/EndpointManager.cpp`, `setObjName`). Both keep their text; this module
//! resolves no name and does not know which endpoints are wanted.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::placeholder::{Placeholder, placeholders};

/// The object that a framework's locator names.
pub const QUERY_OBJECT: &str = "tars.tarsregistry.QueryObj";

/// What `TC_Endpoint::parse` divides words by.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The words at which `TC_Endpoint::sepEndpoint` starts a new endpoint.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "ssl"];

/// Why a text is no endpoint or locator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text is no endpoint that Tars accepts.
    #[error("`{text}` is not an endpoint: {why}")]
    Endpoint {
        /// The text.
        text: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The text names no object before an `@`.
    #[error("`{text}` is not a locator: it names no object before an `@`")]
    NoObject {
        /// The text.
        text: String,
    },
    /// A host that cannot be written into an endpoint or a locator.
    #[error("`{host}` cannot be the host of an endpoint: {why}")]
    Host {
        /// The host.
        host: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A locator without any endpoint would cut the node off from its registries.
    #[error("a locator must name at least one registry")]
    EmptyLocator,
}

/// An endpoint, with the text that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    /// Where the host that counts is written.
    host: Option<Range<usize>>,
    /// Where the protocol ends.
    protocol: Range<usize>,
    port: u16,
}

impl Endpoint {
    /// Reads an endpoint as `TC_Endpoint::parse` does: of a repeated option the last counts,
    /// options that Tars does not know are ignored.
    ///
    /// # Errors
    /// [`EndpointError::Endpoint`] for what Tars refuses, and for no text at all.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let fail = |why| EndpointError::Endpoint {
            text: text.to_owned(),
            why,
        };
        let mut words = words(text).peekable();
        let protocol = words.next().ok_or_else(|| fail("it is empty"))?;
        if !PROTOCOLS.contains(&&text[protocol.clone()]) {
            return Err(fail("it does not start with tcp, udp or ssl"));
        }
        let (mut host, mut port) = (None, 0);
        while let Some(option) = words.next() {
            let option = &text[option];
            let &[b'-', letter] = option.as_bytes() else {
                return Err(fail("an option is not a dash and one letter"));
            };
            let argument = words.next_if(|w| !text[w.clone()].starts_with('-'));
            let value = argument.clone().map_or("", |r| &text[r]);
            match letter {
                b'h' if argument.is_none() => return Err(fail("-h has no host")),
                b'h' => host = argument,
                b'p' => {
                    port = value
                        .parse()
                        .map_err(|_| fail("-p is no port between 0 and 65535"))?;
                }
                b't' | b'g' | b'q' | b'w' | b'v' if value.parse::<i32>().is_err() => {
                    return Err(fail("the value of -t, -g, -q, -w or -v is no number"));
                }
                b'e' if !matches!(value.parse::<i32>(), Ok(0 | 1)) => {
                    return Err(fail("the value of -e is neither 0 nor 1"));
                }
                _ => {}
            }
        }
        Ok(Self {
            text: text.to_owned(),
            host,
            protocol,
            port,
        })
    }

    /// `tcp`, `udp` or `ssl`.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.text[self.protocol.clone()]
    }

    /// The host as written; `0.0.0.0` where none is, as in Tars.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.clone().map_or("0.0.0.0", |r| &self.text[r])
    }

    /// The port; 0 where none is written, as in Tars.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same endpoint with another host; all other bytes stay.
    ///
    /// # Errors
    /// [`EndpointError::Host`] if the host cannot be written.
    pub fn with_host(&self, host: &str) -> Result<Self, EndpointError> {
        check_host(host)?;
        let mut text = self.text.clone();
        match &self.host {
            Some(range) => text.replace_range(range.clone(), host),
            None => text.insert_str(self.protocol.end, &format!(" -h {host}")),
        }
        Self::parse(&text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A locator: an object and where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// The object, such as `tars.tarsregistry.QueryObj`.
    pub object: String,
    /// The endpoints as written, doubles included.
    pub endpoints: Vec<Endpoint>,
    /// Parts that Tars skips because they are no endpoint.
    pub invalid: Vec<String>,
    /// Whether the place of the endpoints is still a placeholder.
    pub placeholder: Option<Placeholder>,
}

impl Locator {
    /// Reads a locator. Parts that are no endpoint are set aside, as Tars does.
    ///
    /// # Errors
    /// [`EndpointError::NoObject`] if nothing stands before an `@`.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let (object, rest) = text.split_once('@').unwrap_or(("", ""));
        let object = object.trim_matches(BLANKS);
        if object.is_empty() {
            return Err(EndpointError::NoObject {
                text: text.to_owned(),
            });
        }
        let (mut endpoints, mut invalid) = (Vec::new(), Vec::new());
        for part in divide(rest) {
            match Endpoint::parse(part) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(_) => invalid.push(part.to_owned()),
            }
        }
        let left = placeholders(rest);
        Ok(Self {
            object: object.to_owned(),
            endpoints,
            invalid,
            placeholder: left.first().copied(),
        })
    }

    /// The set of host and port that it names; a placeholder is no host.
    #[must_use]
    pub fn set(&self) -> BTreeSet<(String, u16)> {
        let all = self.endpoints.iter().filter(|e| !is_open(e));
        all.map(|e| (e.host().to_owned(), e.port())).collect()
    }

    /// The text of a locator for `object` that names exactly `wanted`.
    ///
    /// # Errors
    /// [`EndpointError::EmptyLocator`] for an empty set, [`EndpointError::Host`] for a host that
    /// Tars would not read back.
    pub fn print(object: &str, wanted: &BTreeSet<(String, u16)>) -> Result<String, EndpointError> {
        let fresh = Self {
            object: object.to_owned(),
            endpoints: Vec::new(),
            invalid: Vec::new(),
            placeholder: None,
        };
        fresh.with(wanted, true)
    }

    /// The text of this locator after the endpoints that are missing from `wanted` were added at
    /// its end and, if `exact`, those that are not wanted were left out. What stays keeps its
    /// text, options and doubles included; placeholders and invalid parts go.
    ///
    /// # Errors
    /// As for [`Locator::print`].
    pub fn with(
        &self,
        wanted: &BTreeSet<(String, u16)>,
        exact: bool,
    ) -> Result<String, EndpointError> {
        if wanted.is_empty() {
            return Err(EndpointError::EmptyLocator);
        }
        let mut parts = Vec::new();
        let mut have = BTreeSet::new();
        for endpoint in &self.endpoints {
            let key = (endpoint.host().to_owned(), endpoint.port());
            if !is_open(endpoint) && (!exact || wanted.contains(&key)) {
                parts.push(endpoint.to_string());
                have.insert(key);
            }
        }
        for (host, port) in wanted.difference(&have) {
            check_host(host)?;
            if PROTOCOLS.iter().any(|p| host.contains(p)) {
                return Err(EndpointError::Host {
                    host: host.clone(),
                    why: "tars divides locators at every tcp, udp and ssl, in names too",
                });
            }
            parts.push(format!("tcp -h {host} -p {port}"));
        }
        Ok(format!("{}@{}", self.object, parts.join(":")))
    }
}

/// Whether the host of an endpoint is still a placeholder.
fn is_open(endpoint: &Endpoint) -> bool {
    !placeholders(endpoint.host()).is_empty()
}

/// The parts between which `TC_Endpoint::sepEndpoint` divides, without the `:` and blanks around.
fn divide(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if PROTOCOLS
            .iter()
            .any(|p| bytes[at..].starts_with(p.as_bytes()))
        {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| text[start..end].trim_matches([' ', ':']))
        .collect()
}

/// The places of the words of `text`.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let base = text.as_ptr() as usize;
    text.split(BLANKS).filter(|w| !w.is_empty()).map(move |w| {
        let start = w.as_ptr() as usize - base;
        start..start + w.len()
    })
}

/// Whether `host` reads back as one word and stays one through Tars' own rewriting.
pub(crate) fn check_host(host: &str) -> Result<(), EndpointError> {
    let why = if host.is_empty() {
        "it is empty"
    } else if host.starts_with('-') {
        "it starts with a dash"
    } else if !host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".:-_%*".contains(&b))
    {
        "it has a character that no address has"
    } else {
        return Ok(());
    };
    Err(EndpointError::Host {
        host: host.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[(&str, u16)]) -> BTreeSet<(String, u16)> {
        all.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect()
    }

    #[test]
    fn only_the_host_changes() {
        let e = Endpoint::parse("tcp  -h 10.0.0.1\t-p 17890 -t 60000 -z what").unwrap();
        assert_eq!(
            (e.protocol(), e.host(), e.port()),
            ("tcp", "10.0.0.1", 17890)
        );
        assert_eq!(
            e.with_host("fe80::1").unwrap().to_string(),
            "tcp  -h fe80::1\t-p 17890 -t 60000 -z what"
        );
        let bare = Endpoint::parse("udp -p 1").unwrap();
        assert_eq!(bare.host(), "0.0.0.0");
        assert_eq!(bare.with_host("a").unwrap().to_string(), "udp -h a -p 1");
    }

    #[test]
    fn of_a_repeated_option_the_last_counts() {
        let e = Endpoint::parse("tcp -h a -h b -p 1 -p 2").unwrap();
        assert_eq!((e.host(), e.port()), ("b", 2));
        assert_eq!(
            e.with_host("c").unwrap().to_string(),
            "tcp -h a -h c -p 1 -p 2"
        );
    }

    #[test]
    fn what_tars_refuses_is_refused() {
        for bad in [
            "",
            "  ",
            "http -h a",
            "tcp -h",
            "tcp -h -p 1",
            "tcp -p",
            "tcp -p x",
            "tcp -p 70000",
            "tcp -p -1",
            "tcp -ho a",
            "tcp h a",
            "tcp -t soon",
            "tcp -e 2",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        for host in ["", "-h", "a b", "a\nb", "a<", "a@b", "ä"] {
            assert!(
                Endpoint::parse("tcp -h a")
                    .unwrap()
                    .with_host(host)
                    .is_err(),
                "{host}"
            );
        }
    }

    #[test]
    fn a_locator_is_a_set() {
        let l = Locator::parse(
            "tars.tarsregistry.QueryObj@tcp -h 10.9.0.1 -p 17890:tcp -h 10.9.0.2 -p 17890 -t 3000:tcp -h 10.9.0.1 -p 17890",
        )
        .unwrap();
        assert_eq!(l.object, QUERY_OBJECT);
        assert_eq!(l.endpoints.len(), 3);
        assert_eq!(l.set(), set(&[("10.9.0.1", 17890), ("10.9.0.2", 17890)]));
        assert_eq!(
            l.with(&set(&[("10.9.0.2", 17890), ("10.9.0.3", 1)]), true)
                .unwrap(),
            "tars.tarsregistry.QueryObj@tcp -h 10.9.0.2 -p 17890 -t 3000:tcp -h 10.9.0.3 -p 1"
        );
        assert!(l.with(&BTreeSet::new(), false).is_err());
    }

    #[test]
    fn placeholders_and_nonsense_are_no_endpoints() {
        let open = Locator::parse("tars.tarsregistry.QueryObj@registryAddress").unwrap();
        assert_eq!(open.placeholder, Some(Placeholder::RegistryAddress));
        assert!(open.set().is_empty());
        let host = Locator::parse("q@tcp -h registry.tars.com -p 17890").unwrap();
        assert_eq!(host.placeholder, Some(Placeholder::RegistryHost));
        assert!(host.set().is_empty());
        assert_eq!(
            host.with(&set(&[("a", 1)]), false).unwrap(),
            "q@tcp -h a -p 1"
        );
        let odd = Locator::parse("q@tcp -h -p 1:tcp -h a -p 2").unwrap();
        assert_eq!((odd.invalid.len(), odd.set()), (1, set(&[("a", 2)])));
        assert!(Locator::parse("tcp -h a -p 1").is_err());
        assert!(Locator::parse("@tcp -h a -p 1").is_err());
    }

    #[test]
    fn ipv6_hosts_survive_the_colons_between() {
        let wanted = set(&[("fd00::1", 17890), ("fd00::2", 17890)]);
        let text = Locator::print("q", &wanted).unwrap();
        assert_eq!(Locator::parse(&text).unwrap().set(), wanted);
        assert!(Locator::print("q", &set(&[("tcp1.example", 1)])).is_err());
    }
}
