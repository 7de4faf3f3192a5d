//! The section `docker`: the framework as containers.

use schemars::JsonSchema;
use serde::Deserialize;
use tarsops_model::names::{AbsPath, ContainerName, ImageName, NetworkName};

use super::{Port, Seconds, Secret};
use crate::leaf;

/// How the framework is deployed on its own hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deployment {
    /// By packages: each component has its folder and its process on the host.
    #[default]
    Script,
    /// As one container on each master and slave. Other nodes have tarsnode by its package.
    Docker,
}

/// The framework as containers, with `deployment: docker`: one on each master and slave. Addresses of
/// the database and of the node, `SLAVE` and `REBUILD: "false"` are added; a container that rebuilds
/// the database cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// The image, `[registry/]name[:tag]`. What counts is its identity in the lock file, never the tag.
    #[schemars(with = "leaf::Image", example = &"tarscloud/framework:v3.0.20")]
    pub image: ImageName,
    /// Archive of the image (`docker save`) on this machine, from which the lock file pins it; relative
    /// to this file, `~/` is your home.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"./images/framework-v3.0.20.tar")]
    pub archive: Option<String>,
    /// The engine's socket on the hosts. Default: `unix:///var/run/docker.sock`. Whatever a profile
    /// there has in `DOCKER_HOST` does not count.
    #[serde(default = "socket")]
    #[schemars(with = "leaf::Socket", example = &"unix:///var/run/docker.sock")]
    pub socket: String,
    /// Name of the container. Default: `tars-framework`.
    #[serde(default = "container")]
    #[schemars(with = "leaf::ContainerName", example = &"tars-framework")]
    pub container: ContainerName,
    /// `host` (the default): the host's own network. Otherwise the name of a network of the engine, in
    /// which the container has the node's `ip`; such containers are reached from their own host only.
    #[serde(default = "network")]
    #[schemars(with = "leaf::NetworkName", example = &"host")]
    pub network: NetworkName,
    /// Folder on the hosts that is `/data/tars` in the container. Default: `/data/tars`.
    #[serde(default = "data")]
    #[schemars(with = "leaf::HostPath", example = &"/data/tars")]
    pub data: AbsPath,
    /// Further files or folders of the hosts in the container, `/on/host:/in/container` or with `:ro`
    /// behind it. They must exist: the engine would make a folder of what does not.
    #[serde(default)]
    #[schemars(with = "Vec<leaf::Mount>", example = serde_json::json!(["/etc/localtime:/etc/localtime:ro"]))]
    pub mounts: Vec<String>,
    /// Further variables of the container's environment. There are no others than these.
    #[serde(default)]
    pub environment: Environment,
    /// How much the engine keeps of the container's log, which would otherwise grow for ever.
    #[serde(default)]
    pub logs: Logs,
    /// How long the container may take to stop. An installation that it runs is not interrupted by a
    /// stop. Default: `60s`.
    #[schemars(with = "Option<leaf::Duration>", example = &"60s")]
    pub stop_timeout: Option<Seconds>,
    /// How many containers that were replaced are kept on each host, stopped. Default: 1.
    #[schemars(range(min = 1, max = 16), example = 1)]
    pub retired: Option<u32>,
    /// The account that the installation in the container logs in to the database as. It makes accounts
    /// and databases, and is another one than that of `database`.
    pub installer: Installer,
}

/// The account of the installation in the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Installer {
    /// User of the database. Default: `root`.
    #[schemars(with = "Option<leaf::DatabaseUser>", example = &"root")]
    pub user: Option<String>,
    /// Where its password comes from. Whoever may ask the engine can read it there: `docker inspect`
    /// shows it.
    pub password: Secret,
}

/// How much the engine keeps of a container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Size at which a new file begins, with `k`, `m` or `g` behind it. Default: `100m`.
    #[schemars(with = "Option<leaf::LogSize>", example = &"100m")]
    pub max_size: Option<String>,
    /// How many files are kept. Default: 5.
    #[schemars(range(min = 1, max = 100), example = 5)]
    pub max_files: Option<u32>,
}

/// Variables of the container that a spec may set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Name of the time zone.
    #[serde(rename = "TZ")]
    #[schemars(with = "Option<leaf::TimeZone>", example = &"Asia/Shanghai")]
    pub tz: Option<String>,
    /// What `data` is on the host, for services that tarsnode starts as containers; needs the engine's
    /// socket among `mounts`.
    #[serde(rename = "TARS_HOSTPATH")]
    #[schemars(with = "Option<leaf::HostPath>", example = &"/data/tars")]
    pub tars_hostpath: Option<AbsPath>,
    /// Port on which the management platform listens.
    #[serde(rename = "PORT")]
    #[schemars(with = "Option<Port>", example = 3000)]
    pub port: Option<Port>,
    /// Whether the management platform asks more strictly for rights.
    #[serde(rename = "TARS_WEB_STRICT")]
    #[schemars(example = true)]
    pub tars_web_strict: Option<bool>,
    /// Whether the management platform asks who somebody is.
    #[serde(rename = "TARS_ENABLE_LOGIN")]
    #[schemars(example = true)]
    pub tars_enable_login: Option<bool>,
}

fn socket() -> String {
    "unix:///var/run/docker.sock".to_owned()
}

#[expect(clippy::unwrap_used, reason = "the constant is a good name")]
fn container() -> ContainerName {
    ContainerName::new("tars-framework").unwrap()
}

#[expect(clippy::unwrap_used, reason = "the constant is a good name")]
fn network() -> NetworkName {
    NetworkName::new("host").unwrap()
}

#[expect(clippy::unwrap_used, reason = "the constant is a good path")]
fn data() -> AbsPath {
    AbsPath::new("/data/tars").unwrap()
}
