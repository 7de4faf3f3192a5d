//! The gates of a plan, which are between its batches.

use std::collections::BTreeMap;

use tarsops_plan::plan::{Gate, Step};

use crate::verdict::{StepEnd, Verdict};

/// The gates of a plan.
pub(crate) struct Gates<'a> {
    by_id: BTreeMap<&'a str, &'a Gate>,
    settle_of: BTreeMap<&'a str, u64>,
}

impl<'a> Gates<'a> {
    pub(crate) fn of(gates: &'a [Gate]) -> Self {
        let steps = |gate: &'a Gate| gate.needs.iter().map(|id| (id.as_str(), gate.settle));
        Self {
            by_id: gates.iter().map(|gate| (gate.id.as_str(), gate)).collect(),
            settle_of: gates.iter().flat_map(steps).collect(),
        }
    }

    /// Seconds for which the gate after a step wants it to have been healthy; 0 where no gate is.
    pub(crate) fn settle_of(&self, step: &Step) -> u64 {
        self.settle_of.get(step.id.as_str()).copied().unwrap_or(0)
    }

    /// Whether every gate is open that a step waits for: each step before the gate has reached its end. A
    /// host that fell silent holds nobody up, as long as the spec allows so many of them.
    pub(crate) fn are_open(&self, step: &Step, ends: &[StepEnd]) -> bool {
        let has_passed = |id: &String| {
            ends.iter().find(|end| end.step == *id).is_some_and(|end| {
                end.verdict.is_good() || matches!(end.verdict, Verdict::Silent(_))
            })
        };
        step.needs.iter().all(|need| {
            let gate = self.by_id.get(need.as_str());
            gate.is_some_and(|gate| gate.needs.iter().all(has_passed))
        })
    }
}

#[cfg(test)]
mod tests {
    use tarsops_model::component::Component;
    use tarsops_model::names::NodeName;
    use tarsops_model::resource::ResourceId;
    use tarsops_plan::action::{StartServer, Undo};
    use tarsops_plan::plan::{ChangeKind, Stage};

    use super::*;

    fn step(id: &str, needs: &[&str]) -> Step {
        let node: NodeName = "10.0.0.1".parse().unwrap();
        let component = Component::Tarsnotify;
        Step {
            id: id.to_owned(),
            stage: Stage::Expansion,
            batch: 1,
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
            resource: ResourceId::Schema,
            sign: ChangeKind::Change,
            summary: String::new(),
            action: StartServer { component, node }.into(),
            pre: vec![],
            post: vec![],
            undo: Undo::Restore,
        }
    }

    fn gate(id: &str, needs: &[&str], settle: u64) -> Gate {
        Gate {
            id: id.to_owned(),
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
            settle,
        }
    }

    fn end(id: &str, verdict: Verdict) -> StepEnd {
        StepEnd::new(id.to_owned(), "10.0.0.1".parse().unwrap(), verdict)
    }

    #[test]
    fn a_gate_opens_when_every_step_before_it_has_ended_well() {
        let all = [gate("gate/1", &["a", "b"], 9), gate("gate/2", &["c"], 30)];
        let gates = Gates::of(&all);
        let next = step("c", &["gate/1"]);
        let a = end("a", Verdict::Done);
        assert!(!gates.are_open(&next, &[]));
        assert!(!gates.are_open(&next, std::slice::from_ref(&a)));
        for (verdict, open) in [
            (Verdict::AlreadyDone, true),
            (Verdict::Silent("it does not answer".into()), true),
            (Verdict::Moved("its crontab changed".into()), false),
            (Verdict::RolledBack("it did not start".into()), false),
            (Verdict::NoLease("it was lost".into()), false),
        ] {
            let ends = [a.clone(), end("b", verdict)];
            assert_eq!(gates.are_open(&next, &ends), open, "{ends:?}");
        }
        // What waits for nothing may begin, and what waits for an unknown gate never.
        assert!(gates.are_open(&step("a", &[]), &[]));
        assert!(!gates.are_open(&step("d", &["gate/7"]), &[a]));
    }

    #[test]
    fn a_step_settles_as_long_as_the_gate_after_it_says() {
        let all = [gate("gate/1", &["a", "b"], 9)];
        let gates = Gates::of(&all);
        assert_eq!(gates.settle_of(&step("b", &[])), 9);
        assert_eq!(gates.settle_of(&step("c", &["gate/1"])), 0);
    }
}
