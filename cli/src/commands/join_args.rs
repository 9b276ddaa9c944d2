//! `--join`: several hosts share what is to be done.

use std::time::Duration;

use crate::args;

/// How long a host that shares work may give no sign of life.
const LEASE: Duration = Duration::from_secs(45);

/// Whether it is shared.
#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    /// Share the work with other hosts that are called with --join too
    ///
    /// The ledger must be in PostgreSQL. The first host that comes finds out what there is to do; each host takes up to a
    /// few hundred data files (`verify`: copies) at a time until nothing is left, and the last one leaves the summary of all,
    /// and a run's snapshot. Hosts may come and go at any time: what a dead one was at is done by the others within a
    /// minute. Each needs what the command needs, the same configuration and the same options; --jobs and --time-budget are
    /// each host's own. `run` does several destinations one after the other.
    #[arg(long)]
    pub(crate) join: bool,

    /// How long a host that shares the work may give no sign of life (the first host's counts)
    #[arg(long, value_name = "D", value_parser = args::duration, requires = "join", hide = true)]
    lease: Option<Duration>,
}

impl JoinArgs {
    pub(crate) fn lease(&self) -> Duration {
        self.lease.unwrap_or(LEASE)
    }
}
