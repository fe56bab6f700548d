//! One HTTP POST, bounded in where it goes, in time and in size. Knows nothing of callbacks.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout, time};

use crate::hosts::Hosts;
use crate::mask::Masker;

/// So much of an answer is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// What is sent, and where to.
pub(super) struct Post {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Post {
    /// Sends it to one of these hosts. Redirects are not followed; a status other than 2xx is an error.
    ///
    /// # Errors
    /// Why, for people. Of the address only the host is named, for paths of hooks can be secrets.
    pub(super) fn send(
        &self,
        hosts: Hosts,
        timeout: Duration,
        masker: &Masker,
    ) -> Result<(), String> {
        let target: Uri =
            self.url.parse().map_err(|error| format!("the address is not valid: {error}"))?;
        let host = target.host().unwrap_or("the address").to_owned();
        if !matches!(target.scheme_str(), Some("http" | "https")) {
            return Err(format!("{host}: only http and https are known"));
        }
        self.exchange(target, hosts, timeout, masker)
            .map_err(|error| match error {
                ureq::Error::Timeout(_) => timed_out(timeout),
                ureq::Error::Other(refusal) => format!("{host}: {refusal}"),
                other => format!("{host}: {other}"),
            })?
            .map_err(|answer| format!("{host}: {answer}"))
    }

    fn exchange(
        &self,
        target: Uri,
        hosts: Hosts,
        timeout: Duration,
        masker: &Masker,
    ) -> Result<Result<(), String>, ureq::Error> {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("jobrun/", env!("CARGO_PKG_VERSION")))
            .build();
        let checked =
            Checked { target: target.clone(), hosts, resolver: DefaultResolver::default() };
        let agent = Agent::with_parts(config, DefaultConnector::default(), checked);
        let mut request = agent.post(target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(&self.body)?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(()));
        }
        if status.is_redirection() {
            return Ok(Err(format!("answered {status}; redirects are not followed")));
        }
        let mut answer = Vec::new();
        // What has come says more than that the rest did not.
        let _ = response.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut answer);
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
}

/// How a callback that took too long is described.
pub(super) fn timed_out(timeout: Duration) -> String {
    format!("timed out after {}", humantime::format_duration(timeout))
}

/// Finds the addresses of the target, and gives them only if each may be posted to. The connection goes
/// to one of those: nobody can change his mind about a name in between.
#[derive(Debug)]
struct Checked {
    target: Uri,
    hosts: Hosts,
    resolver: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Where the environment names a proxy, its address is asked for in place of the target's.
        let is_proxy = uri != &self.target;
        let host = self.target.host().unwrap_or_default();
        if self.hosts.allow_name(host) {
            return self.find(uri, config, timeout);
        }
        let found = self.find(&self.target, config, timeout)?;
        if let Some(refusal) = found.iter().find_map(|it| self.hosts.refusal(it.ip())) {
            return Err(refused(format!(
                "{refusal}, where no post goes unless the run allows it: --allow-host {host}"
            )));
        }
        if !is_proxy {
            return Ok(found);
        }
        // The proxy finds the address by itself. Where it is led astray the certificate is wrong, but
        // only if there is one.
        if self.target.scheme_str() != Some("https") {
            return Err(refused(format!(
                "a proxy may reach another address over http than was checked; use https, or allow \
                 the name: --allow-host {host}"
            )));
        }
        self.find(uri, config, timeout)
    }
}

impl Checked {
    /// Finds the addresses of a host. That has a thread of its own, so that it can be given up, unless
    /// there is nothing to find, or no thread to be had: the library would panic.
    fn find(
        &self,
        uri: &Uri,
        config: &Config,
        mut timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        if is_address || thread::Builder::new().spawn(|| ()).is_err() {
            timeout.after = time::Duration::NotHappening;
        }
        self.resolver.resolve(uri, config, timeout)
    }
}

fn refused(why: String) -> ureq::Error {
    ureq::Error::Other(why.into())
}
