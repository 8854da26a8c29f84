//! The kernel's text form of a set of CPUs, `0-3,8`: read from sysfs, written in messages.

use crate::ids::CoreId;

/// Reads a kernel CPU list such as `0-3,8`. An empty list is empty; `None` if the text is not a list.
///
/// Trusted input: the kernel never lists more CPUs than it was built for.
pub(crate) fn parse(text: &str) -> Option<Vec<CoreId>> {
    let text = text.trim();
    let mut cores = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = parse_range(part)?;
        cores.extend((first.0..=last.0).map(CoreId));
    }
    Some(cores)
}

/// Reads `3` or `0-3`. `None`: not numbers, or the first is above the last.
pub(crate) fn parse_range(text: &str) -> Option<(CoreId, CoreId)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_core(first)?, parse_core(last)?);
    (first <= last).then_some((first, last))
}

/// Reads digits only: `u32::from_str` would also accept a sign.
fn parse_core(text: &str) -> Option<CoreId> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().map(CoreId)
}

/// Writes an ascending list in the kernel's form: `[0, 1, 2, 8]` is `0-2,8`.
pub(crate) fn format(cores: &[CoreId]) -> String {
    let mut parts: Vec<(CoreId, CoreId)> = Vec::new();
    for &core in cores {
        match parts.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(core.0) => *last = core,
            _ => parts.push((core, core)),
        }
    }
    let texts: Vec<String> = parts
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(numbers: &[u32]) -> Vec<CoreId> {
        numbers.iter().copied().map(CoreId).collect()
    }

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(parse("0-3,8\n"), Some(cores(&[0, 1, 2, 3, 8])));
        assert_eq!(parse("5"), Some(cores(&[5])));
        assert_eq!(parse("\n"), Some(vec![]));
    }

    #[test]
    fn what_is_no_list() {
        for text in ["a", "1-", "-1", "3-1", "+1", "1 2", "0x1", "4294967296"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn formatting_joins_neighbours() {
        assert_eq!(format(&cores(&[0, 1, 2, 8, 10, 11])), "0-2,8,10-11");
        assert_eq!(format(&[]), "");
        assert_eq!(format(&cores(&[u32::MAX])), "4294967295");
    }
}
