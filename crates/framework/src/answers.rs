//! What the answers of servants mean, as observed facts.

use tarsops_model::component::Component;
use tarsops_model::framework::{Answer, ServerView};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_transport::rpc::CallError;

use crate::calls::Admin;
use crate::common::APPLICATION;

pub(crate) fn answer(result: Result<(), CallError>, direct: bool) -> Answer {
    match result {
        Ok(()) => Answer::Answers,
        Err(CallError::Refused { .. }) => Answer::Refused,
        Err(CallError::UnknownServant { .. }) => Answer::NoServant,
        Err(
            e @ (CallError::Answered { .. }
            | CallError::Garbled { .. }
            | CallError::UnknownFunction { .. }),
        ) => Answer::Failed(e.to_string()),
        Err(
            e @ (CallError::NoAnswer {
                connected: true, ..
            }
            | CallError::Disconnected { tunnel: false, .. }),
        ) => Answer::Mute(e.to_string()),
        Err(
            e @ (CallError::NoAnswer {
                connected: false, ..
            }
            | CallError::Unreachable { .. }),
        ) if direct => Answer::Nobody(e.to_string()),
        Err(other) => Answer::Silent(other.to_string()),
    }
}

pub(crate) fn known<T>(result: Result<T, CallError>) -> Observed<T> {
    match result {
        Ok(value) => Observed::Present(value),
        Err(e) => unseen(&e),
    }
}

/// Why a word could not be had. What a servant answers with a code is often the text of an exception of
/// its own, which is for a trace.
pub(crate) fn unseen<T>(error: &CallError) -> Observed<T> {
    match error {
        CallError::Answered { function, code, .. } => {
            tracing::debug!("{error}");
            Observed::Unknown(format!("{function} answered with code {code}"))
        }
        other => Observed::Unknown(other.to_string()),
    }
}

/// Whether AdminRegistry reaches the node. For one whose connection is half open the call is never
/// answered, whatever its context; if AdminRegistry answers others meanwhile, that is a no.
pub(crate) async fn ping(admin: &Admin<'_>, node: &NodeName) -> Observed<bool> {
    match admin.ping_node(node.as_str()).await {
        Err(CallError::NoAnswer { .. }) if admin.version().await.is_ok() => {
            Observed::Present(false)
        }
        other => known(other),
    }
}

pub(crate) async fn view_of(
    admin: &Admin<'_>,
    component: Component,
    node: &NodeName,
    libraries: bool,
) -> Observed<ServerView> {
    let (name, node) = (component.name(), node.as_str());
    let state = match admin.server_state(APPLICATION, name, node).await {
        Ok(state) => state,
        Err(e) => return unseen(&e),
    };
    // Only a running process can tell, and one that is not there costs a time-out.
    let library = if libraries && state.present_state_in_node == "Active" {
        known(admin.library_version(APPLICATION, name, node).await)
    } else {
        Observed::Absent
    };
    Observed::Present(ServerView {
        setting: state.setting_state_in_reg,
        present: state.present_state_in_reg,
        in_node: state.present_state_in_node,
        pid: state.process_id,
        patch_version: state.patch_version,
        library,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_of_a_servant_is_not_repeated() {
        let thrown = CallError::Answered {
            function: "getServerState".to_owned(),
            code: 1001,
            text: "AdminRegistryImp::getServerState TarsNodeNotRegistryException".to_owned(),
        };
        let seen: Observed<()> = unseen(&thrown);
        assert_eq!(
            seen.unknown(),
            Some("getServerState answered with code 1001")
        );
        assert_eq!(known::<()>(Err(thrown)).unknown(), seen.unknown());
        // What we say ourselves is said.
        let silent = CallError::UnknownServant {
            at: "10.0.0.1:17890".to_owned(),
            servant: "tars.tarsregistry.QueryObj".to_owned(),
        };
        let text = silent.to_string();
        assert_eq!(unseen::<()>(&silent).unknown(), Some(text.as_str()));
    }
}
