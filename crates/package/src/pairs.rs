//! Which tag of the public images holds which framework and which management platform.
//!
//! A tag of `tarscloud/framework` and `tarscloud/tars` is one of the repository TarsCloud/Tars, and not
//! the framework's version. The commits that such a tag pins as submodules are the only place where
//! framework and platform are paired; this table was read from them.
//!
//! It is a hint for people and nothing is decided by it, for three reasons. A tag is built again from
//! whatever was there on that day. Tags do not order: `v2.4.20` holds an older framework than `v2.4.19`.
//! And some names mislead: `v3.0.4` holds framework 3.0.3 with some commits after it. What an image
//! holds is read in the image.

use tarsops_model::version::Version;

/// What one tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The tag, without its `v`.
    pub tag: &'static str,
    /// The framework: the last tag of its repository before the commit.
    pub framework: &'static str,
    /// Commits after that tag.
    pub further: u32,
    /// The management platform.
    pub console: &'static str,
}

macro_rules! pairs {
    ($($tag:literal $framework:literal + $further:literal $console:literal;)*) => {
        /// The table, in the order in which the tags were made.
        pub const PAIRS: &[Pair] = &[$(Pair {
            tag: $tag,
            framework: $framework,
            further: $further,
            console: $console,
        }),*];
    };
}

pairs! {
    "2.4.0" "2.3.0" + 41 "2.1.0";
    "2.4.2" "2.4.2" + 0 "2.4.2";
    "2.4.5" "2.4.4" + 0 "2.4.7";
    "2.4.14" "2.4.11" + 0 "2.4.15";
    "2.4.15" "2.4.10" + 15 "2.4.15";
    "2.4.16" "2.4.12" + 0 "2.4.16";
    "2.4.17" "2.4.13" + 1 "2.4.16";
    "2.4.18" "2.4.14" + 0 "2.4.16";
    "2.4.19" "2.4.15" + 0 "2.4.19";
    "2.4.20" "2.4.14" + 29 "2.4.17";
    "2.4.21" "2.4.16" + 0 "2.4.20";
    "2.4.22" "2.4.17" + 0 "2.4.22";
    "3.0.0" "3.0.0" + 0 "2.4.18";
    "3.0.1" "3.0.1" + 0 "2.4.19";
    "3.0.2" "3.0.2" + 0 "2.4.20";
    "3.0.3" "3.0.3" + 0 "2.4.21";
    "3.0.4" "3.0.3" + 4 "2.4.23";
    "3.0.5" "3.0.4" + 2 "2.4.25";
    "3.0.6" "3.0.5" + 0 "2.4.27";
    "3.0.7" "3.0.6" + 0 "3.0.0";
    "3.0.9" "3.0.8" + 0 "3.0.2";
    "3.0.10" "3.0.9" + 0 "3.0.3";
    "3.0.11" "3.0.9" + 11 "3.0.6";
    "3.0.12" "3.0.9" + 18 "3.0.8";
    "3.0.13" "3.0.10" + 0 "3.0.9";
    "3.0.14" "3.0.11" + 0 "3.0.10";
    "3.0.15" "3.0.12" + 0 "3.0.11";
    "3.0.16" "3.0.12" + 0 "3.0.12";
    "3.0.17" "3.0.14" + 0 "3.0.13";
    "3.0.18" "3.0.15" + 0 "3.0.14";
    "3.0.19" "3.0.16" + 0 "3.0.14";
    "3.0.20" "3.0.17" + 0 "3.0.15";
}

/// What a tag holds, as far as that is known.
#[must_use]
pub fn pair(tag: &str) -> Option<&'static Pair> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    PAIRS.iter().find(|pair| pair.tag == tag)
}

/// The tags that hold a framework as it was released, with their `v`.
#[must_use]
pub fn tags_of(framework: Version) -> Vec<String> {
    let version = framework.to_string();
    let fits = |pair: &&Pair| pair.framework == version && pair.further == 0;
    let tags = PAIRS.iter().filter(fits);
    tags.map(|pair| format!("v{}", pair.tag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traps_are_in_the_table() {
        let of = |tag: &str| pair(tag).unwrap();
        assert_eq!((of("v3.0.4").framework, of("v3.0.4").further), ("3.0.3", 4));
        let version = |tag: &str| of(tag).framework.parse::<Version>().unwrap();
        assert!(version("2.4.20") < version("2.4.19"));
        assert!(version("2.4.15") < version("2.4.14"));
        assert_eq!(tags_of("3.0.12".parse().unwrap()), ["v3.0.15", "v3.0.16"]);
        assert_eq!(tags_of("3.0.17".parse().unwrap()), ["v3.0.20"]);
        assert!(pair("latest").is_none());
    }

    #[test]
    fn every_entry_is_two_versions() {
        for pair in PAIRS {
            for version in [pair.tag, pair.framework, pair.console] {
                assert!(version.parse::<Version>().is_ok(), "{version}");
            }
        }
    }
}
