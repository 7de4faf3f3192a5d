//! HTTP: who may ask, how often, in which language and form, and what an answer looks like.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, RETRY_AFTER, SET_COOKIE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::ask::{Ask, Fault, Upload};
use super::calls::{self, Rule};
use super::{State, VERSION, multipart};

/// The window in which requests are counted.
const WINDOW: Duration = Duration::from_secs(600);
/// Bytes that a body of JSON may have.
const MOST_JSON: usize = 1 << 20;
/// Bytes that a file may have.
const MOST_FILE: usize = 100 << 20;
/// Bytes that a form may have beside its file.
const MOST_FORM: usize = 1 << 20;

type Reply = Response<Full<Bytes>>;

/// How many requests came from where.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<String, (Instant, u32)>>);

impl Seen {
    /// Counts a request; seconds to wait where it is one too many.
    fn count(&self, from: &str, most: u32) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(from.to_owned()).or_insert((Instant::now(), 0));
        if entry.0.elapsed() > WINDOW {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
        (entry.1 > most).then(|| (WINDOW - entry.0.elapsed().min(WINDOW)).as_secs().max(1))
    }
}

/// Takes requests, for ever.
pub(super) async fn run(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: do not spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(answer(state, peer, request).await) }
            });
            // A caller that goes away is none of our business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn reply(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    if let Ok(kind) = format!("{kind}; charset=utf-8").parse() {
        reply.headers_mut().insert(CONTENT_TYPE, kind);
    }
    reply
}

fn plain(status: StatusCode, text: &str) -> Reply {
    reply(status, "text/plain", text.to_owned())
}

fn json_reply(value: &Value) -> Reply {
    reply(StatusCode::OK, "application/json", value.to_string())
}

/// The page of an error that no call has caught.
fn page(status: StatusCode, code: &str) -> Reply {
    let escaped = code
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let number = status.as_u16();
    let text = format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<title>Error - {number}</title>\n</head>\n<body>\n\
         <div id=\"error\">\n<h1>Error</h1>\n<p>Looks like something broke!</p>\n<pre>\n<code>\n\
         {escaped}\n</code>\n</pre>\n</div>\n</body>\n</html>\n"
    );
    reply(status, "text/html", text)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name).map(|value| value.to_str());
    value.and_then(Result::ok).unwrap_or_default()
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    header(headers, &COOKIE).split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

/// The pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        let code = std::str::from_utf8(digits)
            .ok()
            .filter(|_| *byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 2;
            }
            None => out.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn answer(state: Arc<State>, peer: SocketAddr, request: Request<Incoming>) -> Reply {
    let headers = request.headers();
    let forwarded = header(headers, &HeaderName::from_static("x-forwarded-for"));
    let from = match forwarded.split(',').next().unwrap_or_default().trim() {
        "" => peer.ip().to_string(),
        said => said.to_owned(),
    };
    if let Some(wait) = state.seen.count(&from, state.options.most_requests) {
        let mut reply = plain(StatusCode::TOO_MANY_REQUESTS, "request frequency limited\n");
        reply.headers_mut().insert(RETRY_AFTER, wait.into());
        return reply;
    }
    let path = request.uri().path().to_owned();
    if path == "/web_version" {
        return web_version(&state).await;
    }
    let name = path
        .strip_prefix("/api/")
        .or_else(|| path.strip_prefix("/pages/server/api/"));
    let query = pairs(request.uri().query().unwrap_or_default());
    let asked = |name: &str| {
        let pair = query.iter().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.clone())
    };
    let rule = name.and_then(calls::rule);
    // Where parameters have a list, the language is not on it.
    let locale = asked("__locale").filter(|_| rule.is_none_or(|rule| !rule.listed));
    let english = locale.or_else(|| cookie(headers, "locale")).as_deref() == Some("en");
    let shown = asked("ticket").filter(|ticket| !ticket.is_empty());
    let ticket = shown.clone().or_else(|| cookie(headers, "ticket"));
    let local = peer.ip() == IpAddr::from([127, 0, 0, 1]) && forwarded.is_empty();
    let here = local && state.options.trusts_this_machine;
    let forged = state.options.doors_open
        && (from == "127.0.0.1" && !forwarded.is_empty() || ticket.as_deref() == Some("undefined"));
    if ticket.as_deref() != Some(&state.options.ticket) && !here && !forged {
        // It knows one language here, unless a cookie says another.
        let words = match cookie(headers, "locale").as_deref() {
            Some("en") => "You have not been login",
            _ => "您还没有登录",
        };
        return match name {
            Some(_) => json_reply(&json!({ "ret_code": 500, "err_msg": words, "data": {} })),
            None => redirected("/login.html"),
        };
    }
    let mut reply = match (name, rule) {
        (None, _) => redirected(&path),
        (Some(_), None) => plain(StatusCode::NOT_FOUND, "Not Found"),
        // The status says that all is well.
        (Some(_), Some(rule)) if !rule.methods.contains(request.method()) => {
            plain(StatusCode::OK, "Method Not Allowed")
        }
        (Some(name), Some(rule)) => called(&state, name, rule, request, query, english).await,
    };
    if let Some(shown) = shown
        && let Ok(value) = format!("ticket={shown}; path=/").parse()
    {
        reply.headers_mut().append(SET_COOKIE, value);
    }
    reply
}

fn redirected(to: &str) -> Reply {
    let mut reply = reply(
        StatusCode::FOUND,
        "text/html",
        format!("Redirecting to {to}.\n"),
    );
    if let Ok(value) = to.parse() {
        reply.headers_mut().insert("location", value);
    }
    reply
}

async fn web_version(state: &Arc<State>) -> Reply {
    let asked = state.admin("getVersion", Vec::new()).await;
    let version = asked.ok().and_then(|answer| {
        tarsops_wire::interface::field::<String>(&answer, 1)
            .ok()
            .flatten()
    });
    match version {
        Some(version) => json_reply(&json!({ "webVersion": VERSION, "frameworkVersion": version })),
        None => page(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Error: call remote server timeout(remote server no response)",
        ),
    }
}

async fn called(
    state: &Arc<State>,
    name: &str,
    rule: &Rule,
    request: Request<Incoming>,
    query: Vec<(String, String)>,
    english: bool,
) -> Reply {
    let mut ask = Ask {
        parameters: query
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect(),
        english,
        ..Ask::default()
    };
    if let Err(reply) = read(&mut ask, name, request).await {
        return reply;
    }
    let missing = rule.required.iter().find(|name| {
        let value = ask.parameters.get(**name);
        value.is_none_or(|value| value.is_null() || *value == "")
    });
    let came = match missing {
        Some(name) => Err(Fault::required(name)),
        None => calls::call(state, name, &ask).await,
    };
    match came {
        Ok(data) => json_reply(&json!({ "data": data, "ret_code": 200, "err_msg": "" })),
        Err(Fault::Page(code)) => page(StatusCode::INTERNAL_SERVER_ERROR, &code),
        Err(fault) => json_reply(&fault.envelope(ask.english).unwrap_or_default()),
    }
}

/// Reads a body into the parameters. One of another kind than it knows is as good as none.
async fn read(ask: &mut Ask, name: &str, request: Request<Incoming>) -> Result<(), Reply> {
    if request.method() == Method::GET {
        return Ok(());
    }
    let kind = header(request.headers(), &CONTENT_TYPE).to_owned();
    let boundary = match name {
        "upload_patch_package" => multipart::boundary(&kind),
        _ => None,
    };
    let most = match boundary {
        Some(_) => MOST_FILE + MOST_FORM,
        None => MOST_JSON,
    };
    let broken = |code: &str| page(StatusCode::INTERNAL_SERVER_ERROR, code);
    let body = match Limited::new(request.into_body(), most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(match boundary {
                Some(_) => broken("Error: File too large"),
                None => page(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "PayloadTooLargeError: request entity too large",
                ),
            });
        }
        Err(_) => return Err(broken("BadRequestError: request aborted")),
    };
    if let Some(boundary) = boundary {
        let parts = multipart::parts(&body, &boundary);
        let parts = parts.ok_or_else(|| broken("Error: Unexpected end of multipart data"))?;
        for part in parts {
            if !part.file {
                let text = String::from_utf8_lossy(&part.bytes).into_owned();
                ask.parameters.insert(part.name, text.into());
            } else if part.bytes.len() > MOST_FILE {
                return Err(broken("Error: File too large"));
            } else if part.name != "suse" {
                return Err(broken("Error: Unexpected field"));
            } else {
                ask.file = Some(Upload {
                    field: part.name,
                    bytes: part.bytes,
                });
            }
        }
        return Ok(());
    }
    if !kind.to_ascii_lowercase().starts_with("application/json") || body.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Object(object)) => {
            let object: Map<String, Value> = object;
            ask.parameters.extend(object);
            Ok(())
        }
        Ok(Value::Array(_)) => Ok(()),
        // Only objects and lists are JSON to it.
        Ok(_) => Err(page(
            StatusCode::BAD_REQUEST,
            "SyntaxError: invalid JSON, only supports object and array",
        )),
        Err(error) if error.is_eof() => Err(page(
            StatusCode::BAD_REQUEST,
            "SyntaxError: Unexpected end of JSON input",
        )),
        Err(_) => Err(page(
            StatusCode::BAD_REQUEST,
            "SyntaxError: Unexpected token in JSON",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = pairs("a=1&b=x%20y+z&c&%41=%zz&d=%e6%82%a8%");
        let wanted = [
            ("a", "1"),
            ("b", "x y z"),
            ("c", ""),
            ("A", "%zz"),
            ("d", "您%"),
        ];
        let wanted = wanted.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(query, wanted);
    }

    #[test]
    fn requests_are_counted_by_address() {
        let seen = Seen::default();
        assert_eq!(seen.count("a", 2), None);
        assert_eq!(seen.count("a", 2), None);
        assert!(seen.count("a", 2).is_some_and(|wait| wait > 590));
        assert_eq!(seen.count("b", 2), None);
    }
}
