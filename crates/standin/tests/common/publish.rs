//! Publishing without the console: a package where tarspatch looks for it, its row, and a task.

#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tarsops_standin::framework::Component;
use tarsops_standin::packages::{Inside, write_service};
use tarsops_standin::standin::Identity;
use tarsops_standin::standin::lies::{self, Lie};
use tarsops_standin::store::{AdapterRow, PatchRow, Publications as _, ServerRow, Store as _};
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{ADMIN, TaskItemReq, TaskReq, TaskRsp, field, texts};

use crate::common::{Line, Up, body, eventually, exe, healthy};

/// A framework with a node beside it that has nothing yet.
pub(crate) struct World {
    pub(crate) up: Up,
}

/// Contents of a file as a digest, so that a failure is short.
pub(crate) fn digest(path: &Path) -> String {
    let bytes = std::fs::read(path);
    bytes.map_or_else(
        |_| "none".into(),
        |bytes| format!("{:x}", md5::compute(bytes)),
    )
}

/// Whether a servant answers a ping.
pub(crate) fn answers(ip: IpAddr, port: u16, servant: &str) -> bool {
    let Ok(stream) = std::net::TcpStream::connect((ip, port)) else {
        return false;
    };
    let answer = Line::to_stream(stream).call(servant, "tars_ping", Vec::new(), &[]);
    answer.is_some_and(|answer| answer.ret == 0)
}

impl World {
    pub(crate) fn new() -> Self {
        let up = Up::with_framework(2);
        let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
        for index in 0..2 {
            up.install(index, "3.0.17", &registry);
            up.script(index, "start.sh");
        }
        let world = Self { up };
        for index in 0..2 {
            world.wait_for_node(index);
        }
        world
    }

    pub(crate) fn wait_for_node(&self, index: usize) {
        let node = self.up.host(index).name.clone();
        eventually("the node's connection", || {
            let answer = self.ask("pingNode", texts(&[&node]), true);
            answer.is_some_and(|a| field::<String>(&a, 2).unwrap().as_deref() == Some("ping succ"))
        });
    }

    pub(crate) fn ask(
        &self,
        function: &str,
        arguments: Vec<u8>,
        forward: bool,
    ) -> Option<tarsops_wire::packet::Response> {
        let context = [("TARS_WEB_FORWARD", "on")];
        let context = if forward { &context[..] } else { &[] };
        Line::to(self.up.framework().admin).call(ADMIN, function, arguments, context)
    }

    /// `tars/` of a host.
    pub(crate) fn tars(&self, index: usize) -> PathBuf {
        self.up.host(index).install_path.join("tars")
    }

    /// Where a server's program is on a host.
    pub(crate) fn binary(&self, index: usize, server: &str) -> PathBuf {
        self.tars(index).join(server).join("bin").join(server)
    }

    /// Has a component of a host lie.
    pub(crate) fn tell(&self, index: usize, component: &str, all: &[Lie]) {
        lies::tell(&self.tars(index).join(component), all).unwrap();
    }

    /// Rows of tarslog on the second host, as a deployment writes them.
    pub(crate) fn deploy_tarslog(&self) {
        self.deploy("tarslog");
    }

    /// Rows of a basic service on the second host, as a deployment writes them.
    pub(crate) fn deploy(&self, server: &str) {
        let host = self.up.host(1);
        let tables = self.up.tables();
        let row = ServerRow {
            application: "tars".into(),
            server_name: server.into(),
            node_name: host.name.clone(),
            exe_path: self.binary(1, server).display().to_string(),
            template_name: format!("tars.{server}"),
            ..ServerRow::default()
        };
        tables.insert_server(&row, false).unwrap();
        for (object, port) in Component::named(server).unwrap().objects {
            let row = AdapterRow {
                application: "tars".into(),
                server_name: server.into(),
                node_name: host.name.clone(),
                adapter_name: format!("tars.{server}.{object}Adapter"),
                thread_num: 5,
                endpoint: format!("tcp -h {} -t 60000 -p {port} -e 0", host.ip),
                max_connections: 200,
                servant: format!("tars.{server}.{object}"),
                queuecap: 100_000,
                queuetimeout: 60_000,
                protocol: "tars".into(),
                ..AdapterRow::default()
            };
            tables.insert_adapter(&row, false).unwrap();
        }
    }

    /// A package of a service; what its program's digest will be.
    pub(crate) fn package(&self, server: &str, inside: Inside, version: &str) -> (PathBuf, String) {
        let identity = healthy(version);
        let path = self.up.scratch().join(format!("{server}-{version}.tgz"));
        write_service(&exe(), &path, server, inside, &identity).unwrap();
        (path, digest_of(&self.up, &identity))
    }

    /// Puts a package where tarspatch looks for it, and writes its row; its number.
    pub(crate) fn upload(&self, server: &str, package: &Path) -> i64 {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tgz = format!("tars.{server}_suse_{number}.tgz");
        let place = self.uploaded(server, &tgz);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(package, &place).unwrap();
        let row = PatchRow {
            server: format!("tars.{server}"),
            tgz,
            md5: digest(package),
            upload_user: "admin".into(),
            ..PatchRow::default()
        };
        self.up.tables().add_patch(&row).unwrap()
    }

    pub(crate) fn uploaded(&self, server: &str, tgz: &str) -> PathBuf {
        let path = &self.up.host(0).install_path;
        path.join("patchs/tars.upload/tars").join(server).join(tgz)
    }

    pub(crate) fn row(&self, index: usize, server: &str) -> ServerRow {
        let node = &self.up.host(index).name;
        let rows = self.up.tables().servers().unwrap();
        let row = rows
            .into_iter()
            .find(|row| row.server_name == server && row.node_name == *node);
        row.unwrap_or_else(|| panic!("no row of {server} on {node}"))
    }

    /// Items that publish.
    pub(crate) fn patch_item(&self, index: usize, server: &str, patch: i64) -> TaskItemReq {
        TaskItemReq {
            parameters: Pairs(vec![
                ("patch_id".into(), patch.to_string()),
                ("bak_flag".into(), "0".into()),
                ("update_text".into(), "x".into()),
            ]),
            ..self.item(index, server, "patch_tars")
        }
    }

    pub(crate) fn item(&self, index: usize, server: &str, command: &str) -> TaskItemReq {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        TaskItemReq {
            item_no: format!("item{number}"),
            application: "tars".into(),
            server_name: server.into(),
            node_name: self.up.host(index).name.clone(),
            command: command.into(),
            user_name: "admin".into(),
            ..TaskItemReq::default()
        }
    }

    /// Begins a task: its number, and what AdminRegistry says; none where it says nothing.
    pub(crate) fn begin(&self, mut items: Vec<TaskItemReq>, serial: bool) -> (String, Option<i32>) {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let task_no = format!("task{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        for item in &mut items {
            item.task_no.clone_from(&task_no);
        }
        let task = TaskReq {
            items,
            task_no: task_no.clone(),
            serial,
            user_name: "admin".into(),
            elegant: false,
            each_num: 1,
        };
        let mut line = Line::to(self.up.framework().admin);
        let patience = Some(std::time::Duration::from_millis(1500));
        line.stream.set_read_timeout(patience).unwrap();
        let answer = line.call(ADMIN, "addTaskReq", body(|w| w.put(1, &task)), &[]);
        let said = answer.map(|answer| field(&answer, 0).unwrap().unwrap());
        (task_no, said)
    }

    pub(crate) fn task(&self, task_no: &str) -> Option<TaskRsp> {
        let answer = self.ask("getTaskRsp", texts(&[task_no]), false)?;
        (field::<i32>(&answer, 0).unwrap() == Some(0)).then(|| field(&answer, 2).unwrap().unwrap())
    }

    /// The statuses of a task's items once none of them changes any more.
    pub(crate) fn finished(&self, task_no: &str) -> TaskRsp {
        let mut last = TaskRsp::default();
        eventually("the end of the task", || {
            last = self.task(task_no).unwrap_or_default();
            let ended = |status: i32| (3..=5).contains(&status);
            !last.items.is_empty() && last.items.iter().all(|item| ended(item.status))
        });
        last
    }

    /// Publishes one server and waits.
    pub(crate) fn publish(&self, index: usize, server: &str, patch: i64) -> TaskRsp {
        let item = self.patch_item(index, server, patch);
        let (task, said) = self.begin(vec![item], true);
        assert_eq!(said, Some(0));
        self.finished(&task)
    }

    /// What was reported of a server, oldest first.
    pub(crate) fn notices(&self, server: &str) -> Vec<String> {
        let rows = self.up.tables().notices().unwrap();
        let own = rows.into_iter().filter(|row| row.server_name == server);
        own.map(|row| row.result).collect()
    }
}

/// The digest of the program that pretends to be `identity`.
fn digest_of(up: &Up, identity: &Identity) -> String {
    let path = up.scratch().join("program");
    tarsops_standin::standin::make(&exe(), &path, identity).unwrap();
    digest(&path)
}
