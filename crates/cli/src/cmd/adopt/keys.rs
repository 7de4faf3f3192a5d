//! Host keys that nobody has confirmed: candidates in a file of their own. Nothing trusts them until a
//! person has compared the fingerprints and moved them into the known hosts file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tarsops_model::desired::Desired;
use tarsops_model::display::{self, Text};
use tarsops_model::host::Jump;
use tarsops_model::names::NodeName;
use tarsops_transport::{Fault, FaultKind};
use tokio::io::AsyncWriteExt as _;

use crate::args::Adopt;
use crate::failure::Result;
use crate::pending::Pending;

/// How long all hosts may take to show their keys.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keys that hosts show.
pub struct Candidates {
    /// The file with them.
    pub path: PathBuf,
    /// Their fingerprints.
    fingerprints: Vec<String>,
    known_hosts: String,
}

impl Candidates {
    /// A line for each fingerprint.
    pub fn lines(&self) -> &[String] {
        &self.fingerprints
    }

    /// What to do with them.
    pub fn hint(&self) -> String {
        format!(
            "these keys are in {} and are not trusted: compare each with its host, then `cat {0} >> {}` and adopt again",
            self.path.display(),
            self.known_hosts
        )
    }

    /// All of it.
    pub fn text(&self) -> Text {
        let mut out = Text::new();
        out.line("");
        out.line("Host keys that nobody has confirmed:");
        for line in &self.fingerprints {
            out.line(format_args!("  {line}"));
        }
        out.line(format_args!("  {}", self.hint()));
        out
    }
}

/// The keys of hosts that were not seen as nobody knows them. None where no
/// host is new, and where none shows its key: those behind a jump host are not asked, as `ssh-keyscan` knows
/// no jump.
///
/// # Errors
/// The file, and why it cannot be written.
pub async fn candidates(
    adopt: &Adopt,
    desired: &Desired,
    faults: &[(NodeName, Fault)],
) -> Result<Option<Candidates>> {
    let new = faults
        .iter()
        .filter(|(_, f)| f.kind == FaultKind::UnknownKey);
    let mut keys = String::new();
    let mut by_port: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (node, _) in new {
        if let Some(access) = desired.access.get(node)
            && !matches!(access.jump, Jump::Through(_))
        {
            let hosts = by_port.entry(access.port.unwrap_or(22)).or_default();
            hosts.push(access.address.to_string());
        }
    }
    for (port, hosts) in by_port {
        let mut words = vec![
            "-T".to_owned(),
            "5".to_owned(),
            "-p".to_owned(),
            port.to_string(),
        ];
        words.push("--".to_owned());
        words.extend(hosts);
        if let Some(text) = output("ssh-keyscan", &words, "").await {
            keys.extend(
                text.lines()
                    .filter(|l| !l.starts_with('#'))
                    .map(|l| format!("{l}\n")),
            );
        }
    }
    if keys.is_empty() {
        return Ok(None);
    }
    let shown = output("ssh-keygen", &["-l".into(), "-f".into(), "-".into()], &keys).await;
    let mut fingerprints: Vec<String> = shown
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| display::line(line).into_owned())
        .collect();
    fingerprints.sort();
    let mut path = adopt.out.as_os_str().to_owned();
    path.push(".host-keys");
    let path = PathBuf::from(path);
    Pending::public(&path)?.write(&format!(
        "# Keys that hosts showed and nobody has confirmed. Nothing reads this file.\n{keys}"
    ))?;
    Ok(Some(Candidates {
        path,
        fingerprints,
        known_hosts: adopt
            .ssh_known_hosts
            .clone()
            .unwrap_or_else(|| "~/.ssh/known_hosts".to_owned()),
    }))
}

/// What a program prints, whatever its status; none where it cannot be run.
async fn output(program: &str, words: &[String], input: &str) -> Option<String> {
    let mut child = tokio::process::Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let done = async {
        stdin.write_all(input.as_bytes()).await.ok()?;
        drop(stdin);
        child.wait_with_output().await.ok()
    };
    let ended = tokio::time::timeout(PATIENCE, done).await.ok()??;
    Some(String::from_utf8_lossy(&ended.stdout).into_owned())
}
