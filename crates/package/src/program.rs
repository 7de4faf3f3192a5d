//! Whether a file can be a program of the framework.

use std::io;

/// Bytes at the start of a file that tell whether it is a program.
pub const HEAD: usize = 18;

/// Takes the first [`HEAD`] bytes of what is written.
#[derive(Debug, Default)]
pub struct Head(pub Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEAD.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(room));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a file that begins like this cannot be a program of the framework, which are ELF files that
/// the kernel starts.
#[must_use]
pub fn no_program(head: &[u8]) -> Option<String> {
    if head.is_empty() {
        return Some("it is empty".to_owned());
    }
    if !head.starts_with(b"\x7fELF") {
        let shown = head.iter().take(8).copied().collect::<Vec<u8>>();
        let shown = shown.escape_ascii();
        return Some(format!("it is not an ELF file: it begins with `{shown}`"));
    }
    let kind = match (head.get(5), head.get(16..18)) {
        (Some(2), Some([high, low])) => Some(u16::from_be_bytes([*high, *low])),
        (Some(1), Some([low, high])) => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    };
    match kind {
        // ET_EXEC, and ET_DYN for a program that can be placed anywhere.
        Some(2 | 3) => None,
        Some(_) => {
            Some("it is an ELF file that cannot be started, such as an object file".to_owned())
        }
        None => Some("it is cut off after the first bytes of an ELF file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_starts_is_a_program() {
        let elf = |order: u8, kind: [u8; 2]| {
            let mut head = b"\x7fELF\x02".to_vec();
            head.push(order);
            head.resize(16, 0);
            head.extend(kind);
            head
        };
        for good in [elf(1, [2, 0]), elf(1, [3, 0]), elf(2, [0, 2])] {
            assert_eq!(no_program(&good), None, "{good:?}");
        }
        let bad: [(&[u8], &str); 6] = [
            (b"", "empty"),
            (b"#!/bin/sh\nexit\n", "#!/bin/sh"),
            (b"\x1f\x8b\x08", "\\x1f\\x8b"),
            (b"\x7fELF\x02\x01", "cut off"),
            (&elf(1, [1, 0]), "object file"),
            (&elf(1, [4, 0]), "object file"),
        ];
        for (head, why) in bad {
            let said = no_program(head).unwrap_or_default();
            let why = if why.len() > 8 { &why[..8] } else { why };
            assert!(said.contains(why), "{said}");
        }
    }
}
