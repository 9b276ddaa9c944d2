//! `--destination`: which destinations a command is about.

use dvb_model::DestinationName;

use crate::args;

/// Which destinations are meant; all without the option.
#[derive(Debug, clap::Args)]
pub(crate) struct DestinationArgs {
    /// Only this destination: NAME of [Backup NAME], or `default` for [Backup]; repeatable
    #[arg(id = "destination", long = "destination", value_name = "NAME", value_parser = args::destination)]
    pub(crate) names: Vec<DestinationName>,
}
