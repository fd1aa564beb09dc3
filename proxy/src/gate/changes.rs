//! Which lists have changed: what those who listen are told.

use super::{Catalog, Listing};

/// A list that an agent sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Tools,
    Resources,
    Prompts,
}

impl List {
    pub const ALL: [Self; 3] = [Self::Tools, Self::Resources, Self::Prompts];

    /// As MCP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Prompts => "prompts",
        }
    }

    fn is_the_same(self, one: &Listing, other: &Listing) -> bool {
        match self {
            Self::Tools => one.mcp == other.mcp,
            Self::Prompts => one.prompts == other.prompts,
            Self::Resources => {
                one.resources == other.resources && one.resource_templates == other.resource_templates
            }
        }
    }
}

/// How often each list has become another, for any agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes([u64; List::ALL.len()]);

impl Changes {
    /// The lists that have changed since.
    pub fn since(self, heard: Self) -> impl Iterator<Item = List> {
        let lists = List::ALL.into_iter().zip(self.0.into_iter().zip(heard.0));
        lists.filter(|(_, (now, then))| now != then).map(|(list, _)| list)
    }

    /// With a change of that list more.
    pub fn and(mut self, list: List) -> Self {
        for (known, count) in List::ALL.into_iter().zip(&mut self.0) {
            *count += u64::from(known == list);
        }
        self
    }

    /// With what differs between two catalogues.
    pub(super) fn between(self, old: &Catalog, new: &Catalog) -> Self {
        let changed = |list: &List| !old.lists_the_same(new, |one, other| list.is_the_same(one, other));
        List::ALL.into_iter().filter(changed).fold(self, Self::and)
    }
}
