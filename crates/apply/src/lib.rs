//! Carrying out a plan: lease, journal, host changes, rollback
