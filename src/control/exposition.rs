//! The choice between the formats of the page of metrics, by what a reader accepts. Pure.

use hyper::header::{ACCEPT, HeaderMap};

use crate::telemetry::MetricsFormat;

/// The format that a request asks for: OpenMetrics if its reader names that and likes nothing better, else the text format, which
/// everybody can read.
pub(super) fn format_for(headers: &HeaderMap) -> MetricsFormat {
    let (mut open, mut text) = (0, None);
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')).map(Range::read) {
        match range.media_type.as_str() {
            "application/openmetrics-text" if matches!(range.version, None | Some("1.0.0")) => {
                open = open.max(range.quality);
            }
            "text/plain" if matches!(range.version, None | Some("0.0.4")) => {
                text = text.max(Some((3, range.quality)));
            }
            "text/*" => text = text.max(Some((2, range.quality))),
            "*/*" => text = text.max(Some((1, range.quality))),
            _ => {}
        }
    }
    // The most specific range that has it counts.
    let text = text.map_or(0, |(_, quality)| quality);
    if open > 0 && open >= text { MetricsFormat::OpenMetrics } else { MetricsFormat::Text }
}

/// One range of media types with its parameters, see RFC 9110, 12.5.1.
struct Range<'a> {
    /// In lower case.
    media_type: String,
    version: Option<&'a str>,
    /// From 0, not at all, to 1,000.
    quality: u16,
}

impl<'a> Range<'a> {
    /// Reads a range; one whose quality is no number is not acceptable.
    fn read(text: &'a str) -> Range<'a> {
        let mut parts = text.split(';');
        let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut range = Range { media_type, version: None, quality: QUALITY_MAX };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = Some(value),
                "q" => range.quality = quality(value),
                _ => {}
            }
        }
        range
    }
}

/// The quality of a range for which none is given, in thousandths.
const QUALITY_MAX: u16 = 1_000;

fn quality(text: &str) -> u16 {
    let of_one: Option<f32> = text.parse().ok().filter(|quality| (0.0..=1.0).contains(quality));
    of_one.map_or(0, |quality| (quality * f32::from(QUALITY_MAX)) as u16)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> MetricsFormat {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_str(value).expect("a header"));
        }
        format_for(&headers)
    }

    #[test]
    fn whoever_names_open_metrics_gets_it() {
        for accept in [
            // Prometheus 2.42 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "text/plain, application/openmetrics-text",
            // The most specific range counts for the text format.
            "*/*, text/plain;q=0.2, application/openmetrics-text;q=0.5",
        ] {
            assert_eq!(of(&[accept]), MetricsFormat::OpenMetrics, "{accept}");
        }
        assert_eq!(of(&["text/plain;q=0.5", "application/openmetrics-text"]), MetricsFormat::OpenMetrics);
    }

    #[test]
    fn all_others_get_text() {
        assert_eq!(of(&[]), MetricsFormat::Text);
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0, */*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;q=NaN",
            "application/openmetrics-text;q=0.5, text/plain",
            "application/openmetrics-text;q=0.5, text/*;q=0.6",
            "application/*",
            "application/json",
            ";;==,,q=1",
        ] {
            assert_eq!(of(&[accept]), MetricsFormat::Text, "{accept}");
        }
    }
}
