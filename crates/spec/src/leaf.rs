//! The scalars of a spec: what they look like, and how each is checked.
//!
//! Each kind is an empty type that serves as a name: the JSON Schema of the document refers to it,
//! and the check of a text's shape finds it again by that name. So the pattern that an editor uses
//! and the check that decides stand side by side.

use std::borrow::Cow;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use tarsops_model::digest::Digest;
use tarsops_model::host::JumpHost;
use tarsops_model::names::{
    AbsPath, ClusterName, Endpoint, HostAddress, ImageName, InvalidName, NodeName as Name, UserName,
};
use tarsops_model::version::Version as FrameworkVersion;

use crate::document::{Count, PackagesAt, Seconds};
use crate::range;
use crate::rules::Rule;

/// What a check says: the broken rule and a lowercase sentence.
pub(crate) type Refusal = (Rule, String);

/// One kind of scalar.
pub(crate) struct Leaf {
    /// Its name among the schema's definitions.
    pub(crate) name: &'static str,
    /// What was expected, with an article.
    pub(crate) expected: &'static str,
    /// What to do if it is wrong.
    pub(crate) help: &'static str,
    /// The rule that a value of another type breaks.
    pub(crate) wrong_type: Rule,
    /// Checks a string.
    pub(crate) check: fn(&str) -> Result<(), Refusal>,
}

macro_rules! leaves {
    ($($name:ident, $expected:literal, $pattern:literal, [$($example:literal),*], $help:literal, $rule:expr, $check:expr;)*) => {
        $(
            #[doc = $expected]
            pub(crate) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({
                        "type": "string",
                        "description": concat!("Here stands ", $expected, "."),
                        "pattern": $pattern,
                        "examples": [$($example),*],
                    })
                }
            }
        )*

        /// All kinds that are strings.
        pub(crate) const LEAVES: &[Leaf] = &[$(Leaf {
            name: stringify!($name),
            expected: $expected,
            help: $help,
            wrong_type: $rule,
            check: $check,
        }),*];
    };
}

/// The digest that a fingerprint says.
pub(crate) fn fingerprint(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:")?.parse().ok()
}

/// The kind that a `$ref` of the schema names.
pub(crate) fn find(reference: &str) -> Option<&'static Leaf> {
    let name = reference.strip_prefix("#/$defs/")?;
    LEAVES.iter().find(|l| l.name == name)
}

fn named<T>(rule: Rule, result: Result<T, InvalidName>) -> Result<(), Refusal> {
    result.map(drop).map_err(|e| (rule, e.to_string()))
}

leaves! {
    Cluster, "a cluster name", r"^[A-Za-z0-9._][A-Za-z0-9._-]{0,63}$", ["prod"],
        "use letters, digits, `.`, `-` and `_`",
        Rule::WrongType, |s| named(Rule::InvalidName, ClusterName::new(s));
    NodeName, "a node name", r"^[A-Za-z0-9._:][A-Za-z0-9._:-]{0,127}$", ["10.0.0.1", "gw-1"],
        "write the name of one node: letters, digits, `.`, `-`, `_` and `:`, without brackets",
        Rule::WrongType, |s| named(Rule::InvalidName, Name::new(s));
    NodePattern, "a node name or a range of them", r"^(?!-)([A-Za-z0-9._:-]|\[ *[0-9]+( *- *[0-9]+)?( *, *[0-9]+( *- *[0-9]+)?)* *\])+$", ["10.0.0.1", "10.0.1.[1-40]", "gw-[01-12]", "10.0.1.[1-3,7]"],
        "a range is written `10.0.1.[1-40]`, a list `10.0.1.[1-3,7]`; quote it inside `{…}`",
        Rule::WrongType, |s| pattern(s, |n| named(Rule::InvalidName, Name::new(n)));
    IpPattern, "an IP address or a range of them", r"^([0-9A-Fa-f.:]|\[ *[0-9]+( *- *[0-9]+)?( *, *[0-9]+( *- *[0-9]+)?)* *\])+$", ["10.0.2.1", "10.0.2.[1-3]"],
        "write an IPv4 or IPv6 address; a range is written `10.0.2.[1-3]`",
        Rule::WrongType, |s| pattern(s, |n| match n.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err((Rule::InvalidIp, format!("`{n}` is not an IP address"))),
        });
    Ip, "an IP address", r"^[0-9A-Fa-f.:]+$", ["10.0.2.1", "fd00::1"],
        "write an IPv4 or IPv6 address",
        Rule::WrongType, |s| match s.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err((Rule::InvalidIp, format!("`{s}` is not an IP address"))),
        };
    AddressPattern, "a host name or IP address, or a range of them", r"^(?!-)(([A-Za-z0-9._-]|\[ *[0-9]+( *- *[0-9]+)?( *, *[0-9]+( *- *[0-9]+)?)* *\])+|([0-9A-Fa-f.:]|\[ *[0-9]+( *- *[0-9]+)?( *, *[0-9]+( *- *[0-9]+)?)* *\])+)$", ["gw1.example", "gw[1-3].example"],
        "write a host name or an IP address; the port belongs to `ssh.port`",
        Rule::WrongType, |s| pattern(s, address);
    Address, "a host name or IP address", r"^([A-Za-z0-9._][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f.:]+)$", ["db9.internal"],
        "write a host name or an IP address; the port belongs to `ssh.port`",
        Rule::WrongType, |s| address(s);
    HostPort, "an endpoint such as 10.0.0.1:17890", r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._][A-Za-z0-9._-]*):[0-9]{1,5}$", ["10.0.0.1:17890", "[fd00::1]:17890"],
        "write `address:port`, and an IPv6 address in brackets",
        Rule::WrongType, |s| named(Rule::InvalidEndpoint, s.parse::<Endpoint>());
    Version, "a framework version such as 3.0.17", r"^v?[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}$", ["3.0.17"],
        "write three numbers joined by dots, as in `3.0.17`",
        Rule::WrongType, |s| named(Rule::InvalidVersion, s.parse::<FrameworkVersion>());
    HostPath, "an absolute path", r"^(/[A-Za-z0-9._+@-]+)+$", ["/usr/local/app"],
        "write an absolute path of letters, digits and `._-+@`, without a slash at its end",
        Rule::WrongType, |s| named(Rule::InvalidPath, AbsPath::new(s));
    LocalPath, "a path", r"^(~/|[^~\x00-\x1f])[^\x00-\x1f]*$", ["~/.ssh/id_ed25519", "./known_hosts"],
        "write a path; a relative one starts at the spec's folder, and `~/` at your home",
        Rule::WrongType, |s| local_path(s).map_err(|why| (Rule::InvalidPath, why));
    Packages, "a folder or `node:NAME`", r"^(?![a-z]+://)([^{}\x00-\x1f]|\{version\})+$", ["./packages/{version}", "node:10.0.0.1"],
        "write a folder, in which `{version}` stands for the version, or `node:NAME`",
        Rule::WrongType, |s| s.parse::<PackagesAt>().map(drop).map_err(|why| (Rule::InvalidPackages, why));
    User, "a user name", r"^[A-Za-z._][A-Za-z0-9._-]{0,31}$", ["tars"],
        "use letters, digits, `.`, `-` and `_`, and start with a letter",
        Rule::WrongType, |s| named(Rule::InvalidUser, UserName::new(s));
    Jump, "a jump host such as ops@bastion.example", r"^([A-Za-z._][A-Za-z0-9._-]{0,31}@)?([A-Za-z0-9._][A-Za-z0-9._-]*(:[0-9]{1,5})?|[0-9A-Fa-f.:]+)$", ["ops@bastion.example", "bastion.example:2222", "none"],
        "write `[user@]host[:port]`, or `none` to connect directly",
        Rule::WrongType, |s| named(Rule::InvalidJump, s.parse::<JumpHost>());
    LabelKey, "a label's name", r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$", ["idc"],
        "use letters, digits, `.`, `-`, `_` and `/`, at most 63 of them",
        Rule::WrongType, |s| label("name", s);
    LabelValue, "a label's value", r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$", ["sz"],
        "use letters, digits, `.`, `-`, `_` and `/`, at most 63 of them",
        Rule::WrongType, |s| label("value", s);
    Duration, "a duration such as 30s, 5m or 1h", r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$", ["30s", "5m", "1h30m"],
        "write a number with its unit: `30s`, `5m` or `1h`",
        Rule::InvalidDuration, |s| s.parse::<Seconds>().map(drop).map_err(|why| (Rule::InvalidDuration, why));
    CountText, "a number of hosts or a percentage such as 10%", r"^(100|[0-9]{1,2})%$", ["10%"],
        "write a whole number, or a percentage from 0% to 100%",
        Rule::InvalidCount, |s| s.parse::<Count>().map(drop).map_err(|why| (Rule::InvalidCount, why));
    Day, "a date such as 2026-12-01", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", ["2026-12-01"],
        "write year, month and day, as in `2026-12-01`",
        Rule::WrongType, |s| match s.parse::<jiff::civil::Date>() {
            Ok(_) if s.len() == 10 => Ok(()),
            _ => Err((Rule::InvalidDate, format!("`{s}` is not a date of the calendar"))),
        };
    Url, "an address such as http://10.0.0.1:3000", r"^https?://[^/@\s]+(/[^\s]*)?$", ["http://10.0.0.1:3000"],
        "write `http://` or `https://`, a host, and a port where it is not the usual one",
        Rule::WrongType, |s| url(s).map_err(|why| (Rule::InvalidUrl, why.to_owned()));
    DatabaseUser, "a database user", r"^[^\x00-\x1f]{1,32}$", ["tarsAdmin"],
        "write a name of 1 to 32 characters",
        Rule::WrongType, |s| {
            if s.is_empty() || s.chars().count() > 32 || s.chars().any(char::is_control) {
                Err((Rule::InvalidUser, "the database user is not a name of 1 to 32 characters".to_owned()))
            } else {
                Ok(())
            }
        };
    Fingerprint, "a key's fingerprint such as sha256:5e88…", r"^sha256:[0-9a-fA-F]{64}$", ["sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbd62a11ef721d1542d8d"],
        "write `sha256:` and the 64 hexadecimal digits of the digest of the server's public key",
        Rule::WrongType, |s| match fingerprint(s) {
            Some(_) => Ok(()),
            None => Err((Rule::InvalidFingerprint, format!("`{s}` is not the fingerprint of a key"))),
        };
    Template, "a template's name", r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", ["tars.tarsstat"],
        "write the name as the framework has it: letters, digits, `.`, `-` and `_`",
        Rule::WrongType, |s| named(Rule::InvalidName, template(s));
    EnvName, "the name of an environment variable", r"^[A-Za-z_][A-Za-z0-9_]*$", ["TARS_DB_PASSWORD"],
        "write the variable's name, not its value",
        Rule::WrongType, |s| {
            if is_env_name(s) {
                Ok(())
            } else {
                // The value is not repeated: it may be the secret itself.
                Err((Rule::SecretForm, "this is not the name of an environment variable".to_owned()))
            }
        };
    Image, "an image's name", r"^[A-Za-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-fA-F]{64})?$", ["tarscloud/framework:v3.0.20"],
        "write `[registry/]name:tag`, or `name@sha256:` and the digest of the registry",
        Rule::WrongType, |s| named(Rule::InvalidImage, ImageName::new(s));
    ContainerName, "a container's name", r"^[A-Za-z0-9][A-Za-z0-9._-]{1,127}$", ["tars-framework"],
        "use two or more letters, digits, `.`, `-` and `_`, and start with a letter or digit",
        Rule::WrongType, |s| named(Rule::InvalidName, tarsops_model::names::ContainerName::new(s));
    NetworkName, "a network's name", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", ["host"],
        "use letters, digits, `.`, `-` and `_`, and start with a letter or digit",
        Rule::WrongType, |s| named(Rule::InvalidName, tarsops_model::names::NetworkName::new(s));
    Socket, "an engine's socket such as unix:///var/run/docker.sock", r"^unix://(/[A-Za-z0-9._+@-]+)+$", ["unix:///var/run/docker.sock"],
        "write `unix://` and the path of the socket on the hosts; engines of other machines are not asked",
        Rule::WrongType, |s| match s.strip_prefix("unix://") {
            Some(path) => named(Rule::InvalidPath, AbsPath::new(path)),
            None => Err((Rule::InvalidPath, format!("`{s}` is no socket of the host"))),
        };
    Mount, "a mount such as /etc/localtime:/etc/localtime:ro", r"^(/[A-Za-z0-9._+@-]+)+:(/[A-Za-z0-9._+@-]+)+(:ro)?$", ["/etc/localtime:/etc/localtime:ro"],
        "write `/on/host:/in/container`, with `:ro` behind it where the container only reads",
        Rule::WrongType, |s| match mount(s) {
            Some(_) => Ok(()),
            None => Err((Rule::InvalidPath, format!("`{s}` is not two absolute paths with a colon between them"))),
        };
    LogSize, "a size such as 100m", r"^[1-9][0-9]{0,5}[kmg]$", ["100m"],
        "write a whole number with `k`, `m` or `g` behind it",
        Rule::InvalidSize, |s| match log_size(s) {
            true => Ok(()),
            false => Err((Rule::InvalidSize, format!("`{s}` is not the size of a file"))),
        };
    TimeZone, "a time zone such as Asia/Shanghai", r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$", ["Asia/Shanghai"],
        "write the name of a time zone, as `timedatectl list-timezones` has it",
        Rule::WrongType, |s| match time_zone(s) {
            true => Ok(()),
            false => Err((Rule::InvalidName, format!("`{s}` is no name of a time zone"))),
        };
    Word, "an argument", r"^[^\x00]+$", ["pass"],
        "write the program and each of its arguments as one text",
        Rule::WrongType, |s| {
            if s.is_empty() || s.contains('\0') {
                Err((Rule::SecretForm, "a program or argument is empty".to_owned()))
            } else {
                Ok(())
            }
        };
}

/// A mount: on the host, in the container, and whether the container may write.
pub(crate) fn mount(s: &str) -> Option<(AbsPath, AbsPath, bool)> {
    let (paths, writable) = match s.strip_suffix(":ro") {
        Some(paths) => (paths, false),
        None => (s, true),
    };
    let (host, inside) = paths.split_once(':')?;
    Some((
        AbsPath::new(host).ok()?,
        AbsPath::new(inside).ok()?,
        writable,
    ))
}

fn log_size(s: &str) -> bool {
    let number = s.strip_suffix(['k', 'm', 'g']).unwrap_or_default();
    (1..=6).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
        && !number.starts_with('0')
}

fn time_zone(s: &str) -> bool {
    s.len() <= 64
        && s.starts_with(|c: char| c.is_ascii_alphabetic())
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+/-".contains(&b))
}

/// A template is named as a server is, and by a node name's characters.
fn template(s: &str) -> Result<(), InvalidName> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if s.len() <= 128 && s.chars().all(plain) && !s.starts_with(['.', '-']) && !s.is_empty() {
        return Ok(());
    }
    Err(InvalidName {
        what: "template name",
        value: s.to_owned(),
        why: "letters, digits, `.`, `-` and `_`",
    })
}

/// Whether `s` can be the name of an environment variable.
pub(crate) fn is_env_name(s: &str) -> bool {
    !s.is_empty()
        && !s.starts_with(|c: char| c.is_ascii_digit())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn pattern(s: &str, each: impl Fn(&str) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let names = range::expand(s)
        .map_err(|why| (Rule::InvalidRange, format!("`{s}` is not a range: {why}")))?;
    names.iter().try_for_each(|n| each(n))
}

fn address(s: &str) -> Result<(), Refusal> {
    // A colon is either part of an IPv6 address or a port, which has its own key.
    if s.contains(':') && s.parse::<IpAddr>().is_err() {
        return Err((
            Rule::InvalidAddress,
            format!("`{s}` is not a valid host address: it has a port, or is no IPv6 address"),
        ));
    }
    named(Rule::InvalidAddress, HostAddress::new(s))
}

fn local_path(s: &str) -> Result<(), String> {
    if s.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if s.chars().any(char::is_control) {
        return Err("the path contains a control character".to_owned());
    }
    if s.starts_with('~') && s != "~" && !s.starts_with("~/") {
        return Err(format!("`{s}` starts at the home of another user"));
    }
    Ok(())
}

fn label(what: &str, s: &str) -> Result<(), Refusal> {
    let ok = s.len() <= 63
        && s.starts_with(|c: char| c.is_ascii_alphanumeric())
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b));
    if ok {
        return Ok(());
    }
    Err((
        Rule::InvalidLabel,
        format!("`{s}` cannot be the {what} of a label"),
    ))
}

fn url(s: &str) -> Result<(), &'static str> {
    let rest = s
        .strip_prefix("http://")
        .or_else(|| s.strip_prefix("https://"))
        .ok_or("the address does not start with http:// or https://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("the address contains a user or password");
    }
    if s.contains(['?', '#']) {
        return Err("the address contains a query or a fragment");
    }
    if s.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the address contains white space");
    }
    let with_port = |port: &str| format!("{authority}{port}").parse::<Endpoint>().is_ok();
    if with_port("") || with_port(":80") {
        Ok(())
    } else {
        Err("the address names no host, or no valid port")
    }
}
