//! The time that an event's sender claims: any number at all, because a homeserver signs what it likes.

use jiff::Timestamp;

/// The time that `origin_server_ts` names. `None` where it lies before 1970 or after the year 9999.
///
/// Such a time is no time: our types count further back than PostgreSQL does, and one event that the database
/// refuses to take would keep its whole transaction, and all that come after it, from ever being stored.
pub fn claimed_at(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok().filter(|at| *at >= Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_calendar_of_ours_has_is_none() {
        for strange in [i64::MIN, -377_705_023_201_000, -210_866_803_200_001, -1, i64::MAX, 1 << 53] {
            assert_eq!(claimed_at(strange), None, "{strange}");
        }
        assert_eq!(claimed_at(0), Some(Timestamp::UNIX_EPOCH));
        assert!(claimed_at(1_767_225_600_000).is_some());
    }
}
