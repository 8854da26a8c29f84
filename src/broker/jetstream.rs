//! The words of JetStream, the stores of NATS: requests and their answers as JSON over subjects of its API. Text in, values out;
//! owned by nobody. Streams hold what is stored, and a consumer of no name of its own, which wants no acknowledgements, reads it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::carrier::{StoreAnswer, StoreAsk, StoreBounds, StoreFacts};

/// The code of an answer: there is no such stream.
const NO_STREAM: u64 = 10_059;

/// Servers take no time that is much shorter.
const SHORTEST_AGE: Duration = Duration::from_secs(1);

/// The time for which a server keeps a consumer that nobody asks.
const READER_KEPT: Duration = Duration::from_secs(30);

/// A request: its subject and its payload.
pub(super) fn request(ask: &StoreAsk) -> (String, Bytes) {
    let api = |verb: &str, rest: &str| format!("$JS.API.{verb}.{rest}");
    match ask {
        StoreAsk::Look(StoreBounds { name, .. }) => (api("STREAM.INFO", name), Bytes::new()),
        StoreAsk::Make(store) => (api("STREAM.CREATE", &store.name), body(&Value::Object(new(store)))),
        StoreAsk::Change(StoreBounds { name, .. }, config) => (api("STREAM.UPDATE", name), config.clone()),
        StoreAsk::Read(StoreBounds { name, .. }) => {
            let config = json!({
                "deliver_policy": "all",
                "ack_policy": "none",
                "replay_policy": "instant",
                "inactive_threshold": nanoseconds(READER_KEPT),
                "mem_storage": true,
                "num_replicas": 1,
            });
            (api("CONSUMER.CREATE", name), body(&json!({ "stream_name": name, "config": config })))
        }
        StoreAsk::More { store, reader, count } => {
            let next = api("CONSUMER.MSG.NEXT", &format!("{}.{reader}", store.name));
            (next, body(&json!({ "batch": count, "no_wait": true })))
        }
        StoreAsk::Clear { store, subject } => {
            (api("STREAM.PURGE", &store.name), body(&json!({ "filter": subject })))
        }
    }
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The bounds of a store, as the configuration of a stream has them.
fn bounds(store: &StoreBounds) -> [(&'static str, Value); 5] {
    let age = store.age.max(SHORTEST_AGE);
    let of_each = store.of_each.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    [
        ("subjects", json!([store.subjects])),
        ("max_age", json!(nanoseconds(age))),
        // Nothing has an identity there: positions tell what is there twice. It may be no longer than the age.
        ("duplicate_window", json!(nanoseconds(SHORTEST_AGE))),
        ("max_bytes", json!(i64::try_from(store.bytes).unwrap_or(i64::MAX))),
        ("max_msgs_per_subject", json!(of_each)),
    ]
}

/// The configuration of a new stream.
fn new(store: &StoreBounds) -> Map<String, Value> {
    let rest = [
        ("name", json!(store.name)),
        ("description", json!(format!("history of corecast: {}", store.filter.text()))),
        ("retention", json!("limits")),
        ("storage", json!("file")),
        ("discard", json!("old")),
        ("num_replicas", json!(1)),
    ];
    rest.into_iter().chain(bounds(store)).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The answer to a question, by its payload.
///
/// # Errors
/// The reason of the server, as a sentence.
pub(super) fn answer(ask: &StoreAsk, payload: &[u8]) -> Result<StoreAnswer, String> {
    let answer: Value =
        serde_json::from_slice(payload).map_err(|_| "an answer that is no JSON".to_owned())?;
    if let Some(error) = answer.get("error") {
        let is_absent = error.get("err_code").and_then(Value::as_u64) == Some(NO_STREAM);
        return match ask {
            StoreAsk::Look(_) if is_absent => Ok(StoreAnswer::Absent),
            StoreAsk::Clear { .. } if is_absent => Ok(StoreAnswer::Cleared),
            _ => Err(reason(error)),
        };
    }
    match ask {
        StoreAsk::Look(store) => {
            let config = answer.get("config").and_then(Value::as_object);
            let config = config.ok_or("an answer without a configuration")?;
            let differs = bounds(store).into_iter().any(|(key, value)| config.get(key) != Some(&value));
            if !differs {
                return Ok(StoreAnswer::Fits);
            }
            let mut changed = config.clone();
            changed.extend(bounds(store).map(|(key, value)| (key.to_owned(), value)));
            Ok(StoreAnswer::Differs(body(&Value::Object(changed))))
        }
        StoreAsk::Make(_) | StoreAsk::Change(..) => Ok(StoreAnswer::Fits),
        StoreAsk::Read(_) => {
            let reader = answer.get("name").and_then(Value::as_str);
            let left = answer.get("num_pending").and_then(Value::as_u64);
            let is_level = |name: &&str| !name.is_empty() && !name.contains(['.', '*', '>', ' ']);
            let reader = reader.filter(is_level).ok_or("an answer without the name of a reader")?;
            Ok(StoreAnswer::Reads { reader: reader.to_owned(), left: left.unwrap_or(0) })
        }
        StoreAsk::More { .. } => Err("an answer where payloads were asked for".to_owned()),
        StoreAsk::Clear { .. } => match answer.get("success").and_then(Value::as_bool) {
            Some(true) => Ok(StoreAnswer::Cleared),
            _ => Err("an answer that does not say that it was done".to_owned()),
        },
    }
}

/// The answer to a question by a status without a payload: nobody is there to answer, or there are no more payloads.
///
/// # Errors
/// As for [`answer`].
pub(super) fn answer_of_status(ask: &StoreAsk, status: u16) -> Result<StoreAnswer, String> {
    match (ask, status) {
        // No messages, and none within no time.
        (StoreAsk::More { .. }, 404 | 408) => Ok(StoreAnswer::NoMore),
        (_, 503) => Err("the server has no JetStream, or the account of this broker has none".to_owned()),
        (_, status) => Err(format!("the server says {status}")),
    }
}

fn reason(error: &Value) -> String {
    let description = error.get("description").and_then(Value::as_str).unwrap_or("no reason is told");
    let code = error.get("err_code").and_then(Value::as_u64).unwrap_or(0);
    format!("JetStream says: {description} ({code})")
}

/// The answer to a payload that was to be stored.
///
/// # Errors
/// The reason why it is not, as a sentence.
pub(super) fn stored(payload: &[u8], status: Option<u16>) -> Result<(), String> {
    if let Some(status) = status {
        return Err(match status {
            503 => "no stream takes it: it was deleted, or JetStream has stopped".to_owned(),
            status => format!("the server says {status}"),
        });
    }
    let answer: Value =
        serde_json::from_slice(payload).map_err(|_| "an answer that is no JSON".to_owned())?;
    match (answer.get("error"), answer.get("seq").and_then(Value::as_u64)) {
        (None, Some(_)) => Ok(()),
        (None, None) => Err("an answer that confirms nothing".to_owned()),
        (Some(error), _) => Err(reason(error)),
    }
}

/// The facts of a payload that a reader brings, at this time since 1970, by the subject that acknowledges it. `None`: it is no such
/// subject.
pub(super) fn facts(acknowledges: &str, now: Duration) -> Option<StoreFacts> {
    let levels: Vec<&str> = acknowledges.split('.').collect();
    let ["$JS", "ACK", ..] = levels[..] else { return None };
    // Servers of some versions put a domain and an account before the stream.
    let (number, time, left) = match levels.len() {
        9 => (levels[5], levels[7], levels[8]),
        11.. => (levels[7], levels[9], levels[10]),
        _ => return None,
    };
    let age = now.saturating_sub(Duration::from_nanos(time.parse().ok()?));
    Some(StoreFacts { age, number: number.parse().ok()?, left: left.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Filter;

    fn store() -> StoreBounds {
        StoreBounds {
            filter: Filter::parse("a.>").unwrap(),
            name: "corecast_c_1".to_owned(),
            subjects: "cc.c.h.1.>".to_owned(),
            age: Duration::from_secs(60),
            bytes: 1 << 20,
            of_each: Some(1),
        }
    }

    #[test]
    fn a_stream_gives_up_what_is_under_a_subject_and_one_that_is_gone_has_nothing() {
        let ask = StoreAsk::Clear { store: store(), subject: "cc.c.h.1.t.a.*".to_owned() };
        let (subject, asked) = request(&ask);
        assert_eq!(subject, "$JS.API.STREAM.PURGE.corecast_c_1");
        assert_eq!(asked, r#"{"filter":"cc.c.h.1.t.a.*"}"#);
        assert_eq!(answer(&ask, br#"{"success":true,"purged":3}"#), Ok(StoreAnswer::Cleared));
        let gone = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert_eq!(answer(&ask, gone), Ok(StoreAnswer::Cleared));
        for other in [&br#"{"success":false}"#[..], b"{}", br#"{"error":{"err_code":10110}}"#] {
            assert!(answer(&ask, other).is_err());
        }
        assert!(answer_of_status(&ask, 503).is_err());
    }

    #[test]
    fn a_stream_that_has_other_bounds_is_changed_in_these_alone() {
        let look = StoreAsk::Look(store());
        let (subject, config) = request(&StoreAsk::Make(store()));
        assert_eq!(subject, "$JS.API.STREAM.CREATE.corecast_c_1");
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["num_replicas"] = json!(3);
        let told = |config: &Value| json!({ "config": config }).to_string().into_bytes();
        assert_eq!(answer(&look, &told(&config)), Ok(StoreAnswer::Fits));
        config["max_age"] = json!(1);
        let Ok(StoreAnswer::Differs(changed)) = answer(&look, &told(&config)) else { panic!() };
        let changed: Value = serde_json::from_slice(&changed).unwrap();
        assert_eq!((&changed["max_age"], &changed["num_replicas"]), (&json!(60_000_000_000_u64), &json!(3)));
        let none = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert_eq!(answer(&look, none), Ok(StoreAnswer::Absent));
        assert!(answer(&StoreAsk::Make(store()), none).is_err_and(|why| why.contains("stream not found")));
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        let read = StoreAsk::Read(store());
        let reads = answer(&read, br#"{"name":"x1","num_pending":7}"#);
        assert_eq!(reads, Ok(StoreAnswer::Reads { reader: "x1".to_owned(), left: 7 }));
        for bad in [&b"{}"[..], b"", b"7", br#"{"name":"a.b"}"#, br#"{"name":""}"#] {
            assert!(answer(&read, bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(answer(&StoreAsk::Look(store()), b"{}").is_err());
        let more = StoreAsk::More { store: store(), reader: "x1".to_owned(), count: 3 };
        assert_eq!(answer_of_status(&more, 404), Ok(StoreAnswer::NoMore));
        assert!(answer_of_status(&more, 409).is_err() && answer_of_status(&read, 503).is_err());
    }

    #[test]
    fn only_a_number_in_a_stream_confirms() {
        assert_eq!(stored(br#"{"stream":"x", "seq":1}"#, None), Ok(()));
        for bad in
            [&b"{}"[..], b"", br#"{"error":{"code":503,"description":"no room"},"stream":"x","seq":0}"#]
        {
            assert!(stored(bad, None).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(stored(b"", Some(503)).is_err());
    }

    #[test]
    fn the_facts_of_a_payload_are_read_of_both_forms() {
        let stored_at = Duration::from_nanos(1_796_027_678_764_132_984);
        let facts = |subject: &str| facts(subject, stored_at + Duration::from_secs(3));
        let read = Some(StoreFacts { age: Duration::from_secs(3), number: 4, left: 5 });
        assert_eq!(facts("$JS.ACK.s.c.1.4.9.1796027678764132984.5"), read);
        assert_eq!(facts("$JS.ACK.hub.acc.s.c.1.4.9.1796027678764132984.5.rand"), read);
        for bad in ["", "$JS.ACK", "$JS.FC.s.c.1.5.1.1.5", "$JS.ACK.s.c.1.5.1.x.5", "$JS.ACK.s.c.1.5.1.1.-1"]
        {
            assert_eq!(facts(bad), None, "{bad}");
        }
    }
}
