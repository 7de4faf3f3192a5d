//! A change of a template by its meaning.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_conf::Document;
use tarsops_conf::merge::{Edit, Value, apply, is_credential, is_shipped};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::TemplateRow;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::template;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::with_rows;
use crate::stage::{ChangeKind, Stage};

/// Changes keys of a template. No value of the live text is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeTemplate {
    /// The name of the template.
    pub name: String,
    /// The release that ships the new keys.
    pub release: Version,
    /// sha256 of the text that the edits were made for.
    pub before: Digest,
    /// sha256 of the text that they make of it.
    pub after: Digest,
    /// What is done, in this order.
    pub edits: Vec<Edit>,
}

impl ActionKind for MergeTemplate {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Template(self.name.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Templates, ChangeKind::Change)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes {
            template: Some(self.release),
            ..Writes::default()
        }
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::Restore
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        with_rows(inventory, |rows| {
            let Observed::Present(all) = &mut rows.templates else {
                return;
            };
            for row in all.iter_mut().filter(|r| r.name == self.name) {
                let text = row.text.as_ref().map(|t| t.expose().to_owned());
                let live = Document::parse(&text.unwrap_or_default());
                if let Ok(after) = live.and_then(|live| apply(&live, &self.edits)) {
                    let parent = row.parent.clone().unwrap_or_default();
                    *row = TemplateRow::with_text(&self.name, &parent, &after.to_string());
                }
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        template::check_whole(step, say);
        if !template::expects(step, &self.name, Some(self.before), Some(self.after)) {
            say("it does not check the text that it changes");
        }
        if self.edits.iter().any(writes_credential) {
            say("it has a credential in it");
        }
    }

    fn check_pins(&self, input: &PlanInput<'_>, say: &mut dyn FnMut(&str)) {
        let shipped = input.catalog.templates.get(&self.release);
        let Some(text) = shipped.and_then(|all| all.get(&self.name)) else {
            return say("no pinned release has the template");
        };
        if !self.is_shipped_as(text) {
            say("it writes what the release does not ship");
        }
        if !self.gives_its_text(input) {
            say("its edits do not give the announced text");
        }
    }
}

impl MergeTemplate {
    /// Whether every value that is written stands in the release's text, placeholders aside.
    fn is_shipped_as(&self, text: &str) -> bool {
        let Ok(document) = Document::parse(text) else {
            return false;
        };
        self.edits.iter().all(|edit| match edit {
            Edit::AddDomain { path } => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                document.has_domain(&path)
            }
            Edit::Set { at, value } => match (at.of(&document), value) {
                (Some(shipped), Value::Text(text)) => is_shipped(shipped, text),
                (Some(_), Value::As(from)) => is_credential(at) && is_credential(from),
                (None, _) => false,
            },
            Edit::Remove { at } => at.of(&document).is_none(),
        })
    }

    /// Whether the edits make of the live text what is announced.
    fn gives_its_text(&self, input: &PlanInput<'_>) -> bool {
        let rows = input.inventory.framework.as_ref().map(|f| f.rows());
        let Some(Observed::Present(rows)) = rows else {
            return false;
        };
        let Observed::Present(row) = rows.template(&self.name) else {
            return false;
        };
        let live = row.text.as_ref().map(|t| Document::parse(t.expose()));
        let Some(Ok(live)) = live else { return false };
        apply(&live, &self.edits)
            .is_ok_and(|after| Digest::of(after.to_string().as_bytes()) == self.after)
    }
}

fn writes_credential(edit: &Edit) -> bool {
    matches!(edit, Edit::Set { at, value: Value::Text(_) } if is_credential(at))
}
