//! What the looks of an adoption showed.

use std::path::{Path, PathBuf};

use tarsops_model::desired::Desired;
use tarsops_package::LockFile;
use tarsops_plan::adopt::{Given, Proposal, propose};
use tarsops_plan::{Checked, Plan, PlanInput, Scope, make_plan};
use tarsops_probe::Report;

use crate::failure::{Failure, Result};
use crate::spec_file::{self, Loaded};

/// What the looks showed, and the spec that they led to.
pub struct Seen {
    /// What was given, with what was found on the way.
    pub given: Given,
    /// All that was seen.
    pub report: Report,
    /// The spec and its binaries.
    pub proposal: Proposal,
    /// Pins of packages that are at hand.
    pub packages: LockFile,
    /// The spec, read back.
    loaded: Loaded,
    path: PathBuf,
    color: bool,
}

impl Seen {
    /// Proposes the spec for what was seen; it will be at `path`.
    ///
    /// # Errors
    /// A proposal that is no spec.
    pub fn new(
        given: Given,
        report: Report,
        packages: LockFile,
        path: &Path,
        color: bool,
    ) -> Result<Self> {
        let proposal = propose(&given, &report.inventory, &packages.catalog());
        let loaded = spec_file::of_text(&proposal.text, path, color)?;
        Ok(Self {
            given,
            report,
            proposal,
            packages,
            loaded,
            path: path.to_path_buf(),
            color,
        })
    }

    /// The spec's desired state.
    pub const fn desired(&self) -> &Desired {
        &self.loaded.desired
    }

    /// How many nodes the spec has.
    pub fn nodes(&self) -> usize {
        self.desired().hosts().count()
    }

    /// Proposes a spec for what is given now.
    pub fn propose_again(&mut self) -> Result<()> {
        self.proposal = propose(
            &self.given,
            &self.report.inventory,
            &self.packages.catalog(),
        );
        self.loaded = spec_file::of_text(&self.proposal.text, &self.path, self.color)?;
        Ok(())
    }

    /// The plan of the spec with a lock file, for what was seen.
    pub fn plan(&self, lock: &LockFile) -> Result<Checked<Plan>> {
        let catalog = lock.pinned_catalog(self.desired());
        let input = PlanInput {
            desired: self.desired(),
            inventory: &self.report.inventory,
            catalog: &catalog,
            scope: &Scope::default(),
            now: self.report.inventory.observed_at,
        };
        Checked::new(make_plan(&input), &input).map_err(|found| {
            Failure::new("the plan of the adopted spec does not pass its own check")
                .hint("this is a fault in tarsops: please report it")
                .about(found)
        })
    }
}
