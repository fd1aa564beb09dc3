//! Fields that are read from where the operator put them, again whenever that changes; and the ones before them, for as long as a system
//! takes both.
//!
//! Kubernetes swaps a symlink beside the files (`..data`), so that all of a secret change at once: what changes while it is read is
//! read again, and no two fields are ever of different generations. What cannot be read, or is empty, leaves the old in force, and is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::source::Source;
use super::{Material, SecretValue};
use crate::config::PUBLIC_FIELDS;
use crate::egress::scrub::MIN_SCRUBBED_BYTES;
use crate::file::Stamp;

/// How often the sources are looked at while they are used, should nobody report a change: a replaced secret is used no later than that. A
/// secret that is refused before is read again at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Readings of what changes meanwhile before that is given up until the next look: a swap takes microseconds.
const MAX_READINGS: u32 = 5;

/// How long the secrets before are used once the new ones were refused, until those are tried again: systems take up to minutes to know
/// a new key, and each trial costs a call one request more.
const TRY_NEW_AFTER: Duration = Duration::from_secs(10);

/// Fields that say who, beside those that are [public](PUBLIC_FIELDS): none of them is a secret, and ages.
const NAMES: [&str; 4] = ["client_id", "email", "user", "username"];

/// Says why a field cannot be what stands there, as the end of a sentence.
pub type Judge = fn(&str, &SecretValue) -> Result<(), String>;

pub struct FixedFields {
    sources: BTreeMap<String, Source>,
    judge: Judge,
    /// How long the system takes the secrets before, too.
    overlap: Duration,
    last: Mutex<Option<Reading>>,
}

struct Reading {
    looked: Instant,
    stamps: Stamps,
    material: Arc<Material>,
    before: Option<Before>,
    /// What stands there now cannot be used: how it looks, and why not.
    bad: Option<(Stamps, String)>,
}

type Stamps = Vec<Option<Stamp>>;

/// The secrets before, while the system takes both.
struct Before {
    material: Arc<Material>,
    until: Instant,
    /// The new ones were refused, and are tried again then.
    instead_until: Option<Instant>,
}

impl Before {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Reading {
    /// The ones before the newest only where those were refused.
    fn in_force(&self) -> Arc<Material> {
        let now = Instant::now();
        let before = self.before.as_ref().filter(|before| !before.is_over());
        let before = before.filter(|before| before.instead_until.is_some_and(|until| now < until));
        Arc::clone(before.map_or(&self.material, |before| &before.material))
    }
}

impl FixedFields {
    pub fn new(sources: BTreeMap<String, Source>) -> Self {
        Self { sources, judge: |_, _| Ok(()), overlap: Duration::ZERO, last: Mutex::new(None) }
    }

    /// The same, of fields that can be told from something torn: what is refused is not taken up.
    pub fn judged(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    /// The same, of a system that takes the secrets before for so long after they were replaced.
    pub fn overlapping(self, overlap: Duration) -> Self {
        Self { overlap, ..self }
    }

    /// What the operator wrote in the clear.
    pub fn plain(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().filter_map(|(name, source)| match source {
            Source::Value(value) => Some((name.as_str(), value.as_str())),
            Source::File(_) | Source::Env(_) => None,
        })
    }

    /// All that may be in use now, for scrubbing.
    pub fn known(&self) -> impl Iterator<Item = Arc<Material>> + use<> {
        let _looked = self.current();
        let last = self.last();
        let newest = last.as_ref().map(|reading| Arc::clone(&reading.material));
        let before = last.as_ref().and_then(|reading| reading.before.as_ref());
        let before = before.map(|before| Arc::clone(&before.material));
        newest.into_iter().chain(before)
    }

    /// The files among the sources.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.sources.values().filter_map(|source| match source {
            Source::File(path) => Some(path),
            Source::Env(_) | Source::Value(_) => None,
        })
    }

    /// The newest secrets by field, and when their files were changed. None while they cannot be read. Names beside them may stay the same for ever.
    pub fn secrets(&self) -> Vec<(String, SecretValue, Option<Timestamp>)> {
        let _looked = self.current();
        let newest = self.last().as_ref().map(|reading| Arc::clone(&reading.material));
        let fields = newest.iter().flat_map(|material| &material.fields);
        let is_name = |name: &str| NAMES.contains(&name) || PUBLIC_FIELDS.contains(&name);
        let secrets = fields.filter(|(name, value)| !is_name(name) && !value.is_public());
        let changed = |name: &str| self.sources.get(name).and_then(Source::changed);
        secrets.map(|(name, value)| (name.clone(), value.clone(), changed(name))).collect()
    }

    /// Why what stands there now is not in force.
    pub fn problem(&self) -> Option<String> {
        match self.current() {
            Ok(_) => self.last().as_ref()?.bad.as_ref().map(|(_, reason)| reason.clone()),
            Err(reason) => Some(reason),
        }
    }

    /// The fields as they are now. Sources that cannot be used any more leave the last good reading in force.
    pub fn current(&self) -> Result<Arc<Material>, String> {
        let mut last = self.last();
        let Some(reading) = &mut *last else { return self.read_first(&mut last) };
        if reading.looked.elapsed() >= LOOK_EVERY {
            self.refresh(reading);
        }
        Ok(reading.in_force())
    }

    /// Takes up what has changed. What nobody has used yet is read by its first use.
    pub fn look(&self) {
        if let Some(reading) = &mut *self.last() {
            self.refresh(reading);
        }
    }

    /// After a refusal of that version: other secrets, if there are any. Reads again, whatever the file system says about changes.
    pub fn other_than(&self, version: u64) -> Result<Option<Arc<Material>>, String> {
        let mut last = self.last();
        let Some(reading) = &mut *last else { return self.read_first(&mut last).map(Some) };
        self.read_into(reading)?;
        let newest = reading.material.version;
        let Some(before) = reading.before.as_mut().filter(|before| !before.is_over()) else {
            return Ok((newest != version).then(|| Arc::clone(&reading.material)));
        };
        // The new ones are not known yet, or the old ones not any more.
        before.instead_until = (newest == version).then(|| Instant::now() + TRY_NEW_AFTER);
        Ok(Some(reading.in_force()))
    }

    fn last(&self) -> MutexGuard<'_, Option<Reading>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_first(&self, last: &mut Option<Reading>) -> Result<Arc<Material>, String> {
        let (stamps, fields) = self.read()?;
        warn_of_short(&fields);
        let material = Arc::new(Material::new(1, fields, BTreeMap::new()));
        let looked = Instant::now();
        *last = Some(Reading { looked, stamps, material: Arc::clone(&material), before: None, bad: None });
        Ok(material)
    }

    /// Reads again if something looks different; the same mistake is said once.
    fn refresh(&self, reading: &mut Reading) {
        reading.looked = Instant::now();
        let stamps = self.stamps();
        let is_known_bad = reading.bad.as_ref().is_some_and(|(bad, _)| *bad == stamps);
        if is_known_bad || (reading.bad.is_none() && stamps == reading.stamps) {
            return;
        }
        if let Err(reason) = self.read_into(reading) {
            tracing::warn!(%reason, "a secret cannot be read; the one read before stays in use");
        }
    }

    fn read_into(&self, reading: &mut Reading) -> Result<(), String> {
        let looked = self.stamps();
        let (stamps, fields) =
            self.read().inspect_err(|reason| reading.bad = Some((looked, reason.clone())))?;
        (reading.stamps, reading.bad) = (stamps, None);
        if !same(&reading.material.fields, &fields) {
            warn_of_short(&fields);
            let version = reading.material.version + 1;
            let new = Arc::new(Material::new(version, fields, BTreeMap::new()));
            let material = std::mem::replace(&mut reading.material, new);
            let until = Instant::now() + self.overlap;
            reading.before = Some(Before { material, until, instead_until: None });
        }
        Ok(())
    }

    fn stamps(&self) -> Stamps {
        self.sources.values().map(Source::stamp).collect()
    }

    /// All fields of one generation: what was changed meanwhile is read again.
    fn read(&self) -> Result<(Stamps, BTreeMap<String, SecretValue>), String> {
        for _ in 0..MAX_READINGS {
            let stamps = self.stamps();
            let fields = self.read_once();
            if self.stamps() == stamps {
                return Ok((stamps, fields?));
            }
        }
        Err("it changes again and again while it is read".to_owned())
    }

    fn read_once(&self) -> Result<BTreeMap<String, SecretValue>, String> {
        let read = |(name, source): (&String, &Source)| {
            let judged = source.read().and_then(|value| (self.judge)(name, &value).map(|()| value));
            Ok((name.clone(), judged.map_err(|reason| format!("`{name}`: {reason}"))?))
        };
        self.sources.iter().map(read).collect()
    }
}

/// What is shorter would be found in every other word.
fn warn_of_short(fields: &BTreeMap<String, SecretValue>) {
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_public()) {
        if value.expose().len() < MIN_SCRUBBED_BYTES {
            tracing::warn!(
                field,
                "a secret of fewer than {MIN_SCRUBBED_BYTES} bytes is not looked for in answers"
            );
        }
    }
}

fn same(a: &BTreeMap<String, SecretValue>, b: &BTreeMap<String, SecretValue>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0 && x.1.expose() == y.1.expose())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FIELDS: [&str; 2] = ["user", "password"];

    /// In seconds.
    const DAY: u64 = 86_400;

    /// A secret as Kubernetes mounts it: the files are links through `..data`, which is swapped.
    fn mount(folder: &Path) -> BTreeMap<String, Source> {
        let link = |name: &str| {
            let path = folder.join(name);
            std::os::unix::fs::symlink(Path::new("..data").join(name), &path).unwrap();
            (name.to_owned(), Source::File(path))
        };
        FIELDS.into_iter().map(link).collect()
    }

    fn project(folder: &Path, generation: &str, values: [&str; 2]) {
        let data = folder.join(format!("..{generation}"));
        std::fs::create_dir(&data).unwrap();
        for (name, value) in FIELDS.into_iter().zip(values) {
            std::fs::write(data.join(name), value).unwrap();
        }
        let aside = folder.join("..data_tmp");
        std::os::unix::fs::symlink(format!("..{generation}"), &aside).unwrap();
        std::fs::rename(aside, folder.join("..data")).unwrap();
    }

    fn value(material: &Material, field: &str) -> String {
        String::from_utf8(material.fields[field].expose().to_vec()).unwrap()
    }

    fn fields_in(folder: &Path) -> FixedFields {
        FixedFields::new(mount(folder))
    }

    async fn look() {
        tokio::time::advance(LOOK_EVERY).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_swap_is_a_new_version_and_what_is_lost_or_torn_keeps_the_old_and_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let fields = fields_in(folder.path());
        project(folder.path(), "1", ["anna", "first\n"]);
        let first = fields.current().unwrap();
        assert_eq!((first.version, value(&first, "password").as_str()), (1, "first"));
        project(folder.path(), "2", ["anna", "second"]);
        look().await;
        assert_eq!(fields.current().unwrap().version, 2);
        project(folder.path(), "3", ["anna", ""]);
        look().await;
        assert_eq!(value(&fields.current().unwrap(), "password"), "second");
        assert!(fields.problem().unwrap().contains("`password`: "), "{:?}", fields.problem());
        std::fs::remove_file(folder.path().join("..data")).unwrap();
        look().await;
        assert_eq!(fields.current().unwrap().version, 2);
        assert!(fields.other_than(2).is_err());
        project(folder.path(), "4", ["bert", "fourth"]);
        look().await;
        assert_eq!((fields.current().unwrap().version, fields.problem()), (3, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_torn_and_not_empty_keeps_the_old_too_where_it_can_be_told() {
        let folder = tempfile::tempdir().unwrap();
        let whole: Judge = |_, value| {
            if value.expose().ends_with(b".") { Ok(()) } else { Err("is torn".to_owned()) }
        };
        let fields = fields_in(folder.path()).judged(whole);
        project(folder.path(), "1", ["anna.", "first."]);
        fields.current().unwrap();
        project(folder.path(), "2", ["anna.", "sec"]);
        look().await;
        assert_eq!(value(&fields.current().unwrap(), "password"), "first.");
        assert_eq!(fields.problem().unwrap(), "`password`: is torn");
    }

    #[test]
    fn no_two_fields_are_ever_of_different_generations() {
        let folder = tempfile::tempdir().unwrap();
        project(folder.path(), "0", ["0", "0"]);
        let fields = fields_in(folder.path());
        fields.current().unwrap();
        std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                for generation in 1..300 {
                    let value = generation.to_string();
                    project(folder.path(), &value, [&value, &value]);
                }
            });
            while !swapping.is_finished() {
                if let Ok((_, read)) = fields.read() {
                    assert_eq!(read["user"].expose(), read["password"].expose());
                }
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_system_takes_both_the_one_that_it_accepts_is_used() {
        let folder = tempfile::tempdir().unwrap();
        project(folder.path(), "1", ["anna", "old"]);
        let overlap = Duration::from_secs(60);
        let fields = fields_in(folder.path()).overlapping(overlap);
        fields.current().unwrap();
        project(folder.path(), "2", ["anna", "new"]);
        look().await;
        let now = || value(&fields.current().unwrap(), "password");
        assert_eq!(now(), "new");
        // The system does not know it yet: the old one goes on for everybody, and the new one is tried again soon.
        assert_eq!(value(&fields.other_than(2).unwrap().unwrap(), "password"), "old");
        assert_eq!(now(), "old");
        tokio::time::advance(TRY_NEW_AFTER).await;
        assert_eq!(now(), "new");
        // The other way round.
        fields.other_than(2).unwrap();
        assert_eq!(value(&fields.other_than(1).unwrap().unwrap(), "password"), "new");
        assert_eq!(now(), "new");
        // Never after its time.
        fields.other_than(2).unwrap();
        tokio::time::advance(overlap).await;
        assert_eq!(now(), "new");
        assert!(fields.other_than(2).unwrap().is_none());
    }

    #[test]
    fn secrets_are_told_with_the_times_of_their_files_and_names_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, day: u64| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            let written = std::fs::File::options().write(true).open(&path).unwrap();
            written.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(day * DAY)).unwrap();
            (name.to_owned(), Source::File(path))
        };
        let files = [
            file("client_id", 1),
            file("key", 20_000),
            file("scope", 1),
            file("secret", 19_000),
            file("z", 0),
        ];
        let fields = FixedFields::new(files.into());
        let day = |time: Timestamp| time.as_second() / DAY as i64;
        let secrets = fields.secrets().into_iter().map(|(name, _, changed)| (name, changed.map(day)));
        // The last was written by a machine that did not know the time.
        let known = [("key", Some(20_000)), ("secret", Some(19_000)), ("z", None)];
        assert_eq!(secrets.collect::<Vec<_>>(), known.map(|(name, day)| (name.to_owned(), day)));
    }

    #[test]
    fn an_absent_or_empty_secret_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let fields = fields_in(folder.path());
        assert!(fields.current().unwrap_err().contains("cannot be read"));
        project(folder.path(), "1", ["\n", "x"]);
        assert!(fields.current().unwrap_err().contains("is empty"));
    }
}
