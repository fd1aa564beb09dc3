//! Bearer tokens from the operator's files: which agent a caller is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// How often the token files are looked at: a revoked token works no longer than that.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// Most tokens: agents of one pod, not users of a service.
const MAX_TOKENS: usize = 10_000;

/// Shorter tokens can be guessed, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// Tokens by their digest, so that looking one up takes the same time however much of it is right.
type ByDigest = HashMap<[u8; 32], Arc<str>>;

/// The operator's tokens, read again when their files change.
pub struct Tokens {
    path: PathBuf,
    known: Mutex<(Instant, ByDigest)>,
}

impl Tokens {
    /// A folder with one file per agent, or a file of `name: token` lines.
    pub fn at(path: &Path) -> Result<Self, String> {
        let (known, problems) = read(path)?;
        if !problems.is_empty() {
            return Err(format!("{}: {}", path.display(), problems.join("; ")));
        }
        Ok(Self { path: path.to_owned(), known: Mutex::new((Instant::now(), known)) })
    }

    /// Whose token it is.
    pub fn agent(&self, token: &str) -> Option<Arc<str>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0.elapsed() >= RELOAD_EVERY {
            known.0 = Instant::now();
            match read(&self.path) {
                Ok((tokens, problems)) => {
                    problems
                        .iter()
                        .for_each(|problem| tracing::error!(%problem, "an agent's token is not valid"));
                    known.1 = tokens;
                }
                Err(reason) => {
                    tracing::warn!(%reason, "the agents' tokens cannot be read; the old ones stay")
                }
            }
        }
        known.1.get(&digest(token)).cloned()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The good tokens, and what is wrong with the others: one mistake must not keep a revoked token alive.
fn read(path: &Path) -> Result<(ByDigest, Vec<String>), String> {
    let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let pairs = if std::fs::metadata(path).map_err(at)?.is_dir() {
        read_folder(path)?
    } else {
        read_lines(&std::fs::read_to_string(path).map_err(at)?, path)?
    };
    if pairs.len() > MAX_TOKENS {
        return Err(format!("{} holds {} tokens; at most {MAX_TOKENS}", path.display(), pairs.len()));
    }
    let mut known = ByDigest::new();
    let mut problems = Vec::new();
    for (agent, token) in pairs {
        if token.len() < MIN_TOKEN_BYTES {
            problems.push(format!("the token of `{agent}` has fewer than {MIN_TOKEN_BYTES} bytes"));
        } else if let Some(other) = known.insert(digest(&token), agent.as_str().into()) {
            problems.push(format!("`{agent}` and `{other}` have the same token, which now is for neither"));
            known.remove(&digest(&token));
        }
    }
    Ok((known, problems))
}

/// One file per agent. Names with a dot in front are Kubernetes' own.
fn read_folder(path: &Path) -> Result<Vec<(String, String)>, String> {
    let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir(path).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_file() {
            pairs.push((name, std::fs::read_to_string(entry.path()).map_err(at)?.trim().to_owned()));
        }
    }
    Ok(pairs)
}

fn read_lines(text: &str, path: &Path) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    let pair = |(i, line): (usize, &str)| {
        let (name, token) = line
            .split_once(':')
            .ok_or_else(|| format!("{}:{}: must be `name: token`", path.display(), i + 1))?;
        Ok((name.trim().to_owned(), token.trim().to_owned()))
    };
    lines.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_revoked_token_stops_working() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("support"), "0123456789abcdef\n").unwrap();
        let tokens = Tokens::at(dir.path()).unwrap();
        assert_eq!(tokens.agent("0123456789abcdef").as_deref(), Some("support"));
        assert_eq!(tokens.agent("wrong"), None);
        std::fs::write(dir.path().join("support"), "fedcba9876543210").unwrap();
        tokio::time::advance(RELOAD_EVERY).await;
        assert_eq!(tokens.agent("0123456789abcdef"), None);
        assert_eq!(tokens.agent("fedcba9876543210").as_deref(), Some("support"));
        // A mistake in one file neither keeps the old tokens nor takes the others away.
        std::fs::write(dir.path().join("support"), "short").unwrap();
        std::fs::write(dir.path().join("sales"), "0000000000000000").unwrap();
        tokio::time::advance(RELOAD_EVERY).await;
        assert_eq!(tokens.agent("fedcba9876543210"), None);
        assert!(tokens.agent("0000000000000000").is_some());
    }

    #[test]
    fn a_file_of_lines_is_read_and_its_mistakes_named() {
        let path = Path::new("agents");
        let lines = read_lines("# who\nsupport: abc\n\nsales:def", path).unwrap();
        assert_eq!(lines, [("support".into(), "abc".into()), ("sales".into(), "def".into())]);
        assert!(read_lines("a: b\nc", path).unwrap_err().contains("agents:2"));
    }
}
