//! Secrets of the spec: from the environment, a file or a program, at the moment they are needed.
//!
//! What goes wrong is told without the secret: neither a program's output nor a file's content is in
//! a message. Programs that hand out one secret do not see the variables that hold the others.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tarsops_model::desired::{Desired, SecretRef};
use tarsops_transport::mysql::Secret;

/// How long a program may take to hand out a secret, a person's touch of a token included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variables of the environment that hold secrets of the spec. Nothing that we start sees them.
pub fn variables(desired: &Desired) -> Vec<String> {
    let password = desired.database().map(|d| &d.password);
    let ticket = desired.web().map(|w| &w.ticket);
    let names = [password, ticket].into_iter().flatten();
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
        SecretRef::Env(name) => std::env::var(name)
            .map(Secret::new)
            .map_err(|_| format!("the environment variable {name}, which holds it, is not set")),
        SecretRef::File(path) => file(path),
        SecretRef::Command(_) if !allow_commands => {
            Err("it comes from a program, which runs only with --allow-commands".to_owned())
        }
        SecretRef::Command(words) => command(words, hidden).await,
    }
}

fn file(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("the file {} cannot be read: {e}", path.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret::new(text))
}

async fn command(words: &[String], hidden: &[String]) -> Result<Secret, String> {
    let (program, arguments) = words.split_first().ok_or("the program has no name")?;
    let mut start = tokio::process::Command::new(program);
    for name in hidden {
        start.env_remove(name);
    }
    let child = start
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("the program {program} cannot be started: {e}"))?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| {
            format!(
                "the program {program} took longer than {} s",
                PATIENCE.as_secs()
            )
        })?
        .map_err(|e| format!("the program {program} failed: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "the program {program} ended with {}",
            output.status
        ));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| format!("what the program {program} printed is no UTF-8"))?;
    Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
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
