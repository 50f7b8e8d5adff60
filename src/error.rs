//! One error for the programs: what a stage said, and the exit code that goes with it.

use std::process::ExitCode;

use crate::config::ConfigError;
#[cfg(feature = "torch")]
use crate::train::TrainError;

/// Why a program ends without having done its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be: exit code 2.
    #[error(transparent)]
    Usage(#[from] ConfigError),
    /// libtorch or a bug gave up: exit code 1.
    #[error("{0}; out of memory, or a bug: RUST_BACKTRACE=1 shows where, please report it")]
    Panicked(String),
    /// It can be, but failed: exit code 1.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Train(Box<TrainError>),
}

#[cfg(feature = "torch")]
impl From<TrainError> for Error {
    /// A config that only shows to be wrong once data and folders are looked at is still a matter of usage.
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Config(error) => Self::Usage(*error),
            error => Self::Train(error.into()),
        }
    }
}

impl Error {
    /// A panic that was caught, from its payload: its first line.
    pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
        Self::Panicked(text.lines().next().unwrap_or_default().to_owned())
    }

    /// 2 for usage, 1 for failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Panicked(_) => 1,
            #[cfg(feature = "torch")]
            Self::Train(error) => {
                if error.is_usage() {
                    2
                } else {
                    1
                }
            }
        })
    }
}
