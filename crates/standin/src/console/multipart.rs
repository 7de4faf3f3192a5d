//! Forms with files (`multipart/form-data`), read from a body that is all there.

/// One part of a form.
pub(super) struct Part {
    pub(super) name: String,
    /// Whether it is a file, whatever its name.
    pub(super) file: bool,
    pub(super) bytes: Vec<u8>,
}

/// The boundary that a content type names.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = rest
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"').to_owned())
}

/// The parts of a body; none where it is no such form.
pub(super) fn parts(body: &[u8], boundary: &str) -> Option<Vec<Part>> {
    let first = format!("--{boundary}");
    let next = format!("\r\n--{boundary}");
    let mut rest = body.get(find(body, first.as_bytes())? + first.len()..)?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let end = find(rest, next.as_bytes())?;
        let disposition = head.lines().find(|line| {
            line.to_ascii_lowercase()
                .starts_with("content-disposition:")
        })?;
        let parameter = |name: &str| {
            disposition.split(';').find_map(|part| {
                let value = part.trim().strip_prefix(name)?.strip_prefix('=')?;
                Some(value.trim_matches('"').to_owned())
            })
        };
        parts.push(Part {
            name: parameter("name")?,
            file: parameter("filename").is_some(),
            bytes: rest[..end].to_vec(),
        });
        rest = &rest[end + next.len()..];
    }
    Some(parts)
}

/// Where `needle` begins. Its first byte is looked for at once: bodies are large, and it is rare there.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, last) = (*needle.first()?, haystack.len().checked_sub(needle.len())?);
    let mut from = 0;
    while from <= last {
        let at = from
            + haystack[from..=last]
                .iter()
                .position(|byte| *byte == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_apart() {
        let kind = "multipart/form-data; boundary=\"x y\"";
        assert_eq!(boundary(kind).as_deref(), Some("x y"));
        assert_eq!(boundary("application/json; boundary=x"), None);
        let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\n\
            content-disposition: form-data; name=\"suse\"; filename=\"t.tgz\"\r\nContent-Type: b\
            \r\n\r\n\r\n-\r\n--\r\n--x--\r\n";
        let all = parts(body, "x").unwrap();
        let told: Vec<_> = all
            .iter()
            .map(|part| (part.name.as_str(), part.file, part.bytes.as_slice()))
            .collect();
        assert_eq!(
            told,
            [("a", false, &b"1"[..]), ("suse", true, &b"\r\n-\r\n--"[..])]
        );
        for end in 0..body.len() - 4 {
            assert!(parts(&body[..end], "x").is_none());
        }
    }
}
