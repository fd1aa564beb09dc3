//! The resources that the suite reads.

use ferrata_sdk::prelude::*;

use crate::READ;

/// A picture of one pixel.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\
    \0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// Every id that there is.
const IDS: [&str; 3] = ["123", "124", "200"];

pub fn resources() -> Vec<Resource<NoSettings>> {
    vec![
        resource("static-text", "Static text", text)
            .describe("What the system says, whatever that is.")
            .mime_type("text/plain"),
        resource("static-binary", "Static picture", picture).mime_type("image/png").size(PNG.len() as u64),
        resource_template("template/{id}/data", "Data", data).describe("Data by id.").complete("id", ids),
    ]
}

fn text(cx: &Cx<NoSettings>) -> Result<Document, Fault> {
    Ok(Document::text("text/plain", cx.request(&READ).send()?.text()))
}

fn picture(_: &Cx<NoSettings>) -> Result<Document, Fault> {
    Ok(Document::bytes("image/png", PNG))
}

#[answer]
struct Id {
    id: String,
}

#[output]
struct Data {
    id: String,
    data: String,
}

fn data(_: &Cx<NoSettings>, Id { id }: Id) -> Result<Document, Fault> {
    if !IDS.contains(&id.as_str()) {
        return Err(Fault::not_found(format!("There is no data for ID {id}.")));
    }
    Document::json(&Data { data: format!("Data for ID: {id}"), id })
}

fn ids(_: &Cx<NoSettings>, typed: &Typed) -> Result<Suggestions, Fault> {
    Ok(typed.matching(IDS))
}
