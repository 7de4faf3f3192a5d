//! Nodes, what was reported, and templates.

use std::sync::Arc;

use serde_json::{Value, json};
use tarsops_wire::Writer;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::field;

use super::State;
use super::ask::{Answer, Ask, Fault, text};
use super::packages::page;
use super::servers::place;
use super::tables::{Object, TEMPLATES};

const NODES: &str = "id, node_name, node_obj, endpoint_ip, endpoint_port, data_dir, load_avg1, \
     load_avg5, load_avg15, DATE_FORMAT(last_reg_time, '%Y-%m-%dT%H:%i:%s.000Z') AS last_reg_time, \
     DATE_FORMAT(last_heartbeat, '%Y-%m-%dT%H:%i:%s.000Z') AS last_heartbeat, setting_state, \
     present_state, tars_version, template_name, \
     DATE_FORMAT(modify_time, '%Y-%m-%dT%H:%i:%s.000Z') AS modify_time, label, group_id";

impl State {
    /// The rows, with the last sign of life as tarsAdminRegistry has it, or as the table does where
    /// that is silent.
    pub(super) async fn nodes(self: &Arc<Self>, ask: &Ask) -> Answer {
        let like = format!("%{}%", ask.some("node_name").unwrap_or_default());
        let query = format!(
            "SELECT {NODES} FROM t_node_info WHERE node_name LIKE ? ORDER BY node_name DESC"
        );
        let rows = self.tables.raw(&query, vec![like.into()]).await?;
        let count = rows.len();
        let mut rows = page(rows, ask);
        let name = |row: &Object| row.get("node_name").map_or(String::new(), text);
        let names: Vec<String> = rows.iter().map(name).collect();
        let mut arguments = Writer::new();
        arguments.put(1, &names);
        let answer = self.admin("getNodeList", arguments.finish()).await;
        let seen = answer
            .ok()
            .and_then(|answer| field::<Pairs<String, String>>(&answer, 2).ok().flatten());
        if let Some(seen) = seen {
            for row in &mut rows {
                let heard = seen.get(name(row).as_str()).cloned();
                match heard {
                    Some(heard) => {
                        if heard.is_empty() {
                            row.insert("present_state".into(), "inactive".into());
                        }
                        row.insert("last_heartbeat".into(), heard.into());
                    }
                    None => drop(row.remove("last_heartbeat")),
                }
            }
        }
        Ok(json!({ "count": count, "rows": rows }))
    }

    pub(super) async fn check_node(self: &Arc<Self>, ask: &Ask) -> Answer {
        let said = self.ping(&ask.text("node_name")).await;
        Ok(said.map_or(Value::Bool(false), Value::String))
    }

    /// What was reported of the servers that have a row, newest first.
    pub(super) async fn notices(&self, ask: &Ask) -> Answer {
        let tree = ask.text("tree_node_id");
        let (application, server) = place(&tree);
        let query = "SELECT DATE_FORMAT(n.notifytime, '%Y-%m-%d %H:%i:%s') AS notifytime, \
             n.server_id, n.thread_id, n.command, n.result FROM t_server_notifys AS n \
             JOIN t_server_conf AS s ON n.server_id = \
             CONCAT(s.application, '.', s.server_name, '_', s.node_name) \
             WHERE s.application = ? AND (s.server_name = ? OR ? = '') ORDER BY n.id DESC";
        let server = server.unwrap_or_default();
        let values = vec![
            application.unwrap_or_default().into(),
            server.into(),
            server.into(),
        ];
        let rows = self.tables.raw(query, values).await?;
        let count = rows.len();
        Ok(json!({ "count": count, "rows": page(rows, ask) }))
    }

    /// Templates whose names contain what was asked for.
    pub(super) async fn templates(&self, ask: &Ask) -> Answer {
        let like = |name: &str| format!("%{}%", ask.some(name).unwrap_or_default());
        let query = format!(
            "SELECT {TEMPLATES} FROM t_profile_template \
             WHERE template_name LIKE ? AND parents_name LIKE ? ORDER BY id"
        );
        let values = vec![like("template_name").into(), like("parents_name").into()];
        Ok(json!(self.tables.raw(&query, values).await?))
    }

    async fn template_where(&self, column: &str, is: &str) -> Result<Option<Object>, Fault> {
        let query = format!("SELECT {TEMPLATES} FROM t_profile_template WHERE {column} = ?");
        let rows = self.tables.raw(&query, vec![is.into()]).await?;
        Ok(rows.into_iter().next())
    }

    pub(super) async fn template(&self, ask: &Ask) -> Answer {
        let name = ask.text("template_name");
        let row = self.template_where("template_name", &name).await?;
        Ok(Value::Object(row.unwrap_or_default()))
    }

    pub(super) async fn add_template(&self, ask: &Ask) -> Answer {
        let names = ["template_name", "parents_name", "profile"];
        let values = names.map(|name| ask.text(name).into()).to_vec();
        let statement = "INSERT INTO t_profile_template (template_name, parents_name, profile, \
             posttime, lastuser) VALUES (?, ?, ?, NOW(), '')";
        self.tables.execute(statement, values).await?;
        self.template(ask).await
    }

    /// Whether servers have the template.
    async fn is_used(&self, template: &str) -> Result<bool, Fault> {
        let query = "SELECT id FROM t_server_conf WHERE template_name = ? LIMIT 1";
        let rows = self.tables.raw(query, vec![template.into()]).await?;
        Ok(!rows.is_empty())
    }

    pub(super) async fn update_template(&self, ask: &Ask) -> Answer {
        let (id, name, parent) = (
            ask.text("id"),
            ask.text("template_name"),
            ask.text("parents_name"),
        );
        let old = self.template_where("id", &id).await?.ok_or(Fault::System)?;
        let old = old.get("template_name").map_or(String::new(), text);
        let renamed = !old.eq_ignore_ascii_case(&name);
        let known = self.template_where("template_name", &parent).await?;
        if known.is_none() || (renamed && self.is_used(&old).await?) {
            return Err(Fault::System);
        }
        let values = vec![
            name.into(),
            parent.into(),
            ask.text("profile").into(),
            id.as_str().into(),
        ];
        let statement = "UPDATE t_profile_template SET template_name = ?, parents_name = ?, \
             profile = ?, posttime = NOW() WHERE id = ?";
        self.tables.execute(statement, values).await?;
        let row = self.template_where("id", &id).await?;
        row.map(Value::Object).ok_or(Fault::System)
    }

    pub(super) async fn delete_template(&self, ask: &Ask) -> Answer {
        let id = ask.text("id");
        let row = self.template_where("id", &id).await?.ok_or(Fault::System)?;
        let name = row.get("template_name").map_or(String::new(), text);
        if self.is_used(&name).await? {
            return Err(Fault::System);
        }
        let statement = "DELETE FROM t_profile_template WHERE id = ?";
        self.tables
            .execute(statement, vec![id.as_str().into()])
            .await?;
        Ok(json!([id]))
    }
}
