//! Names, resources, desired and observed state of a Tars cluster
