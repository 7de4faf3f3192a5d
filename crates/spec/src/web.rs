//! The management platform: what does not fit together, and its desired installation.

use tarsops_model::console::{self, Console};
use tarsops_model::console_gates::apart;
use tarsops_model::desired;
use tarsops_model::names::{AbsPath, NodeName};

use crate::document::{Deployment, Supervisor, Web};
use crate::lower::{Base, Check};
use crate::rules::Rule;
use crate::semantics::{Nodes, leaves, suggest};

/// Refuses what does not fit together.
pub(crate) fn check(check: &mut Check<'_>, nodes: &Nodes<'_, '_>) {
    let spec = check.spec();
    let Some(web) = &spec.web else { return };
    if let Some(version) = web.version
        && let Some(apart) = apart(version, spec.framework.version)
    {
        let place = check.place("web/version");
        check.say(
            Rule::WebApart,
            &place,
            apart.to_string(),
            "name a version of the platform that was released with this framework or later",
        );
    }
    if spec.framework.deployment == Deployment::Docker {
        in_image(check, web);
        return;
    }
    if web.package.is_some() && web.version.is_none() {
        let place = check.key("web/package");
        check.say(
            Rule::WebUnused,
            &place,
            "a package of the platform is named, and no version: it is only looked at then",
            "add `version`, or remove `package`",
        );
    }
    let Some(node) = &web.node else { return };
    match nodes.get(node) {
        None => {
            let place = check.place("web/node");
            check.say(
                Rule::WebUnknownNode,
                &place,
                format!("the platform is on `{node}`, which is not listed under `nodes`"),
                suggest(node, nodes),
            );
        }
        Some(m) if m.leaves() => {
            leaves(check, "web/node", node, "the platform cannot be on it");
        }
        Some(_) => {}
    }
}

/// Refuses what the image of containers decides.
fn in_image(check: &mut Check<'_>, web: &Web) {
    for (key, is_there) in [
        ("package", web.package.is_some()),
        ("node", web.node.is_some()),
        ("install_path", web.install_path.is_some()),
        ("supervisor", web.supervisor.is_some()),
        ("retired", web.retired.is_some()),
    ] {
        if is_there {
            let place = check.key(&format!("web/{key}"));
            check.say(
                Rule::DockerConflict,
                &place,
                "the platform is in the framework's image, which decides this",
                "remove it here",
            );
        }
    }
}

/// The desired platform; `master` has it where the spec names no node. None if the spec is wrong in a way
/// that was reported.
pub(crate) fn lower(
    check: &mut Check<'_>,
    web: &Web,
    master: &NodeName,
    base: &Base,
) -> Option<desired::Web> {
    let ticket = check.secret("web/ticket", &web.ticket, base);
    let package = web.package.as_ref();
    let package = package.map(|path| check.local("web/package", path, base));
    let node = web.node.clone().unwrap_or_else(|| master.clone());
    let install_path = web.install_path.clone();
    let console = Console {
        version: web.version,
        package,
        install_path: install_path.or_else(|| beside(check, &node))?,
        node,
        supervisor: match web.supervisor {
            None | Some(Supervisor::Pm2) => console::Supervisor::Pm2,
            Some(Supervisor::Systemd) => console::Supervisor::Systemd,
            Some(Supervisor::None) => console::Supervisor::None,
        },
        retired: web.retired.unwrap_or(1),
    };
    Some(desired::Web {
        url: web.url.clone(),
        ticket,
        console: Some(console),
    })
}

/// The folder that the framework's installer puts it in, beside `tars/` (framework
/// `deploy/web-install.sh`).
fn beside(check: &Check<'_>, node: &NodeName) -> Option<AbsPath> {
    let spec = check.spec();
    let over = spec.overrides.get(node);
    let path = over.and_then(|over| over.install_path.as_ref());
    let path = path.unwrap_or(&spec.framework.install_path);
    AbsPath::new(format!("{path}/web")).ok()
}
