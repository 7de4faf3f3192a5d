//! One request as the calls see it, and what comes back.

use serde_json::{Map, Value, json};

/// A file that came in a form.
pub(super) struct Upload {
    /// The field's name.
    pub(super) field: String,
    pub(super) bytes: Vec<u8>,
}

/// A request.
#[derive(Default)]
pub(super) struct Ask {
    /// What was asked: the query, and over it the body.
    pub(super) parameters: Map<String, Value>,
    pub(super) file: Option<Upload>,
    /// Whether it is answered in English; else in Chinese.
    pub(super) english: bool,
}

impl Ask {
    /// A parameter as a text, as JavaScript makes one of it; `undefined` where it is missing.
    pub(super) fn text(&self, name: &str) -> String {
        self.parameters.get(name).map_or("undefined".into(), text)
    }

    /// A parameter as a text, none where it is missing or empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        self.parameters
            .get(name)
            .map(text)
            .filter(|text| !text.is_empty())
    }

    /// A number; 0 where it is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.some(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }
}

/// A value as a text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => "[object Object]".into(),
        other => other.to_string(),
    }
}

/// Whether JavaScript takes a value for a yes.
pub(super) fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// Why a call has no data.
#[derive(Debug)]
pub(super) enum Fault {
    /// "system error".
    System,
    /// In its own words, English and Chinese.
    Said(String, String),
    /// A page with status 500 and this line of code.
    Page(String),
}

/// What a call comes to.
pub(super) type Answer = Result<Value, Fault>;

impl Fault {
    /// A parameter that is missing.
    pub(super) fn required(name: &str) -> Self {
        Self::Said(format!("{name} is required"), format!("{name}不能为空"))
    }

    /// The envelope of a failure; none where a page comes instead.
    pub(super) fn envelope(&self, english: bool) -> Option<Value> {
        let words = match (self, english) {
            (Self::Page(_), _) => return None,
            (Self::System, true) => "system error",
            (Self::System, false) => "系统内部错误",
            (Self::Said(words, _), true) | (Self::Said(_, words), false) => words,
        };
        Some(json!({ "data": {}, "ret_code": 500, "err_msg": words }))
    }
}

/// The database failed: that is told by a page.
impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            // What it did not take is an error within a call; that it is not there is one outside.
            mysql_async::Error::Server(_) => Self::System,
            other => Self::Page(format!("SequelizeConnectionRefusedError: {other}")),
        }
    }
}
