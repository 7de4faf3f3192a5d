//! Many node names as few ranges, the way a spec would write them.

use std::collections::BTreeMap;

/// A key under which names with numbers order as people expect: text by text, number by number.
#[must_use]
pub fn natural_key(name: &str) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, tail) = rest.split_at(text_end);
        let digits_end = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (digits, next) = tail.split_at(digits_end);
        out.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = next;
    }
    out
}

/// Writes names as ranges over their last number: `10.0.1.[1-3,7]`. Order and width are kept.
#[must_use]
pub fn compress<S: AsRef<str>>(names: &[S]) -> String {
    // (prefix, suffix, width if zero-padded) → numbers
    let mut groups: BTreeMap<(String, String, usize), Vec<u64>> = BTreeMap::new();
    let mut plain: Vec<String> = Vec::new();
    for name in names {
        let name = name.as_ref();
        let end = name.rfind(|c: char| c.is_ascii_digit()).map(|i| i + 1);
        let Some(end) = end else {
            plain.push(name.to_owned());
            continue;
        };
        let start = name[..end]
            .rfind(|c: char| !c.is_ascii_digit())
            .map_or(0, |i| i + 1);
        // rfind gives the first byte of a character that may be longer.
        let start = (start..end)
            .find(|i| name.is_char_boundary(*i))
            .unwrap_or(end);
        let digits = name.get(start..end).unwrap_or_default();
        match digits.parse::<u64>() {
            Ok(n) if digits.len() <= 9 => {
                let width = if digits.starts_with('0') {
                    digits.len()
                } else {
                    0
                };
                groups
                    .entry((name[..start].to_owned(), name[end..].to_owned(), width))
                    .or_default()
                    .push(n);
            }
            _ => plain.push(name.to_owned()),
        }
    }
    let mut out: Vec<String> = Vec::new();
    for ((prefix, suffix, width), mut numbers) in groups {
        numbers.sort_unstable();
        numbers.dedup();
        let mut parts: Vec<String> = Vec::new();
        let mut i = 0;
        while i < numbers.len() {
            let mut j = i;
            while j + 1 < numbers.len() && numbers[j + 1] == numbers[j] + 1 {
                j += 1;
            }
            parts.push(if i == j {
                format!("{:0width$}", numbers[i])
            } else {
                format!("{:0width$}-{:0width$}", numbers[i], numbers[j])
            });
            i = j + 1;
        }
        if numbers.len() == 1 {
            out.push(format!("{prefix}{}{suffix}", parts[0]));
        } else {
            out.push(format!("{prefix}[{}]{suffix}", parts.join(",")));
        }
    }
    out.extend(plain);
    out.sort_by_key(|n| natural_key(n));
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_ranges() {
        let names = [
            "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.7", "gw-01", "gw-02", "db",
        ];
        assert_eq!(compress(&names), "10.0.1.[1-3,7] db gw-[01-02]");
        assert_eq!(compress(&["10.0.0.9"]), "10.0.0.9");
        assert_eq!(compress::<&str>(&[]), "");
        assert_eq!(compress(&["é1é", "é2é"]), "é[1-2]é");
    }

    #[test]
    fn numbers_order_by_value() {
        let mut names = vec!["n10", "n9", "m100", "n9a"];
        names.sort_by_key(|n| natural_key(n));
        assert_eq!(names, ["m100", "n9", "n9a", "n10"]);
    }
}
