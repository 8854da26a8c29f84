//! The executor that all clients of a process share: the cause of a failed start may pass. One test, since it takes all
//! descriptors of its process.

use corecast::{ErrorKind, Publisher};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[test]
fn a_start_that_failed_for_want_of_descriptors_is_tried_again() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("tcp://{}", nowhere.local_addr().expect("a port"));
    drop(nowhere);
    let config = corecast::ClientConfig::new(endpoint.parse().expect("an endpoint"))
        .connect_timeout(std::time::Duration::from_millis(50));
    let connect = || Publisher::with_config(config.clone()).expect_err("no broker is there").kind();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is one");
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("less is always allowed");
    assert_eq!([connect(), connect()], [ErrorKind::Executor; 2]);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("what it was");
    assert_eq!(connect(), ErrorKind::Unreachable);
}
