//! The deploy form of the management platform.

use tarsops_plan::action::{NewServers, Table};
use tarsops_transport::console::{AdapterForm, Console, DeployForm};

use crate::common::APPLICATION;

/// Fills in the platform's deploy form from the rows that should come; how many rows that were. The
/// form resets what is there, so it is asked for first.
///
/// # Errors
/// One lowercase clause.
pub(crate) async fn deploy(console: &Console, new: &NewServers) -> Result<u64, String> {
    let server = new
        .rows
        .iter()
        .find(|r| r.table == Table::TServerConf)
        .ok_or_else(|| "the form is of a whole server".to_owned())?;
    let text = |column| server.text(column).unwrap_or_default().to_owned();
    let (name, node) = (text("server_name"), new.node.to_string());
    let exists = console
        .server_exist(APPLICATION, &name, std::slice::from_ref(&node))
        .await
        .map_err(|e| e.to_string())?;
    if exists {
        return Err(format!(
            "the management platform has {name} on {node} already, and its form would reset it"
        ));
    }
    let mut adapters = Vec::new();
    for row in new.rows.iter().filter(|r| r.table == Table::TAdapterConf) {
        let servant = row.text("servant").unwrap_or_default();
        let endpoint = row.text("endpoint").unwrap_or_default();
        let after = |flag: &str| {
            let mut words = endpoint.split_whitespace();
            words.find(|word| *word == flag)?;
            words.next()
        };
        let number = |column| {
            let value = row.number(column).and_then(|n| u32::try_from(n).ok());
            value.ok_or_else(|| format!("the row of {servant} has no {column}"))
        };
        adapters.push(AdapterForm {
            node_name: node.clone(),
            obj_name: servant.rsplit('.').next().unwrap_or_default().to_owned(),
            bind_ip: after("-h").unwrap_or_default().to_owned(),
            port: after("-p")
                .and_then(|p| p.parse().ok())
                .ok_or_else(|| format!("the row of {servant} has no port"))?,
            port_type: "tcp".to_owned(),
            protocol: row.text("protocol").unwrap_or("tars").to_owned(),
            thread_num: number("thread_num")?,
            max_connections: number("max_connections")?,
            queuecap: number("queuecap")?,
            queuetimeout: number("queuetimeout")?,
        });
    }
    let form = DeployForm {
        application: APPLICATION.to_owned(),
        server_name: name,
        server_type: text("server_type"),
        template_name: text("template_name"),
        exe_path: text("exe_path"),
        operator: String::new(),
        developer: String::new(),
        adapters,
    };
    let done = console.deploy_server(&form).await;
    done.map_err(|e| e.to_string())?;
    Ok(new.rows.len() as u64)
}
