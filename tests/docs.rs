//! Checks of the documentation: the pages list what the code has, with its values, and their examples are real.
#![expect(clippy::panic, reason = "in a test every failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corecast::ErrorCode;
use corecast::internals::limits;
use corecast::internals::telemetry::{CloseReason, DropReason, Label, METRICS, MetricKind, PROCESS_METRICS};
use corecast::internals::wire::{CheckedFrame, FRAME_BODY_BYTES_MIN, Features, encode_to_vec, greeting};

fn page(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The bytes of such a block: hexadecimal pairs, or `00*23`, up to what is no such thing on each line.
fn bytes_of(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block.lines() {
        for word in line.split(' ') {
            let (pair, times) = word.split_once('*').unwrap_or((word, "1"));
            let read = (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
            let (Some(byte), Ok(times)) = (read, times.parse()) else { break };
            bytes.extend(std::iter::repeat_n(byte, times));
        }
    }
    bytes
}

/// Every block of the pages that is marked ```` ```hex NAME ````.
fn hex_blocks() -> Vec<(String, Vec<u8>)> {
    let pages = page("docs/PROTOCOL.md")
        + &page("docs/PROTOCOL_FRAMES.md")
        + &page("docs/TICKETS.md")
        + &page("docs/HISTORY.md")
        + &page("docs/RESTART.md");
    let blocks = pages.split("```hex ").skip(1).map(|rest| {
        let (name, rest) = rest.split_once('\n').expect("a name, then lines");
        let (block, _) = rest.split_once("```").expect("a block that ends");
        (name.to_owned(), bytes_of(block))
    });
    blocks.collect()
}

#[test]
fn every_frame_of_the_protocol_has_an_example_that_is_right() {
    let mut tags = Vec::new();
    for (name, bytes) in hex_blocks() {
        if name == "greeting" {
            assert_eq!(bytes, greeting::offering(Features::NONE));
            continue;
        }
        let (length, body) = bytes.split_at(limits::LENGTH_BYTES);
        assert_eq!(length, u32::try_from(body.len()).expect("it is short").to_le_bytes(), "{name}");
        let frame = CheckedFrame::check(body).unwrap_or_else(|| panic!("{name} is no frame")).frame();
        assert_eq!(format!("{frame:?}").split(' ').next(), Some(name.as_str()));
        assert_eq!(encode_to_vec(&frame), bytes, "{name}");
        tags.push(bytes[bytes.len() - FRAME_BODY_BYTES_MIN]);
    }
    tags.sort_unstable();
    let all: Vec<u8> = (0..).take_while(|tag| is_a_tag(*tag)).collect();
    assert_eq!(tags, all, "each frame has one example");
}

/// True if this version has a frame with this tag; its fields may all be zero, except for pointers.
fn is_a_tag(tag: u8) -> bool {
    let mut body = [0; FRAME_BODY_BYTES_MIN];
    body[0] = tag;
    for at in [1, 9] {
        // Where a pointer may stand: to the root itself, of no bytes. A field of another kind is any number.
        body[at..at + 4].copy_from_slice(&i32::try_from(at).expect("small").wrapping_neg().to_le_bytes());
    }
    let both = CheckedFrame::check(&body).is_some();
    body[9..13].fill(0);
    let first = CheckedFrame::check(&body).is_some();
    body[1..5].fill(0);
    // Two empty messages, for a field that must have some.
    let run = [&2_u32.to_le_bytes()[..], &[0; 16]].concat();
    let mut with_run = [&run[..], &body].concat();
    let root = run.len();
    for (at, back, bytes) in [(1, root + 1, 0), (9, root + 9, root)] {
        let pointer = i32::try_from(back).expect("small").wrapping_neg();
        with_run[root + at..root + at + 4].copy_from_slice(&pointer.to_le_bytes());
        with_run[root + at + 4..root + at + 8].copy_from_slice(&(bytes as u32).to_le_bytes());
    }
    both || first || CheckedFrame::check(&body).is_some() || CheckedFrame::check(&with_run).is_some()
}

#[test]
fn the_protocol_names_every_error_code() {
    let page = page("docs/PROTOCOL.md");
    for code in ErrorCode::ALL {
        let row = format!("| {} | `{}` | ", code.number(), code.label());
        assert!(page.contains(&row), "no row begins with {row}");
    }
}

#[test]
fn metrics_names_every_metric_and_reason() {
    let page = page("docs/METRICS.md");
    let reasons = DropReason::names().into_iter().chain(CloseReason::names());
    let metrics = || METRICS.iter().chain(PROCESS_METRICS).map(|metric| metric.name);
    for name in metrics().chain(reasons) {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing");
    }
    for word in page.split('`').filter(|word| word.starts_with("corecast_")) {
        assert!(metrics().any(|name| name == word), "there is no metric {word}");
    }
}

#[test]
fn dashboard_and_alerts_use_metrics_that_there_are() {
    let metrics: Vec<_> = METRICS.iter().chain(PROCESS_METRICS).collect();
    let is_one = |word: &str| {
        metrics.iter().any(|metric| match metric.kind {
            MetricKind::Histogram => word
                .strip_prefix(metric.name)
                .is_some_and(|part| ["_bucket", "_count", "_sum"].contains(&part)),
            MetricKind::Counter | MetricKind::Gauge | MetricKind::Ratio => word == metric.name,
        })
    };
    for (name, least) in [("scripts/monitoring/alerts.yml", 10), ("scripts/monitoring/dashboard.json", 40)] {
        let page = page(name);
        let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let named: Vec<_> =
            words.filter(|word| word.starts_with("corecast_") || word.starts_with("process_")).collect();
        assert!(named.len() >= least, "{name} names {named:?}");
        for word in named {
            assert!(is_one(word), "{name}: there is no metric {word}");
        }
    }
    let alerts = page("scripts/monitoring/alerts.yml");
    let operations = page("docs/OPERATIONS.md");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(operations.contains(&format!("`{alert}`")), "docs/OPERATIONS.md does not name {alert}");
    }
}

#[test]
fn options_names_every_option_of_the_broker_with_its_default() {
    let page = page("docs/OPTIONS.md");
    let mut command = corecast::internals::cli::command();
    command.build();
    let broker = command.find_subcommand("broker").expect("it is one");
    for argument in
        broker.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
    {
        let row = format!("| `--{}` | ", argument.get_long().expect("every option has a name"));
        let (_, rest) = page.split_once(&row).unwrap_or_else(|| panic!("no row begins with {row}"));
        let written: String =
            rest.chars().take_while(|c| *c != '|').filter(|c| !" ,`".contains(*c)).collect();
        let default: String =
            argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        // A switch is off by default.
        let default = if default == "false" { "off".to_owned() } else { default };
        assert!(default.is_empty() || written == default, "{row}{written}: it is {default}");
    }
}

/// A number with commas between its thousands.
fn count(number: impl Into<i128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: impl Into<i128>) -> String {
    let number = number.into();
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    let (factor, unit) = units.into_iter().find(|(factor, _)| number % factor == 0).expect("one divides all");
    format!("{} {unit}", count(number / factor))
}

fn time(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

/// Rows of the table of limits: how the value is written, and of which constants.
macro_rules! rows {
    ($( $written:ident: $( $name:ident )*; )*) => {
        vec![$( $( (stringify!($name), $written(rows!(@ $written $name))), )* )*]
    };
    (@ time $name:ident) => { limits::$name };
    (@ $written:ident $name:ident) => { i128::try_from(limits::$name).expect("it is small") };
}

#[test]
fn limits_has_every_limit_with_its_value() {
    let rows: Vec<(&str, String)> = rows! {
        bytes: TICKET_BYTES_MAX NAMED_BYTES_MAX FRAME_BYTES_MAX_DEFAULT FRAME_BYTES_MAX_LIMIT FRAME_BYTES_MAX_LEAST LENGTH_BYTES RUN_COUNT_BYTES RUN_MESSAGE_BYTES RUN_BYTES_MAX TEXT_BYTES_MAX TOPIC_BYTES_MAX
            ENDPOINT_BYTES_MAX READ_BYTES_PER_TURN SEND_BYTES_WORTHWHILE HELLO_BYTES_MAX UNFINISHED_BYTES_MAX FRAME_STEP_BYTES SLAB_BYTES SLAB_TAKEN_BYTES_MIN PARTIAL_BYTES_IN_SLAB LONG_BUFFER_BYTES_MIN LONG_BUFFERS_BYTES_MAX COPY_BELOW_BYTES EGRESS_BYTES_MAX_DEFAULT
            CONTROL_BYTES_MAX JOINED_ANSWERS_BYTES_MAX EGRESS_ITEM_BYTES GAP_BYTES_MAX NEWS_BYTES_AHEAD REGISTRY_BYTES_MAX REGISTRATION_BYTES_MAX ZMTP_COMMAND_BYTES_MAX
            ZMTP_IDENTITY_BYTES_MAX ZMTP_PING_CONTEXT_BYTES_MAX ZMTP_SKIPPED_BYTES_MAX ZMTP_UPSTREAM_BYTES_MAX FLUSH_BYTES_PER_VISIT SEALED_BYTES_PER_VISIT SEALING_ROOM_BYTES CURVE_KEY_FILE_BYTES_MAX ROUTE_CACHE_TOPIC_BYTES_MAX FRAME_BYTES_PER_SEC_MIN PUBLISH_BYTES_MAX CLIENT_QUEUE_BYTES_DEFAULT CLIENT_QUEUE_BYTES_FREED OVERLAP_BYTES_MAX
            EVENT_BYTES_PER_HANDOVER PUBLISH_BYTES_AHEAD HTTP_HEAD_BYTES_MAX HTTP_ANSWER_BYTES_MAX CENSUS_FILTER_BYTES_SHOWN_MAX WELCOME_BYTES_MAX PARCEL_BYTES_MAX PARCELS_AHEAD_BYTES_MAX
            USERS_FILE_BYTES_MAX CONFIG_FILE_BYTES_MAX TOKEN_BYTES_MAX USER_NAME_BYTES_MAX PASSWORD_BYTES_MAX PASSWORD_MEMORY_BYTES_MAX TLS_UNSENT_BYTES_MAX TLS_HANDSHAKE_BYTES_MAX TLS_HELLO_BYTES_MAX
            PEM_FILE_BYTES_MAX ENGINE_CLUSTER_BYTES_MAX ENGINE_CREDENTIALS_BYTES_MAX ENGINE_BUFFER_BYTES_DEFAULT
            CARRIER_WAITING_BYTES_MAX ENGINE_HEAD_BYTES ENGINE_CROSSING_BYTES_MAX ENGINE_WORD_BYTES_MAX ENGINE_WORDS_BYTES_MAX ENGINE_LANDED_BYTES_MAX ENGINE_HELD_BYTES_MAX ENGINE_ITEM_BYTES ENGINE_STORE_BYTES_MAX
            KEEP_BYTES_DEFAULT KEEP_BYTES_MIN KEPT_ITEM_BYTES KEPT_TOPIC_BYTES HISTORY_PAGE_BYTES POSITIONS_BYTES_MAX;
        count: CENSUS_SESSIONS_PER_TURN CENSUS_TOPICS_PER_TURN CENSUS_DETAILS_PER_TURN CENSUS_FILTERS_SHOWN_MAX CENSUS_ASKS_MAX EVENT_READERS_MAX SLOW_UNNAMED_MAX SLOW_USERS_MAX API_ROWS_DEFAULT API_ROWS_MAX
            STRANGERS_PER_HOST_MAX STRANGERS_MAX STRANGERS_HERE_MAX STRANGERS_OPEN_FILES_DIVISOR
            LOGIN_FAILURES_MAX LOGIN_FAILURES_HERE_MAX LOGIN_FAILURES_HOSTS_MAX
            TOPIC_LEVELS_MAX RUN_MESSAGES_MAX MESSAGES_PER_TURN_MAX EGRESS_FRAMES_MAX_DEFAULT GAP_TOPICS_MAX SEND_SLICES_MAX
            FLUSH_SESSIONS_PER_TURN LOW_WATER_DIVISOR SUBSCRIPTIONS_PER_SESSION_MAX GROUP_FILTERS_MAX
            WATCHES_PER_SESSION_MAX SESSIONS_PER_SHARD_MAX REFUSALS_PER_SHARD_MAX ROUTE_CACHE_MAX ROUTE_LOOK_TICKS
            ROUTE_CACHE_TARGETS_MAX FREE_WILDCARD_LEVELS WILDCARD_SHAPES_PER_SESSION_MAX WILDCARD_SHAPES_MAX TURN_STEPS_MAX LONG_BUFFERS_IDLE_TICKS LINK_ITEMS_MAX COMMANDS_MAX
            LINK_ITEMS_PER_TURN SHARDS_MAX RUN_DELAY_PERIODS STARVED_PERCENT STARVED_RUNS ROOM_WAIT_PERCENT ROOM_RUN_PERCENT MOVED_SESSIONS_MAX MOVED_FILTERS_MAX MOVE_LOOKS_PER_TICK
            LISTS_WAITING_MAX RENEWALS_PER_LEASE PUBLISHERS_MAX ENDPOINTS_PER_PUBLISHER_MAX
            TOPICS_PER_PUBLISHER_MAX GONE_PUBLISHERS_MAX LEAVERS_MAX PUBLISHERS_NAMED_MAX HEARD_PUBLISHERS_MAX MODE_RULES_MAX HEARTBEATS_MISSED_MAX HEARTBEATS_UNHEARD_MAX DIALS_MAX DIALS_PER_SEC DIALS_AGAIN_PER_SEC LOSSES_TOLD_MAX SWEEP_TICKS
            ACCEPTS_PER_TURN LISTEN_BACKLOG INHERITED_SOCKETS_MAX UNACKED_TOPICS_MAX CLIENT_QUEUE_FRAMES_DEFAULT PUBLISHES_PER_TURN
            EVENTS_PER_HANDOVER HANDOVERS_MAX PUBLISH_ITEMS_MAX ZMTP_COMMANDS_WITHIN_MAX RELAY_VISITS_MAX
            LOG_LINES_MAX OPEN_FILES_RESERVED_MAX HTTP_CONNECTIONS_MAX HTTP_HEADERS_MAX LOOK_UPS_MAX LOOK_UPS_SLOW_MAX LOOK_UPS_WAITING_MAX CONNECTION_EVENTS_MAX BROKERS_MAX OVERLAP_TOPICS_MAX CLIENT_QUEUE_FRAMES_FREED PASSWORD_PASSES_MAX PASSWORDS_WAITING_MAX PASSWORDS_WAITING_PER_HOST_MAX PASSWORDS_WAITING_HERE_MAX STRIKES_MAX REFUSED_TOPICS_MAX TICKETS_KEPT_MAX ENGINE_SERVERS_MAX ENGINE_INBOX_MAX ENGINE_COMMANDS_MAX
            ENGINE_SUBSCRIPTIONS_MAX ENGINE_EVENTS_MAX ENGINE_ROUNDS_PER_TURN ENGINE_LOOKS_PER_TURN CONTROL_TASKS_MAX ENGINE_TOPICS_MAX ENGINE_HEARD_MAX ENGINE_PEERS_MAX
            CARRIER_GIVEN_UP_TOPICS_MAX ENGINE_FILTERS_MAX ENGINE_OWN_FILTERS_MAX ENGINE_OWN_PATTERNS_MAX ENGINE_WATCHES_MAX ENGINE_FORGOTTEN_MAX ENGINE_PROBES_PER_TICK ENGINE_STORES_IN_FLIGHT_MAX ENGINE_LOAD_BATCH
            KEEP_RULES_MAX KEPT_LOOKS_PER_TICK FORGOTTEN_TOPICS_MAX HISTORY_PAGE_STEPS START_SUBSCRIPTIONS_MAX GIVEN_UP_PUBLISHERS_MAX POSITIONS_MAX;
        time: DRAIN_SPREAD_DEFAULT SEND_OFF_PERIOD SEND_OFF_AFTER SEND_OFF_PATIENCE EVENT_PERIOD EVENT_STALL_MAX SLOW_AFTER CENSUS_PERIOD CENSUS_KEPT CENSUS_ANSWER_MAX LOGIN_FAILURES_PERIOD LOGIN_DELAY
            RUN_DELAY_PERIOD BUSY_SPAN STARVED_FOR RETURN_AFTER RETURN_AFTER_MAX LEASE_DEFAULT LEASE_MIN CONTESTED_PATIENCE CONTESTED_PAUSE CONTESTED_PAUSE_MAX DIRECT_SETTLE HEARTBEAT_MIN HEARING_GAP_MAX ADDRESS_IN_USE_RETRY ADDRESS_IN_USE_RETRY_PAUSE
            HEARTBEAT_DEFAULT HANDSHAKE_DEADLINE FRAME_DEADLINE FRAME_STALL FRAME_STALL_CROWDED LINGER LAST_CALL_MAX DRAIN_DEFAULT ACCEPT_BACKOFF_MIN
            ACCEPT_BACKOFF_MAX CONNECT_TIMEOUT_DEFAULT RECONNECT_PAUSE_MIN RECONNECT_PAUSE_MAX OVERLAP_SETTLE OVERLAP_MAX OVERLAP_MEMORY DIAL_PAUSE_MAX CONNECT_ATTEMPT_DEFAULT
            ACK_PERIOD READ_AHEAD_MAX CLOSE_TIMEOUT_DEFAULT PUBLISH_TIMEOUT_DEFAULT DROP_LINGER ANSWER_GRACE ZMTP_KEEPALIVE RELAY_PAUSE
            STDERR_PATIENCE HTTP_CONVERSATION_MAX HTTP_REFUSAL_PAUSE QUOTA_RATE_BURST SHARD_SILENCE_MAX LOOK_UP_TIMEOUT LOOK_UP_SLOW LOSS_TOLD_AGAIN_AFTER INTERRUPTED_MAX SLOW_TOLD_AGAIN_AFTER CONTROL_END_MAX LOGIN_PAUSE STRIKES_PERIOD REFUSED_TOPIC_PAUSE WRONG_PASSWORD_PAUSE TICKET_LIFE TICKET_RENEWAL TICKET_GRACE TICKET_VOID_DELAY TICKET_CLOCK_SKEW STOP_MARGIN ENGINE_PING_PERIOD ENGINE_CONNECT_MAX ENGINE_ROUND_TRIP_MAX ENGINE_PAUSE_MIN ENGINE_PAUSE_MAX ENGINE_TICK
            ENGINE_GOODBYE_MAX ENGINE_BEAT ENGINE_SILENCE_MAX ENGINE_PEER_KEPT ENGINE_SETTLE ENGINE_RETURN_MAX ENGINE_PROBE_AFTER ENGINE_PROBE_MAX ENGINE_LOAD_MAX ENGINE_LOAD_LAG_MAX KEEP_AGE_DEFAULT;
    };
    let page = page("docs/LIMITS.md");
    for (name, value) in &rows {
        let row = format!("| `{name}` | {value} | ");
        assert!(page.contains(&row), "no row begins with {row}");
    }
    let parts = ["access", "balance", "client", "engine", "history", "nats", "operators", "tls"]
        .map(|part| format!("src/limits/{part}.rs"));
    let parts = parts.iter().map(String::as_str);
    let source: String = std::iter::once("src/limits.rs").chain(parts).map(self::page).collect();
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    for name in declared {
        assert!(rows.iter().any(|(row, _)| *row == name), "{name} is new: add it here and to the page");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let page = page("docs/DEPENDENCIES.md");
    for manifest in ["Cargo.toml", "executors/Cargo.toml", "bench/Cargo.toml"] {
        let text = self::page(manifest);
        let names = text.lines().filter_map(|line| line.strip_suffix(".workspace = true"));
        let crates = names.filter(|name| !name.starts_with("corecast"));
        let fields = ["version", "edition", "rust-version", "license", "publish"];
        for name in crates.filter(|name| !fields.contains(name)) {
            assert!(page.contains(&format!("`{name}`")), "{name} of {manifest} is missing");
        }
    }
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let readme = page("README.md");
    let examples = [
        ("rust", "examples/publisher.rs"),
        ("rust", "examples/subscriber.rs"),
        ("python", "examples/python/subscribe.py"),
    ];
    for (language, example) in examples {
        let block = format!("```{language}\n{}```\n", page(example));
        assert!(readme.contains(&block), "README.md does not show {example} as it is");
    }
}

const PAGES: [&str; 24] = [
    "README.md",
    "docs/API.md",
    "docs/ARCHITECTURE.md",
    "docs/CAPABILITIES.md",
    "docs/CLUSTER.md",
    "docs/CONFIG.md",
    "docs/DEPENDENCIES.md",
    "docs/EXPERIMENTS.md",
    "docs/LIMITS.md",
    "docs/METRICS.md",
    "docs/OPERATIONS.md",
    "docs/OPTIONS.md",
    "docs/PACKAGES.md",
    "docs/PERFORMANCE.md",
    "docs/PROTOCOL.md",
    "docs/PROTOCOL_FRAMES.md",
    "docs/REPORT.md",
    "docs/RESTART.md",
    "docs/SECURITY.md",
    "docs/TICKETS.md",
    "docs/TLS.md",
    "docs/TOPICS.md",
    "docs/TROUBLE.md",
    "docs/ZMTP.md",
];

#[test]
fn links_and_paths_lead_to_files() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for name in PAGES {
        let folder = root.join(name).parent().expect("it is in one").to_owned();
        let text = page(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let is_file = !target.contains("://") && !target.is_empty();
            assert!(!is_file || folder.join(target).exists(), "{name} links to {target}");
        }
        for path in
            text.split('`').filter(|word| word.contains('/') && !word.contains([' ', '\n', ':', '\'']))
        {
            let is_source = [".rs", ".py", ".sh"].iter().any(|end| path.ends_with(end));
            let exists = root.join(path).exists() || root.join("src").join(path).exists();
            assert!(!is_source || exists, "{name} names {path}");
        }
    }
}

#[test]
fn every_test_that_the_tables_of_faults_and_of_trouble_name_is_there() {
    let tables = page("docs/FAULTS.md") + &page("docs/TROUBLE.md");
    let rows = tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let named: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(3).expect("a column of tests").split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 80, "{named:?}");
    let sources = sources();
    for name in named {
        let is_there = match name.rsplit_once('.') {
            Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists(),
            None => sources.contains(&format!("fn {name}(")) || sources.contains(&format!("def {name}(")),
        };
        assert!(is_there, "{name}");
    }
}

/// Every source file in which a test may stand, one behind the other.
fn sources() -> String {
    let mut folders: Vec<PathBuf> = ["src", "tests", "executors", "bench"]
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .into();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of this repository") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
                text.push_str(&fs::read_to_string(path).expect("text"));
            }
        }
    }
    text
}
