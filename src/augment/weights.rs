//! Resample tables.
