//! Where the framework lies on a host of which nothing is known yet.

use std::net::IpAddr;
use std::time::Duration;

use tarsops_model::names::{AbsPath, Endpoint, NodeName, UserName};
use tarsops_transport::script::Script;
use tarsops_transport::{Bounds, Fault, FaultKind, Remote};

/// Most tarsnodes that one host may report.
const MOST: usize = 1000;

/// A tarsnode that runs on a host, as its command line and its configuration have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAgent {
    /// Folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The value of `--nodeid=`, if that is a name.
    pub nodeid: Option<NodeName>,
    /// User of the process.
    pub user: Option<UserName>,
    /// Whether it has another root than the host: that of a container.
    pub is_inside: bool,
    /// `localip` of its configuration, if that is an address.
    pub localip: Option<IpAddr>,
    /// Where the registry's configuration there says that the database listens, and as whom it logs in.
    pub database: Option<(Endpoint, String)>,
}

/// Asks a connected host which tarsnodes run there; only those of `node` where some are.
///
/// # Errors
/// A [`Fault`] if the host could not be used, or its answer is none.
pub async fn find_agents(
    remote: &dyn Remote,
    node: &NodeName,
    deadline: Duration,
) -> Result<Vec<FoundAgent>, Fault> {
    let nonce = super::nonce();
    let mut script = Script::new();
    script
        .set("F_NODE", node.as_str())
        .set("F_NONCE", &nonce)
        .part(include_str!("find.sh"));
    let output = remote
        .ask(&script.into_text(), Bounds::new(Bounds::LOOK, deadline))
        .await?;
    read(&String::from_utf8_lossy(&output.stdout), &nonce).ok_or_else(|| {
        Fault::new(
            FaultKind::Garbled,
            "its answer about running tarsnodes cannot be read",
        )
    })
}

/// Reads the answer; none where it was cut. What a process says and nobody could be called is left out.
fn read(text: &str, nonce: &str) -> Option<Vec<FoundAgent>> {
    let (_, rest) = text.split_once(&format!("found {nonce}\n"))?;
    let (lines, _) = rest.split_once(&format!("end {nonce}\n"))?;
    let mut out = Vec::new();
    for line in lines.lines().take(MOST) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            path,
            nodeid,
            user,
            place,
            localip,
            db_host,
            db_port,
            db_user,
        ] = fields[..]
        else {
            continue;
        };
        let Ok(install_path) = AbsPath::new(path) else {
            continue;
        };
        out.push(FoundAgent {
            install_path,
            nodeid: NodeName::new(nodeid).ok(),
            user: UserName::new(user).ok(),
            is_inside: place == "inside",
            localip: localip.trim().parse().ok(),
            database: database(db_host.trim(), db_port.trim(), db_user.trim()),
        });
    }
    Some(out)
}

/// The database of a configuration whose placeholders are filled; port 3306 where it names none.
fn database(host: &str, port: &str, user: &str) -> Option<(Endpoint, String)> {
    let port = if port.is_empty() { "3306" } else { port };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let at = format!("{host}:{port}").parse().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_user = !user.is_empty() && user.len() <= 80 && user.chars().all(plain);
    (is_user && host != "db.tars.com").then(|| (at, user.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_answer_is_read_as_far_as_it_makes_sense() {
        let text = "Welcome!\nfound n0\n\
             /usr/local/app\t10.0.0.1\troot\town\t10.0.0.1\t10.0.0.9\t\ttarsAdmin\n\
             /data/app\t\tno such user!\tinside\tlocalip.tars.com\tdb.tars.com\t3306\ttars\n\
             relative\t10.0.0.1\troot\town\t\t\t\t\n\
             one field\n\
             end n0\n";
        let found = read(text, "n0").unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].install_path.as_str(), "/usr/local/app");
        assert_eq!(found[0].nodeid.as_ref().unwrap().as_str(), "10.0.0.1");
        assert_eq!(found[0].localip, Some("10.0.0.1".parse().unwrap()));
        assert!(!found[0].is_inside && found[1].is_inside);
        let database = Some(("10.0.0.9:3306".parse().unwrap(), "tarsAdmin".to_owned()));
        assert_eq!((&found[0].database, &found[1].database), (&database, &None));
        assert_eq!((found[1].localip, &found[1].user), (None, &None));
        assert_eq!(read("found n0\n", "n0"), None, "it was cut");
        assert_eq!(read(text, "n1"), None);
    }
}
