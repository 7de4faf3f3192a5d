//! The plan that rolls a run back, from what the hosts remember of it and what was seen of them now.
//!
//! It is cut into batches as any other plan is, and goes through the same checker. Components are
//! restored the other way round than they were changed: what was added to a host last is removed first,
//! and a tarsnode never meets an AdminRegistry older than it needs.

mod containers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::framework::{Answer, ServerRow};
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{NodeName, RunId, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::{Folder, HostChange};
use crate::batch::{self, Batches};
use crate::claims::RecordMismatch;
use crate::condition::{Condition, Truth, digest_at};
use crate::container_record::CannotGoBack;
use crate::database;
use crate::database_record;
use crate::identity::{machines, stranger};
use crate::input::PlanInput;
use crate::intent::{Changed, CrontabLeft, DatabaseChange, HostChanged, Intent};
use crate::places::binary_path;
use crate::plan::{ChangeKind, FORMAT, Plan, Stage, Step, Summary};
use crate::record::{Ended, Record, Runs};
use crate::restore::{self, CannotRollBack, Known, rollback_step};
use crate::restored;

/// A rollback of one run.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// What it does.
    pub plan: Plan,
    /// What it leaves, and why.
    pub left: Vec<Left>,
}

/// Something that a rollback leaves as the run made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A column that was added.
    Column {
        /// The master.
        node: NodeName,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A component that was started, and did not run before.
    Started {
        /// The node.
        node: NodeName,
        /// The component.
        component: Component,
    },
    /// A monitor in the crontab of another user.
    Monitor {
        /// The node.
        node: NodeName,
        /// Whose crontab.
        user: UserName,
    },
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column {
                node,
                table,
                column,
            } => write!(
                f,
                "{node}: the column {column} of {table} stays; nothing reads it before the new version"
            ),
            Self::Started { node, component } => write!(
                f,
                "{node}: {component} was started by that run, and is left running"
            ),
            Self::Monitor { node, user } => write!(
                f,
                "{node}: that run put a monitor into the crontab of {user}, which stays: take it out there with `crontab -u {user} -e`"
            ),
        }
    }
}

/// Why a step of a run cannot be rolled back; one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record says more than its own host can know.
    #[error("{node}: its record does not fit: {why}")]
    RecordMismatch {
        /// The node.
        node: NodeName,
        /// Why.
        why: RecordMismatch,
    },
    /// The record has no end.
    #[error("{node}: what it wrote down of the run is damaged")]
    Damaged {
        /// The node.
        node: NodeName,
    },
    /// The record is of a format that is not known.
    #[error("{node}: this tarsops cannot read what the run meant to do")]
    Unreadable {
        /// The node.
        node: NodeName,
    },
    /// The host must not be changed, whatever is planned for it.
    #[error("{node}: {why}")]
    Stranger {
        /// The node.
        node: NodeName,
        /// Why.
        why: String,
    },
    /// The host is not as the run left it, or that is not known.
    #[error("{node}: {why}")]
    Host {
        /// The node.
        node: NodeName,
        /// Why.
        why: CannotRollBack,
    },
    /// The database is not as the run left it, or that is not known.
    #[error("{resource}: {why}")]
    Database {
        /// What the step worked on.
        resource: ResourceId,
        /// Why.
        why: CannotRollBack,
    },
    /// The container of a host cannot go back, or that is not known.
    #[error("{node}: {why}")]
    Container {
        /// The node.
        node: NodeName,
        /// Why.
        why: CannotGoBack,
    },
    /// What a host remembers never decides as whom its programs run.
    #[error(
        "{node}: before that run {component} ran as {user}; write that into the spec first (`run_user` under `framework`)"
    )]
    OtherUser {
        /// The node.
        node: NodeName,
        /// The component.
        component: Component,
        /// The user.
        user: UserName,
    },
}

/// Plans the rollback of `run`, of which hosts remember what stands in `runs`.
///
/// # Errors
/// Every [`Refusal`]: a run is rolled back whole, or not at all.
pub fn plan(input: &PlanInput<'_>, run: &RunId, runs: &Runs) -> Result<Rollback, Vec<Refusal>> {
    let mut draft = Draft {
        input,
        by_place: ByPlace::of(runs),
        resumes: false,
        // Several steps of a run may have edited the crontab of one host: each is planned from the
        // crontab that the rollback of those after it leaves.
        inventory: input.inventory.clone(),
        machines: machines(input),
        hosts: vec![],
        failed: BTreeSet::new(),
        tables: vec![],
        left: vec![],
        refused: vec![],
    };
    let records = runs.get(run).into_iter().flatten();
    let mut records: Vec<&Record> = records
        .filter(|r| r.may_have_changed() || r.mismatch.is_some())
        .collect();
    // What the run itself has undone is restored by the records of what it undid.
    records.retain(|record| record.undoes() != Some(run));
    let undone = |record: &Record| draft.by_place.undone_by(record);
    let by: Vec<&RunId> = records.iter().filter_map(|r| undone(r)).collect();
    let is_whole = by.len() == records.len();
    if is_whole && by.iter().all(|by| *by == run) {
        records.clear();
    }
    // A rollback that was cut off is resumed. One that was carried out whole is not repeated.
    let resumes = !is_whole;
    // What it has removed or brought back whole is done.
    records.retain(|record| {
        let moves = record.host().map(HostChange::folder) != Some(Folder::Keep);
        !(resumes && moves && undone(record).is_some())
    });
    draft.resumes = resumes;
    records.sort_by_key(|r| Reverse(r.host().map_or(0, rank)));
    for record in records {
        if let Err(why) = draft.undo(record) {
            draft.refused.push(why);
        }
    }
    if !draft.refused.is_empty() {
        return Err(draft.refused);
    }
    Ok(draft.finish(run))
}

/// The records of all runs by what they worked on, each in the order of the runs.
struct ByPlace<'a>(BTreeMap<(&'a NodeName, Option<Component>), Vec<&'a Record>>);

impl<'a> ByPlace<'a> {
    fn of(runs: &'a Runs) -> Self {
        let mut out: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
        for record in runs.values().flatten() {
            if let Some(place) = record.place() {
                out.entry(place).or_default().push(record);
            }
        }
        Self(out)
    }

    /// The records of what a record's step worked on.
    fn at<'s>(&'s self, record: &'s Record) -> &'s [&'a Record] {
        let found = record.place().and_then(|place| self.0.get(&place));
        found.map_or(&[], Vec::as_slice)
    }

    /// The newest run that was at the place of a record, if it has undone what is recorded.
    fn undone_by(&self, record: &Record) -> Option<&'a RunId> {
        let since = self.at(record).iter().rev().copied().filter(|other| {
            other.run >= record.run
                && (&other.run, &other.step) != (&record.run, &record.step)
                && other.may_have_changed()
        });
        let undoes = |other: &Record| {
            let restore = other.host().and_then(HostChange::restore);
            other.ended == Ended::Ok
                && other.undoes() == Some(&record.run)
                && restore.is_none_or(|restore| restore.step == record.step)
        };
        let newest = &since.clone().next()?.run;
        let mut all = since.take_while(|other| other.run == *newest);
        all.any(undoes).then_some(newest)
    }
}

struct Draft<'a> {
    input: &'a PlanInput<'a>,
    by_place: ByPlace<'a>,
    /// Whether a part of it has been undone before.
    resumes: bool,
    inventory: Inventory,
    /// Which nodes answer with which machine-id.
    machines: BTreeMap<&'a str, Vec<&'a NodeName>>,
    hosts: Vec<Step>,
    /// Steps on what may not run as it should now: the framework need not count on it more than it does.
    failed: BTreeSet<String>,
    tables: Vec<Step>,
    left: Vec<Left>,
    refused: Vec<Refusal>,
}

impl Draft<'_> {
    /// Plans the step that undoes one record, if anything is to be undone.
    fn undo(&mut self, record: &Record) -> Result<(), Refusal> {
        let node = record.node.clone();
        // Nothing is planned from a record that says more than its own host can know.
        if let Some(why) = record.mismatch.clone() {
            return Err(Refusal::RecordMismatch { node, why });
        }
        if record.ended == Ended::Damaged {
            return Err(Refusal::Damaged { node });
        }
        match record.intent.as_ref().map(|i| (i, &i.changed)) {
            None => Err(Refusal::Unreadable { node }),
            Some((intent, Changed::Host(host))) => self.undo_host(record, intent, host),
            Some((intent, Changed::Database(done))) => self.undo_database(record, intent, done),
            Some((intent, Changed::Container(done))) => self.undo_container(record, intent, done),
        }
    }

    /// Plans the step that undoes what was done to the database.
    fn undo_database(
        &mut self,
        record: &Record,
        intent: &Intent,
        done: &DatabaseChange,
    ) -> Result<(), Refusal> {
        if let DatabaseChange::Column { table, column } = done {
            self.left.push(Left::Column {
                node: record.node.clone(),
                table: table.clone(),
                column: column.clone(),
            });
        }
        let step = database_record::rollback_step(intent, done, self.input.inventory);
        let step = step.map_err(|why| Refusal::Database {
            resource: intent.resource.clone(),
            why,
        })?;
        self.tables.extend(step);
        Ok(())
    }

    /// Plans the step that undoes a change of a host.
    fn undo_host(
        &mut self,
        record: &Record,
        intent: &Intent,
        host: &HostChanged,
    ) -> Result<(), Refusal> {
        let node = record.node.clone();
        let done = &host.change;
        let component = done.component;
        if intent.stays() {
            self.left.push(Left::Started { node, component });
            return Ok(());
        }
        if let Some(why) = stranger(self.input, &node, &self.machines) {
            return Err(Refusal::Stranger { node, why });
        }
        let user = user_of(self.input.desired, &node);
        let known = Known {
            asks: self.input.desired.rpc != Rpc::Off,
            failed: self.resumes && self.by_place.undone_by(record).is_some()
                || done.is_scripted() && record.ended != Ended::Ok
                || self.may_be_torn(record, done),
            other_crontab: done.run_user != *user,
        };
        let prepared =
            rollback_step(intent, host, &self.inventory, known).map_err(|why| Refusal::Host {
                node: node.clone(),
                why,
            })?;
        if prepared.change.run_user != *user {
            return Err(Refusal::OtherUser {
                node,
                component,
                user: prepared.change.run_user,
            });
        }
        if host.crontab_after != CrontabLeft::Unchanged && prepared.change.crontab().is_none() {
            self.left.push(Left::Monitor {
                node: node.clone(),
                user: done.run_user.clone(),
            });
        }
        if !known.other_crontab {
            crontab_is_restored(&mut self.inventory, done);
        }
        let id = match component {
            _ if rank(done) == WATCH => format!("rollback.cron@{node}"),
            Component::Tarsnode => format!("rollback@{node}"),
            other => format!("rollback.{other}@{node}"),
        };
        if known.failed {
            self.failed.insert(id.clone());
        }
        self.hosts.push(Step::new(
            id,
            (
                stage(done),
                match intent.sign {
                    ChangeKind::Add => ChangeKind::Remove,
                    ChangeKind::Change => ChangeKind::Change,
                    ChangeKind::Remove => ChangeKind::Add,
                },
            ),
            prepared.change.summary.clone(),
            prepared.change,
            prepared.pre,
            prepared.post,
        ));
        Ok(())
    }

    /// Whether the host may have half a program that a publication has left: nobody knows it, and no
    /// later run has been at that server.
    fn may_be_torn(&self, record: &Record, done: &HostChange) -> bool {
        let later = |other: &&Record| {
            // Its own rollback may have failed for want of room.
            let failed = other.undoes() == Some(&record.run) && other.ended != Ended::Ok;
            other.run > record.run && !failed
        };
        let path = binary_path(done.component);
        let catalog = self.input.catalog;
        let known = match digest_at(&self.inventory, &done.node, &path) {
            Observed::Present(digest) => !catalog.versions_of(done.component, &digest).is_empty(),
            _ => true,
        };
        record.ended != Ended::Ok && !known && !self.by_place.at(record).iter().any(later)
    }

    /// Cuts the steps into batches: what was added to framework hosts, one at a time; what was
    /// published, on several hosts together; tarsnode on plain nodes; then framework hosts and the core
    /// services, one at a time; and templates last, as they were changed first.
    fn finish(mut self, run: &RunId) -> Rollback {
        let desired = self.input.desired;
        // A registry goes last of what was added to its host: the others resolve names through it.
        let registry =
            |s: &Step| matches!(s.resource, ResourceId::Server(Component::Tarsregistry, _));
        let mut steps = std::mem::take(&mut self.hosts);
        self.await_framework(&mut steps);
        steps.sort_by_key(|s| {
            let role = Reverse(role(desired, s));
            (turn(s), self.is_living_registry(s), role, registry(s))
        });
        let (mut added, mut basic, mut plain, mut alone) = (vec![], vec![], vec![], vec![]);
        for step in steps {
            let kind = match turn(&step) {
                Turn::Basic => &mut basic,
                Turn::Agents if role(desired, &step) == Role::Node => &mut plain,
                early if early < Turn::Agents => &mut added,
                _ => &mut alone,
            };
            kind.push(step);
        }
        let one = desired.policy.one_by_one();
        // What is restored has run on its host before, so that no canary tries it first.
        let many = desired.policy.without_ramp();
        let mut batches = Batches::of(self.input);
        batches.roll_out(added, &one);
        for batch in batch::of_rollback(self.input, basic) {
            batches.push(batch, &many);
        }
        if self.is_blind() {
            // What is down comes first: it can be restored while the database is silent. The rest may
            // hold any servant's endpoints, and goes one by one.
            let is_down = |s: &Step| s.resource.node().is_some_and(|node| self.is_down(node));
            let (down, up) = plain.into_iter().partition(is_down);
            batches.roll_out(down, &many);
            batches.roll_out(up, &one);
        } else {
            batches.roll_out(plain, &many);
        }
        batches.roll_out(alone, &one);
        let mut plan = Plan {
            endpoints: vec![],
            format: FORMAT.to_owned(),
            cluster: desired.cluster.clone(),
            spec_digest: desired.spec_digest,
            observed_at: self.input.now,
            nodes: 0,
            on: self.input.scope.words(),
            without_console: self.input.scope.without_console,
            rolls_back: Some(run.clone()),
            summary: Summary::default(),
            drift: vec![],
            extra: vec![],
            steps: batches.steps,
            gates: batches.gates,
            report: vec![],
        };
        self.add_tables(&mut plan);
        plan.summary = Summary::of(&plan.steps);
        plan.nodes = plan.nodes_of_steps();
        Rollback {
            plan,
            left: self.left,
        }
    }

    /// Has each step that restores what runs wait until the framework counts on it again.
    fn await_framework(&self, steps: &mut [Step]) {
        let Some(framework) = &self.input.inventory.framework else {
            return;
        };
        let mut removed: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
        for step in steps.iter() {
            if let Some(change) = step.action.get::<HostChange>()
                && change.folder() == Folder::Remove
            {
                let servers = removed.entry(change.node.clone()).or_default();
                servers.insert(format!("tars.{}", change.component));
            }
        }
        let mut servers: BTreeMap<&str, Vec<&ServerRow>> = BTreeMap::new();
        let rows = framework.rows().present().copied();
        for row in rows
            .into_iter()
            .flat_map(|rows| rows.servers.present().into_iter().flatten())
        {
            servers.entry(&row.node).or_default().push(row);
        }
        let none = BTreeSet::new();
        for step in steps {
            let own = step.resource.node().and_then(|n| servers.get(n.as_str()));
            let own = own.map_or(&[][..], Vec::as_slice);
            self.await_container(framework, own, step);
            if let Some(change) = step.action.get::<HostChange>() {
                let removed = removed.get(&change.node).unwrap_or(&none);
                let mut wanted = restored::conditions(framework, own, change, removed);
                let is_failed = self.failed.contains(&step.id);
                let is_agent = change.component == Component::Tarsnode;
                let may_serve = is_agent && !self.is_down(&change.node);
                wanted.retain(|c| match c.eval(&change.node, self.input.inventory) {
                    Truth::Holds => true,
                    Truth::Fails(_) => !is_failed,
                    // Nobody may wait for the database to restore what is down.
                    Truth::Unknown(_) => may_serve || !is_failed && !is_agent,
                });
                step.post.extend(wanted);
            }
        }
    }

    /// Whether no tarsnode serves the node, proven by its host: a restart takes nothing away there.
    fn is_down(&self, node: &NodeName) -> bool {
        let seen = self.input.inventory;
        Condition::Stopped.eval(node, seen) == Truth::Holds
            || matches!(Condition::Listens.eval(node, seen), Truth::Fails(_))
    }

    /// Whether nobody can tell which nodes must not be restarted together.
    fn is_blind(&self) -> bool {
        let framework = self.input.inventory.framework.as_deref();
        framework.is_some_and(restored::are_endpoints_unread)
    }

    /// Whether the step changes a registry that answers. One that is down is restored before it.
    fn is_living_registry(&self, step: &Step) -> bool {
        let framework = self.input.inventory.framework.as_ref();
        let registries = framework.map(|framework| &framework.registries);
        let change = step.action.get::<HostChange>();
        if let Some(at) = change.and_then(HostChange::registry) {
            return registries.is_some_and(|all| all.get(&at).is_some_and(Answer::is_alive));
        }
        let own = step
            .stops_host()
            .and_then(|whole| self.registry_of(whole.node));
        let answer = own.and_then(|at| registries?.get(at));
        answer.is_some_and(Answer::is_alive)
    }

    /// Puts the steps on templates after those on hosts, newest first, and a dump of the database before
    /// everything that changes it.
    fn add_tables(&mut self, plan: &mut Plan) {
        let mut batch = plan.steps.iter().map(|s| s.batch).max().unwrap_or(0);
        self.tables.reverse();
        for mut step in std::mem::take(&mut self.tables) {
            batch += 1;
            step.batch = batch;
            plan.steps.push(step);
        }
        // A registry that was removed comes back with its rows.
        let with_rows = |step: &Step| {
            let change = step.action.get::<HostChange>();
            change.is_some_and(|c| c.registry().is_some() && c.folder() == Folder::Create)
        };
        let writes = |step: &Step| step.changes_database() || with_rows(step);
        if plan.steps.iter().any(writes)
            && let Some((step, _)) = database::backup(self.input.inventory)
        {
            plan.steps.insert(0, step);
        }
    }
}

/// As whom the spec has the programs of a node run.
fn user_of<'a>(desired: &'a Desired, node: &NodeName) -> &'a UserName {
    desired
        .agent(node)
        .map_or(&desired.run_user, |a| &a.run_user)
}

/// The stage in which what a change did is undone.
fn stage(done: &HostChange) -> Stage {
    match done.component {
        Component::Tarsnode => Stage::Agents,
        Component::Tarsregistry => Stage::Registries,
        Component::TarsAdminRegistry => Stage::AdminRegistry,
        Component::Tarsconfig | Component::Tarspatch => Stage::CoreServices,
        basic if basic.is_basic() && done.folder() == Folder::Keep => Stage::BasicServices,
        _ if done.publish().is_some() => Stage::BasicServices,
        _ => Stage::Expansion,
    }
}

/// The role of the host that a step works on.
fn role(desired: &Desired, step: &Step) -> Role {
    let host = step.resource.node().and_then(|n| desired.host(n));
    host.map_or(Role::Master, |host| host.role)
}

/// The rank of a change of the crontab alone, which an expansion makes last.
const WATCH: u8 = 2;

/// Where a change stands among those of its run on one host: a component comes after its tarsnode, and
/// what cron watches after that.
fn rank(change: &HostChange) -> u8 {
    match (change.component, change.folder()) {
        // It is removed last.
        (Component::Tarsnode, Folder::Remove) => 1,
        (Component::Tarsnode, _) => 0,
        (_, Folder::Keep) if is_crontab_only(change) => WATCH,
        (_, Folder::Create) => 1,
        _ => 0,
    }
}

/// Whether a change writes a crontab and touches neither files nor process.
fn is_crontab_only(change: &HostChange) -> bool {
    change.files().is_empty() && !change.restarts()
}

/// The crontab of a host after what `done` did to it was undone.
fn crontab_is_restored(inventory: &mut Inventory, done: &HostChange) {
    let id = ResourceId::Host(done.node.clone());
    if let Some(Observed::Present(Facts::Host(host))) = inventory.resources.get_mut(&id)
        && let Some(text) = restore::crontab_before(done, &host.crontab)
    {
        host.crontab = text;
    }
}

/// When a component is restored among those of its run: the other way round than it was changed. What
/// left with its host is started by its tarsnode, and comes after it and its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Crontab,
    Removed,
    Basic,
    Agents,
    Core,
    AdminRegistry,
    Registry,
    /// The framework of a host as a whole. What runs on plain nodes has gone back before it.
    Containers,
    MovedBack,
}

fn turn(step: &Step) -> Turn {
    if step.stage == Stage::Containers {
        return Turn::Containers;
    }
    let Some(change) = step.action.get::<HostChange>() else {
        return Turn::Agents;
    };
    match (change.component, change.folder()) {
        (Component::Tarsnode, _) => Turn::Agents,
        (_, Folder::Keep) if is_crontab_only(change) => Turn::Crontab,
        (_, Folder::Remove) => Turn::Removed,
        (component, folder) if component.is_basic() && folder != Folder::Create => Turn::Basic,
        (Component::TarsAdminRegistry, _) => Turn::AdminRegistry,
        (Component::Tarsregistry, _) => Turn::Registry,
        (_, Folder::Create) => Turn::MovedBack,
        _ => Turn::Core,
    }
}
