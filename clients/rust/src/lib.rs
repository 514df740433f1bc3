#![doc = include_str!("../README.md")]

mod builder;
mod call;
mod channel;
mod client;
mod error;
mod fold;
mod messages;
mod resume;
mod stream;
mod upload;

pub use builder::{Builder, DEFAULT_TARGET, Secret, Tls};
pub use call::{Call, List};
pub use channel::{Channel, Stubs};
pub use client::Client;
pub use error::{Error, Violation};
pub use messages::{Answer, duration, text_of};
pub use resume::Resume;
pub use stream::{AnswerStream, ChatStream, ContentStream, Generation, Text};
pub use upload::Upload;

pub use prost_types;
pub use tonic::{self, Code};

/// The messages and stubs of the API, as they are generated.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "generated code is never edited"
)]
pub mod v1 {
    include!("generated/contextbridge.v1.rs");
}
