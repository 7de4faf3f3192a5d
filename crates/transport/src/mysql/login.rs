//! The packets of a login: which of them give the password to whoever reads along, and the switch
//! to TLS.
//!
//! `mysql_native_password`, `client_ed25519` and the short form of `caching_sha2_password` answer a
//! challenge: who reads along can try passwords against the answer, and does not see the password. The
//! full form of the last one needs a server that is encrypted. All other plugins are refused.

/// Bits of a server's or client's capabilities.
const COMPRESS: u32 = 1 << 5;
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const CONNECT_WITH_DB: u32 = 1 << 3;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_STATEMENTS: u32 = 1 << 16;
const PLUGIN_AUTH: u32 = 1 << 19;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;
const ZSTD: u32 = 1 << 26;
/// What no login through the relay has: files of the client, several statements in one question, and ends
/// of answers that look like the beginnings of others.
const NEVER: u32 = LOCAL_FILES | MULTI_STATEMENTS | DEPRECATE_EOF;

/// Where MariaDB's own capabilities are, four bytes: after the lower half of a greeting's capabilities, and
/// in a client's answer. None of them is wanted: reports of progress look like errors, and answers without
/// their columns need the new form of their ends. Other servers have zeros there.
const MARIADB: usize = 14;
const MARIADB_ANSWER: usize = 28;

/// Length of a request for TLS, and of what a client's answer begins with.
const REQUEST: usize = 32;
const VERSION: u8 = 10;

const NATIVE: &[u8] = b"mysql_native_password";
const CACHING: &[u8] = b"caching_sha2_password";
const ED25519: &[u8] = b"client_ed25519";
/// Proofs over a challenge, whoever reads along.
const PROOFS: [&[u8]; 3] = [NATIVE, CACHING, ED25519];
/// What has the client send the password itself, or a hash that is as good.
const EXPOSING: [&[u8]; 3] = [b"mysql_clear_password", b"dialog", b"mysql_old_password"];
/// Lengths of proofs: none for an empty password (or its final zero), SHA-1, SHA-256, a signature.
const PROOF: [usize; 5] = [0, 1, 20, 32, 64];

/// The first packet of a server.
pub(super) struct Greeting<'a> {
    payload: &'a [u8],
    /// Where the lower half of the capabilities is.
    low: usize,
    capabilities: u32,
}

impl<'a> Greeting<'a> {
    /// # Errors
    /// It is none; the clause continues after "greets".
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, String> {
        let short = || "in a form that is not known".to_owned();
        match payload.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(format!("with version {other} of the protocol")),
            None => return Err("with nothing".to_owned()),
        }
        let text = payload.iter().skip(1).position(|b| *b == 0);
        // The number of the connection, eight bytes of the challenge, a filler.
        let low = 1 + text.ok_or_else(short)? + 1 + 4 + 8 + 1;
        let half = |at: usize| -> Option<u32> {
            let bytes = payload.get(at..at + 2)?;
            Some(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        let (Some(lower), Some(upper)) = (half(low), half(low + 5)) else {
            return Err(short());
        };
        Ok(Self {
            payload,
            low,
            capabilities: lower | upper << 16,
        })
    }

    pub(super) const fn offers_tls(&self) -> bool {
        self.capabilities & SSL != 0
    }

    /// The greeting without what is the relay's affair (TLS) or would hide packets from it
    /// (compression), and without what is never wanted.
    pub(super) fn for_client(&self) -> Vec<u8> {
        let mut out = self.payload.to_vec();
        let kept = self.capabilities & !(SSL | COMPRESS | ZSTD | NEVER);
        let bytes = kept.to_le_bytes();
        out[self.low..self.low + 2].copy_from_slice(&bytes[..2]);
        out[self.low + 5..self.low + 7].copy_from_slice(&bytes[2..]);
        if let Some(more) = out.get_mut(self.low + MARIADB..self.low + MARIADB + 4) {
            more.fill(0);
        }
        out
    }
}

fn capabilities(answer: &[u8]) -> Result<u32, String> {
    let bytes = answer.get(..REQUEST).ok_or("in too few bytes")?;
    let all = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    if all & PROTOCOL_41 == 0 {
        return Err("in an old protocol".to_owned());
    }
    if all & (COMPRESS | ZSTD) != 0 {
        return Err("with compression".to_owned());
    }
    Ok(all)
}

/// Takes out of a client's first `answer` what the greeting did not offer it. Some clients name all that
/// they can do, and go by the greeting all the same.
///
/// # Errors
/// It is not one that is known.
pub(super) fn restrict(answer: &mut [u8]) -> Result<(), String> {
    let all = capabilities(answer)? & !NEVER;
    answer[..4].copy_from_slice(&all.to_le_bytes());
    answer[MARIADB_ANSWER..REQUEST].fill(0);
    Ok(())
}

/// The request for TLS that goes before the client's `answer`, and the answer as it comes after that.
///
/// # Errors
/// The client's answer is not one that can be encrypted.
pub(super) fn request_tls(answer: &mut [u8]) -> Result<Vec<u8>, String> {
    let all = capabilities(answer)? | SSL;
    answer[..4].copy_from_slice(&all.to_le_bytes());
    Ok(answer[..REQUEST].to_vec())
}

/// Whether a client's first `answer` has no password that can be read, encrypted or not: the greeting,
/// which chooses the plugin, is not encrypted.
///
/// # Errors
/// How it has.
pub(super) fn hides_password(answer: &[u8]) -> Result<(), Refusal> {
    let garbled = || Refusal::Exposes("by a client's answer that is not known".to_owned());
    let all = capabilities(answer).map_err(Refusal::Exposes)?;
    let rest = &answer[REQUEST..];
    let (_user, rest) = text(rest).ok_or_else(garbled)?;
    let (proof, rest) = if all & (PLUGIN_AUTH_LENENC | SECURE_CONNECTION) != 0 {
        // A length of one byte, in both forms: no proof is longer than 250 bytes.
        let (length, rest) = rest.split_first().ok_or_else(garbled)?;
        if rest.len() < usize::from(*length) || *length > 250 {
            return Err(garbled());
        }
        rest.split_at(usize::from(*length))
    } else {
        text(rest).ok_or_else(garbled)?
    };
    let rest = if all & CONNECT_WITH_DB != 0 {
        text(rest).ok_or_else(garbled)?.1
    } else {
        rest
    };
    if all & PLUGIN_AUTH == 0 {
        return is_a_proof(proof).map_err(Refusal::Exposes);
    }
    let (plugin, _) = text(rest).ok_or_else(garbled)?;
    if PROOFS.contains(&plugin) {
        return is_a_proof(proof).map_err(Refusal::Exposes);
    }
    Err(refusal(plugin))
}

/// Why a plugin is not taken.
fn refusal(plugin: &[u8]) -> Refusal {
    let name = String::from_utf8_lossy(plugin).into_owned();
    if EXPOSING.contains(&plugin) {
        Refusal::Exposes(format!("by {name}"))
    } else {
        Refusal::Lacks(name)
    }
}

/// Whether a client's further answer can be no password that is read as it is.
///
/// # Errors
/// How it can.
pub(super) fn is_a_proof(answer: &[u8]) -> Result<(), String> {
    if PROOF.contains(&answer.len()) && (answer.len() != 1 || answer == [0]) {
        return Ok(());
    }
    Err("as a text".to_owned())
}

/// A text up to its zero byte, and what comes after it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// What a packet of the server asks of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Another packet comes.
    Nothing,
    /// An answer.
    Answer,
    /// The login went well.
    Done,
    /// Nothing: the server lets nobody in, and no packet may follow.
    Nobody,
}

/// Why a packet of the server is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It asks for the password; in which form, after "asks for the password".
    Exposes(String),
    /// It wants a plugin that we do not have.
    Lacks(String),
    /// It is none of a login; the clause continues after the server's name.
    Garbled(String),
}

/// What the server's packet asks for. `encrypted` connections may carry more.
///
/// # Errors
/// It asks for the password in a form that we do not give, or for something else.
pub(super) fn judge(packet: &[u8], encrypted: bool) -> Result<Ask, Refusal> {
    let exposes = |how: String| Err(Refusal::Exposes(how));
    match packet {
        [0x00, ..] => Ok(Ask::Done),
        // MariaDB's report of progress has the form of an error, and clients continue after it.
        [0xff, 0xff, 0xff, ..] => Err(Refusal::Garbled(
            "reports progress where there is only a login".to_owned(),
        )),
        [0xff, ..] => Ok(Ask::Nobody),
        [0xfe] => exposes("by mysql_old_password".to_owned()),
        [0xfe, rest @ ..] => {
            let Some((plugin, _)) = text(rest) else {
                let why = "switches to a plugin without a name".to_owned();
                return Err(Refusal::Garbled(why));
            };
            if PROOFS.contains(&plugin) {
                return Ok(Ask::Answer);
            }
            Err(refusal(plugin))
        }
        // The short form of caching_sha2_password went well; the end comes next.
        [0x01, 0x03] => Ok(Ask::Nothing),
        [0x01, ..] if encrypted => Ok(Ask::Answer),
        [0x01, 0x04] => exposes("by the full form of caching_sha2_password".to_owned()),
        [0x01, ..] => exposes("by a key of its own".to_owned()),
        _ => Err(Refusal::Garbled(
            "sends what belongs to no login".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(capabilities: u32) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(b"8.4.0\0");
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(b"12345678\0");
        let bytes = capabilities.to_le_bytes();
        out.extend_from_slice(&bytes[..2]);
        out.extend_from_slice(&[45, 2, 0]);
        out.extend_from_slice(&bytes[2..]);
        out.extend_from_slice(&[21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(b"123456789012\0caching_sha2_password\0");
        out
    }

    #[test]
    fn a_client_sees_no_tls_no_compression_and_no_files() {
        let all = PROTOCOL_41 | SSL | COMPRESS | ZSTD | NEVER | PLUGIN_AUTH;
        let made = greeting(all);
        let seen = Greeting::parse(&made).unwrap();
        assert!(seen.offers_tls());
        assert_eq!(seen.for_client(), greeting(PROTOCOL_41 | PLUGIN_AUTH));
        // MariaDB's own.
        let mut own = made.clone();
        let at = own.windows(4).position(|w| w == b"1234").unwrap() + 9 + MARIADB;
        own[at..at + 4].fill(0xff);
        assert_eq!(own[at + 4..at + 8], *b"1234");
        let seen = Greeting::parse(&own).unwrap();
        assert_eq!(seen.for_client(), greeting(PROTOCOL_41 | PLUGIN_AUTH));
        let plain = greeting(PROTOCOL_41);
        assert!(!Greeting::parse(&plain).unwrap().offers_tls());
        for cut in 0..22 {
            assert!(Greeting::parse(&made[..cut]).is_err(), "{cut}");
        }
        assert!(Greeting::parse(&[9, 0]).is_err());
    }

    fn answer(capabilities: u32, proof: &[u8], plugin: &str) -> Vec<u8> {
        let mut out = capabilities.to_le_bytes().to_vec();
        out.resize(REQUEST, 0);
        out.extend_from_slice(b"ops\0");
        out.push(u8::try_from(proof.len()).unwrap());
        out.extend_from_slice(proof);
        out.extend_from_slice(plugin.as_bytes());
        out.push(0);
        out
    }

    #[test]
    fn what_was_not_offered_is_taken_out_of_an_answer() {
        let mut made = answer(PROTOCOL_41 | NEVER | PLUGIN_AUTH, b"", "p");
        made[28..32].fill(0xff);
        restrict(&mut made).unwrap();
        assert_eq!(made, answer(PROTOCOL_41 | PLUGIN_AUTH, b"", "p"));
        assert!(restrict(&mut [0; 31]).is_err());
    }

    #[test]
    fn a_request_for_tls_is_the_head_of_the_answer() {
        let mut made = answer(PROTOCOL_41 | SECURE_CONNECTION, b"", "");
        let request = request_tls(&mut made).unwrap();
        assert_eq!(request.len(), REQUEST);
        assert_eq!(request, made[..REQUEST]);
        let all = capabilities(&made).unwrap();
        assert_eq!(all & (SSL | PROTOCOL_41), SSL | PROTOCOL_41);
        assert!(request_tls(&mut [0; 31]).is_err());
        assert!(request_tls(&mut answer(0, b"", "")).is_err());
    }

    #[test]
    fn only_proofs_go_out() {
        let all = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
        hides_password(&answer(all, &[7; 20], "mysql_native_password")).unwrap();
        hides_password(&answer(all, &[7; 32], "caching_sha2_password")).unwrap();
        hides_password(&answer(all, &[7; 64], "client_ed25519")).unwrap();
        hides_password(&answer(all, b"", "mysql_native_password")).unwrap();
        for (proof, plugin) in [
            (&b"hunter2\0"[..], "mysql_native_password"),
            (b"hunter2\0", "client_ed25519"),
            (b"a", "mysql_native_password"),
            (&[7; 20], "mysql_clear_password"),
            (b"hunter2\0", "dialog"),
            (b"hunter2\0", "mysql_old_password"),
        ] {
            let refused = hides_password(&answer(all, proof, plugin)).unwrap_err();
            assert!(matches!(refused, Refusal::Exposes(_)), "{plugin}");
        }
        let short = answer(all, &[7; 20], "mysql_native_password");
        for cut in 0..short.len() {
            assert!(hides_password(&short[..cut]).is_err(), "{cut}");
        }
        for plugin in ["sha256_password", "parsec", "auth_gssapi_client", ""] {
            let made = answer(all, b"", plugin);
            let lacks = Err(Refusal::Lacks(plugin.to_owned()));
            assert_eq!(hides_password(&made), lacks);
        }
        assert!(is_a_proof(b"hunter2\0").is_err() && is_a_proof(b"x").is_err());
    }

    #[test]
    fn a_server_may_ask_for_more_only_over_tls() {
        for (packet, plain, encrypted) in [
            (&b"\x00rest"[..], Some(Ask::Done), Some(Ask::Done)),
            (b"\xff\x15\x04denied", Some(Ask::Nobody), Some(Ask::Nobody)),
            (b"\xff\xff\xff\x01\x01\x01\x01\0\0\x02hi", None, None),
            (b"\x01\x03", Some(Ask::Nothing), Some(Ask::Nothing)),
            (b"\x01\x04", None, Some(Ask::Answer)),
            (b"\x01-----BEGIN PUBLIC KEY", None, Some(Ask::Answer)),
            (b"\xfe", None, None),
            (b"\xfe mysql_native_password", None, None),
            (
                b"\xfemysql_native_password\0salt\0",
                Some(Ask::Answer),
                Some(Ask::Answer),
            ),
            (
                b"\xfeclient_ed25519\0salt",
                Some(Ask::Answer),
                Some(Ask::Answer),
            ),
            (b"\xfesha256_password\0salt\0", None, None),
            (b"\xfeparsec\0salt\0", None, None),
            (b"\xfemysql_clear_password\0", None, None),
            (b"\xfedialog\0\x04Password: ", None, None),
            (b"\xfemysql_old_password\0salt\0", None, None),
            (b"\xfb/etc/passwd", None, None),
            (b"", None, None),
        ] {
            assert_eq!(judge(packet, false).ok(), plain, "{packet:?}");
            assert_eq!(judge(packet, true).ok(), encrypted, "{packet:?}");
        }
    }
}
