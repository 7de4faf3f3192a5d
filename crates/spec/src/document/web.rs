//! The section `web`: the management platform.

use schemars::JsonSchema;
use serde::Deserialize;
use tarsops_model::names::{AbsPath, NodeName};
use tarsops_model::version::Version;

use super::Secret;
use crate::leaf;

/// The management platform (TarsWeb): where it answers, and where it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Base address of its pages and its API.
    #[schemars(with = "leaf::Url", example = &"http://10.0.0.1:3000")]
    pub url: String,
    /// Where the ticket for its API comes from.
    pub ticket: Secret,
    /// Its version. Left out: it is looked at, and never changed. With `deployment: docker` it is a part
    /// of the image: it is compared with what the lock file says that the image holds.
    #[schemars(with = "Option<leaf::Version>", example = &"3.0.15")]
    pub version: Option<Version>,
    /// Its release archive on this machine, as `tarsops package web` writes it; relative to this file,
    /// `~/` is your home. Left out: what the lock file has.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"./packages/tars-web-3.0.15.tgz")]
    pub package: Option<String>,
    /// The node that it is installed on. Default: the master.
    #[schemars(with = "Option<leaf::NodeName>", example = &"10.0.0.1")]
    pub node: Option<NodeName>,
    /// Its own folder on that node. Default: `web` in `framework.install_path`.
    #[schemars(with = "Option<leaf::HostPath>", example = &"/usr/local/app/web")]
    pub install_path: Option<AbsPath>,
    /// What starts it: `pm2` (the default, as the framework's installer does it), `systemd`, or `none`.
    #[schemars(example = &"pm2")]
    pub supervisor: Option<Supervisor>,
    /// How many folders of replaced releases are kept beside it. Default: 1.
    #[schemars(range(min = 1, max = 16), example = 1)]
    pub retired: Option<u32>,
}

/// What starts the management platform, and starts it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Supervisor {
    /// PM2. By itself it starts nothing after a reboot of the host.
    Pm2,
    /// A unit of systemd.
    Systemd,
    /// Nothing: a plain process, which does not come back when it ends.
    None,
}
