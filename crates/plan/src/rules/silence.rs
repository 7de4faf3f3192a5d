//! Sources that were asked and did not answer, as drift of the unknown kind. Nothing is concluded
//! from silence, so this is no rule.

use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::drift::{Drift, DriftKind};
use crate::input::PlanInput;

/// What could not be asked, resource by resource.
pub(super) fn unknowns(input: &PlanInput<'_>) -> Vec<Drift> {
    let Some(framework) = &input.inventory.framework else {
        return Vec::new();
    };
    let mut out = Vec::new();
    let mut unknown = |resource: ResourceId, why: String| {
        out.push(Drift {
            resource,
            kind: DriftKind::Unknown { why: vec![why] },
        });
    };
    if let Observed::Unknown(why) = &framework.database {
        unknown(ResourceId::Schema, why.clone());
    } else if let Observed::Unknown(why) = framework.rows() {
        unknown(ResourceId::Schema, why);
    } else if let Observed::Present(rows) = framework.rows() {
        for why in [
            rows.nodes.unknown(),
            rows.servers.unknown(),
            rows.registries.unknown(),
        ]
        .into_iter()
        .flatten()
        {
            unknown(ResourceId::Schema, why.to_owned());
        }
    }
    if let (Observed::Unknown(why), Some((node, _))) = (&framework.admin, input.desired.admin())
        && input.desired.rpc != Rpc::Off
    {
        let id = ResourceId::Server(Component::TarsAdminRegistry, node.clone());
        unknown(id, why.clone());
    }
    for asked in framework.servants.values() {
        // Silence is expected of a node that is not present.
        let present = input
            .desired
            .host(&asked.node)
            .is_some_and(|h| h.state == NodeState::Present);
        let meant = present
            && input.scope.has_node(&asked.node)
            && !framework.registries.contains_key(&asked.at);
        if let (Some(why), true) = (asked.answer.unknown(), meant) {
            let id = match asked.component {
                Component::Tarsnode => ResourceId::Agent(asked.node.clone()),
                component => ResourceId::Server(component, asked.node.clone()),
            };
            unknown(id, format!("{}: {why}", asked.servant));
        }
    }
    if input.scope.nodes.is_empty() {
        for (at, answer) in &framework.registries {
            if let Some(why) = answer.unknown()
                && input.desired.rpc != Rpc::Off
            {
                unknown(ResourceId::RegistryEndpoint(at.clone()), why.to_owned());
            }
        }
    }
    out
}
