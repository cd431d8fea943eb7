//! Changes the tables: containers come and go, pins are added, all of it is made anew.

use super::member::{Member, Pin};
use super::rules::{self, Members, Name};
use super::{Egress, FAMILIES, Standing, State};
use crate::Error;
use netlink::nft::{Family, Realm, Transaction};
use std::time::{Duration, Instant};

impl Egress {
    /// A container that is new in `state` comes into the tables.
    pub(super) fn add(&self, state: &mut State, container: &str) -> Result<(), Error> {
        match state.standing {
            // All of them come together, see `settle`.
            None => return Ok(()),
            Some(standing) if standing.v4.is_none() => return self.rebuild(state),
            Some(_) => {}
        }
        let Some(member) = state.members.get(container) else { return Ok(()) };
        match self.add_member(member) {
            // Somebody removed a table, or left something in it.
            Err(e) if crate::publish::is_absent(&e) || is_present(&e) => self.rebuild(state),
            other => other,
        }
    }

    fn add_member(&self, member: &Member) -> Result<(), Error> {
        let now = Instant::now();
        let mut frames = Transaction::of_bridges();
        rules::add_speakers(&mut frames, &self.table, member.speakers());
        self.commit(frames)?;
        for family in FAMILIES {
            let mut t = Transaction::of(family);
            rules::add(&mut t, &self.table, family, &member.members(family, now));
            self.commit(t)?;
        }
        Ok(())
    }

    /// A container that is no longer in `state` goes out of the tables; with the last one they go.
    pub(super) fn take(&self, state: &mut State, member: &Member) -> Result<(), Error> {
        if state.standing.is_none() {
            return Ok(());
        }
        if state.members.is_empty() {
            return self.raze(state);
        }
        let gone = self.take_member(member);
        match gone {
            Err(e) if crate::publish::is_absent(&e) => self.rebuild(state),
            other => other,
        }
    }

    fn take_member(&self, member: &Member) -> Result<(), Error> {
        let now = Instant::now();
        for family in FAMILIES {
            let mut members = member.members(family, now);
            let pins: Vec<_> =
                [Name::Pins, Name::PinsAt].into_iter().filter_map(|name| members.remove_entry(&name)).collect();
            self.take_all(family, &members)?;
            for (name, pins) in pins {
                self.take_timed(family, name, pins)?;
            }
            self.take_tried(family, member)?;
        }
        let mut frames = Transaction::of_bridges();
        rules::remove_speakers(&mut frames, &self.table, member.speakers());
        self.commit(frames)
    }

    fn take_all(&self, family: Family, members: &Members) -> Result<(), Error> {
        let mut t = Transaction::of(family);
        rules::remove(&mut t, &self.table, family, members);
        self.commit(t)
    }

    /// What ends by itself may be gone already.
    fn take_timed(
        &self,
        family: Family,
        name: Name,
        members: Vec<(netlink::nft::Member, Option<Duration>)>,
    ) -> Result<(), Error> {
        match self.take_all(family, &Members::from([(name, members.clone())])) {
            Err(e) if crate::publish::is_absent(&e) => {}
            other => return other,
        }
        for member in members {
            match self.take_all(family, &Members::from([(name, vec![member])])) {
                Err(e) if !crate::publish::is_absent(&e) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next container with this address begins with nothing.
    fn take_tried(&self, family: Family, member: &Member) -> Result<(), Error> {
        for name in [Name::Refused, Name::Learned] {
            let told = self.filters.with(|socket| socket.members(family, &self.table, name.text()))?;
            let own = told.into_iter().filter(|told| super::usage::is_of(&told.key, &member.addresses));
            let own: Vec<_> = own.map(|told| (netlink::nft::Member::told(&told.key), None)).collect();
            self.take_timed(family, name, own)?;
        }
        Ok(())
    }

    /// Adds pins, or lets those that are there hold longer.
    pub(super) fn add_pins(&self, state: &mut State, pins: &[Pin]) -> Result<(), Error> {
        for family in FAMILIES {
            for name in [Name::Pins, Name::PinsAt] {
                let here = pins.iter().filter(|pin| pin.0 == family && pin.1 == name);
                let members: Vec<_> = here.map(|(_, _, member, holds)| (member.clone(), Some(*holds))).collect();
                if members.is_empty() {
                    continue;
                }
                // Before Linux 6.12 one that is there keeps its time: it has to go first, in the same moment.
                let mut t = Transaction::of(family);
                let again = Members::from([(name, members)]);
                rules::remove(&mut t, &self.table, family, &again);
                rules::add(&mut t, &self.table, family, &again);
                let renewed = self.commit(t);
                match renewed {
                    Err(e) if crate::publish::is_absent(&e) => self.add_each(state, family, &again)?,
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Some are new.
    fn add_each(&self, state: &mut State, family: Family, pins: &Members) -> Result<(), Error> {
        let mut t = Transaction::of(family);
        rules::add(&mut t, &self.table, family, pins);
        match self.commit(t) {
            Err(e) if crate::publish::is_absent(&e) => return self.rebuild(state),
            other => other?,
        }
        for (name, members) in pins {
            for member in members {
                let one = Members::from([(*name, vec![member.clone()])]);
                let mut t = Transaction::of(family);
                rules::remove(&mut t, &self.table, family, &one);
                rules::add(&mut t, &self.table, family, &one);
                self.commit(t)?;
            }
        }
        Ok(())
    }

    /// Makes all tables anew, each in one moment: no packet meets less than before and after. What was tried is remembered.
    pub(super) fn rebuild(&self, state: &mut State) -> Result<(), Error> {
        if state.standing.is_none() {
            return Ok(());
        }
        if state.members.is_empty() {
            return self.raze(state);
        }
        self.remember_tried(state);
        let now = Instant::now();
        let speakers: Vec<_> = state.members.values().flat_map(|member| member.speakers().to_vec()).collect();
        self.commit(rules::build_guard(&self.table, &speakers))?;
        for family in FAMILIES {
            let mut all = Members::new();
            for member in state.members.values() {
                for (name, members) in member.members(family, now) {
                    all.entry(name).or_default().extend(members);
                }
            }
            self.commit(rules::build(&self.table, family, self.group, &all))?;
        }
        state.standing = Some(self.look()?);
        Ok(())
    }

    fn raze(&self, state: &mut State) -> Result<(), Error> {
        state.standing = Some(Standing::default());
        for t in [Transaction::of(Family::Ip), Transaction::of(Family::Ip6), Transaction::of_bridges()] {
            self.commit(rules::raze(t, &self.table))?;
        }
        Ok(())
    }

    /// Takes over the pins that an earlier engine left.
    pub(super) fn inherit(&self, state: &mut State, family: Family) -> Result<(), Error> {
        for name in [Name::Pins, Name::PinsAt] {
            let told = self.filters.with(|socket| socket.members(family, &self.table, name.text()))?;
            for told in told {
                let Some(left) = told.left else { continue };
                for member in state.members.values_mut() {
                    member.inherit(family, name, &told.key, left);
                }
            }
        }
        Ok(())
    }

    pub(super) fn look(&self) -> Result<Standing, Error> {
        self.filters.with(|socket| {
            Ok(Standing {
                v4: socket.standing(Realm::Packets(Family::Ip), &self.table)?,
                v6: socket.standing(Realm::Packets(Family::Ip6), &self.table)?,
                frames: socket.standing(Realm::Frames, &self.table)?,
            })
        })
    }

    fn commit(&self, t: Transaction) -> Result<(), Error> {
        self.filters.with(|socket| t.commit(socket))
    }
}

fn is_present(error: &Error) -> bool {
    matches!(error, Error::Netlink { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
}
