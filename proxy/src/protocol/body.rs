//! Reading a request's body, within its bounds.

use std::error::Error;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;

use super::Settings;
use super::refusal::Refusal;
use crate::memory;

/// The whole body, if it is JSON by its header.
pub async fn read_json<B>(headers: &HeaderMap, body: B, settings: &Settings) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // A page in a browser cannot send this type to another origin without asking first.
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        return Err(Refusal::not_json());
    }
    read(body, settings).await
}

async fn read<B>(body: B, settings: &Settings) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // What is declared too large is not read at all.
    if body.size_hint().lower() > settings.body_bytes as u64 {
        return Err(Refusal::too_large(settings.body_bytes));
    }
    // One of unknown length may become as large as any.
    let expected = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let _held = memory::PROCESS
        .admit(expected.unwrap_or(settings.body_bytes))
        .map_err(|fault| Refusal::overloaded(fault.message.clone()))?;
    let whole = Limited::new(body, settings.body_bytes).collect();
    match tokio::time::timeout(settings.body_read, whole).await {
        Err(_) => Err(Refusal::too_slow()),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(settings.body_bytes)),
        Ok(Err(_)) => Err(Refusal::bad_request("The body could not be read.")),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::StatusCode;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn settings() -> Settings {
        Settings { body_bytes: 8, ..Settings::default() }
    }

    async fn status_of<B>(body: B) -> Result<Bytes, StatusCode>
    where
        B: Body<Data = Bytes, Error = Infallible>,
    {
        read(body, &settings()).await.map_err(|refusal| refusal.into_problem().status())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_size_and_a_time() {
        assert_eq!(status_of(Full::from("12345678")).await, Ok(Bytes::from("12345678")));
        assert_eq!(status_of(Full::from("123456789")).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        let undeclared = stream::iter(["12345", "6789"].map(|part| Ok(Frame::data(Bytes::from(part)))));
        assert_eq!(status_of(StreamBody::new(undeclared)).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        let endless = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        assert_eq!(status_of(StreamBody::new(endless)).await, Err(StatusCode::REQUEST_TIMEOUT));
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("application/jsonp") && !is_json(""));
    }
}
