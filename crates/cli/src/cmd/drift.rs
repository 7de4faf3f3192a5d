//! `drift`: does the cluster differ from the spec? Made for cron: quiet when it does not.

use std::time::{Duration, Instant};

use tarsops_model::display::Text;
use tarsops_model::host::LeaseFacts;
use tarsops_model::inventory::Facts;
use tarsops_model::observed::Observed;
use tarsops_plan::render;

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::Result;
use crate::output::{print, publish, say};
use crate::progress::Bar;
use crate::session::{Session, lease_in, preflight};
use crate::style::style;

/// The lease that somebody holds now, where the master answers.
async fn lease_on_master(session: &Session) -> Option<LeaseFacts> {
    let master = session.desired().master.clone();
    lease_in(&session.look_at(&[master], &Bar::quiet()).await)
}

/// Waits until nobody is seen to hold the lease, or until the time is over. Quiet, as cron mails each
/// word.
async fn wait_for_end(session: &Session, until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(POLL)).await;
        if Instant::now() >= until || lease_on_master(session).await.is_none() {
            return;
        }
    }
}

/// How often the master is asked whether an apply has ended.
const POLL: Duration = Duration::from_secs(5);

/// Looks, and tells only what differs. An apply that is in progress is waited for, so long at most.
pub async fn run(global: &Global, look: &Look, strict: bool, wait: Duration) -> Result {
    let mut session = Session::open(global, look)?;
    super::validate::without_package(global, &session.loaded)?;
    session.ready().await?;
    let until = Instant::now() + wait;
    let (report, plan, code, busy) = loop {
        let report = session.look(&Bar::new("looking at")).await;
        preflight::check_look(&report)?;
        let plan = super::plan::make(&mut session, &report).await?;
        let mut code = exit::of_plan(&plan);
        if strict && !plan.extra.is_empty() {
            code = exit::worst(&[code, exit::PENDING]);
        }
        let mut busy = lease_in(&report);
        if busy.is_none() && code != exit::OK {
            // An apply may have begun meanwhile, and `--on` may leave the master out.
            busy = lease_on_master(&session).await;
        }
        if busy.is_none() || Instant::now() >= until {
            break (report, plan, code, busy);
        }
        wait_for_end(&session, until).await;
    };
    let remembered = report
        .inventory
        .resources
        .values()
        .any(|o| matches!(o, Observed::Present(Facts::Host(h)) if h.digests_remembered));
    let json = || -> Result<String> {
        let mut document: serde_json::Value = serde_json::to_value(&*plan)
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
            "an apply is in progress: {} (run {}); what differs now may be about to change",
            lease.holder, lease.run
        ));
        if global.json || global.json_into.is_some() {
            publish(global, &json()?, &text)?;
        } else {
            print(&text);
        }
        session.close().await;
        return Ok(exit::LEASE);
    }
    if global.json || global.json_into.is_some() {
        publish(global, &json()?, "")?;
    }
    if !global.json && code != exit::OK {
        super::plan::explain_silence(&report);
        let text = if strict {
            render::strict_text(&plan, style(global))
        } else {
            render::text(&plan, style(global))
        };
        print(text);
        if remembered {
            say(
                "digests of unchanged files were remembered from an earlier look (--rehash reads them again)",
            );
        }
        super::plan::lock_hint(&session, &plan, &report);
    }
    session.close().await;
    Ok(code)
}
