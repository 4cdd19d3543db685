use core::time::Duration;

use super::*;
use crate::{
    testkit::{self, HONEST, TIME},
    time::UnixMillis,
};

fn request() -> AddCheckpoint {
    AddCheckpoint::new(3, HONEST.consistency(3, 7), HONEST.note(7, &[])).unwrap()
}

#[test]
fn requests_format_and_parse() {
    let request = request();
    assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()), Ok(request.clone()));
    let first = AddCheckpoint::new(0, Vec::new(), HONEST.note(7, &[])).unwrap();
    assert!(first.to_string().starts_with("old 0\n\nlog.example/one\n7\n"));
    assert_eq!(AddCheckpoint::parse(first.to_string().as_bytes()), Ok(first));
}

#[test]
fn malformed_requests_are_told_apart() {
    let good = request().to_string();
    let hash = good.lines().nth(1).unwrap();
    let with =
        |from: &str, to: &str| AddCheckpoint::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
    for old in [
        "old 03",
        "old +3",
        "old",
        "old ",
        "old  3",
        "old 3 ",
        "Old 3",
        "size 3",
        "",
        "old 18446744073709551616",
        "old 3\r",
    ] {
        assert_eq!(with("old 3", old), RequestError::BadOldSize, "{old:?}");
    }
    for bad in
        [&hash[1..], "", &format!("{hash} "), &hash.replace('=', ""), &format!("{hash}\r"), "not base64"]
    {
        let error = with(hash, bad);
        // An empty line ends the proof early: then the other hashes are taken for lines of the checkpoint.
        assert!(matches!(error, RequestError::BadHash | RequestError::BadCheckpoint(_)), "{bad:?}: {error}");
    }
    let lines = |n: usize| format!("old 3\n{}", format!("{hash}\n").repeat(n));
    let with_lines = |n| AddCheckpoint::parse(format!("{}\n{}", lines(n), request().note()).as_bytes());
    assert_eq!(with_lines(63).map(|request| request.proof().len()), Ok(63));
    assert_eq!(with_lines(64), Err(RequestError::TooManyHashes));
    assert_eq!(AddCheckpoint::parse(b""), Err(RequestError::NoBlankLine));
    assert_eq!(AddCheckpoint::parse(b"old 0\n\n"), Err(RequestError::BadNote(NoteError::NoSignatures)));
    assert_eq!(AddCheckpoint::parse(&[0xff; 9]), Err(RequestError::NotUtf8));
    assert_eq!(AddCheckpoint::parse(&vec![b'a'; MAX_REQUEST_LEN + 1]), Err(RequestError::TooLong));
    for end in 0..good.len() {
        assert!(AddCheckpoint::parse(&good.as_bytes()[..end]).is_err(), "truncated at {end}");
    }
}

#[test]
fn sizes_have_one_spelling() {
    assert_eq!(format_size(0), "0\n");
    for size in [0, 1, u64::MAX] {
        assert_eq!(parse_size(format_size(size).as_bytes()), Some(size));
    }
    for bad in [
        "",
        "\n",
        "5",
        "05\n",
        "+5\n",
        "5\n\n",
        " 5\n",
        "18446744073709551616\n",
        "5\r\n",
        "184467440737095516150\n",
    ] {
        assert_eq!(parse_size(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(parse_size(&[b'1'; 100_000]), None);
}

#[test]
fn the_path_is_the_hash_of_the_origin_alone() {
    let digest = hex::encode(sha256(&[b"example.com/behind-the-sofa"]));
    assert_eq!(checkpoint_path("example.com/behind-the-sofa"), format!("{digest}/checkpoint"));
}

#[test]
fn answers_are_hostile() {
    let checkpoint = HONEST.checkpoint(7);
    let (ours, other) = (testkit::witness(1), testkit::witness(2));
    let horizon = Horizon::at(TIME.to_millis().unwrap(), Duration::from_secs(5));
    let parse = |lines: &[SignatureLine]| {
        parse_cosignatures(
            note::format_signature_lines(lines).as_bytes(),
            &checkpoint,
            &[ours.vkey()],
            horizon,
        )
    };
    let good = ours.cosign(&checkpoint, TIME).unwrap();
    let junk = other.cosign(&checkpoint, TIME).unwrap();
    assert_eq!(parse(std::slice::from_ref(&good)), Ok(vec![good.clone()]));
    assert_eq!(parse(&[junk.clone(), good.clone(), junk.clone()]), Ok(vec![good.clone()]));
    assert_eq!(parse(std::slice::from_ref(&junk)), Err(ResponseError::NoCosignature));
    assert_eq!(parse(&[]), Err(ResponseError::Malformed(NoteError::NoSignatures)));
    let over_another = ours.cosign(&HONEST.checkpoint(8), TIME).unwrap();
    let bad = ResponseError::BadSignature(ours.vkey().name().clone());
    assert_eq!(parse(&[over_another, good]), Err(bad));
    let late = UnixSeconds(TIME.0 + 6);
    let ahead = ours.cosign(&checkpoint, late).unwrap();
    let error = ResponseError::FromTheFuture { name: ours.vkey().name().clone(), time: late };
    assert_eq!(parse(&[ahead]), Err(error));
    assert!(
        horizon.admits(UnixSeconds(TIME.0 + 5))
            && !Horizon::at(UnixMillis(u64::MAX), Duration::MAX).admits(UnixSeconds(u64::MAX))
    );
    assert_eq!(ours.cosign(&checkpoint, UnixSeconds(0)), Err(crate::cosignature::CosignError::BadTime));
    assert_eq!(ours.cosign(&checkpoint, UnixSeconds(1 << 63)), Err(crate::cosignature::CosignError::BadTime));
}
