//! The file of metrics after a command.

use std::time::Duration;

use dvb_build as build;
use dvb_engine::CancelToken;
use dvb_notify::Change;
use dvb_storage::chain;

use crate::commands::Context;
use crate::notice::Ended;

/// How long the ledger may take to be there.
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// Writes the file of metrics, where the configuration wants one: numbers of the command's own, the outcome of one that was
/// about everything, and what the ledger knows now. What goes wrong is a warning: the command's result stands.
pub(crate) fn write(context: &Context, own: &[Change], whole: Option<(&str, &[Ended])>) {
    let Some(path) = &context.config.notifications.metrics_file else { return };
    let mut changes = own.to_vec();
    if let Some((command, ended)) = whole {
        let ended: Vec<_> = ended.iter().map(|it| (&it.destination, it.ending.code())).collect();
        changes.extend(dvb_notify::of_command(command, &ended));
    }
    // The command's own may be over by now.
    let stop = CancelToken::new().within(Some(OPENS_WITHIN));
    let known = build::ledger(&context.config, 1, &stop)
        .and_then(|ledger| dvb_notify::of_ledger(ledger.as_ref(), &context.config));
    match known {
        Ok(known) => changes.extend(known),
        Err(error) => {
            context.screen.warn(&format!("the metrics of what the ledger knows stay as they were: {}", chain(&error)));
        }
    }
    if let Err(error) = dvb_notify::write_metrics(path, &changes) {
        context.screen.warn(&chain(&error));
    }
}
