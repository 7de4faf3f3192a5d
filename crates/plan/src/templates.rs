//! Templates that a server would not start with.

use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::observed::Observed;

use crate::input::PlanInput;
use crate::report::Blocked;
use crate::tables::framework;

/// A template of a server, or one above it, that is not there or that Tars could not read: its
/// tarsnode would make a configuration of it with which the server does not start. `row` is what its
/// row names now.
pub(crate) fn unreadable_template(
    input: &PlanInput<'_>,
    component: Component,
    row: Option<String>,
    server: &Server,
) -> Option<Blocked> {
    let rows = framework(input)?.rows();
    let rows = rows.present()?;
    let wanted = server.rows.template().map(str::to_owned);
    let mut name = wanted
        .or(row)
        .unwrap_or_else(|| format!("tars.{component}"));
    // A chain longer than this goes round in a circle.
    for _ in 0..8 {
        let row = match rows.template(&name) {
            Observed::Present(row) => row,
            Observed::Absent if is_missed(input, component, &name, rows) => {
                return Some(Blocked::NoTemplate { name });
            }
            _ => return None,
        };
        if let Some(text) = &row.text
            && let Err(e) = tarsops_conf::Document::parse(text.expose())
        {
            return Some(Blocked::Unreadable {
                file: format!("the template {name}"),
                why: e.to_string(),
            });
        }
        name = row.parent.clone().filter(|p| *p != name)?;
    }
    None
}

/// Whether a template that is not there keeps a server from being published: no release in the lock
/// file brings it, or a narrowed plan leaves it out. A table without any row was not filled yet, and
/// proves nothing.
fn is_missed(
    input: &PlanInput<'_>,
    component: Component,
    name: &str,
    rows: &tarsops_model::framework::Rows,
) -> bool {
    let mut releases = input.catalog.templates.values();
    let whole = input.scope.nodes.is_empty() && input.scope.components.is_empty();
    component.is_basic()
        && rows.templates.present().is_some_and(|all| !all.is_empty())
        && !(whole && releases.any(|shipped| shipped.contains_key(name)))
}
