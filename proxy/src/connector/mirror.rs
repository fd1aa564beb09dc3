//! Arguments that a tool wants repeated in HTTP headers (`x-mcp-header` in its schema), for intermediaries to route by: which ones, judged at
//! load. Whether a request does so is the protocol's to check.

use std::collections::HashSet;

use serde_json::Value;

/// The member of a schema that says so.
const WISH: &str = "x-mcp-header";

/// What comes before the wished name.
const PREFIX: &str = "mcp-param-";

/// Longest wished name, in bytes, and most of them: they add to the head of every request.
const MAX_NAME_BYTES: usize = 64;
const MAX_MIRRORS: usize = 32;

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The header's whole name, in lower case.
    pub header: String,
    /// Names of properties, from the arguments down.
    pub path: Vec<String>,
}

/// All wishes of an input schema. A wish that clients would refuse the whole tool for is an error: a sentence's end.
pub fn find(schema: &Value) -> Result<Vec<Mirror>, String> {
    let mut found = Vec::new();
    walk(schema, Some(Vec::new()), &mut found)?;
    if found.len() > MAX_MIRRORS {
        return Err(format!("`{WISH}` on more than {MAX_MIRRORS} properties"));
    }
    let mut names = HashSet::new();
    match found.iter().find(|mirror| !names.insert(&mirror.header)) {
        Some(twice) => Err(format!("two properties with the `{WISH}` of `{}`", twice.header)),
        None => Ok(found),
    }
}

/// `path` leads to the schema through `properties` alone; none if something else was on the way.
fn walk(schema: &Value, path: Option<Vec<String>>, found: &mut Vec<Mirror>) -> Result<(), String> {
    let members = match schema {
        Value::Object(members) => members,
        Value::Array(schemas) => return schemas.iter().try_for_each(|schema| walk(schema, None, found)),
        _ => return Ok(()),
    };
    if let Some(wish) = members.get(WISH) {
        found.push(mirror(wish, members.get("type"), path.clone())?);
    }
    for (keyword, member) in members {
        match (keyword.as_str(), member) {
            // Data, not schemas.
            ("const" | "enum" | "default" | "examples", _) => {}
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => {
                for (name, schema) in schemas {
                    let below = path.as_ref().filter(|_| keyword == "properties");
                    let below = below.map(|path| [path.as_slice(), std::slice::from_ref(name)].concat());
                    walk(schema, below, found)?;
                }
            }
            _ => walk(member, None, found)?,
        }
    }
    Ok(())
}

fn mirror(wish: &Value, kind: Option<&Value>, path: Option<Vec<String>>) -> Result<Mirror, String> {
    let is_token = |name: &&str| {
        let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_tchar)
    };
    let name = wish.as_str().filter(is_token).ok_or_else(|| format!("`{WISH}` that names no header"))?;
    let path = path.filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| format!("`{WISH}` elsewhere than on a property of an object"))?;
    match kind.and_then(Value::as_str) {
        Some("string" | "integer" | "boolean") => {
            Ok(Mirror { header: format!("{PREFIX}{}", name.to_ascii_lowercase()), path })
        }
        _ => Err(format!("`{WISH}` on a property that is not always a string, an integer or a boolean")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(name: &str) -> Value {
        json!({ "type": "string", WISH: name })
    }

    #[test]
    fn wishes_are_found_wherever_objects_lead() {
        let schema = json!({ "type": "object", "properties": {
            "region": wish("Region"),
            "options": { "type": "object", "properties": { "limit": { "type": "integer", WISH: "Limit" } } },
            // A property of that name, and data that looks like a wish.
            WISH: { "type": "string", "default": { WISH: 7 } },
        } });
        let found: Vec<_> =
            find(&schema).unwrap().into_iter().map(|m| (m.header, m.path.join("."))).collect();
        assert_eq!(
            found,
            [
                ("mcp-param-limit".to_owned(), "options.limit".to_owned()),
                ("mcp-param-region".to_owned(), "region".to_owned()),
            ]
        );
    }

    #[test]
    fn what_clients_would_refuse_is_refused() {
        let property = |schema: Value| json!({ "type": "object", "properties": { "a": schema } });
        for bad in [
            property(wish("")),
            property(wish("a b")),
            property(wish("a:b")),
            property(json!({ "type": "string", WISH: 7 })),
            property(json!({ "type": "number", WISH: "A" })),
            property(json!({ "type": ["string", "null"], WISH: "A" })),
            property(json!({ WISH: "A" })),
            property(json!({ "type": "array", "items": wish("A") })),
            property(json!({ "anyOf": [wish("A")] })),
            json!({ "type": "object", "$defs": { "a": wish("A") } }),
            json!({ "type": "object", WISH: "A" }),
            json!({ "type": "object", "properties": { "a": wish("Same"), "b": wish("same") } }),
        ] {
            assert!(find(&bad).is_err(), "{bad}");
        }
    }
}
