//! Checks that markup is sound: every element that is opened is closed, in order; every attribute quoted; every sign
//! escaped. Enough for what this project writes, and no parser of what others write.
#![allow(clippy::panic, reason = "that is how it says what is wrong")]

/// Elements that HTML has no end of.
const VOID: [&str; 2] = ["meta", "br"];

/// Panics with the place of the first thing that is wrong.
#[track_caller]
pub(crate) fn assert_sound(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        assert_text(&rest[..at], &open);
        let end = rest[at..].find('>').map(|end| at + end);
        let end = end.unwrap_or_else(|| fail("a tag without an end", &rest[at..], &open));
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes another, before {:?}", beginning(rest));
            continue;
        }
        let name = tag.split(' ').next().unwrap_or_default();
        assert_attributes(&tag[name.len()..], &open);
        if !VOID.contains(&name) {
            open.push(name);
        }
        if name == "style" {
            let end = rest.find("</style>").unwrap_or_else(|| fail("a style without an end", rest, &open));
            rest = &rest[end..];
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert_eq!(rest.trim(), "", "after the end");
}

fn assert_text(text: &str, open: &[&str]) {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;"];
        if !known.iter().any(|entity| text[at..].starts_with(entity)) {
            fail("a sign that is not escaped", &text[at..], open)
        }
    }
    if text.contains('>') {
        fail("a > that is not escaped", text, open)
    }
}

fn assert_attributes(mut attributes: &str, open: &[&str]) {
    let mut seen = Vec::new();
    while let Some(rest) = attributes.strip_prefix(' ') {
        let parts = rest.split_once("=\"").and_then(|(name, value)| Some((name, value.split_once('"')?)));
        let Some((name, (value, behind))) = parts else { fail("an attribute without a value", rest, open) };
        assert!(!seen.contains(&name), "{name} twice in {open:?}");
        seen.push(name);
        assert_text(value, open);
        attributes = behind;
    }
    assert_eq!(attributes, "", "in a tag in {open:?}");
}

fn fail(what: &str, at: &str, open: &[&str]) -> ! {
    panic!("{what} in {open:?}: {:?}", beginning(at))
}

fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

/// No script, nothing from elsewhere.
#[track_caller]
pub(crate) fn assert_needs_nothing(page: &str) {
    let without_name = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for forbidden in
        ["http:", "https:", "//", "<script", "<link", "<img", "<iframe", " src=", "@import", "url("]
    {
        assert!(!without_name.contains(forbidden), "the page has {forbidden}");
    }
    for target in without_name.split("href=\"").skip(1) {
        let target = target.split('"').next().unwrap_or_default();
        let place = target.strip_prefix('#').unwrap_or_else(|| fail("a link to elsewhere", target, &[]));
        assert!(page.contains(&format!("id=\"{place}\"")), "a link to nowhere: {target}");
    }
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "ids that are given twice");
}
