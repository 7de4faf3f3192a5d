//! From text to the desired state of a cluster.
//!
//! [`parse`] ends at a document of the right shape, [`Parsed::lower`] at a desired state. The
//! order matters: what is said about the cluster as a whole is only true of a document in which
//! every single value is right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use tarsops_model::agent::{Agent, Monitor};
use tarsops_model::component::Component;
use tarsops_model::desired::{
    self, Desired, OnFailure, PackageSource, Policy, Rebuild, Resource, RowSettings, SecretRef,
    Server,
};
use tarsops_model::digest::Digest;
use tarsops_model::host::{self, Become, Host, KeyExchange, SshAccess};
use tarsops_model::names::{AbsPath, NodeName};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::diag::{Diagnostic, Diagnostics, Label};
use crate::docker;
use crate::document::{self, ComponentRules, Jump, PackagesAt, Secret, Spec};
use crate::leaf;
use crate::members::{Member, members};
use crate::odd;
use crate::rules::Rule;
use crate::semantics::{self, Facts};
use crate::source::{Help, Source, secrets};
use crate::tree::{self, Node, Value};

/// Seconds until a connection attempt is given up, where the spec names none.
const CONNECT_TIMEOUT: u64 = 10;
/// Hosts looked at at once for each processor of this machine, where the spec names none: a login takes
/// a processor for a part of its time, and the host and the way there for the rest.
const PARALLEL: u32 = 8;
/// The same for all processors, at most.
const MOST_PARALLEL: u32 = 64;

/// What a spec means on this machine: relative paths, `~`, and how many hosts it looks at at once.
#[derive(Debug, Clone)]
pub struct Base {
    /// Folder of the spec, where relative paths start.
    pub dir: PathBuf,
    /// The user's home, where `~` starts; none if it is not known.
    pub home: Option<PathBuf>,
    /// How many processors this machine has.
    pub processors: u32,
}

impl Base {
    const fn parallel(&self) -> u32 {
        let all = self.processors.saturating_mul(PARALLEL);
        if all > MOST_PARALLEL {
            MOST_PARALLEL
        } else if all < PARALLEL {
            PARALLEL
        } else {
            all
        }
    }
}

/// A document of the right shape, with the place of every value.
#[derive(Debug, Clone)]
pub struct Parsed {
    source: Source,
    root: Node,
    spec: Spec,
}

/// Reads `text` as a spec; `file` is its name in messages.
///
/// # Errors
/// All mistakes of syntax, keys, types and single values.
pub fn parse(text: &str, file: &str) -> Result<Parsed, Diagnostics> {
    let mut source = Source::new(text, file);
    // Until there is a tree, only the text itself can tell where secrets stand.
    let read = if text.len() > tree::MAX_TEXT {
        text.lines().next().unwrap_or("")
    } else {
        text
    };
    source.hide(secrets::in_text(read));
    let (root, mut early) = tree::read(&source);
    let Some(root) = root else {
        odd::explain_text(&source, &mut early);
        return Err(Diagnostics::new(early));
    };
    let mut source = Source::new(text, file);
    source.hide(secrets::in_tree(&root));
    let mut problems = early;
    problems.extend(crate::shape::check(&source, &root));
    odd::explain(&source, &root, &mut problems);
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    match serde_json::from_value(root.to_json()) {
        Ok(spec) => Ok(Parsed { source, root, spec }),
        // The check of the shape should have found it; this still names it, without a place.
        Err(e) => Err(Diagnostics::new(vec![source.diagnostic(
            Rule::WrongType,
            &(0..0),
            format!("the spec cannot be read: {e}"),
            "compare it with the JSON Schema",
        )])),
    }
}

impl Parsed {
    /// The document.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Checks the document as a whole and turns it into the desired state, with warnings.
    ///
    /// # Errors
    /// All mistakes that only show in the document as a whole, with the warnings among them.
    pub fn lower(&self, base: &Base) -> Result<(Desired, Diagnostics), Diagnostics> {
        let mut check = Check {
            parsed: self,
            out: Vec::new(),
        };
        let members = members(&mut check);
        let facts = semantics::check(&mut check, &members);
        let desired = build(&mut check, &members, &facts, base);
        let said = Diagnostics::new(check.out);
        match desired {
            Some(desired) if !said.has_errors() => Ok((desired, said)),
            _ => Err(said),
        }
    }

    /// File and line of what `path` names, such as `ssh/identity`, as `FILE:LINE`; none if it is not
    /// written down.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<String> {
        let (_, value) = self.find(path).ok()?;
        let line = self.source.span(&value).line;
        Some(format!("{}:{line}", self.source.file()))
    }

    /// The place of what `path` names, such as `nodes/3/name`, if it is written down.
    fn find(&self, path: &str) -> Result<(Range<usize>, Range<usize>), Range<usize>> {
        let mut node = &self.root;
        let mut key = 0..0;
        for part in path.split('/') {
            let next = match &node.value {
                Value::Map(_) => node.pair(part).map(|p| {
                    key = p.key_span.clone();
                    &p.node
                }),
                Value::List(_) => part.parse().ok().and_then(|i| node.item(i)),
                _ => None,
            };
            match next {
                Some(n) => node = n,
                None => return Err(key),
            }
        }
        Ok((key, node.span.clone()))
    }
}

/// The second half of validation: a document, and what was found wrong with it so far.
pub(crate) struct Check<'a> {
    parsed: &'a Parsed,
    out: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    /// Starts with nothing found.
    pub(crate) const fn new(parsed: &'a Parsed) -> Self {
        Self {
            parsed,
            out: Vec::new(),
        }
    }

    /// What was found.
    pub(crate) fn finish(self) -> Diagnostics {
        Diagnostics::new(self.out)
    }

    /// The document.
    pub(crate) const fn spec(&self) -> &'a Spec {
        &self.parsed.spec
    }

    /// The place of the value at `path`, or of the nearest key above it.
    pub(crate) fn place(&self, path: &str) -> Range<usize> {
        match self.parsed.find(path) {
            Ok((_, value)) => value,
            Err(key) => key,
        }
    }

    /// The place of the value at `path`, if it is written down.
    pub(crate) fn exact(&self, path: &str) -> Option<Range<usize>> {
        self.parsed.find(path).ok().map(|(_, value)| value)
    }

    /// The place of the key at `path`, or of the nearest key above it.
    pub(crate) fn key(&self, path: &str) -> Range<usize> {
        match self.parsed.find(path) {
            Ok((key, _)) | Err(key) => key,
        }
    }

    pub(crate) fn diagnostic(
        &self,
        rule: Rule,
        span: &Range<usize>,
        message: impl AsRef<str>,
        help: impl Into<Help>,
    ) -> Diagnostic {
        self.parsed.source.diagnostic(rule, span, message, help)
    }

    pub(crate) fn label(&self, span: &Range<usize>, message: &str) -> Label {
        self.parsed.source.label(span, message)
    }

    pub(crate) fn push(&mut self, d: Diagnostic) {
        self.out.push(d);
    }

    pub(crate) fn say(
        &mut self,
        rule: Rule,
        span: &Range<usize>,
        message: impl AsRef<str>,
        help: impl Into<Help>,
    ) {
        let d = self.diagnostic(rule, span, message, help);
        self.push(d);
    }

    /// `text`, found at `path` of the document, as a path of the control machine.
    pub(crate) fn local(&mut self, path: &str, text: &str, base: &Base) -> PathBuf {
        let Some(rest) = text.strip_prefix('~') else {
            return base.dir.join(strip_dot(text));
        };
        if let Some(home) = &base.home {
            return home.join(rest.trim_start_matches('/'));
        }
        let place = self.place(path);
        self.say(
            Rule::InvalidPath,
            &place,
            "`~` cannot be resolved: the home directory is not known",
            "set HOME, or write the whole path",
        );
        PathBuf::from(text)
    }

    pub(crate) fn secret(&mut self, path: &str, secret: &Secret, base: &Base) -> SecretRef {
        if let Some(name) = &secret.env {
            return SecretRef::Env(name.clone());
        }
        if let Some(file) = &secret.file {
            return SecretRef::File(self.local(&format!("{path}/file"), file, base));
        }
        SecretRef::Command(secret.command.clone().unwrap_or_default())
    }
}

/// `./a` as `a`, so that resolved paths read well.
fn strip_dot(text: &str) -> &Path {
    Path::new(text.strip_prefix("./").unwrap_or(text))
}

fn build(
    check: &mut Check<'_>,
    members: &[Member<'_>],
    facts: &Facts,
    base: &Base,
) -> Option<Desired> {
    let spec = check.spec();
    let framework = &spec.framework;
    let ssh = common_ssh(check, base);
    let registries: BTreeSet<_> = spec.registry.endpoints.iter().cloned().collect();
    let tars_path = framework.install_path.join("tars").ok()?;

    let mut resources = BTreeMap::new();
    let mut access = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for m in members {
        let host = Host {
            ip: m.ip,
            role: m.role,
            labels: m.labels.clone(),
            state: m.state.clone(),
        };
        resources.insert(ResourceId::Host(m.name.clone()), Resource::Host(host));
        access.insert(m.name.clone(), ssh_of(check, m, &ssh, base));
        if docker::is_in_container(spec, m) {
            let container = Box::new(docker::container(check, m, base)?);
            resources.insert(
                ResourceId::Container(m.name.clone()),
                Resource::Container(container),
            );
            continue;
        }
        let agent = Agent {
            version: version(spec, m, Component::Tarsnode),
            tars_path: tars_path_of(m, &tars_path),
            nodeid: m.name.clone(),
            ip: m.ip,
            locator: registries.clone(),
            run_user: framework.run_user.clone(),
            create_run_user: framework.create_run_user,
            monitor: match spec.monitor {
                document::Monitor::Cron => Monitor::Cron,
                document::Monitor::None => Monitor::None,
            },
            replace_unknown: replace_unknown(spec, m),
            allow_downgrade: framework.allow_downgrade,
        };
        if !m.leaves() {
            versions.insert((Component::Tarsnode, agent.version));
        }
        resources.insert(
            ResourceId::Agent(m.name.clone()),
            Resource::Agent(Box::new(agent)),
        );
    }
    for (component, nodes) in &facts.placement {
        for m in members.iter().filter(|m| nodes.contains(&m.name)) {
            let version = version(spec, m, *component);
            if !m.leaves() && !docker::is_in_container(spec, m) {
                versions.insert((*component, version));
            }
            let server = Server {
                version,
                tars_path: tars_path_of(m, &tars_path),
                run_user: framework.run_user.clone(),
                ip: m.ip,
                replace_unknown: replace_unknown(spec, m),
                allow_downgrade: framework.allow_downgrade,
                rows: row_settings(spec, *component),
            };
            resources.insert(
                ResourceId::Server(*component, m.name.clone()),
                Resource::Server(server),
            );
        }
    }
    for e in &registries {
        resources.insert(
            ResourceId::RegistryEndpoint(e.clone()),
            Resource::RegistryEndpoint,
        );
    }
    if let Some(db) = &spec.database {
        let database = desired::Database {
            address: db.address.clone(),
            user: db.user.clone(),
            password: check.secret("database/password", &db.password, base),
            via: db.via.clone(),
            tls: match (&db.ca, db.tls) {
                (Some(ca), _) => desired::Tls::Verify {
                    ca: check.local("database/ca", ca, base),
                },
                (None, document::Tls::Prefer) => desired::Tls::Prefer,
                (None, document::Tls::Require) => desired::Tls::Require,
                (None, document::Tls::Off) => desired::Tls::Off,
            },
            fingerprint: db.fingerprint.as_deref().and_then(leaf::fingerprint),
        };
        resources.insert(ResourceId::Schema, Resource::Schema(database));
    }
    if let Some(web) = &spec.web {
        let web = crate::web::lower(check, web, facts.master.as_ref()?, base)?;
        resources.insert(ResourceId::Web, Resource::Web(web));
    }
    Some(Desired {
        cluster: spec.cluster.clone(),
        spec_digest: Digest::of(check.parsed.source.text().as_bytes()),
        rebuild: match spec.rebuild {
            document::Rebuild::Never => Rebuild::Never,
            document::Rebuild::Bootstrap => Rebuild::Bootstrap,
        },
        install_path: framework.install_path.clone(),
        run_user: framework.run_user.clone(),
        change_run_user: framework.change_run_user,
        resources,
        access,
        registries,
        rpc: match spec.rpc {
            document::Rpc::Direct => desired::Rpc::Direct,
            document::Rpc::Ssh => desired::Rpc::Ssh,
            document::Rpc::Off => desired::Rpc::Off,
        },
        master: facts.master.clone()?,
        packages: packages(check, base)?,
        versions,
        policy: policy(spec),
        parallel: spec.ssh.parallel.unwrap_or_else(|| base.parallel()),
        keep: spec.ssh.keep.map(|time| time.0).filter(|time| *time > 0),
    })
}

/// The version of `component` on a node: the node's own, the component's own, or the framework's.
pub(crate) fn version(spec: &Spec, member: &Member<'_>, component: Component) -> Version {
    member
        .over
        .and_then(|o| o.version)
        .or_else(|| spec.components.get(&component)?.version)
        .unwrap_or(spec.framework.version)
}

/// What the spec says of a component's rows.
fn row_settings(spec: &Spec, component: Component) -> RowSettings {
    let rules = spec.components.get(&component);
    rules.map(ComponentRules::settings).unwrap_or_default()
}

/// The framework's folder on a node: below the node's own install path, or the common one.
fn tars_path_of(member: &Member<'_>, common: &AbsPath) -> AbsPath {
    member
        .over
        .and_then(|o| o.install_path.as_ref())
        .and_then(|p| p.join("tars").ok())
        .unwrap_or_else(|| common.clone())
}

/// Whether binaries on a node that no lock file knows may be replaced.
fn replace_unknown(spec: &Spec, member: &Member<'_>) -> bool {
    member
        .over
        .and_then(|o| o.replace_unknown)
        .unwrap_or(spec.framework.replace_unknown)
}

fn packages(check: &mut Check<'_>, base: &Base) -> Option<PackageSource> {
    match &check.spec().framework.packages {
        PackagesAt::Node(n) => Some(PackageSource::Node(NodeName::new(n.as_str()).ok()?)),
        PackagesAt::Folder(f) => {
            let path = check.local("framework/packages", f, base);
            Some(PackageSource::Folder(path.to_string_lossy().into_owned()))
        }
    }
}

/// The section `ssh`, with its paths resolved.
struct CommonSsh {
    identity: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    config: Option<PathBuf>,
}

fn common_ssh(check: &mut Check<'_>, base: &Base) -> CommonSsh {
    let ssh = &check.spec().ssh;
    let mut path = |key: &str, text: &Option<String>| {
        text.as_ref()
            .map(|t| check.local(&format!("ssh/{key}"), t, base))
    };
    CommonSsh {
        identity: path("identity", &ssh.identity),
        known_hosts: path("known_hosts", &ssh.known_hosts),
        config: path("config", &ssh.config),
    }
}

fn ssh_of(check: &mut Check<'_>, m: &Member<'_>, common: &CommonSsh, base: &Base) -> SshAccess {
    let ssh = &check.spec().ssh;
    let own = m.over.and_then(|o| o.ssh.as_ref());
    let identity = own.and_then(|o| o.identity.as_ref()).map(|i| {
        let path = format!("overrides/{}/ssh/identity", m.name);
        check.local(&path, i, base)
    });
    let r#become = own.and_then(|o| o.r#become).or(ssh.r#become);
    SshAccess {
        address: m.address.clone(),
        user: own
            .and_then(|o| o.user.clone())
            .or_else(|| ssh.user.clone()),
        port: own.and_then(|o| o.port).or(ssh.port).map(|p| p.0),
        identity: identity.or_else(|| common.identity.clone()),
        jump: jump(own.and_then(|o| o.jump.as_ref()).or(ssh.jump.as_ref())),
        r#become: match r#become.unwrap_or_default() {
            document::Become::None => Become::None,
            document::Become::Sudo => Become::Sudo,
        },
        known_hosts: common.known_hosts.clone(),
        config: common.config.clone(),
        connect_timeout: u32::try_from(ssh.connect_timeout.map_or(CONNECT_TIMEOUT, |s| s.0))
            .unwrap_or(u32::MAX),
        key_exchange: match ssh.key_exchange.unwrap_or_default() {
            document::KeyExchange::Configured => KeyExchange::Configured,
            document::KeyExchange::Curve25519 => KeyExchange::Curve25519,
        },
    }
}

fn jump(jump: Option<&Jump>) -> host::Jump {
    match jump {
        None => host::Jump::Configured,
        Some(Jump::None) => host::Jump::None,
        Some(Jump::Through(host)) => host::Jump::Through(host.clone()),
    }
}

/// The rollout with its defaults.
pub(crate) fn policy(spec: &Spec) -> Policy {
    let r = &spec.rollout;
    let usual = Policy::default();
    let count = |c: document::Count| match c {
        document::Count::Number(n) => desired::Count::Number(n),
        document::Count::Percent(p) => desired::Count::Percent(p),
    };
    let (most, ramp) = match &r.max_parallel {
        Some(all) => {
            let (last, first) = all.split();
            (count(last), first.iter().copied().map(count).collect())
        }
        None => (usual.max_parallel, usual.ramp),
    };
    Policy {
        canary: r.canary.unwrap_or(usual.canary),
        max_parallel: most,
        ramp,
        max_unreachable: r.max_unreachable.map_or(usual.max_unreachable, count),
        settle: r.settle.map_or(usual.settle, |s| s.0),
        deadline: r.deadline.map_or(usual.deadline, |s| s.0),
        on_failure: match r.on_failure {
            document::OnFailure::Rollback => OnFailure::Rollback,
            document::OnFailure::RollbackAll => OnFailure::RollbackAll,
            document::OnFailure::Stop => OnFailure::Stop,
        },
        registry_settle: r.registry_settle.map_or(usual.registry_settle, |s| s.0),
        registry_gap: r.registry_gap,
    }
}
