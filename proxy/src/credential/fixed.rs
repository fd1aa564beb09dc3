//! Fields that are read from where the operator put them, again whenever that changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::source::Source;
use super::{Material, SecretValue};
use crate::file::Stamp;

/// How often the sources are looked at: a replaced secret is used no later than that. A secret that is refused before is read again
/// at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub struct FixedFields {
    sources: BTreeMap<String, Source>,
    last: Mutex<Option<Reading>>,
}

struct Reading {
    looked: Instant,
    stamps: Vec<Option<Stamp>>,
    material: Arc<Material>,
}

impl FixedFields {
    pub fn new(sources: BTreeMap<String, Source>) -> Self {
        Self { sources, last: Mutex::new(None) }
    }

    /// What the operator wrote in the clear.
    pub fn plain(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().filter_map(|(name, source)| match source {
            Source::Value(value) => Some((name.as_str(), value.as_str())),
            Source::File(_) | Source::Env(_) => None,
        })
    }

    /// The fields as they are now. A source that cannot be read any more leaves the last good reading in force.
    pub fn current(&self) -> Result<Arc<Material>, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reading) = &mut *last else { return self.read_into(&mut last) };
        if reading.looked.elapsed() < LOOK_EVERY {
            return Ok(Arc::clone(&reading.material));
        }
        reading.looked = Instant::now();
        if reading.stamps == self.stamps() {
            return Ok(Arc::clone(&reading.material));
        }
        let before = Arc::clone(&reading.material);
        self.read_into(&mut last).or_else(|reason| {
            tracing::warn!(%reason, "a secret cannot be read; the one read before stays in use");
            Ok(before)
        })
    }

    /// The same, whatever the file system says about changes.
    pub fn reread(&self) -> Result<Arc<Material>, String> {
        self.read_into(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.sources.values().map(Source::stamp).collect()
    }

    /// Stamps are taken first: what changes between is read again.
    fn read_into(&self, last: &mut Option<Reading>) -> Result<Arc<Material>, String> {
        let (looked, stamps) = (Instant::now(), self.stamps());
        let material = self.read(last.as_ref())?;
        *last = Some(Reading { looked, stamps, material: Arc::clone(&material) });
        Ok(material)
    }

    /// A new version only if a value is another one.
    fn read(&self, previous: Option<&Reading>) -> Result<Arc<Material>, String> {
        let mut fields = BTreeMap::new();
        for (name, source) in &self.sources {
            fields.insert(name.clone(), source.read().map_err(|reason| format!("`{name}`: {reason}"))?);
        }
        match previous {
            Some(p) if same(&p.material.fields, &fields) => Ok(Arc::clone(&p.material)),
            _ => {
                let version = previous.map_or(1, |p| p.material.version + 1);
                Ok(Arc::new(Material::new(version, fields, BTreeMap::new())))
            }
        }
    }
}

fn same(a: &BTreeMap<String, SecretValue>, b: &BTreeMap<String, SecretValue>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0 && x.1.expose() == y.1.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_a_new_version_and_a_lost_one_keeps_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let fields = FixedFields::new(BTreeMap::from([("token".to_owned(), Source::File(path.clone()))]));
        let value = |m: &Material| m.fields["token"].expose().to_vec();

        let first = fields.current().unwrap();
        assert_eq!((first.version, value(&first)), (1, b"first".to_vec()));
        // As Kubernetes does it: another file takes the name.
        std::fs::write(dir.path().join("new"), "second").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        let second = fields.current().unwrap();
        assert_eq!((second.version, value(&second)), (2, b"second".to_vec()));
        assert_eq!(fields.reread().unwrap().version, 2);
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(fields.current().unwrap().version, 2);
        assert!(fields.reread().is_err());
    }

    #[test]
    fn an_absent_or_empty_secret_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let fields = FixedFields::new(BTreeMap::from([("token".to_owned(), Source::File(path.clone()))]));
        assert!(fields.current().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "\n").unwrap();
        assert!(fields.current().unwrap_err().contains("is empty"));
    }
}
