use std::convert::Infallible;
use std::path::Path;

use ::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::{AuditFile, AuditHttp, AuditQueue, AuditSink};

fn config(to: AuditSink, on_failure: OnAuditFailure, items: usize) -> config::Audit {
    config::Audit { to, on_failure, queue: AuditQueue { items, ..AuditQueue::default() } }
}

fn file(path: &Path) -> AuditSink {
    AuditSink::File(AuditFile { file: path.to_owned() })
}

fn start(config: &config::Audit) -> (Audit, Writing) {
    Audit::start(Some(config), Console::Stdout).unwrap()
}

fn write(audit: &Audit, line: &str) {
    audit.pledge(0).unwrap().unwrap().fulfil(format!("{line}\n").into_bytes());
}

/// Waits for something that another thread does, in time that is only counted.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn lines_are_in_the_file_when_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (audit, writing) = start(&config(file(&path), OnAuditFailure::Stop, 10));
    for line in ["one", "two", "three"] {
        write(&audit, line);
    }
    writing.finish().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(audit.status()["written"], 3);
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_calls_stop_or_lines_are_dropped() {
    for (on_failure, stops) in [(OnAuditFailure::Stop, true), (OnAuditFailure::Drop, false)] {
        let (audit, _writing) = start(&config(file(Path::new("/dev/full")), on_failure, 2));
        write(&audit, "one");
        until(|| !audit.status()["failing"].is_null()).await;
        match audit.pledge(0) {
            Err(fault) => assert!(stops && fault.kind == FaultKind::Unavailable && fault.retry_at.is_some()),
            Ok(_) => assert!(!stops),
        }
        if !stops {
            ["two", "three", "four"].iter().for_each(|line| write(&audit, line));
            let status = audit.status();
            assert_eq!((&status["queued"]["lines"], &status["dropped"]), (&json!(2), &json!(2)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_disk_has_room_again_calls_go_on_and_nothing_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (audit, writing) = start(&config(file(&path), OnAuditFailure::Stop, 10));
    write(&audit, "one");
    until(|| audit.pledge(0).is_err()).await;
    std::fs::remove_file(&path).unwrap();
    until(|| audit.pledge(0).is_ok()).await;
    write(&audit, "two");
    // Before the end, which waits in time that is only counted: the disk takes real time.
    until(|| audit.status()["written"] == 2).await;
    writing.finish().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let (audit, writing) = start(&config(file(Path::new("/dev/full")), OnAuditFailure::Drop, 10));
    write(&audit, "one");
    writing.finish().await;
    assert_eq!(audit.status()["dropped"], 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_said_at_once() {
    let config = config(file(Path::new("/nowhere/audit")), OnAuditFailure::Drop, 1);
    assert!(Audit::start(Some(&config), Console::Stdout).unwrap_err().contains("/nowhere/audit"));
}

/// A service that tells what it gets, and answers what it is told to.
struct Collector {
    url: String,
    bodies: mpsc::UnboundedReceiver<(Option<String>, String)>,
    answers: mpsc::UnboundedSender<StatusCode>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/lines?key=hidden", listener.local_addr().unwrap());
        let (told, bodies) = mpsc::unbounded_channel();
        let (answers, given) = mpsc::unbounded_channel::<StatusCode>();
        let given = Arc::new(tokio::sync::Mutex::new(given));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, given) = (told.clone(), Arc::clone(&given));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (told, given) = (told.clone(), Arc::clone(&given));
                    async move {
                        let token = request.headers().get("authorization").cloned();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let token = token.map(|token| token.to_str().unwrap().to_owned());
                        told.send((token, String::from_utf8(body.to_vec()).unwrap())).unwrap();
                        let status = given.lock().await.recv().await.unwrap_or(StatusCode::OK);
                        let mut response = Response::new(Full::<Bytes>::default());
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { url, bodies, answers }
    }

    fn sink(&self, token: Option<&Path>) -> AuditSink {
        AuditSink::Http(AuditHttp { url: self.url.clone(), token: token.map(Path::to_owned), ca: None })
    }
}

#[tokio::test]
async fn a_slow_service_holds_up_no_call_and_gets_everything() {
    let mut collector = Collector::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "collector-token\n").unwrap();
    let (audit, writing) = start(&config(collector.sink(Some(token.path())), OnAuditFailure::Stop, 3));
    assert!(!audit.status()["to"].as_str().unwrap().contains("hidden"));
    write(&audit, "one");
    let (authorization, first) = collector.bodies.recv().await.unwrap();
    assert_eq!((authorization.as_deref(), first.as_str()), (Some("Bearer collector-token"), "one\n"));
    // It does not answer: there is room for two lines more, and then calls stop.
    write(&audit, "two");
    write(&audit, "three");
    assert!(audit.pledge(0).is_err());
    collector.answers.send(StatusCode::ACCEPTED).unwrap();
    assert_eq!(collector.bodies.recv().await.unwrap().1, "two\nthree\n");
    collector.answers.send(StatusCode::OK).unwrap();
    writing.finish().await;
    assert_eq!(audit.status()["written"], 3);
}

#[tokio::test]
async fn a_service_that_refuses_is_asked_again() {
    let mut collector = Collector::start().await;
    let (audit, writing) = start(&config(collector.sink(None), OnAuditFailure::Stop, 3));
    write(&audit, "one");
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
        assert_eq!(collector.bodies.recv().await.unwrap().1, "one\n");
        collector.answers.send(status).unwrap();
    }
    writing.finish().await;
    let status = audit.status();
    assert_eq!(
        (&status["written"], &status["dropped"], &status["failing"]),
        (&json!(1), &json!(0), &json!(null))
    );
}
