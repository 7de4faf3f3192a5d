//! What the embedded cluster's tests share: a cluster of its own for each, and the real `ssh` client.

#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tarsops_standin::cluster::{
    Cluster, FrameworkFacts, FrameworkOptions, HostFacts, Options, free_network,
};
use tarsops_standin::standin::{Behaviour, Identity, Timings};
use tarsops_standin::store::{Database, JsonFile};
use tarsops_wire::Writer;
use tarsops_wire::codec::Pairs;
use tarsops_wire::packet::{Request, Response};

/// The small multi-call program; `TARSOPS_STANDIN` names a smaller build of it.
pub(crate) fn exe() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_tarsops-standin-test");
    std::env::var_os("TARSOPS_STANDIN").map_or_else(|| built.into(), PathBuf::from)
}

/// A cluster that goes down with the test.
pub(crate) struct Up {
    pub(crate) cluster: Cluster,
    folder: tempfile::TempDir,
    tables: Option<tempfile::TempDir>,
}

impl Up {
    pub(crate) fn new(count: usize, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new().unwrap();
        options.exe = exe();
        options.ssh_port = 2222;
        change(&mut options);
        // Tests of other processes may take a network between the look and the use.
        for attempt in 0.. {
            options.network = free_network(2222).unwrap();
            match Cluster::up(&folder.path().join("c"), count, &options) {
                Ok(cluster) => {
                    return Self {
                        cluster,
                        folder,
                        tables: None,
                    };
                }
                Err(error) if attempt == 5 => panic!("{error:?}"),
                Err(_) => {}
            }
        }
        unreachable!()
    }

    /// A cluster with the framework on its first host, tables in a file, fifty times as fast.
    pub(crate) fn with_framework(count: usize) -> Self {
        Self::with_slaves(count, 0)
    }

    /// The same with slaves on the hosts after the first.
    pub(crate) fn with_slaves(count: usize, slaves: usize) -> Self {
        let tables = tempfile::tempdir().unwrap();
        let mut up = Self::new(count, |options| {
            options.packages = vec![healthy("3.0.17")];
            options.framework = Some(FrameworkOptions {
                database: Database::File(tables.path().join("tables.json")),
                identity: healthy("3.0.17"),
                timings: Timings::faster(50),
                slaves,
            });
        });
        up.tables = Some(tables);
        up
    }

    pub(crate) fn framework(&self) -> &FrameworkFacts {
        self.cluster.facts().framework.as_ref().unwrap()
    }

    /// The tables of [`Self::with_framework`].
    pub(crate) fn tables(&self) -> JsonFile {
        match &self.framework().database {
            Database::File(path) => JsonFile::new(path),
            Database::MariaDb { .. } => panic!("the tables are in MySQL"),
        }
    }

    /// Install an agent from its package by hand, as the handbook tells, and return its folder.
    pub(crate) fn install(&self, index: usize, version: &str, registry: &str) -> PathBuf {
        let (facts, host) = (self.cluster.facts(), self.host(index));
        let tars = host.install_path.join("tars");
        let package = facts.packages.join(version).join("tarsnode.tgz");
        self.ok(
            index,
            &format!(
                "mkdir -p {tars} && tar -xzf {package} -C {tars} && cd {tars}/tarsnode && \
                 sed -i 's!TARS_PATH!{tars}!g; s!localip.tars.com!{ip}!g; \
                 s!registryAddress!{registry}!' conf/*.conf util/*.sh",
                tars = tars.display(),
                package = package.display(),
                ip = host.ip,
            ),
        );
        tars.join("tarsnode")
    }

    /// Run one of the agent's scripts on a host.
    pub(crate) fn script(&self, index: usize, script: &str) {
        let util = self.host(index).install_path.join("tars/tarsnode/util");
        // As with the real scripts, standard error stays open and would hold the session.
        self.ok(
            index,
            &format!(
                "sh {}/{script} > /dev/null 2>&1 < /dev/null",
                util.display()
            ),
        );
    }

    pub(crate) fn host(&self, index: usize) -> &HostFacts {
        &self.cluster.facts().hosts[index]
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// `ssh` as an operator would call it, without a master.
    pub(crate) fn ssh(&self, index: usize) -> Command {
        let facts = self.cluster.facts();
        let host = self.host(index);
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=5"])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            facts.known_hosts.display()
        ))
        .arg("-i")
        .arg(&facts.identity)
        .args(["-p", &host.ssh_port.to_string(), "-l", &facts.user])
        .arg(host.ip.to_string())
        .stdin(Stdio::null());
        ssh
    }

    /// Run a command on a host and wait for it.
    pub(crate) fn run(&self, index: usize, command: &str) -> Output {
        let output = self.ssh(index).arg(command).output();
        output.expect("these tests need the OpenSSH client `ssh`")
    }

    /// Run a command that must work; its standard output.
    pub(crate) fn ok(&self, index: usize, command: &str) -> String {
        let output = self.run(index, command);
        assert!(
            output.status.success(),
            "{command}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Err(error) = Cluster::down(self.cluster.dir())
            && !std::thread::panicking()
        {
            panic!("{error:?}");
        }
    }
}

/// Wait until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An identity that behaves and rewrites its configuration soon.
pub(crate) fn healthy(version: &str) -> Identity {
    Identity::new(version, Behaviour::Healthy).rewriting_after(Duration::from_millis(500))
}

/// One connection to a servant.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    id: i32,
}

impl Line {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self::to_stream(stream)
    }

    pub(crate) fn to_stream(stream: TcpStream) -> Self {
        Self { stream, id: 0 }
    }

    /// The next message as it is on the wire; none where none comes within the read timeout.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0u8; 4];
        self.stream.read_exact(&mut frame).ok()?;
        let size = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        frame.resize(size as usize, 0);
        self.stream.read_exact(&mut frame[4..]).ok()?;
        Some(frame)
    }

    /// Call and wait for the answer; none where none comes, or the other side is gone.
    pub(crate) fn call(
        &mut self,
        servant: &str,
        function: &str,
        arguments: Vec<u8>,
        context: &[(&str, &str)],
    ) -> Option<Response> {
        self.id += 1;
        let mut request = Request::new(self.id, servant, function, arguments);
        request.context = Pairs(
            context
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        );
        self.stream.write_all(&request.to_frame().unwrap()).ok()?;
        let response = Response::from_frame(&self.frame()?[4..]).unwrap();
        assert_eq!(response.id, self.id);
        Some(response)
    }
}

/// Arguments, or any other fields.
pub(crate) fn body(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    fill(&mut writer);
    writer.finish()
}
