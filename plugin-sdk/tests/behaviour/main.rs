//! What an author can rely on, seen from a crate that uses the SDK as a connector does.

mod answers;
mod batches;
mod exchanges;
mod lists;
mod loading;
mod logins;
mod offers;
mod secrets;
