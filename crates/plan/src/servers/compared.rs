//! How a component differs from the spec: its program, its process, its rows.

use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;
use tarsops_model::version::Version;

use crate::actions::{FileChange, RowEdit};
use crate::components::{name_of, program, shipped};
use crate::drift::FieldChange;
use crate::input::PlanInput;
use crate::report::Blocked;

/// How a component differs.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) fields: Vec<FieldChange>,
    pub(super) unknown: Vec<String>,
    pub(super) blocked: Vec<Blocked>,
    /// The file that is replaced, and by what.
    pub(super) file: Option<FileChange>,
    /// The digest of the file afterwards.
    pub(super) after: Option<Digest>,
    /// Whether the process must be started again to run that file.
    pub(super) stale: bool,
    /// Rows that change before it is started again.
    pub(super) rows: Vec<RowEdit>,
    /// Whether it was not restarted since its rows changed.
    pub(super) owed: bool,
}

impl Compared {
    pub(super) fn of(
        input: &PlanInput<'_>,
        component: Component,
        server: &Server,
        facts: &ServerFacts,
    ) -> Self {
        let mut out = Self::default();
        out.binary(input, component, server, &facts.binary);
        let all = match &facts.processes {
            Observed::Present(all) => all.as_slice(),
            Observed::Absent => &[],
            Observed::Unknown(why) => {
                out.unknown.push(format!("its processes: {why}"));
                &[]
            }
        };
        if all.len() > 1 {
            let pids: Vec<String> = all.iter().map(|p| p.pid.to_string()).collect();
            let old = format!("{} processes ({})", all.len(), pids.join(", "));
            out.fields
                .push(FieldChange::new("process", old, "running once"));
            out.stale = true;
        }
        for one in all {
            if one.user != server.run_user.as_str() {
                let user = server.run_user.as_str();
                out.fields
                    .push(FieldChange::new("running as", &one.user, user));
                out.stale = true;
            }
            match (&one.exe, out.after) {
                (Observed::Present(running), Some(after)) if *running != after => {
                    let on_disk = facts.binary.present().map(|b| b.digest);
                    let versions = input.catalog.versions_of(component, running);
                    if versions.is_empty() && Some(*running) != on_disk && !server.replace_unknown {
                        out.unknown.push(format!(
                            "it runs a binary {running} that is in no lock file; {REGISTER_HINT}"
                        ));
                    } else if Some(*running) != on_disk {
                        out.refuse_downgrade(&versions, server);
                        out.fields.push(FieldChange::new(
                            "running version",
                            name_of(input.catalog, component, running),
                            name_of(input.catalog, component, &after),
                        ));
                    }
                    out.stale = true;
                }
                (Observed::Unknown(why), _) => {
                    out.unknown.push(format!("the running binary: {why}"));
                }
                _ if one.exe_deleted && out.file.is_none() => {
                    // The same bytes under another inode: nothing would be gained by a restart.
                }
                _ => {}
            }
        }
        out
    }

    pub(super) fn binary(
        &mut self,
        input: &PlanInput<'_>,
        component: Component,
        server: &Server,
        binary: &Observed<tarsops_model::agent::FileFact>,
    ) {
        let want = server.version;
        let before = match binary {
            Observed::Unknown(why) => {
                self.unknown.push(format!("the binary: {why}"));
                return;
            }
            Observed::Absent => {
                self.fields
                    .push(FieldChange::new("version", "no binary", want.to_string()));
                None
            }
            Observed::Present(file) => {
                let versions = input.catalog.versions_of(component, &file.digest);
                if versions.contains(&want) {
                    self.after = Some(file.digest);
                    return;
                }
                if versions.is_empty() && !server.replace_unknown {
                    self.unknown.push(format!(
                        "its binary {} is in no lock file; {REGISTER_HINT}",
                        file.digest
                    ));
                    return;
                }
                self.refuse_downgrade(&versions, server);
                self.fields.push(FieldChange::new(
                    "version",
                    name_of(input.catalog, component, &file.digest),
                    want.to_string(),
                ));
                Some(file)
            }
        };
        let Some(shipped) = shipped(input.catalog, component, want) else {
            self.blocked.push(Blocked::NoPackageOf {
                component,
                version: want,
            });
            return;
        };
        self.after = Some(shipped.digest);
        self.stale = true;
        self.file = Some(program(component, want, shipped, before));
    }

    /// A run that changed its rows was cut off before it restarted it.
    pub(super) fn restart_pending(&mut self, component: Component, host: &HostFacts) {
        if host.restarts.contains(&component) {
            let (old, new) = ("restart pending, its rows were changed", "restarted");
            self.fields.push(FieldChange::new("process", old, new));
            self.stale = true;
            self.owed = true;
        }
    }

    pub(super) fn refuse_downgrade(&mut self, versions: &[Version], server: &Server) {
        let to = server.version;
        if let Some(from) = versions.iter().min().copied().filter(|from| *from > to)
            && !server.allow_downgrade
        {
            let why = Blocked::Downgrade { from, to };
            if !self.blocked.contains(&why) {
                self.blocked.push(why);
            }
        }
    }
}

/// What to do about a digest that nobody knows.
const REGISTER_HINT: &str =
    "register it with `tarsops package add`, or set `replace_unknown: true`";
