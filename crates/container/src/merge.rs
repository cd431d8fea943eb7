//! Fills what the user left open with the image's defaults.

use crate::Config;

/// `config` with the defaults of `image`, by Docker's rules: an entrypoint of the user's resets the image's command; env of
/// the user's wins by key; exposed ports, volumes and labels are joined.
pub fn merge(config: Config, image: &oci::image::Config) -> Result<Config, MergeError> {
    let _ = (config, image);
    todo!()
}

/// Why a configuration cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    #[error("no command specified")]
    NoCommand,
}
