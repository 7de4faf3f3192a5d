//! The YAML document that describes a cluster, its schema and its validation
