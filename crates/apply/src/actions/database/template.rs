//! Templates of the framework: keys of a release are merged, new ones are added, saved ones restored.

use tarsops_conf::{Document, merge};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{Confidential, parent_of};
use tarsops_model::names::{RunId, StepName};
use tarsops_plan::action::{AddTemplate, MergeTemplate};
use tarsops_plan::intent::DatabaseChange;
use tarsops_transport::mysql::{NewText, TemplateText};

use super::{facts, record, saved};
use crate::job::{Execution, Job, Precheck};
use crate::run::Run;
use crate::verdict::{Failed, StepEnd, Verdict};

/// What becomes of a template.
pub(crate) enum Template<'a> {
    /// Its keys change as a release has them.
    Merge(&'a MergeTemplate),
    /// It is added where it is not there.
    Add(&'a AddTemplate),
    /// It is restored as a run found it.
    Restore(Restored<'a>),
}

/// A template as a run found it.
pub(crate) struct Restored<'a> {
    pub(crate) name: &'a str,
    /// The run that saved the row.
    pub(crate) run: &'a RunId,
    /// The step that saved it.
    pub(crate) step: &'a StepName,
    /// sha256 of the text that must be there; none for no such row.
    pub(crate) now: Option<Digest>,
    /// sha256 of the text that is restored; none if the row is deleted.
    pub(crate) before: Option<Digest>,
}

impl Execution for Template<'_> {
    type Seen = ();
    type Acted = DatabaseChange;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        facts::precheck(job, false).await
    }

    async fn act(&self, job: &Job<'_>, (): (), _: &mut StepEnd) -> Result<DatabaseChange, Failed> {
        let row = self.row();
        let new = async |now: Option<&TemplateText>| self.new_text(job.run, now).await;
        Ok(row.write(job, new).await?)
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        change: DatabaseChange,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        Ok(facts::settle(job, change, end).await?)
    }
}

impl Template<'_> {
    fn row(&self) -> Row<'_> {
        match self {
            Self::Merge(change) => Row {
                name: &change.name,
                before: Some(change.before),
                after: Some(change.after),
            },
            Self::Add(new) => Row {
                name: &new.name,
                before: None,
                after: Some(Digest::of(new.text.as_bytes())),
            },
            Self::Restore(old) => Row {
                name: old.name,
                before: old.now,
                after: old.before,
            },
        }
    }

    /// What becomes of the row that is there.
    async fn new_text(
        &self,
        run: &Run<'_>,
        now: Option<&TemplateText>,
    ) -> Result<NewText, Verdict> {
        let cannot = |why: &str| Verdict::NotStarted(why.to_owned());
        match (self, now) {
            (Self::Merge(change), Some(now)) => {
                // An error of the reader quotes the text, which holds credentials.
                let live = Document::parse(now.text.expose())
                    .map_err(|_| cannot("its text cannot be read any more"))?;
                let text = merge::apply(&live, &change.edits)
                    .map_err(|_| cannot("its text cannot be edited any more"))?;
                Ok(NewText::Write(Confidential::new(text.to_string())))
            }
            (Self::Add(new), None) => Ok(NewText::Insert(TemplateText {
                parent: new.parent.clone(),
                text: Confidential::new(new.text.clone()),
            })),
            (Self::Restore(Restored { before: None, .. }), Some(_)) => Ok(NewText::Delete),
            (Self::Restore(old), now) => {
                let saved = saved::read(run, old.name, old.run, old.step).await?;
                match now {
                    Some(_) => Ok(NewText::Write(saved.text)),
                    None => inserted_again(old.name, saved),
                }
            }
            (Self::Merge(_), None) | (Self::Add(_), Some(_)) => {
                Err(cannot("its row was added or deleted"))
            }
        }
    }
}

/// A row of the table of templates, and what becomes of it.
struct Row<'a> {
    name: &'a str,
    /// sha256 of its text before; none for no such row.
    before: Option<Digest>,
    /// sha256 of its text afterwards; none for no such row.
    after: Option<Digest>,
}

impl Row<'_> {
    fn moved(name: &str) -> String {
        format!("the template {name} is not what it was when the plan was made")
    }

    /// Writes what `new` makes of the row, after the row as it is was saved.
    async fn write(
        &self,
        job: &Job<'_>,
        new: impl AsyncFnOnce(Option<&TemplateText>) -> Result<NewText, Verdict>,
    ) -> Result<DatabaseChange, Verdict> {
        let (run, name, before) = (job.run, self.name, self.before);
        let access = facts::access(run)?;
        run.check_lease()?;
        job.acting();
        let now = access
            .template(name, facts::PATIENCE)
            .await
            .map_err(|e| Verdict::NotStarted(e.to_string()))?;
        if now.as_ref().map(digest) != before {
            return Err(Verdict::Moved(Self::moved(name)));
        }
        let new = new(now.as_ref()).await?;
        self.fits(&new)?;
        let change = self.record(job, now.as_ref()).await?;
        let decide = move |row: Option<&TemplateText>| {
            if row.map(digest) == before {
                Ok(new.clone())
            } else {
                Err(Self::moved(name))
            }
        };
        let _waiting = facts::waiting(run, "the database changes a template");
        let patience = facts::patience(run);
        let changed = access.change_template(name, &decide, patience).await;
        record::after_write(job, changed).await?;
        Ok(change)
    }

    /// Whether a new text is the one that the plan announces.
    fn fits(&self, new: &NewText) -> Result<(), Verdict> {
        let after = match new {
            NewText::Write(text) => Some(Digest::of(text.expose().as_bytes())),
            NewText::Insert(all) => Some(digest(all)),
            NewText::Delete => None,
        };
        if after == self.after {
            return Ok(());
        }
        Err(Verdict::NotStarted(format!(
            "the text that {} would get is not the announced one",
            self.name
        )))
    }

    /// Saves the row as it is, and records what becomes of it.
    async fn record(
        &self,
        job: &Job<'_>,
        now: Option<&TemplateText>,
    ) -> Result<DatabaseChange, Verdict> {
        if let Some(now) = now {
            saved::save(job, self.name, now).await?;
        }
        let change = DatabaseChange::Template {
            name: self.name.to_owned(),
            before: self.before,
            after: self.after,
        };
        let mut recorded = record::write(job, &change, None).await;
        if recorded.is_ok() {
            recorded = job.run.check_lease();
        }
        if recorded.is_err() {
            record::remove(job).await;
        }
        recorded.map(|()| change)
    }
}

fn digest(text: &TemplateText) -> Digest {
    Digest::of(text.text.expose().as_bytes())
}

/// A saved template that is inserted again, below the parent that the framework gives it. What was saved
/// is in no digest but for its text, and whatever a parent says holds for its servers too.
fn inserted_again(name: &str, saved: TemplateText) -> Result<NewText, Verdict> {
    let parent = parent_of(name);
    if saved.parent == parent {
        return Ok(NewText::Insert(saved));
    }
    Err(Verdict::NotStarted(format!(
        "the saved row of {name} has another parent than {parent}, which the framework gives it; compare the row in `rows/` on the master, and restore it by hand"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_saved_row_gives_a_template_no_other_parent() {
        let saved = |parent: &str| TemplateText {
            parent: parent.to_owned(),
            text: Confidential::new("<tars>\n</tars>\n".to_owned()),
        };
        let own = parent_of("tars.tarsstat");
        assert!(inserted_again("tars.tarsstat", saved(own)).is_ok());
        for other in ["tars.mine", "tars.default", ""] {
            let refused = inserted_again("tars.tarsstat", saved(other)).err().unwrap();
            assert!(refused.why().unwrap().contains(own));
        }
    }
}
