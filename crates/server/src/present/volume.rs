//! A volume as Docker shows it.

use api::types::VolumeSummary;
use engine::Volume;

/// What lists and `inspect` show.
pub fn of(volume: Volume) -> VolumeSummary {
    VolumeSummary {
        created_at: volume.created_at,
        driver: "local".to_owned(),
        labels: Some(volume.labels).filter(|labels| !labels.is_empty()),
        mountpoint: volume.mountpoint.display().to_string(),
        name: volume.name,
        options: Some(volume.options).filter(|options| !options.is_empty()),
        scope: "local".to_owned(),
    }
}
