//! Puts the rules of networks back as soon as another program has taken them away (CVE-2025-54410: a firewall that is loaded anew
//! must not leave networks open to each other).

use crate::{Engine, Error, Result};
use network::News;
use std::sync::Arc;
use std::time::Duration;

/// A firewall makes its changes one after the other: they are looked at together.
const BREATH: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_secs(1);

impl Engine {
    /// Follows the changes of this machine's rules for as long as the engine lives: a thread that sleeps while nobody changes them.
    pub(crate) fn watch_rules(&self) -> Result<()> {
        let news = News::open().map_err(network::Error::from)?;
        let house = Arc::downgrade(&self.house);
        let follow = move || {
            while let Some(mut heard) = news.wait() {
                std::thread::park_timeout(BREATH);
                // What came meanwhile is looked at now, not once more.
                news.gather(&mut heard);
                let Some(house) = house.upgrade() else { return };
                house.networks.ground.hear(&heard);
                house.networks.egress.hear(&heard);
                Engine { house }.check_networks();
                if heard.lost {
                    // What was just made anew may be what is too much to hear: not again and again without a pause.
                    std::thread::park_timeout(REST);
                }
            }
        };
        let thread = std::thread::Builder::new().name("rules".into()).stack_size(512 << 10);
        let started = thread.spawn(follow);
        started.map(drop).map_err(|source| Error::Io { action: "watch the rules of this machine".into(), source })
    }

    fn check_networks(&self) {
        if let Err(e) = self.house.networks.egress.check() {
            tracing::warn!("cannot check the egress rules: {}", base::chain(&e));
        }
        for entry in self.house.networks.all() {
            if let Some(driver) = &entry.driver
                && let Err(e) = driver.check()
            {
                tracing::warn!("cannot check the rules of the network {}: {}", entry.record.name, base::chain(&e));
            }
        }
    }
}
