//! Owns the page that Prometheus reads: one plain thread that answers one request at a time, in bounded time and
//! memory. `corecast broker --metrics` starts it; nothing in a shard knows of it.

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use corecast_executors::{pause, spawn_plain};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use socket2::SockRef;

use super::counters::{METRICS, MetricKind, PROCESS_METRICS, flush_process};
use super::log2::Log2Histogram;
use crate::error::{Error, ErrorKind, Result};

/// Longest request that is read, in bytes: what HTTP servers commonly allow for the head, ten times what
/// Prometheus sends.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Most header lines of a request; Prometheus sends seven.
const REQUEST_HEADERS_MAX: usize = 64;
/// How long a peer has to send its whole request, and again to take the whole answer. Others wait meanwhile, and
/// Prometheus gives up after 10 s.
const PEER_DEADLINE: Duration = Duration::from_secs(1);
/// How often the recorder is asked to fold what histograms have gathered, when nobody reads the page: without it
/// they grow without bound.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);
/// How long to leave the listener alone when it cannot accept: long enough not to burn a core when there are no
/// file descriptors left, short beside the 10 s of a scrape.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Makes the process's recorder, and serves `GET /metrics` and `GET /health` on `address` for as long as the
/// process lives. Returns the address with its real port.
///
/// # Errors
/// The address is taken (and which it is) or cannot be had; or this process has a recorder already.
pub fn serve(address: SocketAddr) -> Result<SocketAddr> {
    let (listener, address) = listen(address)?;
    let recorder = recorder()?;
    let page = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| {
        Error::new(ErrorKind::Invalid, format!("this process exports its metrics already: {e}"))
    })?;
    describe();
    start(listener, page)?;
    Ok(address)
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let context = || format!("cannot serve metrics on {address}");
    let listener = TcpListener::bind(address).map_err(|e| Error::io(context(), e))?;
    // On Linux the receive timeout of a listener is that of its accept, and so the beat of the upkeep.
    SockRef::from(&listener).set_read_timeout(Some(UPKEEP_PERIOD)).map_err(|e| Error::io(context(), e))?;
    let address = listener.local_addr().map_err(|e| Error::io(context(), e))?;
    Ok((listener, address))
}

fn recorder() -> Result<PrometheusRecorder> {
    let bounds: Vec<f64> = Log2Histogram::bounds().map(|bound| bound as f64).collect();
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), &bounds)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("the buckets of {}: {e}", metric.name)))?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for metric in METRICS.iter().chain(PROCESS_METRICS) {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

fn start(listener: TcpListener, page: PrometheusHandle) -> Result<()> {
    // Nobody joins it: it ends with the process.
    spawn_plain("metrics", move || accept_for_ever(&listener, &page))
        .map(drop)
        .map_err(|e| Error::io("cannot start the thread that serves metrics", e))
}

fn accept_for_ever(listener: &TcpListener, page: &PrometheusHandle) {
    let mut upkeep_at = Instant::now() + UPKEEP_PERIOD;
    loop {
        match listener.accept() {
            Ok((peer, _)) => {
                // A peer that goes away or is too slow is its own affair, and Prometheus tells of it.
                let _ = answer(&peer, page);
            }
            Err(e) if matches!(e.kind(), IoErrorKind::WouldBlock | IoErrorKind::Interrupted) => {}
            Err(e) => {
                tracing::warn!("cannot accept a reader of metrics: {e}");
                pause(ACCEPT_BACK_OFF);
            }
        }
        let now = Instant::now();
        if now >= upkeep_at {
            page.run_upkeep();
            upkeep_at = now + UPKEEP_PERIOD;
        }
    }
}

/// What a request was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Metrics,
    Health,
    UnknownPath,
    OtherMethod,
    TooLarge,
    Malformed,
}

fn answer(peer: &TcpStream, page: &PrometheusHandle) -> std::io::Result<()> {
    let asked = read_request(peer, Instant::now() + PEER_DEADLINE)?;
    let (status, body) = match asked {
        Asked::Metrics => {
            flush_process();
            ("200 OK", page.render())
        }
        Asked::Health => ("200 OK", "ok\n".to_owned()),
        Asked::UnknownPath => ("404 Not Found", "there is /metrics and /health\n".to_owned()),
        Asked::OtherMethod => ("405 Method Not Allowed", "only GET\n".to_owned()),
        Asked::TooLarge => {
            ("431 Request Header Fields Too Large", format!("over {REQUEST_BYTES_MAX} bytes\n"))
        }
        Asked::Malformed => ("400 Bad Request", "this is HTTP\n".to_owned()),
    };
    let allow = if asked == Asked::OtherMethod { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    let deadline = Instant::now() + PEER_DEADLINE;
    write_all(peer, head.as_bytes(), deadline)?;
    write_all(peer, body.as_bytes(), deadline)?;
    peer.shutdown(Shutdown::Write)?;
    // Closing with unread input would reset the connection under the answer.
    let mut rest = [0; 1024];
    while read_some(peer, &mut rest, deadline)? > 0 {}
    Ok(())
}

/// Reads until the head of a request is whole; an error means that there is nobody to answer.
fn read_request(peer: &TcpStream, deadline: Instant) -> std::io::Result<Asked> {
    let mut bytes = [0; REQUEST_BYTES_MAX];
    let mut filled = 0;
    while filled < bytes.len() {
        let n = read_some(peer, &mut bytes[filled..], deadline)?;
        if n == 0 {
            return Err(IoErrorKind::UnexpectedEof.into());
        }
        filled += n;
        if let Some(asked) = parse(&bytes[..filled]) {
            return Ok(asked);
        }
    }
    Ok(Asked::TooLarge)
}

/// `None` when more bytes are needed.
fn parse(bytes: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Asked::TooLarge),
        Err(_) => return Some(Asked::Malformed),
    }
    if request.method != Some("GET") {
        return Some(Asked::OtherMethod);
    }
    let target = request.path.unwrap_or_default();
    Some(match target.split('?').next() {
        Some("/metrics") => Asked::Metrics,
        Some("/health") => Asked::Health,
        _ => Asked::UnknownPath,
    })
}

/// The time left, or the error that there is none: a timeout of zero would mean to wait for ever.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(IoErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn read_some(mut peer: &TcpStream, bytes: &mut [u8], deadline: Instant) -> std::io::Result<usize> {
    loop {
        peer.set_read_timeout(Some(left(deadline)?))?;
        match peer.read(bytes) {
            Err(e) if e.kind() == IoErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn write_all(mut peer: &TcpStream, mut bytes: &[u8], deadline: Instant) -> std::io::Result<()> {
    while !bytes.is_empty() {
        peer.set_write_timeout(Some(left(deadline)?))?;
        match peer.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == IoErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of its own, on a port of its own, with one counter on its page.
    fn server() -> SocketAddr {
        let (listener, address) = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let recorder = recorder().expect("a recorder");
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!("corecast_frames_in_total", "shard" => "0").increment(5);
            metrics::histogram!("corecast_turn_us", "shard" => "0").record_many(3.0, 2);
        });
        start(listener, recorder.handle()).expect("a thread");
        address
    }

    fn exchange(server: SocketAddr, request: &[u8]) -> String {
        let mut peer = TcpStream::connect(server).expect("it listens");
        peer.set_read_timeout(Some(Duration::from_secs(30))).expect("a watchdog");
        peer.write_all(request).expect("room in the socket");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an answer, and its end");
        answer
    }

    #[test]
    fn the_page_and_the_health() {
        let server = server();
        let page = exchange(server, b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("# HELP corecast_frames_in_total Whole frames received."), "{page}");
        assert!(page.contains("corecast_frames_in_total{shard=\"0\"} 5\n"), "{page}");
        assert!(page.contains("corecast_turn_us_bucket{shard=\"0\",le=\"2\"} 0\n"), "{page}");
        assert!(page.contains("corecast_turn_us_bucket{shard=\"0\",le=\"4\"} 2\n"), "{page}");
        assert!(exchange(server, b"GET /health HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    }

    #[test]
    fn what_else_is_asked_is_refused() {
        let server = server();
        assert!(exchange(server, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(exchange(server, b"POST /metrics HTTP/1.1\r\n\r\n").contains("405 Method Not Allowed\r\n"));
        assert!(exchange(server, b"\x16\x03\x01 TLS\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let mut long = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        long.resize(REQUEST_BYTES_MAX + 100, b'x');
        assert!(exchange(server, &long).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn a_silent_peer_does_not_hold_the_next_for_long() {
        let server = server();
        let silent = TcpStream::connect(server).expect("it listens");
        assert!(exchange(server, b"GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        drop(silent);
    }

    #[test]
    fn a_taken_address_is_named() {
        let taken = server();
        let error = serve(taken).expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
}
