//! Lines with checksums, of files that may be cut off or altered at any byte.
//!
//! A line is the CRC-32 of its JSON in eight hexadecimal digits, a blank, and the JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is in a line; none if it is not whole, with its end, or is not what was written.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let checksum = std::str::from_utf8(checksum).ok()?.strip_suffix(' ')?;
    let intact = u32::from_str_radix(checksum, 16) == Ok(crc32fast::hash(json));
    if intact { serde_json::from_slice(json).ok() } else { None }
}

/// `value` as a line, with its end.
pub(crate) fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("numbers and strings");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}
