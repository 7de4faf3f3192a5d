//! A template that a release adds.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_conf::Document;
use tarsops_conf::merge::{self, is_credential};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{TemplateRow, parent_of};
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

/// Adds a template that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddTemplate {
    /// Its name.
    pub name: String,
    /// Its parent.
    pub parent: String,
    /// The release that ships it.
    pub release: Version,
    /// Its text, with the placeholders filled. It holds no credential.
    pub text: String,
}

impl ActionKind for AddTemplate {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Template(self.name.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Templates, ChangeKind::Add)]
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
            if let Observed::Present(all) = &mut rows.templates {
                all.push(TemplateRow::with_text(&self.name, &self.parent, &self.text));
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        template::check_whole(step, say);
        let digest = Digest::of(self.text.as_bytes());
        if !template::expects(step, &self.name, None, Some(digest)) {
            say("it does not check that there is no such template");
        }
        if self.parent != parent_of(&self.name) {
            say("it gives the template another parent than the framework does");
        }
        match Document::parse(&self.text) {
            Ok(document) if has_credential(&document) => say("it has a credential in it"),
            Ok(_) => {}
            Err(_) => say("its text is not a configuration"),
        }
    }

    fn check_pins(&self, input: &PlanInput<'_>, say: &mut dyn FnMut(&str)) {
        let shipped = input.catalog.templates.get(&self.release);
        let text = shipped.and_then(|all| all.get(&self.name));
        let same = text.is_some_and(|text| match Document::parse(text) {
            Ok(document) => {
                Document::parse(&self.text).is_ok_and(|mine| mine.paths() == document.paths())
            }
            Err(_) => false,
        });
        if !same {
            say("it writes what the release does not ship");
        }
    }
}

fn has_credential(document: &Document) -> bool {
    document.paths().iter().any(|path| {
        let mut keys = document.entries(path).into_iter();
        keys.any(|(key, _)| is_credential(&merge::Place::new(path, key)))
    })
}
