use super::*;

fn parsed(text: &str) -> Option<String> {
    text.parse().ok().map(|time: Timestamp| time.to_string())
}

#[test]
fn offsets_become_utc() {
    for (text, expected) in [
        ("2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00Z"),
        ("2026-12-31T23:30:00-0130", "2027-01-01T01:00:00Z"),
        ("2024-02-29 12:00:00.5Z", "2024-02-29T12:00:00.5Z"),
        ("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.25Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
    ] {
        assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_point_in_time_is_refused() {
    for text in [
        "",
        "soon",
        "2026-11-23",
        "2026-11-23T09:30:00",
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T09:30:00.Z",
        "2026-11-23T09:30:00+1",
        "2026-11-23T09:30:00Zulu",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-11-23T09:30:00Z",
    ] {
        assert_eq!(parsed(text), None, "{text}");
    }
}

#[test]
fn every_day_of_eight_centuries_comes_back() {
    let mut before = (1599, 12, 31);
    for day in days_since_epoch(1600, 1, 1)..days_since_epoch(2400, 1, 1) {
        let date = civil(day);
        assert_eq!(days_since_epoch(date.0, date.1, date.2), day);
        assert!(date > before, "{date:?} after {before:?}");
        before = date;
    }
}

#[test]
fn epochs_of_every_unit_are_one_time() {
    let time = Timestamp::from_epoch("1503435956.000247").unwrap();
    assert_eq!(time.epoch_text(), "1503435956.000247");
    assert_eq!(
        Timestamp::from_epoch_millis(time.epoch_millis()),
        Timestamp::from_epoch_seconds(1_503_435_956)
    );
    assert_eq!(Timestamp::from_epoch_millis(-1).unwrap().to_string(), "1969-12-31T23:59:59.999Z");
    for text in ["", "1.", ".5", "-1.5", "+1", "1e9", "1.5.5", "99999999999999", "9999999999999999999999"] {
        assert_eq!(Timestamp::from_epoch(text), None, "{text}");
    }
}
