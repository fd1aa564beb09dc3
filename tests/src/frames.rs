//! An HTTP/2 upstream that ends streams and connections as a test likes: it writes frames, not answers.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Result;

/// Error codes (RFC 9113 section 7).
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// Frame types and flags (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200` in HPACK.
const STATUS_200: &[u8] = &[0x88];

/// What every client says first.
const PREFACE_BYTES: usize = 24;

/// What happens once a request has arrived whole.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// A proper answer.
    Answer,
    /// Nothing, until [`Manner::Retire`].
    Hold,
    /// RST_STREAM with that code, instead of an answer.
    Reset(u32),
    /// RST_STREAM with that code in the middle of an answer.
    ResetInBody(u32),
    /// GOAWAY by which the request was not taken, and the end of the connection.
    GoAwayBefore,
    /// GOAWAY by which the request may have been taken, and the end of the connection.
    GoAwayAfter,
    /// GOAWAY by which the request may have been taken, its answer, and the end of the connection.
    GoAwayAndAnswer,
    /// GOAWAY by which what is held was taken and the request was not; answers to the former, and the end of the connection.
    Retire,
}

type Manners = Arc<Mutex<VecDeque<Manner>>>;

/// A running upstream; it ends when this is dropped. Without instructions it answers.
#[derive(Debug)]
pub struct Frames {
    address: SocketAddr,
    manners: Manners,
    accepting: JoinHandle<()>,
}

impl Frames {
    /// Starts on a free port. `tls` must agree on `h2`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(tls: TlsAcceptor) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, manners) = (listener.local_addr()?, Manners::default());
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&manners)));
        Ok(Self { address, manners, accepting })
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Appends to what will be done.
    pub fn next(&self, manner: Manner) {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner).push_back(manner);
    }

    /// How much of that is still to be done.
    pub fn left(&self) -> usize {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, manners: Manners) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, manners) = (tls.clone(), Arc::clone(&manners));
        // How a connection ends is the peer's business.
        connections.spawn(async move {
            let mut peer = Peer { stream: tls.accept(stream).await?, held: Vec::new() };
            peer.serve(&manners).await
        });
    }
}

struct Peer {
    stream: TlsStream<TcpStream>,
    held: Vec<u32>,
}

impl Peer {
    async fn serve(&mut self, manners: &Manners) -> std::io::Result<()> {
        self.stream.read_exact(&mut [0; PREFACE_BYTES]).await?;
        self.write(SETTINGS, 0, 0, &[]).await?;
        loop {
            let (kind, flags, id, payload) = self.read().await?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload).await?,
                DATA | HEADERS if flags & END_STREAM != 0 => {
                    let manner = manners.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    if self.act(manner.unwrap_or(Manner::Answer), id).await? {
                        return self.leave().await;
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether that was the end of the connection.
    async fn act(&mut self, manner: Manner, id: u32) -> std::io::Result<bool> {
        match manner {
            Manner::Answer => self.answer(id).await?,
            Manner::Hold => self.held.push(id),
            Manner::Reset(code) => self.write(RST_STREAM, 0, id, &code.to_be_bytes()).await?,
            Manner::ResetInBody(code) => {
                self.write(HEADERS, END_HEADERS, id, STATUS_200).await?;
                self.write(DATA, 0, id, b"fi").await?;
                self.write(RST_STREAM, 0, id, &code.to_be_bytes()).await?;
            }
            Manner::GoAwayBefore => self.go_away(id.saturating_sub(1)).await?,
            Manner::GoAwayAfter => self.go_away(id).await?,
            Manner::GoAwayAndAnswer => {
                self.go_away(id).await?;
                self.answer(id).await?;
            }
            Manner::Retire => {
                self.go_away(id.saturating_sub(1)).await?;
                for held in std::mem::take(&mut self.held) {
                    self.answer(held).await?;
                }
            }
        }
        Ok(matches!(
            manner,
            Manner::GoAwayBefore | Manner::GoAwayAfter | Manner::GoAwayAndAnswer | Manner::Retire
        ))
    }

    /// Says goodbye and listens until the peer has heard it: a socket that is closed with something unread takes back what it said.
    async fn leave(&mut self) -> std::io::Result<()> {
        self.stream.shutdown().await?;
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map(drop)
    }

    async fn answer(&mut self, id: u32) -> std::io::Result<()> {
        self.write(HEADERS, END_HEADERS, id, STATUS_200).await?;
        self.write(DATA, END_STREAM, id, b"fine").await
    }

    async fn go_away(&mut self, last: u32) -> std::io::Result<()> {
        let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await
    }

    async fn write(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(std::io::Error::other)?.to_be_bytes();
        let head = [&length[1..], &[kind, flags], &id.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await?;
        self.stream.flush().await
    }

    /// Type, flags, stream and payload.
    async fn read(&mut self) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        self.stream.read_exact(&mut payload).await?;
        Ok((kind, flags, u32::from_be_bytes(id), payload))
    }
}
