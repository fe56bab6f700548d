//! One HTTP POST, bounded in time and size. Knows nothing of callbacks.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;

use crate::mask::Masker;

/// So much of an answer is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Sends `body` to `url`. Redirects are not followed; a status other than 2xx is an error.
///
/// # Errors
/// Why, for people. Of the address only the host is named, for paths of hooks can be secrets.
pub(super) fn post(
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
    timeout: Duration,
    masker: &Masker,
) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("the address is not valid: {error}"))?;
    let host = uri.host().unwrap_or("the address").to_owned();
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{host}: only http and https are known"));
    }
    send(uri, headers, body, timeout, masker)
        .map_err(|error| match error {
            ureq::Error::Timeout(_) => timed_out(timeout),
            other => format!("{host}: {other}"),
        })?
        .map_err(|answer| format!("{host}: {answer}"))
}

/// How a callback that took too long is described.
pub(super) fn timed_out(timeout: Duration) -> String {
    format!("timed out after {}", humantime::format_duration(timeout))
}

fn send(
    uri: Uri,
    headers: &[(String, String)],
    body: &[u8],
    timeout: Duration,
    masker: &Masker,
) -> Result<Result<(), String>, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("jobrun/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.post(uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send(body)?;
    let status = response.status();
    if status.is_success() {
        return Ok(Ok(()));
    }
    if status.is_redirection() {
        return Ok(Err(format!("answered {status}; redirects are not followed")));
    }
    let answer = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
    let answer = answer.unwrap_or_default();
    // Before it is cut: a piece of a secret could not be told.
    let answer = masker.bytes(&answer);
    let first = String::from_utf8_lossy(&answer);
    let first = first.lines().next().unwrap_or_default().trim();
    let first: String = first.chars().take(200).collect();
    Ok(Err(if first.is_empty() {
        format!("answered {status}")
    } else {
        format!("answered {status}: {first}")
    }))
}
