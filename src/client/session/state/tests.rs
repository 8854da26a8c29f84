//! Tests of the login and of the silence of a session.

use corecast_executors::TICK;

use super::*;

#[test]
fn a_token_is_for_a_broker_that_takes_tokens() {
    let config = ClientConfig::new(crate::Endpoint::default());
    for (features, is_sent) in [(Features::OURS, true), (Features::RUNS, false)] {
        let mut state = State::new(MonotonicNs(1));
        state.on_connected(&config, Some(Secret::new(b"sesame")), MonotonicNs(1));
        let first = state.out.unsent().len();
        assert_eq!(first, crate::wire::greeting::GREETING_BYTES, "nothing but the greeting");
        state.out.sent(first);
        state.on_greeted(&config, features);
        let said = Bytes::copy_from_slice(state.out.unsent());
        let frames: Vec<Frame<'_>> = crate::wire::splitter::frames(&said).map(|(_, frame)| frame).collect();
        let has_login = matches!(frames[..], [Frame::Login { token: b"sesame" }, Frame::Hello { .. }]);
        assert_eq!((has_login, state.overstep.is_some()), (is_sent, !is_sent), "{frames:?}");
        state.out.sent(said.len());
    }
}

#[test]
fn a_client_that_was_stopped_blames_nobody_for_its_own_silence() {
    let mut now = MonotonicNs(1);
    let mut state = State::new(now);
    state.on_connected(&ClientConfig::new(crate::Endpoint::default()), None, now);
    let heartbeat_ms = 1_000;
    state.on_control(Frame::Welcome {
        session: 1,
        epoch: 1,
        frame_bytes_max: 1 << 20,
        heartbeat_ms,
        overflow: 1,
        ticket: 0,
    });
    for _ in 0..10 {
        now = now + Duration::from_secs(60);
        assert!(!state.on_tick(now, true), "it could hear nobody");
    }
    let mut is_silent = false;
    let until = now + Duration::from_secs(3);
    while !is_silent {
        now = now + TICK;
        is_silent = state.on_tick(now, true);
        assert!(now < until + Duration::from_secs(1));
    }
    assert!(now + Duration::from_secs(2) > until, "the time in which it turned counts");
}
