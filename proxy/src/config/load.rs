//! From the file to a validated `Config`, with all mistakes at once and where they are.

use std::fmt;
use std::path::{Path, PathBuf};

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;

use super::salvage::{escaped, is_within, readable};
use super::{Config, check, schema, yaml};

/// Most bytes of a configuration file: far beyond any real one, small enough to parse without thought.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// JSON Pointer of the place.
    pub pointer: String,
    pub message: String,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable { path: PathBuf, reason: String },
    /// It is not YAML; the text names the place.
    Syntax { path: PathBuf, reason: String },
    /// It is YAML, and wrong. Never empty.
    Mistakes { path: PathBuf, mistakes: Vec<Mistake> },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Syntax { path, reason } => write!(f, "{}: not valid YAML: {reason}", path.display()),
            Self::Mistakes { path, mistakes } => {
                for (i, m) in mistakes.iter().enumerate() {
                    let (line, column) = (m.line, m.column);
                    let place = m.pointer.trim_start_matches('/').replace('/', ".");
                    let separator = if place.is_empty() { "" } else { ": " };
                    let newline = if i == 0 { "" } else { "\n" };
                    write!(
                        f,
                        "{newline}{}:{line}:{column}: {place}{separator}{}",
                        path.display(),
                        m.message
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads and validates a file. Relative paths in it are made relative to the file's folder.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(unreadable(format!("{size} bytes; a configuration has at most {MAX_FILE_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
    let mut config = parse(&text, path)?;
    resolve_paths(&mut config, path.parent().unwrap_or(Path::new(".")));
    Ok(config)
}

/// Validates a text; `path` is only for messages.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let tree = yaml::parse(text)
        .map_err(|e| ConfigError::Syntax { path: path.to_owned(), reason: e.to_string() })?;
    let value = tree.to_value();
    let mistakes_at = |found: Vec<(String, String)>| {
        let mut mistakes: Vec<Mistake> = found.into_iter().map(|(p, m)| locate(&tree, p, m)).collect();
        mistakes.sort_by_key(|m| (m.line, m.column));
        ConfigError::Mistakes { path: path.to_owned(), mistakes }
    };
    let validator = jsonschema::validator_for(&schema()).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        reason: format!("the schema itself: {e}"),
    })?;
    let mut found: Vec<_> = validator.iter_errors(&value).flat_map(|e| explain(&e)).collect();
    let (config, refused) = readable(value, &found);
    found.extend(refused);
    if let Some(config) = &config {
        let judged = check::mistakes(config);
        let about_what_is_left = |at: &str| !found.iter().any(|(mistaken, _)| is_within(mistaken, at));
        let more: Vec<_> = judged.into_iter().filter(|(at, _)| about_what_is_left(at)).collect();
        found.extend(more);
    }
    config.filter(|_| found.is_empty()).ok_or_else(|| mistakes_at(found))
}

fn locate(tree: &yaml::Node, pointer: String, message: String) -> Mistake {
    let (line, column) = tree.position(&pointer);
    Mistake { line, column, pointer, message }
}

/// A schema error in an operator's words: pointer and message. Unknown keys are one mistake each, at the key.
fn explain(error: &ValidationError<'_>) -> Vec<(String, String)> {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|key| (format!("{at}/{}", escaped(key)), "unknown key".to_owned()))
            .collect(),
        ValidationErrorKind::Required { property } => {
            vec![(at, format!("`{}` is missing", property.as_str().unwrap_or_default()))]
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            vec![(at, format!("{} is not one of the forms that are possible here", error.instance()))]
        }
        _ => vec![(at, error.to_string())],
    }
}

fn resolve_paths(config: &mut Config, folder: &Path) {
    let resolve = |path: &mut PathBuf| *path = folder.join(&path);
    let agents = match &mut config.agent.auth {
        super::Auth::None => None,
        super::Auth::Tokens(path) => {
            resolve(path);
            None
        }
        super::Auth::Jwt(jwt) => Some(jwt),
    };
    for jwt in agents.into_iter().chain(&mut config.agent.users) {
        jwt.ca.as_mut().into_iter().for_each(resolve);
        if let Some(file) = jwt.jwks_file() {
            jwt.jwks = Some(folder.join(file).display().to_string());
        }
    }
    match config.audit.as_mut().map(|audit| &mut audit.to) {
        Some(super::AuditSink::File(sink)) => resolve(&mut sink.file),
        Some(super::AuditSink::Http(sink)) => {
            sink.token.as_mut().into_iter().chain(&mut sink.ca).for_each(resolve);
        }
        Some(super::AuditSink::Console(_)) | None => {}
    }
    match &mut config.state {
        super::State::File(state) => [&mut state.file].into_iter().chain(&mut state.key).for_each(resolve),
        super::State::Redis(state) => state.ca.iter_mut().chain(&mut state.key).for_each(resolve),
        super::State::Memory(_) => {}
    }
    for connector in config.connectors.values_mut() {
        resolve(&mut connector.component);
        connector.upstreams.values_mut().filter_map(|u| u.ca.as_mut()).for_each(resolve);
        for field in connector.credentials.values_mut().flat_map(|c| c.fields.values_mut()) {
            if let Some(path) = field.as_file() {
                *field = super::Field::Text(folder.join(path).display().to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        match parse(text, Path::new("ferrata.yaml")) {
            Ok(_) => Vec::new(),
            Err(e) => e.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn the_smallest_file_is_enough() {
        assert_eq!(messages("connectors: { crm: { component: crm.wasm } }"), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_are_named_with_line_and_column() {
        let text = "\
agent: { listen: 127.0.0.1:4180, colour: red }
defaults:
  deadline: soon
state: { redis: http://quota }
connectors:
  under_score: { component: a.wasm }
  crm:
    components: crm.wasm
    limits: { api: [\"100/1s\"] }
    upstreams:
      api: { url: ftp://example }
    credentials:
      bot: { kind: statik, token: /t }
";
        let found = messages(text);
        let expect = |place: &str, words: &str| {
            let hit =
                found.iter().any(|m| m.starts_with(&format!("ferrata.yaml:{place}:")) && m.contains(words));
            assert!(hit, "{place} {words} in {found:#?}");
        };
        expect("1:34", "agent.colour: unknown key");
        expect("3:3", "deadline");
        expect("7:3", "`component` is missing");
        expect("8:5", "unknown key");
        expect("13:14", "kind");
    }

    #[test]
    fn what_a_schema_cannot_say_is_named_too() {
        let text = "\
state: { redis: http://quota }
connectors:
  under_score: { component: a.wasm }
  crm:
    component: crm.wasm
    limits: { api: [\"100/1x\"] }
    upstreams:
      api: { url: ftp://example }
    credentials:
      bot: { kind: token-exchange, token: abc, positions: [nowhere], overlap: 1m }
";
        let found = messages(text).join("\n");
        for words in [
            "state.redis: must start with",
            "under_score",
            "limits.api.0: `100/1x` is not a wall",
            "ftp",
            "token-exchange needs the field `client_id`",
            "bot: is each user's own, and nobody says who the users are",
            "overlap: only fields",
            "nowhere",
            "path of a file",
        ] {
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn walls_name_what_exists_and_sharers_of_an_account_agree() {
        let text = "\
connectors:
  crm:
    component: crm.wasm
    upstreams: { api: { url: \"https://a.example\", account: acme, queue: { items: 5 } } }
    limits: { api: [\"100/min\", { wall: 1/s, per: channel }, 5/m], apy: [] }
  replica:
    component: crm.wasm
    upstreams: { api: { url: \"https://b.example\", account: acme, queue: { items: 6 } } }
    limits: { api: { walls: [50/min], replace: true } }
  other:
    component: crm.wasm
    upstreams: { api: { url: \"https://c.example\", account: acme, breaker: { open: 2m } } }
";
        let found = messages(text);
        let expect = |place: &str, words: &str| {
            let said = |m: &String| m.starts_with(&format!("ferrata.yaml:{place}:")) && m.contains(words);
            assert!(found.iter().any(said), "{place} {words} in {found:#?}");
        };
        expect("5", "connectors.crm.limits.api.1.per: a wall per resource is about one `operation`");
        expect("5", "connectors.crm.limits.api.2: `5/m` is not a wall");
        expect("5", "there is no upstream `apy`; there is: api");
        expect("8", "connectors.replica.upstreams.api.queue: `crm` spends from the same account `acme`");
        expect("9", "connectors.replica.limits.api: `crm` spends");
        expect("12", "max_open: is shorter than `open`");
        assert!(!found.iter().any(|m| m.contains("other.upstreams.api.queue")), "{found:#?}");
    }

    #[test]
    fn what_is_to_be_confirmed_is_an_effect_or_can_be_a_tool() {
        let confirm =
            |names: &str| messages(&format!("access: {{ a: {{ allow: [x], confirm: [{names}] }} }}"));
        assert_eq!(confirm("destructive, crm_delete, '*', 'crm*'"), Vec::<String>::new());
        let found = confirm("write, destructve").join("\n");
        assert!(found.contains("access.a.confirm.1: `destructve` is neither"), "{found}");
    }

    #[test]
    fn connectors_cannot_have_more_sandboxes_than_there_are() {
        let text = "sandbox: { concurrent: 480 }\nconnectors: { a: { component: a.wasm }, b: { component: b.wasm } }";
        assert_eq!(messages(text), Vec::<String>::new());
        let one_more = text.replace("b.wasm", "b.wasm, sandbox: { concurrent: 481, parked: 482 }");
        let found = messages(&one_more).join("\n");
        assert!(found.contains("make 961 sandboxes") && found.contains("sandbox.parked"), "{found}");
    }

    #[test]
    fn one_mistake_hides_no_other() {
        let text = "\
agent: { listen: nowhere }
defaults: { deadline: 48h }
state: { redis: http://quota }
connectors:
  crm:
    component: crm.wasm
    colour: red
    upstreams:
      api: { url: ftp://example }
    credentials:
      bot: { kind: client-credentials, client_id: { value: me }, client_secret: 5 }
";
        let found = messages(text);
        for (place, words) in [
            ("1:10", "agent.listen: invalid socket address"),
            ("2:13", "longer than a day"),
            ("3:10", "must start with"),
            ("7:5", "unknown key"),
            ("9:14", "ftp"),
            ("11", "bot"),
        ] {
            let said = |m: &String| m.starts_with(&format!("ferrata.yaml:{place}")) && m.contains(words);
            assert!(found.iter().any(said), "{place} {words} in {found:#?}");
        }
        // What was taken away as mistaken is not said to be missing.
        assert!(!found.iter().any(|m| m.contains("needs the field")), "{found:#?}");
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        assert!(messages("agent: [").join("").contains("not valid YAML"));
    }
}
