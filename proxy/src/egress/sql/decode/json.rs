//! JSON text that grows up to a bound.

use std::fmt;
use std::io::Write;

use super::Stop;

/// Largest integer up to which every integer is a double of its own.
const MAX_EXACT: u64 = 1 << 53;

/// The text written so far. After [`Stop::Full`] it holds a piece of a value; [`Json::truncate`] takes it back.
pub(in super::super) struct Json {
    out: Vec<u8>,
    bound: usize,
}

impl Json {
    /// At most `bound` bytes, which are not allocated ahead.
    pub(in super::super) fn new(bound: usize) -> Self {
        Self { out: Vec::new(), bound }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(in super::super) fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// The text. It is valid UTF-8, because only `str`s and ASCII were written; the check is for the type's sake.
    pub(in super::super) fn into_string(self) -> Result<String, Stop> {
        String::from_utf8(self.out).map_err(|_| Stop::Malformed)
    }

    pub(super) fn room_for(&self, bytes: usize) -> Result<(), Stop> {
        if bytes > self.bound - self.out.len() { Err(Stop::Full) } else { Ok(()) }
    }

    /// Text that is JSON already.
    pub(in super::super) fn raw(&mut self, json: &str) -> Result<(), Stop> {
        self.room_for(json.len())?;
        self.out.extend_from_slice(json.as_bytes());
        Ok(())
    }

    /// A string, escaped.
    pub(in super::super) fn string(&mut self, text: &str) -> Result<(), Stop> {
        self.room_for(text.len() + 2)?;
        self.serialize(text)
    }

    pub(super) fn float(&mut self, number: impl serde::Serialize) -> Result<(), Stop> {
        self.serialize(&number)
    }

    /// A number, or a string when a double could not hold it exactly.
    pub(super) fn integer(&mut self, number: i64) -> Result<(), Stop> {
        if number.unsigned_abs() <= MAX_EXACT { self.serialize(&number) } else { self.display(number) }
    }

    /// The same for a number without a sign.
    pub(super) fn unsigned(&mut self, number: u64) -> Result<(), Stop> {
        if number <= MAX_EXACT { self.serialize(&number) } else { self.display(number) }
    }

    /// A string of characters that need no escape.
    pub(super) fn display(&mut self, what: impl fmt::Display) -> Result<(), Stop> {
        let start = self.out.len();
        // Writing to a Vec fails only if the value's own formatting does.
        write!(self.out, "\"{what}\"").map_err(|_| Stop::Malformed)?;
        self.settle(start)
    }

    fn serialize(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), Stop> {
        let start = self.out.len();
        serde_json::to_writer(&mut self.out, value).map_err(|_| Stop::Malformed)?;
        self.settle(start)
    }

    /// Takes back what went over the bound.
    fn settle(&mut self, start: usize) -> Result<(), Stop> {
        if self.out.len() > self.bound {
            self.out.truncate(start);
            return Err(Stop::Full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_every_kind_of_value() {
        for write in [
            |json: &mut Json| json.raw("[1,2,3]"),
            |json: &mut Json| json.string("123456"),
            |json: &mut Json| json.string("\n\n\n\n"),
            |json: &mut Json| json.integer(1_234_567),
            |json: &mut Json| json.display("123456"),
        ] {
            let mut json = Json::new(6);
            assert_eq!(write(&mut json), Err(Stop::Full));
            assert_eq!(json.into_string().unwrap(), "");
        }
    }

    #[test]
    fn integers_beyond_a_double_are_strings() {
        let mut json = Json::new(100);
        for number in [1 << 53, (1 << 53) + 1, -(1 << 53), i64::MIN] {
            json.integer(number).unwrap();
            json.raw(" ").unwrap();
        }
        json.unsigned(u64::MAX).unwrap();
        assert_eq!(
            json.into_string().unwrap(),
            "9007199254740992 \"9007199254740993\" -9007199254740992 \"-9223372036854775808\" \"18446744073709551615\""
        );
    }
}
