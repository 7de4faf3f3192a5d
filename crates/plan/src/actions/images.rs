//! Before-images that changes leave on their hosts.

use std::collections::BTreeMap;

use tarsops_model::agent::AgentFacts;
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{RunId, StepName};
use tarsops_model::observed::Observed;

use super::change_host::HostChange;
use crate::crontab;

/// The before-images that changes left on their hosts, as far as the simulation needs them.
#[derive(Debug, Clone, Default)]
pub struct Images {
    texts: BTreeMap<Digest, String>,
    folders: BTreeMap<(RunId, StepName), AgentFacts>,
}

impl Images {
    /// Keeps what `change`, made by `step` of `run`, is about to replace.
    pub fn keep(
        &mut self,
        inventory: &Inventory,
        run: &RunId,
        step: &StepName,
        change: &HostChange,
    ) {
        if let Observed::Present(host) = inventory.host(&change.node)
            && let Observed::Present(text) = &host.crontab
        {
            self.text(&crontab::without_guard(text));
        }
        let Observed::Present(facts) = inventory.agent(&change.node) else {
            return;
        };
        for fact in facts.util.values().chain([&facts.conf]) {
            if let Observed::Present(fact) = fact {
                self.text(&fact.text);
            }
        }
        let key = (run.clone(), step.to_owned());
        self.folders.insert(key, facts.clone());
    }

    /// Keeps the text of a template that is about to be written.
    pub fn save_template(&mut self, inventory: &Inventory, name: &str) {
        if let Some(Observed::Present(rows)) = inventory.framework.as_ref().map(|f| f.rows())
            && let Observed::Present(row) = rows.template(name)
            && let Some(text) = &row.text
        {
            self.text(text.expose());
        }
    }

    pub(super) fn text_of(&self, digest: Digest) -> Observed<String> {
        match self.texts.get(&digest) {
            Some(text) => Observed::Present(text.clone()),
            None => Observed::Unknown("its before-image was not saved".to_owned()),
        }
    }

    /// tarsnode as it was before the change of a run and step.
    pub(super) fn folder(&self, saved: &(RunId, StepName)) -> Option<&AgentFacts> {
        self.folders.get(saved)
    }

    fn text(&mut self, text: &str) {
        self.texts
            .insert(Digest::of(text.as_bytes()), text.to_owned());
    }
}
