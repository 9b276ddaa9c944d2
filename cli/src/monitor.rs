//! What monitoring hears of a command.

use crate::commands::Context;
use crate::notice::Notice;

pub(crate) fn write(_context: &Context, _notice: &Notice) {}
