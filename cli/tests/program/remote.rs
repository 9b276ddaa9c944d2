//! Files on somebody else's web server, copied because `Policy: copy` says so.

use std::fs;

use crate::listeners::Listener;
use crate::site::Site;

/// What [`Listener::web`] gives out: MD5 of "OK".
const OK_MD5: &str = "e0aa021e21dddbd6d8cecec71e9cf564";

fn site_with_a_remote_file() -> Site {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let id = site.world.files[0].id;
    site.database.execute(&format!(
        "UPDATE dvobject SET storageidentifier = 'trsa://18b3//a b/c.csv' WHERE id = {id};
         UPDATE datafile SET checksumtype = 'MD5', checksumvalue = '{OK_MD5}', filesize = 2 WHERE id = {id}"
    ));
    site
}

#[test]
fn a_remote_file_is_copied_by_its_signed_address_where_the_policy_says_so() {
    let mut site = site_with_a_remote_file();
    let web = Listener::web();
    site.add("Store trsa", &format!("Type: remote\nBaseUrl: http://127.0.0.1:{}/d\nSecretKey: secret", web.port));
    let json = site.call(&["run", "--json"]).expect(0).json();
    assert_eq!((&json["files"]["copied"], &json["files"]["not_covered"]), (&2.into(), &1.into()), "{json}");
    assert!(web.rest().is_empty(), "only recorded");

    site.add("Store trsa", "Policy: copy");
    site.call(&["check"]).expect(0).says(&["OK    store trsa: http://127.0.0.1:", "1 data file names it"]);
    web.rest();
    let json = site.call(&["run", "--json"]).expect(0).json();
    assert_eq!((&json["files"]["copied"], &json["files"]["not_covered"]), (&1.into(), &0.into()), "{json}");
    assert_eq!(fs::read(site.path("copies/10.5072/FK2/ABC/18b3")).unwrap(), b"OK");
    let asked = web.rest();
    let is_signed = |it: &String| it.starts_with("GET /d/a%20b/c.csv?until=") && it.contains("&method=GET&token=");
    // Besides the file, only whether the server is there, and whether this is the store that the catalogue speaks of.
    let is_trial = |it: &String| it.starts_with("GET /d/?until=") && it.contains("&method=GET&token=");
    assert!(asked.iter().all(|it| is_trial(it) || is_signed(it)) && asked.last().is_some_and(is_signed), "{asked:?}");
    assert!(asked.len() <= 5, "{asked:?}");
}

#[test]
fn an_identifier_that_leads_out_of_the_store_is_not_asked_for() {
    let mut site = site_with_a_remote_file();
    let web = Listener::web();
    site.add("Store trsa", &format!("Type: remote\nBaseUrl: http://127.0.0.1:{}/d\nPolicy: copy", web.port));
    let id = site.world.files[0].id;
    site.database
        .execute(&format!("UPDATE dvobject SET storageidentifier = 'trsa://18b3//%2e%2e/secret' WHERE id = {id}"));
    site.call(&["run"]).expect(1).says(&["FAIL_READ", "leads out of the store"]);
    assert!(web.rest().iter().all(|it| it.starts_with("GET /d/ ")));
}
