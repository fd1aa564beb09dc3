//! Where an upstream is: URLs as operators write them, and as logins complete them.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// `https://host[:port][/base]`; one leading label of the host may be `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at the end; empty for the root.
    base: String,
}

impl BaseUrl {
    /// Reads an operator's URL; the error is a sentence for the operator.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?;
        let parts = uri.into_parts();
        let scheme = match parts.scheme {
            Some(s) if s == Scheme::HTTP || s == Scheme::HTTPS => s,
            _ => return Err(format!("`{url}` must start with https://, http:// or postgres://")),
        };
        let authority = parts.authority.ok_or_else(|| format!("`{url}` names no host"))?;
        if authority.as_str().contains('@') {
            return Err("a URL holds no user name or password: use a credential".to_owned());
        }
        let wild = authority.host().contains('*');
        if wild && (scheme != Scheme::HTTPS || !well_formed_pattern(authority.host())) {
            return Err(
                "`*` can only be the first label of an https host, before at least two others".to_owned()
            );
        }
        let path = parts.path_and_query.map_or_else(String::new, |p| p.as_str().to_owned());
        if path.contains(['?', '#']) {
            return Err("an upstream's URL has no query".to_owned());
        }
        Ok(Self { scheme, authority, base: path.trim_end_matches('/').to_owned() })
    }

    /// Whether the host is only known after a login.
    pub fn is_pattern(&self) -> bool {
        self.authority.host().starts_with("*.")
    }

    /// Whether a URL that a login brought stays within what the operator wrote.
    pub fn admits(&self, assigned: &Self) -> bool {
        let same_port = self.port() == assigned.port();
        let host = assigned.authority.host().to_ascii_lowercase();
        let own = self.authority.host().to_ascii_lowercase();
        let fits = match own.strip_prefix('*') {
            // Exactly one label stands for the star.
            Some(suffix) => {
                host.strip_suffix(suffix).is_some_and(|l| !l.is_empty() && !l.contains(['.', '*']))
            }
            None => host == own,
        };
        self.scheme == assigned.scheme && same_port && fits
    }

    fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.scheme == Scheme::HTTPS { 443 } else { 80 })
    }

    /// The address of one request below this base. `path` starts with a slash; whoever wrote it has been judged.
    pub fn join(&self, path: &str) -> Result<Uri, http::Error> {
        let path = PathAndQuery::try_from(format!("{}{path}", self.base))?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

/// `*.` and at least two more labels, none of which holds a star.
fn well_formed_pattern(host: &str) -> bool {
    host.strip_prefix("*.").is_some_and(|rest| rest.contains('.') && !rest.contains('*'))
}

/// `postgres://host[:port][,host[:port]…]/database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlUrl {
    pub hosts: Vec<(String, u16)>,
    pub database: String,
}

/// PostgreSQL's registered port.
const POSTGRES_PORT: u16 = 5432;

impl SqlUrl {
    /// Reads an operator's URL; the error is a sentence for the operator.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| format!("`{url}` must start with postgres://"))?;
        let (hosts, database) = rest
            .split_once('/')
            .ok_or_else(|| format!("`{url}` names no database: postgres://host/database"))?;
        if hosts.contains('@') {
            return Err("a URL holds no user name or password: use a credential".to_owned());
        }
        if database.is_empty() || database.contains(['/', '?', '#']) {
            return Err(format!("`{url}` must end in the name of one database, without a query"));
        }
        let hosts = hosts.split(',').map(host_and_port).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts, database: database.to_owned() })
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let authority: Authority = text.parse().map_err(|e| format!("`{text}` is not a host: {e}"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, authority.port_u16().unwrap_or(POSTGRES_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, path: &str) -> String {
        BaseUrl::parse(base).unwrap().join(path).unwrap().to_string()
    }

    #[test]
    fn a_path_is_appended_to_the_base() {
        assert_eq!(
            join("https://slack.com/api", "/chat.postMessage"),
            "https://slack.com/api/chat.postMessage"
        );
        assert_eq!(join("http://127.0.0.1:80/", "/a?b=c"), "http://127.0.0.1:80/a?b=c");
        assert_eq!(join("https://h", "/user@evil.example/x"), "https://h/user@evil.example/x");
    }

    #[test]
    fn a_login_may_only_fill_the_star() {
        let pattern = BaseUrl::parse("https://*.my.salesforce.com").unwrap();
        let admits = |url: &str| pattern.admits(&BaseUrl::parse(url).unwrap());
        assert!(admits("https://acme.my.salesforce.com"));
        for bad in [
            "https://a.b.my.salesforce.com",
            "https://my.salesforce.com.evil.example",
            "http://acme.my.salesforce.com",
            "https://acme.my.salesforce.com:8443",
            "https://evilmy.salesforce.com",
        ] {
            assert!(!admits(bad), "{bad}");
        }
    }

    #[test]
    fn an_operators_mistakes_are_sentences() {
        for bad in
            ["ftp://h", "https://u:p@h", "https://*", "https://*.com", "https://a.*.com", "https://h/?q=1"]
        {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
        for bad in ["postgres://h", "postgres://u:p@h/d", "postgres://h/d?x", "mysql://h/d"] {
            assert!(SqlUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_hosts_of_one_database() {
        let url = SqlUrl::parse("postgres://a:1,b/shop").unwrap();
        assert_eq!(url.hosts, [("a".to_owned(), 1), ("b".to_owned(), POSTGRES_PORT)]);
        assert_eq!(url.database, "shop");
    }
}
