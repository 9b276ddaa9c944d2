//! What one session of a destination finds out, all others of it know.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dvb_storage::Setting;

/// Found out so far.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    /// The shell is not worth waiting for.
    no_shell: AtomicBool,
    /// Temporaries that cannot be removed, and that no session uses.
    left: Mutex<Vec<String>>,
    /// Uploads that were cut, each with its size, by the mark of the key that they are for.
    cut: Mutex<HashMap<String, (String, u64)>>,
    notes: Mutex<Vec<String>>,
    pub(crate) handles: Arc<Handles>,
}

impl Lessons {
    /// Whether a shell is asked for digests.
    pub(crate) fn may_use_shell(&self) -> bool {
        !self.no_shell.load(Ordering::Relaxed)
    }

    /// No session asks for a shell any more, for this reason.
    pub(crate) fn give_up_shell(&self, why: String) {
        if !self.no_shell.swap(true, Ordering::Relaxed) {
            self.note(why);
        }
    }

    /// Something for the administrator, once.
    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// What was noted so far.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes.extend(self.handles.note());
        notes
    }

    /// Keeps temporaries that cannot be removed for whoever can use their names.
    pub(crate) fn keep(&self, left: impl IntoIterator<Item = String>) {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        for path in left {
            if !all.contains(&path) {
                all.push(path);
            }
        }
    }

    /// Remembers an upload that was cut; of several for one key, the one that came farthest.
    pub(crate) fn remember_cut(&self, mark: &str, path: String, size: u64) {
        let mut all = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(mark).is_none_or(|it| it.1 < size) {
            all.insert(mark.to_owned(), (path, size));
        }
    }

    /// The upload for a key that was cut; whoever asks goes on with it.
    pub(crate) fn take_cut(&self, mark: &str) -> Option<String> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).remove(mark).map(|it| it.0)
    }

    /// One of the temporaries that are kept.
    pub(crate) fn take_left(&self) -> Option<String> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Files that are open at the server, over all sessions; some servers allow few.
#[derive(Debug)]
pub(crate) struct Handles {
    held: AtomicUsize,
    most: AtomicUsize,
    /// What was refused was given when fewer were open.
    minds: AtomicBool,
}

impl Default for Handles {
    fn default() -> Self {
        Self { held: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX), minds: AtomicBool::new(false) }
    }
}

impl Handles {
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether one more would be refused.
    pub(crate) fn are_all_taken(&self) -> bool {
        self.held() >= self.most()
    }

    /// As many as are allowed, as far as that is known.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// The server refused one more than these.
    pub(crate) fn no_more_than(&self, count: usize) {
        self.most.fetch_min(count.max(1), Ordering::Relaxed);
    }

    /// It was their number.
    pub(crate) fn confirm(&self) {
        self.minds.store(true, Ordering::Relaxed);
    }

    fn note(&self) -> Option<String> {
        let most = self.most();
        (most < usize::MAX && self.minds.load(Ordering::Relaxed)).then(|| {
            let files = if most == 1 { "one open file".to_owned() } else { format!("{most} open files") };
            format!(
                "the server allows {files} at a time, so that files are stored one after the other: {}: {most} says so from \
                 the start",
                Setting::OpenFiles
            )
        })
    }
}
