//! A framework with its tables in a real MariaDB, a bare node, and the console over both.

#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tarsops_standin::cluster::{FrameworkOptions, OwnDatabase};
use tarsops_standin::console::{Console, Options};
use tarsops_standin::packages::{Inside, write_service};
use tarsops_standin::standin::lies::{self, Lie};
use tarsops_standin::standin::{Timings, make};
use tarsops_standin::store::Database;
use tarsops_wire::interface::{ADMIN, field, texts};

use crate::common::{Line, Up, eventually, exe, healthy};

pub(crate) struct Web {
    pub(crate) up: Up,
    pub(crate) console: Option<Console>,
}

/// What came back.
pub(crate) struct Came {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Web {
    /// With a console whose options are `change`d.
    pub(crate) fn new(change: impl FnOnce(&mut Options)) -> Self {
        tarsops_standin::database::require_or_fail();
        let up = Up::new(2, |options| {
            options.packages = vec![healthy("3.0.17")];
            options.own_database = Some(OwnDatabase {
                operator: "ops".into(),
                password: "ops".into(),
            });
            options.framework = Some(FrameworkOptions {
                database: Database::File("none".into()),
                identity: healthy("3.0.17"),
                timings: Timings::faster(50),
                slaves: 0,
            });
        });
        let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
        for index in 0..2 {
            up.install(index, "3.0.17", &registry);
            up.script(index, "start.sh");
        }
        let mut web = Self { up, console: None };
        let mut options = web.options();
        change(&mut options);
        web.console = Some(Console::start(options).unwrap());
        for index in 0..2 {
            let node = web.up.host(index).name.clone();
            eventually("the node's connection", || {
                let mut line = Line::to(web.up.framework().admin);
                line.stream
                    .set_read_timeout(Some(Duration::from_millis(300)))
                    .unwrap();
                let answer = line.call(ADMIN, "pingNode", texts(&[&node]), &[]);
                let words = answer.and_then(|answer| field::<String>(&answer, 2).unwrap());
                words.as_deref() == Some("ping succ")
            });
        }
        web
    }

    /// The options of a console that publishes.
    pub(crate) fn options(&self) -> Options {
        let framework = self.up.framework();
        let folder = self.up.scratch().join("console");
        std::fs::create_dir_all(&folder).unwrap();
        let uploads = self.up.host(0).install_path.join("patchs/tars.upload");
        Options::new(
            framework.database.clone(),
            framework.admin,
            &uploads,
            &folder,
        )
    }

    pub(crate) fn console(&self) -> &Console {
        self.console.as_ref().unwrap()
    }

    /// Has the console lie.
    pub(crate) fn tell(&self, all: &[Lie]) {
        lies::tell(&self.options().folder, all).unwrap();
    }

    pub(crate) fn binary(&self, index: usize, server: &str) -> PathBuf {
        let tars = self.up.host(index).install_path.join("tars");
        tars.join(server).join("bin").join(server)
    }

    /// A package of a service, and what its program's digest will be.
    pub(crate) fn package(&self, server: &str, version: &str) -> (PathBuf, String) {
        let identity = healthy(version);
        let path = self.up.scratch().join(format!("{server}-{version}.tgz"));
        write_service(&exe(), &path, server, Inside::Folder, &identity).unwrap();
        let program = self.up.scratch().join("program");
        make(&exe(), &program, &identity).unwrap();
        (path, digest(&program))
    }

    /// A request as it is written here, with the ticket.
    pub(crate) fn ask(&self, method: &str, target: &str, sent: &str) -> Came {
        let joint = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{joint}ticket={}", self.console().ticket());
        let kind = "Content-Type: application/json\r\n";
        send(
            self.console().address(),
            (method, &target),
            kind,
            sent.as_bytes(),
        )
    }

    /// The same without one, and with another header.
    pub(crate) fn ask_bare(&self, method: &str, target: &str, header: &str) -> Came {
        send(self.console().address(), (method, target), header, b"")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Before the database.
        self.console = None;
    }
}

/// Sends a request, and reads what comes until the connection ends.
pub(crate) fn send(
    address: SocketAddr,
    (method, target): (&str, &str),
    headers: &str,
    body: &[u8],
) -> Came {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // One that is too long is refused while it is sent.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Came {
        status,
        head: head.to_ascii_lowercase(),
        body: body.trim_end().to_owned(),
    }
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
    let Ok(stream) = TcpStream::connect((ip, port)) else {
        return false;
    };
    let answer = Line::to_stream(stream).call(servant, "tars_ping", Vec::new(), &[]);
    answer.is_some_and(|answer| answer.ret == 0)
}
