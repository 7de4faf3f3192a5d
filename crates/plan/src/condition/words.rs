//! Conditions in words.

use std::fmt;

use super::Condition;

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine { .. } => f.write_str("it is the same machine"),
            Self::Folder { exists: true } => f.write_str("the folder is there"),
            Self::Folder { exists: false } => f.write_str("the folder is not there"),
            Self::File {
                path,
                digest: Some(d),
            } => write!(f, "{path} is {}", d.short()),
            Self::File { path, digest: None } => write!(f, "{path} is not there"),
            Self::Mode { path, mode } => write!(f, "{path} has mode {mode:o}"),
            Self::Crontab { .. } => f.write_str("the crontab has not changed"),
            Self::Unfinished { run: None } => f.write_str("there is no unfinished change"),
            Self::Unfinished { run: Some(r) } => write!(f, "a change of run {r} has not ended"),
            Self::Runs { nodeid, user, .. } => write!(f, "it runs as {user} with nodeid {nodeid}"),
            Self::Stopped => f.write_str("it does not run"),
            Self::Listens => f.write_str("its port listens"),
            Self::ScriptNodeid { nodeid } => write!(f, "util/execute.sh says nodeid {nodeid}"),
            Self::Conf { ip, .. } => write!(f, "the configuration names {ip} and the registries"),
            Self::LabelsSaved { labels: Some(_) } => f.write_str("it has saved labels of its row"),
            Self::LabelsSaved { labels: None } => f.write_str("it has no saved labels"),
            Self::Component { component, runs } => {
                write!(
                    f,
                    "{component} {}",
                    if *runs { "runs" } else { "does not run" }
                )
            }
            Self::Installed { component, there } => {
                write!(
                    f,
                    "{component} is {}there",
                    if *there { "" } else { "not " }
                )
            }
            Self::ServerRuns {
                component, user, ..
            } => write!(f, "{component} runs once, as {user}"),
            Self::ServerListens { component } => write!(f, "{component} listens"),
            Self::ServantsAnswer { component } => write!(f, "{component} answers"),
            Self::ServerActive { component } => {
                write!(f, "the database calls {component} active")
            }
            Self::ServerInNode { component } => write!(f, "its node calls {component} active"),
            Self::AnotherRegistry { but } => {
                write!(f, "a registry other than {but} answers")
            }
            Self::RegistryAnswers { registry } => write!(f, "the registry {registry} answers"),
            Self::RegistryListed { registry } => {
                write!(f, "the database lists the registry {registry}")
            }
            Self::Registered => f.write_str("the registry calls it active"),
            Self::ServersActive { servers } => {
                write!(f, "the registry calls its {} servers active", servers.len())
            }
            Self::AllServersActive { .. } => {
                f.write_str("the registry calls all its servers active")
            }
            Self::Connected => f.write_str("AdminRegistry reaches it"),
            Self::Unanswered => f.write_str("nothing answers for it"),
            Self::Forgotten { .. } => f.write_str("the database has no rows of it"),
            Self::RegistryDead { registry } => write!(f, "the registry {registry} is dead"),
            Self::RegistryLeft => f.write_str("a registry of the spec answers"),
            Self::RegistryRowsDeleted { registry } => {
                write!(f, "the database has no rows of the registry {registry}")
            }
            Self::RowsAbsent { rows } => {
                write!(f, "the database has none of its {} new rows", rows.len())
            }
            Self::RowsThere { rows } => {
                write!(f, "the database has its {} new rows", rows.len())
            }
            Self::ContainerIs { .. } => f.write_str("the container is the same"),
            Self::ContainerRuns { image: None, .. } => f.write_str("another container runs"),
            Self::ContainerRuns {
                image: Some(image), ..
            } => write!(f, "another container runs, of the image {}", image.short()),
            Self::ContainerRetired { .. } => {
                f.write_str("the container that it goes back to is there")
            }
            Self::ImageThere { id } => write!(f, "the engine has the image {}", id.short()),
            Self::NoRebuild { .. } => {
                f.write_str("no start of the container would drop the databases")
            }
            Self::DatabaseRead => f.write_str("db_tars can be read"),
            Self::Column {
                table,
                column,
                there,
            } => {
                let has = if *there { "has" } else { "has not" };
                write!(f, "{table} {has} the column {column}")
            }
            Self::Template {
                name,
                digest: Some(d),
            } => write!(f, "the template {name} is {}", d.short()),
            Self::Template { name, digest: None } => {
                write!(f, "the template {name} is not there")
            }
            Self::Owner { user } => write!(f, "the folder belongs to {user}"),
            Self::Watched { .. } => f.write_str("cron watches it"),
            Self::Unwatched { .. } => f.write_str("cron does not watch it"),
        }
    }
}
