//! Secrets of the spec: from the environment, a file or a program, at the moment they are needed.
//!
//! What goes wrong is told without the secret: neither a program's output nor a file's content is in
//! a message. Programs that hand out one secret do not see the variables that hold the others.

use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tarsops_model::desired::{Desired, SecretRef};
use tarsops_transport::mysql::Secret;
use tokio::io::AsyncReadExt as _;

/// How long a program may take to hand out a secret, a person's touch of a token included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many bytes a source may give.
const MOST: u64 = 64 << 10;

/// The variables of the environment that hold secrets of the spec. Nothing that we start sees them.
pub fn variables(desired: &Desired) -> Vec<String> {
    let password = desired.database().map(|d| &d.password);
    let ticket = desired.web().map(|w| &w.ticket);
    // All containers of a spec have one account.
    let installer = desired
        .containers()
        .next()
        .map(|(_, c)| &c.installer.password);
    let names = [password, ticket, installer].into_iter().flatten();
    names
        .filter_map(|from| match from {
            SecretRef::Env(name) => Some(name.clone()),
            SecretRef::File(_) | SecretRef::Command(_) => None,
        })
        .collect()
}

/// The secret, or why it cannot be had. A program that hands it out does not see `hidden` variables.
pub async fn resolve(
    from: &SecretRef,
    allow_commands: bool,
    hidden: &[String],
) -> Result<Secret, String> {
    match from {
        SecretRef::Env(name) => {
            let source = format!("the environment variable {name}");
            let value = std::env::var_os(name)
                .ok_or_else(|| format!("{source}, which should contain it, is not set"))?;
            secret(value.into_vec(), &source)
        }
        SecretRef::File(path) => {
            let source = format!("the file {}", path.display());
            let bytes = file(path).map_err(|e| format!("{source} cannot be read: {e}"))?;
            secret(bytes, &source)
        }
        SecretRef::Command(_) if !allow_commands => {
            Err("a program prints it, and programs run only with --allow-commands".to_owned())
        }
        SecretRef::Command(words) => command(words, hidden).await,
    }
}

/// The secret in what a source gave, wherever that comes from: without the ends of lines that editors and
/// programs put behind it. `source` names it in messages, which never show what it gave.
fn secret(mut bytes: Vec<u8>, source: &str) -> Result<Secret, String> {
    if bytes.len() as u64 > MOST {
        return Err(format!("{source} gives more than {MOST} bytes"));
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.contains(&0) {
        return Err(format!(
            "{source} gives a zero byte, which no password and no ticket has"
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{source} gives no UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(format!(
            "{source} begins with a byte order mark (U+FEFF); write it without one"
        ));
    }
    Ok(Secret::new(text))
}

fn file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn command(words: &[String], hidden: &[String]) -> Result<Secret, String> {
    let (program, arguments) = words.split_first().ok_or("the program has no name")?;
    let source = format!("the program {program}");
    let mut start = tokio::process::Command::new(program);
    for name in hidden {
        start.env_remove(name);
    }
    let mut child = start
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{source} cannot be started: {e}"))?;
    let mut bytes = Vec::new();
    let ending = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MOST + 1).read_to_end(&mut bytes).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, ending)
        .await
        .map_err(|_| format!("{source} took longer than {} s", PATIENCE.as_secs()))?
        .map_err(|e| format!("{source} failed: {e}"))?;
    // It may end by a signal because we read no more.
    if !status.success() && bytes.len() as u64 <= MOST {
        return Err(format!("{source} ended with {status}"));
    }
    secret(bytes, &source)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn secrets_come_from_three_places_and_show_in_no_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "s3cret word\n").unwrap();
        let read = resolve(&SecretRef::File(path), false, &[]).await.unwrap();
        assert_eq!(read.expose(), "s3cret word");
        let words = |w: &[&str]| SecretRef::Command(w.iter().map(|s| (*s).to_owned()).collect());
        let said = resolve(&words(&["printf", "hunter2\\n"]), true, &[])
            .await
            .unwrap();
        assert_eq!(said.expose(), "hunter2");
        let refused = resolve(&words(&["printf", "hunter2"]), false, &[]).await;
        assert!(refused.unwrap_err().contains("--allow-commands"));
        let failed = resolve(&words(&["sh", "-c", "echo hunter2; exit 3"]), true, &[]).await;
        let why = failed.unwrap_err();
        assert!(
            why.contains("ended with") && !why.contains("hunter2"),
            "{why}"
        );
        let unset = SecretRef::Env("TARSOPS_TEST_NO_SUCH_VARIABLE".to_owned());
        assert!(
            resolve(&unset, false, &[])
                .await
                .unwrap_err()
                .contains("is not set")
        );
    }

    /// What the three kinds of sources make of these bytes. Tests must not set variables, so the last
    /// one stands for them.
    async fn from_all(bytes: &[u8]) -> [Result<String, String>; 3] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        let words = ["cat".to_owned(), path.display().to_string()];
        let file = resolve(&SecretRef::File(path), false, &[]).await;
        let command = resolve(&SecretRef::Command(words.to_vec()), true, &[]).await;
        let env = secret(bytes.to_vec(), "the environment variable X");
        [file, command, env].map(|found| found.map(|s| s.expose().to_owned()))
    }

    #[tokio::test]
    async fn a_secret_is_read_alike_from_every_source() {
        for (bytes, value) in [
            (&b"hunter2"[..], "hunter2"),
            (b"hunter2\n", "hunter2"),
            (b"hunter2\r\n", "hunter2"),
            (b"hunter2\n\n", "hunter2"),
            (b" hunter2 \n", " hunter2 "),
            (b"two\nlines\n", "two\nlines"),
            ("\u{fc}\u{1f600}\n".as_bytes(), "\u{fc}\u{1f600}"),
            (b"", ""),
        ] {
            for found in from_all(bytes).await {
                assert_eq!(found.unwrap(), value, "{bytes:?}");
            }
        }
        let large = [b'x'; 70_000];
        for (bytes, why) in [
            (&b"hun\0ter2\n"[..], "gives a zero byte"),
            (b"hunter2\0", "gives a zero byte"),
            (b"hunter2\xff\n", "gives no UTF-8"),
            (b"h\0u\0n\0t\0e\0r\0", "gives a zero byte"),
            ("\u{feff}hunter2".as_bytes(), "byte order mark"),
            (&large, "more than 65536 bytes"),
        ] {
            for (found, source) in from_all(bytes)
                .await
                .into_iter()
                .zip(["file", "program", "variable"])
            {
                let said = found.unwrap_err();
                assert!(said.contains(why) && said.contains(source), "{said}");
                assert!(!said.contains("hun") && !said.contains("xxx"), "{said}");
            }
        }
    }

    #[test]
    fn the_account_of_installations_is_a_secret_like_the_others() {
        let text = "\
schema: tarsops/v1
cluster: test
framework: {version: 3.0.18, packages: './packages/{version}', deployment: docker}
docker: {image: 'framework:3.0.18', installer: {password: {env: ROOT_PASSWORD}}}
registry: {endpoints: ['10.0.0.1:17890']}
database: {address: '10.0.0.9:3306', user: tarsAdmin, password: {env: DB_PASSWORD}}
nodes: [{name: 10.0.0.1, roles: [master]}]
";
        let base = tarsops_spec::Base {
            dir: "/spec".into(),
            home: None,
            processors: 2,
        };
        let parsed = tarsops_spec::parse(text, "cluster.yaml").unwrap();
        let desired = parsed.lower(&base).unwrap().0;
        assert_eq!(variables(&desired), ["DB_PASSWORD", "ROOT_PASSWORD"]);
    }

    #[tokio::test]
    async fn a_program_does_not_see_the_variables_that_hold_secrets() {
        // PATH stands for a secret here, as a test must not set variables.
        let words = ["/bin/sh", "-c", "/usr/bin/env"]
            .map(str::to_owned)
            .to_vec();
        let hidden = ["PATH".to_owned()];
        let seen = resolve(&SecretRef::Command(words), true, &hidden).await;
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert!(!seen.unwrap().expose().contains(&path));
    }
}
