//! One HTTP exchange, bounded in time and size.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use crate::value::Value;

/// The longest that one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is taken, in bytes.
const MAX_BODY: u64 = 16 << 20;

/// What the function takes: a URL, or a table that says more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: Pairs,
    body: Option<Value>,
}

/// Names and values in the order they were written.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(entries) => Ok(Self(entries)),
            other => {
                Err(serde::de::Error::custom(format!("expected a table, found a {}", other.kind())))
            }
        }
    }
}

/// What the function gives.
#[derive(Serialize)]
pub(super) struct Answer {
    status: u16,
    headers: Value,
    body: String,
}

/// Sends a request and gives the answer. A status other than 2xx is an error.
pub(super) fn fetch(what: Value) -> Result<Answer, String> {
    let ask = match what {
        Value::Str(url) => Ask { url, method: None, headers: Pairs::default(), body: None },
        table => table.into_typed().map_err(|error| format!("argument 1: {error}"))?,
    };
    exchange(&ask).map_err(|error| format!("{}: {error}", ask.url))
}

fn exchange(ask: &Ask) -> Result<Answer, String> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let method = ask.method.as_deref().unwrap_or(if ask.body.is_some() { "POST" } else { "GET" });
    let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(&ask.url);
    for (name, value) in &ask.headers.0 {
        let value = value.to_text().ok_or_else(|| format!("the header `{name}` has no value"))?;
        request = request.header(name, value);
    }
    let body = ask.body.as_ref().and_then(Value::to_text).unwrap_or_default();
    let request = request.body(body).map_err(|error| error.to_string())?;
    let mut response = agent.run(request).map_err(|error| error.to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("the answer has status {status}"));
    }
    let body = response
        .body_mut()
        .with_config()
        .limit(MAX_BODY)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    Ok(Answer {
        status: status.as_u16(),
        headers: headers(response.headers()),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The headers as a table; one that was sent several times has its values joined by commas.
fn headers(map: &HeaderMap) -> Value {
    let entries = map.keys().map(|name| {
        let values: Vec<_> = map
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (name.to_string(), Value::Str(values.join(", ")))
    });
    Value::Map(entries.collect())
}
