//! Damage and loss, from the ledger's list.

use std::cmp::Reverse;
use std::collections::HashSet;

use dvb_fixity::Evidence;
use dvb_ledger::{Bytes, Incident, Ledger, LedgerError};
use dvb_model::DvObjectId;

use super::naming::Naming;
use crate::model::{BytesFound, IncidentRepair, IncidentReport, IncidentWords, Incidents, IncidentsOfMonth};

pub(super) fn gather(
    ledger: &dyn Ledger,
    naming: &Naming,
    since: &str,
    months: &[String],
    acknowledged: &HashSet<DvObjectId>,
) -> Result<Incidents, LedgerError> {
    let by_month = months.iter().map(|month| IncidentsOfMonth { month: month.clone(), repaired: 0, open: 0 }).collect();
    let mut found =
        Incidents { total: 0, open: 0, found_in_period: 0, repaired_in_period: 0, by_month, all: Vec::new() };
    ledger.visit_incidents(false, &mut |incident| {
        let is_open = incident.mended.is_none();
        found.total += 1;
        found.open += u64::from(is_open);
        found.found_in_period += u64::from(incident.found_at.as_str() >= since);
        found.repaired_in_period += u64::from(incident.mended.as_ref().is_some_and(|it| it.at.as_str() >= since));
        let month = found.by_month.iter_mut().find(|it| incident.found_at.starts_with(&it.month));
        if let Some(month) = month {
            *if is_open { &mut month.open } else { &mut month.repaired } += 1;
        }
        let is_acknowledged = is_open && acknowledged.contains(&incident.id);
        found.all.push(report(incident, is_acknowledged, naming));
    })?;
    found.all.sort_by_key(|it| Reverse((it.open, it.number)));
    Ok(found)
}

fn report(incident: Incident, acknowledged: bool, naming: &Naming) -> IncidentReport {
    IncidentReport {
        number: incident.number,
        open: incident.mended.is_none(),
        acknowledged,
        dvobject_id: incident.id.0,
        object: naming.object(&incident.role),
        version: incident.version,
        side: incident.side.name(),
        place: naming.kept(incident.place),
        key: naming.kept(incident.key),
        found: incident.found,
        detail: naming.kept(incident.detail),
        found_at: incident.found_at,
        found_by: incident.command,
        expected: bytes(&incident.expected),
        actual: bytes(&incident.actual),
        repair: incident.mended.map(|repair| IncidentRepair {
            at: repair.at,
            from: naming.kept(repair.from),
            evidence: repair.evidence.map(Evidence::name),
            sha256: repair.sha256.map(|it| it.hex()),
            kept: repair.kept.and_then(|it| naming.kept(it)),
        }),
        note: incident.note.map(|note| IncidentWords {
            text: naming.kept(note.text),
            by: naming.kept(note.by),
            at: note.at,
        }),
    }
}

fn bytes(it: &Bytes) -> BytesFound {
    let digest = it.digest.as_ref();
    BytesFound {
        size: it.size,
        algorithm: digest.map(|it| it.algorithm().to_string()),
        digest: digest.map(dvb_fixity::Digest::hex),
    }
}
