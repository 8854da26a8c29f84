//! The experiments: each a file that says which question it answers, and what it runs to answer it.
//!
//! | experiment | subject |
//! |---|---|
//! | [`canonical`] | how latency grows with subscribers, in both modes: the ancestor's experiment |
//! | [`crossover`] | at which count and payload which mode reaches the last subscriber first |
//! | [`flood`] | which rate is delivered whole |
//! | [`isolation`] | what slow subscribers cost the others |
//! | [`scaling`] | what a delivery and a subscriber cost, and how that grows |
//! | [`idle`] | what it costs, and brings, not to sleep |
//! | [`echo`] | how long one message takes, beside the bare connection |
//! | [`quiet`] | what a broker costs while nothing is sent |
//! | [`handshakes`] | what clients that come and go over TLS cost those that stay |
//! | [`subscribing`] | what a filter costs, and how that grows |
//! | [`topics`] | what a delivery costs where each subscriber wants its part of many topics, beside others |

pub mod canonical;
pub mod crossover;
pub mod echo;
mod entry;
pub mod flood;
pub mod handshakes;
pub mod idle;
pub mod isolation;
pub mod quiet;
pub mod scaling;
pub mod subscribing;
pub mod topics;

pub use entry::Experiment;

/// All of them.
pub const ALL: [&Experiment; 11] = [
    &canonical::EXPERIMENT,
    &crossover::EXPERIMENT,
    &flood::EXPERIMENT,
    &isolation::EXPERIMENT,
    &scaling::EXPERIMENT,
    &idle::EXPERIMENT,
    &echo::EXPERIMENT,
    &quiet::EXPERIMENT,
    &handshakes::EXPERIMENT,
    &subscribing::EXPERIMENT,
    &topics::EXPERIMENT,
];

/// The one of this name.
pub fn find(name: &str) -> Option<&'static Experiment> {
    ALL.into_iter().find(|experiment| experiment.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::base::tests::base;
    use super::super::settings::Settings;
    use super::super::step::Step;
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn every_experiment_is_found_by_a_name_of_its_own_and_asks_something() {
        let names: BTreeSet<&str> = ALL.iter().map(|experiment| experiment.name).collect();
        assert_eq!(names.len(), ALL.len());
        for experiment in ALL {
            assert_eq!(find(experiment.name).unwrap().question, experiment.question);
            assert!(experiment.question.ends_with('?'), "{}", experiment.question);
            for (figure, _) in (experiment.sum_up)(&[]) {
                assert!(experiment.figures.contains(&figure), "{figure}");
            }
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn every_plan_can_be_run() {
        for quick in [true, false] {
            for experiment in ALL {
                let steps = (experiment.steps)(&base(Settings { quick, ..Settings::default() }, 2));
                assert!(!steps.is_empty());
                for step in &steps {
                    assert_eq!(step.plan().check(), Ok(()), "{} {:?}", experiment.name, step.plan());
                }
            }
        }
    }

    #[test]
    fn the_quick_versions_take_about_a_minute() {
        for experiment in ALL {
            let steps = (experiment.steps)(&base(Settings { quick: true, ..Settings::default() }, 2));
            let estimate: Duration = steps.iter().map(Step::estimate).sum();
            let minute = Duration::from_secs(25)..=Duration::from_secs(90);
            assert!(minute.contains(&estimate), "{}: {estimate:?}", experiment.name);
        }
    }
}
