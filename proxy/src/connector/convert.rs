//! Small words of the interface as the host's own.

use super::bindings::types;
use crate::egress::operation::Effect;

pub fn effect(effect: types::Effect) -> Effect {
    match effect {
        types::Effect::Read => Effect::Read,
        types::Effect::IdempotentWrite => Effect::IdempotentWrite,
        types::Effect::Write => Effect::Write,
        types::Effect::Destructive => Effect::Destructive,
    }
}
