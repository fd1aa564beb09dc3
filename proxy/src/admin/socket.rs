//! The control socket: a path in the file system that only Ferrata's user can open.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::MAX_CONNECTIONS;
use crate::server::{Body, rest_after};

/// How long a socket that is in the way may take to be opened. A living process accepts at once; one whose queue is full lives too.
const PROBE_TIME: Duration = Duration::from_millis(500);

/// Characters of the random name of a folder: a socket's path has at most 108 bytes in all.
const NAME_CHARS: usize = 8;

/// Binds `path`. A socket that an earlier process left is replaced; anything else that stands there stays, and is the error.
pub async fn bind(path: &Path) -> Result<UnixListener, String> {
    check_is_free(path).await?;
    bind_privately(path).map_err(|e| e.to_string())
}

async fn check_is_free(path: &Path) -> Result<(), String> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.to_string()),
        Ok(meta) if !meta.file_type().is_socket() => return Err("what stands there is no socket".to_owned()),
        Ok(_) => {}
    }
    match tokio::time::timeout(PROBE_TIME, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(e)) => Err(format!("the socket that stands there cannot be tried: {e}")),
        Ok(Ok(_)) | Err(_) => Err("another process listens there".to_owned()),
    }
}

/// Made in a folder that nobody else can enter and moved from there, so that nobody can connect before its mode is set.
fn bind_privately(path: &Path) -> std::io::Result<UnixListener> {
    let mut name = Uuid::new_v4().simple().to_string();
    name.truncate(NAME_CHARS);
    let folder = path.with_file_name(format!(".{name}"));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    if bound.is_err() {
        let _ = std::fs::remove_file(&made);
    }
    std::fs::remove_dir(&folder)?;
    bound
}

/// Answers until it is dropped.
pub async fn serve<A>(listener: UnixListener, answer: A)
where
    A: Fn(&http::Request<Incoming>) -> http::Response<Body> + Clone + Send + 'static,
{
    let open = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // One too many is closed at once.
                if let Ok(place) = Arc::clone(&open).try_acquire_owned() {
                    tokio::spawn(connection(stream, answer.clone(), place));
                }
            }
            Err(error) => rest_after(error).await,
        }
    }
}

async fn connection<A>(stream: UnixStream, answer: A, _place: OwnedSemaphorePermit)
where
    A: Fn(&http::Request<Incoming>) -> http::Response<Body>,
{
    let service = service_fn(move |request| {
        let answer = answer(&request);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a control connection ended in an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&path).await.unwrap_err().contains("no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");

        std::fs::remove_file(&path).unwrap();
        let first = bind(&path).await.unwrap();
        assert!(bind(&path).await.unwrap_err().contains("another process"));
        drop(first);
        let second = bind(&path).await.unwrap();
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(connected.is_ok() && accepted.is_ok());
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
