use std::sync::Arc;

use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A server whose handler does what the test says.
async fn start<H, F>(handler: H, limits: Limits) -> (SocketAddr, DrainTrigger, JoinHandle<Drained>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, drain) = drain();
    (address, trigger, tokio::spawn(serve(listener, handler, limits, drain)))
}

fn text(text: &'static str) -> Response<Body> {
    Response::new(Body::Left(Full::from(text)))
}

/// Waits until the handler has been reached, then for what the test decides.
#[derive(Clone, Default)]
struct Gatekeeper {
    reached: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gatekeeper {
    async fn pass(self) -> Response<Body> {
        self.reached.notify_one();
        self.open.notified().await;
        text("done")
    }
}

/// Everything until the peer closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    within_reason(stream.read_to_end(&mut bytes)).await.ok();
    String::from_utf8(bytes).unwrap()
}

/// What does not come fails the test instead of hanging it. Far beyond every timeout under test, which under paused time all
/// come first.
async fn within_reason<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(4 * HEADER_READ_TIMEOUT, what).await.unwrap()
}

#[tokio::test]
async fn both_http_versions_are_answered_on_one_port() {
    let (address, _trigger, _server) = start(|_| async { text("hello") }, Limits::default()).await;
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<Bytes>>();
        let answer = client.get(format!("http://{address}/").parse().unwrap()).await.unwrap();
        assert_eq!(answer.version() == http::Version::HTTP_2, http2);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}

/// Says when the future that holds it is dropped.
struct OnDrop(Option<oneshot::Sender<()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell.send(()).ok();
        }
    }
}

#[tokio::test]
async fn a_handler_is_dropped_where_it_waits_when_its_client_leaves_or_half_closes() {
    for half_close in [false, true] {
        let keeper = Gatekeeper::default();
        let (tell, dropped) = oneshot::channel();
        let guard = Arc::new(std::sync::Mutex::new(Some(OnDrop(Some(tell)))));
        let inside = keeper.clone();
        let handler = move |_| {
            let held = guard.lock().unwrap().take();
            let keeper = inside.clone();
            async move {
                let _held = held;
                keeper.pass().await
            }
        };
        let (address, _trigger, _server) = start(handler, Limits::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(GET).await.unwrap();
        keeper.reached.notified().await;
        if half_close {
            client.shutdown().await.unwrap();
        } else {
            drop(client);
        }
        within_reason(dropped).await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let keeper = Gatekeeper::default();
    let inside = keeper.clone();
    let (address, trigger, server) = start(move |_| inside.clone().pass(), Limits::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    keeper.reached.notified().await;

    trigger.begin();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    keeper.open.notify_one();
    assert!(read_to_end(&mut client).await.ends_with("done"));
    assert_eq!(within_reason(server).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_what_is_left() {
    let keeper = Gatekeeper::default();
    let inside = keeper.clone();
    let limits = Limits { drain: Duration::ZERO, ..Limits::default() };
    let (address, trigger, server) = start(move |_| inside.clone().pass(), limits).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET).await.unwrap();
    keeper.reached.notified().await;
    trigger.begin();
    assert_eq!(server.await.unwrap(), Drained { cut: 1 });
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_connection_beyond_the_cap_is_refused_and_room_is_given_back() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let (address, _trigger, _server) = start(|_| async { text("hello") }, limits).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(GET).await.unwrap();
    first.read_exact(&mut [0; 8]).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    assert!(read_to_end(&mut second).await.starts_with("HTTP/1.1 503"));

    drop(first);
    // The server learns of the close on its own time: until then it refuses.
    loop {
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.ok();
        if read_to_end(&mut third).await.ends_with("hello") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_no_whole_request_is_given_up() {
    let (address, _trigger, _server) = start(|_| async { text("hello") }, Limits::default()).await;
    for beginning in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: loc"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(beginning.as_bytes()).await.unwrap();
        // Time is paused, so this ends as soon as a timeout is the only thing left to wait for.
        let answer = read_to_end(&mut client).await;
        assert!(!answer.contains("hello"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (address, _trigger, _server) = start(|_| async { text("hello") }, Limits::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let huge = "x".repeat(MAX_HEADER_BYTES as usize);
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-huge: {huge}\r\n\r\n");
    client.write_all(request.as_bytes()).await.ok();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431"));
}
