//! Which `Host` and `Origin` a request may name.
//!
//! A page in a browser on the same machine can reach a loopback listener, by DNS rebinding even under a
//! name of its own. It cannot choose these two headers: whoever names a host or an origin that is not
//! this listener's is such a page, or lost.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue};

use super::refusal::Refusal;

/// What a listener answers to.
#[derive(Debug)]
pub struct Guard {
    local: SocketAddr,
    /// `host` for every port, or `host:port`; lower case.
    hosts: Vec<String>,
    /// `scheme://host[:port]`, lower case.
    origins: Vec<String>,
}

impl Guard {
    /// `hosts` and `origins` are allowed besides loopback and the listener's own address.
    pub fn new(local: SocketAddr, hosts: &[String], origins: &[String]) -> Self {
        let lower = |list: &[String]| list.iter().map(|entry| entry.to_ascii_lowercase()).collect();
        Self { local, hosts: lower(hosts), origins: lower(origins) }
    }

    /// Refuses a request for a host that is not ours, or from a page that is not ours.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        // HTTP/2 carries the host in the request's target.
        let host = match uri.authority() {
            Some(authority) => Some(authority.clone()),
            None => headers.get(HOST).and_then(authority),
        };
        if !host.is_some_and(|host| self.is_ours(&host)) {
            return Err(Refusal::forbidden("The Host header does not name this listener."));
        }
        match headers.get(ORIGIN) {
            Some(origin) if !self.allows(origin) => {
                Err(Refusal::forbidden("The Origin is not allowed here."))
            }
            _ => Ok(()),
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return true;
        }
        // What has no host (`null`, a file) is nobody's.
        let Ok(uri) = origin.parse::<Uri>() else { return false };
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        is_web && uri.authority().is_some_and(|authority| self.is_ours(authority))
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        if !has_port_or_none(authority) {
            return false;
        }
        let host = authority.host();
        let is_local = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // Nothing but an address of IPv6 stands in brackets.
            Some(bare) => bare.parse::<Ipv6Addr>().is_ok_and(|ip| self.is_our_address(ip.into())),
            None => match host.parse::<Ipv4Addr>() {
                Ok(ip) => self.is_our_address(ip.into()),
                Err(_) => {
                    let name = host.to_ascii_lowercase();
                    name == "localhost" || name.ends_with(".localhost") && is_host_name(&name)
                }
            },
        };
        is_local
            || self.hosts.iter().any(|allowed| {
                [host, authority.as_str()].iter().any(|named| named.eq_ignore_ascii_case(allowed))
            })
    }

    /// An address is no name that could be rebound, so a listener on every address answers to any.
    fn is_our_address(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.local.ip().is_unspecified() || ip == self.local.ip()
    }
}

/// Whether every reader takes it for a name: [`Authority`] also takes brackets, stars and more for one.
fn is_host_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether nothing but a port follows the host: what two readers might divide differently is nobody's.
fn has_port_or_none(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    // User information has no place in a Host header.
    (!authority.as_str().contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(local: &str) -> Guard {
        let hosts = ["agents.internal".to_owned(), "Pinned.internal:8080".to_owned()];
        Guard::new(local.parse().unwrap(), &hosts, &["https://console.example".to_owned()])
    }

    fn accepts(guard: &Guard, host: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        guard.check(&Uri::from_static("/mcp"), &headers).is_ok()
    }

    #[test]
    fn loopback_the_listener_and_the_configured_are_hosts() {
        let guard = guard("10.0.0.7:4180");
        let ours = [
            "localhost",
            "LOCALHOST:4180",
            "agent-1.xn--tst-hoa.localhost",
            "127.0.0.1:1",
            "[::1]:4180",
            "10.0.0.7:4180",
            "agents.internal:9",
        ];
        for host in ours.into_iter().chain(["pinned.internal:8080"]) {
            assert!(accepts(&guard, Some(host), None), "{host}");
        }
        let others = [
            "evil.example.com",
            "localhost.evil.com",
            "10.0.0.8",
            "pinned.internal:81",
            "a@localhost",
            "",
            "localhost:",
            "localhost:4.1",
            "localhost:80:80",
            "[localhost]",
            "[.localhost]",
            "[127.0.0.1]",
            "*.localhost",
            "a[b]c.localhost",
        ];
        for host in others {
            assert!(!accepts(&guard, Some(host), None), "{host}");
        }
        assert!(!accepts(&guard, None, None));
    }

    #[test]
    fn a_listener_on_every_address_answers_to_any_address_but_no_name() {
        let guard = guard("0.0.0.0:4180");
        assert!(accepts(&guard, Some("192.0.2.1:4180"), None));
        assert!(!accepts(&guard, Some("rebound.example"), None));
    }

    #[test]
    fn an_origin_is_ours_or_configured() {
        let guard = guard("127.0.0.1:4180");
        for origin in [
            "http://localhost:6274",
            "https://127.0.0.1",
            "https://console.example",
            "http://agents.internal",
        ] {
            assert!(accepts(&guard, Some("localhost"), Some(origin)), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://console.example",
            "file://",
            "chrome-extension://abc",
            "http://[::1]*:62",
            "http://a[b]c.localhost",
            "",
        ] {
            assert!(!accepts(&guard, Some("localhost"), Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_target_with_a_host_is_what_counts() {
        let guard = guard("127.0.0.1:4180");
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        assert!(guard.check(&Uri::from_static("http://evil.example/mcp"), &headers).is_err());
    }
}
