//! Stores of type `remote` and `globus`, where their bytes can be read over HTTP (dataverse.md 2.7).
//!
//! Their files lie on somebody else's web server. What the database says of them is data: nothing outside of the base
//! address is ever asked for, wherever an identifier or a redirect points.

mod address;
mod client;
mod config;
mod download;
mod error;
mod sign;
mod source;

pub use config::{Layout, RemoteConfig, Signing};
pub use dvb_http::TimeLimits;
pub use source::RemoteStore;
