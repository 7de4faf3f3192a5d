//! The form of each action in saved plans: what one release has saved, another one reads.

use super::{Action, Undo, VARIANTS};

/// Each action as a plan of the format 2 has it.
const ACTIONS: [&str; 17] = [
    r#"{"do":"recover","node":"10.0.0.1","run":"1764500000000-00000a","step":"x"}"#,
    r#"{"do":"recover","node":"10.0.0.1","run":"1764500000000-00000a","step":"x","accept":true}"#,
    r#"{"do":"change-host","component":"tarsconfig","node":"10.0.0.1","summary":"restart it","operation":{"restart":{"rows":[]}},"tars_path":"/usr/local/app/tars","run_user":"tars","ip":"10.0.0.1","port":{"before":19385,"after":19385},"ran":true,"machine_id":"m"}"#,
    r#"{"do":"delete-node-rows","node":"10.0.0.1","ip":"10.0.0.1"}"#,
    r#"{"do":"delete-registry-rows","registry":"10.0.0.1:17890","node":"10.0.0.1"}"#,
    r#"{"do":"delete-server-rows","node":"10.0.0.1","servers":["tarsconfig","tarspatch"]}"#,
    r#"{"do":"backup","databases":["db_tars"]}"#,
    r#"{"do":"add-column","table":"t_server_conf","column":"c","definition":"int(11) DEFAULT 0"}"#,
    r#"{"do":"merge-template","name":"tars.default","release":"3.0.20","before":"0000000000000000000000000000000000000000000000000000000000000000","after":"0000000000000000000000000000000000000000000000000000000000000001","edits":[]}"#,
    r#"{"do":"add-template","name":"tars.new","parent":"tars.default","release":"3.0.20","text":"<tars>\n</tars>\n"}"#,
    r#"{"do":"restore-template","name":"tars.new","run":"1764500000000-00000a","step":"x","now":null,"before":null}"#,
    r#"{"do":"restore-labels","node":"10.0.0.1","labels":{"label":"a","group_id":3}}"#,
    r#"{"do":"add-server-rows","node":"10.0.0.1","rows":[{"table":"t_server_conf","columns":[["application",{"text":"tars"}],["posttime","now"]]}]}"#,
    r#"{"do":"add-server-rows","node":"10.0.0.1","rows":[],"via":"console"}"#,
    r#"{"do":"remove-server-rows","node":"10.0.0.1","rows":[]}"#,
    r#"{"do":"start-server","component":"tarsnotify","node":"10.0.0.1"}"#,
    r#"{"do":"stop-server","component":"tarsnotify","node":"10.0.0.1"}"#,
];

#[test]
fn each_action_keeps_its_form() {
    for text in ACTIONS {
        let action: Action = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(serde_json::to_string(&action).unwrap(), text);
        for undo in [
            format!(r#"{{"undo":"inverse","action":{text}}}"#),
            r#"{"undo":"restore"}"#.to_owned(),
            r#"{"undo":"irreversible","reason":"it stays"}"#.to_owned(),
        ] {
            let read: Undo = serde_json::from_str(&undo).unwrap_or_else(|e| panic!("{undo}: {e}"));
            assert_eq!(serde_json::to_string(&read).unwrap(), undo);
        }
    }
}

#[test]
fn each_action_has_its_form_here() {
    let named = |variant: &str| {
        let with_dashes = variant.chars().enumerate().map(|(at, c)| match c {
            c if c.is_uppercase() && at > 0 => format!("-{}", c.to_ascii_lowercase()),
            c => c.to_ascii_lowercase().to_string(),
        });
        format!(r#"{{"do":"{}","#, with_dashes.collect::<String>())
    };
    for variant in VARIANTS {
        let start = named(variant);
        assert!(ACTIONS.iter().any(|a| a.starts_with(&start)), "{start}");
    }
}
