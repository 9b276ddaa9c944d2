//! The page in a real browser: nothing runs, nothing is cut off, on a screen, on a telephone and on paper.

use std::fs;
use std::path::Path;
use std::process::Command;

use dvb_report::{gather, html};
use dvb_testkit::chromium::chromium;
use tempfile::TempDir;

use crate::made::{facts, ledger, with_history};

const SECTIONS: &[&str] = &[
    "promises",
    "holdings",
    "destinations",
    "fixity",
    "incidents",
    "losses",
    "drills",
    "purges",
    "overrides",
    "commands",
    "course",
    "basis",
    "not-shown",
    "crosswalk",
];

fn page(folder: &TempDir, public: bool) -> String {
    html(&gather(&with_history(folder), &facts(public)).unwrap())
}

/// How wide the page is in a frame of this width, measured by the browser; and its text as it stands in the DOM.
fn measured(folder: &Path, page: &str, width: u32) -> (u32, String) {
    let source = page.replace('&', "&amp;").replace('"', "&quot;");
    // The frame has the page's own policy; the measuring script is that of the page around it.
    let around = format!(
        "<!DOCTYPE html><meta charset=utf-8><iframe id=f style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{source}\"></iframe>\
         <script>f.onload = () => {{ const d = f.contentDocument;\
         document.title = 'wide=' + d.documentElement.scrollWidth + ' alert=' + (window.pwned || 0);\
         const t = document.createElement('pre'); t.id = 'text'; t.textContent = d.body.innerHTML; document.body.append(t); }};\
         window.alert = () => {{ window.pwned = 1; }};</script>"
    );
    let path = folder.join(format!("around-{width}.html"));
    fs::write(&path, around).unwrap();
    let dom = String::from_utf8(chromium(&["--dump-dom", "--virtual-time-budget=5000"], &path)).unwrap();
    let title = dom.split("<title>").nth(1).and_then(|it| it.split("</title>").next());
    let title = title.unwrap_or_else(|| panic!("it did not load: {}", &dom[..dom.len().min(2_000)]));
    assert!(title.ends_with("alert=0"), "{title}");
    let wide = title.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
    let text = dom.split("<pre id=\"text\">").nth(1).expect("text").to_owned();
    (wide, text)
}

#[test]
fn a_browser_shows_every_section_and_cuts_nothing_off() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&folder, false);
    for width in [1280, 360] {
        let (wide, text) = measured(folder.path(), &page, width);
        assert!(wide <= width, "the page is {wide} wide in {width}");
        for id in SECTIONS {
            assert!(text.contains(&format!("section id=\"{id}\"")), "{id}");
        }
        assert!(text.contains("2 of 10 copies are older than the promised 30 d"));
    }
    // What is not there is said, and takes no more room.
    let empty = tempfile::tempdir().unwrap();
    let page = html(&gather(&ledger(&empty), &facts(false)).unwrap());
    let (wide, text) = measured(empty.path(), &page, 360);
    assert!(wide <= 360 && text.contains("nobody tried whether files come back"), "{wide}");
}

#[test]
fn nothing_runs_and_nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&folder, false);
    assert!(!page.contains("<script"), "markup of a label");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "the label as text");
    assert!(!page.contains(['\u{202e}', '\u{1b}']) && page.contains("\\u{202e}txt.exe"));
    for loads in [" src=", "url(", "@import", "<link", "<img", "<iframe", "onload", "http:"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.contains(&"x".repeat(1_000)), "a long label is there in full");
}

#[test]
fn it_prints_on_paper_and_has_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    // Kept out of the repository; where to, whoever wants to see them says.
    let kept = std::env::var_os("DVB_SCREENSHOTS").map_or_else(|| folder.path().to_owned(), Into::into);
    let path = folder.path().join("report.html");
    fs::write(&path, page(&folder, false)).unwrap();
    for (name, size) in [("wide.png", "--window-size=1280,5200"), ("narrow.png", "--window-size=360,9000")] {
        let picture = kept.join(name);
        let _ = chromium(&[&format!("--screenshot={}", picture.display()), size], &path);
        assert!(fs::metadata(&picture).unwrap().len() > 20_000, "{name}");
    }
    let paper = kept.join("report.pdf");
    let _ = chromium(&[&format!("--print-to-pdf={}", paper.display()), "--no-pdf-header-footer"], &path);
    let output = Command::new("pdftotext").arg("-layout").arg(&paper).arg("-").output();
    let output = output.unwrap_or_else(|error| panic!("start pdftotext (Debian: apt install poppler-utils): {error}"));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["Custody report", "not met", "Crosswalk", "CoreTrustSeal"] {
        assert!(text.contains(part), "{part:?} is missing on paper:\n{text}");
    }
}

#[test]
fn a_public_page_names_nothing() {
    let folder = tempfile::tempdir().unwrap();
    crate::content::names_nothing(&page(&folder, true));
}
