//! The custody report: what the ledger can show of the copies, over years, for whoever has to prove that they are there.
//!
//! [`gather`] asks the ledger and adds the [`Facts`] that only the caller knows; the [`Report`] is the JSON form.
//! [`text()`], [`html()`] and [`premis()`] write it for the screen, for a browser and for PREMIS 3. With [`Facts::public`] it
//! leaves out what is not for everybody.
//!
//! A report states facts. It never says that a level or a requirement is met: who certifies judges that.

mod crosswalk;
mod facts;
mod gather;
mod html;
mod model;
mod premis;
mod text;
mod words;

pub use facts::{DestinationFacts, Facts, LockFacts, StoreFacts};
pub use gather::gather;
pub use html::html;
pub use model::{
    AcknowledgedLoss, AgeBin, BytesFound, Checks, CommandCount, CopiesLevel, Crosswalk, DestinationReport, Drill,
    EventReport, EvidenceCount, Fixity, Head, Holdings, IncidentRepair, IncidentReport, IncidentWords, Incidents,
    IncidentsOfMonth, LastRun, Month, Outcome, Overridden, PolicyLine, Promise, PromiseState, Purges, ReasonCount,
    Report, SnapshotSeen, StatusCount,
};
pub use premis::premis;
pub use text::text;
pub use words::interval;
