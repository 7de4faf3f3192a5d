//! All that the planner may know.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::host::Host;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::package::Catalog;

/// The input of the planner.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// What the spec wants.
    pub desired: &'a Desired,
    /// What was seen.
    pub inventory: &'a Inventory,
    /// What is known of packages.
    pub catalog: &'a Catalog,
    /// What of the cluster is meant.
    pub scope: &'a Scope,
    /// Seconds since 1970.
    pub now: i64,
}

/// The part of a cluster that a command is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Nodes; all of them if empty.
    pub nodes: BTreeSet<NodeName>,
    /// Components; all of them if empty.
    pub components: BTreeSet<Component>,
    /// Whether what needs a management platform that does not answer waits, instead of holding
    /// everything up.
    pub without_console: bool,
}

/// Why `--on` could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Neither a node, nor a component, nor a glob that fits one.
    #[error("`{0}` is no node, label, component or pattern that fits one in the spec")]
    NoMatch(String),
    /// The glob itself is wrong.
    #[error("`{0}` is not a pattern: {1}")]
    BadGlob(String, String),
    /// Everything is taken away: none is left of the kind.
    #[error("the words with `!` leave no {0}")]
    Nothing(&'static str),
}

impl Scope {
    /// The words that [`Scope::parse`] reads as this scope.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        // A node may be called as a component is: in brackets it is none.
        let node = |name: &NodeName| match name.as_str().split_at_checked(1) {
            Some((first, rest)) if name.as_str().parse::<Component>().is_ok() => {
                format!("[{first}]{rest}")
            }
            _ => name.to_string(),
        };
        let nodes = self.nodes.iter().map(node);
        nodes
            .chain(self.components.iter().map(ToString::to_string))
            .collect()
    }

    /// Reads the words of `--on`: node names, globs over them, `@label=value` and components. A word
    /// after `!` takes away what it names, from what the other words name or else from everything.
    ///
    /// # Errors
    /// [`ScopeError`] for a word that fits nothing, and for words that leave nothing: a typing error
    /// must not widen or empty a run.
    pub fn parse(words: &[String], desired: &Desired) -> Result<Self, ScopeError> {
        let mut meant = Self::default();
        let mut excluded = Self::default();
        for word in words
            .iter()
            .flat_map(|w| w.split(','))
            .filter(|w| !w.is_empty())
        {
            match word.strip_prefix('!') {
                Some(word) => excluded.add(word, desired)?,
                None => meant.add(word, desired)?,
            }
        }
        if !excluded.nodes.is_empty() {
            if meant.nodes.is_empty() {
                meant.nodes = desired.hosts().map(|(n, _)| n.clone()).collect();
            }
            meant.nodes.retain(|n| !excluded.nodes.contains(n));
            if meant.nodes.is_empty() {
                return Err(ScopeError::Nothing("node"));
            }
        }
        if !excluded.components.is_empty() {
            if meant.components.is_empty() {
                meant.components = Component::ALL.into();
            }
            meant
                .components
                .retain(|c| !excluded.components.contains(c));
            if meant.components.is_empty() {
                return Err(ScopeError::Nothing("component"));
            }
        }
        Ok(meant)
    }

    /// Adds what one word names.
    fn add(&mut self, word: &str, desired: &Desired) -> Result<(), ScopeError> {
        if let Ok(component) = word.parse::<Component>() {
            self.components.insert(component);
            return Ok(());
        }
        let mut seen = false;
        if let Some(label) = word.strip_prefix('@') {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            let fits = |h: &Host| {
                h.labels
                    .get(key)
                    .is_some_and(|v| value.is_empty() || v == value)
            };
            for (node, _) in desired.hosts().filter(|(_, h)| fits(h)) {
                seen = true;
                self.nodes.insert(node.clone());
            }
        } else {
            let glob = globset::Glob::new(word)
                .map_err(|e| ScopeError::BadGlob(word.to_owned(), e.to_string()))?
                .compile_matcher();
            for (node, _) in desired.hosts() {
                if node.as_str() == word || glob.is_match(node.as_str()) {
                    seen = true;
                    self.nodes.insert(node.clone());
                }
            }
        }
        if !seen {
            return Err(ScopeError::NoMatch(word.to_owned()));
        }
        Ok(())
    }

    /// Whether the node is meant.
    #[must_use]
    pub fn has_node(&self, node: &NodeName) -> bool {
        self.nodes.is_empty() || self.nodes.contains(node)
    }

    /// Whether the component is meant.
    #[must_use]
    pub fn has_component(&self, component: Component) -> bool {
        self.components.is_empty() || self.components.contains(&component)
    }
}
