//! Components of the framework laid out on a path: stand-in, configuration, scripts; and the rows that
//! the framework's installer writes about them.
//!
//! Configurations and scripts are written here and have the keys and the behaviour of the framework's
//! own. Ports and servants are those of the framework (TarsFramework `deploy/framework/conf`). Nothing
//! is started here.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::packages;
use crate::standin::{self, Identity, StandinError, Timings};
use crate::store::{AdapterRow, Database, ServerRow, Store, StoreError, TemplateRow};

/// A component could not be laid out, or its rows not be written.
#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    /// The stand-in could not be made.
    #[error("cannot make the stand-in")]
    Standin(#[from] StandinError),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The rows could not be written.
    #[error("cannot write the rows of the framework")]
    Store(#[from] StoreError),
}

/// A component and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name, such as `tarsregistry`.
    pub name: &'static str,
    /// Its objects, without application and server, and their ports.
    pub objects: &'static [(&'static str, u16)],
    /// The port of its administration object.
    pub local: u16,
}

const fn component(
    name: &'static str,
    objects: &'static [(&'static str, u16)],
    local: u16,
) -> Component {
    Component {
        name,
        objects,
        local,
    }
}

/// The components that a master has beside tarsnode, in the order in which they are started.
pub const COMPONENTS: [Component; 10] = [
    component(
        "tarsregistry",
        &[("QueryObj", 17890), ("RegistryObj", 17891)],
        17897,
    ),
    component("tarsAdminRegistry", &[("AdminRegObj", 12000)], 12307),
    component("tarsconfig", &[("ConfigObj", 18193)], 18197),
    component("tarspatch", &[("PatchObj", 18793)], 18797),
    component("tarsstat", &[("StatObj", 18293)], 18297),
    component("tarsproperty", &[("PropertyObj", 18493)], 18497),
    component("tarsnotify", &[("NotifyObj", 18593)], 18597),
    component(
        "tarslog",
        &[("LogObj", 18993), ("TopologyObj", 18913)],
        18997,
    ),
    component("tarsquerystat", &[("QueryObj", 18393)], 18397),
    component("tarsqueryproperty", &[("QueryObj", 18693)], 18697),
];

/// The components that a slave has beside tarsnode, in the order in which they are started.
#[must_use]
pub fn slave() -> Vec<Component> {
    let names = [
        "tarsregistry",
        "tarsconfig",
        "tarsnotify",
        "tarsquerystat",
        "tarsqueryproperty",
    ];
    names.into_iter().filter_map(Component::named).collect()
}

impl Component {
    /// The component of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        COMPONENTS
            .into_iter()
            .find(|component| component.name == name)
    }

    /// All its ports.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        let objects = self.objects.iter().map(|(_, port)| *port);
        objects.chain([self.local])
    }
}

/// Where and how components are laid out.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    /// The folder `tars`: a component goes to `<tars>/<component>`.
    pub tars: &'a Path,
    /// The address on which everything listens, administration objects too, so that many hosts fit
    /// on one machine's loopback addresses.
    pub ip: IpAddr,
    /// The registries, such as `tcp -h 127.0.1.1 -p 17890`, joined by colons.
    pub registries: &'a str,
    /// The tables of tarsregistry, tarsAdminRegistry and tarsnotify.
    pub database: &'a Database,
    /// How often background work happens.
    pub timings: Timings,
}

impl Layout<'_> {
    /// Write `<tars>/<component>/{bin,conf,util}`: a copy of the program `exe` that pretends to be
    /// `identity`, its configuration, and scripts that start and stop it as the shipped ones do.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn lay_out(
        &self,
        exe: &Path,
        component: Component,
        identity: &Identity,
    ) -> Result<(), FrameworkError> {
        let binary = self.binary(component);
        standin::make(exe, &binary, identity)?;
        self.lay_out_beside(component)
    }

    /// Lay out several components. Their stand-ins are one file with many names: a copy for each
    /// of them would be a gigabyte where the program is not optimised. They are replaced by renaming
    /// only, which leaves the others alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn lay_out_all(
        &self,
        exe: &Path,
        components: &[Component],
        identity: &Identity,
    ) -> Result<(), FrameworkError> {
        let mut first: Option<PathBuf> = None;
        for component in components.iter().copied() {
            let binary = self.binary(component);
            let linked = first.as_ref().is_some_and(|first| {
                let made = binary.parent().map_or(Ok(()), fs::create_dir_all);
                made.and_then(|()| fs::hard_link(first, &binary)).is_ok()
            });
            if !linked {
                standin::make(exe, &binary, identity)?;
            }
            first.get_or_insert(binary);
            self.lay_out_beside(component)?;
        }
        Ok(())
    }

    fn binary(&self, component: Component) -> PathBuf {
        let root = self.tars.join(component.name);
        root.join("bin").join(component.name)
    }

    fn lay_out_beside(&self, component: Component) -> Result<(), FrameworkError> {
        let root = self.tars.join(component.name);
        for (path, text, mode) in self.files(component) {
            write(&root.join(path), &text, mode)?;
        }
        Ok(())
    }

    /// What is beside a component's program: paths within its folder, texts, permission bits.
    #[must_use]
    pub fn files(&self, component: Component) -> Vec<(String, String, u32)> {
        let name = component.name;
        // It may hold a password.
        let conf = format!("conf/tars.{name}.config.conf");
        let mut all = vec![(conf, self.conf(component), 0o600)];
        let tars = self.tars.to_string_lossy();
        for (script, text) in packages::component_scripts(name) {
            let text = text.replace("TARS_PATH", &tars);
            all.push((format!("util/{script}"), text, 0o755));
        }
        all
    }

    /// The configuration of a component.
    #[must_use]
    pub fn conf(&self, component: Component) -> String {
        let timings = self.timings.section();
        let values = Values {
            ip: &self.ip.to_string(),
            tars: &self.tars.to_string_lossy(),
            registries: self.registries,
            db: &self.db(component),
            standin: &format!("    <standin>\n{timings}    </standin>\n"),
        };
        conf(component, &values)
    }

    /// Only those who use the tables are told where they are.
    fn db(&self, component: Component) -> String {
        let users = ["tarsregistry", "tarsAdminRegistry", "tarsnotify"];
        if users.contains(&component.name) {
            db(self.database)
        } else {
            String::new()
        }
    }

    /// Write what the installer writes: a server and its adapters for each of `components` on the
    /// node `node`, which count as running, and the templates.
    ///
    /// # Errors
    /// When the tables cannot be written.
    pub fn write_rows(
        &self,
        store: &dyn Store,
        node: &str,
        components: &[Component],
        identity: &Identity,
    ) -> Result<(), FrameworkError> {
        for row in templates_for(self.database) {
            store.insert_template(&row)?;
        }
        for component in components.iter().copied() {
            let name = component.name;
            let exe = self.tars.join(name).join("bin").join(name);
            let row = ServerRow {
                application: "tars".into(),
                server_name: name.into(),
                node_name: node.into(),
                exe_path: exe.to_string_lossy().into_owned(),
                template_name: format!("tars.{name}"),
                setting_state: "active".into(),
                present_state: "active".into(),
                patch_version: identity.version.clone(),
                patch_time: crate::clock::local_time(),
                tars_version: identity.tarscpp.clone(),
                ..ServerRow::default()
            };
            store.insert_server(&row, true)?;
            for (object, port) in component.objects {
                let row = AdapterRow {
                    application: "tars".into(),
                    server_name: name.into(),
                    node_name: node.into(),
                    adapter_name: format!("tars.{name}.{object}Adapter"),
                    thread_num: 5,
                    endpoint: format!("tcp -h {} -t 60000 -p {port}", self.ip),
                    max_connections: 200_000,
                    servant: format!("tars.{name}.{object}"),
                    queuecap: 100_000,
                    queuetimeout: 60_000,
                    protocol: "tars".into(),
                    ..AdapterRow::default()
                };
                store.insert_adapter(&row, true)?;
            }
        }
        Ok(())
    }
}

/// What a configuration says of its host.
struct Values<'a> {
    ip: &'a str,
    tars: &'a str,
    registries: &'a str,
    db: &'a str,
    standin: &'a str,
}

/// The configuration of a component.
fn conf(component: Component, values: &Values<'_>) -> String {
    let Values {
        ip,
        tars,
        registries,
        db,
        standin,
    } = values;
    let (name, local) = (component.name, component.local);
    let adapters: String = component
        .objects
        .iter()
        .map(|(object, port)| {
            format!(
                "\
            <tars.{name}.{object}Adapter>
                allow
                endpoint=tcp -h {ip} -p {port} -t 60000
                maxconns=4096
                protocol=tars
                queuecap=10000
                queuetimeout=60000
                servant=tars.{name}.{object}
                threads=5
            </tars.{name}.{object}Adapter>
"
            )
        })
        .collect();
    format!(
        "\
<tars>
    <application>
        enableset=n
        setdivision=NULL
        <client>
            locator=tars.tarsregistry.QueryObj@{registries}
            sync-invoke-timeout=3000
            async-invoke-timeout=5000
            modulename=tars.{name}
        </client>
        <server>
            app=tars
            server={name}
            localip={ip}
            local=tcp -h {ip} -p {local} -t 10000
            basepath={tars}/{name}/bin
            datapath={tars}/tarsnode/data/tars.{name}/data
            logpath={tars}/app_log
            node=tars.tarsnode.ServerObj@tcp -h {ip} -p 19386 -t 60000
{adapters}        </server>
    </application>
    <objname>
        QueryObjName=tars.tarsregistry.QueryObj
        RegistryObjName=tars.tarsregistry.RegistryObj
        AdminRegObjName=tars.tarsAdminRegistry.AdminRegObj
    </objname>
{db}    <nodeinfo>
        defaultTemplate=tars.tarsnode
    </nodeinfo>
{standin}</tars>
",
    )
}

/// The configuration of a component as shipped: with placeholders, and with the login that every
/// package has and no database.
#[must_use]
pub fn shipped_conf(component: Component) -> String {
    let values = Values {
        ip: "localip.tars.com",
        tars: "TARS_PATH",
        registries: "tcp -h registry.tars.com -p 17890",
        db: "    <db>\n        dbhost=db.tars.com\n        dbname=db_tars\n        dbuser=tars\n        \
             dbpass=tars2015\n        dbport=3306\n        charset=utf8\n    </db>\n",
        standin: "",
    };
    conf(component, &values)
}

/// Write the part of a deploy tree that holds `components`, as the framework's build installs it:
/// `<root>/framework/{servers,conf,util-linux}/<component>` and `FRAMEWORK_VERSION.txt`. Their
/// stand-ins are one file with many names.
///
/// # Errors
/// When a file cannot be written.
pub fn write_deploy_tree(
    exe: &Path,
    root: &Path,
    components: &[Component],
    identity: &Identity,
) -> Result<(), FrameworkError> {
    let version = format!("{}\n", identity.version);
    write(&root.join("FRAMEWORK_VERSION.txt"), &version, 0o644)?;
    let framework = root.join("framework");
    let mut first: Option<PathBuf> = None;
    for component in components.iter().copied() {
        let name = component.name;
        let binary = framework.join("servers").join(name).join("bin").join(name);
        let linked = first.as_ref().is_some_and(|first| {
            let made = binary.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::hard_link(first, &binary)).is_ok()
        });
        if !linked {
            standin::make(exe, &binary, identity)?;
        }
        first.get_or_insert(binary);
        let conf = framework.join("conf").join(name).join("conf");
        let file = conf.join(format!("tars.{name}.config.conf"));
        write(&file, &shipped_conf(component), 0o644)?;
        let util = framework.join("util-linux").join(name).join("util");
        for (script, text) in packages::component_scripts(name) {
            write(&util.join(script), &text, 0o755)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), FrameworkError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| FrameworkError::Write {
            path: path.to_path_buf(),
            source,
        })
}

/// The templates, with the way to the tables in the one that holds it (`tars.framework-db`): what a
/// node generates for tarsregistry works with it.
fn templates_for(database: &Database) -> Vec<TemplateRow> {
    let mut rows = templates();
    for row in &mut rows {
        if row.template_name == "tars.framework-db" {
            row.profile = format!("<tars>\n{}</tars>\n", db(database));
        }
    }
    rows
}

/// The section of whoever uses the tables.
fn db(database: &Database) -> String {
    let lines = match database {
        Database::File(path) => format!("        standin-file={}\n", path.display()),
        Database::MariaDb {
            address,
            user,
            password,
            name,
        } => format!(
            "        dbhost={}\n        dbname={name}\n        dbuser={user}\n        \
             dbpass={password}\n        dbport={}\n        charset=utf8\n",
            address.ip(),
            address.port()
        ),
    };
    format!("    <db>\n{lines}    </db>\n")
}

/// Templates with the framework's names and parents, and as little in them as works.
#[must_use]
pub fn templates() -> Vec<TemplateRow> {
    let row = |name: &str, parent: &str, profile: &str| TemplateRow {
        template_name: name.into(),
        parents_name: parent.into(),
        profile: profile.into(),
        ..TemplateRow::default()
    };
    let mut rows = vec![
        row("tars.default", "tars.default", DEFAULT),
        row("tars.framework-db", "tars.default", EMPTY),
        row("tars.tarsnode", "tars.default", NODE),
    ];
    for component in COMPONENTS {
        let parent = match component.name {
            "tarspatch" | "tarslog" => "tars.default",
            _ => "tars.framework-db",
        };
        rows.push(row(&format!("tars.{}", component.name), parent, EMPTY));
    }
    rows
}

const EMPTY: &str = "<tars>\n</tars>\n";

const DEFAULT: &str = "\
<tars>
    <application>
        enableset=${enableset}
        setdivision=${setdivision}
        <client>
            locator=${locator}
            modulename=${modulename}
            sync-invoke-timeout=3000
            async-invoke-timeout=5000
        </client>
        <server>
            app=${app}
            server=${server}
            localip=${localip}
            nodename=${nodename}
            local=${local}
            basepath=${basepath}
            datapath=${datapath}
            logpath=${logpath}
        </server>
    </application>
</tars>
";

const NODE: &str = "\
<tars>
    <node>
        registryObj=tars.tarsregistry.RegistryObj
        adminObj=tars.tarsAdminRegistry.AdminRegObj
    </node>
</tars>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_names_are_each_there_once() {
        let mut ports: Vec<u16> = COMPONENTS.into_iter().flat_map(Component::ports).collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
        for component in COMPONENTS {
            assert!(standin::COMPONENTS.contains(&component.name));
            assert_eq!(Component::named(component.name), Some(component));
        }
        assert_eq!(COMPONENTS.len() + 1, standin::COMPONENTS.len());
    }

    #[test]
    fn a_password_stands_only_where_the_tables_are_used() {
        let database = Database::MariaDb {
            address: "127.0.0.1:3306".parse().unwrap(),
            user: "u".into(),
            password: "hush".into(),
            name: "db_tars".into(),
        };
        let layout = Layout {
            tars: Path::new("/t"),
            ip: "127.0.0.1".parse().unwrap(),
            registries: "tcp -h 127.0.0.1 -p 17890",
            database: &database,
            timings: Timings::default(),
        };
        let with: Vec<&str> = COMPONENTS
            .into_iter()
            .filter(|component| layout.conf(*component).contains("dbpass=hush"))
            .map(|component| component.name)
            .collect();
        assert_eq!(with, ["tarsregistry", "tarsAdminRegistry", "tarsnotify"]);
    }
}
