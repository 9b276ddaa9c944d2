//! What lies at a key and is no file any more.

use std::fs;

use dvb_storage::Cause;
use dvb_testkit::files;
use dvb_testkit::sshd::Kind;

use super::{connect, get, key, put, server};

#[test]
fn a_folder_or_a_pipe_in_the_place_of_a_copy_is_broken_and_can_be_set_aside() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("broken");
        let mut session = connect(&account);
        put(session.as_mut(), "d/good", b"bytes").unwrap();
        for name in ["folder", "pipe"] {
            let at = account.local.join("d").join(name);
            if name == "folder" {
                fs::create_dir(&at).unwrap()
            } else {
                files::pipe(&at)
            }
            account.hand_over(&at);
            let bad = key(&format!("d/{name}"));
            let keys = [key("d/good"), bad.clone(), key("d/none")];
            let [good, broken, none] = <[_; 3]>::try_from(session.stat(&keys).unwrap()).unwrap();
            assert_eq!(good.unwrap().map(|it| it.size), Some(5), "{kind:?} {name}");
            assert_eq!((broken.unwrap_err().cause, none.unwrap()), (Cause::Broken, None), "{kind:?} {name}");
            let [good, broken, none] = <[_; 3]>::try_from(session.measure(&keys, &[]).unwrap()).unwrap();
            assert_eq!((good.unwrap().size, none.unwrap_err().cause), (5, Cause::Missing), "{kind:?} {name}");
            let broken = broken.unwrap_err();
            assert_eq!(broken.cause, Cause::Broken, "{kind:?} {name}");
            assert!(broken.attempt.contains(name), "{kind:?}: {broken}");
            assert_eq!(session.open(&bad).err().unwrap().cause, Cause::Broken, "{kind:?} {name}");
            session.rename(&bad, &key(&format!("aside/{name}"))).unwrap();
            put(session.as_mut(), bad.as_str(), b"again").unwrap();
            assert_eq!(get(session.as_mut(), bad.as_str()), b"again", "{kind:?} {name}");
        }
    }
}
