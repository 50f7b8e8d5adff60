//! episode
