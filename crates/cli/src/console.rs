//! The management platform in the preflight: whether it answers, takes the ticket, and keeps others out.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_plan::rules::check::{Check, Outcome};
use tarsops_transport::console::{Console, ConsoleError, Door};
use tarsops_transport::mysql::Secret;

/// How long one question may take. A healthy console answers these in milliseconds.
const QUESTION: Duration = Duration::from_secs(8);
/// The table's lines, in their order.
const LINES: [&str; 3] = ["console", "console-ticket", "console-open"];

/// Asks the console with `ticket`, which is none where the spec names no console. It changes nothing.
pub async fn checks(desired: &Desired, ticket: Option<Result<Secret, String>>) -> Vec<Check> {
    let (Some(web), Some(ticket)) = (desired.web(), ticket) else {
        return all(Outcome::Skipped, "the spec has no `web`");
    };
    let client = match ticket {
        Ok(ticket) => Console::new(&web.url, ticket).map_err(|e| e.to_string()),
        Err(why) => Err(format!("the ticket of the console: {why}")),
    };
    let client = match client {
        Ok(client) => client.with_deadlines(QUESTION, QUESTION),
        Err(why) => return all(Outcome::Unknown, &why),
    };
    // The console is asked one thing after the other: it calls itself for each login, and all its
    // clients share one budget of requests for that.
    let versions = match client.web_version().await {
        Ok(versions) => versions,
        Err(error) => return all(Outcome::Unknown, &versionless(&error)),
    };
    let answers = format!(
        "{} answers: TarsWeb {}, framework {}",
        web.url, versions.web_version, versions.framework_version
    );
    // A console that asks this machine for no login takes any ticket from it.
    let ((taken, told), (open, doors)) = match client.is_open(Door::NoTicket).await {
        Ok(true) => (
            (
                Outcome::Unknown,
                "this machine is let in without a ticket: whether the ticket is good cannot be seen from here".to_owned(),
            ),
            (
                Outcome::Warning,
                "the console asks this machine for no login (`enableLogin`, `ignoreIps` in its configuration)".to_owned(),
            ),
        ),
        Ok(false) => (taken(&client).await, doors(&client).await),
        Err(error) => {
            let silent = (Outcome::Unknown, error.to_string());
            (silent.clone(), silent)
        }
    };
    vec![
        line(LINES[0], Outcome::Ok, answers),
        line(LINES[1], taken, told),
        line(LINES[2], open, doors),
    ]
}

/// Why it does not say its versions. It asks AdminRegistry for the framework's, and where that is silent
/// it answers with a page.
fn versionless(error: &ConsoleError) -> String {
    match error {
        ConsoleError::Html { words, .. } if words.contains("call remote server timeout") => {
            format!(
                "AdminRegistry does not answer the console: check that it runs (`tarsops status`) ({error})"
            )
        }
        _ => error.to_string(),
    }
}

async fn taken(client: &Console) -> (Outcome, String) {
    let asked = Component::Tarsregistry.name();
    match client.server_nodes("tars", asked).await {
        Ok(_) => (Outcome::Ok, "the console accepts the ticket".to_owned()),
        Err(ConsoleError::NotLoggedIn { err_msg, .. }) => (
            Outcome::Drift,
            format!(
                "the console does not accept the ticket ({err_msg}): create a new token there, and store it where `web.ticket` says"
            ),
        ),
        Err(error) => (Outcome::Unknown, error.to_string()),
    }
}

async fn doors(client: &Console) -> (Outcome, String) {
    let mut open = Vec::new();
    for door in Door::FORGED {
        match client.is_open(door).await {
            Ok(true) => open.push(door.words()),
            Ok(false) => {}
            Err(error) => return (Outcome::Unknown, error.to_string()),
        }
    }
    if open.is_empty() {
        return (
            Outcome::Ok,
            "no client is let in without a ticket".to_owned(),
        );
    }
    let why = format!(
        "a client that sends {} is let in as administrator without a ticket: restrict its port to administrators",
        open.join(" or ")
    );
    (Outcome::Warning, why)
}

fn all(result: Outcome, text: &str) -> Vec<Check> {
    LINES
        .iter()
        .map(|name| line(name, result, text.to_owned()))
        .collect()
}

fn line(check: &str, result: Outcome, text: String) -> Check {
    Check {
        check: check.to_owned(),
        result,
        text,
        findings: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
