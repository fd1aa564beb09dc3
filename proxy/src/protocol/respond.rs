//! Responses as hyper wants them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;

use crate::server::Body;

pub const JSON: &str = "application/json";

/// A body that is there as a whole.
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    whole(status, JSON, body)
}

/// 202 with nothing to say.
pub fn accepted() -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// An event stream that stays open; `events` are framed already.
pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let frames = events.map(|event| Ok::<_, Infallible>(Frame::data(event)));
    let mut response =
        Response::new(Either::Right(http_body_util::BodyExt::boxed_unsync(StreamBody::new(frames))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Reverse proxies of the nginx kind hold events back without it.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
