//! Acme: the workspace to start with, the same in every run.
//!
//! 31 channels (five of them archived, two private), 40 people, an app, and some four thousand messages up to the start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::seed::BOT_USER;
use super::workspace::{Channel, User, Workspace};

/// Name, topic and number of messages. The order gives the ids.
const CHANNELS: &[(&str, &str, u32)] = &[
    ("general", "Company-wide announcements", 220),
    ("support", "Customers who need help now", 900),
    ("orders", "Order desk", 400),
    ("billing", "Invoices, refunds, dunning", 240),
    ("sales", "Pipeline and handovers", 200),
    ("incidents", "Only while it burns", 120),
    ("engineering", "Building it", 220),
    ("releases", "What went out", 80),
    ("random", "Everything else", 160),
    ("warehouse", "Stock and shipping", 120),
    ("marketing", "Campaigns", 60),
    ("design", "Pixels", 40),
    ("people", "Hiring and onboarding", 40),
    ("finance", "Month end", 40),
    ("legal", "Contracts", 20),
    ("security", "Report it here", 30),
    ("data", "Dashboards and queries", 30),
    ("mobile", "The app", 30),
    ("website", "The shop", 30),
    ("partners", "Resellers", 20),
    ("travel", "Trips", 10),
    ("lunch", "Where to", 60),
    ("books", "Reading club", 10),
    ("office-vienna", "Keys, plants, coffee", 20),
    ("old-crm", "Moved to sales", 40),
    ("launch-2024", "It is out", 40),
    ("black-friday-2024", "Done", 40),
    ("migration-2023", "Done", 20),
    ("office-graz", "Closed", 10),
    ("leadership", "Private", 30),
    ("salaries", "Private", 10),
];
const ARCHIVED: &[&str] = &["old-crm", "launch-2024", "black-friday-2024", "migration-2023", "office-graz"];
const PRIVATE: &[&str] = &["leadership", "salaries"];
/// Channels that the bot was not invited to.
const WITHOUT_BOT: &[&str] = &["lunch", "legal", "salaries"];

const PEOPLE: &[&str] = &[
    "Anna Berger",
    "Ben Okafor",
    "Carla Rossi",
    "David Novak",
    "Elif Kaya",
    "Felix Huber",
    "Grace Lee",
    "Hugo Martin",
    "Ines Costa",
    "Jonas Weber",
    "Kavya Rao",
    "Liam Byrne",
    "Mara Popescu",
    "Noah Fischer",
    "Olga Ivanova",
    "Paul Gruber",
    "Qing Zhao",
    "Rosa Marin",
    "Samir Haddad",
    "Tina Lang",
    "Umar Khan",
    "Vera Horvat",
    "Wanda Nowak",
    "Xavier Dupont",
    "Yuki Tanaka",
    "Zoe Adler",
    "Aaron Stein",
    "Bianca Moreau",
    "Cem Yilmaz",
    "Dora Szabo",
    "Emil Larsen",
    "Fatima Zahra",
    "Georg Mayer",
    "Hana Kim",
    "Ivan Petrov",
    "Julia Steiner",
    "Karim Aziz",
    "Lena Winter",
    "Milan Kovac",
    "Nora Ebner",
];
/// The last so many of them have left.
const LEFT: usize = 3;

const CUSTOMERS: &[&str] =
    &["Globex", "Initech", "Umbrella", "Hooli", "Stark Industries", "Wayne Enterprises", "Wonka"];
const PHRASES: &[&str] = &[
    "{customer} asks where order {number} is",
    "order {number} for {customer} has shipped",
    "refund for {customer}, invoice {number}, is through",
    "can somebody look at {customer}? Ticket {number}",
    "{customer} is happy again, closing {number}",
    "invoice {number} to {customer} bounced",
    "thanks!",
    "on it",
];

/// Time between two messages of a channel.
const MESSAGE_EVERY: Duration = Duration::from_mins(47);
/// Every so manieth message starts a thread with replies.
const THREAD_EVERY: u32 = 9;

/// The workspace as it is at `now`.
pub(super) fn workspace(now: Duration) -> Workspace {
    let users: BTreeMap<String, User> = users().map(|user| (user.id.clone(), user)).collect();
    let people: Vec<&str> =
        users.values().filter(|u| !u.is_bot && !u.is_deleted).map(|u| u.id.as_str()).collect();
    let mut dice = Dice(1);
    let channels = CHANNELS.iter().enumerate();
    let channels = channels.map(|(index, seed)| channel(index, *seed, &people, &mut dice, now));
    let channels = channels.map(|channel| (channel.id.clone(), channel)).collect();
    Workspace { channels, users, posted: Vec::new() }
}

pub(super) fn user_id(index: usize) -> String {
    format!("U0ACME{index:03}")
}

fn users() -> impl Iterator<Item = User> {
    let people = PEOPLE.iter().enumerate().map(|(index, real_name)| {
        let name = real_name.to_lowercase().replace(' ', ".");
        User {
            id: user_id(index),
            email: format!("{name}@acme.example"),
            name,
            real_name: (*real_name).to_owned(),
            title: String::new(),
            is_deleted: index + LEFT >= PEOPLE.len(),
            is_bot: false,
            is_admin: index == 0,
        }
    });
    let app = User {
        id: BOT_USER.to_owned(),
        name: "ferrata".to_owned(),
        real_name: "Ferrata".to_owned(),
        email: String::new(),
        title: String::new(),
        is_deleted: false,
        is_bot: true,
        is_admin: false,
    };
    people.chain(std::iter::once(app))
}

fn channel(
    index: usize,
    seed: (&str, &str, u32),
    people: &[&str],
    dice: &mut Dice,
    now: Duration,
) -> Channel {
    let (name, topic, messages) = seed;
    let mut members: BTreeSet<String> = people.iter().map(|id| (*id).to_owned()).collect();
    if !WITHOUT_BOT.contains(&name) {
        members.insert(BOT_USER.to_owned());
    }
    let first = now.saturating_sub(MESSAGE_EVERY * (messages + 1));
    let mut channel = Channel {
        id: format!("C0ACME{index:03}"),
        name: name.to_owned(),
        is_private: PRIVATE.contains(&name),
        is_archived: ARCHIVED.contains(&name),
        topic: topic.to_owned(),
        creator: user_id(0),
        created: first.as_secs(),
        members,
        messages: BTreeMap::new(),
    };
    for number in 0..messages {
        let at = first + MESSAGE_EVERY * number + Duration::from_micros(dice.roll(1_000_000));
        say(&mut channel, at, number, people, dice);
    }
    channel
}

/// One message, and sometimes a short thread below it.
fn say(channel: &mut Channel, at: Duration, number: u32, people: &[&str], dice: &mut Dice) {
    let ts = channel.add(at, (dice.pick(people), None), &sentence(dice), None);
    if number.is_multiple_of(THREAD_EVERY) {
        for reply in 1..=1 + dice.roll(4) {
            let at = at + Duration::from_mins(reply);
            channel.add(at, (dice.pick(people), None), &sentence(dice), Some(ts));
        }
    }
}

fn sentence(dice: &mut Dice) -> String {
    let number = (1000 + dice.roll(9000)).to_string();
    dice.pick(PHRASES).replace("{customer}", dice.pick(CUSTOMERS)).replace("{number}", &number)
}

/// A small generator that gives the same throws in every run (an LCG with Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    /// Below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.roll(from.len() as u64)).unwrap_or_default();
        from.get(index).copied().unwrap_or_default()
    }
}
