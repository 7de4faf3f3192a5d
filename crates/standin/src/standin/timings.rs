//! How often stand-ins do what the framework does in its background threads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conf::Section;

/// Intervals of the framework's background work. The defaults are the framework's own; tests and
/// demonstrations cannot wait so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Between two heartbeats of a node: 10 s (`KeepAliveThread.cpp`, `reportAliveInterval`).
    pub keep_alive: Duration,
    /// Between two signs of life on a node's long connection: 10 s (`ServerManager.cpp`).
    pub report: Duration,
    /// Between two looks of a node at its servers and, while it is not registered, two tries to be:
    /// 3 s (`KeepAliveThread.cpp`, `monitorInterval`).
    pub monitor: Duration,
    /// Between two times that a node reports the state of every server, changed or not: 60 s
    /// (`synStatInterval`).
    pub sync: Duration,
    /// Between two times that tarsregistry writes its rows and reads the others: 13 s
    /// (`ReapThread.cpp`, `loadObjectsInterval1` as shipped).
    pub registry: Duration,
    /// Silence after which a node is inactive: 250 s (`CheckNodeThread.cpp`, `nodeTimeout`).
    pub node_timeout: Duration,
    /// Between two looks for silent nodes: 60 s (`nodeTimeoutInterval`).
    pub node_check: Duration,
    /// Silence after which a registry's row is inactive: 150 s (`registryTimeout` as shipped).
    pub registry_timeout: Duration,
    /// Between two times that tarsAdminRegistry replaces its rows: 15 s (`AdminReapThread.cpp`,
    /// `updateHeartInterval` as shipped).
    pub admin: Duration,
    /// Between two looks at how far a node is with what it publishes: 1 s (`ExecuteTask.cpp`).
    // Clusters that were made before it was there are taken down, too.
    #[serde(default = "patch")]
    pub patch: Duration,
}

const fn patch() -> Duration {
    Duration::from_secs(1)
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(10),
            report: Duration::from_secs(10),
            monitor: Duration::from_secs(3),
            sync: Duration::from_secs(60),
            registry: Duration::from_secs(13),
            node_timeout: Duration::from_secs(250),
            node_check: Duration::from_secs(60),
            registry_timeout: Duration::from_secs(150),
            admin: Duration::from_secs(15),
            patch: patch(),
        }
    }
}

impl Timings {
    /// The framework's own, `factor` times as fast.
    #[must_use]
    pub fn faster(factor: u32) -> Self {
        let mut timings = Self::default();
        for (_, interval) in timings.all_mut() {
            *interval /= factor.max(1);
        }
        timings
    }

    fn all_mut(&mut self) -> [(&'static str, &mut Duration); 10] {
        [
            ("keep-alive-ms", &mut self.keep_alive),
            ("report-ms", &mut self.report),
            ("monitor-ms", &mut self.monitor),
            ("sync-ms", &mut self.sync),
            ("registry-ms", &mut self.registry),
            ("node-timeout-ms", &mut self.node_timeout),
            ("node-check-ms", &mut self.node_check),
            ("registry-timeout-ms", &mut self.registry_timeout),
            ("admin-ms", &mut self.admin),
            ("patch-ms", &mut self.patch),
        ]
    }

    /// As environment variables, which every stand-in reads: `TARSOPS_STANDIN_KEEP_ALIVE_MS` and so
    /// on. They win over the section `<standin>` of a configuration.
    #[must_use]
    pub fn environment(self) -> Vec<(String, String)> {
        let mut timings = self;
        timings
            .all_mut()
            .map(|(key, interval)| (variable(key), interval.as_millis().to_string()))
            .to_vec()
    }

    /// As the lines of a section `<standin>` directly under `<tars>`.
    #[must_use]
    pub fn section(self) -> String {
        let mut timings = self;
        timings
            .all_mut()
            .map(|(key, interval)| format!("        {key}={}\n", interval.as_millis()))
            .concat()
    }

    /// What a configuration and the environment say.
    pub(super) fn read(conf: &Section) -> Self {
        let mut timings = Self::default();
        let section = conf.at(&["tars", "standin"]);
        for (key, interval) in timings.all_mut() {
            let written = section.and_then(|section| section.get(key));
            let said = std::env::var(variable(key)).ok();
            let value = said
                .as_deref()
                .or(written)
                .and_then(|text| text.parse().ok());
            if let Some(millis) = value {
                *interval = Duration::from_millis(millis);
            }
            *interval = (*interval).max(Duration::from_millis(10));
        }
        timings
    }
}

fn variable(key: &str) -> String {
    format!("TARSOPS_STANDIN_{}", key.replace('-', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_back() {
        let quick = Timings::faster(100);
        let text = format!(
            "<tars>\n<standin>\n{}</standin>\n</tars>\n",
            quick.section()
        );
        assert_eq!(Timings::read(&Section::parse(&text).unwrap()), quick);
        assert_eq!(quick.node_timeout, Duration::from_millis(2500));
        let names: Vec<String> = quick.environment().into_iter().map(|(n, _)| n).collect();
        assert!(names.contains(&"TARSOPS_STANDIN_KEEP_ALIVE_MS".to_owned()));
    }
}
