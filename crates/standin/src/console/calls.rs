//! The calls by their names, with what is checked before.

use std::sync::Arc;

use hyper::Method;

use super::State;
use super::ask::{Answer, Ask, Fault};

/// What is checked before a call.
pub(super) struct Rule {
    name: &'static str,
    pub(super) methods: &'static [Method],
    /// Parameters that must be there and not be empty.
    pub(super) required: &'static [&'static str],
    /// Whether only parameters of a list are seen.
    pub(super) listed: bool,
}

const fn get(name: &'static str, required: &'static [&'static str]) -> Rule {
    Rule {
        name,
        methods: &[Method::GET, Method::HEAD],
        required,
        listed: false,
    }
}

const fn post(name: &'static str, required: &'static [&'static str]) -> Rule {
    Rule {
        name,
        methods: &[Method::POST],
        required,
        listed: false,
    }
}

/// The calls that there are.
static RULES: [Rule; 24] = [
    get("get_login_uid", &[]),
    post("server_exist", &["application", "server_name"]),
    get("server_list", &["tree_node_id"]),
    get("server_nodes", &["application", "server_name"]),
    post("server_state", &[]),
    post("deploy_server", &[]),
    Rule {
        name: "update_server",
        methods: &[Method::POST],
        required: &["id"],
        listed: true,
    },
    get("adapter_conf_list", &["id"]),
    get("all_adapter_conf_list", &["application", "server_name"]),
    get("send_command", &["server_ids", "command"]),
    Rule {
        name: "upload_patch_package",
        methods: &[Method::POST, Method::PUT],
        required: &["application"],
        listed: false,
    },
    get("server_patch_list", &["application"]),
    post("set_patch_package_default", &[]),
    post("delete_patch_package", &[]),
    post("add_task", &[]),
    get("task", &["task_no"]),
    get("server_notify_list", &["tree_node_id"]),
    get("list_tars_node", &[]),
    get("check_tars_node", &["node_name"]),
    get("query_profile_template", &[]),
    get("profile_template", &["template_name"]),
    post(
        "add_profile_template",
        &["template_name", "parents_name", "profile"],
    ),
    post(
        "update_profile_template",
        &["id", "template_name", "parents_name", "profile"],
    ),
    get("delete_profile_template", &["id"]),
];

/// What is checked before the call of this name; none where there is none.
pub(super) fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Makes a call.
pub(super) async fn call(state: &Arc<State>, name: &str, ask: &Ask) -> Answer {
    match name {
        "get_login_uid" => Ok(serde_json::json!({ "uid": super::UID })),
        "server_exist" => state.server_exist(ask).await,
        "server_list" => state.server_list(ask).await,
        "server_nodes" => state.server_nodes(ask).await,
        "server_state" => state.server_state(ask).await,
        "deploy_server" => state.deploy_server(ask).await,
        "update_server" => state.update_server(ask).await,
        "adapter_conf_list" => state.adapters_of_id(ask).await,
        "all_adapter_conf_list" => state.adapters_of_name(ask).await,
        "send_command" => state.send_command(ask).await,
        "upload_patch_package" => state.upload(ask).await,
        "server_patch_list" => state.patches(ask).await,
        "set_patch_package_default" => state.set_default(ask).await,
        "delete_patch_package" => state.delete_patch(ask).await,
        "add_task" => state.add_task(ask).await,
        "task" => state.task(ask).await,
        "server_notify_list" => state.notices(ask).await,
        "list_tars_node" => state.nodes(ask).await,
        "check_tars_node" => state.check_node(ask).await,
        "query_profile_template" => state.templates(ask).await,
        "profile_template" => state.template(ask).await,
        "add_profile_template" => state.add_template(ask).await,
        "update_profile_template" => state.update_template(ask).await,
        "delete_profile_template" => state.delete_template(ask).await,
        _ => Err(Fault::System),
    }
}
