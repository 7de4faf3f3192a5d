//! Everything that is written down reads back equal: what hosts keep of a change, what the master
//! keeps of rows and of the database, and saved plans. What an older version wrote is still read.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use support::*;
use tarsops_conf::merge::{Edit, Place as KeyPlace, Value};
use tarsops_model::component::Component;
use tarsops_model::container::{Mount, Network};
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, StepName, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tarsops_plan::action::{
    Action, AddColumn, AddServerRows, AddTemplate, Backup, Cell, ContainerCreation, Content,
    CrontabBefore, CrontabChange, DeleteNodeRows, DeleteRegistryRows, DeleteServerRows, FileChange,
    Folder, HostChange, Install, MergeTemplate, Modify, NewContainer, NewRow, NewServers,
    Operation, Owner, Place, Port, Process, Publish, Recover, Remove, RemoveRest, RemoveServerRows,
    Renamed, ReplaceContainer, ReplacedContainer, Restart, Restore, RestoreLabels, RestoreTemplate,
    RowEdit, StartServer, StopServer, Table, Undo, Via,
};
use tarsops_plan::condition::Condition;
use tarsops_plan::crontab::CrontabEdit;
use tarsops_plan::effect;
use tarsops_plan::intent::{Changed, CrontabLeft, DatabaseChange, FORMAT, HostChanged, Intent};
use tarsops_plan::plan::{ChangeKind, Stage, Step};
use tarsops_plan::restore::Known;

/// Texts, and those that a reader could take for something else than a text.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        Just("null".to_owned()),
        Just("none".to_owned()),
        Just("true".to_owned()),
        Just("removed".to_owned()),
        Just("17".to_owned()),
        any::<String>(),
    ]
    .boxed()
}

fn digest() -> impl Strategy<Value = Digest> {
    text().prop_map(|t| Digest::of(t.as_bytes()))
}

fn node() -> impl Strategy<Value = NodeName> {
    (0_usize..400).prop_map(|i| name(&address(i)))
}

fn run() -> impl Strategy<Value = RunId> {
    (0_u64..4_000_000_000_000, any::<u16>()).prop_map(|(n, r)| RunId::from_parts(n, r.into()))
}

fn step_name() -> impl Strategy<Value = StepName> {
    "[a-z]{1,9}(\\.[a-z]{1,9})?@[0-9.]{1,9}".prop_map(|t| StepName::of(&t))
}

fn component() -> impl Strategy<Value = Component> {
    prop::sample::select(Component::ALL.to_vec())
}

fn some_version() -> impl Strategy<Value = Version> {
    prop::sample::select(VERSIONS.to_vec()).prop_map(version)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (0_usize..400, 1_u16..).prop_map(|(i, port)| format!("{}:{port}", address(i)).parse().unwrap())
}

fn labels() -> BoxedStrategy<NodeLabels> {
    (of(text()), of(any::<i64>()), of(any::<i64>()))
        .prop_map(|(label, group_id, row)| NodeLabels {
            label,
            group_id,
            row,
        })
        .boxed()
}

fn cell() -> BoxedStrategy<Cell> {
    prop_oneof![
        text().prop_map(Cell::Text),
        any::<i64>().prop_map(Cell::Number),
        Just(Cell::Now),
        Just(Cell::Null),
    ]
    .boxed()
}

fn table() -> impl Strategy<Value = Table> {
    prop_oneof![Just(Table::TServerConf), Just(Table::TAdapterConf)]
}

fn cells() -> impl Strategy<Value = Vec<(String, Cell)>> {
    vec((text(), cell()), 0..4)
}

fn new_servers() -> BoxedStrategy<NewServers> {
    let row = (table(), cells()).prop_map(|(table, columns)| NewRow { table, columns });
    let via = prop_oneof![Just(Via::Console), Just(Via::Tars)];
    (node(), vec(row, 0..3), via)
        .prop_map(|(node, rows, via)| NewServers { node, rows, via })
        .boxed()
}

fn row_edit() -> BoxedStrategy<RowEdit> {
    let key = vec((text(), text()), 0..4);
    (table(), key, of(cells()), of(cells()))
        .prop_map(|(table, key, before, after)| RowEdit {
            table,
            key,
            before,
            after,
        })
        .boxed()
}

fn content() -> BoxedStrategy<Content> {
    let packed = (component(), some_version(), text(), any::<u64>()).prop_map(
        |(component, version, path, size)| Content::Package {
            component,
            version,
            path,
            size,
        },
    );
    let before = (run(), step_name(), 0_usize..9).prop_map(|(run, step, index)| Content::Before {
        run,
        step,
        index,
    });
    prop_oneof![
        packed,
        before,
        text().prop_map(Content::Text),
        Just(Content::None),
    ]
    .boxed()
}

fn file() -> BoxedStrategy<FileChange> {
    let modes = (any::<u32>(), of(any::<u32>()));
    (text(), modes, of(digest()), of(digest()), content())
        .prop_map(
            |(path, (mode, before_mode), before, after, content)| FileChange {
                path,
                mode,
                before,
                before_mode,
                after,
                content,
            },
        )
        .boxed()
}

fn crontab_change() -> BoxedStrategy<CrontabChange> {
    let edit = (vec((0_usize..9, text()), 0..3), of(text()))
        .prop_map(|(remove, add)| CrontabEdit { remove, add });
    let back = (run(), step_name(), of(digest())).prop_map(|(run, step, digest)| CrontabBefore {
        run,
        step,
        digest,
    });
    (of(digest()), edit, of(back))
        .prop_map(|(before, edit, back)| CrontabChange { before, edit, back })
        .boxed()
}

fn owner() -> impl Strategy<Value = Owner> {
    prop::sample::select(vec![Owner::Unchanged, Owner::RunUser, Owner::NewRunUser])
}

fn renamed() -> impl Strategy<Value = Renamed> {
    (text(), text()).prop_map(|(from, to)| Renamed { from, to })
}

fn restore() -> BoxedStrategy<Restore> {
    let folders = vec![Folder::Keep, Folder::Create, Folder::Remove];
    let processes = vec![
        Process::Leave,
        Process::Check,
        Process::Restart,
        Process::Stop,
    ];
    let what = (
        prop::sample::select(folders),
        vec(file(), 0..3),
        any::<bool>(),
        prop::sample::select(processes),
    );
    let rest = (of(crontab_change()), vec(row_edit(), 0..3), of(renamed()));
    (run(), step_name(), what, rest)
        .prop_map(
            |(undoes, step, (folder, files, owners, process), (crontab, rows, patch_version))| {
                Restore {
                    undoes,
                    step,
                    folder,
                    files,
                    owners,
                    process,
                    crontab,
                    rows,
                    patch_version,
                }
            },
        )
        .boxed()
}

/// What is done to tarsnode only.
fn of_agent() -> BoxedStrategy<Operation> {
    prop_oneof![
        (
            vec(file(), 0..3),
            owner(),
            of(crontab_change()),
            of(labels())
        )
            .prop_map(
                |(files, owner, crontab, labels)| Operation::Install(Install {
                    files,
                    owner,
                    crontab,
                    labels
                })
            ),
        (
            vec(file(), 0..3),
            owner(),
            any::<bool>(),
            of(crontab_change()),
            of(labels())
        )
            .prop_map(|(files, owner, restart, crontab, labels)| {
                Operation::Modify(Modify {
                    files,
                    owner,
                    restart,
                    crontab,
                    labels,
                })
            }),
        (of(crontab_change()), any::<bool>(), any::<bool>()).prop_map(
            |(crontab, stop, stop_servers)| Operation::RemoveRest(RemoveRest {
                crontab,
                stop,
                stop_servers
            })
        ),
    ]
    .boxed()
}

/// What is done to servers only.
fn of_server() -> BoxedStrategy<Operation> {
    let via = prop_oneof![Just(Via::Console), Just(Via::Tars)];
    prop_oneof![
        (vec(file(), 0..3), owner())
            .prop_map(|(files, owner)| Operation::Place(Place { files, owner })),
        crontab_change().prop_map(Operation::Watch),
        (vec(file(), 0..3), owner(), any::<bool>()).prop_map(|(files, owner, restart)| {
            Operation::Modify(Modify {
                files,
                owner,
                restart,
                crontab: None,
                labels: None,
            })
        }),
        (
            via,
            file(),
            any::<bool>(),
            vec(row_edit(), 0..3),
            of(renamed())
        )
            .prop_map(
                |(via, program, first, rows, patch_version)| Operation::Publish(Publish {
                    via,
                    program,
                    first,
                    rows,
                    patch_version
                })
            ),
        (vec(row_edit(), 0..3), of(run()))
            .prop_map(|(rows, undoes)| Operation::Restart(Restart { rows, undoes })),
    ]
    .boxed()
}

/// What is done to either.
fn of_both() -> BoxedStrategy<Operation> {
    prop_oneof![
        (of(crontab_change()), any::<bool>()).prop_map(|(crontab, stop_servers)| {
            Operation::Remove(Remove {
                crontab,
                stop_servers,
            })
        }),
        restore().prop_map(|restore| Operation::Restore(Box::new(restore))),
    ]
    .boxed()
}

prop_compose! {
    fn host_change()(
        component in component(),
        node in node(),
        summary in text(),
        (agent, server, both, either) in (of_agent(), of_server(), of_both(), any::<bool>()),
        ports in (of(any::<u16>()), of(any::<u16>())),
        ip in ip(),
        ran_as in any::<bool>(),
        ran in any::<bool>(),
        machine_id in text(),
        settle in of(any::<u64>()),
    ) -> HostChange {
        HostChange {
            component,
            node,
            summary,
            operation: match component {
                _ if either => both,
                Component::Tarsnode => agent,
                _ => server,
            },
            tars_path: AbsPath::new(TARS).unwrap(),
            run_user: UserName::new(USER).unwrap(),
            ran_as: ran_as.then(|| UserName::new("root").unwrap()),
            ip,
            port: Port { before: ports.0, after: ports.1 },
            ran,
            machine_id,
            settle,
        }
    }
}

/// A change as formats 1 and 2 wrote it: one flat structure for every operation.
fn flat(change: &HostChange) -> serde_json::Value {
    let restore = change.restore();
    let saved = restore.map(Restore::saved_under);
    let folder = change.folder();
    let mut out = serde_json::json!({
        "component": change.component,
        "node": change.node,
        "nodeid": change.node,
        "summary": change.summary,
        "folder": folder,
        "files": change.files(),
        "make_user": change.owner() == Owner::NewRunUser,
        "own": change.owner() != Owner::Unchanged,
        "restart": change.restarts(),
        "health": change.ends_healthy(),
        "stop_servers": change.stops_servers(),
        "crontab": change.crontab(),
        "tars_path": change.tars_path,
        "run_user": change.run_user,
        "ip": change.ip,
        "port": change.port.after,
        "port_before": change.port.before,
        "ran": change.ran,
        "lenient": change.undoes().is_some(),
        "machine_id": change.machine_id,
        "reread": change.rereads(),
        "rows": change.rows(),
    });
    let mut set = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            out[name] = value;
        }
    };
    let json = |value: &dyn erased::Json| value.json();
    set("ran_as", change.ran_as.as_ref().map(|v| json(v)));
    let crontab_of = restore.and(change.ran_as.as_ref());
    set("crontab_of", crontab_of.map(|v| json(v)));
    set("registry", change.registry().map(|v| json(&v)));
    set("labels", change.labels().map(|v| json(v)));
    set("settle", change.settle.map(|v| json(&v)));
    set("takes_back", change.undoes().map(|v| json(v)));
    set("publish", change.publish().map(|p| json(&p.via)));
    set("names", change.patch_version().map(|v| json(v)));
    let from = saved.as_ref().filter(|_| folder == Folder::Create);
    set("folder_from", from.map(|v| json(v)));
    let owners = restore.is_some_and(|restore| restore.owners);
    set(
        "owners_from",
        saved.as_ref().filter(|_| owners).map(|v| json(v)),
    );
    out
}

mod erased {
    /// Anything that has a JSON form.
    pub(crate) trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

/// A record of a host as format 3 wrote it.
fn format_3(intent: &Intent) -> serde_json::Value {
    let mut out = serde_json::to_value(intent).unwrap();
    out["format"] = "tarsops.intent/3".into();
    let changed = serde_json::to_value(host_of(intent)).unwrap();
    out["change"] = changed["change"].clone();
    out["crontab_after"] = changed["crontab_after"].clone();
    for later in ["changed", "summary", "resource"] {
        out.as_object_mut().unwrap().remove(later);
    }
    out
}

/// A record of a host as format 2 wrote it.
fn format_2(intent: &Intent) -> serde_json::Value {
    let mut out = format_3(intent);
    out["format"] = "tarsops.intent/2".into();
    out["change"] = flat(&host_of(intent).change);
    out
}

/// A record of the database as its only format of its own wrote it.
fn of_database_1(intent: &Intent) -> serde_json::Value {
    let mut out = serde_json::to_value(intent).unwrap();
    out["format"] = "tarsops.database-intent/1".into();
    out["deed"] = serde_json::to_value(intent.database().unwrap()).unwrap();
    out.as_object_mut().unwrap().remove("changed");
    out
}

fn sign() -> impl Strategy<Value = ChangeKind> {
    prop::sample::select(vec![
        ChangeKind::Add,
        ChangeKind::Change,
        ChangeKind::Remove,
    ])
}

prop_compose! {
    fn intent()(
        run in run(),
        step in step_name(),
        holder in text(),
        spec_digest in digest(),
        started_at in any::<i64>(),
        sign in sign(),
        change in host_change(),
        crontab_after in prop_oneof![
            Just(CrontabLeft::Unchanged),
            Just(CrontabLeft::Removed),
            digest().prop_map(CrontabLeft::Written),
        ],
    ) -> Intent {
        Intent {
            format: FORMAT.to_owned(),
            cluster: "prod".parse().unwrap(),
            run,
            step,
            holder,
            spec_digest,
            started_at,
            sign,
            summary: change.summary.clone(),
            resource: change.resource(),
            changed: Changed::Host(Box::new(HostChanged {
                change,
                crontab_after,
            })),
        }
    }
}

fn deed() -> BoxedStrategy<DatabaseChange> {
    prop_oneof![
        (vec(text(), 0..3), text(), digest()).prop_map(|(databases, file, digest)| {
            DatabaseChange::Backup {
                databases,
                file,
                digest,
            }
        }),
        (text(), text()).prop_map(|(table, column)| DatabaseChange::Column { table, column }),
        (text(), of(digest()), of(digest())).prop_map(|(name, before, after)| {
            DatabaseChange::Template {
                name,
                before,
                after,
            }
        }),
    ]
    .boxed()
}

fn resource() -> BoxedStrategy<ResourceId> {
    prop_oneof![
        node().prop_map(ResourceId::Host),
        node().prop_map(ResourceId::Agent),
        (component(), node()).prop_map(|(c, n)| ResourceId::Server(c, n)),
        endpoint().prop_map(ResourceId::RegistryEndpoint),
    ]
    .boxed()
}

prop_compose! {
    fn database_intent()(
        run in run(),
        step in step_name(),
        holder in text(),
        spec_digest in digest(),
        started_at in any::<i64>(),
        sign in sign(),
        summary in text(),
        resource in resource(),
        deed in deed(),
    ) -> Intent {
        Intent {
            format: FORMAT.to_owned(),
            cluster: "prod".parse().unwrap(),
            run,
            step,
            holder,
            spec_digest,
            started_at,
            sign,
            summary,
            resource,
            changed: Changed::Database(deed),
        }
    }
}

fn edit() -> BoxedStrategy<Edit> {
    let place = || (vec(text(), 0..3), text()).prop_map(|(path, key)| KeyPlace { path, key });
    let value = prop_oneof![text().prop_map(Value::Text), place().prop_map(Value::As)];
    prop_oneof![
        vec(text(), 0..3).prop_map(|path| Edit::AddDomain { path }),
        (place(), value).prop_map(|(at, value)| Edit::Set { at, value }),
        place().prop_map(|at| Edit::Remove { at }),
    ]
    .boxed()
}

fn container_change() -> impl Strategy<Value = ReplaceContainer> {
    let creation = (
        digest(),
        btree_map(text(), text(), 0..3),
        btree_map(text(), (text(), any::<bool>()), 0..3),
        any::<bool>(),
        ip(),
        (text(), any::<u32>()),
    );
    let creation = creation.prop_map(|(image, environment, mounts, host, ip, logs)| {
        let mounts = mounts
            .into_iter()
            .map(|(target, (source, writable))| (target, Mount { source, writable }));
        NewContainer::Create(ContainerCreation {
            image,
            image_name: "tarscloud/framework:v3.0.20".parse().unwrap(),
            environment,
            mounts: mounts.collect(),
            network: match host {
                true => Network::Host,
                false => Network::Bridge("tars".parse().unwrap()),
            },
            ip,
            log_size: logs.0,
            log_files: logs.1,
        })
    });
    let back = (text(), digest(), run()).prop_map(|(id, image, undoes)| NewContainer::Back {
        id,
        image,
        undoes,
    });
    (
        (node(), text()),
        (text(), digest(), any::<bool>()),
        prop_oneof![creation.boxed(), back.boxed()],
        vec(btree_map(component(), digest(), 0..3), 2),
        (of(some_version()), of(some_version())),
        btree_set(any::<u16>(), 0..3),
        any::<u64>(),
    )
        .prop_map(
            |(
                (node, machine_id),
                (id, image, ran),
                new,
                mut programs,
                consoles,
                ports,
                stop_timeout,
            )| {
                ReplaceContainer {
                    node,
                    machine_id,
                    socket: "/var/run/docker.sock".parse().unwrap(),
                    name: "tars-framework".parse().unwrap(),
                    old: ReplacedContainer {
                        id,
                        image,
                        ran,
                        programs: programs.remove(0),
                        console: consoles.0,
                    },
                    new,
                    programs: programs.remove(0),
                    ports,
                    stop_timeout,
                    console: consoles.1,
                }
            },
        )
}

fn action() -> BoxedStrategy<Action> {
    let merge = (
        text(),
        some_version(),
        digest(),
        digest(),
        vec(edit(), 0..3),
    )
        .prop_map(|(name, release, before, after, edits)| {
            Action::MergeTemplate(Box::new(MergeTemplate {
                name,
                release,
                before,
                after,
                edits,
            }))
        });
    let template =
        (text(), text(), some_version(), text()).prop_map(|(name, parent, release, text)| {
            Action::AddTemplate(Box::new(AddTemplate {
                name,
                parent,
                release,
                text,
            }))
        });
    let restore = (text(), run(), step_name(), of(digest()), of(digest())).prop_map(
        |(name, run, step, now, before)| {
            Action::RestoreTemplate(RestoreTemplate {
                name,
                run,
                step,
                now,
                before,
            })
        },
    );
    prop_oneof![
        (node(), run(), step_name(), any::<bool>()).prop_map(|(node, run, step, accept)| {
            Action::Recover(Recover {
                node,
                run,
                step,
                accept,
            })
        }),
        host_change()
            .boxed()
            .prop_map(|c| Action::ChangeHost(Box::new(c))),
        (node(), ip()).prop_map(|(node, ip)| Action::DeleteNodeRows(DeleteNodeRows { node, ip })),
        (node(), btree_set(component(), 0..3)).prop_map(
            |(node, servers)| Action::DeleteServerRows(DeleteServerRows { node, servers })
        ),
        (endpoint(), text()).prop_map(|(registry, node)| Action::DeleteRegistryRows(
            DeleteRegistryRows { registry, node }
        )),
        vec(text(), 0..3).prop_map(|databases| Action::Backup(Backup { databases })),
        (text(), text(), text()).prop_map(|(table, column, definition)| Action::AddColumn(
            AddColumn {
                table,
                column,
                definition
            }
        )),
        merge.boxed(),
        template.boxed(),
        restore.boxed(),
        (node(), labels())
            .prop_map(|(node, labels)| Action::RestoreLabels(RestoreLabels { node, labels })),
        new_servers().prop_map(|new| AddServerRows(new).into()),
        new_servers().prop_map(|new| RemoveServerRows(new).into()),
        container_change().prop_map(Action::from),
        (component(), node())
            .prop_map(|(component, node)| Action::StartServer(StartServer { component, node })),
        (component(), node())
            .prop_map(|(component, node)| Action::StopServer(StopServer { component, node })),
    ]
    .boxed()
}

fn names_of_rows() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(text(), 0..3)
}

fn condition() -> BoxedStrategy<Condition> {
    let hosts = prop_oneof![
        text().prop_map(|id| Condition::Machine { id }),
        any::<bool>().prop_map(|exists| Condition::Folder { exists }),
        (text(), of(digest())).prop_map(|(path, digest)| Condition::File { path, digest }),
        (text(), any::<u32>()).prop_map(|(path, mode)| Condition::Mode { path, mode }),
        of(digest()).prop_map(|digest| Condition::Crontab { digest }),
        of(run()).prop_map(|run| Condition::Unfinished { run }),
        (of(digest()), node(), text()).prop_map(|(digest, nodeid, user)| Condition::Runs {
            digest,
            nodeid,
            user
        }),
        (text(), node(), btree_set(endpoint(), 0..3)).prop_map(|(ip, nodeid, locator)| {
            Condition::Conf {
                ip,
                nodeid,
                locator,
            }
        }),
        (component(), any::<bool>())
            .prop_map(|(component, runs)| Condition::Component { component, runs }),
        (component(), of(digest()), text()).prop_map(|(component, digest, user)| {
            Condition::ServerRuns {
                component,
                digest,
                user,
            }
        }),
    ];
    let others = prop_oneof![
        of(labels()).prop_map(|labels| Condition::LabelsSaved { labels }),
        names_of_rows().prop_map(|servers| Condition::ServersActive { servers }),
        names_of_rows().prop_map(|but| Condition::AllServersActive { but }),
        ip().prop_map(|ip| Condition::Forgotten { ip }),
        endpoint().prop_map(|registry| Condition::RegistryDead { registry }),
        names_of_rows().prop_map(|rows| Condition::RowsAbsent { rows }),
        names_of_rows().prop_map(|rows| Condition::RowsThere { rows }),
        (text(), text(), any::<bool>()).prop_map(|(table, column, there)| Condition::Column {
            table,
            column,
            there
        }),
        (text(), of(digest())).prop_map(|(name, digest)| Condition::Template { name, digest }),
        text().prop_map(|tars_path| Condition::Unwatched { tars_path }),
        Just(Condition::Stopped),
        text().prop_map(|id| Condition::ContainerIs { id }),
        (text(), of(digest()))
            .prop_map(|(instead_of, image)| Condition::ContainerRuns { instead_of, image }),
        digest().prop_map(|id| Condition::ImageThere { id }),
        text().prop_map(|id| Condition::ContainerRetired { id }),
        Just(Condition::NoRebuild {
            name: "tars-framework".parse().unwrap()
        }),
        Just(Condition::RegistryLeft),
    ];
    prop_oneof![hosts.boxed(), others.boxed()].boxed()
}

fn undo() -> BoxedStrategy<Undo> {
    prop_oneof![
        Just(Undo::Restore),
        action().prop_map(|action| Undo::Inverse {
            action: Box::new(action)
        }),
        text().prop_map(|reason| Undo::Irreversible { reason }),
    ]
    .boxed()
}

prop_compose! {
    fn step()(
        id in text(),
        stage in prop::sample::select(Stage::all().collect::<Vec<_>>()),
        batch in any::<u32>(),
        needs in vec(text(), 0..3),
        resource in resource(),
        sign in sign(),
        summary in text(),
        action in action(),
        pre in vec(condition(), 0..4),
        post in vec(condition(), 0..4),
        undo in undo(),
    ) -> Step {
        Step { id, stage, batch, needs, resource, sign, summary, action, pre, post, undo }
    }
}

/// What is written reads back equal, and is written the same again.
fn reads_back<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let written = serde_json::to_string(value).unwrap();
    let read: T = serde_json::from_str(&written)
        .map_err(|e| TestCaseError::fail(format!("{e}: {written}")))?;
    prop_assert_eq!(&read, value, "{}", written);
    prop_assert_eq!(serde_json::to_string(&read).unwrap(), written);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_hosts_keep_of_a_change_reads_back(intent in intent()) {
        reads_back(&intent)?;
    }

    #[test]
    fn what_the_master_keeps_of_the_database_reads_back(intent in database_intent()) {
        reads_back(&intent)?;
    }

    #[test]
    fn what_hosts_keep_of_a_container_reads_back(head in database_intent(), change in container_change()) {
        let changed = Changed::Container(Box::new(change));
        reads_back(&Intent { changed, ..head })?;
    }

    #[test]
    fn what_the_master_keeps_of_rows_reads_back(new in new_servers(), edit in row_edit()) {
        reads_back(&new)?;
        reads_back(&edit)?;
    }

    #[test]
    fn every_step_of_a_saved_plan_reads_back(step in step()) {
        reads_back(&step)?;
    }

    #[test]
    fn labels_that_a_host_keeps_read_back(labels in labels()) {
        // An empty label is the table's own default, and no label.
        let meant = NodeLabels {
            label: labels.label.clone().filter(|l| !l.is_empty()),
            ..labels.clone()
        };
        prop_assert_eq!(NodeLabels::from_text(&labels.to_text()), Some(meant));
    }

    /// Format 1 wrote `null` for a crontab that was removed, as it did for one that stayed.
    #[test]
    fn what_format_1_wrote_of_a_crontab_is_understood(honest in intent()) {
        let mut old = format_2(&honest);
        old["format"] = "tarsops.intent/1".into();
        let host = host_of(&honest);
        let left = match host.change.crontab() {
            None => CrontabLeft::Unchanged,
            Some(_) if host.crontab_after == CrontabLeft::Unchanged => CrontabLeft::Removed,
            Some(_) => host.crontab_after,
        };
        old["crontab_after"] = match left {
            CrontabLeft::Written(digest) => digest.to_string().into(),
            _ => serde_json::Value::Null,
        };
        let mut meant = honest;
        host_in(&mut meant).crontab_after = left;
        let read: Intent = serde_json::from_value(old).unwrap();
        prop_assert_eq!(what_counts(read), what_counts(meant));
    }

    /// What an older tarsops wrote into one flat structure means the same operation.
    #[test]
    fn what_format_2_wrote_of_a_change_is_understood(honest in intent()) {
        let read: Intent = serde_json::from_value(format_2(&honest)).unwrap();
        prop_assert_eq!(what_counts(read), what_counts(honest));
    }

    /// What records of hosts and of the database said before they had one format means the same.
    #[test]
    fn what_the_two_formats_before_wrote_is_understood(host in intent(), database in database_intent()) {
        for (old, honest) in [(format_3(&host), host), (of_database_1(&database), database)] {
            let read: Intent = serde_json::from_value(old.clone()).unwrap();
            prop_assert_eq!(read, honest);
            // By its name alone: neither is taken for the other.
            for other in ["tarsops.intent/3", "tarsops.database-intent/1", FORMAT, "tarsops.intent/5"] {
                let mut renamed = old.clone();
                renamed["format"] = other.into();
                let read: Result<Intent, _> = serde_json::from_value(renamed);
                prop_assert_eq!(read.is_ok(), old["format"] == other, "{}", other);
            }
        }
    }

    /// Nothing of a flat structure is passed over: a part that its operation does not have makes the
    /// record unreadable.
    #[test]
    fn a_contradiction_of_format_2_is_no_change(
        honest in intent(),
        part in prop::sample::select(vec!["nodeid", "registry", "labels", "stop_servers", "rows", "publish"]),
    ) {
        let mut old = format_2(&honest);
        let change = &mut old["change"];
        let had = change.get(part).cloned();
        change[part] = match part {
            "nodeid" => "192.0.2.1".into(),
            "registry" => "192.0.2.1:17890".into(),
            "labels" => serde_json::json!({"label": "x", "group_id": 1}),
            "stop_servers" => true.into(),
            "rows" => serde_json::json!([{"table": "t_server_conf", "key": [], "before": null, "after": null}]),
            _ => "tars".into(),
        };
        let has_it = match part {
            "labels" => matches!(host_of(&honest).change.operation, Operation::Install(_) | Operation::Modify(_)),
            "stop_servers" => matches!(host_of(&honest).change.operation, Operation::Remove(_) | Operation::RemoveRest(_)),
            "rows" => matches!(host_of(&honest).change.operation, Operation::Publish(_) | Operation::Restart(_) | Operation::Restore(_)),
            // A program that is replaced could as well have been published.
            "publish" => match &host_of(&honest).change.operation {
                Operation::Publish(_) => true,
                Operation::Modify(modify) => modify.restart && !modify.files.is_empty(),
                _ => false,
            },
            _ => false,
        };
        prop_assume!(!has_it && change.get(part) != had.as_ref());
        let read: Result<Intent, _> = serde_json::from_value(old.clone());
        prop_assert!(read.is_err(), "{}: {:?}", part, read);
    }
}

/// A change without what formats 1 and 2 did not say: under which step the before-images of a restore
/// lie, where it takes none of them by that name.
fn what_counts(mut intent: Intent) -> Intent {
    if let Operation::Restore(restore) = &mut host_in(&mut intent).change.operation
        && restore.folder != Folder::Create
        && !restore.owners
    {
        restore.step = StepName::of("any");
    }
    intent
}

/// A removal from a host whose crontab held the monitor's line and nothing else: its rollback puts
/// the line back, whichever format the record has.
#[test]
fn a_rollback_puts_back_a_crontab_that_was_removed() {
    let mut world = World::new(3);
    world.spec(2).state = tarsops_model::host::NodeState::Absent { stop_servers: true };
    let plan = world.plan();
    let [step] = plan.steps.as_slice() else {
        panic!("{plan:#?}")
    };
    let before = world.host(2).crontab.present().cloned().unwrap();
    let change = change(step);
    effect::apply(&mut world.inventory, &step.action);
    assert_eq!(world.host(2).crontab, Observed::Absent);
    let intent = intent_left(&world, step, change, CrontabLeft::Removed);
    let written = serde_json::to_value(&intent).unwrap();
    assert_eq!(written["changed"]["host"]["crontab_after"], "removed");
    let third = format_3(&intent);
    let old = format_2(&intent);
    let mut older = old.clone();
    older["format"] = "tarsops.intent/1".into();
    older["crontab_after"] = serde_json::Value::Null;
    for record in [written, third, old, older] {
        let read: Intent = serde_json::from_value(record).unwrap();
        let back = restoring(&read, &world.inventory, Known::default()).unwrap();
        let crontab = back.change.crontab().expect("the crontab comes back");
        assert_eq!(
            crontab.back.as_ref().and_then(|b| b.digest),
            Some(Digest::of(before.as_bytes()))
        );
    }
}

/// An option in an option that is written down is one value short: `null` is both.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "it reads the sources of this project, which the crate itself never does"
)]
fn no_type_has_an_option_in_an_option() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![crates];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs")
                && path.components().any(|c| c.as_os_str() == "src")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
                assert!(!plain.contains(":Option<Option<"), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} files");
}

/// Records as they lie on hosts since before there was one format, byte for byte.
#[test]
fn records_of_every_format_that_was_written_are_read() {
    let read = |text: &str| serde_json::from_str::<Intent>(text).unwrap();
    let host = read(include_str!("../../../fixtures/records/host-4.json"));
    for older in [
        include_str!("../../../fixtures/records/host-1.json"),
        include_str!("../../../fixtures/records/host-2.json"),
        include_str!("../../../fixtures/records/host-3.json"),
    ] {
        assert_eq!(read(older), host);
    }
    let database = read(include_str!("../../../fixtures/records/database-4.json"));
    let older = read(include_str!("../../../fixtures/records/database-1.json"));
    assert_eq!(older, database);
    let file = host_of(&host).change.files()[0].path.as_str();
    assert_eq!(file, "tarsnode/bin/tarsnode");
    assert!(
        matches!(database.database(), Some(DatabaseChange::Template { name, .. }) if name == "tars.default")
    );
}
