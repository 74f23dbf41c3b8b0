//! What makes a scenario, and what is refused.

use super::*;

fn scenario(change: impl FnOnce(&mut Options)) -> anyhow::Result<Scenario> {
    let mut options = Options::default();
    change(&mut options);
    Scenario::from_options(options)
}

#[test]
fn faults_break_the_run_unless_allowed() {
    let thresholds = scenario(|options| options.thresholds.max_gaps = Some(5))
        .unwrap()
        .thresholds;
    assert_eq!(
        (
            thresholds.max_gaps,
            thresholds.max_duplicates,
            thresholds.max_foreign,
            thresholds.max_p99_ms
        ),
        (Some(5), Some(0), Some(0), None)
    );
}

#[test]
fn bystanders_are_measured_alone_and_beside_the_crowd() {
    let scenario = scenario(|options| options.shape = Some("bystander=10+1000".into())).unwrap();
    let stages: Vec<_> = scenario
        .timeline
        .stages()
        .iter()
        .map(|stage| (stage.name.as_str(), stage.measured, stage.rates.clone()))
        .collect();
    let steady = |rates: [f64; 2]| rates.map(Rate::steady).to_vec();
    assert_eq!(stages[1], ("alone", true, steady([20.0, 0.0])));
    assert_eq!(stages[3], ("beside", true, steady([20.0, 100.0])));
    assert_eq!(scenario.connections(), 1010 + 8);
}

#[test]
fn a_warm_up_of_no_length_is_no_stage() {
    for (shape, expected) in [
        ("rooms=1x2", ["load"].as_slice()),
        ("bystander=1+2", &["alone", "beside"]),
    ] {
        let scenario = scenario(|options| {
            options.shape = Some(shape.into());
            options.warmup = Some("0s".parse().unwrap());
        })
        .unwrap();
        let stages = scenario.timeline.stages().iter();
        let names: Vec<_> = stages.map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, expected, "{shape}");
    }
}

#[test]
fn members_of_each_room_are_spread_over_the_nodes() {
    for (shape, rooms) in [("rooms=4x6", 4), ("channel=1x12", 1), ("zipf=3x60@1", 3)] {
        let scenario = scenario(|options| {
            options.shape = Some(shape.into());
            options.url = Some("ws://127.0.0.1:1/,ws://127.0.0.1:2/".into());
        })
        .unwrap();
        let mut members = vec![[0_u32; 2]; rooms];
        for connection in 0..scenario.groups[0].connections {
            let room = scenario.groups[0].channel_of(connection).unwrap() as usize;
            let port = scenario.target_of(0, connection).address.port();
            members[room][usize::from(port) - 1] += 1;
        }
        assert!(
            members
                .iter()
                .all(|[one, two]| one.abs_diff(*two) <= (one + two) / 4),
            "{shape}: {members:?}"
        );
    }
}

#[test]
fn workers_share_everything_out() {
    for all in [0, 1, 7, 100] {
        let shares = (0..3).map(|first| Share { first, of: 3 }.count(all));
        assert_eq!(shares.sum::<u32>(), all);
    }
}

#[test]
fn idle_takes_its_number_from_connections() {
    let idle = |connections| {
        scenario(|options| {
            (options.shape, options.connections) = (Some("idle".into()), connections)
        })
    };
    assert_eq!(idle(Some(500)).unwrap().connections(), 500);
    assert!(idle(None).is_err());
}

#[test]
fn what_cannot_run_is_refused() {
    let refused: [fn(&mut Options); 8] = [
        |options| options.rate = Some(0.0),
        |options| options.payload_bytes = Some(10),
        |options| options.payload_bytes = Some(40_000),
        |options| options.stuck_readers = Some(1_001),
        |options| options.form = Some("xml".into()),
        |options| options.duration = Some("0s".parse().unwrap()),
        |options| options.connections = Some(5),
        |options| options.url = Some("ws://192.0.2.1/".into()),
    ];
    for (index, change) in refused.into_iter().enumerate() {
        assert!(scenario(change).is_err(), "case {index} was accepted");
    }
}

#[test]
fn what_is_too_much_for_one_machines_ports_is_not_too_much_for_several() {
    let part = |share| {
        let options = Options {
            url: Some("ws://192.0.2.1/".into()),
            allow_remote: true,
            shape: Some("idle=60000".into()),
            ..Options::default()
        };
        Scenario::part(options, share).unwrap()
    };
    assert!(part(Share::WHOLE).check_ports().is_err());
    assert!(part(Share { first: 0, of: 2 }).check_ports().is_err());
    assert!(part(Share { first: 2, of: 3 }).check_ports().is_ok());
}

#[test]
fn every_source_address_has_its_ports() {
    let check = |sources: &str| {
        let scenario = scenario(|options| {
            (options.shape, options.sources) = (Some("idle=50000".into()), Some(sources.into()));
        });
        scenario.unwrap().check_ports()
    };
    assert!(check("127.0.0.1").is_err());
    assert!(check("127.0.0.1-127.0.0.2").is_ok());
}
