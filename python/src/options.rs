//! Keyword arguments that become the configuration of a client.

use std::path::PathBuf;
use std::time::Duration;

use corecast::{
    Brokers, ClientConfig, ConnectConfig, CoreSet, DirectConfig, Endpoint, Filter, Fingerprint,
    OverflowPolicy, Reactor, Sessions, Start, TlsClientFiles, Token,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::errors::{exception, invalid, invalid_text};

/// The environment variable of the command for a token.
const TOKEN_VARIABLE: &str = "CORECAST_TOKEN";

/// The configuration that a broker's address, or several with commas between them, and keyword arguments make.
///
/// # Errors
/// `TypeError` for an argument that there is not, or of another type; `InvalidError` for a value.
pub(crate) fn client_config(broker: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<ClientConfig> {
    let mut config = ClientConfig::default().broker(parsed::<Brokers>(broker)?);
    let mut tls = TlsClientFiles::default();
    let mut direct = DirectConfig::default();
    for (key, value) in options.into_iter().flatten() {
        let key: String = key.extract()?;
        // None stands for the default, so that callers can pass on what they were given.
        if value.is_none() {
            continue;
        }
        match key.as_str() {
            "ca" => tls = tls.ca(Some(path(&key, &value)?)),
            "cert" => tls = tls.cert(Some(path(&key, &value)?)),
            "key" => tls = tls.key(Some(path(&key, &value)?)),
            "pin" => tls = tls.pin(Some(parsed::<Fingerprint>(&text(&key, &value)?)?)),
            _ if key.starts_with("direct_") => direct = direct_option(direct, &key, &value)?,
            _ => config = client_option(config, &key, &value)?,
        }
    }
    if config.token.is_none() {
        config = config.token(Token::from_env(TOKEN_VARIABLE).map_err(exception)?);
    }
    let connect = ConnectConfig::default().tls(tls.read().map_err(exception)?);
    Ok(config.connect(connect).direct(direct))
}

fn client_option(config: ClientConfig, key: &str, value: &Bound<'_, PyAny>) -> PyResult<ClientConfig> {
    Ok(match key {
        "name" => config.name(text(key, value)?),
        "token" => config.token(Some(Token::new(&text(key, value)?).map_err(exception)?)),
        "token_file" => config.token(Some(Token::file(path(key, value)?))),
        "sessions" => config.sessions(parsed::<Sessions>(&text(key, value)?)?),
        "overflow" => config.overflow(Some(parsed::<OverflowPolicy>(&text(key, value)?)?)),
        "reactor" => {
            let reactor = text(key, value)?.parse::<Reactor>();
            config.reactor(reactor.map_err(|e| invalid_text(&format!("{key}: {e}")))?)
        }
        "start" => config.start(start(value)?),
        "resume" => config.resume(typed(key, value, "a bool")?),
        "queue_frames" => config.queue_frames(typed(key, value, "a number")?),
        "queue_bytes" => config.queue_bytes(typed(key, value, "a number")?),
        "connect_timeout" => config.connect_timeout(seconds(typed(key, value, "seconds")?)?),
        "publish_timeout" => config.publish_timeout(seconds(typed(key, value, "seconds")?)?),
        _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{key}'"))),
    })
}

fn direct_option(direct: DirectConfig, key: &str, value: &Bound<'_, PyAny>) -> PyResult<DirectConfig> {
    Ok(match key {
        "direct_cores" => {
            let cores: CoreSet =
                text(key, value)?.parse().map_err(|e| invalid_text(&format!("{key}: {e}")))?;
            direct.cores(Some(cores))
        }
        "direct_listen" => direct.listen(Some(parsed::<Endpoint>(&text(key, value)?)?)),
        "direct_advertise" => direct.advertise(Some(parsed::<Endpoint>(&text(key, value)?)?)),
        "direct_zmtp" => direct.zmtp(vec![parsed::<Endpoint>(&text(key, value)?)?]),
        "direct_overflow" => direct.overflow(Some(parsed::<OverflowPolicy>(&text(key, value)?)?)),
        _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{key}'"))),
    })
}

/// The place where a subscriber starts: a word, a number of messages, or a time in seconds.
fn start(value: &Bound<'_, PyAny>) -> PyResult<Start> {
    let wrong = "start is \"live\", \"last\", \"all\", a whole number of messages, or a time: a float in seconds or a timedelta";
    if value.is_instance_of::<PyBool>() {
        return Err(invalid_text(wrong));
    }
    if let Ok(word) = value.cast::<PyString>() {
        return match &*word.to_cow()? {
            "live" => Ok(Start::Live),
            "last" => Ok(Start::Last),
            "all" => Ok(Start::All),
            _ => Err(invalid_text(wrong)),
        };
    }
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<u64>() {
            Ok(count) if count > 0 => Ok(Start::Count(count)),
            _ => Err(invalid_text("start, as a number of messages, is 1 or more")),
        };
    }
    if let Ok(time) = value.extract::<f64>() {
        return seconds(time).map(Start::Since);
    }
    value.extract::<Duration>().map(Start::Since).map_err(|_| invalid_text(wrong))
}

/// The filters of a subscriber: text with wildcards, or bytes with which topics begin.
///
/// # Errors
/// `TypeError`, `InvalidError`.
pub(crate) fn filters(given: &Bound<'_, PyTuple>) -> PyResult<Vec<Filter>> {
    let filter = |given: Bound<'_, PyAny>| {
        if let Ok(text) = given.cast::<PyString>() {
            return Filter::parse(&text.to_cow()?).map_err(invalid);
        }
        if let Ok(prefix) = given.cast::<PyBytes>() {
            return Filter::prefix(prefix.as_bytes()).map_err(invalid);
        }
        Err(PyTypeError::new_err("a filter is a str such as 'prices.>', or bytes with which topics begin"))
    };
    given.iter().map(filter).collect()
}

/// A time in seconds, for how long something may take.
///
/// # Errors
/// `ValueError` for one that is negative, or no number.
pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    if seconds == f64::INFINITY {
        return Ok(Duration::MAX);
    }
    let text = "a time is a number of seconds, 0 or more";
    Duration::try_from_secs_f64(seconds).map_err(|_| PyValueError::new_err(text))
}

fn parsed<T: std::str::FromStr>(text: &str) -> PyResult<T>
where
    corecast::Error: From<T::Err>,
{
    text.parse().map_err(invalid)
}

fn text(key: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    typed(key, value, "a str")
}

fn path(key: &str, value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    typed(key, value, "a path")
}

fn typed<'py, T: for<'a> FromPyObject<'a, 'py>>(
    key: &str,
    value: &Bound<'py, PyAny>,
    wanted: &str,
) -> PyResult<T> {
    value.extract().map_err(|_| PyTypeError::new_err(format!("{key} is {wanted}")))
}
