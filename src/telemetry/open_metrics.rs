//! Makes OpenMetrics 1.0 of the page in the text format of Prometheus 0.0.4, which is all that the exporter writes. Pure: text in, text
//! out (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use super::counters::BUILD_INFO;

/// Units that names of metrics end with, by the convention that each name has its base unit.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

/// The ending that samples of counters have, and their families lack.
const COUNTER_ENDING: &str = "_total";

/// The same for samples that say what runs.
const INFO_ENDING: &str = "_info";

/// The same figures in OpenMetrics. Samples stay as they are; what stands above them says more: names of families, units, the end.
pub(super) fn open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len() + page.len() / 8);
    let mut help = None;
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(of_family) = line.strip_prefix("# HELP ") {
            help = of_family.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|of_family| of_family.split_once(' '))
        {
            let help = help.take().filter(|(of, _)| *of == name).map(|(_, help)| help);
            begin_family(&mut text, name, kind, help);
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str("# EOF\n");
    text
}

/// Writes what stands above the samples of a family.
fn begin_family(text: &mut String, name: &str, kind: &str, help: Option<&str>) {
    let (family, kind) = match kind {
        "counter" => match name.strip_suffix(COUNTER_ENDING) {
            Some(family) => (family, kind),
            // Of a program around the broker: samples of a counter have to end so.
            None => (name, "unknown"),
        },
        _ if name == BUILD_INFO.name => (name.strip_suffix(INFO_ENDING).unwrap_or(name), "info"),
        _ => (name, kind),
    };
    let of_unit = |unit: &&&str| family.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'));
    let lines = [
        Some(("TYPE", kind.to_owned())),
        UNITS.iter().find(of_unit).map(|unit| ("UNIT", (*unit).to_owned())),
        // Line breaks and backslashes are escaped already.
        help.map(|help| ("HELP", help.replace('"', "\\\""))),
    ];
    for (word, value) in lines.into_iter().flatten() {
        text.push_str(&format!("# {word} {family} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_other_names_than_counters_and_all_has_an_end() {
        let page = "\
# HELP corecast_frames_in_total Whole \"frames\" received.
# TYPE corecast_frames_in_total counter
corecast_frames_in_total{shard=\"0\"} 5

# TYPE requests counter
requests 1

# HELP corecast_build_info Always 1.
# TYPE corecast_build_info gauge
corecast_build_info{version=\"0.1.0\"} 1

# HELP other_seconds Of another family.
# TYPE corecast_busy_ratio gauge
corecast_busy_ratio{shard=\"0\"} 0.25

# TYPE corecast_turn_seconds histogram
corecast_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2
corecast_turn_seconds_sum{shard=\"0\"} 0.000006
corecast_turn_seconds_count{shard=\"0\"} 2

# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 0.5
";
        let wanted = "\
# TYPE corecast_frames_in counter
# HELP corecast_frames_in Whole \\\"frames\\\" received.
corecast_frames_in_total{shard=\"0\"} 5
# TYPE requests unknown
requests 1
# TYPE corecast_build info
# HELP corecast_build Always 1.
corecast_build_info{version=\"0.1.0\"} 1
# TYPE corecast_busy_ratio gauge
# UNIT corecast_busy_ratio ratio
corecast_busy_ratio{shard=\"0\"} 0.25
# TYPE corecast_turn_seconds histogram
# UNIT corecast_turn_seconds seconds
corecast_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2
corecast_turn_seconds_sum{shard=\"0\"} 0.000006
corecast_turn_seconds_count{shard=\"0\"} 2
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 0.5
# EOF
";
        assert_eq!(open_metrics(page), wanted);
        assert_eq!(open_metrics(""), "# EOF\n");
    }

    #[test]
    fn a_name_that_only_looks_like_a_unit_is_none() {
        let of = |name: &str| open_metrics(&format!("# TYPE {name} gauge\n{name} 1\n"));
        assert!(!of("kilobytes").contains("UNIT") && !of("corecast_kilobytes").contains("UNIT"));
        assert!(of("corecast_bytes").contains("# UNIT corecast_bytes bytes\n"));
    }
}
