//! What goes wrong in a world, and when: drawn from its seed before it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use tarsops_model::names::NodeName;
use tokio::time::Instant;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A host does not answer from a moment on, for a while.
    Silent {
        /// The host.
        node: NodeName,
        /// Its beginning, after that of the world.
        from: Duration,
        /// How long.
        lasts: Duration,
    },
    /// One request in so many to any host loses its connection: half of them before they arrive,
    /// half of them with their reply.
    Lossy {
        /// So many.
        one_in: u32,
    },
    /// The new program of a component does not start on a host.
    Dud {
        /// The host.
        node: NodeName,
    },
    /// Once stopped, no program of a component comes up on a host, an old one neither.
    Dead {
        /// The host.
        node: NodeName,
    },
    /// The host's own process dies in the middle of a change; cron ends it.
    Cut {
        /// The host.
        node: NodeName,
        /// After which of its parts, from 0.
        after: u8,
    },
    /// A tarsnode never registers again once it was restarted.
    Unregistered {
        /// The host.
        node: NodeName,
    },
    /// The database does not answer for a while.
    NoDatabase {
        /// Its beginning.
        from: Duration,
        /// How long.
        lasts: Duration,
    },
    /// The database takes no changes.
    ReadOnly,
    /// AdminRegistry does not answer for a while, though it runs.
    MuteAdmin {
        /// Its beginning.
        from: Duration,
        /// How long.
        lasts: Duration,
    },
    /// The management platform, or whoever publishes, says the opposite of what happened.
    Liar,
    /// One table of the database may not be read for a while.
    Hidden {
        /// Which.
        table: Table,
        /// Its beginning.
        from: Duration,
        /// How long.
        lasts: Duration,
    },
    /// A person changes something that is not the framework's own.
    Person {
        /// When.
        at: Duration,
        /// The host.
        node: NodeName,
        /// What.
        deed: Deed,
    },
    /// The controller is killed.
    Killed {
        /// Which of its runs, from 0.
        run: usize,
        /// When, after the beginning of that run.
        after: Duration,
    },
    /// Ctrl-C, once.
    Interrupted {
        /// Which run, from 0.
        run: usize,
        /// When, after the beginning of that run.
        after: Duration,
    },
    /// The master hears no renewal of the lease for a while, and somebody else takes it when it is free.
    Thief {
        /// From when on.
        at: Duration,
    },
    /// A second controller begins the same work.
    Second {
        /// When, after the beginning of the first one's run.
        after: Duration,
    },
}

/// A table of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `t_node_info`.
    Nodes,
    /// `t_server_conf`.
    Servers,
    /// `t_adapter_conf`.
    Adapters,
    /// `t_registry_info`.
    Registries,
    /// `t_profile_template`.
    Templates,
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Gives a node another label.
    Label,
    /// Adds a line to the run user's crontab.
    Crontab,
    /// Changes a row of an application.
    Row,
}

/// For how long renewals do not arrive: longer than a silent holder keeps the lease.
pub(super) const UNHEARD: Duration = Duration::from_secs(60);

/// What becomes of a request to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Arrives,
    LostBefore,
    LostAfter,
}

/// The faults of one world.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) all: Vec<Fault>,
    silent: BTreeMap<NodeName, Vec<(Instant, Instant)>>,
    pub(super) lossy: Option<u32>,
    pub(super) duds: BTreeSet<NodeName>,
    pub(super) dead: BTreeSet<NodeName>,
    pub(super) cuts: BTreeMap<NodeName, u8>,
    pub(super) unregistered: BTreeSet<NodeName>,
    no_database: Vec<(Instant, Instant)>,
    pub(super) read_only: bool,
    mute_admin: Vec<(Instant, Instant)>,
    unheard: Vec<(Instant, Instant)>,
    pub(super) liar: bool,
    hidden: Vec<(Table, (Instant, Instant))>,
}

impl Schedule {
    /// Faults whose times count from `start`.
    pub(super) fn new(all: Vec<Fault>, start: Instant) -> Self {
        let mut out = Self::default();
        for fault in &all {
            match fault {
                Fault::Silent { node, from, lasts } => out
                    .silent
                    .entry(node.clone())
                    .or_default()
                    .push((start + *from, start + *from + *lasts)),
                Fault::Lossy { one_in } => out.lossy = Some(*one_in),
                Fault::Dud { node } => drop(out.duds.insert(node.clone())),
                Fault::Dead { node } => drop(out.dead.insert(node.clone())),
                Fault::Cut { node, after } => drop(out.cuts.insert(node.clone(), *after)),
                Fault::Unregistered { node } => drop(out.unregistered.insert(node.clone())),
                Fault::NoDatabase { from, lasts } => out
                    .no_database
                    .push((start + *from, start + *from + *lasts)),
                Fault::ReadOnly => out.read_only = true,
                Fault::MuteAdmin { from, lasts } => {
                    out.mute_admin.push((start + *from, start + *from + *lasts));
                }
                Fault::Liar => out.liar = true,
                Fault::Thief { at } => out.unheard.push((start + *at, start + *at + UNHEARD)),
                Fault::Hidden { table, from, lasts } => {
                    let span = (start + *from, start + *from + *lasts);
                    out.hidden.push((*table, span));
                }
                Fault::Killed { .. }
                | Fault::Interrupted { .. }
                | Fault::Person { .. }
                | Fault::Second { .. } => {}
            }
        }
        out.all = all;
        out
    }

    fn within(spans: &[(Instant, Instant)]) -> bool {
        let now = Instant::now();
        spans.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    pub(super) fn is_silent(&self, node: &NodeName) -> bool {
        self.silent.get(node).is_some_and(|s| Self::within(s))
    }

    pub(super) fn database_is_down(&self) -> bool {
        Self::within(&self.no_database)
    }

    /// Whether renewals of the lease do not arrive.
    pub(super) fn renewals_are_lost(&self) -> bool {
        Self::within(&self.unheard)
    }

    /// Whether a table may not be read.
    pub(super) fn is_hidden(&self, table: Table) -> bool {
        let mut all = self.hidden.iter();
        all.any(|(of, span)| *of == table && Self::within(&[*span]))
    }

    pub(super) fn admin_is_mute(&self) -> bool {
        Self::within(&self.mute_admin)
    }
}

/// Draws up to `most` faults for hosts `nodes`.
pub(super) fn draw(rng: &mut Rng, nodes: &[NodeName], most: usize) -> Vec<Fault> {
    let count = rng.usize(0..=most);
    (0..count).map(|_| one(rng, nodes)).collect()
}

/// Seconds within which faults begin, and that they last at most: about as long as a run takes.
const LONG: u64 = 300;

fn one(rng: &mut Rng, nodes: &[NodeName]) -> Fault {
    let node = nodes[rng.usize(0..nodes.len())].clone();
    let seconds = |rng: &mut Rng, least: u64, most: u64| {
        Duration::from_millis(rng.u64(least * 1000..most * 1000))
    };
    match rng.u8(0..17) {
        0 => Fault::Silent {
            node,
            from: seconds(rng, 0, LONG),
            lasts: seconds(rng, 1, LONG),
        },
        1 => Fault::Lossy {
            one_in: rng.u32(4..60),
        },
        2 => Fault::Dud { node },
        3 => Fault::Dead { node },
        4 => Fault::Cut {
            node,
            after: rng.u8(0..4),
        },
        5 => Fault::Unregistered { node },
        6 => Fault::NoDatabase {
            from: seconds(rng, 0, LONG),
            lasts: seconds(rng, 1, LONG),
        },
        7 => Fault::ReadOnly,
        8 => Fault::MuteAdmin {
            from: seconds(rng, 0, LONG),
            lasts: seconds(rng, 1, LONG),
        },
        9 => Fault::Liar,
        10 | 11 => Fault::Killed {
            run: rng.usize(0..2),
            after: seconds(rng, 0, LONG),
        },
        12 => Fault::Thief {
            at: seconds(rng, 1, LONG),
        },
        13 => Fault::Hidden {
            table: [
                Table::Nodes,
                Table::Servers,
                Table::Adapters,
                Table::Registries,
                Table::Templates,
            ][rng.usize(0..5)],
            from: seconds(rng, 0, LONG),
            lasts: seconds(rng, 1, LONG),
        },
        14 => Fault::Person {
            at: seconds(rng, 0, LONG),
            node,
            deed: [Deed::Label, Deed::Crontab, Deed::Row][rng.usize(0..3)],
        },
        15 => Fault::Interrupted {
            run: rng.usize(0..2),
            after: seconds(rng, 0, LONG),
        },
        _ => Fault::Second {
            after: seconds(rng, 0, LONG),
        },
    }
}
