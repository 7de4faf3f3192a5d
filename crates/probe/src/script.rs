//! The probe script with its variables.

use tarsops_model::component::Component;
use tarsops_model::container::{ENTRYPOINT, SHOWN};
use tarsops_model::desired::Desired;
use tarsops_model::names::{
    AbsPath, ClusterName, ContainerName, ImageName, NodeName, RunId, UserName,
};
use tarsops_transport::script::{Script, prelude};

/// What the probe script is told.
#[derive(Debug, Clone)]
pub struct Look {
    /// Comes back in the first line of the answer, so that no banner is taken for it.
    pub nonce: String,
    /// Folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The cluster, whose own folder on the host is looked at.
    pub cluster: ClusterName,
    /// Seconds that the part of the look may take which runs with another user's rights.
    pub seconds: u64,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// Whether digests are read again.
    pub rehash: bool,
    /// The run that means to change the host, if one does: older ones do not begin there any more.
    pub fence: Option<RunId>,
    /// Components other than `tarsnode` to look at.
    pub servers: Vec<Component>,
    /// The framework's container, where the spec has containers.
    pub docker: Option<DockerLook>,
    /// The folder of the management platform, if it is on this host.
    pub console: Option<AbsPath>,
}

/// The management platform, as a look searches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLook {
    /// Its node.
    pub node: NodeName,
    /// Its folder there.
    pub folder: AbsPath,
}

impl ConsoleLook {
    /// What a spec has of the platform. In a container it is a part of the image.
    #[must_use]
    pub fn of(desired: &Desired) -> Option<Self> {
        if desired.containers().next().is_some() {
            return None;
        }
        let console = desired.web()?.console.as_ref()?;
        Some(Self {
            node: console.node.clone(),
            folder: console.install_path.clone(),
        })
    }
}

/// The framework's container, as a look searches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerLook {
    /// The engine's socket.
    pub socket: AbsPath,
    /// Its name.
    pub container: ContainerName,
    /// Its image, as the spec calls it.
    pub image: ImageName,
}

impl DockerLook {
    /// What a spec has of containers: they have one name and one image on all hosts.
    #[must_use]
    pub fn of(desired: &Desired) -> Option<Self> {
        let (_, container) = desired.containers().next()?;
        Some(Self {
            socket: container.socket.clone(),
            container: container.name.clone(),
            image: container.image.clone(),
        })
    }
}

/// Where an engine listens if nobody says otherwise. A look at a host whose spec has no containers asks
/// it only if the framework runs in one.
const SOCKET: &str = "/var/run/docker.sock";

/// The variables of an environment as a part of a template for `docker inspect`: whole where the value
/// may be seen, and the name alone of all others.
fn environment() -> String {
    let shown: Vec<String> = SHOWN.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "[{{{{range $i, $e := .Env}}}}{{{{if $i}}}},{{{{end}}}}{{{{$n := index (split $e \"=\") 0}}}}\
         {{{{if eq $n {}}}}}{{{{json $e}}}}{{{{else}}}}{{{{json $n}}}}{{{{end}}}}{{{{end}}}}]",
        shown.join(" ")
    )
}

/// What is asked of a container, as a line of JSON (`docker inspect --format`). Its command and what it
/// is told stay on the host: both may have passwords.
fn of_container() -> String {
    let entrypoint = ENTRYPOINT;
    let labels = "[{{range $k, $v := .Labels}}{{if or (eq (truncate $k 19) \"com.docker.compose.\") \
         (eq (truncate $k 14) \"io.kubernetes.\")}}[{{json $k}},{{json $v}}],{{end}}{{end}}null]";
    format!(
        "{{\"id\":{{{{json .ID}}}},\"name\":{{{{json .Name}}}},\"image\":{{{{json .Image}}}},\
         \"framework\":{{{{gt (len (split (printf \"%s %s\" .Path (join .Args \" \")) \"{entrypoint}\")) 1}}}},\
         \"pid\":{{{{.State.Pid}}}},\"state\":{{{{json .State.Status}}}},\"started\":{{{{json .State.StartedAt}}}},\
         \"restarts\":{{{{.RestartCount}}}},\"restart\":{{{{json .HostConfig.RestartPolicy.Name}}}},\
         \"log\":{{{{json .HostConfig.LogConfig}}}},\"network\":{{{{json .HostConfig.NetworkMode}}}},\
         \"networks\":{{{{json .NetworkSettings.Networks}}}},\"mounts\":{{{{json .Mounts}}}},\
         {{{{with .Config}}}}\"image_name\":{{{{json .Image}}}},\"labels\":{labels},\"env\":{}{{{{end}}}}}}",
        environment()
    )
}

/// The same of an image.
fn of_image() -> String {
    format!(
        "{{\"id\":{{{{json .ID}}}},\"digests\":{{{{json .RepoDigests}}}},\"tags\":{{{{json .RepoTags}}}},\
         \"layers\":{{{{json .RootFS.Layers}}}}{{{{with .Config}}}},\"env\":{}{{{{end}}}}}}",
        environment()
    )
}

/// The whole text that goes to `sh -s`.
#[must_use]
pub fn probe_script(look: &Look) -> String {
    let mut tree = Script::bare();
    tree.part(include_str!("tree.sh"));
    let servers: Vec<&str> = look.servers.iter().map(|c| c.name()).collect();
    let docker = look.docker.as_ref();
    let mut script = Script::new();
    script
        // Twice: for us, and for the part that runs with another user's rights.
        .set("P_PRELUDE", prelude())
        .set("P_TREE", &tree)
        .set("P_CLUSTER", look.cluster.as_str())
        .set("P_SECONDS", &look.seconds.to_string())
        .set("P_NONCE", &look.nonce)
        .set("P_INSTALL", look.install_path.as_str())
        .set("P_RUN_USER", look.run_user.as_str())
        .set("P_REHASH", if look.rehash { "1" } else { "0" })
        .set("P_FENCE", look.fence.as_ref().map_or("", RunId::as_str))
        .set("P_SERVERS", &servers.join(" "))
        .set("P_DOCKER", if look.docker.is_some() { "1" } else { "0" })
        .set("P_SOCKET", docker.map_or(SOCKET, |d| d.socket.as_str()))
        .set("P_CONTAINER", docker.map_or("", |d| d.container.as_str()))
        .set("P_IMAGE", docker.map_or("", |d| d.image.as_str()))
        .set("P_OF_CONTAINER", &of_container())
        .set("P_OF_IMAGE", &of_image())
        .set("P_WEB", look.console.as_ref().map_or("", AbsPath::as_str));
    if look.console.is_some() {
        script.part(include_str!("console.sh"));
    }
    script
        .part(include_str!("docker.sh"))
        .part(include_str!("probe.sh"));
    script.into_text()
}
