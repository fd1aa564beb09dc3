//! An HTTP upstream that breaks the rules of HTTP: it writes bytes, not answers.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::{Result, wait};

/// What is said when no manner is left: a proper answer.
pub const PROPER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

/// Between two bytes of [`Manner::Drip`].
const DRIP: Duration = Duration::from_millis(20);

/// What happens once a request's head has been read.
#[derive(Clone, Debug)]
pub enum Manner {
    /// These bytes; the connection stays open for the next request.
    Say(Vec<u8>),
    /// These bytes, then the end of the connection.
    Leave(Vec<u8>),
    /// These bytes, then a reset.
    Reset(Vec<u8>),
    /// The first, then the second again and again until the peer has enough.
    Endless(&'static str, &'static str),
    /// These bytes and then one byte at a time, until the peer has enough.
    Drip(&'static str),
}

/// A running upstream; it ends when this is dropped.
#[derive(Debug)]
pub struct Rude {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    manners: Mutex<VecDeque<Manner>>,
    /// Peers that had enough of what does not end.
    fed_up: AtomicUsize,
}

impl Rude {
    /// Starts on a free port; with `tls`, behind TLS.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Appends to what will be done.
    pub fn next(&self, manner: Manner) {
        self.shared.manners.lock().unwrap_or_else(PoisonError::into_inner).push_back(manner);
    }

    /// Waits until so many peers have parted from what does not end.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn is_left_by(&self, peers: usize) -> Result<()> {
        let left = async || (self.shared.fed_up.load(Ordering::Relaxed) == peers).then_some(());
        wait::until("the end of an endless answer", left).await
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        // How a connection ends is the peer's business.
        connections.spawn(async move {
            match tls {
                None => serve(stream, &shared).await,
                Some(tls) => serve(tls.accept(stream).await?, &shared).await,
            }
        });
    }
}

/// A stream that can be torn down without a goodbye.
trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn serve(mut stream: impl Socket, shared: &Shared) -> std::io::Result<()> {
    loop {
        read_head(&mut stream).await?;
        let manner = shared.manners.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match manner.unwrap_or_else(|| Manner::Say(PROPER.into())) {
            Manner::Say(bytes) => stream.write_all(&bytes).await?,
            Manner::Leave(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Manner::Reset(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.socket().set_zero_linger();
            }
            Manner::Endless(first, again) => {
                stream.write_all(first.as_bytes()).await?;
                while stream.write_all(again.as_bytes()).await.is_ok() {}
                shared.fed_up.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Manner::Drip(first) => {
                stream.write_all(first.as_bytes()).await?;
                let mut interval = tokio::time::interval(DRIP);
                while stream.write_all(b"x").await.is_ok() {
                    interval.tick().await;
                }
                shared.fed_up.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}
