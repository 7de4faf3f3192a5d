//! What must not be so of the management platform and of the tables that it changes.

use tarsops_conf::endpoint::Locator;
use tarsops_model::console::{Console, ConsoleFacts, Models};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use super::facts::{Facts, first_of};
use super::rule::{About, Rule, Seen, Source};
use crate::console;
use crate::console_obstacle::ConsoleObstacle;
use crate::finding::{Finding, RuleName, Severity};

/// Whether the platform was seen on its host.
const HOST: Source = Source::Other(|facts| match facts.input.inventory.console() {
    _ if facts.input.desired.containers().next().is_some() => {
        Seen::Skipped("the platform is in the framework's image")
    }
    Observed::Present(seen) => seen.processes.unknown().map_or(Seen::All, |why| {
        Seen::Unknown(format!("its processes: {why}"))
    }),
    Observed::Absent => Seen::Skipped("there is no platform"),
    Observed::Unknown(why) => Seen::Unknown(why),
});

/// Whether the tables that it changes were seen, and what it knows of them.
const TABLES: Source = Source::Other(|facts| {
    // Where the platform is in the image, its pin says what it knows, and no host has to be seen.
    if facts.input.desired.containers().next().is_none() {
        match facts.input.inventory.console() {
            Observed::Present(_) => {}
            Observed::Absent => return Seen::Skipped("there is no platform"),
            Observed::Unknown(why) => return Seen::Unknown(why),
        }
    }
    let unknown = starts(facts)
        .into_iter()
        .find_map(|(version, obstacle)| match obstacle {
            ConsoleObstacle::ColumnsUnknown { why } => Some(format!(
                "which columns the platform {version} would drop: {why}"
            )),
            _ => None,
        });
    unknown.map_or(Seen::All, Seen::Unknown)
});

/// It does not run.
pub(super) static DOWN: Rule = Rule {
    name: RuleName::new("console-down"),
    meaning: "the management platform is installed and no process of it runs",
    healthy: "the platform runs",
    about: About::Console,
    sources: &[HOST],
    find: down,
    ..Rule::DEFAULT
};

/// It runs from another folder than the one it is installed in.
pub(super) static RETIRED: Rule = Rule {
    name: RuleName::new("console-retired-runs"),
    meaning: "the platform runs from the folder of a release that was replaced",
    healthy: "the platform runs from its folder",
    about: About::Console,
    sources: &[HOST],
    find: retired,
    ..Rule::DEFAULT
};

/// Something else starts it than the spec says.
pub(super) static SUPERVISOR: Rule = Rule {
    name: RuleName::new("console-supervisor"),
    meaning: "something else starts the platform than `web.supervisor` says; it is that one's to restart",
    healthy: "the platform is started as the spec says",
    about: About::Console,
    sources: &[HOST],
    find: supervisor,
    ..Rule::DEFAULT
};

/// Nothing starts it after a reboot.
pub(super) static REBOOT: Rule = Rule {
    name: RuleName::new("console-after-reboot"),
    severity: Severity::Warning,
    meaning: "nothing starts the platform after a reboot of its host",
    healthy: "the platform comes back after a reboot",
    about: About::Console,
    sources: &[HOST],
    find: reboot,
    ..Rule::DEFAULT
};

/// Its next start loses data.
pub(super) static DROPS: Rule = Rule {
    name: RuleName::new("console-drops-columns"),
    severity: Severity::Warning,
    meaning: "the next start of the platform, or of the one in the pinned image, drops columns of the database, as its models lack them",
    healthy: "no start of the platform drops a column",
    about: About::Console,
    sources: &[TABLES],
    find: drops,
    ..Rule::DEFAULT
};

/// Its next start fails.
pub(super) static PATCH_TIME: Rule = Rule {
    name: RuleName::new("console-patch-time"),
    severity: Severity::Warning,
    meaning: "rows of t_server_conf have no patch_time: the platform cannot change the table at its start, and ends",
    healthy: "every row of t_server_conf has a patch_time",
    about: About::Console,
    sources: &[TABLES],
    find: patch_time,
    ..Rule::DEFAULT
};

/// It does not go with the framework.
pub(super) static VERSIONS: Rule = Rule {
    name: RuleName::new("console-versions"),
    meaning: "the installed platform and the framework that runs do not go together",
    healthy: "the platform goes with the framework",
    about: About::Console,
    sources: &[HOST],
    find: versions,
    ..Rule::DEFAULT
};

/// It does not know all registries.
pub(super) static REGISTRIES: Rule = Rule {
    name: RuleName::new("console-registries"),
    severity: Severity::Warning,
    meaning: "the platform's `config/tars.conf` lacks registries of the spec: without the others it resolves no name",
    healthy: "the platform knows all registries",
    about: About::Console,
    sources: &[HOST],
    find: registries,
    ..Rule::DEFAULT
};

/// The platform of the spec and what was seen of it, where one is installed.
fn looked<'f>(facts: &'f Facts<'_>) -> Option<(&'f Console, &'f ConsoleFacts)> {
    let console = facts.input.desired.web()?.console.as_ref()?;
    let seen = facts.input.inventory.console().present().copied()?;
    seen.version.present()?;
    Some((console, seen))
}

fn down(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((console, seen)) = looked(facts) else {
        return;
    };
    if seen.processes.is_absent() {
        let (node, path) = (&console.node, &console.install_path);
        let text = format!("no process runs from {path} on {node}");
        let fix = match console.supervisor.word() {
            "none" => format!("start it there: `cd {path} && node bin/www`"),
            word => format!("start it there by {word}, and see its log for why it ended"),
        };
        found.push(DOWN.finding(ResourceId::Web, text, fix));
    }
}

fn retired(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((console, seen)) = looked(facts) else {
        return;
    };
    let path = console.install_path.as_str();
    for process in seen.processes.present().into_iter().flatten() {
        // A folder that is a link really lies elsewhere; those that were replaced have an ending.
        let name = process.folder.rsplit('/').next().unwrap_or_default();
        if seen.retired.contains(name) {
            let text = format!("the process {} runs from {}", process.pid, process.folder);
            let fix = format!("restart it, so that it runs from {path}");
            let finding = RETIRED.finding(ResourceId::Web, text, fix);
            found.push(finding.source("host", process.folder.clone()));
        }
    }
}

fn supervisor(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((console, seen)) = looked(facts) else {
        return;
    };
    let all = seen.processes.present().into_iter().flatten();
    if let Some(process) = all.into_iter().find(|p| !p.by.fits(console.supervisor)) {
        let (by, wanted) = (process.by.words(), console.supervisor.word());
        let text = format!("{by} started it, and the spec says `supervisor: {wanted}`");
        let fix = "correct `web.supervisor`, or hand it over on the host";
        let finding = SUPERVISOR.finding(ResourceId::Web, text, fix);
        found.push(finding.source("host", by).source("spec", wanted));
    }
}

fn reboot(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((console, seen)) = looked(facts) else {
        return;
    };
    if seen.survives_reboot() == Observed::Present(false) {
        let text = format!("nothing starts it after a reboot of {}", console.node);
        let fix =
            "with PM2: `pm2 save` and `pm2 startup` as its user; or start it by a unit of systemd";
        found.push(REBOOT.finding(ResourceId::Web, text, fix));
    }
}

/// What hinders the next start of the installed platform, and of the one in the pinned image.
fn starts(facts: &Facts<'_>) -> Vec<(Version, ConsoleObstacle)> {
    let input = &facts.input;
    let (version, models): (Version, Option<&Models>) = match console::image(input) {
        Some(image) => match image.console {
            Some(version) => (version, image.models.as_ref()),
            None => return vec![],
        },
        None => match looked(facts).and_then(|(_, seen)| seen.version.present()) {
            Some(version) => {
                let pin = input.catalog.consoles.get(version);
                (*version, pin.map(|pin| &pin.models))
            }
            None => return vec![],
        },
    };
    let all = console::start(input, version, models);
    all.into_iter()
        .map(|obstacle| (version, obstacle))
        .collect()
}

fn drops(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (version, obstacle) in starts(facts) {
        let ConsoleObstacle::Drops { columns } = obstacle else {
            continue;
        };
        let names = first_of(&columns, 4);
        let text = format!("the next start of the platform {version} drops {names}");
        let fix = "set `alter: false` in its config/webConf.js (from 2.4.18 on), or install the release that goes with the framework; do not restart it before";
        let finding = DROPS.finding(ResourceId::Web, text, fix);
        found.push(finding.source("database", first_of(&columns, 12)));
    }
}

fn patch_time(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (version, obstacle) in starts(facts) {
        let ConsoleObstacle::WithoutPatchTime { rows } = obstacle else {
            continue;
        };
        let text = format!(
            "{rows} rows of t_server_conf have no patch_time: the platform {version} ends at its next start"
        );
        let fix = "set it in these rows, for example to their `posttime`, before it is restarted";
        found.push(PATCH_TIME.finding(ResourceId::Web, text, fix));
    }
}

fn versions(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let installed = looked(facts).and_then(|(_, seen)| seen.version.present());
    let why = installed.and_then(|version| console::apart_from_framework(&facts.input, *version));
    if let Some(why) = why {
        let fix = "install the release of the platform that goes with the framework";
        found.push(VERSIONS.finding(ResourceId::Web, why, fix));
    }
}

fn registries(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((_, seen)) = looked(facts) else {
        return;
    };
    let Some(locator) = seen.locator.present() else {
        return;
    };
    let Ok(named) = Locator::parse(locator).map(|locator| locator.set()) else {
        return;
    };
    let all = &facts.input.desired.registries;
    let lacks = all
        .iter()
        .filter(|at| !named.contains(&(at.host.to_string(), at.port)));
    let lacks: Vec<String> = lacks.map(ToString::to_string).collect();
    if !lacks.is_empty() {
        let text = format!("its config/tars.conf lacks {}", first_of(&lacks, 3));
        let fix = "add them to `locator` there, divided by `:`, and restart it";
        let finding = REGISTRIES.finding(ResourceId::Web, text, fix);
        found.push(finding.source("host", locator.clone()));
    }
}
