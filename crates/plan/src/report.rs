//! Typed reasons, readable by an operator, for everything that a plan does not do.

mod words;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::names::{ImageName, NodeName, RunId};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::console_obstacle::ConsoleObstacle;
use crate::finding::RuleName;

/// Why a resource that differs is not changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Blocked {
    /// The host does not carry the node's address: it may be another machine.
    WrongAddress {
        /// The address that it must carry.
        ip: String,
        /// What it carries.
        has: Vec<String>,
    },
    /// Another node of the spec answers with the same machine-id.
    SameMachine {
        /// The other node.
        other: NodeName,
    },
    /// No pinned package has the version.
    NoPackage {
        /// The version that is missing.
        version: Version,
    },
    /// No pinned package has the version of a component other than tarsnode.
    NoPackageOf {
        /// Which component.
        component: Component,
        /// The version that is missing.
        version: Version,
    },
    /// The spec places a component on a node that does not have it, and it is not placed yet.
    NotInstalled {
        /// Which component.
        component: Component,
    },
    /// The package of a component other than tarsnode has no configuration or scripts, which a first
    /// install needs.
    IncompletePackageOf {
        /// Which component.
        component: Component,
        /// The version that is incomplete.
        version: Version,
    },
    /// Whom the framework would be asked through to take a component up is not there.
    #[serde(rename = "no-way-in")]
    NoStartPath {
        /// What is missing.
        what: String,
    },
    /// A component runs, and the framework has no row of it.
    RunsUnknown {
        /// Which component.
        component: Component,
    },
    /// Another process listens on the port that a component needs.
    PortTakenOf {
        /// Which component.
        component: Component,
        /// Which port.
        port: u16,
    },
    /// The framework's rows have a framework host under another name or address.
    FrameworkMoved {
        /// The name or address that the rows have.
        from: String,
        /// What is so.
        why: String,
    },
    /// It would take the only endpoint of a servant that answers; its others do not.
    LastEndpoint {
        /// Which servant.
        servant: String,
        /// How many of its endpoints do not answer.
        silent: usize,
    },
    /// It has the last endpoint of a servant that answers, and would be removed: the others do not
    /// answer, or are removed by the same plan.
    OnlyEndpoint {
        /// Which servant.
        servant: String,
    },
    /// It is the only registry that answers: while it restarts, nothing resolves names.
    OnlyRegistry,
    /// A node's tarsnode runs as another user than it should and is not restarted by this plan: what
    /// it starts would run as that user.
    StartedAs {
        /// As whom it runs.
        user: String,
    },
    /// The package has no configuration or scripts, which a first install needs.
    IncompletePackage {
        /// The version that is incomplete.
        version: Version,
    },
    /// A newer version would be replaced by an older one.
    Downgrade {
        /// What is there.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// The run user does not exist, and the spec does not ask to make it.
    NoRunUser {
        /// The user.
        user: String,
        /// Whether a step makes it, which comes too late.
        #[serde(default)]
        comes: bool,
    },
    /// No tarsnode is below the spec's install path, and one runs from another.
    InstalledElsewhere {
        /// The install path that it runs from.
        path: String,
        /// The spec's.
        wanted: String,
    },
    /// Every process of the framework runs as somebody else than the spec says.
    RunsAs {
        /// As whom.
        runs_as: String,
        /// As whom the spec says.
        wanted: String,
    },
    /// The SSH user is neither root nor the run user on any host.
    NoRights {
        /// The SSH user.
        user: String,
        /// The run user.
        run_user: String,
    },
    /// Something needs root rights, and the SSH user has none.
    NeedsRoot {
        /// What needs them.
        what: String,
    },
    /// A program is missing on the host.
    NoProgram {
        /// Which.
        program: String,
        /// The package that has it.
        package: String,
    },
    /// The file system is full.
    NoSpace {
        /// Free bytes.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The install path cannot be written.
    NotWritable {
        /// Which path.
        path: String,
    },
    /// The agent that should go still runs servers.
    ServersRunning {
        /// Their names.
        servers: Vec<String>,
    },
    /// Another run is changing the host at this moment.
    #[serde(rename = "change-at-work")]
    ChangeInProgress {
        /// That run.
        run: RunId,
    },
    /// Others can write on the way to the folder of tarsops' own files there.
    UnsafeFolder {
        /// Which part of the way, and who.
        why: String,
    },
    /// The newest run that the host has seen is from the future, so that it refuses those of today.
    FenceAhead {
        /// That run.
        run: RunId,
        /// Where the host keeps it.
        path: String,
    },
    /// No lock file pins the image of the framework's containers.
    NoImage {
        /// The image.
        image: ImageName,
    },
    /// The pinned image holds another framework than the spec wants.
    OtherImage {
        /// The image.
        image: ImageName,
        /// What it holds.
        holds: Version,
        /// What is wanted.
        wanted: Version,
    },
    /// A container of the framework's name runs something else.
    ForeignContainer {
        /// Its name.
        name: String,
    },
    /// The engine of the host does not have the image.
    ImageNotThere {
        /// The image.
        image: ImageName,
    },
    /// A start of the container would drop the framework's databases.
    ContainerRebuilds {
        /// What says so.
        place: String,
    },
    /// The container is paused, and its engine neither stops nor replaces it.
    ContainerPaused {
        /// Its name.
        name: String,
    },
    /// Only the restart policy differs, which is changed without a start.
    RestartPolicy {
        /// The container's name.
        name: String,
        /// Its policy, as its engine calls it.
        policy: String,
    },
    /// Only programs differ that were published over the image's. A replacement would install
    /// everything again.
    PublishedOver {
        /// Of which components.
        components: Vec<Component>,
    },
    /// The framework runs on the host beside the container, on the same addresses.
    RunsBeside {
        /// What runs there: components, or another container.
        what: Vec<String>,
    },
    /// The framework's database cannot be read. A container that starts without its database ends
    /// everything and waits for ever.
    DatabaseUnread {
        /// Why not.
        why: String,
    },
    /// The release needs columns that the database does not have, and this plan does not add them.
    LacksColumns {
        /// Which, as `table.column`.
        columns: Vec<String>,
    },
    /// The console of the image drops columns that it does not know.
    ConsoleDrops {
        /// The console's version.
        console: Version,
        /// Which, as `table.column`.
        columns: Vec<String>,
    },
    /// The first container of a host is not made, and the last one not removed.
    NoContainerWork {
        /// What would have to be done.
        work: ContainerWork,
    },
    /// The platform is looked at, and not changed yet.
    NoConsoleWork {
        /// What is installed; none where nothing is.
        from: Option<Version>,
        /// What the spec wants.
        to: Version,
        /// What would hinder it beside that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        obstacles: Vec<ConsoleObstacle>,
    },
    /// The image of the framework's containers has another platform than the spec.
    OtherConsoleInImage {
        /// The image.
        image: ImageName,
        /// What it has, if it has one.
        has: Option<Version>,
        /// What the spec wants.
        wanted: Version,
    },
    /// A file cannot be brought to the spec without losing what is in it.
    Unreadable {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A node that should be gone gives signs of life.
    StillAnswers {
        /// Which.
        why: String,
    },
    /// No living registry would be left, or that cannot be told.
    LastRegistry {
        /// What is so.
        why: String,
    },
    /// No registry answers that a started tarsnode could register with.
    NoRegistry,
    /// There is no database, and none is made.
    NoDatabase {
        /// Whether the spec says `rebuild: bootstrap`.
        bootstrap: bool,
    },
    /// The release and people changed the same keys of a template.
    TemplateConflict {
        /// The release.
        release: Version,
        /// Which keys, each with its values.
        keys: Vec<Clash>,
    },
    /// A template needs credentials of the database that are nowhere to be had.
    NoCredentials {
        /// Where they would stand.
        keys: Vec<String>,
    },
    /// A template would have no parent.
    NoParent {
        /// Its name.
        parent: String,
    },
    /// Another process listens on the port that it needs.
    PortTaken {
        /// Which port.
        port: u16,
    },
    /// A `check.sh` in the crontab would start again what should be stopped.
    Watched,
    /// Another crontab of the host than the run user's would start again what is stopped, or may.
    WatchedElsewhere {
        /// Which crontab.
        place: String,
        /// The line.
        line: String,
    },
    /// Something that it rests upon cannot be seen.
    Unseen {
        /// What, and why not.
        why: String,
    },
    /// Another component, which stays as it is, is of a version that it could not work with, or of
    /// one that is not known while that matters.
    VersionsApart {
        /// Which component would change.
        component: Component,
        /// To which version.
        to: Version,
        /// Which one stays.
        other: Component,
        /// On which node.
        at: NodeName,
        /// At which version; none where that is not known.
        its: Option<Version>,
        /// Which version makes the difference.
        since: Version,
        /// Which rule says so.
        rule: String,
        /// What breaks, or why the version is not known.
        why: String,
    },
    /// A template that a server is started with is not there.
    NoTemplate {
        /// Its name.
        name: String,
    },
    /// The server's program is elsewhere than where the spec has it.
    OtherPath {
        /// Where its row has it.
        path: String,
    },
    /// The management platform is needed and cannot be used.
    ConsoleSilent {
        /// Why not.
        why: String,
    },
    /// A basic service cannot be published.
    #[serde(rename = "no-way-to-publish")]
    NoPublishPath {
        /// What is missing.
        what: String,
    },
    /// The sources contradict each other in a way that forbids every change.
    Finding {
        /// Under which name.
        name: RuleName,
        /// What is so.
        text: String,
        /// What to do about it.
        cure: String,
    },
    /// The maintenance that the spec grants is over, and the node still differs.
    MaintenanceOver {
        /// The first day on which drift is an alarm again.
        until: String,
    },
}

/// What a host needs whose container is missing, or should not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerWork {
    /// It is made for the first time.
    Create,
    /// It is stopped and removed.
    Remove,
}

/// A key with its values in the old release, the new one, and the database, as they may be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Clash {
    /// Where it stands, such as `/tars/reap<nodeTimeout>`.
    pub at: String,
    /// What the release ships that the cluster runs.
    pub old: String,
    /// What the wanted one ships.
    pub new: String,
    /// What the database has.
    pub live: String,
}

/// A line beside the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// A resource that differs and is not changed.
    Blocked {
        /// Which.
        resource: ResourceId,
        /// Why.
        #[serde(flatten)]
        why: Blocked,
    },
    /// A resource that is looked at and left alone because the spec says so.
    Ignored {
        /// Which.
        resource: ResourceId,
        /// Why, and what would be done.
        why: String,
    },
    /// Something that the spec describes and this version of tarsops does not manage yet.
    NotYet {
        /// What, with a number.
        what: String,
        /// Of which kind.
        topic: String,
    },
    /// A resource that differs and is changed later, by a plan of its own.
    Waiting {
        /// Which.
        resource: ResourceId,
        /// For what, and what is done then.
        why: String,
    },
    /// What the gates of this plan cannot ask.
    Unchecked {
        /// What, and why not.
        what: String,
    },
    /// Something noteworthy that is no drift.
    Note {
        /// About which resource.
        resource: ResourceId,
        /// What.
        text: String,
    },
    /// Something that works and should not stay so.
    Warning {
        /// About which resource.
        resource: ResourceId,
        /// Under which name.
        name: RuleName,
        /// What is so.
        text: String,
        /// What to do about it.
        cure: String,
    },
    /// Something that has to be looked at soon.
    Alarm {
        /// About which resource.
        resource: ResourceId,
        /// What.
        text: String,
    },
    /// A change that an earlier run left without a verdict; it is ended before anything else.
    Unfinished {
        /// On which node.
        node: NodeName,
        /// By which run.
        run: RunId,
    },
}
