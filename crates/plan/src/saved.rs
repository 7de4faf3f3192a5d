//! A saved plan can only narrow.
//!
//! What is carried out is always the plan that spec, lock file and live state give now. A file says
//! no more than which of its steps are wanted, and only by showing each of them as it is: the JSON of
//! a step must be that of the step that is planned now, whole. Nothing that a file says is ever
//! executed, shown as what will be done, or used to make the plan, but for the run that a rollback is
//! about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::names::{ClusterName, NodeName, RunId};
use tarsops_model::resource::ResourceId;

use crate::document::{Fill, OWN, reference};
use crate::drift::DriftKind;
use crate::plan::{FORMAT, Plan, Stage, Step, Summary};
use crate::report::Line;

/// A plan as a file has it. Its steps are not read as steps: they are compared and never carried out.
/// The text of the file is held once, and each step is read from it when it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPlan {
    /// Whose plan it says that it is.
    pub cluster: ClusterName,
    /// Digest of the spec that it says that it was made for.
    pub spec_digest: Digest,
    /// The `--on` that it was made with, in the words of [`crate::Scope::words`].
    pub on: Vec<String>,
    /// Whether it was made with `--without-console`.
    pub without_console: bool,
    /// The run that it rolls back; none where it brings the cluster to the spec.
    pub rolls_back: Option<RunId>,
    text: String,
    /// Where each step stands in the text.
    steps: Vec<Range<usize>>,
    /// What steps refer to.
    shared: Vec<Value>,
}

/// What is read of a file at once.
#[derive(Deserialize)]
struct Parts<'a> {
    cluster: ClusterName,
    spec_digest: Digest,
    #[serde(default)]
    on: Vec<String>,
    #[serde(default)]
    without_console: bool,
    #[serde(default)]
    rolls_back: Option<RunId>,
    #[serde(default)]
    shared: Vec<Value>,
    #[serde(borrow)]
    steps: Vec<&'a RawValue>,
}

/// Why a saved plan could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON document of the right shape.
    #[error("it is not a saved plan")]
    NoPlan(#[source] serde_json::Error),
    /// It has another format name or number.
    #[error("its format is `{0}`, and this tarsops reads `{FORMAT}`")]
    Format(String),
}

/// A value of a step that is not as it is planned now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it stands in the step, such as `action.files[1].path`.
    pub field: String,
    /// What the file says there, as JSON; none where it has no such field.
    pub saved: Option<String>,
    /// What is planned now, as JSON; none where there is no such field.
    pub now: Option<String>,
}

/// Why a step of a saved plan is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The plan that is made now has no step of that name.
    Missing {
        /// What that plan says of the resource instead, where it says anything.
        why: Option<String>,
    },
    /// The plan that is made now has another step of that name.
    Differs {
        /// The first fields that differ, in the order of their names; never empty.
        fields: Vec<Difference>,
        /// How many more there are.
        more: usize,
    },
    /// A step that comes before it in the plan that is made now is not in the file.
    Prerequisite {
        /// The id of that step.
        step: String,
    },
    /// The file has it twice.
    Twice,
    /// It has no name.
    Unnamed,
}

impl Reason {
    /// Whether time alone can explain it: the cluster, the lock file or tarsops changed since. A file
    /// that tarsops wrote never holds the others.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Differs { .. } | Self::Prerequisite { .. } => true,
            Self::Twice | Self::Unnamed => false,
        }
    }
}

/// A step of a saved plan that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its id as the file has it, or its number where it has none.
    pub step: String,
    /// Why not.
    pub why: Reason,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "nothing".to_owned());
        let (saved, now) = (value(&self.saved), value(&self.now));
        write!(f, "{}: saved {saved}, now {now}", self.field)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: ", self.step)?;
        match &self.why {
            Reason::Missing { why: None } => f.write_str("it is not planned now"),
            Reason::Missing { why: Some(why) } => write!(f, "it is not planned now: {why}"),
            Reason::Differs { fields, more } => {
                f.write_str("it is not the step that is planned now: ")?;
                for (n, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if n == 0 { "" } else { "; " })?;
                }
                match more {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Reason::Prerequisite { step } => {
                write!(f, "{step} comes before it now, and is not in the file")
            }
            Reason::Twice => f.write_str("the file has it twice"),
            Reason::Unnamed => f.write_str("it has no name"),
        }
    }
}

/// What a saved plan leaves of the plan that is made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// What is carried out: steps that were planned now, and no others than the file has.
    pub plan: Plan,
    /// Ids of steps that are planned now and not in the file.
    pub left_out: Vec<String>,
    /// Ids of steps in the file whose host does not answer now; they are not carried out.
    pub silent: Vec<String>,
}

impl SavedPlan {
    /// Reads a saved plan. What else it holds than the fields of this type is not looked at.
    ///
    /// # Errors
    /// [`ReadError`] says whether it is no plan, or one of another format.
    pub fn from_json(text: impl Into<String>) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let text = text.into();
        let head: Head = serde_json::from_str(&text).map_err(ReadError::NoPlan)?;
        if head.format != FORMAT {
            return Err(ReadError::Format(cut(&head.format)));
        }
        let parts: Parts<'_> = serde_json::from_str(&text).map_err(ReadError::NoPlan)?;
        let begin = text.as_ptr().addr();
        let steps = parts.steps.iter().map(|step| {
            let start = step.get().as_ptr().addr() - begin;
            start..start + step.get().len()
        });
        Ok(Self {
            steps: steps.collect(),
            cluster: parts.cluster,
            spec_digest: parts.spec_digest,
            on: parts.on,
            without_console: parts.without_console,
            rolls_back: parts.rolls_back,
            shared: parts.shared,
            text,
        })
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A step of the file. What could be read with the file can be read again.
    fn step(&self, at: &Range<usize>) -> Value {
        let text = self.text.get(at.clone()).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Narrows the plan that is made now to the steps of this file. `silent` are hosts that do not
    /// answer now: steps on them are skipped, and as the batches of the others follow from that, their
    /// place in the order is then not compared. The order is that of `now` in any case.
    ///
    /// # Errors
    /// Every step of the file that is refused. Nothing may be carried out then.
    pub fn narrow(
        &self,
        now: &Plan,
        silent: &BTreeSet<NodeName>,
    ) -> Result<Narrowed, Vec<Refusal>> {
        let planned: BTreeMap<&str, &Step> = now.steps.iter().map(|s| (s.id.as_str(), s)).collect();
        let mut reports = None;
        let mut refused = Vec::new();
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        let mut skipped = Vec::new();
        for (index, at) in self.steps.iter().enumerate() {
            let step = self.step(at);
            let Some(id) = step.get("id").and_then(Value::as_str) else {
                refused.push(Refusal {
                    step: format!("number {}", index + 1),
                    why: Reason::Unnamed,
                });
                continue;
            };
            let mut refuse = |why| {
                refused.push(Refusal { step: cut(id), why });
            };
            let Some(planned) = planned.get(id) else {
                if is_on(&step, silent) {
                    skipped.push(cut(id));
                    continue;
                }
                let reports = reports.get_or_insert_with(|| reported(now));
                let resource = step.get("resource").and_then(Value::as_str);
                let why = resource.map(|r| reports.get(r).cloned());
                let unseen = now.rolls_back.is_none().then(|| NOTHING.to_owned());
                refuse(Reason::Missing {
                    why: why.and_then(|why| why.or(unseen)),
                });
                continue;
            };
            if !wanted.insert(&planned.id) {
                refuse(Reason::Twice);
                continue;
            }
            let fields = self.differences(&step, planned);
            if !fields.is_empty() {
                refuse(Reason::Differs { fields, more: 0 });
            }
        }
        refused.retain_mut(|refusal| shortened(&mut refusal.why, !skipped.is_empty()));
        refused.extend(without_prerequisite(now, &wanted));
        if !refused.is_empty() {
            return Err(refused);
        }
        Ok(Narrowed {
            plan: only(now, &wanted),
            left_out: now
                .steps
                .iter()
                .filter(|s| !wanted.contains(s.id.as_str()))
                .map(|s| s.id.clone())
                .collect(),
            silent: skipped,
        })
    }
}

/// Whether a step is still refused where its place in the order counts or does not; of the fields that
/// differ only the first stay.
fn shortened(why: &mut Reason, without_order: bool) -> bool {
    let Reason::Differs { fields, more } = why else {
        return true;
    };
    fields.retain(|field| !(without_order && is_of_order(&field.field)));
    *more = fields.len().saturating_sub(SHOWN);
    fields.truncate(SHOWN);
    !fields.is_empty()
}

/// How many fields of a step that differs are shown.
const SHOWN: usize = 3;

/// A text of a file, short enough for a message. What a terminal would obey is replaced where it is
/// shown.
fn cut(text: &str) -> String {
    display::cut(text, 120).into_owned()
}

/// Whether a step of a file says that it is on one of these hosts.
fn is_on(step: &Value, nodes: &BTreeSet<NodeName>) -> bool {
    let resource = step.get("resource").and_then(Value::as_str);
    let resource = resource.and_then(|r| ResourceId::try_from(r.to_owned()).ok());
    resource.is_some_and(|r| r.node().is_some_and(|n| nodes.contains(n)))
}

/// Whether a field says when a step runs and not what it does.
fn is_of_order(field: &str) -> bool {
    field == "batch" || field.starts_with("needs")
}

/// What is said of a resource of which a plan says nothing.
const NOTHING: &str = "nothing that can be seen differs there";

/// Why a plan does nothing with resources that it does not change, by their names.
fn reported(plan: &Plan) -> BTreeMap<String, String> {
    let drift = plan.drift.iter().map(|d| {
        let why = match &d.kind {
            DriftKind::Unknown { why } => why.join("; "),
            _ => "it differs, and no step changes it now".to_owned(),
        };
        (d.resource.to_string(), why)
    });
    let lines = plan.report.iter().filter_map(|line| match line {
        Line::Blocked { resource, why } => Some((resource.to_string(), why.to_string())),
        Line::Waiting { resource, why } | Line::Ignored { resource, why } => {
            Some((resource.to_string(), why.clone()))
        }
        _ => None,
    });
    // What stands in the report is the better reason.
    drift.chain(lines).collect()
}

impl SavedPlan {
    /// All fields in which a step of this file differs from the one that is planned now.
    fn differences(&self, saved: &Value, planned: &Step) -> Vec<Difference> {
        let mut out = Vec::new();
        let own = OWN.map(|name| saved.get(name).and_then(Value::as_str));
        let comparison = Comparison {
            shared: &self.shared,
            fill: Fill::of(planned.resource.node(), own),
        };
        match serde_json::to_value(planned) {
            Ok(now) => comparison.compare(Saved::own(Some(saved)), Some(&now), "", &mut out),
            // Every step has a JSON form; one that had none would be equal to nothing.
            Err(why) => out.push(Difference {
                field: "step".to_owned(),
                saved: None,
                now: Some(why.to_string()),
            }),
        }
        out
    }
}

/// A value of a file.
#[derive(Clone, Copy)]
struct Saved<'a> {
    value: Option<&'a Value>,
    /// Whether it stands in a shared part, in which marks stand for what is the step's own.
    is_shared: bool,
}

impl<'a> Saved<'a> {
    const fn own(value: Option<&'a Value>) -> Self {
        Self {
            value,
            is_shared: false,
        }
    }

    const fn with(self, value: Option<&'a Value>) -> Self {
        Self { value, ..self }
    }
}

/// How a step of a file is compared.
struct Comparison<'a> {
    shared: &'a [Value],
    fill: Fill<'a>,
}

impl<'a> Comparison<'a> {
    /// What a value refers to. A shared part refers to nothing itself.
    fn resolved(&self, saved: Saved<'a>) -> Saved<'a> {
        let number = saved.value.filter(|_| !saved.is_shared).and_then(reference);
        match number.and_then(|number| self.shared.get(number)) {
            Some(part) => Saved {
                value: Some(part),
                is_shared: true,
            },
            None => saved,
        }
    }

    fn compare(&self, saved: Saved<'a>, now: Option<&Value>, at: &str, out: &mut Vec<Difference>) {
        let saved = self.resolved(saved);
        match (saved.value, now) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                // They are no fields of a step as it is planned.
                let own = |key: &&String| at.is_empty() && OWN.contains(&key.as_str());
                for key in keys.into_iter().filter(|key| !own(key)) {
                    let dot = if at.is_empty() { "" } else { "." };
                    let place = format!("{at}{dot}{}", cut(key));
                    self.compare(saved.with(a.get(key)), b.get(key), &place, out);
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                for index in 0..a.len().max(b.len()) {
                    let place = format!("{at}[{index}]");
                    self.compare(saved.with(a.get(index)), b.get(index), &place, out);
                }
            }
            (found, now) => {
                let filled = saved.is_shared.then(|| found.map(|v| self.fill.filled(v)));
                let found = filled.as_ref().map_or(found, Option::as_ref);
                if found != now {
                    out.push(Difference {
                        field: if at.is_empty() { "step" } else { at }.to_owned(),
                        saved: found.map(|v| cut(&v.to_string())),
                        now: now.map(|v| cut(&v.to_string())),
                    });
                }
            }
        }
    }
}

/// Steps that are wanted though one that comes before them is not. A batch waits for all of the one
/// before; only what ends unfinished changes of other hosts comes before nothing.
fn without_prerequisite(now: &Plan, wanted: &BTreeSet<&str>) -> Vec<Refusal> {
    let mut missing: Option<&str> = None;
    let mut out = Vec::new();
    let batches = now
        .steps
        .chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
    for batch in batches.filter(|b| b[0].stage != Stage::Recover) {
        let is_wanted = |s: &&Step| wanted.contains(s.id.as_str());
        if let Some(before) = missing {
            out.extend(batch.iter().filter(is_wanted).map(|step| Refusal {
                step: step.id.clone(),
                why: Reason::Prerequisite {
                    step: before.to_owned(),
                },
            }));
        }
        let first = batch.iter().find(|s| !is_wanted(s));
        missing = missing.or(first.map(|s| s.id.as_str()));
    }
    out
}

/// The plan with these of its steps.
fn only(now: &Plan, wanted: &BTreeSet<&str>) -> Plan {
    let mut plan = now.clone();
    plan.steps.retain(|s| wanted.contains(s.id.as_str()));
    if plan.steps.len() == now.steps.len() {
        return plan;
    }
    for gate in &mut plan.gates {
        gate.needs.retain(|id| wanted.contains(id.as_str()));
    }
    plan.gates.retain(|g| !g.needs.is_empty());
    plan.summary = Summary {
        blocked: now.summary.blocked,
        unknown: now.summary.unknown,
        ..Summary::of(&plan.steps)
    };
    if plan.rolls_back.is_some() {
        plan.nodes = plan.nodes_of_steps();
    }
    plan
}
