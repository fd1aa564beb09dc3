//! Names to addresses, and which addresses a name may stand for.
//!
//! An upstream's name is the operator's, its addresses are the name server's: a name that suddenly stands for the cloud's metadata
//! service must not be followed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;

/// Whether a *name* may stand for this address. Operators who mean such an address write it as a number.
pub fn is_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_metadata = METADATA_V4.contains(&v4);
            !(v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || is_metadata)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_allowed(IpAddr::V4(v4)),
            None => {
                let is_metadata = METADATA_V6.contains(&v6);
                !(v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || is_metadata)
                    && translated(v6).is_none_or(|v4| is_allowed(IpAddr::V4(v4)))
            }
        },
    }
}

/// Metadata services that are not at a link-local address: Alibaba Cloud's, and Azure's host agent.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// The same of AWS and Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// What a translator takes an address of `64:ff9b::/96` for (RFC 6052, 2.1).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// The allowed addresses of `host`, which may be a number; an error if there are none.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(literal) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    // Whatever a name server says of them (RFC 6761, 6.3).
    if host.trim_end_matches('.').to_ascii_lowercase().ends_with(".localhost") {
        return Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]);
    }
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let allowed: Vec<_> = found.iter().copied().filter(|a| is_allowed(a.ip())).collect();
    if allowed.is_empty() && !found.is_empty() {
        let what = format!("`{host}` stands for a link-local or multicast address, which a name may not");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(allowed)
}

/// The same for hyper's connector.
#[derive(Clone, Copy, Debug)]
pub struct Resolver;

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        // The connector puts the URL's port in.
        Box::pin(async move { resolve(name.as_str(), 0).await.map(Vec::into_iter) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_not_stand_for_a_metadata_service() {
        for bad in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!is_allowed(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "10.1.2.3", "93.184.216.34", "::1", "fd00::1"] {
            assert!(is_allowed(good.parse().unwrap()), "{good}");
        }
    }
    #[tokio::test]
    async fn a_name_below_localhost_is_this_machine() {
        let local = resolve("acme.my.LOCALHOST", 80).await.unwrap();
        assert_eq!(local, [SocketAddr::from((Ipv4Addr::LOCALHOST, 80))]);
    }
}
