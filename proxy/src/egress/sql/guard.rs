//! A bound on the size of one message from the server, where the driver has none.
//!
//! PostgreSQL sends a row as one message of up to 1 GiB, and the driver buffers a message whole before anybody can look
//! at it. This stream reads along, and breaks the connection at the header of a message that is larger than the bound.
//! It understands headers only: one byte that names the message, four that give its length.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Bytes of a message's header.
const HEADER_BYTES: usize = 5;

/// The stream inside TLS, or the TCP stream where the operator does without.
pub(super) struct Guarded<S> {
    inner: S,
    meter: Meter,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, max_message_bytes: usize) -> Self {
        Self { inner, meter: Meter { bound: max_message_bytes, header: [0; HEADER_BYTES], have: 0, body: 0 } }
    }
}

/// Where in the sequence of messages the reader is.
struct Meter {
    bound: usize,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header read so far.
    have: usize,
    /// Bytes of the body still to come.
    body: usize,
}

impl Meter {
    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let step = if self.body > 0 {
                let step = self.body.min(bytes.len());
                self.body -= step;
                step
            } else {
                self.take_header(bytes)?
            };
            bytes = &bytes[step..];
        }
        Ok(())
    }

    fn take_header(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = (HEADER_BYTES - self.have).min(bytes.len());
        self.header[self.have..self.have + step].copy_from_slice(&bytes[..step]);
        self.have += step;
        if self.have == HEADER_BYTES {
            let [_, length @ ..] = self.header;
            // The length counts itself.
            let body = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
            if body > self.bound {
                return Err(io::Error::other(Exceeded(self.bound)));
            }
            (self.have, self.body) = (0, body);
        }
        Ok(step)
    }
}

#[derive(Debug)]
struct Exceeded(usize);

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of more than {} bytes", self.0)
    }
}

impl std::error::Error for Exceeded {}

/// The bound in bytes, if that is what the error is about.
pub(super) fn exceeded(error: &io::Error) -> Option<usize> {
    error.get_ref()?.downcast_ref::<Exceeded>().map(|Exceeded(bound)| *bound)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        Poll::Ready(self.meter.pass(&buf.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Guarded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;

/// Makes TLS over TCP, with the guard inside it.
pub(super) struct GuardedTls {
    pub(super) tls: RustlsConnect,
    pub(super) max_message_bytes: usize,
}

impl TlsConnect<TcpStream> for GuardedTls {
    type Stream = Guarded<<RustlsConnect as TlsConnect<TcpStream>>::Stream>;
    type Error = <RustlsConnect as TlsConnect<TcpStream>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        let Self { tls, max_message_bytes } = self;
        Box::pin(async move { Ok(Guarded::new(tls.connect(stream).await?, max_message_bytes)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).unwrap().to_be_bytes();
        [&[tag], &length[..], &vec![0xff; body]].concat()
    }

    /// Passes `bytes` in pieces of `size`.
    fn pass(bytes: &[u8], size: usize) -> io::Result<()> {
        let mut guarded = Guarded::new((), 100);
        bytes.chunks(size).try_for_each(|piece| guarded.meter.pass(piece))
    }

    #[test]
    fn messages_up_to_the_bound_pass_however_they_are_cut() {
        let bytes = [message(b'D', 100), message(b'Z', 0), message(b'D', 7), message(b'C', 100)].concat();
        for size in 1..bytes.len() {
            pass(&bytes, size).unwrap();
        }
    }

    #[test]
    fn a_larger_one_is_stopped_at_its_header() {
        let bytes = [message(b'D', 100), message(b'D', 101)].concat();
        let header_only = &bytes[..105 + HEADER_BYTES];
        for size in 1..header_only.len() {
            assert_eq!(pass(header_only, size).map_err(|e| exceeded(&e)), Err(Some(100)), "{size}");
        }
    }
}
