//! The report's events as PREMIS 3: replication, fixity check, deletion, with outcome, agents and the objects they are about.
//!
//! Objects are the copies at a destination as a whole, Dataverse's stores as a whole, and each object that an incident is
//! about. Those of which nothing happened are in the snapshots at the destinations, with all their digests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dvb_model::plain;

use crate::model::{BytesFound, EventReport, IncidentReport, Outcome, Report};

const VOCABULARY: &str = "http://id.loc.gov/vocabulary/preservation/";

/// A type of event in the vocabulary of the Library of Congress.
#[derive(Clone, Copy)]
struct EventType {
    name: &'static str,
    code: &'static str,
}

const REPLICATION: EventType = EventType { name: "replication", code: "rep" };
const FIXITY_CHECK: EventType = EventType { name: "fixity check", code: "fix" };
const DELETION: EventType = EventType { name: "deletion", code: "del" };

/// The events of the period, and all incidents, as a PREMIS 3 document in UTF-8.
#[must_use]
pub fn premis(report: &Report) -> String {
    let mut out = Xml(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    out.raw(
        "<premis xmlns=\"http://www.loc.gov/premis/v3\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" version=\"3.0\">",
    );
    let ids = Ids { installation: report.head.installation.as_deref().unwrap_or("unknown") };
    objects(&mut out, report, &ids);
    report.events.iter().for_each(|it| command(&mut out, it, &ids));
    report.incidents.all.iter().for_each(|it| incident(&mut out, it, &ids, report));
    agents(&mut out, report);
    out.raw("\n</premis>\n");
    out.0
}

/// Names of objects that are the same in every report of an installation.
struct Ids<'a> {
    installation: &'a str,
}

impl Ids<'_> {
    fn destination(&self, name: &str) -> String {
        format!("{}/destination/{name}", self.installation)
    }

    fn stores(&self) -> String {
        format!("{}/stores", self.installation)
    }

    /// Without a key, an incident is all that names it.
    fn object(&self, it: &IncidentReport) -> String {
        match (&it.place, &it.key) {
            (Some(place), Some(key)) => {
                format!("{}/{}/{place}/{key}#version-{}", self.installation, it.side, it.version)
            }
            _ => format!("{}/incident/{}/object", self.installation, it.number),
        }
    }
}

/// XML text; what is no character of XML is made visible.
struct Xml(String);

impl Xml {
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    fn element(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "<{name}>{}</{name}>", escaped(text));
    }

    fn term(&mut self, name: &str, vocabulary: &str, code: &str, text: &str) {
        let _ = write!(
            self.0,
            "<{name} authority=\"{vocabulary}\" authorityURI=\"{VOCABULARY}{vocabulary}\" \
             valueURI=\"{VOCABULARY}{vocabulary}/{code}\">{}</{name}>",
            escaped(text)
        );
    }

    fn identifier(&mut self, element: &str, kind: &str, value: &str) {
        let _ = write!(self.0, "<{element}>");
        self.element(&format!("{element}Type"), kind);
        self.element(&format!("{element}Value"), value);
        let _ = write!(self.0, "</{element}>");
    }
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for it in plain(text).chars() {
        match it {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => shown.push('\u{fffd}'),
            it => shown.push(it),
        }
    }
    shown
}

const OBJECT: &str = "dataverse-backup object";
const EVENT: &str = "dataverse-backup event";
const AGENT: &str = "dataverse-backup agent";

fn objects(out: &mut Xml, report: &Report, ids: &Ids<'_>) {
    for it in &report.destinations {
        whole(out, &ids.destination(&it.name), &format!("all copies at destination {}", it.name));
    }
    whole(out, &ids.stores(), "all files in Dataverse's stores");
    // An object of which something happened several times is described once.
    let damaged: BTreeMap<String, &IncidentReport> =
        report.incidents.all.iter().map(|it| (ids.object(it), it)).collect();
    for (id, it) in damaged {
        file(out, &id, it);
    }
}

fn whole(out: &mut Xml, id: &str, name: &str) {
    out.raw("\n<object xsi:type=\"representation\">");
    out.identifier("objectIdentifier", OBJECT, id);
    out.element("originalName", name);
    out.raw("</object>");
}

fn file(out: &mut Xml, id: &str, incident: &IncidentReport) {
    out.raw("\n<object xsi:type=\"file\">");
    out.identifier("objectIdentifier", OBJECT, id);
    out.identifier("objectIdentifier", "Dataverse dvobject.id", &incident.dvobject_id.to_string());
    out.raw("<objectCharacteristics>");
    if let (Some(algorithm), Some(digest)) = (&incident.expected.algorithm, &incident.expected.digest) {
        out.raw("<fixity>");
        out.element("messageDigestAlgorithm", algorithm);
        out.element("messageDigest", digest);
        out.raw("</fixity>");
    }
    if let Some(size) = incident.expected.size {
        out.element("size", &size.to_string());
    }
    out.raw("<format><formatDesignation>");
    out.element("formatName", "application/octet-stream");
    out.raw("</formatDesignation>");
    out.element("formatNote", "formats are not recorded by dataverse-backup");
    out.raw("</format></objectCharacteristics>");
    if let (Some(place), Some(key)) = (&incident.place, &incident.key) {
        out.raw("<storage><contentLocation>");
        out.element("contentLocationType", &format!("{} {place}", incident.side));
        out.element("contentLocationValue", key);
        out.raw("</contentLocation></storage>");
    }
    out.raw("</object>");
}

/// One event, with what all have.
struct PremisEvent<'a> {
    id: String,
    kind: EventType,
    at: &'a str,
    detail: String,
    success: Option<bool>,
    note: String,
    agents: Vec<String>,
    objects: Vec<String>,
}

fn event(out: &mut Xml, it: &PremisEvent<'_>) {
    out.raw("\n<event>");
    out.identifier("eventIdentifier", EVENT, &it.id);
    out.term("eventType", "eventType", it.kind.code, it.kind.name);
    out.element("eventDateTime", it.at);
    out.raw("<eventDetailInformation>");
    out.element("eventDetail", &it.detail);
    out.raw("</eventDetailInformation><eventOutcomeInformation>");
    match it.success {
        Some(true) => out.term("eventOutcome", "eventOutcome", "suc", "success"),
        Some(false) => out.term("eventOutcome", "eventOutcome", "fai", "fail"),
        None => out.element("eventOutcome", "unknown"),
    }
    out.raw("<eventOutcomeDetail>");
    out.element("eventOutcomeDetailNote", &it.note);
    out.raw("</eventOutcomeDetail></eventOutcomeInformation>");
    it.agents.iter().for_each(|agent| out.identifier("linkingAgentIdentifier", AGENT, agent));
    it.objects.iter().for_each(|object| out.identifier("linkingObjectIdentifier", OBJECT, object));
    out.raw("</event>");
}

/// A line of the event log. What neither copies, checks nor deletes has no event here.
fn command(out: &mut Xml, it: &EventReport, ids: &Ids<'_>) {
    let at_destinations: Vec<String> = it.destinations.iter().map(|name| ids.destination(name)).collect();
    let (kind, objects) = match it.command.as_str() {
        "run" | "repair" => (REPLICATION, at_destinations.clone()),
        "restore" => (REPLICATION, vec![ids.stores()]),
        "verify" | "drill" => (FIXITY_CHECK, at_destinations.clone()),
        "audit" => (FIXITY_CHECK, vec![ids.stores()]),
        "purge execute" => (DELETION, at_destinations.clone()),
        _ => return,
    };
    let overrides =
        if it.overrides.is_empty() { String::new() } else { format!("; overrides: {}", it.overrides.join(", ")) };
    let scope = it.scope.as_deref().unwrap_or("a selection");
    let agents = agents_of(it);
    let mut told = PremisEvent {
        id: it.id.clone(),
        kind,
        at: &it.started,
        detail: format!("{}: {scope}{overrides}", it.command),
        success: success(&it.outcome),
        note: note(it, kind.code == REPLICATION.code),
        agents,
        objects,
    };
    event(out, &told);
    // A run also checks its nightly share.
    let checks = [("copies", it.copies_checked, at_destinations), ("files", it.files_checked, vec![ids.stores()])];
    for (what, checks, objects) in checks {
        if it.command == "run" && checks.checked > 0 {
            told.id = format!("{}/{what}-checked", it.id);
            told.kind = FIXITY_CHECK;
            told.detail = format!("run: a share of all {what}, those that waited longest");
            told.success = Some(checks.bad == 0);
            told.note = format!("{} checked, {} good, {} bad", checks.checked, checks.good, checks.bad);
            told.objects = objects;
            event(out, &told);
        }
    }
}

fn note(it: &EventReport, copies: bool) -> String {
    let mut note = it.outcome.words.to_owned();
    if let (true, Some(files)) = (copies, it.files_copied) {
        let _ = write!(note, "; {files} data files copied or adopted");
    }
    let checks = [("copies", it.copies_checked), ("files", it.files_checked)];
    for (what, checks) in checks.into_iter().filter(|(_, checks)| !copies && checks.checked > 0) {
        let _ = write!(note, "; {what}: {} checked, {} good, {} bad", checks.checked, checks.good, checks.bad);
    }
    note
}

/// Damage at the source or a file that failed does not make the rest of a replication fail; that the command did not end
/// with everything safe is a failure all the same.
fn success(outcome: &Outcome) -> Option<bool> {
    outcome.exit_code.map(|code| code == 0)
}

fn incident(out: &mut Xml, it: &IncidentReport, ids: &Ids<'_>, report: &Report) {
    let program = vec![program_of(&report.head.program)];
    let found_by = it.found_by.as_deref().unwrap_or("a command that nobody recorded");
    let seen = |what: &str, it: &BytesFound| {
        let digest =
            it.algorithm.as_ref().zip(it.digest.as_ref()).map(|(algorithm, digest)| format!("{algorithm} {digest}"));
        let size = it.size.map(|size| format!("{size} bytes"));
        let known: Vec<_> = size.into_iter().chain(digest).collect();
        if known.is_empty() { String::new() } else { format!("; {what}: {}", known.join(", ")) }
    };
    let explained = it.note.as_ref().and_then(|note| note.text.as_ref()).map(|text| format!("; cause: {text}"));
    event(
        out,
        &PremisEvent {
            id: format!("{}/incident/{}/found", ids.installation, it.number),
            kind: FIXITY_CHECK,
            at: &it.found_at,
            detail: format!("incident {}, found by {found_by}: {} in a {}", it.number, it.found, it.side),
            success: Some(false),
            note: format!(
                "{}{}{}{}",
                it.detail.as_deref().unwrap_or(&it.found),
                seen("on record", &it.expected),
                seen("found", &it.actual),
                explained.unwrap_or_default()
            ),
            agents: program.clone(),
            objects: vec![ids.object(it)],
        },
    );
    let Some(repair) = &it.repair else { return };
    let from = repair.from.as_deref().map(|from| format!(", from {from}")).unwrap_or_default();
    let evidence = repair.evidence.map_or("compared on the way".to_owned(), |evidence| format!("proved by {evidence}"));
    let sha256 = repair.sha256.as_deref().map(|it| format!("; SHA256 {it}")).unwrap_or_default();
    event(
        out,
        &PremisEvent {
            id: format!("{}/incident/{}/repaired", ids.installation, it.number),
            kind: REPLICATION,
            at: &repair.at,
            detail: format!("incident {}: good bytes put in place{from}", it.number),
            success: Some(true),
            note: format!("{evidence}{sha256}"),
            agents: program,
            objects: vec![ids.object(it)],
        },
    );
}

fn program_of(version: &str) -> String {
    if version.is_empty() { "dataverse-backup".to_owned() } else { format!("dataverse-backup {version}") }
}

fn agents_of(it: &EventReport) -> Vec<String> {
    [program_of(&it.program)].into_iter().chain(it.by.clone()).collect()
}

fn agents(out: &mut Xml, report: &Report) {
    let mut programs: Vec<String> = report.events.iter().map(|it| program_of(&it.program)).collect();
    programs.push(program_of(&report.head.program));
    programs.sort();
    programs.dedup();
    for it in programs {
        out.raw("\n<agent>");
        out.identifier("agentIdentifier", AGENT, &it);
        out.element("agentName", &it);
        out.element("agentType", "software");
        out.raw("</agent>");
    }
    let mut accounts: Vec<&String> = report.events.iter().filter_map(|it| it.by.as_ref()).collect();
    accounts.sort();
    accounts.dedup();
    for it in accounts {
        out.raw("\n<agent>");
        out.identifier("agentIdentifier", AGENT, it);
        out.element("agentName", it);
        out.element("agentType", "person");
        out.element("agentNote", "an account of the operating system, and its host");
        out.raw("</agent>");
    }
}
