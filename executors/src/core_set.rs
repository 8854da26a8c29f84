//! The text form of a choice of cores. Given by users, resolved once against the topology.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::cpu_list::{self, parse_range};
use crate::ids::CoreId;
use crate::topology::Topology;

/// A choice of cores: `all`, `physical`, `0-3,8`, `numa:0`, or several of these with commas.
///
/// The order counts: shard 0 gets the first core named. A core named twice counts once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CoreSet {
    /// The parts, at least one.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// Every CPU this process may use.
    All,
    /// One CPU of each physical core.
    Physical,
    /// The CPUs of a NUMA node that this process may use.
    Numa(u32),
    /// CPUs by number, both ends included.
    Range(CoreId, CoreId),
}

/// The reason why a text is not a set of cores, or not one that this process may use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CoreSetError {
    /// The text is not a core set.
    #[error("`{part}` names no cores: use all, physical, numbers such as 0-3,8 or numa:0")]
    Syntax {
        /// The part that was not understood; possibly empty.
        part: String,
    },
    /// A CPU that this process may not use, or that the host does not have.
    #[error("CPU {core} is not among the CPUs this process may use ({allowed})")]
    NotAllowed {
        /// The CPU.
        core: CoreId,
        /// The CPUs that it may use, as the kernel lists them.
        allowed: String,
    },
    /// The host has no such NUMA node.
    #[error("there is no NUMA node {node}; the nodes of this host: {nodes}")]
    NoSuchNode {
        /// The node.
        node: u32,
        /// The nodes of the host.
        nodes: String,
    },
    /// The process may use none of the node's CPUs.
    #[error("this process may use no CPU of NUMA node {node}, only {allowed}")]
    NodeNotAllowed {
        /// The node.
        node: u32,
        /// The CPUs that it may use, as the kernel lists them.
        allowed: String,
    },
}

impl CoreSet {
    /// The cores in the order they were named; never empty.
    ///
    /// # Errors
    /// A CPU or a node that this process may not use, with those that it may.
    pub fn resolve(&self, topology: &Topology) -> Result<Vec<CoreId>, CoreSetError> {
        let mut cores: Vec<CoreId> = Vec::new();
        for part in &self.parts {
            let mut named = part.resolve(topology)?;
            named.retain(|core| !cores.contains(core));
            cores.extend(named);
        }
        Ok(cores)
    }
}

impl Part {
    /// The cores of one part; never empty.
    fn resolve(self, topology: &Topology) -> Result<Vec<CoreId>, CoreSetError> {
        let allowed = || cpu_list::format(topology.allowed());
        match self {
            Self::All => Ok(topology.allowed().to_vec()),
            Self::Physical => Ok(topology.physical()),
            Self::Numa(node) => match topology.numa(node) {
                None => {
                    let nodes: Vec<String> = topology.numa_nodes().iter().map(u32::to_string).collect();
                    Err(CoreSetError::NoSuchNode { node, nodes: nodes.join(",") })
                }
                Some(cores) if cores.is_empty() => {
                    Err(CoreSetError::NodeNotAllowed { node, allowed: allowed() })
                }
                Some(cores) => Ok(cores),
            },
            Self::Range(first, last) => {
                let mut cores = Vec::new();
                // Ends at the first that is not allowed: `0-4294967295` takes no time.
                for core in (first.0..=last.0).map(CoreId) {
                    if topology.allowed().binary_search(&core).is_err() {
                        return Err(CoreSetError::NotAllowed { core, allowed: allowed() });
                    }
                    cores.push(core);
                }
                Ok(cores)
            }
        }
    }
}

impl Default for CoreSet {
    fn default() -> Self {
        Self { parts: vec![Part::All] }
    }
}

impl FromStr for CoreSet {
    type Err = CoreSetError;

    fn from_str(text: &str) -> Result<Self, CoreSetError> {
        let parts: Result<Vec<Part>, CoreSetError> = text.split(',').map(str::parse).collect();
        Ok(Self { parts: parts? })
    }
}

impl FromStr for Part {
    type Err = CoreSetError;

    fn from_str(text: &str) -> Result<Self, CoreSetError> {
        let part = text.trim();
        let unknown = || CoreSetError::Syntax { part: part.to_owned() };
        match part {
            "all" => Ok(Self::All),
            "physical" => Ok(Self::Physical),
            _ => match part.strip_prefix("numa:") {
                // A single number, by the rule for ranges: only digits.
                Some(node) => match parse_range(node) {
                    Some((first, last)) if first == last && !node.contains('-') => Ok(Self::Numa(first.0)),
                    _ => Err(unknown()),
                },
                None => parse_range(part).map(|(first, last)| Self::Range(first, last)).ok_or_else(unknown),
            },
        }
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match part {
                Part::All => f.write_str("all")?,
                Part::Physical => f.write_str("physical")?,
                Part::Numa(node) => write!(f, "numa:{node}")?,
                Part::Range(first, last) if first == last => write!(f, "{first}")?,
                Part::Range(first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::topology::tests::{cores, two_nodes};

    fn resolve(text: &str, allowed: &[u32]) -> Result<Vec<CoreId>, CoreSetError> {
        let root = two_nodes();
        let topology = Topology::from_sysfs(root.path(), &cores(allowed)).unwrap();
        text.parse::<CoreSet>()?.resolve(&topology)
    }

    #[test]
    fn each_form_alone_and_together() {
        let everything = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(resolve("all", &everything), Ok(cores(&everything)));
        assert_eq!(resolve("physical", &everything), Ok(cores(&[0, 1, 2, 3])));
        assert_eq!(resolve("0-2,7", &everything), Ok(cores(&[0, 1, 2, 7])));
        assert_eq!(resolve("numa:1", &everything), Ok(cores(&[2, 3, 6, 7])));
        assert_eq!(resolve("numa:1, 7,0-2", &everything), Ok(cores(&[2, 3, 6, 7, 0, 1])));
        assert_eq!(CoreSet::default().to_string(), "all");
    }

    #[test]
    fn a_cpu_that_may_not_be_used_is_named() {
        let error = resolve("0-3", &[0, 1, 5]).unwrap_err();
        assert_eq!(error.to_string(), "CPU 2 is not among the CPUs this process may use (0-1,5)");
        let error = resolve("0-4294967295", &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap_err();
        assert!(error.to_string().starts_with("CPU 8 is not"), "{error}");
    }

    #[test]
    fn a_node_that_may_not_be_used_is_named() {
        let error = resolve("numa:3", &[0, 1]).unwrap_err();
        assert_eq!(error.to_string(), "there is no NUMA node 3; the nodes of this host: 0,1");
        let error = resolve("numa:1", &[0, 1]).unwrap_err();
        assert_eq!(error.to_string(), "this process may use no CPU of NUMA node 1, only 0-1");
    }

    #[test]
    fn other_texts_are_errors_that_name_the_part() {
        let texts =
            ["", ",", "0,", "-1", "1-", "3-1", "+1", "a", "All", "numa", "numa:", "numa:0-1", "numa:-1"];
        for text in texts {
            assert!(matches!(text.parse::<CoreSet>(), Err(CoreSetError::Syntax { .. })), "{text}");
        }
        let error = "0,what".parse::<CoreSet>().unwrap_err();
        assert!(error.to_string().starts_with("`what` names no cores"), "{error}");
    }

    fn any_part() -> impl Strategy<Value = Part> {
        prop_oneof![
            Just(Part::All),
            Just(Part::Physical),
            any::<u32>().prop_map(Part::Numa),
            any::<(u32, u32)>().prop_map(|(a, b)| Part::Range(CoreId(a.min(b)), CoreId(a.max(b)))),
        ]
    }

    proptest! {
        #[test]
        fn text_goes_there_and_back(parts in prop::collection::vec(any_part(), 1..6)) {
            let set = CoreSet { parts };
            prop_assert_eq!(set.to_string().parse::<CoreSet>(), Ok(set));
        }

        #[test]
        fn any_text_is_a_set_or_an_error(text in "[a-z0-9:,+ -]{0,20}") {
            if let Ok(set) = text.parse::<CoreSet>() {
                prop_assert_eq!(set.to_string().parse::<CoreSet>(), Ok(set));
            }
        }

        #[test]
        fn what_resolves_is_allowed_and_without_duplicates(
            allowed in prop::collection::btree_set(0_u32..8, 1..8),
            ranges in prop::collection::vec((0_u32..10, 0_u32..4), 1..4),
        ) {
            let allowed: Vec<u32> = allowed.into_iter().collect();
            let text: Vec<String> =
                ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let named = |core: u32| ranges.iter().any(|(first, more)| (*first..=first + more).contains(&core));
            // Numbers need no sysfs, and 256 copies of one take their time.
            let topology = Topology::from_sysfs(Path::new("/nowhere"), &cores(&allowed)).unwrap();
            match text.join(",").parse::<CoreSet>().unwrap().resolve(&topology) {
                Ok(found) => {
                    let mut sorted = found.clone();
                    sorted.sort_unstable();
                    let expected: Vec<u32> = (0..14).filter(|&core| named(core)).collect();
                    prop_assert_eq!(sorted, cores(&expected));
                }
                Err(CoreSetError::NotAllowed { core, .. }) => {
                    prop_assert!(named(core.0) && !allowed.contains(&core.0));
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
