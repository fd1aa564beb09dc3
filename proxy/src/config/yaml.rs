//! YAML with places: a tree of JSON values in which every node knows its line and column.
//!
//! Positions are looked up by JSON Pointer, which is how schema errors and our own checks name a place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A value and where it stands.
pub struct Node {
    location: Location,
    content: Content,
}

enum Content {
    Scalar(Value),
    List(Vec<Node>),
    /// Key, place of the key, value.
    Object(Vec<(String, Location, Node)>),
}

/// The document, or the parser's complaint (which names line and column itself).
pub fn parse(text: &str) -> Result<Node, serde_saphyr::Error> {
    serde_saphyr::from_str(text)
}

impl Node {
    /// The tree as plain JSON.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Content::Object(members) => Value::Object(
                members.iter().map(|(k, _, v)| (k.clone(), v.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Line and column (from 1) of what a JSON Pointer names, or of the nearest thing around it that exists.
    pub fn position(&self, pointer: &str) -> (u64, u64) {
        let (mut node, mut at) = (self, self.location);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let Some((location, child)) = node.child(&token) else { break };
            (node, at) = (child, location);
        }
        (at.line(), at.column())
    }

    fn child(&self, token: &str) -> Option<(Location, &Node)> {
        match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => {
                token.parse().ok().and_then(|i: usize| items.get(i)).map(|n| (n.location, n))
            }
            Content::Object(members) => {
                members.iter().find(|(key, ..)| key == token).map(|(_, at, node)| (*at, node))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned: Spanned<Content> = Spanned::deserialize(deserializer)?;
        Ok(Self { location: spanned.referenced, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Content, E> {
        Ok(Content::Scalar(Number::from_f64(v).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Content, E> {
        Ok(Content::Scalar(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Node>()? {
            members.push((key.value, key.referenced, value));
        }
        Ok(Content::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_place() {
        let node = parse("a: 1\nb:\n  - x\n  - c/d: true\n").unwrap();
        assert_eq!(node.to_value(), serde_json::json!({"a": 1, "b": ["x", {"c/d": true}]}));
        assert_eq!(node.position("/b/1/c~1d"), (4, 5));
        assert_eq!(node.position("/b/1/absent/deeper"), (4, 5));
        assert_eq!(node.position("/b"), (2, 1));
    }
}
