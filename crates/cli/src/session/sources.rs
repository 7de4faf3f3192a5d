//! The framework's sources as a session reaches them: servants, database, management platform.

use std::sync::Arc;
use std::time::Duration;

use tarsops_framework::{Client, Questions, Ways};
use tarsops_model::desired::{Database, Rpc, SecretRef};
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_transport::Connect;
use tarsops_transport::console::Console;
use tarsops_transport::mysql::{Access, Secret};
use tarsops_transport::rpc::Route;

use super::{Session, preflight, secrets};
use crate::failure::Result;
use crate::runs::now;
use crate::state::known_databases;

/// How long the management platform may take for one answer in a look.
const CONSOLE: Duration = Duration::from_secs(8);

impl Session {
    /// Checks that this machine has what the spec needs of it: programs, key files and secrets. To be
    /// called before the first look.
    ///
    /// # Errors
    /// What is missing (exit code 1); no host, database or platform was contacted.
    pub async fn ready(&self) -> Result<()> {
        let desired = self.desired();
        preflight::check_machine(desired)?;
        let so = "no host was contacted";
        if let (Some(database), Some(Err(why))) = (desired.database(), self.password().await) {
            let what = "the password of the database";
            return Err(preflight::without_secret(what, &database.password, why, so));
        }
        if let (Some(web), Some(Err(why))) = (desired.web(), self.ticket().await) {
            let what = "the ticket of the console";
            return Err(preflight::without_secret(what, &web.ticket, why, so));
        }
        Ok(())
    }

    /// The password of the database; none if the spec names none.
    async fn password(&self) -> Option<std::result::Result<Secret, String>> {
        let from = &self.desired().database()?.password;
        let read = self.password.get_or_init(|| self.secret(from));
        Some(read.await.clone())
    }

    /// The ticket of the management platform; none if the spec names none.
    pub async fn ticket(&self) -> Option<std::result::Result<Secret, String>> {
        let from = &self.desired().web()?.ticket;
        let read = self.ticket.get_or_init(|| self.secret(from));
        Some(read.await.clone())
    }

    async fn secret(&self, from: &SecretRef) -> std::result::Result<Secret, String> {
        let hidden = secrets::variables(self.desired());
        secrets::resolve(from, self.allow_commands, &hidden).await
    }

    /// The management platform; none if the spec names none, an error if it cannot be asked.
    pub async fn console(&self) -> Option<std::result::Result<Console, String>> {
        let web = self.desired().web()?;
        Some(match self.ticket().await? {
            Ok(ticket) => Console::new(&web.url, ticket).map_err(|e| e.to_string()),
            Err(why) => Err(format!("the ticket of the console: {why}")),
        })
    }

    /// Whether the management platform answers and takes the ticket, asked what touches the
    /// database alone: its other answers wait for AdminRegistry.
    pub(super) async fn console_state(&self) -> Observed<String> {
        let console = match self.console().await {
            None => return Observed::Absent,
            Some(Err(why)) => return Observed::Unknown(why),
            Some(Ok(console)) => console.with_deadlines(CONSOLE, CONSOLE),
        };
        match console.server_nodes("tars", "tarslog").await {
            Ok(_) => Observed::Present("it answers".to_owned()),
            Err(error) => Observed::Unknown(error.to_string()),
        }
    }

    /// Asks the framework itself; none where the spec allows no source to be asked.
    pub(super) async fn ask(&self, nodes: &[NodeName]) -> Option<Box<FrameworkFacts>> {
        let desired = self.desired();
        if desired.rpc == Rpc::Off && desired.database().is_none() {
            return None;
        }
        let ways = self.ways();
        let gone = desired
            .hosts()
            .filter(|(n, h)| h.state == NodeState::Gone && self.scope.has_node(n))
            .map(|(n, _)| n);
        let mut questions = Questions::of(desired, &nodes.iter().chain(gone).cloned().collect());
        questions.libraries = self.ask_libraries;
        let access = self.database().await;
        let facts = tarsops_framework::ask(
            desired,
            &questions,
            &ways,
            access,
            &now,
            self.try_default_login,
        )
        .await;
        Some(Box::new(facts))
    }

    /// How the framework's servants are reached.
    pub fn ways(&self) -> Ways {
        Ways {
            rpc: self.desired().rpc,
            connect: Arc::clone(&self.connector) as Arc<dyn Connect>,
            gone: self
                .desired()
                .hosts()
                .filter(|(_, h)| h.state == NodeState::Gone)
                .map(|(n, _)| n.clone())
                .collect(),
            master: self.desired().master.clone(),
        }
    }

    /// The framework, to read and to change it.
    pub async fn framework(&self) -> Client {
        let database = self.database().await.and_then(std::result::Result::ok);
        let console = self.console().await.and_then(std::result::Result::ok);
        Client::new(self.desired().clone(), self.ways(), database, console, now)
    }

    /// How the database is reached; none if the spec names none, an error if its password cannot be
    /// had.
    pub async fn database(&self) -> Option<std::result::Result<Access, String>> {
        let database = self.desired().database()?;
        let password = match self.password().await? {
            Ok(password) => password,
            Err(why) => return Some(Err(format!("the password of the database: {why}"))),
        };
        Some(Ok(self.login(database, database.user.clone(), password)))
    }

    /// How the database is reached with the account that installations in containers log in as; none if
    /// the spec has no container. Its password is read only when this is asked.
    ///
    /// # Errors
    /// The password cannot be read (exit code 1).
    pub async fn installer(&self) -> Result<Option<Access>> {
        let desired = self.desired();
        let (Some((_, container)), Some(database)) =
            (desired.containers().next(), desired.database())
        else {
            return Ok(None);
        };
        let account = &container.installer;
        let read = self
            .installer
            .get_or_init(|| self.secret(&account.password));
        let password = read.await.clone().map_err(|why| {
            let what = "the password of the installation in the containers";
            preflight::without_secret(what, &account.password, why, "nothing was changed")
        })?;
        Ok(Some(self.login(database, account.user.clone(), password)))
    }

    fn login(&self, database: &Database, user: String, password: Secret) -> Access {
        Access {
            address: database.address.clone(),
            tls: database.tls.clone(),
            fingerprint: database.fingerprint,
            known: known_databases(self.desired()),
            way: match &database.via {
                None => Route::Direct,
                Some(node) => Route::Through {
                    connect: Arc::clone(&self.connector) as Arc<dyn Connect>,
                    node: node.clone(),
                },
            },
            user,
            password,
        }
    }
}
