//! `drift`: does the cluster differ from the spec? Made for cron: quiet when it does not.

use tarsops_model::display::Text;
use tarsops_model::inventory::Facts;
use tarsops_model::observed::Observed;
use tarsops_plan::render;

use crate::args::{Global, Look};
use crate::context::{Context, print, publish, say, style};
use crate::exit;
use crate::failure::Result;
use crate::preflight;
use crate::progress::Bar;

/// Looks, and tells only what differs.
pub async fn run(global: &Global, look: &Look, strict: bool) -> Result {
    let mut context = Context::open(global, look)?;
    context.ready().await?;
    let report = context.look(&Bar::new("looking at")).await;
    preflight::check_look(&report)?;
    let plan = super::plan::make(&mut context, &report).await?;
    let busy = report.inventory.resources.values().find_map(|o| match o {
        Observed::Present(Facts::Host(h)) => h.lease.clone().filter(|l| l.is_held()),
        _ => None,
    });
    let code = exit::of_plan(&plan);
    let code = if strict && !plan.extra.is_empty() {
        exit::worst(&[code, exit::PENDING])
    } else {
        code
    };
    let remembered = report
        .inventory
        .resources
        .values()
        .any(|o| matches!(o, Observed::Present(Facts::Host(h)) if h.digests_remembered));
    let json = || -> Result<String> {
        let mut document: serde_json::Value = serde_json::to_value(&plan)
            .map_err(|e| crate::failure::Failure::new("could not write the report").because(&e))?;
        if let Some(map) = document.as_object_mut() {
            map.insert("format".into(), "tarsops.drift/1".into());
            map.insert("in_sync".into(), (code == exit::OK).into());
            map.insert("digests_remembered".into(), remembered.into());
            map.remove("gates");
            map.remove("steps");
        }
        Ok(format!("{document:#}\n"))
    };
    if let Some(lease) = busy {
        let mut text = Text::new();
        text.line(format_args!(
            "an apply is under way: {} (run {}); what differs now may be about to change",
            lease.holder, lease.run
        ));
        if global.json || global.json_into.is_some() {
            publish(global, &json()?, &text)?;
        } else {
            print(&text);
        }
        context.close().await;
        return Ok(exit::LEASE);
    }
    if global.json || global.json_into.is_some() {
        publish(global, &json()?, "")?;
    }
    if !global.json && code != exit::OK {
        super::plan::explain_silence(&report);
        print(render::text(&plan, style(global)));
        if remembered {
            say(
                "digests of unchanged files were remembered from an earlier look (--rehash reads them anew)",
            );
        }
        super::plan::lock_hint(&context, &plan);
    }
    context.close().await;
    Ok(code)
}
