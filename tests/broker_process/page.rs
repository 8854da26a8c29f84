//! The counters of a broker, from its page for Prometheus.

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Name, labels as they are written, value.
    lines: Vec<(String, String, f64)>,
    text: String,
}

impl Page {
    pub(crate) fn parse(body: &str) -> Self {
        let lines = body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name.to_owned(), labels.to_owned(), value.parse().expect("a number"))
        });
        Page { lines: lines.collect(), text: body.to_owned() }
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The sum over all shards and labels.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.sum_where(name, "")
    }

    /// The sum over all shards for this reason.
    pub(crate) fn reason(&self, name: &str, reason: &str) -> u64 {
        self.sum_where(name, &format!("reason=\"{reason}\""))
    }

    /// Sessions ended for this reason.
    pub(crate) fn closes(&self, reason: &str) -> u64 {
        self.reason("corecast_closes_total", reason)
    }

    /// True if there is a metric of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|(there, ..)| there == name)
    }

    fn sum_where(&self, name: &str, label: &str) -> u64 {
        let found = self.lines.iter().filter(|(there, labels, _)| there == name && labels.contains(label));
        let sum: f64 = found.map(|(.., value)| value).sum();
        // Counters are whole numbers far below 2^53.
        sum as u64
    }
}
