//! The documentation holds together: every link leads somewhere, and the book has every page.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// All pages, with their text.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut dirs = vec![root()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if name.ends_with(".md") {
                pages.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    pages
}

/// A page without its blocks of code.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in sentences(text) {
        // What stands between backticks is no link.
        let shown: String = line.split('`').step_by(2).collect();
        let targets = shown.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| target.to_owned()));
    }
    links
}

/// The names of a page's headings in addresses, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = sentences(text).filter(|it| it.starts_with('#')).map(|it| it.trim_start_matches('#').trim());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let name = |heading: &str| {
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings
        .map(|heading| {
            let name = name(heading);
            let number = seen.entry(name.clone()).or_default();
            *number += 1;
            if *number == 1 { name } else { format!("{name}-{}", *number - 1) }
        })
        .collect()
}

/// A path without `..`, though nothing may be there.
fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
        clean
    })
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut seen = 0;
    let mut wrong = String::new();
    for (page, text) in &pages {
        for link in links(text).into_iter().filter(|it| !it.contains("://") && !it.starts_with("mailto:")) {
            seen += 1;
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, it)| (path, Some(it)));
            let target = if path.is_empty() { page.clone() } else { clean(&page.parent().unwrap().join(path)) };
            // What the website has is docs alone.
            let docs = root().join("docs");
            let is_there = target.exists() && (!page.starts_with(&docs) || target.starts_with(&docs));
            let has_anchor = anchor.is_none_or(|it| pages.get(&target).is_some_and(|text| anchors(text).contains(it)));
            if !is_there || !has_anchor {
                wrong += &format!("{}: {link}\n", page.strip_prefix(root()).unwrap().display());
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere:\n{wrong}");
    assert!(seen > 100, "only {seen} links were found: is this test blind?");
}

/// A page that `docs/SUMMARY.md` does not name is not on the website.
#[test]
fn the_book_has_every_page_once() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let named = links(&summary);
    let mut once = named.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), named.len(), "a page is named twice: {named:?}");
    let there: BTreeSet<String> = pages()
        .keys()
        .filter_map(|it| it.strip_prefix(&docs).ok())
        .map(|it| it.to_string_lossy().into_owned())
        .filter(|it| it != "SUMMARY.md")
        .collect();
    assert_eq!(once.into_iter().collect::<BTreeSet<_>>(), there, "docs/SUMMARY.md, and what is in docs");
}

#[test]
fn headings_are_called_as_the_websites_do() {
    let anchors = anchors(
        "# [Database]\n## A container's environment\n## Coming from run_backup.py\n### A\n### A\n```\n# no\n```\n",
    );
    let expected = ["database", "a-containers-environment", "coming-from-run_backuppy", "a", "a-1"];
    assert_eq!(anchors, expected.iter().map(|&it| it.to_owned()).collect());
}
