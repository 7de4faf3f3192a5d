//! One host in a folder, with an agent in its old state and a change that is about to begin.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, ClusterName, NodeName, RunId, UserName};
use tarsops_plan::action::{
    Content, CrontabChange, FileChange, HostChange, Install, Modify, Operation, Owner, Port, Remove,
};
use tarsops_plan::crontab::{self, CrontabEdit};

use super::super::{CrontabAfter, Launch, Place, change, env, files, guard, tree};

/// Longer than any of these changes takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines of other people, one of them odd.
pub(crate) const FOREIGN: &str =
    "MAILTO=ops\n0 4 * * *\t/opt/backup --note 'a  b' # 100% \\n\n*/5 * * * * true";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Upgrade,
    Install,
    Removal,
}

/// What is there: files by path with mode and digest, the crontab, and how many agents run the file
/// that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, (u32, Digest)>,
    pub(crate) crontab: String,
    pub(crate) running: usize,
}

pub(crate) struct World {
    root: tempfile::TempDir,
    pub(crate) shell: &'static str,
    pub(crate) change: HostChange,
    crontab_after: Option<String>,
    crontab: CrontabAfter,
    contents: Vec<Vec<u8>>,
    pub(crate) old: State,
    pub(crate) new: State,
}

/// A crontab with an end of its last line, without which crontab(1) takes none.
fn ended(crontab: &str) -> String {
    match crontab {
        "" => String::new(),
        text => format!("{}\n", text.trim_end_matches('\n')),
    }
}

/// Who runs the tests.
fn me() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Another program writes what will be run: a process that a neighbouring test forks at that moment
/// would hold our descriptor for a while, and a file open for writing cannot be run.
fn write(path: &Path, mode: u32, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if mode & 0o111 == 0 {
        fs::write(path, content).unwrap();
    } else {
        let mut child = Command::new("dd")
            .arg(format!("of={}", path.display()))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(content).unwrap();
        assert!(child.wait().unwrap().success());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The agent's binary: a shell that waits in a script, with some bytes behind it.
fn binary(version: &str) -> Vec<u8> {
    let mut bytes = fs::read("/bin/dash").expect("these tests need the shell /bin/dash");
    bytes.extend_from_slice(version.as_bytes());
    bytes
}

/// The parent of a process; 0 where it is gone.
fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    rest.split(' ')
        .nth(1)
        .and_then(|p| p.parse().ok())
        .unwrap_or(0)
}

impl World {
    pub(crate) fn new(kind: Kind, shell: &'static str) -> Self {
        let root = tempfile::Builder::new().prefix("hs").tempdir().unwrap();
        let base = root.path().to_owned();
        let tars = base.join("app/tars");
        fs::create_dir_all(base.join("app")).unwrap();
        shims(&base, shell);
        let fifo = Command::new("mkfifo").arg(base.join("fifo")).status();
        assert!(fifo.unwrap().success());
        let agent = format!(
            "exec 8>>{0}/agent.lock\nflock -n 8 || exit 1\nexec 3<>{0}/fifo\nwhile :; do read -r x <&3; done\n",
            base.display()
        );
        let start = |version: &str| {
            format!(
                "# {version}\n{0}/bin/tarsnode {0}/util/agent.sh --nodeid=\"n1\" </dev/null >/dev/null 2>&1 &\n",
                tars.join("tarsnode").display()
            )
        };
        let set = |version: &str| -> Vec<(&str, u32, Vec<u8>)> {
            vec![
                (
                    "conf/tars.tarsnode.config.conf",
                    0o644,
                    format!("<tars> # {version}\n</tars>\n").into_bytes(),
                ),
                ("util/agent.sh", 0o644, agent.clone().into_bytes()),
                ("util/start.sh", 0o755, start(version).into_bytes()),
                ("bin/tarsnode", 0o755, binary(version)),
            ]
        };
        let state = |files: &[(&str, u32, Vec<u8>)], crontab: &str| State {
            files: files
                .iter()
                .map(|(p, m, c)| (format!("tarsnode/{p}"), (*m, Digest::of(c))))
                .collect(),
            crontab: ended(crontab),
            running: usize::from(!files.is_empty()),
        };
        let monitor = format!("{}\n", crontab::monitor_line(tars.to_str().unwrap()));
        let (old_files, new_files) = match kind {
            Kind::Upgrade => (set("one"), set("two")),
            Kind::Install => (vec![], set("two")),
            Kind::Removal => (set("one"), vec![]),
        };
        let (before, after) = match kind {
            Kind::Removal => (format!("{monitor}{FOREIGN}"), FOREIGN.to_owned()),
            _ => (FOREIGN.to_owned(), format!("{FOREIGN}\n{monitor}")),
        };
        for (path, mode, content) in &old_files {
            write(&tars.join("tarsnode").join(path), *mode, content);
        }
        fs::write(base.join("crontab.txt"), &before).unwrap();
        let old = state(&old_files, &before);
        let new = state(&new_files, &after);
        let mut changes = Vec::new();
        for (path, mode, content) in &new_files {
            let path = format!("tarsnode/{path}");
            let there = old.files.get(&path);
            let digest = Digest::of(content);
            if there.is_some_and(|(m, d)| m == mode && *d == digest) {
                continue;
            }
            changes.push(FileChange {
                path,
                mode: *mode,
                before: there.map(|t| t.1),
                before_mode: there.map(|t| t.0),
                after: Some(digest),
                content: Content::Package {
                    component: Component::Tarsnode,
                    version: "3.0.17".parse().unwrap(),
                    path: String::new(),
                    size: content.len() as u64,
                },
            });
        }
        let me = me();
        let crontab = Some(CrontabChange {
            before: Some(Digest::of(ended(&before).as_bytes())),
            edit: CrontabEdit::default(),
            back: None,
        });
        let owner = Owner::RunUser;
        let change = HostChange {
            component: Component::Tarsnode,
            node: NodeName::new("n1").unwrap(),
            summary: "a change".to_owned(),
            operation: match kind {
                Kind::Upgrade => Operation::Modify(Modify {
                    files: changes,
                    owner,
                    restart: true,
                    crontab,
                    labels: None,
                }),
                Kind::Install => Operation::Install(Install {
                    files: changes,
                    owner,
                    crontab,
                    labels: None,
                }),
                Kind::Removal => Operation::Remove(Remove {
                    crontab,
                    stop_servers: false,
                }),
            },
            tars_path: AbsPath::new(tars.to_str().unwrap()).unwrap(),
            run_user: UserName::new(me).unwrap(),
            ran_as: None,
            ip: "127.0.0.1".parse().unwrap(),
            port: Port::default(),
            ran: kind != Kind::Install,
            machine_id: "-".to_owned(),
            settle: None,
        };
        let world = Self {
            root,
            shell,
            change,
            crontab: CrontabAfter::Text(ended(&after)),
            crontab_after: Some(ended(&after)),
            contents: new_files.into_iter().map(|f| f.2).collect(),
            old,
            new,
        };
        if kind != Kind::Install {
            world.start_agent();
        }
        assert_eq!(world.state(), world.old, "the agent is not as it was put");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            install_path: AbsPath::new(self.path("app").to_str().unwrap()).unwrap(),
            cluster: ClusterName::new("test").unwrap(),
        }
    }

    fn start_agent(&self) {
        let status = self
            .command("sh")
            .arg(self.path("app/tars/tarsnode/util/start.sh"))
            .status();
        assert!(status.unwrap().success());
        let until = Instant::now() + PATIENCE;
        while self.running() == 0 {
            assert!(Instant::now() < until, "the agent does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A program with this host's `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{}:{path}", self.path("shims").display()))
            .env("HOST", self.root.path())
            .env("TARSOPS_STATE", self.path("app/.tarsops"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn launch_of<'a>(
        &'a self,
        place: &'a Place,
        run: &'a RunId,
        settle: u64,
    ) -> Launch<'a> {
        Launch {
            place,
            run,
            step: "change",
            change: &self.change,
            holder: "test",
            intent: "{}",
            crontab: &self.crontab,
            settle,
            deadline: 10,
            stop_on_failure: false,
            expires: None,
        }
    }

    /// Stages what the change needs, as uploads do.
    pub(crate) fn stage(&self) {
        let stage = self.path("app/.tarsops/stage");
        let texts = self.crontab_after.iter().map(|t| t.as_bytes());
        for content in self.contents.iter().map(Vec::as_slice).chain(texts) {
            write(&stage.join(Digest::of(content).to_string()), 0o600, content);
        }
    }

    /// Lays the change out as the launching script does; the folder of it.
    pub(crate) fn lay_out(&self, run: &RunId, script: &str) -> PathBuf {
        self.stage();
        let place = self.place();
        let launch = self.launch_of(&place, run, 0);
        let folder = self.path(&format!("app/.tarsops/runs/{run}/change"));
        write(&folder.join("env"), 0o600, env(&launch).as_bytes());
        write(&folder.join("files"), 0o600, files(&self.change).as_bytes());
        write(&folder.join("intent"), 0o600, b"{}");
        write(&folder.join("tree.sh"), 0o600, tree().as_bytes());
        write(&folder.join("change.sh"), 0o600, script.as_bytes());
        write(
            &self.path("app/.tarsops/guard.sh"),
            0o600,
            guard().as_bytes(),
        );
        folder
    }

    /// Runs a script to its end; whether it ended by being killed.
    pub(crate) fn run(&self, script: &Path, word: &str, more: &[(&str, &str)]) -> bool {
        let mut command = if self.shell == "busybox" {
            let mut c = self.command("busybox");
            c.arg("sh");
            c
        } else {
            self.command(self.shell)
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        command
            .arg(script)
            .arg(word)
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command.envs(more.iter().copied());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.signal() == Some(9);
            }
            if Instant::now() > until {
                child.kill().unwrap();
                panic!("{} does not end\n{}", script.display(), self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What cron does within two minutes: the guard runs as long as its line is there.
    pub(crate) fn cron(&self) {
        for _ in 0..2 {
            if fs::read_to_string(self.path("crontab.txt"))
                .unwrap_or_default()
                .contains("tarsops-guard")
            {
                self.run(&self.path("app/.tarsops/guard.sh"), "", &[]);
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        let own = fs::read_to_string(self.path("log")).unwrap_or_default();
        let mut out = own;
        let runs = self.path("app/.tarsops/runs");
        for run in fs::read_dir(runs).into_iter().flatten().flatten() {
            out += &fs::read_to_string(run.path().join("change/log")).unwrap_or_default();
        }
        out
    }

    /// Pids of agents that run the very file that is there, or any file of this host.
    pub(crate) fn agents(&self, any: bool) -> Vec<u32> {
        let identity = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        // A file that was moved away and back is the same file, though its process calls it deleted.
        let installed = identity(&self.path("app/tars/tarsnode/bin/tarsnode"));
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let exe = entry.path().join("exe");
            let ours = fs::read_link(&exe).is_ok_and(|target| target.starts_with(self.root.path()));
            if ours && (any || installed.is_some() && identity(&exe) == installed) {
                out.push((pid, parent(pid)));
            }
        }
        // On its way to run another program, an agent is there twice for a moment.
        let all: Vec<u32> = out.iter().map(|a| a.0).collect();
        // One without a parent has ended while we looked.
        out.retain(|(_, parent)| *parent != 0 && !all.contains(parent));
        out.into_iter().map(|a| a.0).collect()
    }

    pub(crate) fn running(&self) -> usize {
        self.agents(false).len()
    }

    pub(crate) fn state(&self) -> State {
        fn walk(folder: &Path, base: &Path, out: &mut BTreeMap<String, (u32, Digest)>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                // What a removal has put aside.
                if path.ends_with("tars/.tarsops") {
                    continue;
                }
                if path.is_dir() {
                    walk(&path, base, out);
                } else {
                    let name = path
                        .strip_prefix(base)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
                    out.insert(name, (mode, Digest::of(&fs::read(&path).unwrap())));
                }
            }
        }
        let tars = self.path("app/tars");
        let mut files = BTreeMap::new();
        walk(&tars, &tars, &mut files);
        let mut running = self.running();
        // One that runs a file that is not there any more counts as a wrong number.
        if self.agents(true).len() != running {
            running += 100;
        }
        State {
            files,
            crontab: ended(&fs::read_to_string(self.path("crontab.txt")).unwrap_or_default()),
            running,
        }
    }

    pub(crate) fn verdict(&self, run: &RunId) -> String {
        let path = format!("app/.tarsops/runs/{run}/change/verdict");
        fs::read_to_string(self.path(&path)).unwrap_or_default()
    }

    /// The old state or the new one, whole, and nothing left over; which, or what is wrong.
    pub(crate) fn sound(&self) -> Result<Kept, String> {
        let state = self.state();
        let kept = if state == self.old {
            Kept::Old
        } else if state == self.new {
            Kept::New
        } else {
            let told = |other: &State| {
                let names = state.files.keys().chain(other.files.keys());
                let differs = |n: &&String| state.files.get(*n) != other.files.get(*n);
                let mut out: Vec<&str> = names.filter(differs).map(String::as_str).collect();
                out.dedup();
                if state.crontab != other.crontab {
                    out.push("crontab");
                }
                if state.running != other.running {
                    out.push("running");
                }
                out.join(", ")
            };
            return Err(format!(
                "neither old ({}) nor new ({}); {} run, crontab {:?}\n{}",
                told(&self.old),
                told(&self.new),
                state.running,
                state.crontab,
                self.log()
            ));
        };
        for left in ["current", "guard.put"] {
            if self.path("app/.tarsops").join(left).exists() {
                return Err(format!("{left} is left\n{}", self.log()));
            }
        }
        Ok(kept)
    }

    /// A further run from the old state reaches the new one.
    pub(crate) fn converges(&self, run: &RunId) -> Result<(), String> {
        let folder = self.lay_out(run, &change());
        self.run(&folder.join("change.sh"), "act", &[]);
        match self.sound()? {
            Kept::New => Ok(()),
            Kept::Old => Err(format!(
                "a further run ends with {}\n{}",
                self.verdict(run),
                self.log()
            )),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Old,
    New,
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in self.agents(true) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Programs that stand before the real ones: a crontab of this host's own, and a sync that is
/// quick, as nothing here loses power.
fn shims(base: &Path, shell: &str) {
    let crontab = "#!/bin/sh
f=$HOST/crontab.txt
[ \"$1\" != -u ] || shift 2
case \"$1\" in
  -l) [ -e \"$f\" ] || { echo 'no crontab for me' >&2; exit 1; }; exec cat \"$f\" ;;
  -r) exec rm \"$f\" ;;
  -) exec cat >\"$f\" ;;
  *) [ -z \"$(tail -c 1 \"$1\")\" ] || { echo 'new crontab file is missing newline before EOF' >&2; exit 1; }
    cat \"$1\" >\"$f.new\" && exec mv \"$f.new\" \"$f\" ;;
esac
";
    write(&base.join("shims/crontab"), 0o755, crontab.as_bytes());
    write(&base.join("shims/sync"), 0o755, b"#!/bin/sh\nexit 0\n");
    if shell == "busybox" {
        std::os::unix::fs::symlink("/bin/busybox", base.join("shims/sh")).unwrap();
    }
}

/// Does `work` for each of `items` on a few threads; fails with the first faults.
pub(crate) fn in_parallel<T: Send + Sync, F>(items: &[T], work: F)
where
    F: Fn(&T) -> Result<(), String> + Sync,
{
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let faults = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = work(item) {
                        faults.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    let first: Vec<&str> = faults.iter().take(3).map(String::as_str).collect();
    assert!(
        faults.is_empty(),
        "{} of {} fail; the first:\n{}",
        faults.len(),
        items.len(),
        first.join("\n")
    );
}
