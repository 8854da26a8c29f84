//! Real ZeroMQ sockets (pyzmq, with the libzmq that it brings) against the real command: each test runs one case of
//! `tests/python/zmtp.py`, in the virtual environment that `scripts/python-env.sh` makes.

use std::process::Command;

/// Far more than a case takes on a busy machine.
const LIMIT_S: &str = "120";

fn run(case: &str) {
    let root = env!("CARGO_MANIFEST_DIR");
    let env = Command::new(format!("{root}/scripts/python-env.sh")).output().expect("the script is there");
    assert!(env.status.success(), "no pyzmq: {}", String::from_utf8_lossy(&env.stderr));
    let python = String::from_utf8(env.stdout).expect("a path");
    let done = Command::new("timeout")
        .args([LIMIT_S, python.trim(), &format!("{root}/tests/python/zmtp.py"), case])
        .env("CORECAST_BIN", env!("CARGO_BIN_EXE_corecast"))
        .output()
        .expect("coreutils has timeout");
    assert!(done.status.success(), "{case}: {}", String::from_utf8_lossy(&done.stderr));
}

macro_rules! cases {
    ($($case:ident)*) => { $( #[test] fn $case() { run(stringify!($case)); } )* };
}

cases! {
    pub_sub xpub_xsub multipart many_subscriptions churn chained reconnect heartbeat slow_reader rare_reader
    busy_publisher conflate limit many_sockets
    with_asyncio ipc native direct direct_door direct_again as_libzmq slow mute notifier examples
    restart_while_connecting killed_under_many_prefixes killed_subscribers last_value_cache jeromq
    curve curve_keys_of_libzmq curve_wrong curve_again passwords curve_users curve_set_up
}
