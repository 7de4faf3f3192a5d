//! What an OpenSSH client configuration beside a spec may say.
//!
//! A spec is read from a repository, often from a pull request, by a machine that only plans. OpenSSH
//! starts programs that its configuration names, passes variables of the environment on, loads
//! libraries and opens ports. So the file may use only words of which none does that, with values
//! that no shell could read otherwise; whatever is not known to be harmless is refused, in files that
//! it includes as well. The reading is stricter than OpenSSH's own: a line that OpenSSH would take
//! and this does not is refused, never the other way round.

use std::path::{Path, PathBuf};

/// Bytes of one file that are read at most.
const MAX_FILE: u64 = 256 << 10;
/// Bytes of one line. Old releases of OpenSSH read a longer one as several.
const MAX_LINE: usize = 1000;
/// Files that are read at most, all included ones together.
const MAX_FILES: usize = 64;
/// Depth of included files; OpenSSH's own bound is 16.
const MAX_DEPTH: usize = 8;

/// Words that only choose among what OpenSSH does by itself, and those that the generated
/// configuration has switched off before (what is forwarded).
const HARMLESS: &[&str] = &[
    "addressfamily",
    "batchmode",
    "bindaddress",
    "bindinterface",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizehostname",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "certificatefile",
    "challengeresponseauthentication",
    "channeltimeout",
    "checkhostip",
    "ciphers",
    "clearallforwardings",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "escapechar",
    "exitonforwardfailure",
    "dynamicforward",
    "fingerprinthash",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "globalknownhostsfile",
    "gssapiauthentication",
    "hashknownhosts",
    "host",
    "hostbasedacceptedalgorithms",
    "hostbasedkeytypes",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityfile",
    "ignoreunknown",
    "ipqos",
    "kbdinteractiveauthentication",
    "kbdinteractivedevices",
    "kexalgorithms",
    "localforward",
    "loglevel",
    "macs",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "protocol",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "pubkeyauthentication",
    "rekeylimit",
    "remoteforward",
    "requesttty",
    "requiredrsasize",
    "revokedhostkeys",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "tag",
    "tcpkeepalive",
    "updatehostkeys",
    "user",
    "userknownhostsfile",
    "visualhostkey",
    "warnweakcrypto",
];
/// Words whose harmless value is to be off.
const OFF_ONLY: &[&str] = &[
    // Hands the private key, once it is open, to whatever is the agent.
    "addkeystoagent",
    "enablesshkeysign",
    "gatewayports",
    "gssapidelegatecredentials",
    "hostbasedauthentication",
    "knownhostscommand",
    "permitlocalcommand",
    "pkcs11provider",
    "proxycommand",
    "proxyusefdpass",
    "streamlocalbindunlink",
    "tunnel",
];
/// Words whose values OpenSSH puts into the command line of a shell when there is a jump host.
const NAMES: &[&str] = &["hostname", "user", "proxyjump", "hostkeyalias", "tag"];
/// What `Match` may ask.
const CRITERIA: &[&str] = &[
    "all",
    "canonical",
    "final",
    "host",
    "originalhost",
    "user",
    "localuser",
    "localnetwork",
    "tagged",
];

/// Why a configuration is not used, as one lowercase clause that names file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigRefusal {
    /// It, or a file that it includes, cannot be read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A line says more than is known to be harmless.
    #[error("{}:{line}: {word} {why}", .file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The word, as it stands there.
        word: String,
        /// What about it.
        why: &'static str,
    },
}

/// Checks the configuration at `path` and all that it includes. `home` is the home folder, in which
/// OpenSSH looks for included files.
///
/// # Errors
/// A [`ConfigRefusal`] for the first line that is not known to be harmless.
pub fn scan(path: &Path, home: Option<&Path>) -> Result<(), ConfigRefusal> {
    let mut files = 0;
    one_file(path, home, 0, &mut files)
}

fn one_file(
    path: &Path,
    home: Option<&Path>,
    depth: usize,
    files: &mut usize,
) -> Result<(), ConfigRefusal> {
    *files += 1;
    let text = read(path)?;
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let refuse = |word: &str, why| ConfigRefusal::Line {
            file: path.to_path_buf(),
            line: number + 1,
            word: shown(word),
            why,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let lossy = String::from_utf8_lossy(line);
        if line.len() > MAX_LINE {
            return Err(refuse(&lossy, "is longer than a line may be"));
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(refuse(&lossy, "is not UTF-8"));
        };
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(refuse(&lossy, "has a control character"));
        }
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        if word.is_empty() || !word.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(refuse(line, "does not begin with a plain keyword"));
        }
        // One `=` may stand between, with blanks around it.
        let rest = rest.trim_start_matches([' ', '\t']);
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let rest = rest.trim_matches([' ', '\t']);
        let included = one_line(word, rest, home).map_err(|why| refuse(word, why))?;
        for file in included {
            if depth + 1 >= MAX_DEPTH {
                return Err(refuse(word, "goes too deep"));
            }
            if *files >= MAX_FILES {
                return Err(refuse(word, "names too many files"));
            }
            one_file(&file, home, depth + 1, files)?;
        }
    }
    Ok(())
}

/// Judges one line; the files that it includes.
fn one_line(word: &str, value: &str, home: Option<&Path>) -> Result<Vec<PathBuf>, &'static str> {
    let word = word.to_ascii_lowercase();
    let word = word.as_str();
    if OFF_ONLY.contains(&word) {
        let off = ["no", "none", "\"no\"", "\"none\""];
        return if off.contains(&value.to_ascii_lowercase().as_str()) {
            Ok(Vec::new())
        } else {
            Err("can start programs, pass on what is ours or open ports")
        };
    }
    if value.contains('$') {
        return Err("names a variable of the environment");
    }
    if value.contains(['`', ';', '&', '|', '<', '>', '(', ')', '{', '}', '\'', '\\']) {
        return Err("has a value with a character that a shell could read");
    }
    if !value.matches('"').count().is_multiple_of(2) {
        return Err("has a quotation mark without its other half");
    }
    match word {
        // Another socket may be another user's, who would be handed keys or asked to sign.
        "identityagent" => {
            let agent = value.trim_matches('"');
            if agent.eq_ignore_ascii_case("none") || agent == "SSH_AUTH_SOCK" {
                Ok(Vec::new())
            } else {
                Err("names an agent other than `none` and `SSH_AUTH_SOCK`")
            }
        }
        "include" => include(value, home),
        "match" => {
            let asked = value.to_ascii_lowercase();
            // Conservative: nothing here may even look like `exec`.
            if asked.contains("exec") {
                return Err("with `exec` starts a program");
            }
            let mut words = asked.split([' ', '\t']).filter(|w| !w.is_empty());
            while let Some(criterion) = words.next() {
                let criterion = criterion.trim_start_matches('!');
                let criterion = criterion.split_once('=').map_or(criterion, |c| c.0);
                if !CRITERIA.contains(&criterion) {
                    return Err("asks for something that is not known");
                }
                let alone = ["all", "canonical", "final"].contains(&criterion);
                if !alone && !asked.contains('=') {
                    words.next();
                }
            }
            Ok(Vec::new())
        }
        "proxyjump" => {
            let value = value.trim_matches('"');
            let plain = value.eq_ignore_ascii_case("none")
                || value
                    .split(',')
                    .all(|hop| hop.parse::<tarsops_model::host::JumpHost>().is_ok());
            if plain {
                Ok(Vec::new())
            } else {
                Err("is not a list of `[user@]host[:port]`")
            }
        }
        _ if HARMLESS.contains(&word) => {
            if NAMES.contains(&word) && value.trim_start_matches('"').starts_with('-') {
                return Err("has a value that a program could take for an option");
            }
            Ok(Vec::new())
        }
        _ => Err("is not known to be harmless"),
    }
}

/// The files that an `Include` names. Those that are not there are passed over, as OpenSSH does.
fn include(value: &str, home: Option<&Path>) -> Result<Vec<PathBuf>, &'static str> {
    if value.contains(['%', '"']) {
        return Err("has a path whose meaning depends on the release of OpenSSH");
    }
    let mut found = Vec::new();
    for name in value.split([' ', '\t']).filter(|w| !w.is_empty()) {
        if name.starts_with('#') {
            return Err("has more than paths");
        }
        let path = if let Some(below) = name.strip_prefix("~/") {
            home.ok_or("needs a home folder")?.join(below)
        } else if name.starts_with('~') {
            return Err("names another user's home");
        } else if name.starts_with('/') {
            PathBuf::from(name)
        } else {
            home.ok_or("needs a home folder")?.join(".ssh").join(name)
        };
        let (Some(folder), Some(last)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Err("names no file");
        };
        let wild = ['*', '?', '['];
        if folder.to_string_lossy().contains(wild) {
            return Err("has a pattern in the name of a folder");
        }
        if last.contains('[') {
            return Err("has a pattern with brackets");
        }
        if last.contains(wild) {
            let pattern = globset::GlobBuilder::new(last)
                .backslash_escape(false)
                .build()
                .map_err(|_| "has a pattern that cannot be read")?
                .compile_matcher();
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            let mut names: Vec<PathBuf> = entries
                .filter_map(Result::ok)
                .filter(|e| pattern.is_match(e.file_name()))
                .map(|e| e.path())
                .collect();
            names.sort();
            found.extend(names);
        } else if path.symlink_metadata().is_ok() {
            found.push(path);
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigRefusal> {
    use std::io::Read as _;
    let unreadable = |why: String| ConfigRefusal::Unreadable {
        file: path.to_path_buf(),
        why,
    };
    // A pipe would be read here and not by OpenSSH.
    let meta = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
    if !meta.is_file() {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|e| unreadable(e.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(unreadable(format!("it is larger than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// A word of the file for a message: short, and nothing that a terminal would obey.
fn shown(word: &str) -> String {
    let mut out: String = word
        .chars()
        .take(40)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if word.chars().count() > 40 {
        out.push('…');
    }
    out
}
