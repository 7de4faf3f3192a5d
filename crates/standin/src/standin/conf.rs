//! The stand-in's own reader and writer of `<tars>` configuration files.
//!
//! Deliberately a second implementation, small and careless about form as the real agent's: it keeps
//! neither comments nor order. It must not grow into the lossless editor that the product uses.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// One `<section>`: keys in file order, then the sections inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) keys: Vec<(String, String)>,
    pub(super) sections: Vec<(String, Section)>,
}

impl Section {
    /// Read a whole file.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut open: Vec<(String, Section)> = vec![(String::new(), Section::default())];
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            if let Some(name) = line
                .strip_prefix("</")
                .and_then(|rest| rest.strip_suffix('>'))
            {
                let (opened, section) = open.pop().ok_or_else(|| wrong("nothing is open"))?;
                let Some((_, parent)) = open.last_mut() else {
                    return Err(wrong("nothing is open"));
                };
                if opened != name.trim() {
                    return Err(wrong(&format!("</{}> closes <{opened}>", name.trim())));
                }
                parent.sections.push((opened, section));
            } else if let Some(name) = line
                .strip_prefix('<')
                .and_then(|rest| rest.strip_suffix('>'))
            {
                open.push((name.trim().to_owned(), Section::default()));
            } else {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                if let Some((_, section)) = open.last_mut() {
                    section
                        .keys
                        .push((key.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some((_, root)), true) => Ok(root),
            (Some((name, _)), false) => Err(format!("<{name}> is never closed")),
            (None, _) => Err("nothing in it".to_owned()),
        }
    }

    /// The section at a path of names.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Section> {
        path.iter().try_fold(self, |section, name| {
            section
                .sections
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, s)| s)
        })
    }

    /// The section at a path of names, made where it is missing.
    pub(super) fn at_mut(&mut self, path: &[&str]) -> &mut Section {
        let Some((name, rest)) = path.split_first() else {
            return self;
        };
        let index = match self.sections.iter().position(|(n, _)| n == name) {
            Some(index) => index,
            None => {
                self.sections.push(((*name).to_owned(), Section::default()));
                self.sections.len() - 1
            }
        };
        self.sections[index].1.at_mut(rest)
    }

    /// A value; the last one wins where a key is repeated.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// Set a value.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.keys.retain(|(k, _)| k != key);
        self.keys.push((key.to_owned(), value.to_owned()));
    }

    /// Set a value unless there is one.
    pub(super) fn set_missing(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    /// The whole as text: no comments, keys in an order of its own.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.render_into(&mut text, 0);
        text
    }

    /// The whole as text in the order in which it was read, as templates travel (`TC_Config::tostr`).
    pub(super) fn render_in_order(&self) -> String {
        let mut text = String::new();
        self.render_in_order_into(&mut text, 0);
        text
    }

    fn render_in_order_into(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        for (key, value) in &self.keys {
            // Writing to a String cannot fail.
            let _ = match value.as_str() {
                "" => writeln!(text, "{indent}{key}"),
                value => writeln!(text, "{indent}{key}={value}"),
            };
        }
        for (name, section) in &self.sections {
            let _ = writeln!(text, "{indent}<{name}>");
            section.render_in_order_into(text, depth + 1);
            let _ = writeln!(text, "{indent}</{name}>");
        }
    }

    /// Take what `other` has: all of it with `update`, else only what is missing here
    /// (`TC_Config::joinConfig`).
    pub(super) fn join(&mut self, other: &Self, update: bool) {
        for (key, value) in &other.keys {
            match self.keys.iter_mut().find(|(k, _)| k == key) {
                Some((_, old)) if update => old.clone_from(value),
                Some(_) => {}
                None => self.keys.push((key.clone(), value.clone())),
            }
        }
        for (name, section) in &other.sections {
            match self.sections.iter_mut().find(|(n, _)| n == name) {
                Some((_, own)) => own.join(section, update),
                None => self.sections.push((name.clone(), section.clone())),
            }
        }
    }

    fn render_into(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|(key, _)| (key != "locator", key.clone()));
        for (key, value) in keys {
            // Writing to a String cannot fail.
            let _ = match value.as_str() {
                "" => writeln!(text, "{indent}{key}"),
                value => writeln!(text, "{indent}{key}={value}"),
            };
        }
        for (name, section) in &self.sections {
            let _ = writeln!(text, "{indent}<{name}>");
            section.render_into(text, depth + 1);
            let _ = writeln!(text, "{indent}</{name}>");
        }
    }
}

/// Host and port of one endpoint such as `tcp -h 10.0.0.1 -p 19386 -t 60000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Read `tcp -h HOST -p PORT …`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |flag: &str| {
            words
                .iter()
                .position(|word| *word == flag)
                .and_then(|i| words.get(i + 1))
                .copied()
        };
        if words.first() != Some(&"tcp") {
            return Err(format!("'{text}' is no tcp endpoint"));
        }
        let host = after("-h").ok_or_else(|| format!("'{text}' names no host"))?;
        let port = after("-p")
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| format!("'{text}' names no port"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The endpoints of a locator `OBJ@tcp …:tcp …`, each once, in order.
    pub(super) fn parse_locator(locator: &str) -> Result<Vec<Self>, String> {
        let (_, list) = locator
            .split_once('@')
            .ok_or_else(|| format!("locator '{locator}' has no address"))?;
        let mut endpoints = Vec::new();
        for text in list.split(':') {
            let endpoint = Self::parse(text)?;
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        Ok(endpoints)
    }

    /// The milliseconds after `-t`; the framework's default where there are none (TarsCpp
    /// `tc_epoll_server.cpp`, `TC_Endpoint::parse`).
    pub(super) fn timeout(text: &str) -> i32 {
        let words: Vec<&str> = text.split_whitespace().collect();
        let place = words.iter().position(|word| *word == "-t");
        place
            .and_then(|i| words.get(i + 1))
            .and_then(|word| word.parse().ok())
            .unwrap_or(3000)
    }

    /// The socket address. Only addresses are resolved, never names: a stand-in asks no name server.
    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        let host = if self.host == "localhost" {
            "127.0.0.1"
        } else {
            &self.host
        };
        host.parse::<IpAddr>()
            .map(|ip| SocketAddr::new(ip, self.port))
            .map_err(|_| format!("cannot resolve host '{host}'"))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tcp -h {} -p {}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_renders() {
        let text = "<tars>\n# why\n b = 2\n a\n <x>\n  k=v=w\n </x>\n</tars>\n";
        let conf = Section::parse(text).unwrap();
        assert_eq!(conf.at(&["tars", "x"]).unwrap().get("k"), Some("v=w"));
        assert_eq!(
            conf.render(),
            "<tars>\n  a\n  b=2\n  <x>\n    k=v=w\n  </x>\n</tars>\n"
        );
    }

    #[test]
    fn joins_keep_the_order_and_say_who_wins() {
        let own = Section::parse("<t>\nb=1\n<x>\nk=1\n</x>\n</t>\n").unwrap();
        let other = Section::parse("<t>\na=2\nb=2\n<x>\nk=2\nl\n</x>\n</t>\n").unwrap();
        let mut kept = own.clone();
        kept.join(&other, false);
        let text = "<t>\n  b=1\n  a=2\n  <x>\n    k=1\n    l\n  </x>\n</t>\n";
        assert_eq!(kept.render_in_order(), text);
        let mut updated = own;
        updated.join(&other, true);
        assert_eq!(updated.render_in_order(), text.replace("=1", "=2"));
    }

    #[test]
    fn refuses_what_does_not_nest() {
        assert!(Section::parse("<tars>").is_err());
        assert!(Section::parse("<tars>\n</tras>").is_err());
        assert!(Section::parse("</tars>").is_err());
    }

    #[test]
    fn placeholders_do_not_resolve() {
        assert!(Endpoint::parse_locator("tars.tarsregistry.QueryObj@registryAddress").is_err());
        let endpoint = Endpoint::parse("tcp -h localip.tars.com -p 19386").unwrap();
        assert!(endpoint.address().is_err());
    }

    #[test]
    fn doubled_endpoints_count_once() {
        let twice = "o@tcp -h 1.2.3.4 -p 1:tcp -h 1.2.3.5 -p 1:tcp -h 1.2.3.4 -p 1";
        assert_eq!(Endpoint::parse_locator(twice).unwrap().len(), 2);
    }
}
