//! Exit codes, in one place. Where several hold, the most serious wins: 9 8 7 6 5 2 4 0.

use tarsops_apply::Outcome;
use tarsops_plan::Plan;

/// In sync, or applied and verified.
pub const OK: u8 = 0;
/// An error.
pub const ERROR: u8 = 1;
/// Changes are pending.
pub const PENDING: u8 = 2;
/// The spec is invalid.
pub const INVALID: u8 = 3;
/// Something could not be seen.
pub const INCOMPLETE: u8 = 4;
/// The saved plan is stale.
pub const STALE: u8 = 5;
/// Blocked by a guard.
pub const BLOCKED: u8 = 6;
/// Another holder has the lease.
pub const LEASE: u8 = 7;
/// Failed; stopped or rolled back as the policy says.
pub const FAILED: u8 = 8;
/// Failed and stuck: a person is needed.
pub const STUCK: u8 = 9;
/// Wrong usage.
pub const USAGE: u8 = 64;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// The most serious of several codes.
#[must_use]
pub fn worst(codes: &[u8]) -> u8 {
    const ORDER: [u8; 8] = [
        // What is proven to differ is never hidden by what could not be seen.
        STUCK, FAILED, LEASE, BLOCKED, STALE, PENDING, INCOMPLETE, OK,
    ];
    ORDER.into_iter().find(|c| codes.contains(c)).unwrap_or(OK)
}

/// The code of a plan that is only looked at.
#[must_use]
pub fn of_plan(plan: &Plan) -> u8 {
    let mut codes = vec![OK];
    if !plan.steps.is_empty() || plan.has_drift() {
        codes.push(PENDING);
    }
    if plan.is_blocked() {
        codes.push(BLOCKED);
    }
    if plan.is_incomplete() {
        codes.push(INCOMPLETE);
    }
    worst(&codes)
}

/// The code of a run: how it went, and what the last look showed.
#[must_use]
pub fn of_run(outcome: &Outcome, left: Option<&Plan>) -> u8 {
    if outcome.interrupted && !outcome.is_stuck() && !outcome.is_failed() {
        return INTERRUPTED;
    }
    let mut codes = vec![OK];
    if outcome.is_stuck() {
        codes.push(STUCK);
    }
    if outcome.is_failed() {
        codes.push(FAILED);
    }
    if outcome.is_unleased() {
        codes.push(LEASE);
    } else if outcome.is_refused() {
        codes.push(FAILED);
    }
    if outcome.is_stale() {
        codes.push(STALE);
    }
    if outcome.is_incomplete() {
        codes.push(INCOMPLETE);
    }
    if let Some(plan) = left {
        if plan.is_blocked() {
            codes.push(BLOCKED);
        }
        if plan.has_drift() {
            codes.push(PENDING);
        }
        if plan.is_incomplete() {
            codes.push(INCOMPLETE);
        }
    }
    worst(&codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_serious_code_wins() {
        let order = [
            STUCK, FAILED, LEASE, BLOCKED, STALE, PENDING, INCOMPLETE, OK,
        ];
        for (at, code) in order.into_iter().enumerate() {
            for less in &order[at..] {
                assert_eq!(worst(&[*less, code]), code);
            }
        }
        assert_eq!(worst(&[]), OK);
    }
}
