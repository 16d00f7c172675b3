//! Values of arguments.

use inferium_types::{AccountId, Amount, Digest, InvalidAmount, Ppm};

/// An account that somebody can hold the key of.
pub(crate) fn parse_address(text: &str) -> Result<AccountId, String> {
    let address = AccountId::from_hex(text).ok_or("an address is 64 hex digits")?;
    if address.is_valid() { Ok(address) } else { Err("no key has this address; is it mistyped?".to_owned()) }
}

/// An amount of money; none of it is one as well.
pub(crate) fn parse_amount(text: &str) -> Result<Amount, String> {
    text.parse().map_err(|error: InvalidAmount| error.to_string())
}

/// An amount of money that is worth a transaction.
pub(crate) fn parse_payment(text: &str) -> Result<Amount, String> {
    let amount = parse_amount(text)?;
    if amount.is_zero() { Err("an amount of zero moves nothing".to_owned()) } else { Ok(amount) }
}

pub(crate) fn parse_id(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "64 hex digits are expected".to_owned())
}

/// MIN,MAX of 16-bit numbers.
pub(crate) fn parse_range(text: &str) -> Result<(i16, i16), String> {
    let expected = || "MIN,MAX is expected, of whole numbers from -32768 to 32767".to_owned();
    let (min, max) = text.split_once(',').ok_or_else(expected)?;
    let pair = (min.trim().parse().map_err(|_| expected())?, max.trim().parse().map_err(|_| expected())?);
    if pair.0 > pair.1 { Err("the smallest is larger than the largest".to_owned()) } else { Ok(pair) }
}

/// NAME=VALUE, the value a whole number.
pub(crate) fn parse_change(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    let value = value.replace('_', "").parse().map_err(|_| format!("{value:?} is no whole number"))?;
    Ok((name.to_owned(), value))
}

/// A percentage with up to four decimals: exactly a number of parts per million.
pub(crate) fn parse_percent(text: &str) -> Result<Ppm, String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || decimals.len() > 4 || !is_number(whole) || !is_number(decimals) {
        return Err("a percentage with up to four decimals is expected, such as 5 or 2.5".to_owned());
    }
    let parts: u32 = format!("{whole}{decimals:0<4}").parse().map_err(|_| "not a number".to_owned())?;
    if parts > Ppm::ONE.get() { Err("more than 100 %".to_owned()) } else { Ok(Ppm::new(parts)) }
}

/// A checksum in the one spelling that is compared.
pub(crate) fn parse_sha256(text: &str) -> Result<String, String> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(text.to_ascii_lowercase()) } else { Err("64 hex digits are expected".to_owned()) }
}

/// A time like 30d, in seconds.
pub(crate) fn parse_lifetime(text: &str) -> Result<u64, String> {
    let expected = || format!("{text:?} is no time; expected a whole number with s, m, h, d or w, such as 30d");
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(expected()),
    };
    let digits = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let count: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(expected)?;
    match count.checked_mul(seconds) {
        Some(0) => Err("a time of zero is over at once".to_owned()),
        Some(seconds) => Ok(seconds),
        None => Err(expected()),
    }
}
