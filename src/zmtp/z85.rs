//! Keys as text, in ZeroMQ's Z85 (RFC 32): five characters for each four bytes.

/// The alphabet, in order.
const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Characters of a key.
pub const KEY_CHARS: usize = KEY_BYTES / 4 * 5;

/// Writes a key.
pub fn encode(key: &[u8; KEY_BYTES]) -> String {
    let mut text = String::with_capacity(KEY_CHARS);
    for group in key.as_chunks::<4>().0 {
        let value = u32::from_be_bytes(*group);
        for place in (0..5).rev() {
            text.push(char::from(ALPHABET[(value / 85_u32.pow(place) % 85) as usize]));
        }
    }
    text
}

/// Reads a key. `None`: the text is none.
pub fn decode(text: &str) -> Option<[u8; KEY_BYTES]> {
    let (groups, []) = text.as_bytes().as_chunks::<5>() else { return None };
    let mut key = [0; KEY_BYTES];
    let (places, _) = key.as_chunks_mut::<4>();
    if groups.len() != places.len() {
        return None;
    }
    for (place, group) in places.iter_mut().zip(groups) {
        let mut value: u32 = 0;
        for char in group {
            let digit = ALPHABET.iter().position(|known| known == char)?;
            value = value.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        *place = value.to_be_bytes();
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_reads_and_writes() {
        // RFC 32 has one group of it: 86 4f d2 6f b5 59 f7 5b is HelloWorld.
        let hello = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b].repeat(4);
        let key: [u8; KEY_BYTES] = hello.try_into().expect("32 bytes");
        assert_eq!(encode(&key), "HelloWorld".repeat(4));
        assert_eq!(decode(&"HelloWorld".repeat(4)), Some(key));
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            let mut key = [byte; KEY_BYTES];
            key[31] ^= 0x5a;
            assert_eq!(decode(&encode(&key)), Some(key));
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = encode(&[0xff; KEY_BYTES]);
        assert_eq!(&good[..5], "%nSc0", "the most that four bytes hold");
        let over = good.replacen("%nSc0", "%nSc1", 1);
        for wrong in [
            "",
            &good[..39],
            &good[..35],
            &format!("{good}0"),
            &over,
            &good.replacen('%', " ", 1),
            &"é".repeat(20),
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
