//! The tables of the framework's database, as they were read.

use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, FrameworkFacts, Rows, ServerRow};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use crate::input::PlanInput;

/// What the framework said, if it was asked.
pub(crate) fn framework<'a>(input: &PlanInput<'a>) -> Option<&'a FrameworkFacts> {
    input.inventory.framework.as_deref()
}

/// The rows, if all tables that count could be read; why not otherwise.
pub(crate) fn readable<'a>(
    input: &PlanInput<'a>,
) -> Result<(&'a Rows, &'a [ServerRow], &'a [AdapterRow]), String> {
    let why = |seen: Option<&str>| seen.unwrap_or("it was not read").to_owned();
    let Some(framework) = framework(input) else {
        return Err("the database was not read".to_owned());
    };
    let rows = match framework.rows() {
        Observed::Present(rows) => rows,
        other => return Err(why(other.unknown())),
    };
    // Whose database it is, the rows of registries and nodes tell.
    if let Some(why) = rows.registries.unknown().or_else(|| rows.nodes.unknown()) {
        return Err(why.to_owned());
    }
    match (&rows.servers, &rows.adapters) {
        (Observed::Present(servers), Observed::Present(adapters)) => {
            Ok((rows, servers.as_slice(), adapters.as_slice()))
        }
        (servers, adapters) => Err(why(servers.unknown().or_else(|| adapters.unknown()))),
    }
}

/// The row of a component of the framework on a node.
pub(crate) fn row<'a>(
    servers: &'a [ServerRow],
    component: Component,
    node: &NodeName,
) -> Option<&'a ServerRow> {
    servers.iter().find(|r| {
        r.application == "tars" && r.server == component.name() && r.node == node.as_str()
    })
}
