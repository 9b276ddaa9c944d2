//! Programs that embed dataverse-backup: see `examples/*.rs`.

/// The code in `docs/library.md` is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct LibraryPage;
