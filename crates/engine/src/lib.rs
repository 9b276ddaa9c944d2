//! One run: what is due, copy, prove, record.
