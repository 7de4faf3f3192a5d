//! Drift, plans and their laws, as pure functions
