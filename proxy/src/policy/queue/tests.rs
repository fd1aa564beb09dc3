use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// How many keys of how many agents were looked at to find who goes.
    pub static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

const FAR: u64 = 1 << 40;

fn at(ms: u64) -> Now {
    Now { mono: Moment(ms), wall: 0 }
}

fn asking(agent: &str, key: &str, deadline: u64) -> Asking {
    let priority = Priority::Interactive;
    let (deadline, pressing_at) = (Moment(deadline), Moment(0));
    Asking { agent: agent.into(), key: key.into(), priority, deadline, cost: 1, bytes: 10, pressing_at }
}

fn in_background(asking: Asking) -> Asking {
    Asking { priority: Priority::Background, ..asking }
}

/// Waiters called by number.
struct Line {
    queue: Queue<usize>,
    entered: usize,
}

impl Line {
    fn new(settings: Settings) -> Self {
        Self { queue: Queue::new(settings), entered: 0 }
    }

    fn try_enter(&mut self, asking: Asking) -> Result<Entered<usize>, Refused> {
        let entered = self.queue.enter(asking, self.entered, Some(Moment(0)), at(0));
        self.entered += 1;
        entered.map_err(|(refused, _)| refused)
    }

    fn enter(&mut self, asking: Asking) -> Ticket {
        self.try_enter(asking).unwrap().ticket
    }

    fn enter_many(&mut self, times: usize, asking: &Asking) {
        for _ in 0..times {
            self.enter(asking.clone());
        }
    }

    fn next(&mut self) -> Option<usize> {
        self.queue.next(at(0), |_, _| Wall::Open)
    }

    fn all(&mut self) -> Vec<usize> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

#[test]
fn the_earliest_deadline_goes_first_and_the_first_come_of_two() {
    let mut line = Line::default();
    for deadline in [30, 10, 20, 10] {
        line.enter(asking("a", "k", deadline));
    }
    assert_eq!(line.all(), [1, 3, 2, 0]);
    assert_eq!(line.queue.usage(), (0, 0));
}

#[test]
fn agents_take_turns_however_many_wait_for_each() {
    let mut line = Line::default();
    line.enter_many(4, &asking("a", "k", 10));
    line.enter(asking("b", "k", 99));
    line.enter(asking("c", "k", 99));
    assert_eq!(line.all(), [0, 4, 5, 1, 2, 3]);
}

#[test]
fn a_dear_waiter_saves_up_while_cheap_ones_take_their_turns() {
    let mut line = Line::default();
    line.enter(Asking { cost: 3, ..asking("a", "k", 10) });
    line.enter_many(4, &asking("b", "k", 10));
    assert_eq!(line.all(), [1, 2, 0, 3, 4]);
}

#[test]
fn waiters_of_a_closed_key_stand_in_nobodys_way() {
    let mut line = Line::default();
    line.enter(asking("a", "closed", 10));
    line.enter(asking("a", "closed", 11));
    line.enter(asking("a", "open", 20));
    line.enter(asking("b", "closed", 10));
    let mut asked = 0;
    let wall = |asking: &Asking, _: &usize| if *asking.key == *"open" { Wall::Open } else { Wall::KeyClosed };
    assert_eq!(line.queue.next(at(0), wall), Some(2));
    let count = |_: &Asking, _: &usize| {
        asked += 1;
        Wall::KeyClosed
    };
    assert_eq!(line.queue.next(at(0), count), None);
    assert_eq!((asked, line.queue.waiting_for("closed")), (1, 3));
}

#[test]
fn who_need_not_press_closes_nothing_for_who_does() {
    let mut line = Line::default();
    let waiter = |agent, pressing_at| Asking { pressing_at: Moment(pressing_at), ..asking(agent, "k", FAR) };
    line.enter(in_background(waiter("a", 1)));
    line.enter(in_background(waiter("b", 1)));
    line.enter(in_background(waiter("b", 0)));
    line.enter(in_background(waiter("c", 0)));
    let mut asked = 0;
    let wall = |asking: &Asking, _: &usize| {
        asked += 1;
        if asking.pressing_at > Moment(0) { Wall::KeyClosed } else { Wall::Open }
    };
    assert_eq!(line.queue.next(at(0), wall), Some(2));
    assert_eq!(line.queue.next(at(0), |_, _| Wall::KeyClosed), None);
    assert_eq!(asked, 2);
}

#[test]
fn whoever_waits_for_something_closed_is_looked_at_once() {
    let mut line = Line::default();
    for key in 0..ITEMS {
        line.enter(asking("a", &key.to_string(), FAR));
    }
    LOOKED_AT.set(0);
    assert_eq!(line.queue.next(at(0), |_, _| Wall::KeyClosed), None);
    assert_eq!(LOOKED_AT.get(), ITEMS);
}

#[test]
fn background_work_takes_a_fifth_and_everything_when_nobody_else_waits() {
    let mut line = Line::default();
    line.enter_many(3, &in_background(asking("a", "k", 10)));
    line.enter_many(8, &asking("b", "k", 10));
    assert_eq!(line.all(), [3, 4, 5, 6, 0, 7, 8, 9, 10, 1, 2]);
}

#[test]
fn who_cannot_make_it_is_refused_with_the_time_of_its_turn() {
    let mut queue = Queue::new(Settings::default());
    let mut enter = |turn: Option<u64>| {
        queue.enter(asking("a", "k", 100), (), turn.map(Moment), at(50)).err().map(|(refused, ())| refused)
    };
    assert_eq!(enter(Some(100)), Some(Refused::TooLate { turn: Some(Moment(100)) }));
    assert_eq!(enter(None), Some(Refused::TooLate { turn: None }));
    assert_eq!(enter(Some(99)), None);
    let late = queue.enter(asking("a", "k", 50), (), Some(Moment(0)), at(50));
    assert!(matches!(late, Err((Refused::TooLate { .. }, ()))));
}

#[test]
fn who_waits_for_something_that_is_closed_as_well_does_not_go_more_often() {
    let mut line = Line::default();
    for agent in ["a", "b", "c"] {
        line.enter_many(20, &asking(agent, "open", 20));
    }
    line.enter(asking("a", "closed", 30));
    line.enter(asking("b", "closed too", 30));
    let mut went = [0; 3];
    for _ in 0..30 {
        assert_eq!(line.queue.next(at(0), |_, _| Wall::KeyClosed), None);
        let wall =
            |asking: &Asking, _: &usize| if *asking.key == *"open" { Wall::Open } else { Wall::KeyClosed };
        went[line.queue.next(at(0), wall).unwrap() / 20] += 1;
    }
    assert_eq!(went, [10, 10, 10]);
}

#[test]
fn whose_deadline_has_come_does_not_go_and_can_be_told() {
    let mut queue = Queue::new(Settings::default());
    for (number, deadline) in [10, 20].into_iter().enumerate() {
        assert!(queue.enter(asking("a", "k", deadline), number, Some(Moment(0)), at(0)).is_ok());
    }
    assert_eq!(queue.next_deadline(), Some(Moment(10)));
    assert_eq!(queue.next(at(10), |_, _| Wall::Open), Some(1));
    assert_eq!(queue.expire(at(9)), Vec::<usize>::new());
    assert_eq!(queue.expire(at(10)), [0]);
    assert_eq!(queue.usage(), (0, 0));
}

#[test]
fn who_leaves_frees_the_place() {
    let mut line = Line::new(Settings { items: 2, ..Settings::default() });
    let ticket = line.enter(asking("a", "k", 10));
    line.enter(asking("a", "k", 20));
    assert_eq!(line.try_enter(asking("a", "k", 5)).unwrap_err(), Refused::Full { used: 2, items: 2 });
    assert_eq!(line.queue.cancel(ticket), Some(0));
    assert_eq!(line.queue.cancel(ticket), None);
    line.enter(asking("a", "k", 5));
    assert_eq!(line.all(), [3, 1]);
}

#[test]
fn in_a_full_queue_who_has_most_makes_way_for_who_has_least() {
    let mut line = Line::new(Settings { items: 4, ..Settings::default() });
    for deadline in [30, 40, 20, 10] {
        line.enter(asking("greedy", "k", deadline));
    }
    let entered = line.try_enter(asking("modest", "k", 50)).unwrap();
    assert_eq!(entered.pushed_out, [1]);
    assert_eq!(line.try_enter(asking("modest", "k", 50)).unwrap().pushed_out, [0]);
    assert_eq!(line.try_enter(asking("modest", "k", 50)).unwrap_err().label(), "queue_full");
    assert_eq!(line.all(), [3, 4, 2, 5]);
}

#[test]
fn bytes_are_bounded_and_nobody_is_pushed_out_in_vain() {
    let mut line = Line::new(Settings { bytes: 100, ..Settings::default() });
    let sized = |agent: &str, bytes| Asking { bytes, ..asking(agent, "k", 10) };
    line.enter_many(5, &sized("a", 20));
    assert_eq!(line.try_enter(sized("b", 60)).unwrap_err(), Refused::FullBytes { used: 100, bytes: 100 });
    assert_eq!(line.queue.usage(), (5, 100));
    assert_eq!(line.try_enter(sized("b", 40)).unwrap().pushed_out, [4, 3]);
    assert_eq!(line.queue.usage(), (4, 100));
    assert_eq!(line.try_enter(sized("c", 200)).unwrap_err().label(), "queue_bytes");
}

#[test]
fn an_observed_queue_refuses_nobody_but_for_the_bytes() {
    let settings = Settings { mode: Mode::Observe, items: 1, bytes: 100, ..Settings::default() };
    let mut queue = Queue::new(settings);
    let mut enter = |bytes| queue.enter(Asking { bytes, ..asking("a", "k", 10) }, (), None, at(0));
    assert!(matches!(enter(10).unwrap().observed, Some(Refused::TooLate { turn: None })));
    assert!(matches!(enter(10).unwrap().observed, Some(Refused::TooLate { turn: None })));
    assert!(enter(100).is_err());
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![3 => Just(Priority::Interactive), 1 => Just(Priority::Background)]
}

fn waiter() -> impl Strategy<Value = Asking> {
    let name = |names: &'static [&'static str]| prop::sample::select(names).prop_map(Arc::<str>::from);
    (name(&["a", "b", "c"]), name(&["k", "l", "m"]), priority(), 1_u64..50).prop_map(
        |(agent, key, priority, deadline)| {
            let deadline = Moment(FAR + deadline);
            Asking { agent, key, priority, deadline, cost: 1, bytes: 1, pressing_at: deadline }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Asking),
    Next(Vec<Arc<str>>),
    Leave(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let closed = prop::collection::vec(prop::sample::select(&["k", "l", "m"][..]).prop_map(Arc::from), 0..3);
    prop_oneof![
        5 => waiter().prop_map(Step::Enter),
        4 => closed.prop_map(Step::Next),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
    ]
}

proptest! {
    /// Against a plain list: somebody goes whenever somebody can, and whoever goes is the first of its agent by (deadline, arrival) among those of its
    /// priority whose key is open.
    #[test]
    fn the_order_within_an_agent_is_that_of_a_sorted_list(steps in prop::collection::vec(step(), 0..200)) {
        let (mut line, mut list) = (Line::default(), Vec::<(usize, Ticket, Asking)>::new());
        for step in steps {
            match step {
                Step::Enter(asking) => {
                    let ticket = line.enter(asking.clone());
                    list.push((line.entered - 1, ticket, asking));
                }
                Step::Leave(index) => if !list.is_empty() {
                    let (number, ticket, _) = list.remove(index.index(list.len()));
                    prop_assert_eq!(line.queue.cancel(ticket), Some(number));
                },
                Step::Next(closed) => {
                    let wall = |a: &Asking, _: &usize| if closed.contains(&a.key) { Wall::KeyClosed } else { Wall::Open };
                    let went = line.queue.next(at(0), wall);
                    let open = |a: &Asking| !closed.contains(&a.key);
                    prop_assert_eq!(went.is_some(), list.iter().any(|(_, _, a)| open(a)));
                    let Some(went) = went else { continue };
                    let place = list.iter().position(|(number, ..)| *number == went).unwrap();
                    let (_, _, who) = list.remove(place);
                    prop_assert!(open(&who));
                    let rivals = list.iter().filter(|(_, _, a)| {
                        open(a) && a.agent == who.agent && a.priority == who.priority
                    });
                    for (number, _, rival) in rivals {
                        prop_assert!((who.deadline, went) < (rival.deadline, *number));
                    }
                }
            }
            prop_assert_eq!(line.queue.usage(), (list.len(), list.len() as u64));
        }
    }

    /// While two agents both wait, neither is served more than once more than the other.
    #[test]
    fn agents_that_wait_are_served_alike(counts in prop::collection::vec(1_usize..40, 2..6)) {
        let mut line = Line::default();
        let mut agents = Vec::new();
        for (agent, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                line.enter(asking(&agent.to_string(), "k", FAR));
                agents.push(agent);
            }
        }
        let mut served = vec![0_usize; counts.len()];
        while let Some(went) = line.next() {
            served[agents[went]] += 1;
            let waiting = (0..counts.len()).filter(|&agent| served[agent] < counts[agent]);
            let both: Vec<_> = waiting.map(|agent| served[agent]).collect();
            let (least, most) = (both.iter().min(), both.iter().max());
            prop_assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1));
        }
    }

    /// The same in what they take, up to the dearest of them.
    #[test]
    fn agents_that_wait_take_alike_whatever_each_waiter_costs(
        costs in prop::collection::vec((0_usize..3, 1_u64..20), 1..120),
    ) {
        let (mut line, mut left, mut taken) = (Line::default(), [0_usize; 3], [0_u64; 3]);
        for (agent, cost) in &costs {
            line.enter(Asking { cost: *cost, ..asking(&agent.to_string(), "k", FAR) });
            left[*agent] += 1;
        }
        while left.iter().all(|left| *left > 0) {
            let went = line.next().unwrap();
            let (agent, cost) = costs[went];
            left[agent] -= 1;
            taken[agent] += cost;
            let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
            prop_assert!(most - least <= 2 * 20, "{taken:?}");
        }
    }

    /// If nobody else comes, the turn comes no later than forecast.
    #[test]
    fn no_more_goes_before_a_newcomer_than_was_forecast(
        waiters in prop::collection::vec(waiter(), 0..60),
        gone in 0_usize..20,
        newcomer in waiter(),
    ) {
        let mut line = Line::default();
        let mut keys: Vec<_> = waiters.iter().map(|asking| Arc::clone(&asking.key)).collect();
        keys.push(Arc::clone(&newcomer.key));
        for asking in waiters {
            line.enter(asking);
        }
        for _ in 0..gone {
            line.next();
        }
        let ahead = line.queue.ahead(&newcomer);
        let number = line.entered;
        line.enter(newcomer);
        let before: Vec<_> = std::iter::from_fn(|| line.next()).take_while(|went| *went != number).collect();
        prop_assert!(before.len() as u64 <= ahead.overall, "{} > {ahead:?}", before.len());
        let in_key = before.iter().filter(|went| keys[**went] == keys[number]).count();
        prop_assert!(in_key as u64 <= ahead.in_key, "{in_key} > {ahead:?}");
    }

    /// Everybody goes in the end, whatever comes in between.
    #[test]
    fn nobody_starves(rivals in prop::collection::vec(waiter(), 100)) {
        let mut line = Line::default();
        let unlucky = in_background(asking("a", "k", FAR + 10));
        line.enter(unlucky);
        let mut waited = 0;
        for mut rival in rivals {
            rival.deadline = Moment(FAR + 20);
            line.enter(rival);
            waited += 1;
            if line.next() == Some(0) {
                break;
            }
        }
        prop_assert!(waited <= 5, "{waited}");
    }
}
