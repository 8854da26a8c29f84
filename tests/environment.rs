//! Options from the environment: each variable sets one option, an empty one counts as unset, and errors name it.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::process::Stdio;

use broker_process::{BrokerProcess, Transport, corecast};
use running::{run, said, subscribed, succeeded, text};

fn broker() -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &["--shards", "2"])
}

#[test]
fn every_option_is_an_environment_variable() {
    let _watchdog = watchdog::watch("every_option_is_an_environment_variable");
    let broker = broker();
    // One environment for both: what is meant for one of them says nothing to the other.
    let with_variables = |args: &[&str]| {
        let mut command = corecast();
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .env("CORECAST_BROKER", broker.endpoint())
            .env("CORECAST_SUB_COUNT", "3")
            .env("CORECAST_SUB_OUTPUT", "raw")
            .env("CORECAST_SUB_TIMEOUT", "")
            .env("CORECAST_PUB_SIZE", "3")
            .env("CORECAST_PUB_COUNT", "3");
        command
    };
    let sub = subscribed(&broker, 1, &mut with_variables(&["sub", "t"]));
    succeeded(&with_variables(&["pub", "t"]).output().expect("it runs"));
    assert_eq!(text(&sub.output().stdout), "001002003");
    // What is typed comes before what is in the environment.
    let mut late = with_variables(&["sub", "t", "--timeout", "10ms"]);
    said(&late.env("CORECAST_SUB_TIMEOUT", "1h").output().expect("it runs"), 27);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let _watchdog = watchdog::watch("an_empty_variable_counts_as_unset");
    let names = run(&["broker", "--help"]);
    let options =
        text(&names.stdout).split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let options: Vec<&str> = options.collect();
    assert!(options.len() > 15 && options.contains(&"CORECAST_BROKER_LISTEN"), "{options:?}");
    for help in ["pub", "sub", "registry", "doctor"] {
        let output = run(&[help, "--help"]);
        let variables =
            text(&output.stdout).split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        let mut command = corecast();
        command.args([help, "--version"]).envs(variables.map(|name| (name, "")));
        assert_eq!(said(&command.output().expect("it runs"), 0), "");
    }
    let mut command = corecast();
    command.args(["broker", "--listen", "tcp://127.0.0.1:0", "--egress-bytes", "1KiB"]);
    let output = command.envs(options.into_iter().map(|name| (name, ""))).output().expect("it runs");
    let said = said(&output, 2);
    assert!(said.contains("--egress-bytes") && !said.contains("environment"), "{said}");
}

#[test]
fn an_error_names_the_variable_that_it_came_from() {
    let _watchdog = watchdog::watch("an_error_names_the_variable_that_it_came_from");
    let wrong = |args: &[&str], variables: &[(&str, &str)], code: i32| {
        let output = corecast().args(args).envs(variables.iter().copied()).output().expect("it runs");
        said(&output, code)
    };
    let cases: &[(&[&str], (&str, &str), &str)] = &[
        (&["sub", "t"], ("CORECAST_SUB_COUNT", "many"), "--count"),
        (&["sub", "t"], ("CORECAST_SUB_OUTPUT", "xml"), "--output"),
        (&["pub", "t", "x"], ("CORECAST_PUB_LINES", "-"), "--lines"),
        (&["broker"], ("CORECAST_BROKER_LISTEN", "tcp://h"), "--listen"),
        (&["registry"], ("CORECAST_REGISTRY_WATCH", "perhaps"), "--watch"),
        (&["registry"], ("CORECAST_LOG_LEVEL", "loud"), "--log-level"),
        (&["sessions"], ("CORECAST_METRICS", "h"), "--metrics"),
        (&["history", "list", "--metrics", "h:1"], ("CORECAST_HISTORY_LIMIT", "0"), "--limit"),
    ];
    for (args, (variable, value), option) in cases {
        let said = wrong(args, &[(variable, value)], 2);
        let blamed = format!("{option} is set by the environment variable {variable}");
        assert!(said.contains(&blamed), "{said}");
    }
    // Those that the library refuses: the source of the value stands in front of what is wrong with it.
    let free: &[&str] = &["broker", "--listen", "tcp://127.0.0.1:0"];
    let cases: &[(&[&str], (&str, &str), &str)] = &[
        (free, ("CORECAST_BROKER_EGRESS_BYTES", "1KiB"), "1024 is too little"),
        (free, ("CORECAST_BROKER_EGRESS_FRAMES", "7"), "7 is too little"),
        (free, ("CORECAST_BROKER_SHARDS", "0"), "0 is not a number from 1 to"),
        (free, ("CORECAST_BROKER_HEARTBEAT", "1ms"), "1ms is too short; at least 100ms"),
        (free, ("CORECAST_BROKER_CORES", "100000"), "CPU 100000 is not among the CPUs"),
        (
            &["pub", "t", "--count", "1"],
            ("CORECAST_PUB_SIZE", "5GB"),
            "5000000000 is more than any broker takes",
        ),
    ];
    for (args, (variable, value), wrong_is) in cases {
        let said = wrong(args, &[(variable, value)], 2);
        assert!(said.contains(&format!("error: {variable}: {wrong_is}")), "{said}");
        assert!(!said.contains("open files"), "{said}");
    }
    // A broker that nobody could reach is wrong usage, whatever the command.
    for args in [&["sub", "t"][..], &["pub", "t", "x"], &["registry"]] {
        let said = wrong(args, &[("CORECAST_BROKER", "localhost:0")], 2);
        assert!(said.contains("error: CORECAST_BROKER: tcp://localhost:0 has the port 0"), "{said}");
        assert!(!said.contains("start one"), "{said}");
    }
    // The command line and the default are sources, too.
    let said = wrong(&[free, &["--lease", "1ms"]].concat(), &[], 2);
    assert!(said.contains("error: --lease: 1ms is too short"), "{said}");
    let said = wrong(&[free, &["--frame-bytes-max", "200MiB"]].concat(), &[], 2);
    assert!(said.contains("error: the default of --egress-bytes: 16777216 is too little"), "{said}");
    // Only what is to blame is named, and nothing where the command line is.
    let said = wrong(&["sub", "t"], &[("CORECAST_SUB_COUNT", "many"), ("CORECAST_BROKER", "tcp://h:1")], 2);
    assert!(said.contains("CORECAST_SUB_COUNT") && !said.contains("CORECAST_BROKER"), "{said}");
    let said = wrong(&["sub", "t", "--count", "many"], &[("CORECAST_SUB_COUNT", "3")], 2);
    assert!(!said.contains("environment"), "{said}");
    // Nobody answers there, which is not wrong usage.
    let nobody = format!("uds://{}/none.sock", tempfile::tempdir().expect("a directory").path().display());
    let said = wrong(&["sub", "t", "--timeout", "100ms"], &[("CORECAST_BROKER", &nobody)], 27);
    assert!(said.contains("this one is set by the environment variable CORECAST_BROKER"), "{said}");
}

#[test]
fn a_value_with_a_minus_is_a_value_that_is_wrong() {
    let _watchdog = watchdog::watch("a_value_with_a_minus_is_a_value_that_is_wrong");
    let cases: &[(&[&str], &str, &str)] = &[
        (&["broker", "--egress-bytes", "-5"], "--egress-bytes <BYTES>", "whole number of bytes"),
        (&["broker", "--egress-bytes", "-5MiB"], "--egress-bytes <BYTES>", "whole number of bytes"),
        (&["broker", "--drain-timeout", "-1"], "--drain-timeout <SECS>", "write seconds"),
        (&["broker", "--drain-timeout", "-1s"], "--drain-timeout <SECS>", "write seconds"),
        (&["broker", "--shards", "-1"], "--shards <N>", "whole number"),
        (&["broker", "--cores", "-1"], "--cores <SET>", "physical"),
        (&["sub", "t", "--count", "-1"], "--count <N>", "-1"),
        (&["pub", "t", "x", "--wait-subscribers", "-1"], "--wait-subscribers <N>", "whole number"),
        (&["doctor", "--jitter", "-1"], "--jitter <SECS>", "write seconds"),
    ];
    for (args, option, allowed) in cases {
        let output = corecast().args(*args).output().expect("it runs");
        let said = said(&output, 2);
        let value = args.last().expect("a value");
        assert!(
            said.contains(&format!("invalid value '{value}' for '{option}': ")) && said.contains(allowed),
            "{said}"
        );
    }
}

#[test]
fn a_variable_is_blamed_once_and_only_for_its_own_option() {
    let _watchdog = watchdog::watch("a_variable_is_blamed_once_and_only_for_its_own_option");
    let with_broker = |broker: &str, args: &[&str]| {
        let output = corecast().args(args).env("CORECAST_BROKER", broker).output().expect("it runs");
        said(&output, 2).matches("CORECAST_BROKER").count()
    };
    assert_eq!(with_broker("tcp://h:1", &["sub"]), 0, "a filter is missing");
    assert_eq!(with_broker("nowhere", &["sub", "t"]), 1);
}
