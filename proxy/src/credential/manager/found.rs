//! Under which name a family's record is kept.
//!
//! A seed has a mark of its own in the store, which is the same whatever the connector is called and whichever key records are sealed with. It
//! says, sealed, what the record is called. So a connector may be renamed, and a store that was sealed with another key is noticed before a
//! token is sent that was spent long ago.

use std::sync::Arc;
use std::time::Duration;

use super::Managed;
use super::run::Run;
use crate::credential::grant::REFRESH_TOKEN;
use crate::credential::record::Sealer;
use crate::credential::store::{Commit, Entry, Owner, in_time};

impl Run<'_> {
    /// Looks for the name of this family's record, once. The error is a sentence's end, and then nothing may be sent.
    pub(super) async fn find(&mut self) -> Result<(), String> {
        let Managed { keeping, .. } = &self.inner.managed;
        let seed = self.family.configured.fields.get(REFRESH_TOKEN);
        let Some(seed) = seed.filter(|_| self.inner.managed.is_mortal() && keeping.store.is_durable()) else {
            return Ok(());
        };
        if self.family.is_found {
            return Ok(());
        }
        let mark = format!("seed/{}", Sealer::mark(seed));
        let entry = match in_time(keeping.store.load(&mark)).await? {
            Some(entry) => Some(entry),
            None => self.leave_mark(&mark).await?,
        };
        if let Some(entry) = entry {
            let name = keeping.sealer.open_text(&mark, &entry.sealed)?;
            let name = std::str::from_utf8(&name).map_err(|e| format!("a record is damaged: {e}"))?;
            self.family.key = name.into();
        }
        self.family.is_found = true;
        let mut state = self.inner.state();
        if let Some(family) = state.family.as_mut().filter(|family| family.name == self.family.name) {
            (family.key, family.is_found) = (Arc::clone(&self.family.key), true);
        }
        Ok(())
    }

    /// Says what the record is called that begins here, unless somebody was faster.
    async fn leave_mark(&self, mark: &str) -> Result<Option<Entry>, String> {
        let keeping = &self.inner.managed.keeping;
        let sealed = keeping.sealer.seal_text(mark, self.family.name.as_bytes().to_vec())?;
        let entry = Entry { version: 1, sealed, age: Duration::ZERO };
        match in_time(keeping.store.commit(mark, Owner::random(), entry)).await? {
            Commit::Durable => Ok(None),
            Commit::Superseded(entry) => Ok(Some(entry)),
        }
    }
}
