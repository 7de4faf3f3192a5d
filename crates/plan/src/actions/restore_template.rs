//! A template as a run found it.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{TemplateRow, parent_of};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::template;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::input::Scope;
use crate::inventory_edit::with_rows;
use crate::stage::{ChangeKind, Stage};

/// Restores a template as a run found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTemplate {
    /// Its name.
    pub name: String,
    /// The run that saved the row.
    pub run: RunId,
    /// The step that saved it.
    pub step: StepName,
    /// sha256 of the text that the run left, which must still be there; none for no such row.
    pub now: Option<Digest>,
    /// sha256 of the text that is restored; none if the row is deleted.
    pub before: Option<Digest>,
}

impl ActionKind for RestoreTemplate {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Template(self.name.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        [ChangeKind::Add, ChangeKind::Change, ChangeKind::Remove]
            .map(|sign| (Stage::Templates, sign))
            .to_vec()
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::Restore
    }

    fn effect(&self, inventory: &mut Inventory, images: &Images) {
        with_rows(inventory, |rows| {
            let parent = rows
                .template(&self.name)
                .present()
                .and_then(|row| row.parent.clone())
                .unwrap_or_else(|| parent_of(&self.name).to_owned());
            let Observed::Present(all) = &mut rows.templates else {
                return;
            };
            all.retain(|r| r.name != self.name);
            if let Some(digest) = self.before
                && let Observed::Present(text) = images.text_of(digest)
            {
                all.push(TemplateRow::with_text(&self.name, &parent, &text));
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        template::check_whole(step, say);
        if !template::expects(step, &self.name, self.now, self.before) {
            say("it does not check the text that it restores");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}

    fn check_rollback(&self, step: &StepView<'_>, run: &RunId, say: &mut dyn FnMut(&str)) {
        let scope = Scope::default();
        self.check(
            &StepView {
                scope: &scope,
                ..*step
            },
            say,
        );
        if self.run != *run {
            say("it uses what another run saved");
        }
    }
}
