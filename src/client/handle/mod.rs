//! Handles for any thread and any async runtime, each to a task of the client executor of this process.
//!
//! | file | owns |
//! |---|---|
//! | `publisher`, `subscriber`, `registry_view` | the handles |
//! | `asks` | everything that crosses from a thread to the executor |
//! | `question` | a question to such a task, its time, and the end of either side |
//! | `offer` | a message that a publisher offers to its task, and may withdraw |
//! | `executor` | the executor, and the clients that live in it |
//! | `served` | its tasks, one for each handle |

mod asks;
mod executor;
mod offer;
mod publisher;
mod question;
mod registry_view;
mod served;
mod subscriber;

pub use publisher::Publisher;
pub use registry_view::RegistryView;
pub use subscriber::Subscriber;
