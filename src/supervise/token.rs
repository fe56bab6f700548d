//! What an event of a descriptor is about. Knows nothing of children but their places.

use rustix::event::epoll;

/// The place of a child, the generation of that place, so that an event of a child that has gone is
/// known as such, and what of it; packed in 64 bits.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) place: u32,
    pub(crate) generation: u32,
    pub(crate) part: Part,
}

/// Which of its descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Stdout,
    Stderr,
    Process,
    Bell,
}

impl Token {
    /// That of no child.
    pub(crate) const BELL: Self = Self { place: 0, generation: 0, part: Part::Bell };

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place) << 2 | self.part as u64
    }

    pub(crate) fn unpack(data: u64) -> Self {
        let part = match data & 3 {
            0 => Part::Stdout,
            1 => Part::Stderr,
            2 => Part::Process,
            _ => Part::Bell,
        };
        Self { place: (data as u32) >> 2, generation: (data >> 32) as u32, part }
    }

    pub(crate) fn data(self) -> epoll::EventData {
        epoll::EventData::new_u64(self.pack())
    }
}
