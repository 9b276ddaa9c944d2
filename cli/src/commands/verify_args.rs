//! What `verify` and `audit` take: how much is looked at again.

use std::time::Duration;

use super::destination_args::DestinationArgs;
use super::join_args::JoinArgs;
use super::selection_args::SelectionArgs;
use crate::args;

/// How much is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Everything; the same as without options
    #[arg(long, conflicts_with_all = ["sample", "dataset", "file", "storage_identifier", "store"])]
    pub(crate) all: bool,

    /// Only this share, such as 5%
    ///
    /// What was looked at longest ago comes first, so that twenty calls with 5% come round.
    #[arg(long, value_name = "SHARE", value_parser = args::share)]
    pub(crate) sample: Option<f64>,

    /// Only what was not looked at for so long (12h, 30d, 8w), and what was bad at the last look
    #[arg(long, value_name = "AGE", value_parser = args::duration, conflicts_with = "all")]
    pub(crate) older_than: Option<Duration>,

    #[command(flatten)]
    pub(crate) destinations: DestinationArgs,

    /// How much is read at once, instead of Jobs in the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) jobs: Option<u32>,

    /// Begin no more work after this long (45s, 90m, 5h, 1h30m); TimeBudget in the configuration is for `run` alone
    ///
    /// What is left comes first the next time; the exit code is 8.
    #[arg(long, value_name = "D", value_parser = args::duration)]
    pub(crate) time_budget: Option<Duration>,

    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    #[command(flatten)]
    pub(crate) join: JoinArgs,
}
