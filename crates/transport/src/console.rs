//! The management platform (TarsWeb, "the console") over HTTP: what it is asked and what it says.
//!
//! [`Console`] stands for one console and one ticket. Every call has its deadline, answers are
//! limited, and each way in which a call can fail is its own [`ConsoleError`]. A call that only
//! reads is made again where the connection failed or the console wants fewer requests; a call that
//! changes something is made once, whatever becomes of it.
//!
//! The ticket goes along as `?ticket=`. In a cookie, the other way that the console knows, it
//! would not tell whose it is: the console then believes any name that is beside it, and who
//! has none is nobody, whose rights nobody has set. The price is that the ticket is in the
//! address of a call, so no such address is in any message, no redirection is followed, no proxy is used, and
//! whatever the console says is searched for the ticket before it is repeated.

mod calls;
mod doors;
mod error;
mod rows;

pub use calls::{
    AdapterForm, Command, DeployForm, MAX_PACKAGE, ServerUpdate, TaskForm, TaskFormItem, Upload,
    Which,
};
pub use doors::Door;
pub use error::ConsoleError;
pub use rows::{
    AdapterRow, DeployedServer, Heartbeat, ItemStatus, NodeRow, Notice, Notices, PatchRow,
    ServerRow, ServerState, Task, TaskItem, Template, Uploaded, Versions,
};

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::mysql::Secret;

/// Bytes of one answer that are taken at most.
pub const MAX_ANSWER: usize = 16 << 20;
/// How long a call may take unless the client says otherwise. The console waits up to 30 s for
/// AdminRegistry.
pub const DEADLINE: Duration = Duration::from_secs(40);
/// How long an upload may take unless the client says otherwise.
pub const UPLOAD_DEADLINE: Duration = Duration::from_secs(600);
/// Between the tries of a call that only reads, where the connection failed.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// The words with which the console turns away who is not logged in, in its languages. It has no
/// code for it.
const NOT_LOGGED_IN: [&str; 3] = [
    "You have not been login",
    "You have not been sign in",
    "您还没有登录",
];
/// Characters of the console's words that are repeated at most.
const MAX_WORDS: usize = 300;

/// One console, reached with one ticket.
#[derive(Clone)]
pub struct Console {
    http: reqwest::Client,
    base: Url,
    ticket: Secret,
    /// The ticket as an address has it.
    encoded: Secret,
    deadline: Duration,
    upload_deadline: Duration,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("at", &self.at())
            .finish_non_exhaustive()
    }
}

/// One request.
struct Ask<'a> {
    /// The last part of its path, by which it is called in messages.
    name: &'static str,
    /// What stands before that, with a slash at its end; nothing for the one call that needs neither
    /// ticket nor query.
    under: &'static str,
    method: Method,
    query: Vec<(&'a str, &'a str)>,
    /// A body of JSON; a form is another matter.
    body: Option<Value>,
    /// Whether it only reads, so that a repeat is harmless.
    repeatable: bool,
}

impl<'a> Ask<'a> {
    /// Something that only reads.
    const fn get(name: &'static str, query: Vec<(&'a str, &'a str)>) -> Self {
        Self {
            name,
            under: "api/",
            method: Method::GET,
            query,
            body: None,
            repeatable: true,
        }
    }

    /// Something that may change something.
    const fn post(name: &'static str, body: Value) -> Self {
        Self {
            name,
            under: "api/",
            method: Method::POST,
            query: Vec::new(),
            body: Some(body),
            repeatable: false,
        }
    }

    /// And this one does not.
    const fn that_reads(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

impl Console {
    /// A client of the console at `url` (`http` or `https`, a path before the console's own allowed),
    /// which shows `ticket`. Certificates are judged by the authorities that this machine trusts.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConsoleError::Settings`]: the address has another scheme, a password or a query in it; or
    /// the ticket is empty or the word `undefined`, with which some consoles let anybody in; or this
    /// machine trusts no authority and the scheme is `https`.
    pub fn new(url: &str, ticket: Secret) -> Result<Self, ConsoleError> {
        Self::with(url, ticket, None)
    }

    /// The same, where certificates are judged by the authorities in `pem` and by no others.
    ///
    /// # Errors
    /// As for [`Console::new`]; also where there is no certificate in `pem`.
    pub fn trusting(url: &str, ticket: Secret, pem: &[u8]) -> Result<Self, ConsoleError> {
        let unusable = |why: String| ConsoleError::Settings {
            why: format!("the authority's certificate cannot be read: {why}"),
        };
        let authorities = Certificate::from_pem_bundle(pem).map_err(|e| unusable(deepest(&e)))?;
        if authorities.is_empty() {
            return Err(unusable("there is none in it".to_owned()));
        }
        Self::with(url, ticket, Some(authorities))
    }

    fn with(
        url: &str,
        ticket: Secret,
        authorities: Option<Vec<Certificate>>,
    ) -> Result<Self, ConsoleError> {
        let unusable = |why: &str| ConsoleError::Settings {
            why: why.to_owned(),
        };
        let mut base =
            Url::parse(url).map_err(|e| unusable(&format!("its address is none: {e}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(unusable("its address is neither http:// nor https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(unusable("its address has a user or a password in it"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(unusable("its address has more than a path"));
        }
        if matches!(ticket.expose(), "" | "undefined") {
            return Err(unusable("there is no ticket"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let mut shown = base.clone();
        shown.query_pairs_mut().append_pair("", ticket.expose());
        let encoded = shown.query().unwrap_or_default().trim_start_matches('=');
        let encoded = Secret::new(encoded);
        // The provider that rustls would choose by itself, as it has no other; reqwest wants to be told.
        // Somebody else of this process may have done so, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder();
        // Without TLS nobody is to be trusted, and a machine that trusts no authority would else be
        // refused.
        if authorities.is_some() || base.scheme() == "http" {
            http = http.tls_certs_only(authorities.unwrap_or_default());
        }
        let http = http
            .user_agent(concat!("tarsops/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            // The console ends a connection that was idle for 5 s. A call that changes something must
            // not meet such an end, after which nobody knows whether it was made.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| unusable(&deepest(&e)))?;
        Ok(Self {
            http,
            base,
            ticket,
            encoded,
            deadline: DEADLINE,
            upload_deadline: UPLOAD_DEADLINE,
        })
    }

    /// The same client whose calls may take `each`, and whose uploads may take `upload`; pauses and
    /// repeats are within.
    #[must_use]
    pub const fn with_deadlines(mut self, each: Duration, upload: Duration) -> Self {
        self.deadline = each;
        self.upload_deadline = upload;
        self
    }

    /// Where the console is, for messages.
    fn at(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The address of a call. The ticket is in it, except for the call that needs none.
    fn address(&self, ask: &Ask<'_>, ticket: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}{}", self.base.path(), ask.under, ask.name));
        if !ask.under.is_empty() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(&ask.query);
            if let Some(ticket) = ticket {
                query.append_pair("ticket", ticket);
            }
        }
        url
    }

    /// A request with all that every call has.
    fn request(&self, ask: &Ask<'_>) -> RequestBuilder {
        self.request_with(ask, Some(self.ticket.expose()))
    }

    /// The same, with this instead of the client's ticket.
    fn request_with(&self, ask: &Ask<'_>, ticket: Option<&str>) -> RequestBuilder {
        let request = self
            .http
            .request(ask.method.clone(), self.address(ask, ticket))
            // Else the console speaks the language of whom it guesses. `__locale` does the same, but
            // not on calls that have a list of their parameters.
            .header(COOKIE, "locale=en");
        match &ask.body {
            // Without this header a body is silently ignored.
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string()),
            None => request,
        }
    }

    /// Asks, and takes the data out of the envelope.
    async fn call<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, ConsoleError> {
        let body = self.ask(&ask).await?;
        self.data(ask.name, &body)
    }

    /// Asks, again where that is harmless and of use.
    async fn ask(&self, ask: &Ask<'_>) -> Result<Vec<u8>, ConsoleError> {
        let until = Instant::now() + self.deadline;
        let mut failures = PAUSES.iter();
        loop {
            let error = match self
                .send(ask.name, self.request(ask), until, self.deadline)
                .await
            {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let pause = match &error {
                _ if !ask.repeatable => None,
                ConsoleError::Refused { .. }
                | ConsoleError::Unreachable { .. }
                | ConsoleError::Disconnected { .. } => failures.next().copied(),
                // A console that wants no pause at all would be asked without end.
                ConsoleError::RateLimited { retry_after, .. } => {
                    retry_after.map(|wait| wait.max(Duration::from_secs(1)))
                }
                _ => None,
            };
            // A console may ask for more seconds than a clock has.
            let again = |pause| {
                Instant::now()
                    .checked_add(pause)
                    .is_some_and(|at| at < until)
            };
            match pause {
                Some(pause) if again(pause) => {
                    tracing::debug!(call = ask.name, ?pause, "{error}; it is asked again");
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Sends once, and gives the body of an answer that is JSON.
    async fn send(
        &self,
        call: &'static str,
        request: RequestBuilder,
        until: Instant,
        waited: Duration,
    ) -> Result<Vec<u8>, ConsoleError> {
        tokio::time::timeout_at(until, async {
            let response = request.send().await.map_err(|e| self.failure(call, &e))?;
            self.answer(call, response).await
        })
        .await
        .unwrap_or_else(|_| {
            Err(ConsoleError::NoAnswer {
                at: self.at(),
                call,
                waited,
            })
        })
    }

    async fn answer(
        &self,
        call: &'static str,
        mut response: reqwest::Response,
    ) -> Result<Vec<u8>, ConsoleError> {
        let status = response.status();
        let headers = response.headers();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = header(headers, RETRY_AFTER.as_str())
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs);
            return Err(ConsoleError::RateLimited { call, retry_after });
        }
        if status.is_redirection() {
            let to = header(headers, LOCATION.as_str())
                .and_then(|to| self.base.join(to).ok())
                .map_or_else(
                    || "nowhere".to_owned(),
                    |to| to.origin().ascii_serialization(),
                );
            return Err(ConsoleError::Redirected { call, to });
        }
        let json = header(headers, CONTENT_TYPE.as_str())
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|e| self.failure(call, &e))?;
            let Some(chunk) = chunk else { break };
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.garbled(call, &format!("it is longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status != StatusCode::OK || !json {
            return Err(ConsoleError::Html {
                call,
                status: status.as_u16(),
                words: page_message(&self.without_ticket(&String::from_utf8_lossy(&body))),
            });
        }
        Ok(body)
    }

    /// The data of an answer, where the console says 200 a second time.
    fn data<T: DeserializeOwned>(
        &self,
        call: &'static str,
        body: &[u8],
    ) -> Result<T, ConsoleError> {
        let mut answer: Value = self.read(call, body)?;
        let Some(ret_code) = answer.get("ret_code").and_then(Value::as_i64) else {
            return Err(self.garbled(call, "it has no ret_code"));
        };
        if ret_code != 200 {
            // An error that the console could not write down is `{}`.
            let err_msg = match answer.get("err_msg") {
                Some(Value::String(words)) => words.clone(),
                None | Some(Value::Null) => String::new(),
                Some(Value::Object(none)) if none.is_empty() => String::new(),
                Some(other) => other.to_string(),
            };
            let err_msg = clipped(&self.without_ticket(&err_msg));
            return Err(if NOT_LOGGED_IN.contains(&err_msg.as_str()) {
                ConsoleError::NotLoggedIn { call, err_msg }
            } else {
                ConsoleError::Said {
                    call,
                    ret_code,
                    err_msg,
                }
            });
        }
        // No data is no default: it must not mean that there is nothing.
        let data = answer.get_mut("data").map(Value::take);
        let data = data.ok_or_else(|| self.garbled(call, "it has no data"))?;
        serde_json::from_value(data).map_err(|e| self.garbled(call, &e.to_string()))
    }

    fn read<T: DeserializeOwned>(
        &self,
        call: &'static str,
        body: &[u8],
    ) -> Result<T, ConsoleError> {
        serde_json::from_slice(body).map_err(|e| self.garbled(call, &e.to_string()))
    }

    fn garbled(&self, call: &'static str, why: &str) -> ConsoleError {
        ConsoleError::Garbled {
            at: self.at(),
            call,
            why: clipped(&self.without_ticket(why)),
        }
    }

    /// What became of a request that has no answer. Only the innermost cause is told: what is
    /// around it has the address in it, and that the ticket.
    fn failure(&self, call: &'static str, error: &reqwest::Error) -> ConsoleError {
        let at = self.at();
        let why = clipped(&self.without_ticket(&deepest(error)));
        if !error.is_connect() {
            return ConsoleError::Disconnected { at, call, why };
        }
        let mut cause = error.source();
        while let Some(e) = cause {
            let io = e.downcast_ref::<io::Error>().map(io::Error::kind);
            if io == Some(io::ErrorKind::ConnectionRefused) {
                return ConsoleError::Refused { at, call };
            }
            cause = e.source();
        }
        ConsoleError::Unreachable { at, call, why }
    }

    /// Words in which the ticket does not stand, neither as it is nor as an address has it. Words
    /// are clipped after this and not before, lest a part of it remains.
    fn without_ticket(&self, words: &str) -> String {
        words
            .replace(self.ticket.expose(), "…")
            .replace(self.encoded.expose(), "…")
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok()
}

/// The innermost cause of an error, in its words.
fn deepest(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        // It has the address in its words, unless that is taken away; this needs it by value.
        return "it cannot be told why".to_owned();
    };
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The start of words, on one line.
fn clipped(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// What a page says: the first line of its code, as the console's error pages have it, or the first
/// line of a bare text.
fn page_message(page: &str) -> String {
    let code = page
        .split_once("<code>")
        .map(|(_, rest)| rest.split("</code>").next().unwrap_or_default());
    let line = code
        .unwrap_or(page)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    // The traces' own place on the console's disk, and tags of other pages, are of no use.
    if line.starts_with('<') {
        return String::new();
    }
    clipped(
        &line
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
