//! Packets of the database's protocol: three bytes of length, a number, a payload.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How large one packet may be, in bytes: a row, or a statement. Servers allow 16 MiB (MariaDB) or
/// 64 MiB (MySQL) unless they are set up otherwise.
pub(super) const PACKET: usize = 64 << 20;
/// A payload of this length continues in the next packet.
const WHOLE: usize = 0xff_ffff;
/// What the relay passes on of one packet: a part too much, at which the client's own limit speaks up.
const PASSED: usize = PACKET + WHOLE;
const HEAD: usize = 4;
/// The first byte of a packet with an error.
const ERROR: u8 = 0xff;
/// The first byte of an answer that asks for a file of the client.
const LOCAL_INFILE: u8 = 0xfb;
/// The first byte of a number of 24 and of 64 bits: of columns, or the length of a row's first value.
/// The second one also begins the end of an answer, which has at most [`END`] bytes.
const LONG_24: u8 = 0xfd;
const LONG_64: u8 = 0xfe;
const END: usize = 8;
/// A value whose length needs 24 bits has so many bytes at least.
const LEAST_24: usize = 1 << 16;
/// The number of the first packet of an answer. Clients take no other one for it.
const FIRST: u8 = 1;
/// `ER_UNKNOWN_ERROR`. Clients do not believe a server that sends a number of their own.
const REFUSED: u16 = 1105;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) sequence: u8,
    pub(super) payload: Vec<u8>,
}

impl Packet {
    pub(super) const fn new(sequence: u8, payload: Vec<u8>) -> Self {
        Self { sequence, payload }
    }

    pub(super) fn is_error(&self) -> bool {
        self.payload.first() == Some(&ERROR)
    }

    fn write(&self, out: &mut Vec<u8>) {
        // The callers' payloads are far shorter than a length can be.
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes()[..3]);
        out.push(self.sequence);
        out.extend_from_slice(&self.payload);
    }
}

/// Reads one packet, and not a byte of the next. One that is larger than `most` bytes is an error of
/// the kind [`io::ErrorKind::FileTooLarge`].
pub(super) async fn read_packet(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> io::Result<Packet> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).await?;
    let length = length(head);
    if length > most {
        let text = format!("a packet of {length} bytes, and {most} are the most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    Ok(Packet::new(head[3], payload))
}

/// Writes one packet.
pub(super) async fn write_packet(
    to: &mut (impl AsyncWrite + Unpin),
    packet: &Packet,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEAD + packet.payload.len());
    packet.write(&mut bytes);
    to.write_all(&bytes).await?;
    to.flush().await
}

fn length(head: [u8; HEAD]) -> usize {
    usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16
}

/// Why a packet of the server is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    sequence: u8,
    /// Whether the client is in the middle of a packet, where nothing can be said to it.
    within: bool,
    /// One clause.
    pub(super) why: String,
}

impl Refused {
    /// Puts an error in the place of the packet, where it has one.
    pub(super) fn as_error(&self, text: &str, out: &mut Vec<u8>) {
        if self.within {
            return;
        }
        let mut payload = vec![ERROR];
        payload.extend_from_slice(&REFUSED.to_le_bytes());
        payload.extend_from_slice(b"#HY000");
        payload.extend_from_slice(text.as_bytes());
        Packet::new(self.sequence, payload).write(out);
    }
}

/// Looks at the heads of packets that pass in pieces of any size.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    seen: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// Whether no byte of the payload was seen yet.
    fresh: bool,
    /// Length of the payload so far, with the packets that it continues in.
    whole: usize,
    goes_on: bool,
    /// How many bytes an answer may have, and how many this one has.
    answer: Option<u64>,
    spent: u64,
}

impl Frames {
    pub(super) fn new(answer: Option<u64>) -> Self {
        Self {
            answer,
            ..Self::default()
        }
    }

    /// Passes `piece` on to `out`, up to a packet that the client must not see. `asked` says that the
    /// next packet is the first of an answer, and is rolled back then.
    pub(super) fn pass(
        &mut self,
        mut piece: &[u8],
        asked: &AtomicBool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        while !piece.is_empty() {
            if self.seen < HEAD {
                let count = piece.len().min(HEAD - self.seen);
                self.head[self.seen..self.seen + count].copy_from_slice(&piece[..count]);
                self.seen += count;
                piece = &piece[count..];
                if self.seen == HEAD {
                    self.begin(out)?;
                }
                continue;
            }
            if self.fresh {
                self.fresh = false;
                let is_answer = asked.swap(false, Ordering::AcqRel);
                if is_answer {
                    self.spent = self.left as u64;
                }
                self.begins_with(piece[0], is_answer)?;
                out.extend_from_slice(&self.head);
            }
            let count = piece.len().min(self.left);
            out.extend_from_slice(&piece[..count]);
            self.left -= count;
            piece = &piece[count..];
            if self.left == 0 {
                self.seen = 0;
            }
        }
        Ok(())
    }

    /// Looks at the first byte of a packet. What a server sends behind the end of an answer comes before
    /// the next question, and its client takes it for the answer to that. So a number of columns for which
    /// a client would free space at once is known by its shape, wherever it stands.
    fn begins_with(&self, first: u8, is_answer: bool) -> Result<(), Refused> {
        let is_first = is_answer || self.head[3] == FIRST;
        let why = match first {
            LOCAL_INFILE if is_answer => "it asks for a file of this machine",
            // As the length of a value it would stand before 16 MiB at least. No table of the framework has
            // such a value in its first column; so this is no row.
            LONG_64 if self.left > END => "its answer has too many columns",
            // As the length of a value it needs the value behind it.
            LONG_24 if is_first || self.left < LEAST_24 => "its answer has too many columns",
            _ => return Ok(()),
        };
        Err(self.refused(why.to_owned()))
    }

    /// A head is there: the head itself is passed on with the first byte of its payload.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Refused> {
        let length = length(self.head);
        self.whole = length + if self.goes_on { self.whole } else { 0 };
        if self.whole > PASSED {
            let why = format!("it sends a packet of more than {} MiB", PACKET >> 20);
            return Err(self.refused(why));
        }
        self.spent = self.spent.saturating_add(length as u64);
        if let Some(most) = self.answer.filter(|most| self.spent > *most) {
            let why = format!("its answer has more than {} MiB", most >> 20);
            return Err(self.refused(why));
        }
        self.fresh = !self.goes_on && length > 0;
        self.goes_on = length == WHOLE;
        self.left = length;
        if !self.fresh {
            out.extend_from_slice(&self.head);
        }
        if length == 0 {
            self.seen = 0;
        }
        Ok(())
    }

    const fn refused(&self, why: String) -> Refused {
        Refused {
            sequence: self.head[3],
            within: self.goes_on,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(packets: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, payload) in packets {
            Packet::new(*sequence, payload.to_vec()).write(&mut out);
        }
        out
    }

    /// What passes when it comes in pieces of `size`.
    fn passed(all: &[u8], size: usize, asked: bool) -> (Vec<u8>, Result<(), Refused>) {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let asked = AtomicBool::new(asked);
        for piece in all.chunks(size) {
            if let Err(refused) = frames.pass(piece, &asked, &mut out) {
                return (out, Err(refused));
            }
        }
        (out, Ok(()))
    }

    #[test]
    fn packets_pass_unchanged_in_pieces_of_any_size() {
        let all = bytes(&[(1, b"\x01"), (2, b""), (3, b"\xfbrow"), (4, b"\xfe\0\0")]);
        for size in 1..=all.len() {
            assert_eq!(passed(&all, size, true), (all.clone(), Ok(())), "{size}");
        }
    }

    #[test]
    fn a_request_for_a_file_is_refused_only_where_an_answer_begins() {
        let before = bytes(&[(1, b"")]);
        let all = bytes(&[(1, b""), (2, b"\xfb/etc/passwd")]);
        for size in 1..=all.len() {
            let (out, result) = passed(&all, size, true);
            assert_eq!(out, before, "{size}");
            assert_eq!(result.unwrap_err().sequence, 2);
            // A row whose first value is NULL begins so, too.
            assert_eq!(passed(&all, size, false), (all.clone(), Ok(())));
        }
    }

    #[test]
    fn too_many_columns_are_refused_wherever_they_stand() {
        let mut row = vec![LONG_24, 0, 0, 1];
        row.resize(4 + LEAST_24, b'x');
        let many = [&[LONG_64][..], &(1_u64 << 62).to_le_bytes()].concat();
        for bad in [
            many.clone(),
            [many, vec![b'x'; LEAST_24]].concat(),
            vec![LONG_24, 0xff, 0xff, 0xff],
            row.clone(),
        ] {
            let before = bytes(&[(5, b"\xfe\0\0\x02\0")]);
            let all = [&before[..], &bytes(&[(1, &bad)])].concat();
            for size in [1, 7, all.len()] {
                let (out, result) = passed(&all, size, false);
                assert_eq!(out, before, "{size}");
                assert!(result.unwrap_err().why.contains("too many columns"));
            }
        }
        // The end of an answer, and a row with a long value.
        let all = bytes(&[(5, &row), (6, b"\xfe\0\0\x02\0")]);
        assert_eq!(passed(&all, 100, false), (all.clone(), Ok(())));
    }

    #[test]
    fn a_packet_that_goes_on_has_a_limit_as_a_whole() {
        let part = vec![b'x'; WHOLE];
        let mut all = bytes(&[
            (1, &part),
            (2, &part),
            (3, &part),
            (4, b"\xfbrest"),
            (5, b"y"),
        ]);
        assert_eq!(passed(&all, 1 << 20, true), (all.clone(), Ok(())));
        let parts: Vec<(u8, &[u8])> = (1..=6).map(|number| (number, &part[..])).collect();
        all = bytes(&parts);
        let (out, result) = passed(&all, 1 << 20, true);
        let refused = result.unwrap_err();
        assert!(refused.why.contains("64 MiB"));
        assert_eq!(out.len(), 5 * (HEAD + WHOLE));
        // An error in the middle of a packet would be taken for a part of it.
        let mut said = Vec::new();
        refused.as_error("no", &mut said);
        assert!(said.is_empty());
    }
}
