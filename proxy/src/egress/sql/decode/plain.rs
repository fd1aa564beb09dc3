//! Values whose JSON is a short text of their own.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres_protocol::types as wire;

use super::json::Json;
use super::{Stop, malformed};

pub(super) fn uuid(bytes: [u8; 16], out: &mut Json) -> Result<(), Stop> {
    out.display(uuid::Uuid::from_bytes(bytes))
}

/// Base64 with the standard alphabet, padded.
pub(super) fn bytes(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    // Four characters for three bytes: refuse before encoding what cannot fit.
    out.room_for(raw.len())?;
    out.display(STANDARD.encode(raw))
}

/// An address of a host, or of a network with the number of its bits. A host's full number of bits is left out, as
/// PostgreSQL does for `inet`.
pub(super) fn address(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let is_network = *raw.get(2).ok_or(Stop::Malformed)? != 0;
    let inet = malformed(wire::inet_from_sql(raw))?;
    let full = if inet.addr().is_ipv4() { 32 } else { 128 };
    match inet.netmask() {
        bits if bits == full && !is_network => out.display(inet.addr()),
        bits => out.display(format_args!("{}/{bits}", inet.addr())),
    }
}

pub(super) fn hardware_address(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let pairs: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    out.display(pairs.join(":"))
}

/// A string of zeros and ones.
pub(super) fn bits(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let bits = malformed(wire::varbit_from_sql(raw))?;
    out.room_for(bits.len())?;
    let mut text = String::with_capacity(bits.len());
    for index in 0..bits.len() {
        let byte = bits.bytes().get(index / 8).ok_or(Stop::Malformed)?;
        text.push(if byte & (0x80 >> (index % 8)) == 0 { '0' } else { '1' });
    }
    out.display(text)
}

/// A place in the write-ahead log.
pub(super) fn log_position(position: u64, out: &mut Json) -> Result<(), Stop> {
    out.display(format_args!("{:X}/{:X}", position >> 32, position & 0xffff_ffff))
}

/// Block and place of a row version.
pub(super) fn tuple_id(raw: [u8; 6], out: &mut Json) -> Result<(), Stop> {
    let [b0, b1, b2, b3, o0, o1] = raw;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "({},{})", u32::from_be_bytes([b0, b1, b2, b3]), u16::from_be_bytes([o0, o1]));
    out.display(text)
}
