//! TLS in front of a server that speaks none.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Result;

/// A running tunnel; it ends, with its connections, when this is dropped.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Tunnel {
    /// Starts on a free port of 127.0.0.1, towards the server at that address.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(tls: TlsAcceptor, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(carry(tls.clone(), stream, to));
            }
        });
        Ok(Self { address, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(tls: TlsAcceptor, stream: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let (mut near, mut far) = (tls.accept(stream).await?, TcpStream::connect(to).await?);
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
