//! A connector's resources as it lists them: judged once, at load, and found again by their URIs.
//!
//! The scheme of every URI is the connector's own name, put there by the host: no connector can name what belongs to another.

mod path;

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use path::Pattern;
pub use path::{Variables, check as check_path};

use super::bindings::resources::Entry;

/// Most resources and families of one connector: the list is one page, and a model's program reads it whole.
const MAX_RESOURCES: usize = 1024;

/// Most families of one connector: a URI is compared with each.
const MAX_FAMILIES: usize = 64;

/// Largest text of one resource, in bytes.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// Largest list of one connector, in bytes.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Schemes that clients act on by themselves: a URI with one of them would never come here.
const SCHEMES_OF_OTHERS: [&str; 8] = ["http", "https", "file", "git", "data", "blob", "ui", "javascript"];

/// One resource, or a family of them.
#[derive(Debug)]
pub struct ResourceSpec {
    /// As the connector lists it.
    pub path: String,
    /// `<connector>://<path>`, with its variables if it has some.
    pub uri: String,
    /// The MCP definition, rendered.
    pub definition: Box<RawValue>,
    pattern: Pattern,
    completes: HashSet<String>,
}

impl ResourceSpec {
    pub fn is_family(&self) -> bool {
        self.pattern.is_family()
    }

    /// Whether it has that variable.
    pub fn has_variable(&self, name: &str) -> bool {
        self.pattern.variables().any(|variable| variable == name)
    }

    /// Whether the connector knows values for that variable.
    pub fn completes(&self, variable: &str) -> bool {
        self.completes.contains(variable)
    }

    /// Whether the connector knows values for any.
    pub fn completes_any(&self) -> bool {
        !self.completes.is_empty()
    }

    fn new(connector: &str, entry: Entry) -> Result<Self, String> {
        let pattern = Pattern::parse(&entry.path)?;
        let uri = uri(connector, &entry.path);
        check_texts(&entry)?;
        if let Some(stranger) = entry.completes.iter().find(|name| !pattern.variables().any(|v| v == **name))
        {
            return Err(format!("it completes `{stranger}`, which is no variable of it"));
        }
        let definition = definition(&uri, &pattern, &entry)?;
        let (path, completes) = (entry.path, entry.completes.into_iter().collect());
        Ok(Self { path, uri, definition, pattern, completes })
    }
}

/// All resources of one connector, in its order.
#[derive(Debug, Default)]
pub struct Resources {
    specs: Vec<ResourceSpec>,
    /// Those without variables, by path.
    single: HashMap<String, usize>,
    families: Vec<usize>,
}

impl Resources {
    /// Judges everything that `list-resources` returned, under the connector's name.
    pub fn new(connector: &str, entries: Vec<Entry>) -> Result<Self, String> {
        if entries.len() > MAX_RESOURCES {
            return Err(format!("it has {} resources; at most {MAX_RESOURCES}", entries.len()));
        }
        if !entries.is_empty() {
            check_scheme(connector)?;
        }
        let (mut resources, mut bytes) = (Self::default(), 0);
        for entry in entries {
            let path = entry.path.clone();
            let spec = ResourceSpec::new(connector, entry)
                .map_err(|e| format!("its resource `{}`: {e}", crate::fault::quotable(&path)))?;
            bytes += spec.definition.get().len();
            resources.add(spec)?;
        }
        if bytes > MAX_LIST_BYTES {
            return Err(format!("its list of resources has {bytes} bytes; at most {MAX_LIST_BYTES}"));
        }
        Ok(resources)
    }

    fn add(&mut self, spec: ResourceSpec) -> Result<(), String> {
        let index = self.specs.len();
        if spec.is_family() {
            self.families.push(index);
            if self.specs.iter().any(|known| known.path == spec.path) {
                return Err(format!("it has two resources `{}`", spec.path));
            }
        } else if self.single.insert(spec.path.clone(), index).is_some() {
            return Err(format!("it has two resources `{}`", spec.path));
        }
        if self.families.len() > MAX_FAMILIES {
            return Err(format!("it has more than {MAX_FAMILIES} resources with variables"));
        }
        self.specs.push(spec);
        Ok(())
    }

    pub fn iter(&self) -> impl Iterator<Item = &ResourceSpec> {
        self.specs.iter()
    }

    pub fn get(&self, index: usize) -> Option<&ResourceSpec> {
        self.specs.get(index)
    }

    /// What to read for a path, and the variables in it.
    pub fn find(&self, path: &str) -> Option<(usize, Variables)> {
        check_path(path).ok()?;
        if let Some(index) = self.single.get(path) {
            return Some((*index, Vec::new()));
        }
        self.families.iter().find_map(|index| Some((*index, self.specs[*index].pattern.fit(path)?)))
    }

    /// The family with exactly that pattern.
    pub fn family(&self, path: &str) -> Option<usize> {
        self.families.iter().copied().find(|index| self.specs[*index].path == path)
    }
}

/// How the agent names a path of a connector.
pub fn uri(connector: &str, path: &str) -> String {
    format!("{connector}://{path}")
}

/// Whether the connector's name can be a scheme. The error is a sentence for the operator, who chose the name.
fn check_scheme(connector: &str) -> Result<(), String> {
    if !connector.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(format!(
            "it has resources, whose URIs begin with the connector's name, and `{connector}://` is no URI: begin the name with a letter"
        ));
    }
    if SCHEMES_OF_OTHERS.contains(&connector) {
        return Err(format!(
            "it has resources, whose URIs begin with the connector's name, and `{connector}://` means something else to agents: choose another name"
        ));
    }
    Ok(())
}

fn check_texts(entry: &Entry) -> Result<(), String> {
    let optional = [&entry.title, &entry.description].into_iter().flatten();
    if optional.chain([&entry.name]).any(|text| text.len() > MAX_TEXT_BYTES) {
        return Err(format!("a text of more than {MAX_TEXT_BYTES} bytes"));
    }
    if entry.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    entry.mime_type.as_deref().map_or(Ok(()), check_mime_type)
}

/// Whether a text can be a media type; the error is a sentence's end.
pub fn check_mime_type(text: &str) -> Result<(), String> {
    /// Longest media type, in bytes: RFC 6838 allows 127 for each half.
    const MAX_BYTES: usize = 255;
    let essence = text.split(';').next().unwrap_or_default();
    let token =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let halves = essence.trim_end().split_once('/').is_some_and(|(main, sub)| token(main) && token(sub));
    let written = text.len() <= MAX_BYTES && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if halves && written {
        Ok(())
    } else {
        Err(format!("`{}` is no media type", crate::fault::quotable(text)))
    }
}

fn definition(uri: &str, pattern: &Pattern, entry: &Entry) -> Result<Box<RawValue>, String> {
    let mut members = Map::new();
    let place = if pattern.is_family() { "uriTemplate" } else { "uri" };
    members.insert(place.to_owned(), uri.into());
    members.insert("name".to_owned(), entry.name.as_str().into());
    for (name, text) in
        [("title", &entry.title), ("description", &entry.description), ("mimeType", &entry.mime_type)]
    {
        members.extend(text.as_ref().map(|text| (name.to_owned(), Value::from(text.as_str()))));
    }
    if !pattern.is_family() {
        members.extend(entry.size.map(|size| ("size".to_owned(), Value::from(size))));
    }
    serde_json::value::to_raw_value(&members).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            name: "a".to_owned(),
            title: None,
            description: None,
            mime_type: Some("text/plain; charset=utf-8".to_owned()),
            size: Some(3),
            completes: Vec::new(),
            options: None,
        }
    }

    fn refusal(connector: &str, entries: Vec<Entry>) -> String {
        Resources::new(connector, entries).unwrap_err()
    }

    #[test]
    fn a_uri_stands_below_the_connectors_name() {
        let resources = Resources::new("crm", vec![entry("other://x"), entry("t/{id}")]).err();
        assert!(resources.unwrap().contains("empty segment"));
        let resources = Resources::new("crm", vec![entry("a"), entry("t/{id}")]).unwrap();
        let definition = |index| serde_json::to_value(&resources.get(index).unwrap().definition).unwrap();
        let media = "text/plain; charset=utf-8";
        assert_eq!(definition(0), json!({ "uri": "crm://a", "name": "a", "mimeType": media, "size": 3 }));
        assert_eq!(definition(1), json!({ "uriTemplate": "crm://t/{id}", "name": "a", "mimeType": media }));
    }

    #[test]
    fn one_resource_goes_before_families_and_families_in_their_order() {
        let resources = Resources::new("crm", vec![entry("t/{id}"), entry("{a}/{b}"), entry("t/7")]).unwrap();
        let found = |path: &str| resources.find(path).map(|(index, _)| index);
        assert_eq!((found("t/7"), found("t/8"), found("u/8")), (Some(2), Some(0), Some(1)));
        assert_eq!((found("t"), found("t/../t/7"), found("")), (None, None, None));
        assert_eq!((resources.family("t/{id}"), resources.family("t/7")), (Some(0), None));
    }

    #[test]
    fn a_name_that_is_no_scheme_or_anothers_can_have_no_resources() {
        for name in ["7crm", "-crm", "https", "file"] {
            assert!(refusal(name, vec![entry("a")]).contains(name), "{name}");
            assert!(Resources::new(name, Vec::new()).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_list_is_bounded_and_says_each_thing_once() {
        assert!(refusal("crm", vec![entry("a"), entry("a")]).contains("two resources"));
        assert!(refusal("crm", vec![entry("{a}"), entry("{a}")]).contains("two resources"));
        let many = (0..=MAX_RESOURCES).map(|i| entry(&i.to_string())).collect();
        assert!(refusal("crm", many).contains("1025 resources"));
        let families = (0..=MAX_FAMILIES).map(|i| entry(&format!("{i}/{{a}}"))).collect();
        assert!(refusal("crm", families).contains("with variables"));
        let long = |bytes: usize| Entry { description: Some("x".repeat(bytes)), ..entry("a") };
        assert!(refusal("crm", vec![long(MAX_TEXT_BYTES + 1)]).contains("a text of more"));
        let large = (0..200).map(|i| Entry { path: i.to_string(), ..long(MAX_TEXT_BYTES) }).collect();
        assert!(refusal("crm", large).contains("list of resources has"));
    }

    #[test]
    fn what_is_said_of_a_resource_must_make_sense() {
        assert!(refusal("crm", vec![Entry { name: String::new(), ..entry("a") }]).contains("no name"));
        let stranger = Entry { completes: vec!["b".to_owned()], ..entry("{a}") };
        assert!(refusal("crm", vec![stranger]).contains("no variable"));
        for bad in ["", "text", "text/", "/plain", "text/pl ain", "text/plain\r\nx: y", "tëxt/plain"] {
            assert!(check_mime_type(bad).is_err(), "{bad:?}");
        }
        assert!(check_mime_type("application/vnd.api+json; charset=utf-8").is_ok());
    }
}
