//! The report as one page for a browser and for paper: no script, nothing from elsewhere.

mod escape;
mod pictures;
mod table;

use std::fmt::Write as _;

use self::escape::Escaped;
use self::table::{Cell, facts, table};
use crate::model::{BytesFound, Fixity, IncidentReport, Outcome, PromiseState, Report};
use crate::text::ages;
use crate::words::{bytes, counted, data_files, day, interval, minute, number};

const STYLE: &str = include_str!("style.css");

/// What the page may load: nothing but its own style.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Ids and titles of the sections, in their order.
const SECTIONS: &[(&str, &str)] = &[
    ("promises", "Promises"),
    ("holdings", "Holdings"),
    ("destinations", "Destinations"),
    ("fixity", "Fixity"),
    ("incidents", "Incidents"),
    ("losses", "Acknowledged losses"),
    ("drills", "Drills"),
    ("purges", "Purges"),
    ("overrides", "Overrides"),
    ("commands", "Commands"),
    ("course", "Over 13 months"),
    ("basis", "What this report is made of"),
    ("not-shown", "What is not shown here"),
    ("crosswalk", "Crosswalk"),
];

/// The report as a page: valid HTML 5 in UTF-8, with all text escaped.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    begin(&mut page, report);
    let draw: [fn(&mut String, &Report); 14] = [
        promises,
        holdings,
        destinations,
        fixity,
        incidents,
        losses,
        drills,
        purges,
        overrides,
        commands,
        course,
        basis,
        not_shown,
        crosswalk,
    ];
    for ((id, title), section) in SECTIONS.iter().zip(draw) {
        let _ = writeln!(page, "<section id=\"{id}\"><h2>{title}</h2>");
        section(&mut page, report);
        page.push_str("</section>\n");
    }
    page.push_str("</main></body></html>\n");
    page
}

fn begin(page: &mut String, report: &Report) {
    let as_of = minute(&report.as_of);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{CONTENT_POLICY}\">\n\
         <title>Custody report, {}</title>\n<style>\n{STYLE}</style></head>\n<body><header>\n\
         <h1>Custody report</h1>\n<p class=\"lead\">As of {} UTC. Period since {}. Made by dataverse-backup {}.</p>\n",
        Escaped(&as_of),
        Escaped(&as_of),
        Escaped(day(&report.since)),
        Escaped(&report.head.program)
    );
    if report.public {
        paragraph(page, "For the public: names of files, hosts and people, and what people wrote, are left out.");
    }
    let not_met = report.promises.iter().filter(|it| it.state == PromiseState::NotMet).count();
    let without: u64 = report.holdings.by_copies.iter().filter(|it| it.copies == 0).map(|it| it.files).sum();
    let tiles = [
        ("data files covered", number(report.holdings.files)),
        ("bytes in one copy of each", bytes(report.holdings.bytes)),
        ("without a proved copy", number(without)),
        ("promises not met", not_met.to_string()),
        ("open incidents", number(report.incidents.open)),
    ];
    page.push_str("<dl class=\"tiles\">");
    for (what, figure) in tiles {
        let _ = write!(page, "<div><dt>{what}</dt><dd>{}</dd></div>", Escaped(&figure));
    }
    page.push_str("</dl>\n<nav aria-label=\"Sections\"><ul>");
    for (id, title) in SECTIONS {
        let _ = write!(page, "<li><a href=\"#{id}\">{title}</a></li>");
    }
    page.push_str("</ul></nav>\n</header><main>\n");
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, "<p>{}</p>", Escaped(text));
}

fn fine(page: &mut String, text: &str) {
    let _ = writeln!(page, "<p class=\"fine\">{}</p>", Escaped(text));
}

fn promises(page: &mut String, report: &Report) {
    let rows = report.promises.iter().map(|promise| {
        let (class, state) = match promise.state {
            PromiseState::Met => ("met", "met"),
            PromiseState::NotMet => ("not-met", "not met"),
            PromiseState::NotPromised => ("none", "not promised"),
        };
        vec![Cell::state(class, state), Cell::text(&promise.promise), Cell::text(&promise.figures)]
    });
    table(page, &[("State", ""), ("Promise", ""), ("Figures", "")], rows);
}

fn holdings(page: &mut String, report: &Report) {
    let it = &report.holdings;
    page.push_str("<div class=\"pictures\">");
    pictures::copies(page, &it.by_copies);
    page.push_str("<div>");
    let rows = it.by_copies.iter().map(|level| {
        let copies = format!("{}{}", level.copies, if level.or_more { " or more" } else { "" });
        let size = if level.copies == 0 { "not known".to_owned() } else { bytes(level.bytes) };
        vec![Cell::text(&copies), Cell::number(level.files), Cell::figure(&size)]
    });
    table(page, &[("Proved copies", ""), ("Data files", "num"), ("Bytes of one copy", "num")], rows);
    page.push_str("</div></div>\n");
    fine(
        page,
        "A proved copy is one destination that has the data file: every object of it was compared with a recorded digest \
         there. Data files that left Dataverse are not counted here; their copies are kept.",
    );
    page.push_str("<h3>Not covered</h3>\n");
    if it.not_covered == 0 {
        return paragraph(page, "None: every data file has bytes that a backup can read.");
    }
    paragraph(page, &format!("{} without bytes that a backup can read, by rule.", data_files(it.not_covered)));
    let rows = it.not_covered_by_reason.iter().map(|reason| {
        let text = reason.reason.as_deref().unwrap_or(if report.public { "left out" } else { "other reasons" });
        vec![Cell::text(text), Cell::number(reason.files)]
    });
    table(page, &[("Reason", ""), ("Data files", "num")], rows);
}

fn destinations(page: &mut String, report: &Report) {
    for it in &report.destinations {
        let _ = writeln!(page, "<h3>{}</h3>", Escaped(&it.name));
        let statuses: Vec<_> = it.statuses.iter().map(|it| format!("{} {}", it.status, number(it.files))).collect();
        let evidence: Vec<_> =
            it.evidence.iter().map(|it| format!("{} by {}", number(it.copies), it.evidence)).collect();
        let last_run = it.last_run.as_ref().map(|it| format!("{}: {}", minute(&it.started), it.outcome.words));
        let stated = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
        let mut rows = vec![
            ("Protocol", it.protocol.to_owned()),
            ("Place", stated(&it.place)),
            ("Region", stated(&it.region)),
            ("Medium", stated(&it.medium)),
            (
                "Protection from deletion",
                it.immutability.clone().unwrap_or_else(|| "nothing is configured here".to_owned()),
            ),
            ("Proved copies", format!("{}, {}", counted(it.copies, "object", "objects"), bytes(it.bytes))),
            ("How they were proved", if evidence.is_empty() { "-".to_owned() } else { evidence.join(", ") }),
            ("Evidence demanded", it.demanded_evidence.to_owned()),
            ("Copies without a valid proof", number(it.damaged_copies + it.claimed_copies)),
            ("Data files by status", statuses.join(", ")),
            ("Left Dataverse, copies kept", number(it.gone)),
            ("Last run of everything", last_run.unwrap_or_else(|| "none on record".to_owned())),
        ];
        if let Some(location) = &it.location {
            rows.insert(1, ("Location", location.clone()));
        }
        if !report.public {
            rows.insert(5, ("Administrator", stated(&it.administrator)));
        }
        facts(page, rows.into_iter().map(|(what, said)| (what.to_owned(), Cell::text(&said))));
    }
    fine(page, "Place, region, medium and administrator are what the configuration says. The rest is from the ledger.");
}

fn fixity(page: &mut String, report: &Report) {
    let rows = report.fixity.iter().map(|side| {
        vec![
            Cell::text(&side.place),
            Cell::figure(&format!("{} {}", number(side.total), side.unit)),
            Cell::number(side.checked_in_period),
            Cell::text(&promised(side)),
            Cell::text(&ages(side)),
            Cell::text(&format!(
                "{} by {}: {} good, {} bad",
                counted(side.checks.checked, "comparison", "comparisons"),
                counted(side.checks.commands, "command", "commands"),
                number(side.checks.good),
                number(side.checks.bad)
            )),
        ]
    });
    let headings = [
        ("Side", ""),
        ("All", "num"),
        ("Good in the period", "num"),
        ("Promised interval", ""),
        ("Last good check", ""),
        ("Checks of the period", ""),
    ];
    table(page, &headings, rows);
    page.push_str("<div class=\"pictures\">");
    report.fixity.iter().for_each(|it| pictures::ages(page, it));
    page.push_str("</div>\n");
    fine(
        page,
        "At a destination the bytes of a copy are compared with the digest that was recorded when it was made, by the \
         server's own digest or by reading it back. In a store they are compared with Dataverse's checksum, or with the \
         digest that was first seen where Dataverse has none. Ages are in whole days (UTC).",
    );
}

fn promised(it: &Fixity) -> String {
    it.promised_seconds.map_or("none".to_owned(), |seconds| interval(std::time::Duration::from_secs(seconds)))
}

fn incidents(page: &mut String, report: &Report) {
    let it = &report.incidents;
    paragraph(
        page,
        &format!(
            "{} open of {} on record; {} found and {} repaired in the period.",
            number(it.open),
            number(it.total),
            number(it.found_in_period),
            number(it.repaired_in_period)
        ),
    );
    pictures::incidents(page, &it.by_month);
    if it.all.is_empty() {
        return paragraph(page, "No damage and no loss is on record.");
    }
    let headings = [
        ("No.", "num"),
        ("State", ""),
        ("Found", ""),
        ("Object", ""),
        ("What was found", ""),
        ("Repair", ""),
        ("Cause", ""),
    ];
    table(page, &headings, it.all.iter().map(|it| incident(it, report.public)));
}

fn incident(incident: &IncidentReport, public: bool) -> Vec<Cell> {
    let (class, state) = match (incident.open, incident.acknowledged) {
        (true, false) => ("not-met", "open"),
        (true, true) => ("none", "open, acknowledged"),
        (false, _) => ("met", "repaired"),
    };
    let found_by = incident.found_by.as_deref().map(|it| format!("by {it}")).unwrap_or_default();
    let version = if incident.version > 1 { format!(", version {}", incident.version) } else { String::new() };
    let object = format!("file {}, {}{version}", incident.dvobject_id, incident.object);
    let place = format!("in {} {}", incident.side, incident.place.as_deref().unwrap_or(""));
    let expected = found("on record", &incident.expected);
    let actual = found("found", &incident.actual);
    let repair = incident.repair.as_ref();
    let at = repair.map(|it| minute(&it.at)).unwrap_or_default();
    let from = repair.and_then(|it| it.from.as_deref()).map(|it| format!("from {it}")).unwrap_or_default();
    let evidence = repair.and_then(|it| it.evidence).map(|it| format!("proved by {it}")).unwrap_or_default();
    let kept = repair.and_then(|it| it.kept.as_deref()).map(|it| format!("bad bytes kept as {it}")).unwrap_or_default();
    let note = incident.note.as_ref();
    let left_out = note.filter(|note| public && note.text.is_none()).map(|_| "explained; left out here");
    let cause = note.and_then(|it| it.text.as_deref()).or(left_out).unwrap_or("");
    let by = note.map(|note| format!("{} {}", note.by.as_deref().unwrap_or(""), day(&note.at))).unwrap_or_default();
    vec![
        Cell::number(incident.number),
        Cell::state(class, state),
        Cell::when([minute(&incident.found_at).as_str(), &found_by]),
        Cell::lines([object.as_str(), incident.key.as_deref().unwrap_or("")]),
        Cell::lines([
            incident.found.as_str(),
            place.trim_end(),
            incident.detail.as_deref().unwrap_or(""),
            &expected,
            &actual,
        ]),
        Cell::lines([at.as_str(), &from, &evidence, &kept]),
        Cell::lines([cause, by.trim()]),
    ]
}

fn found(what: &str, it: &BytesFound) -> String {
    let size = it.size.map(|it| format!("{} bytes", number(it)));
    let digest =
        it.algorithm.as_ref().zip(it.digest.as_ref()).map(|(algorithm, digest)| format!("{algorithm} {digest}"));
    let known: Vec<String> = size.into_iter().chain(digest).collect();
    if known.is_empty() { String::new() } else { format!("{what}: {}", known.join(", ")) }
}

fn losses(page: &mut String, report: &Report) {
    if report.acknowledged.is_empty() {
        return paragraph(page, "None is on record.");
    }
    paragraph(
        page,
        "Data files that the administrator knows to be lost or damaged for good. They raise no alarm any more and are \
         counted apart, until anything about them changes.",
    );
    let rows = report.acknowledged.iter().map(|loss| {
        let by = format!("{} {}", minute(&loss.at), loss.by.as_deref().unwrap_or(""));
        let ended = loss.ended_at.as_deref().map_or("stands".to_owned(), |at| format!("ended {}", minute(at)));
        let reason = loss.reason.as_deref().unwrap_or(if report.public { "left out" } else { "" });
        vec![
            Cell::text(&format!("file {}", loss.dvobject_id)),
            Cell::text(&loss.destination),
            Cell::text(loss.status),
            Cell::number(loss.copies),
            Cell::text(by.trim_end()),
            Cell::text(reason),
            Cell::text(&ended),
        ]
    });
    let headings = [
        ("Data file", ""),
        ("Destination", ""),
        ("Verdict", ""),
        ("Copies then", "num"),
        ("Acknowledged", ""),
        ("Reason", ""),
        ("Now", ""),
    ];
    table(page, &headings, rows);
}

fn drills(page: &mut String, report: &Report) {
    if report.drills.is_empty() {
        return paragraph(page, "No drill is on record in the period: nobody tried whether files come back.");
    }
    let known = |count: Option<u64>| count.map_or(Cell::text("not known"), Cell::number);
    let rows = report.drills.iter().map(|drill| {
        vec![
            Cell::text(&minute(&drill.started)),
            Cell::text(&drill.destinations.join(", ")),
            known(drill.sample),
            known(drill.population),
            Cell::figure(&drill.bytes.map_or("not known".to_owned(), bytes)),
            Cell::figure(
                &drill.milliseconds.map_or("not known".to_owned(), |it| format!("{} s", number(it.div_ceil(1_000)))),
            ),
            known(drill.good),
            known(drill.by_dataverse),
            known(drill.failed),
            outcome(&drill.outcome),
        ]
    });
    let headings = [
        ("When", ""),
        ("From", ""),
        ("Sample", "num"),
        ("Out of", "num"),
        ("Bytes", "num"),
        ("Duration", "num"),
        ("Came back right", "num"),
        ("By Dataverse's checksum", "num"),
        ("Failed", "num"),
        ("Result", ""),
    ];
    table(page, &headings, rows);
}

fn outcome(it: &Outcome) -> Cell {
    let class = match it.exit_code {
        Some(0) => "met",
        Some(_) => "not-met",
        None => "none",
    };
    Cell::state(class, it.words)
}

fn purges(page: &mut String, report: &Report) {
    if report.purges.commands == 0 {
        return paragraph(page, "No purge is on record in the period: this program deleted no copy.");
    }
    let deleting = counted(report.purges.commands, "command", "commands");
    paragraph(page, &format!("{deleting} deleted copies on purpose."));
    let rows = report.purges.by_basis.iter().map(|it| vec![Cell::text(&it.basis), Cell::number(it.objects)]);
    table(page, &[("Basis", ""), ("Objects", "num")], rows);
}

fn overrides(page: &mut String, report: &Report) {
    if report.overrides.is_empty() {
        return paragraph(page, "No safety brake was taken off in the period.");
    }
    let rows = report.overrides.iter().map(|overridden| {
        vec![
            Cell::text(&minute(&overridden.started)),
            Cell::text(&overridden.command),
            Cell::code(&overridden.overrides.join(", ")),
            Cell::text(overridden.scope.as_deref().unwrap_or("a selection")),
            Cell::maybe(overridden.by.as_deref()),
            outcome(&overridden.outcome),
        ]
    });
    let headings = [("When", ""), ("Command", ""), ("Override", ""), ("Scope", ""), ("By", ""), ("Result", "")];
    table(page, &headings, rows);
}

fn commands(page: &mut String, report: &Report) {
    if report.commands.is_empty() {
        return paragraph(page, "No command is on record in the period.");
    }
    let rows = report.commands.iter().map(|command| {
        vec![
            Cell::text(&command.command),
            Cell::number(command.times),
            Cell::number(command.good),
            Cell::number(command.otherwise),
            Cell::number(command.without_end),
            Cell::text(&minute(&command.last)),
        ]
    });
    let headings = [
        ("Command", ""),
        ("Times", "num"),
        ("Ended well", "num"),
        ("Ended otherwise", "num"),
        ("Without an end", "num"),
        ("Last", ""),
    ];
    table(page, &headings, rows);
    fine(
        page,
        "Each command is a line of the event log, with who gave it, on which host, by which version: see the JSON form.",
    );
}

fn course(page: &mut String, report: &Report) {
    page.push_str("<div class=\"pictures\">");
    pictures::course(page, &report.course);
    page.push_str("</div>\n");
    fine(
        page,
        "Data files and coverage are those of the last run of everything in each month, at the destination where coverage \
         is lowest. Bytes are those of the copies that are proved today, by the month in which the ledger first knew them.",
    );
}

fn basis(page: &mut String, report: &Report) {
    let head = &report.head;
    let mut rows = vec![
        ("Installation", head.installation.clone().unwrap_or_else(|| "none yet: no run has begun".to_owned())),
        ("Stores of Dataverse", head.stores.join(", ")),
    ];
    rows.extend(head.made_by.clone().map(|it| ("Made by", it)));
    rows.extend(head.ledger.clone().map(|it| ("Ledger", it)));
    facts(page, rows.into_iter().map(|(what, said)| (what.to_owned(), Cell::text(&said))));
    page.push_str("<h3>Newest snapshots</h3>\n");
    if head.snapshots.is_empty() {
        paragraph(page, "No run has left one, as far as the ledger knows.");
    } else {
        let rows = head.snapshots.iter().map(|snapshot| {
            vec![
                Cell::text(&snapshot.destination),
                Cell::text(&snapshot.name),
                Cell::code(&snapshot.sha256),
                Cell::text(&minute(&snapshot.as_of)),
            ]
        });
        table(page, &[("Destination", ""), ("Snapshot", ""), ("SHA-256", ""), ("As of", "")], rows);
    }
    page.push_str("<h3>Policy as configured</h3>\n");
    facts(page, head.policy.iter().map(|it| (it.key.clone(), Cell::text(&it.value))));
}

fn not_shown(page: &mut String, report: &Report) {
    page.push_str("<ul>\n");
    for it in report.not_shown {
        let _ = writeln!(page, "<li>{}</li>", Escaped(it));
    }
    page.push_str("</ul>\n");
}

fn crosswalk(page: &mut String, report: &Report) {
    paragraph(
        page,
        "Where to look for what a framework asks. This report states facts; it does not say that a level or a requirement is met.",
    );
    let rows = report.crosswalk.iter().map(|row| {
        let all = [row.section, row.shows, row.core_trust_seal, row.ndsa, row.iso_16363, row.nestor, row.eosc_eden];
        all.map(Cell::text).into()
    });
    let headings = [
        ("Section", ""),
        ("Shows", ""),
        ("CoreTrustSeal 2023–2025", ""),
        ("NDSA Levels 2.0", ""),
        ("ISO 16363:2012", ""),
        ("nestor Seal", ""),
        ("EOSC EDEN", ""),
    ];
    table(page, &headings, rows);
}
