//! Cron for the hosts of an embedded cluster: `* * * * *` lines only, at a period that can be shorter
//! than a minute.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// One line to run: the shell command, and what it finds on its standard input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) command: String,
    pub(super) input: Option<String>,
    pub(super) environment: Vec<(String, String)>,
}

/// The lines of a crontab that are due at every minute. `NAME = value` lines count for those after.
pub(super) fn entries(table: &str) -> Vec<Entry> {
    let mut environment = Vec::new();
    let mut found = Vec::new();
    for line in table.lines().map(str::trim) {
        if let Some(command) = every_minute(line) {
            let (command, input) = split_percent(command);
            found.push(Entry {
                command,
                input,
                environment: environment.clone(),
            });
        } else if let Some((name, value)) = assignment(line) {
            environment.push((name, value));
        }
    }
    found
}

/// The command of a `* * * * *` line.
fn every_minute(line: &str) -> Option<&str> {
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.strip_prefix('*')?;
        let trimmed = rest.trim_start();
        if trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed;
    }
    Some(rest).filter(|command| !command.is_empty())
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let named = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
    let bare = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| {
            value
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
        })
        .unwrap_or(value);
    named.then(|| (name.to_owned(), bare.to_owned()))
}

/// The first bare `%` ends the command; what follows is its input, further ones are line ends.
fn split_percent(command: &str) -> (String, Option<String>) {
    let mut text = String::new();
    let mut input: Option<String> = None;
    let mut characters = command.chars().peekable();
    while let Some(c) = characters.next() {
        let escaped = c == '\\' && characters.next_if_eq(&'%').is_some();
        match (&mut input, c) {
            (Some(input), _) if escaped => input.push('%'),
            (None, _) if escaped => text.push('%'),
            (Some(input), '%') => input.push('\n'),
            (None, '%') => input = Some(String::new()),
            (Some(input), c) => input.push(c),
            (None, c) => text.push(c),
        }
    }
    (text, input.map(|input| format!("{input}\n")))
}

/// Start one line as cron does; its output goes to the end of `log`. Nobody waits for it.
pub(super) fn start(
    entry: &Entry,
    environment: &[(String, String)],
    home: &Path,
    log: &Path,
) -> io::Result<()> {
    let output = File::options().create(true).append(true).open(log)?;
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(&entry.command)
        .env_clear()
        .envs(
            environment
                .iter()
                .chain(&entry.environment)
                .map(|(name, value)| (name, value)),
        )
        .current_dir(home)
        .process_group(0)
        .stdin(if entry.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let (stdin, input) = (child.stdin.take(), entry.input.clone());
    tokio::spawn(async move {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let _ = child.wait().await;
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_lines_of_every_minute() {
        let table = "# a comment\nMAILTO=\"ops\"\n* * * * * /a/monitor.sh\n*/5 * * * * /b\n\
                     \t*  *\t* * *   echo 10\\% %in%put\n@reboot /c\n* * * *  too few\n";
        let found = entries(table);
        let mail = vec![("MAILTO".to_owned(), "ops".to_owned())];
        assert_eq!(
            found,
            [
                Entry {
                    command: "/a/monitor.sh".into(),
                    input: None,
                    environment: mail.clone()
                },
                Entry {
                    command: "echo 10% ".into(),
                    input: Some("in\nput\n".into()),
                    environment: mail
                },
            ]
        );
    }
}
