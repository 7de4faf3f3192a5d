//! Writes specs. Every value that tests vary is a field; the rest is fixed.

use std::fmt::Write as _;
use std::path::PathBuf;

/// A spec to be written; made by [`Spec::new`], then changed field by field.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The framework's version.
    pub version: String,
    /// Where packages come from.
    pub packages: String,
    /// The run user.
    pub run_user: String,
    /// Further lines of `framework`, each `key: value`.
    pub framework: Vec<String>,
    /// The SSH user.
    pub user: String,
    /// `sudo` or `none`.
    pub r#become: String,
    /// Further lines of `ssh`, each `key: value`.
    pub ssh: Vec<String>,
    /// Lines of `nodes`, each a YAML value.
    pub nodes: Vec<String>,
    /// Lines of `overrides`, each `node: {…}`.
    pub overrides: Vec<String>,
    /// Registry endpoints; the master's if empty.
    pub registries: Vec<String>,
    /// `direct`, `ssh` or `none`: these hosts have no framework unless a test brings one up.
    pub rpc: String,
    /// `cron` or `none`.
    pub monitor: String,
    /// Lines of `rollout`, each `key: value`. Settling takes no time unless one says so.
    pub rollout: Vec<String>,
    /// Text at the end.
    pub more: String,
    identity: PathBuf,
}

impl Spec {
    /// A spec without nodes that logs in as `ops` with `identity` and becomes root.
    pub fn new(identity: PathBuf) -> Spec {
        Spec {
            version: "3.0.17".to_owned(),
            packages: "./packages/{version}".to_owned(),
            run_user: "tars".to_owned(),
            framework: vec![],
            user: "ops".to_owned(),
            r#become: "sudo".to_owned(),
            ssh: vec![],
            nodes: vec![],
            overrides: vec![],
            registries: vec![],
            rpc: "none".to_owned(),
            monitor: "cron".to_owned(),
            rollout: vec!["canary: 1".to_owned(), "max_parallel: 10".to_owned()],
            more: String::new(),
            identity,
        }
    }

    /// Adds a node.
    pub fn node(&mut self, line: impl Into<String>) -> &mut Spec {
        self.nodes.push(line.into());
        self
    }

    /// Adds an override.
    pub fn with_override(&mut self, line: impl Into<String>) -> &mut Spec {
        self.overrides.push(line.into());
        self
    }

    /// Adds a line to `framework`.
    pub fn with_framework(&mut self, line: impl Into<String>) -> &mut Spec {
        self.framework.push(line.into());
        self
    }

    /// Sets a value of `rollout`, in place of an earlier one.
    pub fn with_rollout(&mut self, line: impl Into<String>) -> &mut Spec {
        let line = line.into();
        let key = line.split(':').next().unwrap_or_default().to_owned();
        self.rollout.retain(|l| !l.starts_with(&format!("{key}:")));
        self.rollout.push(line);
        self
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut out = format!(
            "schema: tarsops/v1\ncluster: test\nframework:\n  version: {}\n  packages: {}\n  \
             run_user: {}\n",
            self.version, self.packages, self.run_user
        );
        let lines = |out: &mut String, lines: &[String], mark: &str| {
            for line in lines {
                let _ = writeln!(out, "  {mark}{line}");
            }
        };
        lines(&mut out, &self.framework, "");
        let _ = write!(
            out,
            "ssh:\n  user: {}\n  become: {}\n  identity: {}\n  known_hosts: ./known_hosts\n  \
             config: ./ssh_config\n",
            self.user,
            self.r#become,
            self.identity.display()
        );
        let has = |lines: &[String], key: &str| lines.iter().any(|l| l.starts_with(key));
        if !has(&self.ssh, "connect_timeout:") {
            out.push_str("  connect_timeout: 3s\n");
        }
        lines(&mut out, &self.ssh, "");
        let registries = if self.registries.is_empty() {
            "10.77.1.1:17890".to_owned()
        } else {
            self.registries.join(", ")
        };
        let _ = write!(
            out,
            "rpc: {}\nregistry:\n  endpoints: [{registries}]\nnodes:\n",
            self.rpc
        );
        lines(&mut out, &self.nodes, "- ");
        if !self.overrides.is_empty() {
            out.push_str("overrides:\n");
            lines(&mut out, &self.overrides, "");
        }
        let _ = write!(out, "monitor: {}\nrollout:\n", self.monitor);
        if !has(&self.rollout, "settle:") {
            out.push_str("  settle: 0s\n");
        }
        if !has(&self.rollout, "deadline:") {
            out.push_str("  deadline: 20s\n");
        }
        lines(&mut out, &self.rollout, "");
        out.push_str(&self.more);
        out
    }
}
