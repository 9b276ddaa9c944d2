//! A Dataverse in a container: its environment says where everything is.

use serde_json::json;

use crate::site::{Site, done, write};

/// What a container of this site would have, and a configuration that knows of nothing else.
fn contained(site: &mut Site) -> Vec<String> {
    let database = &site.database;
    let variables = vec![
        format!("DATAVERSE_DB_HOST={}", database.host),
        format!("DATAVERSE_DB_PORT={}", database.port),
        format!("DATAVERSE_DB_NAME={}", database.name),
        format!("DATAVERSE_DB_USER={}", database.user),
        format!("DATAVERSE_DB_PASSWORD={}", database.password),
        "dataverse_files_file_type=file".to_owned(),
        format!("dataverse_files_file_directory={}", site.path("files").display()),
    ];
    site.set("Database", &format!("BackupDatabase: sqlite:{}", site.path("state/ledger.db").display()));
    variables
}

#[test]
fn a_container_is_backed_up_by_what_docker_says_of_it() {
    let mut site = Site::new();
    let variables = contained(&mut site);
    let file = site.path("inspect.json");
    write(&file, &json!([{ "Id": "0", "Config": { "Env": variables } }]).to_string());
    site.set("Repository", &format!("Environment: {}", file.display()));
    site.call(&["init"]).expect(0);
    let place = file.display().to_string();
    let checked = site.call(&["check"]).expect(0).says(&["environment: ", &place, "stores file, local"]);
    let drawn = format!("{}  ", site.path("files").display());
    checked.says(&["[Database] Password, Host, Database, Username, Port from", "not needed", drawn.trim_end()]);
    assert_eq!(site.call(&["run", "--json"]).expect(0).json()["files"]["copied"], 3);
    // A section goes before it.
    site.set("Store file", "Type: file\nDirectory: /nowhere");
    site.call(&["check"]).says(&["[Store file]", "/nowhere"]);
}

#[test]
fn this_process_may_be_in_the_container() {
    let mut site = Site::new();
    let variables = contained(&mut site);
    site.set("Repository", "AuxiliaryObjects: yes");
    let call = |words: &[&str]| {
        let mut command = site.command(words);
        command.envs(variables.iter().filter_map(|it| it.split_once('=')));
        done(&mut command)
    };
    call(&["init"]).expect(0);
    call(&["check"]).expect(0).says(&["environment: this process's own: stores file, local", "from the environment"]);
    assert_eq!(call(&["run", "--json"]).expect(0).json()["files"]["copied"], 3);
    // Without it, nothing is known.
    site.call(&["run"]).expect(2);
}

#[test]
fn an_environment_that_others_can_read_is_refused() {
    let mut site = Site::new();
    let variables = contained(&mut site);
    let file = site.path("dataverse.env");
    std::fs::write(&file, variables.join("\n").replace("PASSWORD=secret", "PASSWORD=swordfish")).unwrap();
    site.set("Repository", &format!("Environment: {}", file.display()));
    let chmod = format!("chmod 600 {}", file.display());
    let refused = site.call(&["run"]).expect(7).says(&[&chmod]);
    assert!(!refused.err.contains("swordfish"), "{refused}");
}
