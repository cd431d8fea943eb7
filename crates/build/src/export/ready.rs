//! A result as it is to go out: its times as this output wants them.

use super::Export;
use super::options::Options;
use crate::Result;
use crate::solved::Product;
use base::Digest;
use image::outbound::Outbound;
use oci::image::{Image, Platform};
use std::collections::BTreeMap;

/// The result for one platform.
#[derive(Debug)]
pub(super) struct Ready {
    pub platform: Platform,
    pub image: Image,
    /// Lowest first; bytes of the tars of those that were made here.
    pub layers: Vec<(Digest, Option<u64>)>,
}

impl Ready {
    /// Bytes of the tars of the layers that were made here.
    pub fn tars(&self) -> BTreeMap<Digest, u64> {
        self.layers.iter().filter_map(|(layer, tar)| Some((*layer, (*tar)?))).collect()
    }
}

/// All results. `outbound` keeps layers that were written anew.
pub(super) fn all(export: &Export<'_>, outbound: &Outbound<'_>, options: &Options) -> Result<Vec<Ready>> {
    let epoch = options.epoch.or(export.solved.epoch);
    let rewrite = epoch.filter(|_| options.rewrite_timestamp);
    if let Some(seconds) = rewrite {
        export.begun(&format!("rewriting layers with source-date-epoch {seconds}"));
    } else if options.rewrite_timestamp {
        export.warn("rewrite-timestamp is specified, but no source-date-epoch was found");
    }
    let ready = export.solved.results().iter().map(|product| one(product, outbound, epoch, rewrite));
    let ready: Vec<Ready> = ready.collect::<Result<_>>()?;
    if let Some(seconds) = rewrite {
        export.ended(&format!("rewriting layers with source-date-epoch {seconds}"));
    }
    Ok(ready)
}

fn one(product: &Product, outbound: &Outbound<'_>, epoch: Option<i64>, rewrite: Option<i64>) -> Result<Ready> {
    let mut image = product.image.clone();
    if let Some(at) = epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
        clamp(&mut image, product.base_lines, at);
    }
    let mut layers = Vec::new();
    for (index, layer) in product.layers.iter().enumerate() {
        // Layers of the image that it stands on are others' and stay what they are.
        let layer = match rewrite.filter(|_| index >= product.base_layers) {
            Some(seconds) => {
                let (layer, tar) = outbound.clamp(layer, seconds)?;
                (layer, Some(tar))
            }
            None => (*layer, product.tars.get(layer).copied()),
        };
        layers.push(layer);
    }
    image.rootfs.diff_ids = layers.iter().map(|(layer, _)| *layer).collect();
    Ok(Ready { platform: product.platform.clone(), image, layers })
}

/// Nothing of what was done here is younger than `at`.
fn clamp(image: &mut Image, base_lines: usize, at: jiff::Timestamp) {
    let clamp = |time: &mut Option<String>| {
        let parsed = time.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if parsed.is_none_or(|time| time > at) {
            *time = Some(at.to_string());
        }
    };
    image.history.iter_mut().skip(base_lines).for_each(|line| clamp(&mut line.created));
    clamp(&mut image.created);
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::image::History;

    #[test]
    fn times_of_the_base_stay_and_those_of_the_build_are_clamped() {
        let line = |created: &str| History { created: Some(created.to_owned()), ..History::default() };
        let mut image = Image {
            created: Some("2024-05-05T00:00:00Z".to_owned()),
            history: vec![line("2024-01-01T00:00:00Z"), line("1999-01-01T00:00:00Z"), line("2024-05-05T00:00:00Z")],
            ..Image::default()
        };
        clamp(&mut image, 1, jiff::Timestamp::from_second(946_684_800).unwrap());
        let times: Vec<_> = image.history.iter().filter_map(|line| line.created.as_deref()).collect();
        assert_eq!(times, ["2024-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "2000-01-01T00:00:00Z"]);
        assert_eq!(image.created.as_deref(), Some("2000-01-01T00:00:00Z"));
    }
}
