//! Newtypes for the strings that appear in specs, on command lines and in files on hosts.
//!
//! Each type admits only what is safe to put into a Tars configuration file, a crontab line and a
//! quoted shell word, so that later code need not ask again.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

pub use crate::invalid::InvalidName;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `value` and wraps it.
            ///
            /// # Errors
            /// [`InvalidName`] names the rule that the value breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                match $check(&value) {
                    Ok(()) => Ok(Self(value)),
                    Err(why) => Err(InvalidName { what: $what, value, why }),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(s: String) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0
            }
        }
    };
}

fn plain(value: &str, max: usize, extra: &[char]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.len() > max {
        return Err("it is too long");
    }
    if value.starts_with('-') {
        return Err("it starts with a dash, which programs would read as an option");
    }
    if !value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
    {
        return Err("it contains a character other than letters, digits and `.`, `-`, `_`");
    }
    Ok(())
}

fn node_name(value: &str) -> Result<(), &'static str> {
    plain(value, 128, &['.', '-', '_', ':'])
}

fn cluster_name(value: &str) -> Result<(), &'static str> {
    plain(value, 64, &['.', '-', '_'])
}

fn user_name(value: &str) -> Result<(), &'static str> {
    plain(value, 32, &['.', '-', '_'])?;
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it starts with a digit, which chown would read as a number");
    }
    Ok(())
}

fn host_address(value: &str) -> Result<(), &'static str> {
    // An endpoint list is cut where one of these words follows a colon (TarsCpp
    // `servant/libservant/EndpointInfo.cpp`), so no host may be called so.
    if ["tcp", "udp", "ssl"].contains(&value.to_ascii_lowercase().as_str()) {
        return Err("in an endpoint that word is a protocol");
    }
    plain(value, 253, &['.', '-', '_', ':'])
}

fn absolute_path(value: &str) -> Result<(), &'static str> {
    if !value.starts_with('/') {
        return Err("it is not absolute");
    }
    if value.len() > 512 {
        return Err("it is too long");
    }
    if value.len() > 1 && value.ends_with('/') {
        return Err("it ends in a slash");
    }
    if value[1..]
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err("it has an empty, `.` or `..` part");
    }
    // Tars' own scripts do not quote their paths, and cron reads `%` as a newline.
    if !value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c))
    {
        return Err("it contains a character that the framework's scripts cannot handle");
    }
    if value == "/" {
        return Err("it is the root directory");
    }
    Ok(())
}

/// Engines take a container's name of two characters and more only.
fn container_name(value: &str) -> Result<(), &'static str> {
    network_name(value)?;
    if value.len() < 2 {
        return Err("it has one character, and engines ask for two");
    }
    Ok(())
}

fn network_name(value: &str) -> Result<(), &'static str> {
    plain(value, 128, &['.', '-', '_'])?;
    if value.starts_with(['.', '_']) {
        return Err("it starts with a dot or a line");
    }
    Ok(())
}

/// An image by its name, with a tag or the digest of a registry: what `docker pull` takes, without
/// anything that a program could read as an option.
fn image_name(value: &str) -> Result<(), &'static str> {
    if value.len() > 255 {
        return Err("it is too long");
    }
    let (name, digest) = match value.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (value, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.parse::<Digest>().is_err() {
            return Err("behind its `@` stands no sha256 digest");
        }
    }
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if let Some(tag) = tag
        && (plain(tag, 128, &['.', '-', '_']).is_err() || tag.starts_with('.'))
    {
        return Err("its tag is no word of letters, digits and `.`, `-`, `_`");
    }
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && plain(part, 255, &['.', '-', '_', ':']).is_ok()
    };
    if !path.split('/').all(part) {
        return Err("it is no `[registry/]name[:tag]`");
    }
    Ok(())
}

/// The longest name of a step's folder.
const STEP_NAME: usize = 160;

fn step_name(value: &str) -> Result<(), &'static str> {
    plain(value, STEP_NAME, &['.', '-', '_'])?;
    if value.starts_with('.') {
        return Err("it starts with a dot");
    }
    if value.contains("..") {
        return Err("it has two dots in a row");
    }
    Ok(())
}

name_type!(
    /// The name of a step as a folder on a host. It is one plain part of a path, so that a name that
    /// a host or a file says cannot lead out of the folder of its run.
    StepName, "step name", step_name
);
name_type!(
    /// A Tars node name: what `tarsnode --nodeid` says and what the registry knows.
    NodeName, "node name", node_name
);
name_type!(
    /// The name of a cluster, as in the spec's `cluster:`.
    ClusterName, "cluster name", cluster_name
);
name_type!(
    /// A user of the operating system.
    UserName, "user name", user_name
);
name_type!(
    /// Where SSH connects: a host name or an IP address, without a port.
    HostAddress, "host address", host_address
);
name_type!(
    /// The name of a container.
    ContainerName, "container name", container_name
);
name_type!(
    /// The name of a network of an engine.
    NetworkName, "network name", network_name
);
name_type!(
    /// The name of an image: `[registry/]name[:tag][@sha256:digest]`. A tag names no version: it may
    /// mean another image tomorrow.
    ImageName, "image name", image_name
);
name_type!(
    /// An absolute, normal path on a host.
    AbsPath, "path", absolute_path
);

impl ImageName {
    /// The tag; none where there is none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        let name = self.0.split('@').next()?;
        let (_, tag) = name.rsplit_once(':')?;
        (!tag.contains('/')).then_some(tag)
    }

    /// The digest of a registry, where it names one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.0.split_once("@sha256:")?.1.parse().ok()
    }
}

impl AbsPath {
    /// This path with `rest` appended; `rest` must be relative and made of safe characters.
    ///
    /// # Errors
    /// [`InvalidName`] if the result is no valid path.
    pub fn join(&self, rest: &str) -> Result<Self, InvalidName> {
        Self::new(format!("{}/{rest}", self.0))
    }
}

impl StepName {
    /// The name of the folder of the step `id`: the same id always has the same one.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let mut name = String::with_capacity(id.len());
        for c in id.chars() {
            let dot = c == '.' && (name.is_empty() || name.ends_with('.'));
            let dash = c == '-' && name.is_empty();
            if (c.is_ascii_alphanumeric() || "._-".contains(c)) && !dot && !dash {
                name.push(c);
            } else {
                name.push('_');
            }
        }
        if name.len() > STEP_NAME {
            // Two long ids must not share a folder.
            let digest = Digest::of(id.as_bytes()).to_string();
            name.truncate(STEP_NAME - 17);
            name.push('_');
            name.push_str(&digest[..16]);
        }
        if name.is_empty() {
            name.push('_');
        }
        Self(name)
    }
}

impl std::ops::Deref for StepName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl NodeName {
    /// The IP address that this name is, if it is one.
    #[must_use]
    pub fn as_ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

/// A TCP endpoint: `host:port`, or `[v6]:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: HostAddress,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of an address.
    #[must_use]
    pub fn at(ip: IpAddr, port: u16) -> Self {
        Self {
            host: HostAddress(ip.to_string()),
            port,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.as_str().contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let bad = |why| InvalidName {
            what: "endpoint",
            value: s.to_owned(),
            why,
        };
        let (host, port) = match s.strip_prefix('[') {
            Some(rest) => rest
                .split_once("]:")
                .ok_or_else(|| bad("it is not [address]:port"))?,
            None => s.rsplit_once(':').ok_or_else(|| bad("it has no port"))?,
        };
        if !s.starts_with('[') && host.contains(':') {
            return Err(bad("an IPv6 address must be in brackets"));
        }
        let port: u16 = port
            .parse()
            .map_err(|_| bad("its port is not a number up to 65535"))?;
        if port == 0 {
            return Err(bad("its port is 0"));
        }
        let host = HostAddress::new(host).map_err(|e| bad(e.why))?;
        Ok(Self { host, port })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        s.parse()
    }
}

impl From<Endpoint> for String {
    fn from(e: Endpoint) -> String {
        e.to_string()
    }
}

/// Identifies one run of `apply` or `rollback`; later runs sort after earlier ones.
///
/// The text is 13 digits (milliseconds since 1970, or one more than the newest run that any host
/// has seen), a dash and six hexadecimal digits of chance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// Makes an id from a sequence number (milliseconds since 1970) and a chance value.
    #[must_use]
    pub fn from_parts(sequence: u64, chance: u32) -> Self {
        Self(format!(
            "{:013}-{:06x}",
            sequence.min(9_999_999_999_999),
            chance & 0x00ff_ffff
        ))
    }

    /// Checks the text of an id.
    ///
    /// # Errors
    /// [`InvalidName`] if the text has another shape.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
        let value = value.into();
        let ok = value.len() == 20
            && value.as_bytes()[13] == b'-'
            && value.bytes().take(13).all(|b| b.is_ascii_digit())
            && value
                .bytes()
                .skip(14)
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if ok {
            Ok(Self(value))
        } else {
            Err(InvalidName {
                what: "run id",
                value,
                why: "it is not 13 digits, a dash and 6 hexadecimal digits",
            })
        }
    }

    /// Whether a clock that says `now`, in seconds since 1970, may have come so far: clocks of control
    /// machines differ, but not by more than ten minutes.
    #[must_use]
    pub fn is_by(&self, now: i64) -> bool {
        const APART: u64 = 10 * 60;
        let now = u64::try_from(now).unwrap_or(0);
        self.sequence() <= now.saturating_add(APART).saturating_mul(1000)
    }

    /// The sequence number: milliseconds since 1970 unless clocks disagreed.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0[..13].parse().unwrap_or(0)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        Self::new(s)
    }
}

impl FromStr for RunId {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Self::new(s)
    }
}

impl From<RunId> for String {
    fn from(r: RunId) -> String {
        r.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_parse_and_print() {
        for s in ["10.0.0.1:17890", "[fd00::1]:17890", "reg.example:1"] {
            assert_eq!(s.parse::<Endpoint>().unwrap().to_string(), s);
        }
        for s in [
            "10.0.0.1",
            "10.0.0.1:0",
            "fd00::1:17890",
            "a b:1",
            ":17890",
            "h:70000",
        ] {
            assert!(s.parse::<Endpoint>().is_err(), "{s} was accepted");
        }
    }

    #[test]
    fn names_that_a_shell_or_an_option_parser_would_misread_are_refused() {
        for s in ["", "-oProxyCommand=x", "a b", "a;b", "a$b", "a\nb", "a'b"] {
            assert!(NodeName::new(s).is_err(), "{s:?} was accepted");
            assert!(HostAddress::new(s).is_err(), "{s:?} was accepted");
        }
        for s in ["tcp", "UDP", "ssl"] {
            assert!(HostAddress::new(s).is_err(), "{s:?} was accepted");
        }
        assert!(HostAddress::new("tcp.example").is_ok());
        for s in ["/", "usr", "/a/../b", "/a//b", "/a b", "/a/", "/a%b"] {
            assert!(AbsPath::new(s).is_err(), "{s:?} was accepted");
        }
        assert!(UserName::new("0day").is_err());
    }

    #[test]
    fn a_step_name_is_one_plain_part_of_a_path() {
        for s in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a..b",
            ".a",
            "-a",
            "a b",
            "a\nb",
            "a\u{202e}b",
            "/etc",
        ] {
            assert!(StepName::new(s).is_err(), "{s:?} was accepted");
            let made = StepName::of(s);
            assert_eq!(StepName::new(made.as_str()), Ok(made), "{s:?}");
        }
        let long = |last: &str| StepName::of(&format!("{}{last}", "x".repeat(900)));
        assert!(StepName::new(long("a").as_str()).is_ok());
        assert_ne!(long("a"), long("b"));
        let name = StepName::of("tarsnode.change@10.97.0.12");
        assert_eq!(name.as_str(), "tarsnode.change_10.97.0.12");
    }

    #[test]
    fn run_ids_sort_by_sequence() {
        let a = RunId::from_parts(5, 0xffffff);
        let b = RunId::from_parts(6, 0);
        assert!(a < b);
        assert_eq!(RunId::new(a.as_str()).unwrap(), a);
        assert!(RunId::new("17").is_err());
    }
}
