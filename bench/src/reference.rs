//! Owns the figures that the ancestor of this project published, for reports to set beside those measured here. Read from
//! a file that names its source; the hardware was another.

/// The file, which is a part of this one.
const ZMQMW: &str = include_str!("../reference/zmqmw_aws_latency.csv");

/// The quartiles of one mode and count, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReferenceRow {
    /// `proxy` or `direct`.
    pub mode: &'static str,
    /// Number of subscribers.
    pub subscribers: u64,
    /// A quarter are at most this.
    pub q1_us: f64,
    /// Half are at most this.
    pub median_us: f64,
    /// Three quarters are at most this.
    pub q3_us: f64,
    /// The greatest.
    pub max_us: f64,
    /// The standard deviation.
    pub stddev_us: f64,
}

/// Figures that somebody published, with how they were measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Reference {
    /// The source of the figures, and how they were measured.
    pub source: String,
    /// The rows in the order of the file.
    pub rows: Vec<ReferenceRow>,
}

/// The figures that zmqmw published: pyzmq, 1 publisher, 4 messages a second, on three hosts of a cloud.
pub fn zmqmw() -> Reference {
    let comments = ZMQMW.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim);
    let source = comments.collect::<Vec<_>>().join(" ");
    let rows = ZMQMW.lines().filter(|line| !line.starts_with('#')).skip(1);
    let rows = rows.map(|line| row(line).expect("the file is a part of this crate, and a test reads it"));
    Reference { source, rows: rows.collect() }
}

/// Reads a row: `mode,subscribers,q1_s,median_s,q3_s,q4_s,stddev_s`.
fn row(line: &'static str) -> Option<ReferenceRow> {
    let mut fields = line.split(',');
    let (mode, subscribers) = (fields.next()?, fields.next()?.parse().ok()?);
    // To a microsecond, as in the file: seconds times a million is not that exactly.
    let mut us = || Some((fields.next()?.parse::<f64>().ok()? * 1e6).round());
    Some(ReferenceRow {
        mode,
        subscribers,
        q1_us: us()?,
        median_us: us()?,
        q3_us: us()?,
        max_us: us()?,
        stddev_us: us()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_figures_are_read() {
        let reference = zmqmw();
        assert!(reference.source.contains("zmqmw project"), "{}", reference.source);
        assert_eq!(reference.rows.len(), 18);
        let of = |mode: &str, subscribers: u64| {
            *reference.rows.iter().find(|row| row.mode == mode && row.subscribers == subscribers).unwrap()
        };
        assert_eq!((of("direct", 2).median_us, of("direct", 2).max_us), (223.0, 9_202.0));
        assert_eq!((of("proxy", 512).median_us, of("proxy", 512).stddev_us), (29_886.0, 2_637.0));
        assert!(reference.rows.iter().all(|row| row.q1_us <= row.median_us && row.q3_us <= row.max_us));
    }
}
