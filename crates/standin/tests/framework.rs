//! The framework on an embedded cluster: all components answer, a node comes, lives, goes and is
//! forgotten as on a real one.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{Line, Up, body, eventually, exe, healthy};
use tarsops_standin::cluster::{Cluster, FrameworkOptions, Options, free_network};
use tarsops_standin::framework::COMPONENTS;
use tarsops_standin::packages::write_component;
use tarsops_standin::standin::{Behaviour, Identity};
use tarsops_standin::store::{Database, NodeRow, RegistryRow, Store};
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{
    ADMIN, EndpointF, FORWARD, FrameworkServer, NODE, QUERY, ServerStateDesc, field, texts,
};
use tarsops_wire::packet::{Response, code};

const ON: [(&str, &str); 1] = [(FORWARD, "on")];

const TASK: &str = "cbb09715ca524def8d43493536ad116e";
const ITEMS: [&str; 2] = [
    "42f3012f77654fb9b195dcd178c711fd",
    "25d52b62f67f44e98385ba6842e4a5b0",
];

fn admin(up: &Up, function: &str, arguments: Vec<u8>) -> Response {
    Line::to(up.framework().admin)
        .call(ADMIN, function, arguments, &ON)
        .unwrap_or_else(|| panic!("{function} is not answered"))
}

fn word(answer: &Response, tag: u8) -> String {
    field(answer, tag).unwrap().unwrap_or_default()
}

fn number(answer: &Response, tag: u8) -> i32 {
    field(answer, tag).unwrap().unwrap()
}

fn ping(up: &Up, node: &str) -> String {
    word(&admin(up, "pingNode", texts(&[node])), 2)
}

/// When AdminRegistry last heard of the node on its long connection.
fn heard(up: &Up, node: &str) -> String {
    let nodes = vec![node.to_owned()];
    let answer = admin(up, "getNodeList", body(|w| w.put(1, &nodes)));
    let seen: Pairs<String, String> = field(&answer, 2).unwrap().unwrap();
    seen.get(node).unwrap().clone()
}

fn row(up: &Up, node: &str) -> Option<NodeRow> {
    let rows = up.tables().nodes().unwrap();
    rows.into_iter().find(|row| row.node_name == node)
}

fn registry(up: &Up) -> String {
    format!("tcp -h {} -p 17890", up.host(0).ip)
}

#[test]
fn every_component_answers_its_servants_and_nothing_else() {
    let up = Up::with_framework(1);
    let ip = up.host(0).ip;
    for component in COMPONENTS {
        let library = |port: u16| {
            let mut line = Line::to(SocketAddr::from((ip, port)));
            let answer = line.call("AdminObj", "notify", texts(&["tars.viewversion"]), &[]);
            word(&answer.unwrap(), 0)
        };
        assert_eq!(
            library(component.local),
            "[notify prefix object num:1]\n[1]:$3.0.20$\n"
        );
        for (object, port) in component.objects {
            let servant = format!("tars.{}.{object}", component.name);
            let mut line = Line::to(SocketAddr::from((ip, *port)));
            let mut ret = |servant: &str, function: &str| {
                let answer = line.call(servant, function, Vec::new(), &[]).unwrap();
                (answer.ret, answer.body.0.is_empty())
            };
            assert_eq!(ret(&servant, "tars_ping"), (code::SUCCESS, true));
            assert_eq!(ret(&servant, "fly"), (code::NO_FUNCTION, true));
            assert_eq!(ret("tars.no.Obj", "tars_ping"), (code::NO_SERVANT, true));
        }
    }

    // AdminRegistry's view of it, and pings from where it is.
    let answer = admin(&up, "getServers", Vec::new());
    let servers: Vec<FrameworkServer> = field(&answer, 1).unwrap().unwrap();
    assert_eq!(servers.len(), 12, "{servers:?}");
    for server in &servers {
        assert_eq!(
            number(&admin(&up, "checkServer", body(|w| w.put(1, server))), 0),
            0
        );
    }
    let gone = FrameworkServer {
        obj_name: format!("tars.tarslog.LogObj@tcp -h {ip} -p 1"),
        ..FrameworkServer::default()
    };
    assert_eq!(
        number(&admin(&up, "checkServer", body(|w| w.put(1, &gone))), 0),
        -1
    );

    // A component that is killed comes back with its own script, on the same ports.
    let start = up.host(0).install_path.join("tars/tarslog/util/start.sh");
    up.ok(
        0,
        &format!("sh {} > /dev/null 2>&1 < /dev/null", start.display()),
    );
    let log = SocketAddr::from((ip, 18993));
    let listens = || std::net::TcpStream::connect(log).is_ok();
    eventually("tarslog again", listens);
    // Its other script ends it, and the host's end ends all; what was switched off is started again.
    let stop = start.with_file_name("stop.sh");
    up.ok(
        0,
        &format!("sh {} > /dev/null 2>&1 < /dev/null", stop.display()),
    );
    eventually("its end", || !listens());
    let master = up.host(0).name.clone();
    up.cluster.power_off(&master).unwrap();
    assert!(up.cluster.processes(&master).unwrap().is_empty());
    up.cluster.reboot(&master).unwrap();
    up.cluster.start_framework().unwrap();
    assert!(listens());
    assert_eq!(
        up.cluster.processes(&master).unwrap().len(),
        COMPONENTS.len()
    );
}

#[test]
fn registries_write_their_rows_and_objects_are_answered_twice() {
    let up = Up::with_framework(1);
    let ip = up.host(0).ip;
    let tables = up.tables();
    let rows = tables.registries().unwrap();
    let mine: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.servant.as_str(), row.locator_id.as_str()))
        .collect();
    let (query, own) = (format!("{ip}:17890"), format!("{ip}:12000"));
    let local = format!("{ip}:12307");
    for expected in [
        ("AdminObj", query.as_str()),
        (QUERY, &query),
        ("tars.tarsregistry.RegistryObj", &query),
        (ADMIN, &own),
        ("AdminObj", &local),
    ] {
        assert!(mine.contains(&expected), "{mine:?}");
    }
    assert_eq!(rows.len(), 5);

    // A living registry keeps its rows, AdminRegistry makes its own again with new numbers.
    let id = |servant: &str| {
        let rows = tables.registries().unwrap();
        rows.into_iter()
            .find(|row| row.servant == servant)
            .unwrap()
            .id
    };
    let (registry, admin) = (id(QUERY), id(ADMIN));
    eventually("a new number", || id(ADMIN) > admin);
    assert_eq!(id(QUERY), registry);
    tables
        .change(|tables| tables.t_registry_info.clear())
        .unwrap();
    eventually("the rows again", || tables.registries().unwrap().len() == 5);

    let find = || {
        let answer = Line::to(up.framework().query)
            .call(QUERY, "findObjectById4All", texts(&[QUERY]), &[])
            .unwrap();
        let active: Vec<EndpointF> = field(&answer, 2).unwrap().unwrap();
        let inactive: Vec<EndpointF> = field(&answer, 3).unwrap().unwrap();
        (active, inactive)
    };
    eventually("both", || find().0.len() == 2);
    let (active, _) = find();
    assert_eq!((active[0].port, active[1].port), (17890, 17890));
    assert_eq!(active[0].node_name, ip.to_string());
    assert_eq!(active[1].node_name, "3.0.20");

    // A registry that is killed goes inactive, and stays in the table.
    let pids = up.ok(
        0,
        "ps -eo pid,cmd | grep tarsAdminRegistry/bin/tarsAdminRegistr[y] | awk '{print $1}'",
    );
    let own = up.cluster.processes(&up.host(0).name).unwrap();
    for pid in pids
        .split_whitespace()
        .map(|pid| pid.parse::<i32>().unwrap())
    {
        if own.contains(&pid) {
            up.ok(0, &format!("kill -9 {pid}"));
        }
    }
    eventually("inactive", || {
        let rows = tables.registries().unwrap();
        rows.iter()
            .any(|row| row.servant == ADMIN && row.present_state == "inactive")
    });
}

#[test]
fn a_node_comes_lives_goes_and_is_forgotten() {
    let up = Up::with_framework(2);
    let name = up.host(1).name.clone();
    let node = up.install(1, "3.0.17", &registry(&up));
    assert_eq!(heard(&up, &name), "");

    up.script(1, "start.sh");
    eventually("registered", || {
        row(&up, &name).is_some_and(|row| row.present_state == "active")
    });
    eventually("ping succ", || ping(&up, &name) == "ping succ");
    let first = row(&up, &name).unwrap();
    assert_eq!((first.node_obj.as_str(), first.endpoint_port), ("", 0));
    assert_eq!(first.tars_version, "3.0.17");
    assert_eq!(first.data_dir, node.join("data").to_string_lossy());
    assert_ne!(heard(&up, &name), "");
    let answer = admin(&up, "getNodeVesion", texts(&[&name]));
    assert_eq!((number(&answer, 0), word(&answer, 2)), (0, "3.0.17".into()));
    let names: Vec<String> = field(&admin(&up, "getAllNodeNames", Vec::new()), 0)
        .unwrap()
        .unwrap();
    assert_eq!(names, std::slice::from_ref(&name));
    let answer = admin(
        &up,
        "notifyServer",
        texts(&["tars", "tarsnode", &name, "tars.viewversion"]),
    );
    assert_eq!(number(&answer, 0), 0);
    assert!(
        word(&answer, 5).contains("$3.0.20$"),
        "{}",
        word(&answer, 5)
    );

    // Its own object.
    let mut line = Line::to(SocketAddr::from((up.host(1).ip, 19386)));
    let answer = line
        .call(NODE, "getLatestKeepAliveTime", Vec::new(), &[])
        .unwrap();
    let around: i64 = field(&answer, 0).unwrap().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(u64::try_from(around).unwrap()) < 5);
    let answer = line
        .call(NODE, "getStateInfo", texts(&["a", "b"]), &[])
        .unwrap();
    assert_eq!(answer.ret, code::NO_FUNCTION);

    // The rewrite takes the registries from the registry, each twice, and drops the rest.
    let conf = node.join("conf/tars.tarsnode.config.conf");
    let twice = format!("QueryObj@{0}:{0}\n", registry(&up));
    eventually("the rewrite", || {
        std::fs::read_to_string(&conf)
            .is_ok_and(|text| text.contains(&twice) && text.contains("modulename=${modulename}"))
    });

    // Killed: the long connection shows it at once, the database only after the timeout.
    let pid = up.cluster.processes(&name).unwrap()[0];
    let killed = Instant::now();
    up.ok(1, &format!("kill -9 {pid}"));
    eventually("gone from the list", || heard(&up, &name).is_empty());
    assert_eq!(
        row(&up, &name).unwrap().present_state,
        "active",
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(ping(&up, &name), "");
    eventually("inactive", || {
        row(&up, &name).unwrap().present_state == "inactive"
    });
    assert!(
        killed.elapsed() > Duration::from_secs(4),
        "{:?}",
        killed.elapsed()
    );

    // Registered again it is a new row: number, label and group are lost.
    up.tables()
        .change(|tables| {
            let row = &mut tables.t_node_info[0];
            row.label = Some("{\"rack\":\"7\"}".into());
            row.group_id = 3;
            row.template_name = "tars.tarsnode".into();
        })
        .unwrap();
    up.script(1, "start.sh");
    eventually("active again", || {
        row(&up, &name).unwrap().present_state == "active"
    });
    let second = row(&up, &name).unwrap();
    assert!(second.id > first.id);
    assert_eq!((second.label, second.group_id), (None, -1));
    assert_eq!(second.template_name, "tars.tarsnode");

    // Its row is deleted while it lives: nobody notices, and it does not come back by itself.
    eventually("ping succ again", || ping(&up, &name) == "ping succ");
    up.tables()
        .change(|tables| tables.t_node_info.clear())
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(row(&up, &name), None);
    assert_eq!(ping(&up, &name), "ping succ");
    let answer = Line::to(up.framework().registry)
        .call(
            "tars.tarsregistry.RegistryObj",
            "keepAlive",
            body(|w| {
                w.put(1, &name);
                w.structure(2, |w| (0..3).for_each(|tag| w.float(tag, 1.0)));
            }),
            &[],
        )
        .unwrap();
    assert_eq!(number(&answer, 0), 0);
    assert_eq!(row(&up, &name), None);
    up.script(1, "start.sh");
    eventually("a row after a restart", || row(&up, &name).is_some());

    // Shut down from afar: 1 means done.
    eventually("linked", || ping(&up, &name) == "ping succ");
    let answer = admin(&up, "shutdownNode", texts(&[&name]));
    assert_eq!((number(&answer, 0), word(&answer, 2)), (1, String::new()));
    eventually("its end", || {
        up.cluster.processes(&name).unwrap().is_empty()
    });
}

#[test]
fn servers_are_adopted_stopped_kept_down_and_started() {
    let up = Up::with_framework(1);
    let name = up.host(0).name.clone();
    up.install(0, "3.0.17", &registry(&up));
    up.script(0, "start.sh");
    eventually("ping succ", || ping(&up, &name) == "ping succ");
    let state = |server: &str| {
        let answer = admin(&up, "getServerState", texts(&["tars", server, &name]));
        let desc: ServerStateDesc = field(&answer, 4).unwrap().unwrap();
        (number(&answer, 0), desc)
    };
    let is = |server: &str, wanted: &str| {
        let (ret, desc) = state(server);
        ret == 0 && desc.present_state_in_node == wanted
    };
    eventually("adopted", || is("tarslog", "Active"));
    let (_, adopted) = state("tarslog");
    assert!(
        up.cluster
            .processes(&name)
            .unwrap()
            .contains(&adopted.process_id)
    );
    assert_eq!(adopted.setting_state_in_reg, "active");
    let answer = admin(
        &up,
        "notifyServer",
        texts(&["tars", "tarslog", &name, "tars.viewversion"]),
    );
    assert_eq!(number(&answer, 0), 0);
    assert_eq!(
        word(&answer, 5),
        "succ:[notify prefix object num:1]\n[1]:$3.0.20$\n"
    );

    // Killed, it comes back by itself; stopped, it does not.
    up.ok(0, &format!("kill -9 {}", adopted.process_id));
    eventually("another process", || {
        let (_, desc) = state("tarslog");
        desc.present_state_in_node == "Active" && desc.process_id != adopted.process_id
    });
    let command = |function: &str, server: &str| {
        let answer = admin(&up, function, texts(&["tars", server, &name]));
        (number(&answer, 0), word(&answer, 4))
    };
    assert_eq!(command("stopServer", "tarslog"), (0, "succ:".into()));
    eventually("down in the tables", || {
        let (_, desc) = state("tarslog");
        (
            desc.setting_state_in_reg.as_str(),
            desc.present_state_in_reg.as_str(),
        ) == ("inactive", "inactive")
    });
    std::thread::sleep(Duration::from_millis(800));
    assert!(is("tarslog", "Inactive"));
    let (ret, words) = command("startServer", "tarslog");
    assert_eq!(ret, 0, "{words}");
    assert!(words.starts_with("server is activating, please check: "));
    eventually("up again", || is("tarslog", "Active"));
    assert_eq!(command("loadServer", "tarslog").0, 0);
    assert_eq!(
        command("stopServer", "nosuch"),
        (
            1003,
            " cannot load server description from regisrty server is  not exist".into()
        )
    );
    let answer = admin(&up, "getPatchPercent", texts(&["tars", "tarslog", &name]));
    assert_eq!(number(&answer, 0), -1);

    // A restart task stops, waits and starts; the call itself races.
    let task = body(|w| {
        w.structure(1, |w| {
            w.list(0, 2);
            for (item, command) in [(ITEMS[0], "restart"), (ITEMS[1], "dance")] {
                w.structure(0, |w| {
                    w.put(0, TASK);
                    w.put(1, item);
                    w.put(2, "tars");
                    w.put(3, "tarsconfig");
                    w.put(4, &name);
                    w.put(6, command);
                });
            }
            w.put(1, TASK);
            w.put(2, &true);
        });
    });
    let (_, before) = state("tarsconfig");
    assert_eq!(number(&admin(&up, "addTaskReq", task), 0), 0);
    let statuses = || {
        let answer = admin(&up, "getTaskRsp", texts(&[TASK]));
        let task: tarsops_wire::interface::TaskRsp = field(&answer, 2).unwrap().unwrap();
        let items: Vec<i32> = task.items.iter().map(|item| item.status).collect();
        (items, task.status)
    };
    eventually("the task", || statuses().0 == [3, 4]);
    assert_eq!(statuses().1, 6);
    let (_, after) = state("tarsconfig");
    assert_ne!(before.process_id, after.process_id);
    assert_eq!(after.present_state_in_node, "Active");
    assert_eq!(number(&admin(&up, "getTaskRsp", texts(&["t2"])), 0), -1);

    // A silent node takes its servers with it; until then only commands find out, by waiting.
    let agent = up.ok(
        0,
        "ps -eo pid,cmd | grep tarsnode/bin/tarsnod[e] | awk '{print $1}'",
    );
    let own = up.cluster.processes(&name).unwrap();
    let agent: Vec<i32> = agent
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .filter(|pid| own.contains(pid))
        .collect();
    let [agent] = agent.as_slice() else {
        panic!("{agent:?}");
    };
    up.ok(0, &format!("kill -STOP {agent}"));
    let answer = admin(&up, "pingNode", texts(&[&name]));
    assert_eq!((number(&answer, 0), word(&answer, 2)), (0, String::new()));
    let states = |wanted: &str| {
        let node = row(&up, &name).is_some_and(|row| row.present_state == wanted);
        let rows = up.tables().servers().unwrap();
        node && rows.iter().all(|row| row.present_state == wanted)
    };
    eventually("all inactive", || states("inactive"));
    // Going on, it brings everything back without being started again.
    up.ok(0, &format!("kill -CONT {agent}"));
    eventually("all active", || states("active"));
    up.ok(0, &format!("kill -9 {agent}"));
    eventually("its servers inactive", || {
        let rows = up.tables().servers().unwrap();
        rows.iter()
            .all(|row| row.present_state == "inactive" && row.process_id == 0)
    });
    eventually("out of name resolution", || {
        let answer = Line::to(up.framework().query)
            .call(
                QUERY,
                "findObjectById",
                texts(&["tars.tarsconfig.ConfigObj"]),
                &[],
            )
            .unwrap();
        let found: Vec<EndpointF> = field(&answer, 0).unwrap().unwrap();
        found.is_empty()
    });
}

#[test]
fn with_two_registries_a_node_lives_on_either() {
    let up = Up::with_slaves(3, 1);
    let name = up.host(2).name.clone();
    let both = format!("{0}:tcp -h {1} -p 17890", registry(&up), up.host(1).ip);
    let node = up.install(2, "3.0.17", &registry(&up));
    up.script(2, "start.sh");
    eventually("ping succ", || ping(&up, &name) == "ping succ");
    // It learns of the second one, and both stand there twice; one that is gone but has its row, once.
    up.tables()
        .change(|tables| {
            tables.t_registry_info.push(RegistryRow {
                locator_id: "127.9.9.9:17890".into(),
                servant: QUERY.into(),
                endpoint: "tcp -h 127.9.9.9 -p 17890 -t 60000".into(),
                present_state: "inactive".into(),
                ..RegistryRow::default()
            });
        })
        .unwrap();
    let conf = node.join("conf/tars.tarsnode.config.conf");
    eventually("the rewrite", || {
        std::fs::read_to_string(&conf).is_ok_and(|text| {
            text.contains(&format!(
                "QueryObj@{both}:{both}:tcp -h 127.9.9.9 -p 17890\n"
            ))
        })
    });
    // The master's registry ends: heartbeats go to the other.
    let pids = up.ok(
        0,
        "ps -eo pid,cmd | grep tarsregistry/bin/tarsregistr[y] | awk '{print $1}'",
    );
    let own = up.cluster.processes(&up.host(0).name).unwrap();
    for pid in pids
        .split_whitespace()
        .map(|pid| pid.parse::<i32>().unwrap())
    {
        if own.contains(&pid) {
            up.ok(0, &format!("kill -9 {pid}"));
        }
    }
    let before = row(&up, &name).unwrap().id;
    up.script(2, "start.sh");
    eventually("registered with the other", || {
        row(&up, &name).unwrap().id > before
    });
    let beat = row(&up, &name).unwrap().last_heartbeat;
    eventually("heartbeats", || {
        row(&up, &name).unwrap().last_heartbeat > beat
    });
    // Started again, all of them.
    up.cluster.start_framework().unwrap();
    eventually("linked again", || ping(&up, &name) == "ping succ");
}

#[test]
fn a_component_that_does_not_come_up_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("c");
    let mut options = Options::new().unwrap();
    options.exe = exe();
    options.network = free_network(2222).unwrap();
    let crash = Identity::new("3.0.17", Behaviour::CrashAtStart);
    // The tables may are in the cluster's own folder.
    let tables = Database::File(dir.join("tables.json"));
    options.framework = Some(FrameworkOptions::new(tables, crash));
    let error = Cluster::up(&dir, 1, &options).unwrap_err().to_string();
    assert!(
        error.starts_with("tarsregistry does not start") && error.ends_with("giving up"),
        "{error}"
    );
    assert!(!dir.exists());
}

#[test]
fn a_component_is_upgraded_as_an_operator_does_it() {
    let up = Up::with_framework(1);
    let tars = up.host(0).install_path.join("tars");
    let mut identity = healthy("3.0.18");
    identity.tarscpp = "3.0.21".into();
    let package = up.scratch().join("tarsregistry.tgz");
    write_component(&exe(), &package, "tarsregistry", &identity).unwrap();
    let local = SocketAddr::from((up.host(0).ip, 17897));
    let says = |version: &str| {
        let Ok(stream) = std::net::TcpStream::connect(local) else {
            return false;
        };
        let asked = texts(&["tars.viewversion"]);
        let answer = Line::to_stream(stream).call("AdminObj", "notify", asked, &[]);
        answer.is_some_and(|answer| word(&answer, 0).contains(version))
    };
    assert!(says("$3.0.20$"));
    let unpacked = up.scratch().join("unpacked");
    up.ok(
        0,
        &format!(
            "mkdir {new} && tar -xzf {package} -C {new} && \
             mv {new}/tarsregistry/bin/tarsregistry {tars}/tarsregistry/bin/tarsregistry",
            new = unpacked.display(),
            package = package.display(),
            tars = tars.display()
        ),
    );
    assert!(says("$3.0.20$"), "a file is no process");
    let start = tars.join("tarsregistry/util/start.sh");
    up.ok(
        0,
        &format!("sh {} > /dev/null 2>&1 < /dev/null", start.display()),
    );
    eventually("the new one", || says("$3.0.21$"));
    // The others share nothing with it that was changed.
    assert_eq!(number(&admin(&up, "getVersion", Vec::new()), 0), 0);
    assert_eq!(word(&admin(&up, "getVersion", Vec::new()), 1), "3.0.17");
}

#[test]
fn hostile_bytes_harm_nobody() {
    let up = Up::with_framework(1);
    let calls = [
        (
            up.framework().query,
            QUERY,
            "findObjectById findObjectById4All findObjectByIdInSameSet",
        ),
        (
            up.framework().registry,
            "tars.tarsregistry.RegistryObj",
            "registerNode keepAlive getServers updateServer updateServerBatch reportVersion \
             updatePatchResult getNodeTemplate destroyNode",
        ),
        (
            up.framework().admin,
            ADMIN,
            "reportNode deleteNode reportResult pingNode getNodeList checkServer getServerState \
             startServer stopServer restartServer notifyServer addTaskReq getTaskRsp hasServer \
             insertServerConf insertAdapterConf undeploy getProfileTemplate",
        ),
    ];
    // No arguments, none that can be read, deep ones, and a list that claims to be long.
    let nested = [0x1a].repeat(200);
    let bodies: [&[u8]; 5] = [
        b"",
        b"\xff\xff\xff",
        b"\x16\xff",
        &nested,
        b"\x19\x02\x7f\xff\xff\xff",
    ];
    for (address, servant, functions) in calls {
        for function in functions.split_whitespace() {
            for body in bodies {
                let mut line = Line::to(address);
                let answer = line.call(servant, function, body.to_vec(), &ON).unwrap();
                assert_eq!(answer.ret, -1, "{function}");
            }
        }
        let answer = Line::to(address).call(servant, "tars_ping", Vec::new(), &[]);
        assert_eq!(answer.unwrap().ret, code::SUCCESS);
    }
    assert_eq!(up.tables().nodes().unwrap(), []);
}
