//! Three texts of one file, line by line.

use std::fmt;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Lines that the new release and somebody on the host have changed, each in another way. It has no text of
/// the live file, and no value of the new one, into which secrets were filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The first of them in the live file, from 1.
    pub line: usize,
    /// How many there are in the live file; 0 where they were removed.
    pub count: usize,
    /// Names that the new release gives values there. They are enough to find the place.
    pub keys: Vec<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, count, keys } = self;
        match count {
            0 => write!(f, "what was removed before line {line}")?,
            1 => write!(f, "line {line}")?,
            _ => write!(f, "lines {line} to {}", line + count - 1)?,
        }
        f.write_str(" was changed on the host, and the new release changes the same lines")?;
        match keys.as_slice() {
            [] => Ok(()),
            keys => write!(f, " ({})", keys.join(", ")),
        }
    }
}

/// The name before the first `:` or `=` of a line, where it is a plain one.
fn key(line: &str) -> Option<String> {
    let (key, _) = line.split_once([':', '='])?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let key = key.trim();
    (!key.is_empty() && key.chars().all(plain)).then(|| key.to_owned())
}

/// `live` with what changed from `old` to `new`. The line ends of `live` are kept.
///
/// # Errors
/// Every [`Conflict`], in the order of the file. Nothing is merged by half.
pub fn merge(old: &str, new: &str, live: &str) -> Result<String, Vec<Conflict>> {
    let end = if live.contains("\r\n") { "\r\n" } else { "\n" };
    let [old, new, live] = [old, new, live].map(lines);
    let (to_new, to_live) = (matches(&old, &new), matches(&old, &live));
    let mut out: Vec<&str> = Vec::new();
    let mut conflicts = Vec::new();
    let (mut o, mut n, mut l) = (0, 0, 0);
    loop {
        // The next line of the old text that both others have, and where they have it.
        let next = (o..old.len()).find_map(|at| Some((at, to_new[at]?, to_live[at]?)));
        let (oe, ne, le) = next.unwrap_or((old.len(), new.len(), live.len()));
        let (was, comes, here) = (&old[o..oe], &new[n..ne], &live[l..le]);
        if was == comes || comes == here {
            out.extend(here);
        } else if was == here {
            out.extend(comes);
        } else {
            conflicts.push(Conflict {
                line: l + 1,
                count: here.len(),
                keys: comes.iter().filter_map(|line| key(line)).collect(),
            });
        }
        if next.is_none() {
            break;
        }
        out.push(live[le]);
        (o, n, l) = (oe + 1, ne + 1, le + 1);
    }
    match conflicts.is_empty() {
        true => Ok(out.join(end)),
        false => Err(conflicts),
    }
}

/// The lines, without their ends. What stands behind the last line end is one too.
fn lines(text: &str) -> Vec<&str> {
    let text = text.split('\n');
    text.map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect()
}

/// For each line of `old` the one of `other` that is the same, in order.
fn matches(old: &[&str], other: &[&str]) -> Vec<Option<usize>> {
    let mut out = vec![None; old.len()];
    for op in capture_diff_slices(Algorithm::Myers, old, other) {
        if let DiffOp::Equal {
            old_index,
            new_index,
            len,
        } = op
        {
            for step in 0..len {
                out[old_index + step] = Some(new_index + step);
            }
        }
    }
    out
}
