//! Bearer tokens from the operator's files: which agent a caller is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often the token files are looked at: a revoked token works no longer than that.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// How long callers wait for the files to be read, once they are due; what takes longer is taken up when it has ended.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// Most tokens: agents of one pod, not users of a service.
const MAX_TOKENS: usize = 10_000;

/// Shorter tokens can be guessed, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// Longest file of one token, in bytes: tokens are random words.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Tokens by their digest, so that looking one up takes the same time however much of it is right.
type ByDigest = HashMap<[u8; 32], Arc<str>>;

/// The good tokens, and what is wrong with the others: one mistake must not keep a revoked token alive. The error is that there is nothing to
/// read at all.
type Found = Result<(ByDigest, Vec<String>), String>;

/// The operator's tokens, read again when their files may have changed: aside, and swapped whole.
pub struct Tokens {
    path: PathBuf,
    known: ArcSwap<ByDigest>,
    /// Locked while they are read, so that everybody waits for the same.
    reading: Mutex<Reading>,
}

struct Reading {
    /// When the last one ended, or was not waited for any more.
    at: Instant,
    under_way: Option<JoinHandle<Found>>,
    /// What was said last of what is wrong: said once.
    problems: Vec<String>,
}

impl Tokens {
    /// A folder with one file per agent, or a file of `name: token` lines.
    pub fn at(path: &Path) -> Result<Self, String> {
        let (known, problems) = read(path)?;
        if !problems.is_empty() {
            return Err(format!("{}: {}", path.display(), problems.join("; ")));
        }
        let reading = Reading { at: Instant::now(), under_way: None, problems };
        Ok(Self { path: path.to_owned(), known: ArcSwap::from_pointee(known), reading: Mutex::new(reading) })
    }

    /// Whose token it is.
    pub async fn agent(&self, token: &str) -> Option<Arc<str>> {
        self.refresh().await;
        self.known.load().get(&digest(token)).cloned()
    }

    async fn refresh(&self) {
        let mut reading = self.reading.lock().await;
        if reading.at.elapsed() < RELOAD_EVERY {
            return;
        }
        let path = self.path.clone();
        // Kept, so that a caller who goes away while it waits leaves no second one behind.
        let under_way =
            reading.under_way.get_or_insert_with(|| tokio::task::spawn_blocking(move || read(&path)));
        let found = match tokio::time::timeout(READ_WITHIN, under_way).await {
            Ok(ended) => {
                reading.under_way = None;
                ended.unwrap_or_else(|e| Err(format!("they cannot be read: {e}")))
            }
            Err(_) => Err(format!("{} is not read within {READ_WITHIN:?}", self.path.display())),
        };
        reading.at = Instant::now();
        let problems = match found {
            Ok((tokens, problems)) => {
                self.known.store(Arc::new(tokens));
                problems
            }
            Err(reason) => vec![format!("{reason}; the tokens known before stay")],
        };
        if problems != reading.problems {
            problems.iter().for_each(|problem| tracing::error!(%problem, "agents' tokens are not valid"));
            reading.problems = problems;
        }
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What one file or line says: the agent, and its token or what is wrong with it.
type Entry = (String, Result<String, String>);

fn read(path: &Path) -> Found {
    let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let entries = if std::fs::metadata(path).map_err(at)?.is_dir() {
        read_folder(path)?
    } else {
        read_lines(&std::fs::read(path).map_err(at)?)
    };
    if entries.len() > MAX_TOKENS {
        return Err(format!("{} holds {} tokens; at most {MAX_TOKENS}", path.display(), entries.len()));
    }
    Ok(sort_out(entries))
}

/// A token that several agents have is for none of them.
fn sort_out(entries: Vec<Entry>) -> (ByDigest, Vec<String>) {
    let mut problems = Vec::new();
    let mut agents = BTreeMap::<_, BTreeSet<String>>::new();
    for (agent, token) in entries {
        match token {
            Err(problem) => problems.push(problem),
            Ok(token) if token.len() < MIN_TOKEN_BYTES => {
                problems.push(format!("the token of `{agent}` has fewer than {MIN_TOKEN_BYTES} bytes"));
            }
            Ok(token) => {
                agents.entry(digest(&token)).or_default().insert(agent);
            }
        }
    }
    let mut known = ByDigest::new();
    for (digest, mut agents) in agents {
        match agents.pop_first() {
            Some(agent) if agents.is_empty() => {
                known.insert(digest, agent.into());
            }
            first => {
                let all: Vec<_> = first.into_iter().chain(agents).map(|agent| format!("`{agent}`")).collect();
                problems.push(format!("{} have the same token, which now is for none", all.join(", ")));
            }
        }
    }
    problems.sort();
    (known, problems)
}

/// One file per agent. Names with a dot in front are Kubernetes' own.
fn read_folder(path: &Path) -> Result<Vec<Entry>, String> {
    let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let mut entries = Vec::new();
    for file in std::fs::read_dir(path).map_err(at)? {
        let file = file.map_err(at)?;
        let Ok(name) = file.file_name().into_string() else {
            let problem = format!("the name of {} is not text", file.path().display());
            entries.push((String::new(), Err(problem)));
            continue;
        };
        if !name.starts_with('.') && file.path().is_file() {
            let token = read_token(&file.path()).map_err(|why| format!("the token of `{name}` {why}"));
            entries.push((name, token));
        }
    }
    Ok(entries)
}

/// The error is the end of a sentence.
fn read_token(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    file.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_TOKEN_BYTES {
        return Err(format!("has more than {MAX_TOKEN_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
    Ok(text.trim().to_owned())
}

fn read_lines(text: &[u8]) -> Vec<Entry> {
    let entry = |(index, line): (usize, &[u8])| -> Option<Entry> {
        let at = index + 1;
        let Ok(line) = std::str::from_utf8(line) else {
            return Some((String::new(), Err(format!("line {at} is not text"))));
        };
        if line.trim().is_empty() || line.starts_with('#') {
            return None;
        }
        Some(match line.split_once(':') {
            Some((name, token)) => (name.trim().to_owned(), Ok(token.trim().to_owned())),
            None => (String::new(), Err(format!("line {at} must be `name: token`"))),
        })
    };
    text.split(|byte| *byte == b'\n').enumerate().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [&str; 3] = ["0123456789abcdef", "fedcba9876543210", "0000000000000000"];

    async fn who(tokens: &Tokens) -> Vec<Option<Arc<str>>> {
        let mut agents = Vec::new();
        for token in TOKENS {
            agents.push(tokens.agent(token).await);
        }
        agents
    }

    fn known(agents: [Option<&str>; 3]) -> Vec<Option<Arc<str>>> {
        agents.map(|agent| agent.map(Arc::from)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_token_stops_working_whatever_is_wrong_with_others() {
        let dir = tempfile::tempdir().unwrap();
        let put = |agent: &str, token: &[u8]| std::fs::write(dir.path().join(agent), token).unwrap();
        put("support", b"0123456789abcdef\n");
        let tokens = Tokens::at(dir.path()).unwrap();
        assert_eq!(who(&tokens).await, known([Some("support"), None, None]));
        put("support", b"fedcba9876543210");
        tokio::time::advance(RELOAD_EVERY).await;
        assert_eq!(who(&tokens).await, known([None, Some("support"), None]));
        // A mistake in one file neither keeps the old tokens nor takes the others away.
        for mistake in [&b"short"[..], b"\xff\xfe-is-no-text-at-all", &[b'x'; MAX_TOKEN_BYTES as usize + 1]] {
            put("support", b"fedcba9876543210");
            std::fs::remove_file(dir.path().join("sales")).ok();
            tokio::time::advance(RELOAD_EVERY).await;
            assert_eq!(who(&tokens).await, known([None, Some("support"), None]));
            put("support", mistake);
            put("sales", b"0000000000000000");
            tokio::time::advance(RELOAD_EVERY).await;
            assert_eq!(who(&tokens).await, known([None, None, Some("sales")]));
        }
        assert_eq!(tokens.reading.lock().await.problems.len(), 1);
    }

    #[test]
    fn a_token_of_several_agents_is_for_none() {
        let entry = |agent: &str| (agent.to_owned(), Ok(TOKENS[0].to_owned()));
        for several in [2, 3, 4] {
            let entries = ["a", "b", "c", "d"][..several].iter().map(|agent| entry(agent)).collect();
            let (known, problems) = sort_out(entries);
            assert!(known.is_empty() && problems.len() == 1, "{several}: {problems:?}");
        }
        assert_eq!(sort_out(vec![entry("a"), entry("a")]).0.len(), 1);
    }

    #[test]
    fn a_file_of_lines_is_read_and_its_mistakes_named() {
        let lines = read_lines(b"# who\nsupport: abc\n\nsales:def");
        assert_eq!(lines, [("support".into(), Ok("abc".into())), ("sales".into(), Ok("def".into()))]);
        let problems = |text: &[u8]| sort_out(read_lines(text)).1.join("; ");
        assert_eq!(
            problems(b"a: 0123456789abcdef\nc\n\xff"),
            "line 2 must be `name: token`; line 3 is not text"
        );
    }
}
