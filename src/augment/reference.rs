//! The slow oracle.
