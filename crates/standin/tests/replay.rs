//! What a real cluster (framework 3.0.17) was asked, asked again: the stand-ins answer the recorded
//! requests of `fixtures/wire` with the recorded responses, to the byte where nothing depends on time
//! or place, and a stand-in agent says what the recorded agent said.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{Line, body, eventually, exe, healthy};
use tarsops_standin::cluster::free_network;
use tarsops_standin::framework::{Component, Layout};
use tarsops_standin::packages::{LocalAdmin, conf};
use tarsops_standin::standin::{self, Timings};
use tarsops_standin::store::{
    AdapterRow, Database, JsonFile, NodeRow, PatchRow, RegistryRow, ServerRow, Store, Tables,
    TemplateRow,
};
use tarsops_wire::codec::{Bytes, Pairs};
use tarsops_wire::interface::{ADMIN, FrameworkServer, QUERY, field};
use tarsops_wire::packet::{Request, Response};
use tarsops_wire::{Fields, Value};

const REGISTRY: &str = "tars.tarsregistry.RegistryObj";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Request and response of one recording.
fn recorded(name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_stem().is_some_and(|stem| stem == name))
        .unwrap_or_else(|| panic!("no recording {name}"));
    let text = std::fs::read_to_string(file).unwrap();
    let line = |word: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(word))
            .unwrap()
    };
    (bytes(line("req: ")), bytes(line("rsp: ")))
}

fn answered(name: &str) -> Response {
    Response::from_frame(&recorded(name).1[4..]).unwrap()
}

/// A message as text: fields with their tags, kinds and values.
fn told(bytes: &[u8]) -> String {
    fields(Fields::new(bytes).unwrap())
}

fn fields(mut all: Fields<'_>) -> String {
    let mut out = String::from("{");
    while let Some((tag, value)) = all.advance().unwrap() {
        out.push_str(&format!(" {tag}:{}", one(value)));
    }
    out + " }"
}

fn one(value: Value<'_>) -> String {
    match value {
        Value::Struct(inner) => fields(inner),
        Value::List(mut list) => {
            let mut out = String::from("[");
            while let Some(element) = list.advance().unwrap() {
                out.push_str(&format!(" {}", one(element)));
            }
            out + " ]"
        }
        Value::Map(mut map) => {
            let mut out = String::from("<");
            while let Some((key, value)) = map.advance().unwrap() {
                out.push_str(&format!(" {}={}", one(key), one(value)));
            }
            out + " >"
        }
        Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        other => format!("{other:?}"),
    }
}

/// tarsregistry and tarsAdminRegistry on a loopback address of their own, with tables that only the
/// test writes. AdminRegistry believes to be 10.77.0.1, as the recorded one was.
struct Lab {
    folder: tempfile::TempDir,
    ip: Ipv4Addr,
    tables: JsonFile,
    children: Vec<Child>,
}

/// Starts a program that was written a moment ago: whatever another test is about to start has it open
/// until then, too, and what somebody may write into cannot be started.
fn spawn(command: &mut Command) -> Child {
    let mut child = None;
    eventually("no writer", || {
        child = match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            child => Some(child.unwrap()),
        };
        child.is_some()
    });
    child.unwrap()
}

/// Held from the choice of a network until its ports are taken.
static CHOOSING: Mutex<()> = Mutex::new(());

impl Lab {
    fn new(tables: &Tables) -> Self {
        Self::with(tables, &[])
    }

    /// The same with more components.
    fn with(tables: &Tables, more: &[&str]) -> Self {
        let _choosing = CHOOSING.lock();
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = free_network(2222).unwrap();
        let ip = Ipv4Addr::new(a, b, c, 1);
        let path = folder.path().join("tables.json");
        let mut lab = Self {
            tables: JsonFile::create(&path, tables).unwrap(),
            folder,
            ip,
            children: Vec::new(),
        };
        let database = Database::File(path);
        let tars = lab.folder.path().join("tars");
        let registries = format!("tcp -h {ip} -p 17890");
        let layout = Layout {
            tars: &tars,
            ip: IpAddr::V4(ip),
            registries: &registries,
            database: &database,
            timings: Timings::faster(100),
        };
        let registries = ["tarsregistry", "tarsAdminRegistry"];
        for name in registries.iter().chain(more) {
            let component = Component::named(name).unwrap();
            layout
                .lay_out(&exe(), component, &healthy("3.0.17"))
                .unwrap();
            let root = tars.join(*name);
            let path = root.join(format!("conf/tars.{name}.config.conf"));
            let text = layout
                .conf(component)
                .replace(&format!("localip={ip}"), "localip=10.77.0.1")
                .replace(
                    "    <standin>",
                    "    <reap>\nheartbeatoff=Y\n</reap>\n    <standin>",
                )
                // Nobody goes inactive here: the recorded rows are old.
                .replace("node-timeout-ms=2500", "node-timeout-ms=4000000000000")
                .replace(
                    "registry-timeout-ms=1500",
                    "registry-timeout-ms=4000000000000",
                );
            std::fs::write(&path, text).unwrap();
            lab.start(
                &root.join("bin").join(name),
                &[format!("--config={}", path.display())],
            );
        }
        let more = more.iter().filter_map(|name| Component::named(name));
        let more = more.flat_map(|component| component.objects.iter().map(|(_, port)| *port));
        for port in [17890, 17891, 12000].into_iter().chain(more) {
            eventually("a port", || TcpStream::connect((ip, port)).is_ok());
        }
        lab
    }

    fn start(&mut self, binary: &Path, arguments: &[String]) {
        let mut command = Command::new(binary);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.children.push(spawn(&mut command));
    }

    /// Send a recorded request where it was sent, and what comes back.
    fn ask(&self, port: u16, request: &[u8]) -> Vec<u8> {
        let mut line = Line::to(SocketAddr::from((self.ip, port)));
        line.stream.write_all(request).unwrap();
        line.frame().expect("an answer")
    }

    /// The recorded response comes, to the byte.
    fn same(&self, port: u16, name: &str) {
        let (request, response) = recorded(name);
        let got = self.ask(port, &request);
        assert_eq!(
            told(&got[4..]),
            told(&response[4..]),
            "{name}: the fields differ"
        );
        assert_eq!(hex(&got), hex(&response), "{name}");
    }

    /// The tables were changed: wait until the registry has read them again.
    fn settle(&self) {
        thread::sleep(Duration::from_millis(500));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The tables of the recorded cluster when it was one host: what its recorded answers say of them.
fn one_host() -> Tables {
    let template = |name: &str, profile: String| TemplateRow {
        template_name: name.into(),
        profile,
        ..TemplateRow::default()
    };
    let ids: Vec<Vec<String>> = field(&answered("19-admin-getAllServerIds"), 0)
        .unwrap()
        .unwrap();
    let listed: Vec<FrameworkServer> = field(&answered("15-admin-getServers"), 1).unwrap().unwrap();
    let text = |name: &str, tag: u8| field(&answered(name), tag).unwrap().unwrap();
    Tables {
        last_id: 1000,
        t_node_info: vec![NodeRow {
            node_name: "10.77.0.1".into(),
            present_state: "active".into(),
            tars_version: "3.0.17".into(),
            ..NodeRow::default()
        }],
        t_server_conf: ids
            .iter()
            .map(|id| {
                let (full, node) = id[0].split_once('_').unwrap();
                let server = full.strip_prefix("tars.").unwrap();
                ServerRow {
                    application: "tars".into(),
                    server_name: server.into(),
                    node_name: node.into(),
                    exe_path: format!("/usr/local/app/tars/{server}/bin/{server}"),
                    template_name: format!("tars.{server}"),
                    setting_state: id[1].clone(),
                    present_state: id[2].clone(),
                    patch_version: "3.0.17".into(),
                    patch_time: "2026-11-22 10:05:21".into(),
                    server_type: id[3].clone(),
                    ..ServerRow::default()
                }
            })
            .collect(),
        t_adapter_conf: listed
            .iter()
            .filter(|server| server.server_name != "tarsnode")
            .map(|server| {
                let (servant, endpoint) = server.obj_name.split_once('@').unwrap();
                AdapterRow {
                    application: "tars".into(),
                    server_name: server.server_name.clone(),
                    node_name: server.node_name.clone(),
                    adapter_name: format!("{servant}Adapter"),
                    thread_num: 5,
                    endpoint: endpoint.into(),
                    max_connections: 200_000,
                    servant: servant.into(),
                    queuecap: 100_000,
                    queuetimeout: 60_000,
                    protocol: "tars".into(),
                    ..AdapterRow::default()
                }
            })
            .collect(),
        t_registry_info: Vec::new(),
        t_profile_template: vec![
            template(
                "tars.tarsstat",
                text("27-admin-getServerProfileTemplate", 4),
            ),
            template("tars.tarsnode", text("32-registry-getNodeTemplate", 2)),
        ],
        ..Tables::default()
    }
}

#[test]
fn the_registry_answers_as_recorded() {
    let lab = Lab::new(&one_host());
    for name in [
        "01-query-findObjectById",
        "03-query-findObjectById-unknown",
        "50-tars_ping-registry",
    ] {
        lab.same(17890, name);
    }
    for name in [
        "30-registry-getServers",
        "32-registry-getNodeTemplate",
        "117-registry-destroyNode",
    ] {
        lab.same(17891, name);
    }
    let rows = lab.tables.nodes().unwrap();
    assert_eq!(rows[0].present_state, "active", "that was another node");
    lab.same(17897, "60-adminobj-viewversion-registry");
    let (request, response) = recorded("61-adminobj-getPid");
    let got = Response::from_frame(&lab.ask(17897, &request)[4..]).unwrap();
    let response = Response::from_frame(&response[4..]).unwrap();
    assert_eq!((got.id, got.ret), (response.id, response.ret));
    let pid: i64 = field(&got, 0).unwrap().unwrap();
    assert_eq!(pid, i64::from(lab.children[0].id()));
}

#[test]
fn the_registry_answers_the_recorded_agent() {
    // Two framework hosts: whoever has an adapter and a row of its own is answered twice.
    let mut tables = one_host();
    let servant = |row: &AdapterRow| row.servant.clone();
    let more: Vec<AdapterRow> = tables
        .t_adapter_conf
        .iter()
        .filter(|row| matches!(row.server_name.as_str(), "tarsregistry" | "tarsnotify"))
        .cloned()
        .map(|row| AdapterRow {
            node_name: "10.77.0.3".into(),
            endpoint: row.endpoint.replace("10.77.0.1", "10.77.0.3"),
            ..row
        })
        .collect();
    assert!(more.iter().any(|row| servant(row) == REGISTRY));
    tables.t_adapter_conf.extend(more);
    for server in ["tarsregistry", "tarsnotify"] {
        tables.t_server_conf.push(ServerRow {
            application: "tars".into(),
            server_name: server.into(),
            node_name: "10.77.0.3".into(),
            setting_state: "active".into(),
            present_state: "active".into(),
            ..ServerRow::default()
        });
    }
    let row = |host: &str, servant: &str, port: u16, version: &str| RegistryRow {
        locator_id: format!("{host}:{port}"),
        servant: servant.into(),
        endpoint: format!("tcp -h {host} -p {port} -t 60000"),
        present_state: "active".into(),
        tars_version: version.into(),
        ..RegistryRow::default()
    };
    tables.t_registry_info = vec![
        row("10.77.0.1", REGISTRY, 17891, "3.0.20"),
        row("10.77.0.3", REGISTRY, 17891, "3.0.20"),
        row("10.77.0.1", ADMIN, 12000, "3.0.20_B003"),
    ];
    let lab = Lab::new(&tables);
    let mut count = 0;
    for exchange in conversation() {
        let (Some(request), Some(response), false) =
            (&exchange.request, &exchange.response, exchange.pushed)
        else {
            continue;
        };
        let got = lab.ask(exchange.port, request);
        assert_eq!(told(&got[4..]), told(&response[4..]), "{}", exchange.name);
        assert_eq!(hex(&got), hex(response), "{}", exchange.name);
        count += 1;
    }
    assert_eq!(count, 12);
    let rows = lab.tables.nodes().unwrap();
    let new = rows
        .iter()
        .find(|row| row.node_name == "10.77.0.2")
        .unwrap();
    assert_eq!(new.present_state, "active");
    assert_eq!(new.data_dir, "/usr/local/app/tars/tarsnode/data");
    assert_eq!((new.load_avg1, new.load_avg5), (16.298_828, 16.0));
}

/// What a node says to a command; and what it was told is kept.
fn play_node(
    lab: &Lab,
    nodes: &[&str],
    script: HashMap<(&'static str, &'static str), (i32, Vec<u8>)>,
) -> Receiver<(String, Vec<u8>)> {
    let (sender, receiver) = channel();
    let mut line = Line::to(SocketAddr::from((lab.ip, 12000)));
    for node in nodes {
        let answer = line.call(
            ADMIN,
            "reportNode",
            body(|w| {
                w.structure(1, |w| {
                    w.put(0, *node);
                    w.put(1, "02004d0a0000003b6b02c38500000000");
                });
            }),
            &[],
        );
        assert_eq!(field::<i32>(&answer.unwrap(), 0).unwrap(), Some(0));
    }
    thread::spawn(move || {
        line.stream.set_read_timeout(None).unwrap();
        while let Some(frame) = line.frame() {
            let message = Response::from_frame(&frame[4..]).unwrap();
            let Some(function) = message.status.get("TARS_FUNC").cloned() else {
                continue;
            };
            let id: i32 = field(&message, 1).unwrap().unwrap();
            let server: String = field(&message, 4).unwrap().unwrap_or_default();
            let _ = sender.send((function.clone(), frame));
            let said = script
                .iter()
                .find(|((f, s), _)| *f == function && *s == server);
            let Some((_, (ret, result))) = said else {
                continue;
            };
            let mut report = Request::new(
                9,
                ADMIN,
                "reportResult",
                body(|w| {
                    w.put(1, &id);
                    w.put(2, &format!("callback_{function}"));
                    w.put(3, ret);
                    w.text(4, result);
                }),
            );
            report.packet_type = 1;
            line.stream.write_all(&report.to_frame().unwrap()).unwrap();
        }
    });
    receiver
}

#[test]
fn adminregistry_answers_as_recorded() {
    let lab = Lab::new(&one_host());
    let state = body(|w| {
        w.structure(0, |w| {
            w.put(0, &2);
            w.put(1, &832);
            w.put(3, "tars");
            w.put(4, "tarsstat");
            w.put(5, &2);
            w.put(6, &Pairs(vec![("RUN_SECONDS".to_owned(), "48".to_owned())]));
        });
        w.put(1, "getStateInfo [tars.tarsstat] succ");
    });
    let nothing = body(|w| {
        w.put(0, &false);
        w.put(1, &0);
        w.put(2, &0);
        w.put(3, "");
        w.put(4, "");
        w.put(5, &false);
    });
    let words = |text: &str| text.as_bytes().to_vec();
    let script = HashMap::from([
        (("ping", ""), (0, words("ping succ"))),
        (("shutdown", ""), (0, Vec::new())),
        (("getStateInfo", "tarsstat"), (0, state)),
        (("getPatchPercent", "tarsstat"), (-1, nothing)),
        (
            ("notifyServer", "tarsregistry"),
            (
                0,
                words("succ:[notify prefix object num:1]\n[1]:$3.0.20$\n"),
            ),
        ),
        (
            // A restart sends both at once; the recorded one lost the race.
            ("startServer", "tarsstat"),
            (
                1003,
                words("error::cannot load server description from registry.\n"),
            ),
        ),
        (("stopServer", "tarsquerystat"), (0, words("succ:"))),
        (
            ("startServer", "tarsquerystat"),
            (
                0,
                words(
                    "server is activating, please check: find server exe: \
                     /usr/local/app/tars/tarsquerystat/bin/tarsquerystat",
                ),
            ),
        ),
        (
            ("startServer", "tarslog"),
            (
                -1,
                words(
                    "error:server start error: \
                     /usr/local/app/tars/tarsnode/data/tars.tarslog/bin/tarslog is not exist.",
                ),
            ),
        ),
        (("stopServer", "tarslog"), (0, words("succ:"))),
    ]);
    let pushed = play_node(&lab, &["10.77.0.1", "10.77.0.3", "10.77.0.4"], script);
    for name in [
        "10-admin-getVersion",
        "11-admin-getAllNodeNames",
        "12-admin-getNodeVesion",
        "14-admin-pingNode",
        "15-admin-getServers",
        "16-admin-getServerState",
        "19-admin-getAllServerIds",
        "25-admin-getPatchPercent-before",
        "80-admin-batchPatch-badid",
        "27-admin-getServerProfileTemplate",
        "42-wrong-servant",
        "63-admin-notifyServer-viewversion",
        "84-admin-restartServer",
        "96-admin-stopServer",
        "98-admin-startServer",
        "110-admin-insertServerConf",
        "112-admin-insertAdapterConf-LogObj",
        "113-admin-startServer-noexe",
        "114-admin-undeploy",
        "115-admin-shutdownNode",
        "93-admin-addTaskReq-patch",
    ] {
        lab.same(12000, name);
    }

    // A push is a push: the recorded one, but for its number.
    let (function, frame) = pushed.recv_timeout(Duration::from_secs(30)).unwrap();
    let recorded_push = conversation()
        .into_iter()
        .find(|exchange| exchange.pushed && exchange.name == function)
        .unwrap();
    let renumbered = |frame: &[u8]| {
        let mut push = Response::from_frame(&frame[4..]).unwrap();
        let mut fields = Fields::new(&push.body.0).unwrap();
        let _ = fields.find(1).unwrap();
        let from = one(fields.find(2).unwrap().unwrap());
        push.body = Bytes(Vec::new());
        (hex(&push.to_frame().unwrap()), from)
    };
    assert_eq!(
        renumbered(&frame),
        renumbered(&recorded_push.response.unwrap())
    );

    // Time: the last sign of life.
    let (request, response) = recorded("18-admin-getNodeList");
    let got = lab.ask(12000, &request);
    let mask = |frame: &[u8]| {
        let text = told(&frame[4..]);
        let answer = Response::from_frame(&frame[4..]).unwrap();
        let mut seen: Pairs<String, String> = field(&answer, 2).unwrap().unwrap();
        for (_, time) in &mut seen.0 {
            let digits = time
                .chars()
                .map(|c| if c.is_ascii_digit() { '9' } else { c });
            *time = digits.collect();
        }
        (text.len(), seen)
    };
    assert_eq!(mask(&got), mask(&response));

    // Place: the caller's address, and a servant that is really there.
    let (request, response) = recorded("22-admin-getClientIp");
    let got = Response::from_frame(&lab.ask(12000, &request)[4..]).unwrap();
    let response = Response::from_frame(&response[4..]).unwrap();
    assert_eq!(field::<i32>(&got, 0), field::<i32>(&response, 0));
    let ip: String = field(&got, 1).unwrap().unwrap();
    assert!(ip.parse::<Ipv4Addr>().unwrap().is_loopback());
    let (request, response) = recorded("21-admin-checkServer");
    let mut request = Request::from_frame(&request[4..]).unwrap();
    let here = FrameworkServer {
        server_name: "tars.tarsregistry".into(),
        node_name: "10.77.0.1".into(),
        obj_name: format!("{QUERY}@tcp -h {} -p 17890", lab.ip),
    };
    request.arguments = Bytes(body(|w| w.put(1, &here)));
    assert_eq!(
        hex(&lab.ask(12000, &request.to_frame().unwrap())),
        hex(&response)
    );

    // Two nodes.
    lab.tables
        .change(|tables| {
            tables.t_node_info.push(NodeRow {
                node_name: "10.77.0.2".into(),
                present_state: "active".into(),
                ..NodeRow::default()
            });
        })
        .unwrap();
    lab.same(12000, "75-admin-getAllNodeNames-2nodes");
    // One of them is not connected: true, and no words.
    lab.same(12000, "100-admin-pingNode-nodedead-forwardctx");
    lab.settle();

    // A task: the same fields, though nobody is here to publish.
    let (request, response) = recorded("94-admin-getTaskRsp");
    let tags = |frame: &[u8]| {
        let answer = Response::from_frame(&frame[4..]).unwrap();
        let task: tarsops_wire::interface::TaskRsp = field(&answer, 2).unwrap().unwrap();
        let items: Vec<_> = task
            .items
            .iter()
            .map(|item| (item.req.item_no.clone(), item.req.node_name.clone()))
            .collect();
        (task.task_no, task.user_name, task.serial, items)
    };
    let got = lab.ask(12000, &request);
    assert_eq!(tags(&got), tags(&response));
}

#[test]
fn publishing_answers_as_recorded() {
    let mut tables = one_host();
    tables.t_server_patchs.push(PatchRow {
        id: 1,
        server: "tars.tarsstat".into(),
        tgz: "x.tgz".into(),
        ..PatchRow::default()
    });
    let lab = Lab::with(&tables, &["tarspatch"]);
    lab.same(18793, "92-patch-upload-badmd5");
    let uploads = lab.folder.path().join("patchs/tars.upload/tars");
    assert!(uploads.join("tarsquerystat/bad.tgz").is_file(), "it stays");
    // It is prepared before anybody looks at the node.
    std::fs::create_dir_all(uploads.join("tarsstat")).unwrap();
    std::fs::write(uploads.join("tarsstat/x.tgz"), "x").unwrap();
    let here = format!("tcp -h {} -p 18793 -t 60000", lab.ip);
    let moved = lab.tables.change(|tables| {
        let rows = tables.t_adapter_conf.iter_mut();
        for row in rows.filter(|row| row.server_name == "tarspatch") {
            row.endpoint.clone_from(&here);
        }
    });
    moved.unwrap();
    lab.settle();
    lab.same(12000, "81-admin-batchPatch-badnode");
    let prepared = "patchs/tars/TARSBatchPatching/tars/tarsstat/tars.tarsstat.tgz";
    assert!(lab.folder.path().join(prepared).is_file());
}

/// One exchange of the recorded start of an agent.
struct Exchange {
    name: String,
    pushed: bool,
    port: u16,
    request: Option<Vec<u8>>,
    response: Option<Vec<u8>>,
}

fn conversation() -> Vec<Exchange> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/200-node-starts.txt");
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n\n")
        .filter_map(|block| {
            let line = |word: &str| block.lines().find_map(|line| line.strip_prefix(word));
            let at = line("at: ")?;
            Some(Exchange {
                name: line("call: ").or(line("push: ")).unwrap().to_owned(),
                pushed: line("push: ").is_some(),
                port: at.rsplit_once(':').unwrap().1.parse().unwrap(),
                request: line("req: ").map(bytes),
                response: line("rsp: ").map(bytes),
            })
        })
        // Nobody here is tarsnotify.
        .filter(|exchange| exchange.port != 18593)
        .collect()
}

/// A servant of the test: keeps what it is asked, and answers what it is told to.
fn fake(
    address: SocketAddr,
    answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> Receiver<(Request, TcpStream)> {
    let listener = TcpListener::bind(address).unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (sender, answer) = (sender.clone(), answer.clone());
            let stream = stream.unwrap();
            thread::spawn(move || {
                let mut line = Line::to_stream(stream);
                while let Some(frame) = line.frame() {
                    let request = Request::from_frame(&frame[4..]).unwrap();
                    if request.packet_type == 0 {
                        let response = Response::to(&request, 0, answer(&request));
                        let _ = line.stream.write_all(&response.to_frame().unwrap());
                    }
                    let _ = sender.send((request, line.stream.try_clone().unwrap()));
                }
            });
        }
    });
    receiver
}

#[test]
fn the_agent_says_what_the_recorded_one_said() {
    let folder = tempfile::tempdir().unwrap();
    let choosing = CHOOSING.lock();
    let [a, b, c] = free_network(2222).unwrap();
    let ip = Ipv4Addr::new(a, b, c, 1);
    let place = move |port: i32| {
        body(|w| {
            w.put(0, &0);
            w.list(2, 1);
            w.structure(0, |w| {
                w.put(0, &ip.to_string());
                w.put(1, &port);
                w.put(2, &3000);
                w.put(3, &1);
                w.put(4, &0);
            });
            w.list(3, 0);
        })
    };
    let at = |port: u16| SocketAddr::from((ip, port));
    let query = fake(at(17890), move |request| {
        let asked = String::from_utf8_lossy(&request.arguments.0).into_owned();
        place(if asked.contains(ADMIN) { 12000 } else { 17891 })
    });
    let registry = fake(at(17891), |request| match request.function.as_str() {
        "getServers" => body(|w| w.list(0, 0)),
        _ => body(|w| w.put(0, &0)),
    });
    let admin = fake(at(12000), |_| body(|w| w.put(0, &0)));
    drop(choosing);

    let root = folder.path().join("tars/tarsnode");
    let binary = root.join("bin/tarsnode");
    standin::make(&exe(), &binary, &healthy("3.0.17")).unwrap();
    let config = root.join("conf/tars.tarsnode.config.conf");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let text = conf(LocalAdmin::OnNodeIp)
        .replace("localip.tars.com", &ip.to_string())
        .replace("registryAddress", &format!("tcp -h {ip} -p 17890"))
        .replace(
            "TARS_PATH",
            &folder.path().join("tars").display().to_string(),
        );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(&binary);
    command
        .arg("--nodeid=10.77.0.2")
        .arg(format!("--config={}", config.display()))
        .envs(Timings::faster(20).environment())
        .stdin(Stdio::null());
    let _child = Running(spawn(&mut command));

    let recorded = conversation();
    let request = |name: &str, has: &str| {
        let found = recorded.iter().find(|exchange| {
            let request = Request::from_frame(&exchange.request.as_ref().unwrap()[4..]).unwrap();
            exchange.name == name
                && !exchange.pushed
                && (has.is_empty()
                    || request.context.get("node_name").is_some()
                        && String::from_utf8_lossy(&request.arguments.0).contains(has))
        });
        Request::from_frame(&found.unwrap().request.as_ref().unwrap()[4..]).unwrap()
    };
    let data = root.join("data").display().to_string();
    // What is this machine's own: how busy it is, where its data lies, which process it is.
    let plain = |request: &Request| {
        let mut text =
            told(&request.arguments.0).replace(&data, "/usr/local/app/tars/tarsnode/data");
        text = masked(&text, "Float(");
        if request.function == "reportNode" {
            text = text[..text.find(" 1:\"").unwrap()].to_owned();
        }
        let context = request.context.0.clone();
        (request.servant.clone(), request.packet_type, context, text)
    };
    let next = |from: &Receiver<(Request, TcpStream)>, name: &str| loop {
        let (request, stream) = from.recv_timeout(Duration::from_secs(30)).unwrap();
        if request.function == name {
            return (request, stream);
        }
    };
    for (from, name, has) in [
        (&registry, "registerNode", ""),
        (&registry, "keepAlive", ""),
        (&registry, "getServers", ""),
        (&query, "findObjectById4Any", ADMIN),
        (&admin, "reportNode", ""),
    ] {
        let (got, _) = next(from, name);
        assert_eq!(plain(&got), plain(&request(name, has)), "{name}");
    }

    // Pushed commands: the reports are the recorded ones, but for the calls' own numbers.
    let (said, mut link) = next(&admin, "reportNode");
    assert!(said.id > 1, "on the same connection");
    let mut count = 0;
    for exchange in recorded.iter().filter(|exchange| exchange.pushed) {
        if exchange.name == "getLogFileList" {
            continue;
        }
        link.write_all(exchange.response.as_ref().unwrap()).unwrap();
        let (mut got, _) = next(&admin, "reportResult");
        let expected = Request::from_frame(&exchange.request.as_ref().unwrap()[4..]).unwrap();
        got.id = expected.id;
        assert_eq!(told(&got.arguments.0), told(&expected.arguments.0));
        assert_eq!(
            hex(&got.to_frame().unwrap()),
            hex(&expected.to_frame().unwrap()),
            "{}",
            exchange.name
        );
        count += 1;
    }
    assert_eq!(count, 3);
}

/// The text with every number after `mark` left out.
fn masked(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(mark);
        out.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    out
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_agents_object_answers_as_recorded() {
    let up = common::Up::new(1, |options| options.packages = vec![healthy("3.0.17")]);
    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    up.install(0, "3.0.17", &registry);
    up.script(0, "start.sh");
    let address = SocketAddr::from((up.host(0).ip, 19386));
    eventually("the agent", || TcpStream::connect(address).is_ok());
    let ask = |request: &[u8]| {
        let mut line = Line::to(address);
        line.stream.write_all(request).unwrap();
        line.frame().unwrap()
    };
    for name in ["51-tars_ping-node", "41-node-ServerObj-getStateInfo-nofunc"] {
        let (request, response) = recorded(name);
        assert_eq!(hex(&ask(&request)), hex(&response), "{name}");
    }
    let (request, response) = recorded("40-node-getLatestKeepAliveTime");
    let got = ask(&request);
    // All but the four bytes of the time.
    let time = |frame: &[u8]| {
        let body = Response::from_frame(&frame[4..]).unwrap().body.0;
        (frame.len(), body.len(), body[0])
    };
    assert_eq!(time(&got), time(&response));
}
