//! The options of `adopt` as entries of a spec.

use std::path::{Component as Part, Path, PathBuf};

use tarsops_model::names::{AbsPath, ClusterName, HostAddress, NodeName, UserName};
use tarsops_plan::adopt::{Entry, Given, Start, quoted};
use tarsops_probe::FoundAgent;

use crate::args::Adopt;
use crate::exit;
use crate::failure::{Failure, Result};

/// An address of nobody (RFC 5737), for the first connection: that host's own is not known yet.
const NOBODY: &str = "192.0.2.1";
/// The installer's.
const INSTALL_PATH: &str = "/usr/local/app";

/// What is given before anything was seen: a spec of one node, by which its host is reached.
pub fn first(adopt: &Adopt) -> Result<Given> {
    let usage = |what: &str, e: &dyn std::error::Error| {
        Failure::new(format!("could not understand {what}"))
            .because(e)
            .code(exit::USAGE)
    };
    let address = HostAddress::new(&adopt.from).map_err(|e| usage("--from", &e))?;
    let ip = adopt.from.parse().or_else(|_| NOBODY.parse());
    let ip: std::net::IpAddr = ip.map_err(|e| usage("--from", &e))?;
    let version = adopt.framework_version.as_deref().map(str::parse);
    let path = AbsPath::new(INSTALL_PATH).map_err(|e| usage("the install path", &e))?;
    let user = UserName::new("root").map_err(|e| usage("the run user", &e))?;
    let dir = folder_of(&adopt.out)?;
    Ok(Given {
        cluster: ClusterName::new(&adopt.name).map_err(|e| usage("--name", &e))?,
        start: Start {
            node: NodeName::new(&adopt.from).map_err(|e| usage("--from", &e))?,
            address: (adopt.from != ip.to_string()).then_some(address),
            ip,
        },
        version: version
            .transpose()
            .map_err(|e| usage("--framework-version", &e))?,
        packages: adopt
            .packages
            .as_deref()
            .map(|p| for_spec(p, &dir))
            .transpose()?,
        install_path: path,
        install_paths: std::collections::BTreeMap::new(),
        run_user: user,
        ssh: ssh(adopt, &dir)?,
        database: vec![],
        web: web(adopt, &dir)?,
        rpc: match adopt.rpc.as_str() {
            "ssh" => Some("ssh"),
            "none" => Some("none"),
            _ => None,
        },
    })
}

/// Takes over what the first host says of itself.
pub fn take(given: &mut Given, adopt: &Adopt, agent: &FoundAgent) -> Result<()> {
    let own = adopt.from.parse().ok();
    let named = agent.nodeid.as_ref().and_then(NodeName::as_ip);
    let Some(ip) = named.or(agent.localip).or(own) else {
        return Err(Failure::new(format!(
            "the tarsnode on {} does not say which address it binds",
            adopt.from
        ))
        .hint("give --from as that address")
        .code(exit::INCOMPLETE));
    };
    let by_ip = || NodeName::new(ip.to_string()).ok();
    given.start.node = agent
        .nodeid
        .clone()
        .or_else(by_ip)
        .unwrap_or_else(|| given.start.node.clone());
    given.start.ip = ip;
    given.start.address = HostAddress::new(&adopt.from)
        .ok()
        .filter(|_| own != Some(ip));
    given.install_path = agent.install_path.clone();
    if let Some(user) = &agent.user {
        given.run_user = user.clone();
    }
    given.database = database(given, adopt, agent)?;
    Ok(())
}

/// The section `database`: what was given, and what the registry's configuration says.
fn database(given: &Given, adopt: &Adopt, agent: &FoundAgent) -> Result<Vec<Entry>> {
    let Some(password) = &adopt.database_password else {
        return Ok(vec![]);
    };
    let found = agent.database.as_ref();
    let missing = |what: &str, option: &str| {
        Failure::new(format!(
            "nobody names the {what} of the framework's database"
        ))
        .hint(format!("give it with {option}"))
        .code(exit::USAGE)
    };
    let of_conf = || "the configuration of tarsregistry".to_owned();
    let (address, from) = match (&adopt.database, found) {
        (Some(address), _) => (address.clone(), "as given".to_owned()),
        (None, Some((at, _))) => (at.to_string(), of_conf()),
        (None, None) => return Err(missing("address", "--database")),
    };
    let (user, user_from) = match (&adopt.database_user, found) {
        (Some(user), _) => (user.clone(), "as given".to_owned()),
        (None, Some((_, user))) => (user.clone(), of_conf()),
        (None, None) => return Err(missing("user", "--database-user")),
    };
    let mut out = vec![
        entry("address", quoted(&address), from),
        entry("user", quoted(&user), user_from),
        entry(
            "password",
            secret(password, "--database-password", &folder_of(&adopt.out)?)?,
            "as given; only the reference is here",
        ),
    ];
    if adopt.database_via_ssh {
        out.push(entry("via", quoted(given.start.node.as_str()), "as given"));
    }
    if let Some(tls) = &adopt.database_tls {
        out.push(entry("tls", tls.clone(), "as given"));
    }
    Ok(out)
}

fn web(adopt: &Adopt, dir: &Path) -> Result<Vec<Entry>> {
    let (Some(url), Some(ticket)) = (&adopt.web, &adopt.web_ticket) else {
        return Ok(vec![]);
    };
    Ok(vec![
        entry("url", quoted(url), "as given"),
        entry(
            "ticket",
            secret(ticket, "--web-ticket", dir)?,
            "as given; only the reference is here",
        ),
    ])
}

fn ssh(adopt: &Adopt, dir: &Path) -> Result<Vec<Entry>> {
    let mut out = Vec::new();
    let texts = [
        ("user", &adopt.ssh_user),
        ("jump", &adopt.ssh_jump),
        ("become", &adopt.ssh_become),
    ];
    for (key, value) in texts {
        out.extend(value.as_ref().map(|v| entry(key, quoted(v), "as given")));
    }
    out.extend(
        adopt
            .ssh_port
            .map(|port| entry("port", port.to_string(), "as given")),
    );
    let files = [
        ("identity", &adopt.ssh_identity),
        ("known_hosts", &adopt.ssh_known_hosts),
        ("config", &adopt.ssh_config),
    ];
    for (key, value) in files {
        if let Some(path) = value {
            out.push(entry(key, quoted(&for_spec(path, dir)?), "as given"));
        }
    }
    Ok(out)
}

fn entry(key: &'static str, value: String, source: impl Into<String>) -> Entry {
    Entry {
        key,
        value,
        source: source.into(),
    }
}

/// A reference to a secret, as a spec has it.
fn secret(text: &str, option: &str, dir: &Path) -> Result<String> {
    match text.split_once(':') {
        Some(("env", name)) => Ok(format!("{{env: {}}}", quoted(name))),
        Some(("file", path)) => Ok(format!("{{file: {}}}", quoted(&for_spec(path, dir)?))),
        _ => Err(
            Failure::new(format!("{option} names no source of a secret"))
                .hint("write `env:NAME` or `file:PATH`; the secret itself is never an argument")
                .code(exit::USAGE),
        ),
    }
}

/// The folder of the spec.
fn folder_of(out: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(out)
        .map_err(|e| Failure::new(format!("could not resolve {}", out.display())).because(&e))?;
    Ok(absolute.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// A path of the command line as the spec in `dir` has it: relative to that folder where it is below it.
fn for_spec(path: &str, dir: &Path) -> Result<String> {
    if path.starts_with("~/") {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::new(format!("could not resolve {path}")).because(&e))?;
    let plain = absolute.components().all(|part| part != Part::ParentDir);
    Ok(match absolute.strip_prefix(dir) {
        Ok(below) if plain => format!("./{}", below.display()),
        _ => absolute.display().to_string(),
    })
}
